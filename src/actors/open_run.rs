//! One open run in the hands of its runner: its state, what waits to be journalled, who waits for it.
use std::collections::HashMap;

use actix::SpawnHandle;
use chrono::{DateTime, Utc};
use tokio::sync::oneshot;
use tracing::{error, trace};

use crate::actors::keys_in_flight::HeldKey;
use crate::ids::{RunId, StepId};
use crate::learning::lesson::{Lesson, lesson_of};
use crate::messages::orchestrator::{StartError, Wish};
use crate::messages::store::AppendRun;
use crate::toolkit::causes::with_causes;
use crate::toolkit::cx::CancelFlag;
use crate::workflow::advance::{Advance, Effect, Trigger};
use crate::workflow::event::RunEvent;
use crate::workflow::journal::{Writer, row_for};
use crate::workflow::record::{Appended, JournalRow, Registration, RunHeader, RunOutcome, StoredRun};
use crate::workflow::replay::ReplayError;
use crate::workflow::run::Run;
use crate::workflow::status::RunStatus;

/// The run cannot be taken up from its journal.
#[derive(Debug, thiserror::Error)]
pub enum TakeUpError {
    #[error("event {seq} cannot be read")]
    Unreadable {
        seq: u32,
        #[source]
        source: serde_json::Error,
    },
    #[error(transparent)]
    Replay(#[from] ReplayError),
}

/// Rows of one append, in bytes: what many runs write is one statement.
const MOST_BYTES: usize = 8 << 20;

/// When, what, and under which number of the audit log.
type Event = (DateTime<Utc>, RunEvent, Option<u64>);

pub struct OpenRun {
    pub run: Run,
    /// An append is under way: the first of `rows`.
    pub writing: bool,
    pub timer: Option<SpawnHandle>,
    rows: Vec<(JournalRow, RunEvent)>,
    effects: Vec<(usize, Effect)>,
    /// The run as far as it is durable: it follows the rows, so that no append has to copy a run.
    durable: Option<Run>,
    /// An append had an unknown outcome: the run may be stored already.
    doubtful: bool,
    /// Until the first append is confirmed: the key that came with the submission.
    key: Option<HeldKey>,
    /// Who submitted it and waits for the first append.
    submitter: Option<oneshot::Sender<Result<RunId, StartError>>>,
    /// Who waits until so many of `rows` are durable.
    waiting: Vec<(usize, oneshot::Sender<()>)>,
    attempts: HashMap<StepId, (u32, CancelFlag)>,
    /// What the rows that became durable teach.
    lessons: Vec<Lesson>,
}

impl OpenRun {
    pub fn accepted(run: Run, key: Option<HeldKey>, submitter: oneshot::Sender<Result<RunId, StartError>>) -> Self {
        let mut open = Self::new(run, None, Some(submitter));
        open.key = key;
        open
    }

    /// From the journal.
    pub fn replay(stored: StoredRun) -> Result<Self, TakeUpError> {
        let (run, events) = replay(stored)?;
        let durable = run.clone();
        let mut open = Self::new(run, Some(durable), None);
        // The service may have ended before the learner had them; those that it had do no harm.
        let lesson = |(at, event, index): &Event| lesson_of(&open.run, *at, event, *index);
        open.lessons = events.iter().filter_map(lesson).collect();
        Ok(open)
    }

    fn new(run: Run, durable: Option<Run>, submitter: Option<oneshot::Sender<Result<RunId, StartError>>>) -> Self {
        OpenRun {
            run,
            writing: false,
            timer: None,
            rows: Vec::new(),
            effects: Vec::new(),
            durable,
            doubtful: false,
            key: None,
            submitter,
            waiting: Vec::new(),
            attempts: HashMap::new(),
            lessons: Vec::new(),
        }
    }

    /// Adds what was decided to what waits, as rows that tell of the run as it is now. Effects wait for the rows before
    /// them.
    pub fn queue(&mut self, advance: Advance, writer: Writer<'_>) -> Result<(), serde_json::Error> {
        for (seq, event) in (advance.first_seq..).zip(advance.events) {
            self.rows.push((row_for(&self.run, seq, &event, writer)?, event));
        }
        let after = self.rows.len();
        self.effects.extend(advance.effects.into_iter().map(|effect| (after, effect)));
        Ok(())
    }

    /// What waits, as one append, or the first part of it if that is much; none: nothing waits.
    pub fn next_append(&self) -> Option<AppendRun> {
        if self.rows.is_empty() && self.effects.is_empty() {
            return None;
        }
        let run = self.run.id();
        let rows: Vec<JournalRow> = self.rows[..self.first_part()].iter().map(|(row, _)| row.clone()).collect();
        let accepted = self.rows[..rows.len()].iter().any(|(_, event)| matches!(event, RunEvent::Accepted { .. }));
        let is_all = rows.len() == self.rows.len();
        let outcome = self.run.finished().filter(|_| is_all).map(|finished| RunOutcome {
            success_rate: self.run.success_rate(),
            coverage: self.run.coverage(),
            execution_time_ms: self.run.execution_time_ms().unwrap_or_default(),
            finished,
        });
        let status = if is_all { self.run.status() } else { RunStatus::Running };
        let header = accepted.then(|| header(&self.run));
        let registration = accepted.then(|| self.registration());
        Some(AppendRun { run, header, registration, rows, status: status.as_str().to_owned(), outcome })
    }

    /// How many rows go into one append.
    fn first_part(&self) -> usize {
        let mut bytes = 0;
        let fits = self.rows.iter().take_while(|(row, _)| {
            bytes += row.body.size();
            bytes <= MOST_BYTES
        });
        // One goes, however large.
        fits.count().max(1).min(self.rows.len())
    }

    fn registration(&self) -> Registration {
        let submission = self.key.as_ref().map(|key| key.submission.clone());
        Registration { by: self.run.by().to_owned(), agents: self.run.plan().agents(), submission }
    }

    /// The first `rows` rows are durable: tells those who wait, and gives the effects that may be performed now.
    pub fn confirmed(&mut self, rows: usize, appended: &Appended) -> Vec<Effect> {
        for ((row, event), index) in self.rows.drain(..rows).zip(&appended.indexes) {
            match &mut self.durable {
                Some(durable) => durable.follow(row.at, &event),
                // The first row accepts the run, and fits.
                None => self.durable = Run::replay(self.run.id(), [(row.at, event.clone())]).ok(),
            }
            let durable = self.durable.as_ref();
            self.lessons.extend(durable.and_then(|durable| lesson_of(durable, row.at, &event, *index)));
            if let Some(index) = index {
                let both = [Some(&mut self.run), self.durable.as_mut()];
                both.into_iter().flatten().for_each(|run| run.note_audit(event.step(), *index));
            }
        }
        let queued = std::mem::take(&mut self.effects);
        let (due, later): (Vec<_>, Vec<_>) = queued.into_iter().partition(|(after, _)| *after <= rows);
        self.effects = later.into_iter().map(|(after, effect)| (after - rows, effect)).collect();
        let (told, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(after, _)| *after <= rows);
        self.waiting = later.into_iter().map(|(after, waits)| (after - rows, waits)).collect();
        for (_, waits) in told {
            if waits.send(()).is_err() {
                trace!("who steered run {} does not wait any more", self.run.id());
            }
        }
        self.key = None;
        if let Some(submitter) = self.submitter.take() {
            // Who submitted may have gone; the run is accepted all the same.
            drop(submitter.send(Ok(self.run.id())));
        }
        due.into_iter().map(|(_, effect)| effect).collect()
    }

    /// The number of the first row that is not known to be durable.
    pub fn first_waiting(&self) -> Option<u32> {
        self.rows.first().map(|(row, _)| row.seq)
    }

    /// Whether just what this trigger leads to was decided, and waits to be durable.
    pub fn is_yet_to_write(&self, trigger: &Trigger) -> bool {
        self.rows.iter().any(|(_, event)| match (trigger, event) {
            (Trigger::Pause { by }, RunEvent::Paused { by: earlier }) => by == earlier,
            (Trigger::Resume { .. }, RunEvent::Resumed { .. }) => true,
            (Trigger::Cancel { undo: wanted, .. }, RunEvent::Cancelled { undo, .. }) => *undo || !wanted,
            (Trigger::Undo { .. }, RunEvent::Cancelled { undo, .. }) => *undo,
            (Trigger::Undo { .. }, RunEvent::RollbackBegun { .. }) => true,
            (Trigger::Retry { .. }, RunEvent::Retried { .. }) => true,
            (Trigger::Decide { step, approved, .. }, RunEvent::Decided { step: decided, approved: earlier, .. }) => {
                step == decided && approved == earlier
            }
            _ => false,
        })
    }

    /// Answers when all that was decided so far is durable.
    pub fn when_durable(&mut self) -> oneshot::Receiver<()> {
        let (waits, durable) = oneshot::channel();
        self.waiting.push((self.rows.len(), waits));
        durable
    }

    pub fn take_lessons(&mut self) -> Vec<Lesson> {
        std::mem::take(&mut self.lessons)
    }

    /// The outcome of an append is unknown. From now on no refusal tells anything about the run.
    pub fn doubt(&mut self) {
        self.doubtful = true;
    }

    /// Refuses a submission that is certainly not stored. False: the run was promised already, or may be stored.
    pub fn refuse(&mut self, detail: &str) -> bool {
        if self.doubtful {
            return false;
        }
        let Some(submitter) = self.submitter.take() else { return false };
        drop(submitter.send(Err(StartError::NotDurable { detail: detail.to_owned() })));
        true
    }

    /// Another run was started by the key of this one, which therefore is certainly not stored.
    pub fn give_way(&mut self, run: RunId, same: bool) {
        if let Some(submitter) = self.submitter.take() {
            drop(submitter.send(Err(StartError::KeyTaken { run, same })));
        }
    }

    /// The run as others may see it: never ahead of the journal.
    pub fn shown(&self) -> Option<Run> {
        self.durable.clone()
    }

    /// The same without a copy.
    pub fn durable(&self) -> Option<&Run> {
        self.durable.as_ref()
    }

    pub fn begin(&mut self, step: StepId, attempt: u32) -> CancelFlag {
        let flag = CancelFlag::default();
        self.attempts.insert(step, (attempt, flag.clone()));
        flag
    }

    pub fn stop(&mut self, step: &StepId, attempt: u32) {
        if let Some((_, flag)) = self.attempts.get(step).filter(|(running, _)| *running == attempt) {
            flag.raise();
        }
    }

    /// The agent has answered, or will not. `is_done`: it does nothing for it any more.
    pub fn ended(&mut self, step: &StepId, attempt: u32, is_done: bool) {
        if self.attempts.get(step).is_some_and(|(running, _)| *running == attempt)
            && let Some((_, flag)) = self.attempts.remove(step)
            && !is_done
        {
            // What still goes on there must not come between what is done next.
            flag.raise();
        }
    }
}

/// Nobody waits any more for what the agents still do.
impl Drop for OpenRun {
    fn drop(&mut self) {
        self.attempts.values().for_each(|(_, flag)| flag.raise());
    }
}

/// All that a run that has ended teaches.
pub fn lessons_of(stored: StoredRun) -> Result<Vec<Lesson>, TakeUpError> {
    OpenRun::replay(stored).map(|mut ended| ended.take_lessons())
}

/// The state that the rows of a stored run lead to, with the audit indexes that they were given.
fn replay(stored: StoredRun) -> Result<(Run, Vec<Event>), TakeUpError> {
    let mut events = Vec::with_capacity(stored.rows.len());
    for (row, index) in stored.rows {
        let event: RunEvent = row.body.read().map_err(|source| TakeUpError::Unreadable { seq: row.seq, source })?;
        events.push((row.at, event, index));
    }
    let mut run = Run::replay(stored.header.run, events.iter().map(|(at, event, _)| (*at, event.clone())))?;
    for (_, event, index) in &events {
        if let Some(index) = index {
            run.note_audit(event.step(), *index);
        }
    }
    Ok((run, events))
}

fn header(run: &Run) -> RunHeader {
    let plan = run.plan();
    RunHeader {
        run: run.id(),
        name: plan.name().to_owned(),
        mode: plan.mode().as_str().to_owned(),
        priority: plan.priority().as_str().to_owned(),
        labels: serde_json::json!(plan.labels()),
        accepted: run.accepted(),
    }
}

/// What a wish is to the run's state machine.
pub(super) fn trigger_of(wish: Wish, by: String) -> Trigger {
    match wish {
        Wish::Cancel { undo } => Trigger::Cancel { by, undo },
        Wish::Pause => Trigger::Pause { by },
        Wish::Resume => Trigger::Resume { by },
        Wish::Signal { name, payload } => Trigger::Signal { name, payload, by },
        Wish::Decide { step, approved, digest, comment } => Trigger::Decide { step, approved, by, digest, comment },
        Wish::Undo => Trigger::Undo { by },
        Wish::Retry => Trigger::Retry { by },
    }
}

/// A run that cannot be taken up stays as it is; what else is open goes on.
pub(super) fn left_alone(id: RunId, fault: &dyn std::error::Error) {
    error!(
        run.id = %id,
        "run {id} cannot be taken up and stays as it is: {}. Bring the row back from a backup and start the service \
         again, or give the run up: UPDATE ledger.runs SET status = 'failed', finished = now() WHERE run_id = '{id}'",
        with_causes(fault)
    );
}
