//! A `ToolCx` for tests: a fixture tree as the host, time that passes only by sleeping, and nobody behind the ports.
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::clock;
use crate::ids::AgentId;
use crate::ids::Digest;
use crate::ids::NodeId;
use crate::ids::RunId;
use crate::ids::StepId;
use crate::ids::ToolId;
use crate::toolkit::cx::Artifact;
use crate::toolkit::cx::Artifacts;
use crate::toolkit::cx::CancelFlag;
use crate::toolkit::cx::Hash;
use crate::toolkit::cx::History;
use crate::toolkit::cx::NotAvailable;
use crate::toolkit::cx::PastStep;
use crate::toolkit::cx::Quote;
use crate::toolkit::cx::Roots;
use crate::toolkit::cx::Sign;
use crate::toolkit::cx::Signed;
use crate::toolkit::cx::Time;
use crate::toolkit::cx::ToolCx;
use crate::toolkit::cx::Writes;
use crate::toolkit::learned::Learning;
use crate::toolkit::learned::Metric;
use crate::toolkit::learned::Sample;
use crate::tools::evidence;

/// Makes contexts; replace single fields of the result for what a test is about.
pub struct FixtureCx;

impl FixtureCx {
    /// The real host.
    pub fn live() -> ToolCx {
        let dir = |path: &str| PathBuf::from(path);
        cx(Roots {
            sys: dir("/sys"),
            proc: dir("/proc"),
            dev: dir("/dev"),
            etc: dir("/etc"),
            var: dir("/var"),
            efi: dir("/sys/firmware/efi"),
            root: dir("/"),
        })
    }

    /// `tests/fixtures/<name>`.
    pub fn named(name: &str) -> ToolCx {
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        assert!(tree.is_dir(), "no fixture at {}", tree.display());
        Self::at(&tree)
    }

    /// A tree a test wrote: `proc`, `sys` ... below `tree`; the only host that may be written to, in `scratch`.
    pub fn at(tree: &Path) -> ToolCx {
        let cx = cx(Roots {
            sys: tree.join("sys"),
            proc: tree.join("proc"),
            dev: tree.join("dev"),
            etc: tree.join("etc"),
            var: tree.join("var"),
            efi: tree.join("sys/firmware/efi"),
            root: tree.to_owned(),
        });
        ToolCx { writes: Arc::new(writes_at(tree)), ..cx }
    }

    /// A host on which nothing exists.
    pub fn empty() -> ToolCx {
        Self::at(Path::new("/nonexistent/fixture"))
    }
}

fn writes_at(tree: &Path) -> Writes {
    Writes { scratch: tree.join("scratch"), undo: tree.join("undo") }
}

fn cx(roots: Roots) -> ToolCx {
    let time = StillTime { slept: Mutex::default(), start: clock::now() };
    ToolCx {
        node: NodeId::new("test-node").expect("a node id"),
        run: RunId(uuid::Uuid::from_u128(1)),
        step: StepId::new("s").expect("a step id"),
        agent: AgentId::new("TESTBED").expect("an agent id"),
        writes: Arc::new(writes_at(Path::new("/nonexistent"))),
        roots: Arc::new(roots),
        deadline: time.start + Duration::from_secs(120),
        cancel: CancelFlag::default(),
        time: Arc::new(time),
        sign: Arc::new(Nobody),
        history: Arc::new(Nobody),
        learning: Arc::new(Nobody),
        artifacts: Arc::new(Nobody),
        hash: Arc::new(PlainHash),
        hash_key: [7; 32],
        no_broker: Some("tests run without a broker".to_owned()),
    }
}

/// Stands still but for what is slept.
struct StillTime {
    start: Instant,
    slept: Mutex<Duration>,
}

impl Time for StillTime {
    fn now(&self) -> Instant {
        self.start + *self.slept.lock()
    }
    fn wall(&self) -> chrono::DateTime<chrono::Utc> {
        chrono::DateTime::UNIX_EPOCH + *self.slept.lock()
    }
    fn sleep(&self, duration: Duration) {
        *self.slept.lock() += duration;
    }
}

/// Answers nothing.
struct Nobody;

fn nobody<T>(facility: &str) -> Result<T, NotAvailable> {
    Err(NotAvailable { facility: facility.to_owned(), detail: "not part of this test".to_owned() })
}

impl Sign for Nobody {
    fn quote(&self, _: &[u8], _: &[u8]) -> Result<Quote, NotAvailable> {
        nobody("tpm")
    }
    fn sign(&self, _: Digest) -> Result<Signed, NotAvailable> {
        nobody("tpm")
    }
}

impl History for Nobody {
    fn last_output(&self, _: &AgentId, _: &ToolId, _: RunId) -> Result<Option<PastStep>, NotAvailable> {
        nobody("history")
    }
    fn steps_of(&self, _: RunId) -> Result<Vec<PastStep>, NotAvailable> {
        nobody("history")
    }
}

impl Learning for Nobody {
    fn samples(&self, _: Option<&AgentId>, _: Option<&ToolId>, _: Metric) -> Result<Vec<Sample>, NotAvailable> {
        nobody("learned metrics")
    }
}

impl Artifacts for Nobody {
    fn put(&self, _: &[u8], _: &str) -> Result<Artifact, NotAvailable> {
        nobody("artifacts")
    }
    fn get(&self, _: &str) -> Result<Option<Vec<u8>>, NotAvailable> {
        nobody("artifacts")
    }
}

struct PlainHash;

impl Hash for PlainHash {
    fn sha256(&self, messages: Vec<Vec<u8>>) -> Vec<Digest> {
        messages.iter().map(|message| evidence::sha256(message)).collect()
    }
}
