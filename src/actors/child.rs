//! The recipe of a child: how it is made, and under which rules it lives. A supervisor starts each life from it anew.
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::dev::Mailbox;
use actix::{Actor, Addr, Handler};
use tokio::sync::mpsc;

use crate::actors::context::Ctx;
use crate::actors::home::Home;
use crate::actors::home::HomeError;
use crate::actors::incarnation::Monitor;
use crate::actors::incarnation::Order;
use crate::actors::incarnation::Word;
use crate::actors::incarnation::begin;
use crate::actors::life::Life;
use crate::actors::life::Limits;
use crate::actors::life::Line;
use crate::actors::root::Tree;
use crate::actors::seats::Seat;
use crate::actors::slot::Gate;
use crate::actors::slot::Present;
use crate::actors::slot::Probe;
use crate::actors::slot::Ref;
use crate::actors::slot::Slot;
use crate::actors::supervisor::Supervisor;
use crate::actors::supervisor::SupervisorSpec;
use crate::messages::port::Port;
use crate::messages::supervision::ChildState;
use crate::messages::supervision::Describe;
use crate::messages::supervision::Intervene;
use crate::resilience::admission::Priority;
use crate::resilience::backoff::Backoff;
use crate::resilience::breaker::BreakerOptions;
use crate::resilience::breaker::State;

/// Questions to a supervisor that may wait.
const QUESTIONS: usize = 1024;

/// Which ends call for a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// All.
    Permanent,
    /// All but a stop of its own accord.
    Transient,
    /// None.
    Temporary,
}

/// When a child serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    AtOnce,
    /// When its actor calls `ctx.ready()`. Taking longer than this is a failure. Children after it start only then.
    WhenReady {
        within: Duration,
    },
}

/// The thread a child lives on.
#[derive(Debug, Clone)]
pub enum Place {
    Shared(Arc<Home>),
    /// One of its own, for a child that blocks.
    Dedicated,
}

/// The rules of a worker's life. `ChildOptions::at(place)` has the usual ones.
#[derive(Debug, Clone)]
pub struct ChildOptions {
    pub place: Place,
    pub restart: Restart,
    pub readiness: Readiness,
    /// How many requests may be queued or worked on; one more is `Overloaded`.
    pub cap: usize,
    /// How long it may take to stop.
    pub grace: Duration,
    pub backoff: Backoff,
    /// A request that is not answered by then ends the child, which is restarted.
    pub deadline: Option<Duration>,
    /// A child that keeps its thread for longer is left behind, and started anew on another thread. None for one that
    /// may block, on a thread of its own.
    pub stall: Option<Duration>,
    /// None for a child without callers.
    pub breaker: Option<BreakerOptions>,
}

impl ChildOptions {
    pub fn at(place: Place) -> Self {
        ChildOptions {
            place,
            restart: Restart::Permanent,
            readiness: Readiness::AtOnce,
            cap: 256,
            grace: Duration::from_secs(5),
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(10)),
            deadline: Some(Duration::from_secs(120)),
            stall: Some(Duration::from_secs(5)),
            breaker: Some(BreakerOptions::default()),
        }
    }
}

impl Restart {
    /// Whether a child is started again after an end, in order or not.
    pub(super) fn again_after(self, in_order: bool) -> bool {
        match self {
            Restart::Permanent => true,
            Restart::Transient => !in_order,
            Restart::Temporary => false,
        }
    }
}

/// What a supervisor asks of a child that is a supervisor itself.
#[derive(Clone)]
pub(super) struct Below {
    pub describe: Port<Describe>,
    pub intervene: Port<Intervene>,
}

/// A child, not yet started.
pub struct ChildSpec {
    pub(super) name: String,
    pub(super) restart: Restart,
    pub(super) readiness: Readiness,
    /// None: as long as it takes; so for a supervisor, whose children each have theirs.
    pub(super) grace: Option<Duration>,
    pub(super) backoff: Backoff,
    pub(super) stall: Option<Duration>,
    pub(super) breaker: Option<BreakerOptions>,
    pub(super) below: Option<Below>,
    /// Of a child that came at run time: told why, should it alone be given up.
    pub(super) given_up: Option<GivenUp>,
    pub(super) recipe: Arc<dyn Recipe>,
}

pub(super) type GivenUp = Box<dyn Fn(&str) + Send + Sync>;

impl ChildSpec {
    /// A child that works. The `Ref` leads to it, whichever life it is in.
    pub fn worker<A>(
        name: impl Into<String>,
        options: ChildOptions,
        make: impl Fn() -> A + Send + Sync + 'static,
    ) -> (ChildSpec, Ref<A>)
    where
        A: Actor<Context = Ctx<A>>,
    {
        let slot = Slot::new();
        let name = name.into();
        let slow = options.breaker.as_ref().map_or(Duration::MAX, |breaker| breaker.slow);
        let recipe = TypedRecipe {
            name: name.clone(),
            lodging: match options.place {
                Place::Shared(home) => Lodging::Shared(home),
                Place::Dedicated => Lodging::Dedicated,
            },
            cap: options.cap,
            deadline: options.deadline,
            slow,
            slot: Arc::clone(&slot),
            make: Box::new(make),
        };
        let spec = ChildSpec {
            name,
            restart: options.restart,
            readiness: options.readiness,
            grace: Some(options.grace),
            backoff: options.backoff,
            stall: options.stall,
            breaker: options.breaker,
            below: None,
            given_up: None,
            recipe: Arc::new(recipe),
        };
        (spec, Ref(slot))
    }

    /// A supervisor below another. When it gives up, that is the failure of one child to the one above, which starts
    /// it anew with everything below it.
    pub fn supervisor(spec: SupervisorSpec) -> ChildSpec {
        let name = spec.name.clone();
        let spec = Arc::new(spec);
        ChildSpec::supervising(name, QUESTIONS, move || Supervisor::new(Arc::clone(&spec))).0
    }

    /// A child that is a supervisor, of whatever kind.
    pub(super) fn supervising<A>(
        name: String,
        cap: usize,
        make: impl Fn() -> A + Send + Sync + 'static,
    ) -> (ChildSpec, Ref<A>)
    where
        A: Actor<Context = Ctx<A>> + Handler<Describe> + Handler<Intervene>,
    {
        let (recipe, supervisor) = recipe_with_supervisors(name.clone(), cap, make);
        let spec = ChildSpec {
            name,
            restart: Restart::Permanent,
            readiness: Readiness::AtOnce,
            grace: None,
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(10)),
            stall: None,
            breaker: None,
            below: Some(Below {
                describe: supervisor.port_for(Priority::System),
                intervene: supervisor.port_for(Priority::System),
            }),
            given_up: None,
            recipe,
        };
        (spec, supervisor)
    }
}

/// The supervisor above all others, not yet alive.
pub(super) fn root(spec: SupervisorSpec, supervisors: &Arc<Home>) -> (Box<dyn Kid>, Ref<Supervisor>) {
    let name = spec.name.clone();
    let spec = Arc::new(spec);
    let (recipe, root) = recipe_with_supervisors(name, QUESTIONS, move || Supervisor::new(Arc::clone(&spec)));
    (recipe.prepare(supervisors), root)
}

fn recipe_with_supervisors<A: Actor<Context = Ctx<A>>>(
    name: String,
    cap: usize,
    make: impl Fn() -> A + Send + Sync + 'static,
) -> (Arc<TypedRecipe<A>>, Ref<A>) {
    let slot = Slot::new();
    let recipe = TypedRecipe {
        name,
        lodging: Lodging::WithSupervisors,
        cap,
        deadline: None,
        slow: Duration::MAX,
        slot: Arc::clone(&slot),
        make: Box::new(make),
    };
    (Arc::new(recipe), Ref(slot))
}

/// Where in the tree a life is started.
pub(super) struct Station {
    pub index: usize,
    pub path: String,
    pub tree: Arc<Tree>,
    pub line: Line,
    pub seat: Option<Arc<Seat>>,
}

/// A recipe without the actor's type.
pub(super) trait Recipe: Send + Sync {
    /// Prepares a child under a supervisor, not yet alive.
    fn prepare(self: Arc<Self>, supervisors: &Arc<Home>) -> Box<dyn Kid>;
}

/// A child under its supervisor, without the actor's type.
pub(super) trait Kid: Send + Sync {
    /// Begins a life; an error if there is no thread for it.
    fn start(&mut self, station: Station) -> Result<Arc<Life>, HomeError>;
    /// Says something to the present life.
    fn order(&self, order: Order);
    /// Forgets the present life.
    fn bury(&mut self);
    /// Opens the gate to the present life as the breaker allows.
    fn open(&self, breaker: State);
    fn shut(&self, until: Option<Instant>, state: ChildState, reason: &str);
    fn state(&self) -> ChildState;
    /// How often the child was started.
    fn epoch(&self) -> u64;
    /// For how long the probe has been out.
    fn probe_out_for(&self) -> Option<Duration>;
    /// None before the first start.
    fn home(&self) -> Option<&Arc<Home>>;
}

/// `Place`, and the one place that is not the caller's to choose.
enum Lodging {
    Shared(Arc<Home>),
    Dedicated,
    /// Supervisors live together, away from what they supervise.
    WithSupervisors,
}

struct TypedRecipe<A: Actor<Context = Ctx<A>>> {
    name: String,
    lodging: Lodging,
    cap: usize,
    deadline: Option<Duration>,
    slow: Duration,
    slot: Arc<Slot<A>>,
    make: Box<dyn Fn() -> A + Send + Sync>,
}

impl<A: Actor<Context = Ctx<A>>> Recipe for TypedRecipe<A> {
    fn prepare(self: Arc<Self>, supervisors: &Arc<Home>) -> Box<dyn Kid> {
        let home = match &self.lodging {
            Lodging::Shared(home) => Some(Arc::clone(home)),
            Lodging::Dedicated => None,
            Lodging::WithSupervisors => Some(Arc::clone(supervisors)),
        };
        Box::new(TypedKid { recipe: self, home, live: None })
    }
}

struct TypedKid<A: Actor<Context = Ctx<A>>> {
    recipe: Arc<TypedRecipe<A>>,
    home: Option<Arc<Home>>,
    live: Option<Live<A>>,
}

struct Live<A: Actor> {
    addr: Addr<A>,
    words: mpsc::UnboundedSender<Word<A>>,
    life: Arc<Life>,
}

/// A supervisor that ends without having stopped its children, by a panic, must leave none of them serving: the gate
/// holds one end of the channel whose closing tells a life that its supervisor has ended.
impl<A: Actor<Context = Ctx<A>>> Drop for TypedKid<A> {
    fn drop(&mut self) {
        if let Some(live) = &self.live {
            self.recipe.slot.withdraw(&live.life, "its supervisor has ended");
        }
    }
}

impl<A: Actor<Context = Ctx<A>>> Kid for TypedKid<A> {
    fn start(&mut self, station: Station) -> Result<Arc<Life>, HomeError> {
        let home = match &self.home {
            Some(home) => home,
            None => self.home.insert(Home::start(self.recipe.name.clone())?),
        };
        let recipe = Arc::clone(&self.recipe);
        let limits = Limits { cap: recipe.cap, deadline: recipe.deadline, slow: recipe.slow };
        let Station { index, path, tree, line, seat } = station;
        let life = Arc::new(Life::new(index, recipe.slot.next_epoch(), path, tree, limits, line));
        let (words, heard) = mpsc::unbounded_channel();
        // made here, not on the child's thread: there is no moment without an address
        let mut mailbox = Mailbox::<A>::default();
        // the permits are the bound; actix's own would pack some messages later, away from their permits
        mailbox.set_capacity(0);
        let addr = mailbox.address();
        let monitor = Monitor::new(Arc::clone(&life), seat);
        self.live = Some(Live { addr, words, life: Arc::clone(&life) });
        home.run(move || begin(&*recipe.make, mailbox, heard, monitor));
        Ok(life)
    }

    fn order(&self, order: Order) {
        let Some(live) = &self.live else { return };
        if live.words.send(Word::Order(order)).is_err() {
            tracing::debug!(path = %live.life.path, "{} has ended already", live.life.path);
        }
    }

    fn bury(&mut self) {
        self.live = None;
    }

    fn open(&self, breaker: State) {
        let Some(live) = &self.live else { return };
        let present = Present { addr: live.addr.clone(), words: live.words.clone(), life: Arc::clone(&live.life) };
        let gate = match breaker {
            State::Closed => Gate::Open(present),
            State::HalfOpen { probe } => Gate::Probe(present, Probe::new(probe)),
            State::Open { until } => {
                Gate::Shut { until: Some(until), state: ChildState::Open, reason: "circuit open".into() }
            }
        };
        self.recipe.slot.publish(gate);
    }

    fn shut(&self, until: Option<Instant>, state: ChildState, reason: &str) {
        self.recipe.slot.publish(Gate::Shut { until, state, reason: reason.to_owned().into() });
    }

    fn state(&self) -> ChildState {
        Ref(Arc::clone(&self.recipe.slot)).state()
    }

    fn epoch(&self) -> u64 {
        Ref(Arc::clone(&self.recipe.slot)).epoch()
    }

    fn probe_out_for(&self) -> Option<Duration> {
        self.recipe.slot.probe_out_for()
    }

    fn home(&self) -> Option<&Arc<Home>> {
        self.home.as_ref()
    }
}
