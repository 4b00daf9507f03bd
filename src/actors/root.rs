//! The root of the supervision tree: starts it, tells its news, stops it in order, and says when it gives up.
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use crate::actors::child::Kid;
use crate::actors::child::Station;
use crate::actors::child::root;
use crate::actors::home::Home;
use crate::actors::home::HomeError;
use crate::actors::incarnation::Order;
use crate::actors::life::News;
use crate::actors::life::Note;
use crate::actors::supervisor::SupervisorSpec;
use crate::clock;
use crate::messages::port::Port;
use crate::messages::supervision::Describe;
use crate::messages::supervision::Intervene;
use crate::messages::supervision::SupervisionEvent;
use crate::messages::supervision::Transition;
use crate::resilience::admission::Priority;
use crate::resilience::breaker::State;

/// Added to a shutdown's deadline for those who are killed at its end.
const LAST_MOMENT: Duration = Duration::from_millis(500);

type Observer = Box<dyn Fn(SupervisionEvent) + Send + Sync>;

/// What all supervisors of one tree share.
pub(super) struct Tree {
    pub supervisors: Arc<Home>,
    on_event: Observer,
    farewell: Mutex<Farewell>,
    /// Counts the ticks of the root.
    pulse: watch::Sender<u64>,
}

/// Who lives, and who left in which order once the tree was told to stop.
#[derive(Default)]
struct Farewell {
    stopping: bool,
    alive: BTreeSet<String>,
    stopped: Vec<String>,
    left_behind: Vec<String>,
}

impl Tree {
    /// The root is alive: its thread goes round.
    pub fn beat(&self) {
        self.pulse.send_modify(|ticks| *ticks += 1);
    }

    pub fn say(&self, path: &str, epoch: u64, what: Transition) {
        self.tell(SupervisionEvent { at: clock::wall(), path: path.to_owned(), epoch, passing: false, what });
    }

    /// The same, of a child that came at run time.
    pub fn say_of_passing(&self, path: &str, epoch: u64, what: Transition) {
        self.tell(SupervisionEvent { at: clock::wall(), path: path.to_owned(), epoch, passing: true, what });
    }

    fn tell(&self, event: SupervisionEvent) {
        let path = event.path.clone();
        self.farewell.lock().note(&path, &event.what);
        tracing::debug!(path, epoch = event.epoch, "{path} (life {}): {:?}", event.epoch, event.what);
        // an observer's fault must not take a supervisor down
        if catch_unwind(AssertUnwindSafe(|| (self.on_event)(event))).is_err() {
            tracing::error!(path, "an observer of supervision events panicked");
        }
    }
}

impl Farewell {
    /// What ended without a word of its own, with its supervisor, is not alive either.
    fn gone(&mut self, path: &str) {
        self.alive.remove(path);
        let below = format!("{path}/");
        let gone: Vec<String> =
            self.alive.range(below.clone()..).take_while(|p| p.starts_with(&below)).cloned().collect();
        for path in gone {
            self.alive.remove(&path);
        }
    }

    fn note(&mut self, path: &str, what: &Transition) {
        match what {
            Transition::Started => {
                self.alive.insert(path.to_owned());
            }
            Transition::Exited { .. } => {
                self.gone(path);
            }
            Transition::Stopped => {
                self.gone(path);
                self.stopped.extend(self.stopping.then(|| path.to_owned()));
            }
            Transition::Abandoned => {
                self.gone(path);
                self.left_behind.extend(self.stopping.then(|| path.to_owned()));
            }
            _ => {}
        }
    }
}

/// How a shutdown went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Farewells {
    /// Paths in the order in which they stopped.
    pub stopped: Vec<String>,
    /// Those that did not stop in time; the end of the process ends them.
    pub left_behind: Vec<String>,
}

/// The running tree. Dropping the handle ends it without order; use [`RootHandle::shutdown`].
pub struct RootHandle {
    pub describe: Port<Describe>,
    pub intervene: Port<Intervene>,
    tree: Arc<Tree>,
    root: Box<dyn Kid>,
    path: String,
    epoch: u64,
    /// Why the root has ended.
    ended: watch::Receiver<Option<String>>,
}

/// Starts the tree on a thread of its own. Call it within an actix system.
pub fn start_root(
    spec: SupervisorSpec,
    on_event: impl Fn(SupervisionEvent) + Send + Sync + 'static,
) -> Result<RootHandle, HomeError> {
    let home = Home::start("supervisors")?;
    start_root_at(home, spec, on_event)
}

/// Starts the tree with its supervisors at `home`, where no child may live that could block.
pub fn start_root_at(
    home: Arc<Home>,
    spec: SupervisorSpec,
    on_event: impl Fn(SupervisionEvent) + Send + Sync + 'static,
) -> Result<RootHandle, HomeError> {
    let path = spec.name.clone();
    let tree = Arc::new(Tree {
        supervisors: Arc::clone(&home),
        on_event: Box::new(on_event),
        farewell: Mutex::default(),
        pulse: watch::Sender::new(0),
    });
    let (mut kid, root) = root(spec, &home);
    let (line, news) = mpsc::unbounded_channel();
    let (say_ended, ended) = watch::channel(None);
    home.run(move || {
        actix_rt::spawn(listen(news, say_ended));
    });
    let life = kid.start(Station { index: 0, path: path.clone(), tree: Arc::clone(&tree), line, seat: None })?;
    kid.open(State::Closed);
    tree.say(&path, life.epoch, Transition::Started);
    let (describe, intervene) = (root.port_for(Priority::System), root.port_for(Priority::System));
    Ok(RootHandle { describe, intervene, tree, root: kid, path, epoch: life.epoch, ended })
}

/// Waits for the root's end. If the thread goes, the channel closes, which counts as the end too.
async fn listen(mut news: mpsc::UnboundedReceiver<News>, ended: watch::Sender<Option<String>>) {
    while let Some(news) = news.recv().await {
        if let Note::Exited(exit) = news.note {
            ended.send_replace(Some(exit.to_string()));
            return;
        }
    }
}

impl RootHandle {
    /// Resolves when the root has ended without being asked to: it gave up, or its thread is gone. The process must
    /// then end with a non-zero status. (It resolves with `stopped` after a shutdown, which takes the handle.)
    pub fn gave_up(&self) -> impl Future<Output = String> + Send + 'static {
        let mut ended = self.ended.clone();
        async move {
            match ended.wait_for(Option::is_some).await {
                Ok(reason) => reason.clone().unwrap_or_default(),
                Err(_) => "the thread of the supervisors is gone".to_owned(),
            }
        }
    }

    /// Changes ten times a second as long as the root is alive.
    pub fn pulse(&self) -> watch::Receiver<u64> {
        self.tree.pulse.subscribe()
    }

    /// Stops all children in the reverse order of their start, each within its grace, all within `deadline`.
    pub async fn shutdown(self, deadline: Duration) -> Farewells {
        self.tree.farewell.lock().stopping = true;
        let by: Instant = clock::now() + deadline;
        self.root.order(Order::Stop(Some(by)));
        if tokio::time::timeout(deadline + LAST_MOMENT, self.gave_up()).await.is_ok() {
            self.tree.say(&self.path, self.epoch, Transition::Stopped);
        }
        let farewell = std::mem::take(&mut *self.tree.farewell.lock());
        let left_behind = farewell.left_behind.into_iter().chain(farewell.alive).collect();
        Farewells { stopped: farewell.stopped, left_behind }
    }
}
