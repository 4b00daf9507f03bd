//! A child that does what a test tells it, and a tree to put it in. Time is paused; all live on one thread.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use actix::prelude::*;
use dsmil::actors::child::{ChildOptions, ChildSpec, Place};
use dsmil::actors::context::Ctx;
use dsmil::actors::home::Home;
use dsmil::actors::root::{RootHandle, start_root_at};
use dsmil::actors::slot::Ref;
use dsmil::actors::supervisor::SupervisorSpec;
use dsmil::messages::outcome::{Class, ErrorClass, Outcome};
use dsmil::messages::port::AskError;
use dsmil::messages::supervision::{Intervene, Intervened, Intervention, SupervisionEvent, Transition};
use dsmil::resilience::restart::Intensity;
use dsmil::resilience::roster::Strategy;
use parking_lot::Mutex;
use tokio::time::sleep;

pub fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Runs a test in a system whose time passes only when nobody has anything to do.
pub fn paused(test: impl Future<Output = ()>) {
    let runtime = || {
        let built = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        built.unwrap_or_else(|error| panic!("no runtime: {error}"))
    };
    System::with_tokio_rt(runtime).block_on(test);
}

/// What a test sets and sees of its worker.
#[derive(Default)]
pub struct Board {
    pub failing: AtomicBool,
    pub refuses_to_stop: AtomicBool,
    pub never_ready: AtomicBool,
    pub working: AtomicUsize,
    pub most_working: AtomicUsize,
}

impl Board {
    fn answer(&self, bad: bool) -> Result<u64, CallError> {
        if bad {
            return Err(CallError::Caller);
        }
        if self.failing.load(SeqCst) { Err(CallError::Down) } else { Ok(1) }
    }

    fn begin(&self) {
        let working = self.working.fetch_add(1, SeqCst) + 1;
        self.most_working.fetch_max(working, SeqCst);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallError {
    Down,
    Caller,
}

impl ErrorClass for CallError {
    fn class(&self) -> Class {
        if *self == CallError::Down { Class::Failed } else { Class::Ignored }
    }
}

pub struct Worker {
    count: u64,
    board: Arc<Board>,
    ready_after: Duration,
}

impl Worker {
    pub fn new(board: &Arc<Board>) -> Self {
        Worker { count: 0, board: Arc::clone(board), ready_after: s(1) }
    }
}

impl Actor for Worker {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        if !self.board.never_ready.load(SeqCst) {
            ctx.run_later(self.ready_after, |_, ctx| ctx.ready());
        }
    }

    fn stopping(&mut self, _: &mut Ctx<Self>) -> Running {
        if self.board.refuses_to_stop.load(SeqCst) { Running::Continue } else { Running::Stop }
    }

    fn stopped(&mut self, _: &mut Ctx<Self>) {
        // in the middle of an unwind this would abort the process: no hook may run then
        assert!(!std::thread::panicking());
    }
}

#[derive(Message)]
#[rtype(result = "u64")]
pub struct Count;
#[derive(Message)]
#[rtype(result = "()")]
pub struct Boom;
#[derive(Message)]
#[rtype(result = "Result<u64, CallError>")]
pub struct Call;
#[derive(Message)]
#[rtype(result = "Result<u64, CallError>")]
pub struct BadCall;
/// What a monitor asks each second.
#[derive(Message)]
#[rtype(result = "Seen")]
pub struct Look;
/// The same, of one that may fail.
#[derive(Message)]
#[rtype(result = "Result<Seen, CallError>")]
pub struct LookInVain;
/// Answers after a while, failing or not as the board then says.
#[derive(Message)]
#[rtype(result = "Result<u64, CallError>")]
pub struct SlowCall(pub Duration);
/// Never answers, and lets nothing else be handled.
#[derive(Message)]
#[rtype(result = "u64")]
pub struct Hang;
/// Sends itself again, for ever.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Flood;
/// Holds the thread.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Block(pub Duration);
#[derive(Message)]
#[rtype(result = "()")]
pub struct Fail(pub &'static str);
#[derive(Message)]
#[rtype(result = "()")]
pub struct Leave;
/// Ends as what no restart can mend.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Despair;

impl Handler<Count> for Worker {
    type Result = u64;
    fn handle(&mut self, _: Count, _: &mut Ctx<Self>) -> u64 {
        self.count += 1;
        self.count
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen;

impl Outcome for Seen {
    const CLASS: Class = Class::Ignored;
}

impl Handler<Look> for Worker {
    type Result = MessageResult<Look>;
    fn handle(&mut self, _: Look, _: &mut Ctx<Self>) -> Self::Result {
        MessageResult(Seen)
    }
}

impl Handler<LookInVain> for Worker {
    type Result = Result<Seen, CallError>;
    fn handle(&mut self, _: LookInVain, _: &mut Ctx<Self>) -> Self::Result {
        Ok(Seen)
    }
}

impl Handler<Boom> for Worker {
    type Result = ();
    fn handle(&mut self, _: Boom, _: &mut Ctx<Self>) {
        panic!("boom");
    }
}

impl Handler<Call> for Worker {
    type Result = Result<u64, CallError>;
    fn handle(&mut self, _: Call, _: &mut Ctx<Self>) -> Self::Result {
        self.board.answer(false)
    }
}

impl Handler<BadCall> for Worker {
    type Result = Result<u64, CallError>;
    fn handle(&mut self, _: BadCall, _: &mut Ctx<Self>) -> Self::Result {
        self.board.answer(true)
    }
}

impl Handler<SlowCall> for Worker {
    type Result = ResponseFuture<Result<u64, CallError>>;
    fn handle(&mut self, SlowCall(duration): SlowCall, _: &mut Ctx<Self>) -> Self::Result {
        let board = Arc::clone(&self.board);
        Box::pin(async move {
            board.begin();
            sleep(duration).await;
            board.working.fetch_sub(1, SeqCst);
            board.answer(false)
        })
    }
}

impl Handler<Hang> for Worker {
    type Result = AtomicResponse<Self, u64>;
    fn handle(&mut self, _: Hang, _: &mut Ctx<Self>) -> Self::Result {
        AtomicResponse::new(Box::pin(std::future::pending::<u64>().into_actor(self)))
    }
}

impl Handler<Flood> for Worker {
    type Result = ();
    #[expect(clippy::disallowed_methods, reason = "the test is about an actor that does what it should not")]
    fn handle(&mut self, _: Flood, ctx: &mut Ctx<Self>) {
        ctx.address().do_send(Flood);
    }
}

impl Handler<Block> for Worker {
    type Result = ();
    #[expect(clippy::disallowed_methods, reason = "the test is about an actor that does what it should not")]
    fn handle(&mut self, Block(duration): Block, _: &mut Ctx<Self>) {
        std::thread::sleep(duration);
    }
}

impl Handler<Fail> for Worker {
    type Result = ();
    fn handle(&mut self, Fail(reason): Fail, ctx: &mut Ctx<Self>) {
        ctx.fail(reason);
    }
}

impl Handler<Leave> for Worker {
    type Result = ();
    fn handle(&mut self, _: Leave, ctx: &mut Ctx<Self>) {
        ctx.stop();
    }
}

impl Handler<Despair> for Worker {
    type Result = ();
    fn handle(&mut self, _: Despair, ctx: &mut Ctx<Self>) {
        ctx.fail_for_good("it was replaced");
    }
}

/// The thread of the test.
pub fn here() -> Place {
    Place::Shared(Home::given("test", Arbiter::current()))
}

pub fn options() -> ChildOptions {
    ChildOptions::at(here())
}

/// A worker that is ready one second after its start, where that is asked for.
pub fn worker_with(name: &str, options: ChildOptions, board: &Arc<Board>) -> (ChildSpec, Ref<Worker>) {
    let board = Arc::clone(board);
    let make = move || Worker::new(&board);
    ChildSpec::worker(name, options, make)
}

pub fn worker(name: &str) -> (ChildSpec, Ref<Worker>, Arc<Board>) {
    let board = Arc::new(Board::default());
    let (spec, worker) = worker_with(name, options(), &board);
    (spec, worker, board)
}

pub fn supervisor(name: &str, strategy: Strategy, max: usize, children: Vec<ChildSpec>) -> SupervisorSpec {
    SupervisorSpec { name: name.to_owned(), strategy, intensity: Intensity { max, within: s(60) }, children }
}

/// What a test does while the end of a child is told.
type AtExit = Arc<Mutex<Option<Box<dyn Fn() + Send>>>>;

/// A running tree and what it said.
pub struct Tree {
    pub root: RootHandle,
    pub events: Arc<Mutex<Vec<SupervisionEvent>>>,
    at_exit: AtExit,
}

/// Starts the tree on the test's thread and lets it settle.
pub async fn grow(spec: SupervisorSpec) -> Tree {
    let events: Arc<Mutex<Vec<SupervisionEvent>>> = Arc::default();
    let at_exit = AtExit::default();
    let (heard, act) = (Arc::clone(&events), Arc::clone(&at_exit));
    let Place::Shared(home) = here() else { unreachable!("here is shared") };
    let root = start_root_at(home, spec, move |event: SupervisionEvent| {
        if matches!(event.what, Transition::Exited { .. })
            && let Some(act) = &*act.lock()
        {
            act();
        }
        heard.lock().push(event);
    });
    let root = root.unwrap_or_else(|error| panic!("no tree: {error}"));
    sleep(ms(1)).await;
    Tree { root, events, at_exit }
}

/// One worker `a` under the root.
pub async fn grow_one(options: ChildOptions) -> (Tree, Ref<Worker>, Arc<Board>) {
    let board = Arc::new(Board::default());
    let (spec, worker) = worker_with("a", options, &board);
    let tree = grow(supervisor("root", Strategy::OneForOne, 100, vec![spec])).await;
    (tree, worker, board)
}

impl Tree {
    pub async fn intervene(&self, name: &str, how: Intervention) -> Intervened {
        let asked = Intervene { name: name.to_owned(), how, who: "token:test".to_owned() };
        self.root.intervene.ask(asked).await.unwrap_or_else(|error| panic!("no intervention: {error}"))
    }

    /// Does this while the end of a child is told.
    pub fn on_exit(&self, act: impl Fn() + Send + 'static) {
        *self.at_exit.lock() = Some(Box::new(act));
    }

    /// The news since the last look, as `path#life what`.
    pub fn news(&self) -> Vec<String> {
        let events = std::mem::take(&mut *self.events.lock());
        let line = |event: SupervisionEvent| {
            let what = match event.what {
                Transition::Started => "started".to_owned(),
                Transition::Exited { reason } => format!("exited: {reason}"),
                Transition::RestartIn { .. } => "restarts".to_owned(),
                Transition::BreakerOpened { .. } => "opened".to_owned(),
                Transition::BreakerHalfOpen => "half-open".to_owned(),
                Transition::BreakerClosed => "closed".to_owned(),
                Transition::GaveUp { .. } => "gave up".to_owned(),
                Transition::Stopped => "stopped".to_owned(),
                Transition::Abandoned => "abandoned".to_owned(),
            };
            format!("{}#{} {what}", event.path, event.epoch)
        };
        events.into_iter().map(line).collect()
    }
}

/// The reason of a refusal, and the time it names.
pub fn refused<T: std::fmt::Debug>(reply: Result<T, AskError>) -> (String, Duration) {
    match reply {
        Err(AskError::Unavailable { retry_after, reason }) => (reason.into_owned(), retry_after),
        other => panic!("{other:?} is no refusal"),
    }
}
