//! The learner: takes lessons into a file, brings them to the database in batches, and says who should do a task.
//!
//! ```text
//! Learn -> spool (file) -> every 200 ms, up to 256 -> database -> removed from the spool
//!                             ^ database away: read again later, from the file
//! Predict, Choose -> vector -> nearest past tasks -> ranking
//! ```
//! All that must survive is in the file, so a new life goes on where the last one ended; a batch that was stored but not
//! removed is handed over twice, and stored once.
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix::fut::WrapFuture;
use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Handler, MessageResult, ResponseFuture, Running};
use chrono::TimeDelta;
use serde_json::Map;
use tracing::{debug, warn};

use crate::actors::context::Ctx;
use crate::clock;
use crate::ids::ToolId;
use crate::learning::batch::{Batch, batch};
use crate::learning::card::Card;
use crate::learning::embed::Embedder;
use crate::learning::lesson::Lesson;
use crate::learning::rank::{HALF_LIVES, Neighbour, Ranking, Rules, rank};
use crate::learning::words;
use crate::logfiles::spool::{Bounds, Peeked, Spool};
use crate::messages::learner::{
    Choose, FindNear, GetLearnerStatus, Learn, LearnError, LearnerStatus, Predict, StoreLessons,
};
use crate::messages::port::Port;
use crate::workflow::record::StoreError;
use crate::workflow::step::{Choice, Doer, Task, ToolFacts};

/// How long lessons gather before they are brought to the database.
const GATHER: Duration = Duration::from_millis(200);
/// Between two tries to reach the database.
const RETRY: Duration = Duration::from_secs(1);
/// Lessons of one batch.
const MOST: usize = 256;
/// A database that does not answer a question within this is away.
const NEAR_WITHIN: Duration = Duration::from_secs(5);

/// What the learner knows of the service; the same in all of its lives.
pub struct Knowledge {
    pub embedder: Embedder,
    pub cards: Vec<Card>,
    /// What each tool does, in words.
    pub what: BTreeMap<ToolId, String>,
    /// Tools that this release has code for.
    pub built: BTreeSet<ToolId>,
    pub facts: BTreeMap<ToolId, ToolFacts>,
    pub rules: Rules,
}

#[derive(Clone)]
pub struct LearnerPorts {
    pub store: Port<StoreLessons>,
    pub near: Port<FindNear>,
}

pub struct Learner {
    dir: PathBuf,
    bounds: Bounds,
    knowledge: Arc<Knowledge>,
    ports: LearnerPorts,
    spool: Option<Spool>,
    /// A batch is on its way.
    landing: bool,
    timer: bool,
    stopping: bool,
    landed: u64,
    told_dropped: u64,
}

impl Learner {
    pub fn new(dir: PathBuf, bounds: Bounds, knowledge: Arc<Knowledge>, ports: LearnerPorts) -> Self {
        Learner {
            dir,
            bounds,
            knowledge,
            ports,
            spool: None,
            landing: false,
            timer: false,
            stopping: false,
            landed: 0,
            told_dropped: 0,
        }
    }

    fn keep(&mut self, lessons: &[Lesson]) -> Result<(), LearnError> {
        let spool = self.spool.as_mut().ok_or(LearnError::Spool { detail: "it is not open".to_owned() })?;
        let records: Result<Vec<String>, _> = lessons.iter().map(serde_json::to_string).collect();
        let records = records.map_err(|error| LearnError::Spool { detail: error.to_string() })?;
        let kept = spool.append(&records);
        if spool.dropped() > self.told_dropped {
            self.told_dropped = spool.dropped();
            warn!(dropped = spool.dropped(), "the spool is full: {} lessons were given up so far", spool.dropped());
        }
        kept.map_err(|error| LearnError::Spool { detail: causes(&error) })
    }

    fn land_in(&mut self, wait: Duration, ctx: &mut Ctx<Self>) {
        if !self.timer && !self.landing {
            self.timer = true;
            ctx.run_later(wait, |learner, ctx| {
                learner.timer = false;
                learner.land(ctx);
            });
        }
    }

    /// Brings the oldest lessons to the database.
    fn land(&mut self, ctx: &mut Ctx<Self>) {
        if self.landing {
            return;
        }
        let Some(spool) = self.spool.as_mut() else { return };
        let peeked = match spool.peek(MOST) {
            Ok(Some(peeked)) => peeked,
            Ok(None) if self.stopping => return ctx.stop(),
            Ok(None) => return,
            Err(fault) => return ctx.fail(causes(&fault)),
        };
        self.landing = true;
        let unsynced = spool.unsynced();
        let lessons = batch(parsed(&peeked), &self.knowledge.embedder, &self.knowledge.what);
        let store = self.ports.store.clone();
        let work = async move {
            // What was gathered is made safe against a loss of power while the database works.
            let synced = tokio::task::spawn_blocking(move || unsynced.map_or(Ok(()), |file| file.sync_data()));
            let stored = stored(&store, lessons).await;
            if let Ok(Err(error)) = synced.await {
                warn!(%error, "the spool could not be flushed");
            }
            stored
        };
        ctx.spawn(work.into_actor(self).map(move |stored, learner, ctx| learner.came_back(&peeked, stored, ctx)));
    }

    fn came_back(&mut self, peeked: &Peeked, stored: Result<u64, String>, ctx: &mut Ctx<Self>) {
        self.landing = false;
        let Some(spool) = self.spool.as_mut() else { return };
        match stored {
            Ok(new) => {
                self.landed += new;
                spool.landed(peeked);
                if spool.waiting() >= MOST as u64 || self.stopping {
                    return self.land(ctx);
                }
                if spool.waiting() > 0 {
                    self.land_in(GATHER, ctx);
                }
            }
            Err(detail) => {
                spool.again();
                debug!("{} lessons wait for the database: {detail}", spool.waiting());
                // They are in the file: the next start brings them.
                if self.stopping {
                    return ctx.stop();
                }
                self.land_in(RETRY, ctx);
            }
        }
    }
}

async fn stored(store: &Port<StoreLessons>, batch: Batch) -> Result<u64, String> {
    if batch == Batch::default() {
        return Ok(0);
    }
    let asked = store.ask(StoreLessons(batch)).await.map_err(|error| error.to_string())?;
    if let Err(StoreError::Refused { detail }) = &asked {
        // It will be tried again: the schema may not be there yet, or the disk may be full.
        warn!("the database refuses lessons: {detail}");
    }
    asked.map_err(|error| error.to_string())
}

fn parsed(peeked: &Peeked) -> Vec<Lesson> {
    let read = |record: &String| match serde_json::from_str(record) {
        Ok(lesson) => Some(lesson),
        Err(error) => {
            warn!(%error, "a lesson in the spool cannot be read and is left out");
            None
        }
    };
    peeked.records.iter().filter_map(read).collect()
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// Ranks the agents of `cards` by what is known about tasks like this one.
async fn ranked(
    knowledge: &Knowledge,
    near: &Port<FindNear>,
    text: &str,
    cards: impl Fn(&&Card) -> bool,
) -> Result<Ranking, LearnError> {
    let vector = knowledge.embedder.embed(text);
    let cards: Vec<&Card> = knowledge.cards.iter().filter(cards).collect();
    let past = if vector.has_meaning() { past(knowledge, near, &vector).await? } else { Vec::new() };
    Ok(rank(&vector, &cards, &past, &knowledge.rules))
}

async fn past(
    knowledge: &Knowledge,
    near: &Port<FindNear>,
    task: &crate::learning::embed::Vector,
) -> Result<Vec<Neighbour>, LearnError> {
    let now = clock::wall();
    let days = HALF_LIVES * knowledge.rules.half_life_days;
    let ask = FindNear { task: task.clone(), since: now - TimeDelta::days(days.ceil() as i64), now };
    let past = |detail: String| LearnError::Past { detail };
    let found = near.ask_within(ask, NEAR_WITHIN).await.map_err(|error| past(error.to_string()))?;
    found.map_err(|error| past(error.to_string()))
}

async fn choose(
    knowledge: &Knowledge,
    near: &Port<FindNear>,
    task: &Task,
) -> Result<Result<Choice, String>, LearnError> {
    let usable = |card: &&Card| card.tool_for(task.tool.as_ref(), &knowledge.built).is_some();
    let ranking = ranked(knowledge, near, &words::of_task(&task.text, &Map::new()), usable).await?;
    let chosen = ranking.agent.as_ref().and_then(|agent| {
        let card = knowledge.cards.iter().find(|card| card.agent == *agent)?;
        let tool = card.tool_for(task.tool.as_ref(), &knowledge.built)?;
        Some(Doer { agent: agent.clone(), tool: tool.clone(), facts: *knowledge.facts.get(tool)? })
    });
    Ok(match chosen {
        Some(doer) => Ok(Choice { doer, confidence: ranking.confidence, reasons: ranking.reasons }),
        None => Err(ranking.reasons.join("; ")),
    })
}

impl Actor for Learner {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        match Spool::open(&self.dir, self.bounds) {
            Ok(spool) => {
                self.spool = Some(spool);
                self.land_in(GATHER, ctx);
                ctx.ready();
            }
            Err(fault) => ctx.fail(causes(&fault)),
        }
    }

    /// What waits is brought to the database before the end, if that is there; else the file keeps it.
    fn stopping(&mut self, ctx: &mut Ctx<Self>) -> Running {
        let waits = self.spool.as_ref().is_some_and(|spool| spool.waiting() > 0);
        if self.stopping || !(waits || self.landing) {
            return Running::Stop;
        }
        self.stopping = true;
        self.land(ctx);
        // Without a batch on its way nothing would end this life any more.
        if self.landing { Running::Continue } else { Running::Stop }
    }
}

impl Handler<Learn> for Learner {
    type Result = Result<(), LearnError>;

    fn handle(&mut self, Learn(lessons): Learn, ctx: &mut Ctx<Self>) -> Self::Result {
        self.keep(&lessons)?;
        self.land_in(GATHER, ctx);
        Ok(())
    }
}

impl Handler<Predict> for Learner {
    type Result = ResponseFuture<Result<Ranking, LearnError>>;

    fn handle(&mut self, Predict { task, context }: Predict, _: &mut Ctx<Self>) -> Self::Result {
        let (knowledge, near) = (Arc::clone(&self.knowledge), self.ports.near.clone());
        Box::pin(async move { ranked(&knowledge, &near, &words::of_task(&task, &context), |_| true).await })
    }
}

impl Handler<Choose> for Learner {
    type Result = ResponseFuture<Result<Result<Choice, String>, LearnError>>;

    fn handle(&mut self, Choose(task): Choose, _: &mut Ctx<Self>) -> Self::Result {
        let (knowledge, near) = (Arc::clone(&self.knowledge), self.ports.near.clone());
        Box::pin(async move { choose(&knowledge, &near, &task).await })
    }
}

impl Handler<GetLearnerStatus> for Learner {
    type Result = MessageResult<GetLearnerStatus>;

    fn handle(&mut self, _: GetLearnerStatus, _: &mut Ctx<Self>) -> Self::Result {
        let spool = self.spool.as_ref();
        MessageResult(LearnerStatus {
            waiting: spool.map_or(0, Spool::waiting),
            bytes: spool.map_or(0, Spool::bytes),
            landed: self.landed,
            dropped: spool.map_or(0, Spool::dropped),
        })
    }
}
