//! Lessons made ready for the database: each with its words, and the first in the same words with their vector.
use std::collections::BTreeMap;
use std::collections::HashSet;

use crate::ids::ToolId;
use crate::learning::embed::{Embedder, Vector};
use crate::learning::lesson::{Lesson, RunLesson, StepLesson};
use crate::learning::words;

/// What is stored together.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    pub steps: Vec<NewStep>,
    pub runs: Vec<RunLesson>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct NewStep {
    pub lesson: StepLesson,
    pub text: String,
    pub hash: [u8; 16],
    /// Of the first in these words within an hour of this batch, if they mean anything.
    pub vector: Option<Vector>,
}

/// `what` says what each tool does. A lesson that is there twice is taken once.
pub fn batch(lessons: Vec<Lesson>, embedder: &Embedder, what: &BTreeMap<ToolId, String>) -> Batch {
    let mut batch = Batch::default();
    let (mut steps, mut runs, mut words_seen) = (HashSet::new(), HashSet::new(), HashSet::new());
    for lesson in lessons {
        match lesson {
            Lesson::Run(run) => {
                if runs.insert(run.run) {
                    batch.runs.push(run);
                }
            }
            Lesson::Step(lesson) => {
                if !steps.insert((lesson.run, lesson.step.clone(), lesson.attempt)) {
                    continue;
                }
                let text = words::of_lesson(&lesson, what.get(&lesson.tool).map(String::as_str));
                let hash = words::hash(&text);
                let hour = lesson.at.timestamp().div_euclid(3_600);
                let is_first = words_seen.insert((lesson.agent.clone(), lesson.tool.clone(), hash, hour));
                let vector = is_first.then(|| embedder.embed(&text)).filter(Vector::has_meaning);
                batch.steps.push(NewStep { lesson, text, hash, vector });
            }
        }
    }
    batch
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};
    use uuid::Uuid;

    use super::*;
    use crate::ids::{AgentId, RunId, StepId};
    use crate::toolkit::output::Status;

    fn lesson(run: u128, at: DateTime<Utc>, task: &str) -> Lesson {
        Lesson::Step(StepLesson {
            run: RunId(Uuid::from_u128(run)),
            step: StepId::new("a").expect("a step id"),
            attempt: 1,
            at,
            agent: AgentId::new("PACER").expect("an agent id"),
            tool: ToolId::new("load.read").expect("a tool id"),
            task: Some(task.to_owned()),
            workflow: "w".to_owned(),
            duration_ms: 1.0,
            outcome: Status::Ok,
            usage: None,
            audit_index: None,
        })
    }

    #[test]
    fn only_the_first_in_the_same_words_within_an_hour_has_a_vector() {
        let embedder = Embedder::shipped().expect("the shipped model");
        let start = DateTime::<Utc>::UNIX_EPOCH;
        let later = start + TimeDelta::minutes(61);
        let lessons = vec![
            lesson(1, start, "read the load"),
            lesson(2, start, "Read  the load"),
            lesson(3, start, "find rootkits"),
            lesson(4, later, "read the load"),
            lesson(4, later, "read the load"),
            lesson(5, later, "\u{200b}"),
        ];
        let batch = batch(lessons, &embedder, &BTreeMap::new());
        let with: Vec<bool> = batch.steps.iter().map(|step| step.vector.is_some()).collect();
        assert_eq!(with, [true, false, true, true, false]);
    }
}
