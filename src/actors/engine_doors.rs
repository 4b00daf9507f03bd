//! How the orchestrator asks others: for the journal, for a choice, for the work of a step.
//!
//! What an agent or the store cannot do comes back as an answer that the run's state machine understands.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tracing::debug;

use crate::actors::teach::Teach;
use crate::clock;
use crate::ids::AgentId;
use crate::messages::agent::{RunStep, StepNotDone};
use crate::messages::events::Publish;
use crate::messages::learner::Choose;
use crate::messages::port::{AskError, Port};
use crate::messages::store::{AppendRun, BeginEpoch, LoadOpenRuns};
use crate::workflow::advance::Answer;
use crate::workflow::record::{Appended, StoreError, StoredRun};
use crate::workflow::result::StepResult;
use crate::workflow::step::{Choice, Task};

/// Between two tries to reach the database, or the learner.
pub(super) const RETRY: Duration = Duration::from_millis(250);
/// Between two tries to read the journal at the start.
const LOOK: Duration = Duration::from_millis(20);
/// The answer of an agent is awaited this much longer than the attempt may take: the agent ends it itself.
const MARGIN: Duration = Duration::from_secs(5);

/// The ports an orchestrator works through.
#[derive(Clone)]
pub struct Doors {
    pub agents: Arc<BTreeMap<AgentId, Port<RunStep>>>,
    pub begin: Port<BeginEpoch>,
    pub append: Port<AppendRun>,
    pub load_open: Port<LoadOpenRuns>,
    pub choose: Port<Choose>,
    pub teach: Teach,
    pub feed: Port<Publish>,
}

/// What came back from the store for one append.
pub(super) type Confirmed = Result<Appended, StoreError>;

impl Doors {
    /// Asks until the store can say which start this is, and what the last one left open.
    pub(super) async fn read_open(&self) -> (i64, Vec<StoredRun>) {
        loop {
            match self.try_read_open().await {
                Ok(read) => return read,
                Err(detail) => {
                    debug!("open runs cannot be read yet: {detail}");
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }

    async fn try_read_open(&self) -> Result<(i64, Vec<StoredRun>), String> {
        let epoch =
            self.begin.ask(BeginEpoch).await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        let asked = self.load_open.ask(LoadOpenRuns).await.map_err(|error| error.to_string())?;
        Ok((epoch, asked.map_err(|error| error.to_string())?))
    }

    /// Asks the learner until it answers, for as long as the step has.
    pub(super) async fn choice(&self, task: &Task, within: Duration) -> Result<Choice, String> {
        let end = clock::now() + within;
        loop {
            let fault = match self.choose.ask(Choose(task.clone())).await {
                Ok(Ok(choice)) => return choice,
                Ok(Err(fault)) => fault.to_string(),
                Err(fault) => fault.to_string(),
            };
            if clock::now() + RETRY >= end {
                return Err(format!("the learner did not choose an agent within {within:.1?}: {fault}"));
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    pub(super) async fn confirm(&self, append: AppendRun) -> Confirmed {
        match self.append.ask(append).await {
            Ok(confirmed) => confirmed,
            Err(error) if error.certainly_not_executed() => Err(StoreError::Unreachable { detail: error.to_string() }),
            Err(error) => Err(StoreError::Unknown { detail: error.to_string() }),
        }
    }

    /// Has an agent do the work of one attempt.
    pub(super) async fn answer(&self, agent: &AgentId, order: RunStep, timeout: Duration) -> Answer {
        let Some(port) = self.agents.get(agent) else {
            return Answer::NotDone { detail: format!("agent {agent} is not part of this service") };
        };
        answer(port.ask_within(order, timeout + MARGIN).await)
    }
}

fn answer(asked: Result<Result<StepResult, StepNotDone>, AskError>) -> Answer {
    match asked {
        Ok(Ok(result)) => Answer::Done(result),
        Ok(Err(not_done)) => Answer::NotDone { detail: not_done.to_string() },
        Err(AskError::Unavailable { retry_after, reason }) => {
            Answer::Refused { retry_after, detail: reason.into_owned() }
        }
        Err(AskError::Overloaded) => {
            Answer::Refused { retry_after: RETRY, detail: "the agent has too much to do".to_owned() }
        }
        Err(AskError::Timeout) => Answer::NoAnswer,
        Err(AskError::Lost) => Answer::Lost { detail: "the agent ended before it replied".to_owned() },
    }
}
