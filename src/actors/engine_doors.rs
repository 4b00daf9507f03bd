//! How the engine asks others: for the journal, for a choice, for the work of a step.
//!
//! What an agent or the store cannot do comes back as an answer that the run's state machine understands.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use crate::actors::open_run::lessons_of;
use crate::actors::teach::Teach;
use crate::clock;
use crate::ids::{AgentId, NodeId, RunId};
use crate::messages::agent::{RunStep, StepNotDone};
use crate::messages::events::Publish;
use crate::messages::learner::Choose;
use crate::messages::orchestrator::StartError;
use crate::messages::port::{AskError, Port};
use crate::messages::store::{
    AppendEntries, AppendRun, BeginEpoch, ListRuns, LoadOpenRuns, LoadRun, LoadUnlearnedRuns,
};
use crate::toolkit::causes::with_causes;
use crate::workflow::advance::Answer;
use crate::workflow::record::{Appended, DamagedRun, StoreError, StoredRun};
use crate::workflow::result::StepResult;
use crate::workflow::run_filter::RunFilter;
use crate::workflow::status::RunStatus;
use crate::workflow::step::{Choice, Task};

/// Between two tries to reach the database, or the learner.
pub(super) const RETRY: Duration = Duration::from_millis(250);
/// Between two tries to have the learner choose, at most.
const LONGEST_RETRY: Duration = Duration::from_secs(2);
/// The learner's own question to the database may take five seconds.
const CHOOSE_WITHIN: Duration = Duration::from_secs(6);
/// Between two tries to read the journal at the start: at first, and at most.
const LOOK: Duration = Duration::from_millis(20);
const LONGEST_LOOK: Duration = Duration::from_secs(1);
/// Thousands of journals may have to be read. Less than the store's readers have to answer, and the service to start.
const READ_WITHIN: Duration = Duration::from_secs(110);
/// The answer of an agent is awaited this much longer than the attempt may take: the agent ends it itself.
const MARGIN: Duration = Duration::from_secs(5);

/// The ports the engine works through.
#[derive(Clone)]
pub struct Doors {
    pub agents: Arc<BTreeMap<AgentId, Port<RunStep>>>,
    pub begin: Port<BeginEpoch>,
    pub append: Port<AppendRun>,
    /// Answers an empty append once all that was asked of the writer before is settled.
    pub settle: Port<AppendEntries>,
    pub load_open: Port<LoadOpenRuns>,
    pub load: Port<LoadRun>,
    pub load_unlearned: Port<LoadUnlearnedRuns>,
    pub list: Port<ListRuns>,
    pub choose: Port<Choose>,
    pub teach: Teach,
    pub feed: Port<Publish>,
}

/// What came back from the store for one append.
pub(super) type Confirmed = Result<Appended, StoreError>;

/// A run of the last start, unless its rows are damaged.
pub(super) type Stored = Result<StoredRun, DamagedRun>;

impl Doors {
    /// Asks until the store can say which start this is, and what the last one left open.
    pub(super) async fn read_open(&self) -> (i64, Vec<Stored>) {
        let (mut pause, mut told) = (LOOK, String::new());
        loop {
            let reason = match self.try_read_open().await {
                Ok(read) => return read,
                Err(reason) => reason,
            };
            if reason != told {
                warn!("the journal of the last start cannot be read yet, and is asked for again: {reason}");
                told = reason;
            }
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(LONGEST_LOOK);
        }
    }

    async fn try_read_open(&self) -> Result<(i64, Vec<Stored>), String> {
        let not_asked = |error: AskError| error.lasting_text();
        let epoch = self.begin.ask(BeginEpoch).await.map_err(not_asked)?.map_err(|error| error.to_string())?;
        self.settled().await?;
        let asked = self.load_open.ask_within(LoadOpenRuns, READ_WITHIN).await.map_err(not_asked)?;
        Ok((epoch, asked.map_err(|error| error.to_string())?))
    }

    /// Waits until what earlier lives asked of the writer is stored or refused: what is read after that does not
    /// change any more behind the reader's back.
    async fn settled(&self) -> Result<(), String> {
        let asked = self.settle.ask(AppendEntries(Vec::new())).await.map_err(|error| error.lasting_text())?;
        asked.map(drop).map_err(|error| error.to_string())
    }

    /// The journal of a run, as soon as the store can tell it; none: it was never stored.
    pub(super) async fn read(&self, run: RunId) -> Result<Option<StoredRun>, StoreError> {
        let (mut pause, mut told) = (LOOK, String::new());
        loop {
            let reason = match self.settled().await {
                Err(reason) => reason,
                Ok(()) => match self.load.ask(LoadRun(run)).await {
                    Ok(Err(damaged @ StoreError::Damaged { .. })) => return Err(damaged),
                    Ok(Ok(stored)) => return Ok(stored),
                    Ok(Err(error)) => error.to_string(),
                    Err(error) => error.lasting_text(),
                },
            };
            if reason != told {
                warn!(run.id = %run, "the journal of run {run} cannot be read yet, and is asked for again: {reason}");
                told = reason;
            }
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(LONGEST_LOOK);
        }
    }

    /// Runs of earlier starts whose changes could not be undone.
    pub(super) async fn in_need(&self, node: &NodeId) -> Vec<RunId> {
        let status = Some(RunStatus::NeedsHuman.as_str().to_owned());
        let filter = RunFilter { status, limit: 500, ..RunFilter::default() };
        match self.list.ask(ListRuns(filter)).await {
            Ok(Ok(page)) => page.runs.into_iter().filter(|run| run.node == *node).map(|run| run.header.run).collect(),
            Ok(Err(fault)) => {
                warn!("runs that need a person could not be looked for: {fault}");
                Vec::new()
            }
            Err(refusal) => {
                warn!("runs that need a person could not be looked for: {refusal}");
                Vec::new()
            }
        }
    }

    /// Teaches the runs that ended when there was nobody any more to hand their lessons over.
    pub(super) async fn teach_ended(&self) {
        let ended = match self.load_unlearned.ask_within(LoadUnlearnedRuns, READ_WITHIN).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(fault)) => return warn!("runs that ended before the last end of the engine teach nothing: {fault}"),
            Err(fault) => return warn!("runs that ended before the last end of the engine teach nothing: {fault}"),
        };
        for stored in ended {
            let lessons = match stored {
                Ok(stored) => {
                    let run = stored.header.run;
                    lessons_of(stored).map_err(|fault| (run, with_causes(&fault)))
                }
                Err(damaged) => Err((damaged.run, with_causes(&damaged))),
            };
            match lessons {
                Ok(lessons) => drop(self.teach.hand_over(lessons)),
                Err((run, fault)) => warn!(run.id = %run, "run {run} has ended and teaches nothing: {fault}"),
            }
        }
    }

    /// Who should do a step that names no agent.
    pub(super) async fn choice(&self, task: &Task, within: Duration) -> Result<Choice, String> {
        choice(&self.choose, task, within).await
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

/// Told to one who asked for something that may have become durable.
pub(super) fn unknown(detail: &str) -> StartError {
    StartError::NotDurable { detail: format!("{detail}; the outcome is unknown") }
}

/// Asks the learner until it answers, for as long as the step has.
async fn choice(learner: &Port<Choose>, task: &Task, within: Duration) -> Result<Choice, String> {
    let end = clock::now() + within;
    let mut pause = RETRY;
    loop {
        let left = end.saturating_duration_since(clock::now());
        let fault = match learner.ask_within(Choose(task.clone()), left.min(CHOOSE_WITHIN)).await {
            Ok(Ok(choice)) => return choice,
            Ok(Err(fault)) => fault.to_string(),
            Err(fault) => fault.to_string(),
        };
        if clock::now() + pause >= end {
            return Err(format!("the learner did not choose an agent within {within:.1?}: {fault}"));
        }
        tokio::time::sleep(pause).await;
        pause = (2 * pause).min(LONGEST_RETRY);
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::messages::learner::LearnError;
    use crate::messages::port::{Door, Reply};

    /// A learner that answers nothing, and counts how often it is asked.
    struct Silent(Arc<AtomicUsize>);

    impl Door<Choose> for Silent {
        fn ask(&self, _: Choose, within: Duration) -> Reply<Choose> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move {
                tokio::time::sleep(within).await;
                Err(AskError::Timeout)
            })
        }

        fn try_tell(&self, _: Choose) -> Result<(), AskError> {
            Err(AskError::Overloaded)
        }
    }

    fn task() -> Task {
        Task { text: "read the load".to_owned(), tool: None }
    }

    #[tokio::test(start_paused = true)]
    async fn a_choice_takes_no_longer_than_its_step_has() {
        let asked = Arc::new(AtomicUsize::new(0));
        let learner = Port::new(Arc::new(Silent(Arc::clone(&asked))));
        let begun = clock::now();
        let refused = choice(&learner, &task(), Duration::from_secs(10)).await.expect_err("nobody chose");
        assert!(refused.contains("within 10.0s"), "{refused}");
        assert!(clock::now() - begun <= Duration::from_secs(10), "{:?}", clock::now() - begun);
        assert_eq!(asked.load(Ordering::Relaxed), 2, "one silence does not use up all of the time");
    }

    #[tokio::test(start_paused = true)]
    async fn a_learner_that_refuses_is_asked_less_and_less_often() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let learner = Port::answering(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(Err(LearnError::Past { detail: "away".to_owned() }))
        });
        choice(&learner, &task(), Duration::from_secs(60)).await.expect_err("nobody chose");
        assert!((20..40).contains(&asked.load(Ordering::Relaxed)), "{asked:?} times");
    }
}
