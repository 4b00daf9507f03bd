//! What a tool may reach while it works. The traits are filled by `app` from ports, so that no tool knows an actor.
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::ids::{AgentId, Digest, NodeId, RunId, StepId, ToolId};
use crate::toolkit::learned::Learning;
use crate::toolkit::output::{Output, Reason, Status};

/// Where readers find the host; a fixture tree can stand in for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    pub sys: PathBuf,
    pub proc: PathBuf,
    pub dev: PathBuf,
    pub etc: PathBuf,
    pub var: PathBuf,
    pub efi: PathBuf,
    /// What every other absolute path (`/usr`, `/lib`, `/root`, `/home` ...) is taken under.
    pub root: PathBuf,
}

/// Where tools may write files, and where what undoes that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writes {
    pub scratch: PathBuf,
    pub undo: PathBuf,
}

/// Raised when the step is cancelled; a tool looks at it between pieces of work.
#[derive(Debug, Clone, Default)]
pub struct CancelFlag(Arc<AtomicBool>);

impl CancelFlag {
    pub fn raise(&self) {
        self.0.store(true, Ordering::Release);
    }
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Both times, so that tools need no clock of their own.
pub trait Time: Send + Sync {
    fn now(&self) -> Instant;
    fn wall(&self) -> chrono::DateTime<chrono::Utc>;
    /// Blocks the calling thread, which must be one of the blocking pool.
    fn sleep(&self, duration: Duration);
}

/// A quote over PCRs, in the byte formats of tpm2-tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// TPMS_ATTEST as marshalled by the TPM.
    pub message: Vec<u8>,
    /// TPMT_SIGNATURE.
    pub signature: Vec<u8>,
    /// TPM2B_PUBLIC of the attestation key.
    pub ak_public: Vec<u8>,
    pub ak_pem: String,
    /// SHA-256 bank: index and value.
    pub pcrs: Vec<(u8, Digest)>,
    pub trust: Trust,
}

/// A signature by the service's log key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// ECDSA P-256 over the digest, ASN.1 DER.
    pub signature: Vec<u8>,
    pub public_pem: String,
    pub key_name: String,
    pub trust: Trust,
}

/// What stands behind a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    Hardware,
    Emulator,
}

/// A part of the service did not answer; becomes `unavailable` in the result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{facility}: {detail}")]
pub struct NotAvailable {
    pub facility: String,
    pub detail: String,
}

/// The TPM, through its signer.
pub trait Sign: Send + Sync {
    fn quote(&self, nonce: &[u8], pcrs: &[u8]) -> Result<Quote, NotAvailable>;
    fn sign(&self, digest: Digest) -> Result<Signed, NotAvailable>;
}

/// One finished step of a run, as a tool may see it.
#[derive(Debug, Clone, PartialEq)]
pub struct PastStep {
    pub run: RunId,
    pub step: StepId,
    pub agent: AgentId,
    pub tool: ToolId,
    pub finished: chrono::DateTime<chrono::Utc>,
    pub duration_ms: u64,
    pub output: Output,
    pub findings: Vec<Value>,
}

/// The service's own memory.
pub trait History: Send + Sync {
    /// The newest `ok` or `degraded` result of this agent and tool on this node in another run than `except`.
    fn last_output(&self, agent: &AgentId, tool: &ToolId, except: RunId) -> Result<Option<PastStep>, NotAvailable>;
    /// All finished steps of a run in the order in which they ended.
    fn steps_of(&self, run: RunId) -> Result<Vec<PastStep>, NotAvailable>;
}

/// An artifact that was kept: content-addressed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Artifact {
    /// `sha256:` and the digest.
    pub id: String,
    pub sha256: Digest,
    pub path: String,
    pub bytes: u64,
}

/// Files a run leaves behind.
pub trait Artifacts: Send + Sync {
    fn put(&self, bytes: &[u8], extension: &str) -> Result<Artifact, NotAvailable>;
    fn get(&self, id: &str) -> Result<Option<Vec<u8>>, NotAvailable>;
}

/// Bulk hashing.
pub trait Hash: Send + Sync {
    /// SHA-256 of each message, in order.
    fn sha256(&self, messages: Vec<Vec<u8>>) -> Vec<Digest>;
}

/// All a tool has besides its input.
#[derive(Clone)]
pub struct ToolCx {
    pub node: NodeId,
    pub run: RunId,
    pub step: StepId,
    pub agent: AgentId,
    pub roots: Arc<Roots>,
    pub writes: Arc<Writes>,
    pub deadline: Instant,
    pub cancel: CancelFlag,
    pub time: Arc<dyn Time>,
    pub sign: Arc<dyn Sign>,
    pub history: Arc<dyn History>,
    pub learning: Arc<dyn Learning>,
    pub artifacts: Arc<dyn Artifacts>,
    pub hash: Arc<dyn Hash>,
    /// Secret of this node: serial numbers and the machine id leave a tool only as keyed hashes under it.
    pub hash_key: [u8; 32],
    /// Why privileged reads are not possible, if they are not: becomes the reason of `unavailable`.
    pub no_broker: Option<String>,
}

impl ToolCx {
    /// Ends the work when the step was cancelled or is out of time: `cx.go_on()?` between pieces of work.
    pub fn go_on(&self) -> Result<(), Box<Output>> {
        let (status, code, detail) = if self.cancel.is_raised() {
            (Status::Aborted, "cancelled", "the step was cancelled")
        } else if self.time.now() >= self.deadline {
            (Status::TimedOut, "timeout", "the step ran out of time")
        } else {
            return Ok(());
        };
        Err(Box::new(Output::without_data(status, Reason::new(code, "step", detail))))
    }

    /// Waits, and wakes early when the step is cancelled or out of time.
    pub fn pause(&self, duration: Duration) -> Result<(), Box<Output>> {
        const SLICE: Duration = Duration::from_millis(50);
        let end = self.time.now() + duration;
        loop {
            self.go_on()?;
            match end.saturating_duration_since(self.time.now()) {
                Duration::ZERO => return Ok(()),
                left => self.time.sleep(left.min(SLICE)),
            }
        }
    }

    /// Time left for the step.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(self.time.now())
    }
}
