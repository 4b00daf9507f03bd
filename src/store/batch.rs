//! Plans one group commit: which rows are new, which audit index each entry gets, what each request is answered.
//! Nothing here touches the database.
use std::collections::{HashMap, HashSet};
use std::ops::Range;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::audit::entry::Entry;
use crate::ids::{Digest, RunId};
use crate::store::run_tags;
use crate::workflow::record::Appended;
use crate::workflow::record::JournalRow;
use crate::workflow::record::KnownSubmission;
use crate::workflow::record::Registration;
use crate::workflow::record::RunHeader;
use crate::workflow::record::RunOutcome;
use crate::workflow::record::StoreError;
use crate::workflow::submission::Submission;

/// The kind of row that tells whom the learner has chosen for a step.
const CHOSEN: &str = "step_chosen";

/// A request, encoded before it waits for its turn.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    Run(Box<RunWork>),
    Entries(Vec<Leaf>),
}

/// Rows of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunWork {
    pub run: RunId,
    header: Option<(RunHeader, String)>,
    rows: Vec<Row>,
    /// What it is found by from now on.
    tags: Vec<Uuid>,
    claim: Option<(String, Submission)>,
    status: String,
    outcome: Option<RunOutcome>,
}

/// A journal row whose `body` and `entry` have become bytes.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    row: JournalRow,
    body: String,
    leaf: Option<Leaf>,
}

/// A leaf of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    pub at: DateTime<Utc>,
    pub bytes: Vec<u8>,
    pub hash: Digest,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Run(Appended),
    Entries(Range<u64>),
}

/// What the database holds of a group already; empty when nothing was looked up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    pub runs: HashSet<Uuid>,
    pub rows: HashMap<(Uuid, u32), StoredRow>,
    /// By principal and key.
    pub submissions: HashMap<(String, String), KnownSubmission>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredRow {
    pub index: Option<u64>,
    /// It says what the row to be appended says.
    pub same: bool,
}

/// A run to be inserted (with a header) or updated, once per group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RunChange<'a> {
    pub run: RunId,
    pub header: Option<(&'a RunHeader, &'a str)>,
    pub status: &'a str,
    pub outcome: Option<&'a RunOutcome>,
}

/// A journal row to be inserted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NewRow<'a> {
    pub run: RunId,
    pub row: &'a JournalRow,
    pub body: &'a str,
    pub index: Option<u64>,
    pub leaf: Option<&'a Leaf>,
}

/// A submission that is kept with the run it has started.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Claim<'a> {
    pub principal: &'a str,
    pub submission: &'a Submission,
    pub run: RunId,
    pub at: DateTime<Utc>,
}

/// What one commit writes, and what each request is answered once it is durable.
#[derive(Debug, PartialEq)]
pub struct Plan<'a> {
    pub runs: Vec<RunChange<'a>>,
    pub rows: Vec<NewRow<'a>>,
    pub tags: Vec<(Uuid, RunId)>,
    pub claims: Vec<Claim<'a>>,
    pub leaves: Vec<(u64, &'a Leaf)>,
    pub answers: Vec<Result<Answer, StoreError>>,
    pub indexes: Range<u64>,
}

impl Work {
    pub fn run(
        run: RunId,
        header: Option<RunHeader>,
        rows: Vec<JournalRow>,
        status: String,
        outcome: Option<RunOutcome>,
    ) -> Self {
        let mut tags: Vec<Uuid> = header.iter().flat_map(|header| run_tags::of_labels(&header.labels)).collect();
        // Whom the learner has chosen, the plan could not name.
        let chosen = rows.iter().filter(|row| row.kind == CHOSEN).filter_map(|row| row.agent.as_ref());
        tags.extend(chosen.map(run_tags::of_agent));
        let header = header.map(|header| {
            let labels = json_text(&header.labels);
            (header, labels)
        });
        let encode = |mut row: JournalRow| {
            let body = storable(std::mem::take(&mut row.body).into_text());
            let leaf = row.entry.take().map(|entry| Leaf::of(&entry));
            Row { row, body, leaf }
        };
        let rows = rows.into_iter().map(encode).collect();
        Work::Run(Box::new(RunWork { run, header, rows, tags, claim: None, status, outcome }))
    }

    /// With what is stored once, beside the header.
    pub fn registering(mut self, registration: Registration) -> Self {
        if let Work::Run(work) = &mut self {
            let Registration { by, agents, submission } = registration;
            work.tags.extend(agents.iter().map(run_tags::of_agent));
            work.claim = submission.map(|submission| (by, submission));
        }
        self
    }

    pub fn entries(entries: &[Entry]) -> Self {
        Work::Entries(entries.iter().map(Leaf::of).collect())
    }

    /// About how many bytes it adds to a commit.
    pub fn size(&self) -> usize {
        let leaf = |leaf: &Leaf| leaf.bytes.len() + 64;
        match self {
            Work::Run(work) => {
                let row = |row: &Row| 128 + row.body.len() + row.leaf.as_ref().map_or(0, leaf);
                128 + work.rows.iter().map(row).sum::<usize>()
            }
            Work::Entries(leaves) => leaves.iter().map(leaf).sum(),
        }
    }

    pub fn run_id(&self) -> Option<RunId> {
        match self {
            Work::Run(work) => Some(work.run),
            Work::Entries(_) => None,
        }
    }

    /// The principal and the key, for looking up whether it has started a run.
    pub fn claim(&self) -> Option<(&str, &str)> {
        match self {
            Work::Run(work) => work.claim.as_ref().map(|(by, submission)| (by.as_str(), submission.key.as_str())),
            Work::Entries(_) => None,
        }
    }

    /// All rows, for looking up which of them are stored.
    pub fn rows(&self) -> impl Iterator<Item = (RunId, &JournalRow, &str)> {
        let work = match self {
            Work::Run(work) => Some(work),
            Work::Entries(_) => None,
        };
        work.into_iter().flat_map(|work| work.rows.iter().map(|row| (work.run, &row.row, row.body.as_str())))
    }
}

impl Leaf {
    pub fn of(entry: &Entry) -> Self {
        let bytes = entry.canonical();
        // RFC 6962: leaves and nodes of the tree are told apart by their first byte.
        let hash = Digest(Sha256::new().chain_update([0]).chain_update(&bytes).finalize().into());
        Leaf { at: entry.at, bytes, hash }
    }
}

/// JSON as PostgreSQL takes it: U+0000, which its text cannot hold, becomes U+2400, the picture of it.
pub fn json_text(value: &Value) -> String {
    // `Value` prints as JSON, and cannot fail to.
    storable(value.to_string())
}

fn storable(text: String) -> String {
    if !text.contains("\\u0000") {
        return text;
    }
    match serde_json::from_str(&text) {
        Ok(value) => without_nul(&value).to_string(),
        // No JSON: the database says so.
        Err(_) => text,
    }
}

fn without_nul(value: &Value) -> Value {
    let clean = |text: &str| text.replace('\0', "\u{2400}");
    match value {
        Value::String(text) => Value::String(clean(text)),
        Value::Array(items) => items.iter().map(without_nul).collect(),
        Value::Object(fields) => fields.iter().map(|(key, value)| (clean(key), without_nul(value))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

impl<'a> Plan<'a> {
    /// Plans a group whose first audit entry gets `next_index`.
    pub fn new(works: impl Iterator<Item = &'a Work>, next_index: u64, known: &Known) -> Self {
        let mut plan = Plan {
            runs: Vec::new(),
            rows: Vec::new(),
            tags: Vec::new(),
            claims: Vec::new(),
            leaves: Vec::new(),
            answers: Vec::new(),
            indexes: next_index..next_index,
        };
        let mut seen = Seen::default();
        for work in works {
            let answer = match work {
                Work::Run(work) => plan.add_run(work, known, &mut seen).map(Answer::Run),
                Work::Entries(leaves) => {
                    let from = plan.indexes.end;
                    leaves.iter().for_each(|leaf| plan.add_leaf(leaf));
                    Ok(Answer::Entries(from..plan.indexes.end))
                }
            };
            plan.answers.push(answer);
        }
        plan
    }

    pub fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.rows.is_empty() && self.leaves.is_empty()
    }

    fn add_leaf(&mut self, leaf: &'a Leaf) {
        self.leaves.push((self.indexes.end, leaf));
        self.indexes.end += 1;
    }

    fn add_run(&mut self, work: &'a RunWork, known: &Known, seen: &mut Seen<'a>) -> Result<Appended, StoreError> {
        let id = work.run.0;
        let mut numbers = HashSet::with_capacity(work.rows.len());
        if let Some(twice) = work.rows.iter().find(|row| !numbers.insert(row.row.seq)) {
            let detail = format!("row {} of run {id} appears twice in one request", twice.row.seq);
            return Err(StoreError::Refused { detail });
        }
        let repeat_of = |row: &Row| match seen.rows.get(&(id, row.row.seq)) {
            Some(&at) => {
                let earlier: &NewRow = &self.rows[at];
                Some(StoredRow { index: earlier.index, same: *earlier.row == row.row && earlier.body == row.body })
            }
            None => known.rows.get(&(id, row.row.seq)).copied(),
        };
        let repeats: Vec<Option<StoredRow>> = work.rows.iter().map(repeat_of).collect();
        for (row, repeat) in work.rows.iter().zip(&repeats) {
            if repeat.is_some_and(|stored| !stored.same) {
                let detail = format!("row {} of run {id} is stored already and says something else", row.row.seq);
                return Err(StoreError::Refused { detail });
            }
        }
        // A repeat of something long done must not set the run's status back.
        let all_stored = !repeats.is_empty() && repeats.iter().all(Option::is_some);
        if !all_stored {
            self.claim(work, known, seen)?;
            self.tags.extend(work.tags.iter().map(|tag| (*tag, work.run)));
            self.change(work, known, seen);
        }
        let mut indexes = Vec::with_capacity(work.rows.len());
        for (row, repeat) in work.rows.iter().zip(repeats) {
            let index = match repeat {
                Some(stored) => stored.index,
                None => self.add_row(work.run, row, seen),
            };
            indexes.push(index);
        }
        Ok(Appended { indexes })
    }

    /// Of all runs that a key would start, the first one has it.
    fn claim(&mut self, work: &'a RunWork, known: &Known, seen: &mut Seen<'a>) -> Result<(), StoreError> {
        let (Some((principal, submission)), Some((header, _))) = (&work.claim, &work.header) else { return Ok(()) };
        let key = (principal.as_str(), submission.key.as_str());
        let stored = || known.submissions.get(&(key.0.to_owned(), key.1.to_owned())).copied();
        match seen.claims.get(&key).copied().or_else(stored) {
            Some(earlier) if earlier.run == work.run => {}
            Some(KnownSubmission { run, body }) => {
                return Err(StoreError::KeyTaken { run, same: body == submission.body });
            }
            None => {
                seen.claims.insert(key, KnownSubmission { run: work.run, body: submission.body });
                self.claims.push(Claim { principal, submission, run: work.run, at: header.accepted });
            }
        }
        Ok(())
    }

    fn add_row(&mut self, run: RunId, row: &'a Row, seen: &mut Seen<'a>) -> Option<u64> {
        let index = row.leaf.as_ref().map(|leaf| {
            self.add_leaf(leaf);
            self.indexes.end - 1
        });
        seen.rows.insert((run.0, row.row.seq), self.rows.len());
        self.rows.push(NewRow { run, row: &row.row, body: &row.body, index, leaf: row.leaf.as_ref() });
        index
    }

    fn change(&mut self, work: &'a RunWork, known: &Known, seen: &mut Seen<'a>) {
        let header = work.header.as_ref().map(|(header, labels)| (header, labels.as_str()));
        let header = header.filter(|_| !known.runs.contains(&work.run.0));
        let outcome = work.outcome.as_ref();
        match seen.runs.get(&work.run.0) {
            Some(&at) => {
                let change = &mut self.runs[at];
                change.header = change.header.or(header);
                change.status = &work.status;
                change.outcome = outcome.or(change.outcome);
            }
            None => {
                seen.runs.insert(work.run.0, self.runs.len());
                self.runs.push(RunChange { run: work.run, header, status: &work.status, outcome });
            }
        }
    }
}

/// Where earlier requests of the group stand in the plan.
#[derive(Default)]
struct Seen<'a> {
    claims: HashMap<(&'a str, &'a str), KnownSubmission>,
    runs: HashMap<Uuid, usize>,
    rows: HashMap<(Uuid, u32), usize>,
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
