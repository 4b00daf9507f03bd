//! Fills the core traits of a tool's context from ports and files.
//!
//! Tools run on threads of the blocking pool, so waiting for a port here blocks no arbiter.
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::Message;
use tokio::runtime::Handle;

use crate::clock;
use crate::compute::digests::{Job, Operation};
use crate::ids::AgentId;
use crate::ids::Digest;
use crate::ids::RunId;
use crate::ids::ToolId;
use crate::messages::compute::{Compute, PATIENCE};
use crate::messages::learner::LoadSamples;
use crate::messages::port::Port;
use crate::messages::signer::{QuotePcrs, SignDigest};
use crate::messages::store::{LoadLastAttempt, LoadRun};
use crate::toolkit::cx::{Hash, History, NotAvailable, PastStep, Quote, Sign, Signed, Time};
use crate::toolkit::learned::{Learning, Metric, Sample};
use crate::workflow::event::RunEvent;
use crate::workflow::record::JournalRow;

/// The service's clock.
pub struct SystemTime;

impl Time for SystemTime {
    fn now(&self) -> Instant {
        clock::now()
    }
    fn wall(&self) -> chrono::DateTime<chrono::Utc> {
        clock::wall()
    }
    #[expect(clippy::disallowed_methods, reason = "called on threads of the blocking pool only")]
    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// The TPM through the signer's ports.
pub struct TpmSign {
    pub quote: Port<QuotePcrs>,
    pub sign: Port<SignDigest>,
}

impl Sign for TpmSign {
    fn quote(&self, nonce: &[u8], pcrs: &[u8]) -> Result<Quote, NotAvailable> {
        wait_for(&self.quote, QuotePcrs { nonce: nonce.to_vec(), pcrs: pcrs.to_vec() }, "TPM")?
            .map_err(|error| not_available("TPM", &error))
    }

    fn sign(&self, digest: Digest) -> Result<Signed, NotAvailable> {
        wait_for(&self.sign, SignDigest(digest), "TPM")?.map_err(|error| not_available("TPM", &error))
    }
}

/// The journal through the store's ports.
pub struct StoreHistory {
    pub last: Port<LoadLastAttempt>,
    pub load: Port<LoadRun>,
}

impl History for StoreHistory {
    fn last_output(&self, agent: &AgentId, tool: &ToolId, except: RunId) -> Result<Option<PastStep>, NotAvailable> {
        let ask = LoadLastAttempt { agent: agent.clone(), tool: tool.clone(), except };
        let found = wait_for(&self.last, ask, "journal")?.map_err(|error| not_available("journal", &error))?;
        Ok(found.and_then(|(run, row)| past_step(run, row)))
    }

    fn steps_of(&self, run: RunId) -> Result<Vec<PastStep>, NotAvailable> {
        let stored =
            wait_for(&self.load, LoadRun(run), "journal")?.map_err(|error| not_available("journal", &error))?;
        let rows = stored.map(|stored| stored.rows).unwrap_or_default();
        Ok(rows.into_iter().filter_map(|(row, _)| past_step(run, row)).collect())
    }
}

fn past_step(run: RunId, row: JournalRow) -> Option<PastStep> {
    let (Some(step), Some(agent), Some(tool)) = (row.step, row.agent, row.tool) else { return None };
    let RunEvent::AttemptDone { result, .. } = row.body.read().ok()? else { return None };
    let findings = result.findings.iter().filter_map(|finding| serde_json::to_value(finding).ok()).collect();
    Some(PastStep {
        run,
        step,
        agent,
        tool,
        finished: row.at,
        duration_ms: result.duration_ms as u64,
        output: result.output.clone(),
        findings,
    })
}

/// What was learned, through the port of the learner's store.
pub struct PortLearning {
    pub load: Port<LoadSamples>,
}

impl Learning for PortLearning {
    fn samples(
        &self,
        agent: Option<&AgentId>,
        tool: Option<&ToolId>,
        metric: Metric,
    ) -> Result<Vec<Sample>, NotAvailable> {
        let ask = LoadSamples { agent: agent.cloned(), tool: tool.cloned(), metric };
        wait_for(&self.load, ask, "learned metrics")?.map_err(|error| not_available("learned metrics", &error))
    }
}

/// SHA-256 by the worker pool; on the calling thread while the pool is not there, has too much to do or takes too long.
pub struct PoolHash {
    pub compute: Port<Compute>,
}

impl Hash for PoolHash {
    fn sha256(&self, messages: Vec<Vec<u8>>) -> Vec<Digest> {
        let job = Arc::new(Job::new(Operation::Sha256, messages));
        match Handle::current().block_on(self.compute.ask_within(Compute(Arc::clone(&job)), PATIENCE)) {
            Ok(Ok(digests)) => digests,
            Ok(Err(_)) | Err(_) => job.digests(),
        }
    }
}

fn wait_for<M>(port: &Port<M>, message: M, facility: &str) -> Result<M::Result, NotAvailable>
where
    M: Message + Send + 'static,
    M::Result: Send + 'static,
{
    Handle::current().block_on(port.ask(message)).map_err(|error| not_available(facility, &error))
}

fn not_available(facility: &str, error: &dyn std::error::Error) -> NotAvailable {
    NotAvailable { facility: facility.to_owned(), detail: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::port::{AskError, Door, Reply};

    /// A pool whose workers do not come back.
    struct Stuck;

    impl Door<Compute> for Stuck {
        fn ask(&self, _: Compute, within: Duration) -> Reply<Compute> {
            assert!(within <= Duration::from_secs(2), "a tool would wait {within:?}");
            Box::pin(async { Err(AskError::Timeout) })
        }

        fn try_tell(&self, _: Compute) -> Result<(), AskError> {
            Err(AskError::Overloaded)
        }
    }

    #[tokio::test]
    async fn a_pool_that_does_not_answer_is_not_waited_for_long() {
        let hash = PoolHash { compute: Port::new(Arc::new(Stuck)) };
        let messages = vec![b"abc".to_vec(), Vec::new()];
        let expected = Job::new(Operation::Sha256, messages.clone()).digests();
        let digests = tokio::task::spawn_blocking(move || hash.sha256(messages)).await.expect("hashed");
        assert_eq!(digests, expected);
    }
}
