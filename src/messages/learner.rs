//! What can be asked of the learner, and of its part of the database.
use actix::Message;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::ids::AgentId;
use crate::ids::ToolId;
use crate::learning::batch::Batch;
use crate::learning::embed::Vector;
use crate::learning::lesson::Lesson;
use crate::learning::rank::Neighbour;
use crate::learning::rank::Ranking;
use crate::toolkit::learned::Metric;
use crate::toolkit::learned::Sample;
use crate::workflow::record::StoreError;
use crate::workflow::step::Choice;
use crate::workflow::step::Task;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LearnError {
    #[error("the spool of lessons cannot be written: {detail}")]
    Spool { detail: String },
    #[error("past runs cannot be read: {detail}")]
    Past { detail: String },
}

/// Takes lessons in. When it answers they are in a file that outlives the process; the database gets them from there.
/// Handing over the same again is no harm.
#[derive(Debug, Clone, PartialEq, Message)]
#[rtype(result = "Result<(), LearnError>")]
pub struct Learn(pub Vec<Lesson>);

/// Who should do this?
#[derive(Debug, Clone, PartialEq, Message)]
#[rtype(result = "Result<Ranking, LearnError>")]
pub struct Predict {
    pub task: String,
    /// Hints: the values are read with the task.
    pub context: Map<String, Value>,
}

/// Chooses for a step; the error of the inner result says why nobody was chosen.
#[derive(Debug, Clone, PartialEq, Message)]
#[rtype(result = "Result<Result<Choice, String>, LearnError>")]
pub struct Choose(pub Task);

/// How far the learner is.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "LearnerStatus")]
pub struct GetLearnerStatus;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LearnerStatus {
    /// Lessons in the spool, which the database does not have yet, and their bytes.
    pub waiting: u64,
    pub bytes: u64,
    /// Lessons that this life brought into the database.
    pub landed: u64,
    /// Lessons given up since this life began, because the spool was full.
    pub dropped: u64,
}

/// How far the handing over of lessons to the learner is.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "HandOver")]
pub struct GetHandOver;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HandOver {
    /// Lessons that the learner has not taken in yet: they are in memory only.
    pub waiting: u64,
    /// Lessons given up since the service began, because too many waited.
    pub dropped: u64,
}

/// Stores lessons, each exactly once; answers how many were new.
#[derive(Debug, Clone, PartialEq, Message)]
#[rtype(result = "Result<u64, StoreError>")]
pub struct StoreLessons(pub Batch);

/// The past tasks nearest to this one.
#[derive(Debug, Clone, PartialEq, Message)]
#[rtype(result = "Result<Vec<Neighbour>, StoreError>")]
pub struct FindNear {
    pub task: Vector,
    pub since: DateTime<Utc>,
    pub now: DateTime<Utc>,
}

/// The newest runs of an agent, of a tool, or of both.
#[derive(Debug, Clone, PartialEq, Message)]
#[rtype(result = "Result<Vec<Sample>, StoreError>")]
pub struct LoadSamples {
    pub agent: Option<AgentId>,
    pub tool: Option<ToolId>,
    pub metric: Metric,
}
