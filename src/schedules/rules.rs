//! When a schedule is due.
//!
//! A `cron` pattern is about the clock on the wall of its time zone. Where that clock is put forward, a pattern with
//! one hour and one minute that falls into the gap is due at the first moment after it, and any other pattern leaves
//! out what the gap holds. Where it is put back, the former is due once, the first time its hour is shown; the latter
//! goes on in both hours. `every` counts real time from when the schedule was made, and knows no time zone.
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use serde_json::{Map, Value, json};

use crate::toolkit::duration;

/// More often than this it would be a loop, not a schedule.
pub const SHORTEST: Duration = Duration::from_secs(1);

/// The times of a schedule.
#[derive(Debug, Clone, PartialEq)]
pub enum Timing {
    /// Five fields, or a nickname such as `@daily`.
    Cron {
        text: String,
        pattern: Box<Cron>,
    },
    Every(Duration),
}

/// For times that passed while nobody could act.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CatchUp {
    Skip,
    /// The newest of them.
    #[default]
    One,
    All,
}

/// For a time at which a run of the same schedule is still open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Overlap {
    #[default]
    Skip,
    Queue,
    Allow,
    CancelPrevious,
}

/// All that is said about when.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    pub timing: Timing,
    pub zone: Tz,
    pub catch_up: CatchUp,
    pub overlap: Overlap,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTiming {
    #[error("`{text}` is not a cron pattern of five fields (minute, hour, day, month, weekday): {detail}")]
    Pattern { text: String, detail: String },
    #[error("`{0}` never comes")]
    Never(String),
    #[error("`{}` is shorter than the {} allowed", duration::show(*.0), duration::show(SHORTEST))]
    TooShort(Duration),
    #[error("`{0}` is not a time zone of the IANA database, such as `Europe/Berlin` or `UTC`")]
    Zone(String),
}

impl CatchUp {
    pub const ALL: [CatchUp; 3] = [CatchUp::Skip, CatchUp::One, CatchUp::All];

    pub fn as_str(self) -> &'static str {
        match self {
            CatchUp::Skip => "skip",
            CatchUp::One => "one",
            CatchUp::All => "all",
        }
    }
}

impl Overlap {
    pub const ALL: [Overlap; 4] = [Overlap::Skip, Overlap::Queue, Overlap::Allow, Overlap::CancelPrevious];

    pub fn as_str(self) -> &'static str {
        match self {
            Overlap::Skip => "skip",
            Overlap::Queue => "queue",
            Overlap::Allow => "allow",
            Overlap::CancelPrevious => "cancel_previous",
        }
    }
}

impl Timing {
    /// `now` is for a pattern that has no time to come, such as the 30th of February.
    pub fn cron(text: &str, now: DateTime<Utc>) -> Result<Self, BadTiming> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let parsed = parser.parse(text);
        let pattern =
            parsed.map_err(|fault| BadTiming::Pattern { text: text.to_owned(), detail: fault.to_string() })?;
        let timing = Timing::Cron { text: text.to_owned(), pattern: Box::new(pattern) };
        match timing.next(now, now, Tz::UTC) {
            Some(_) => Ok(timing),
            None => Err(BadTiming::Never(text.to_owned())),
        }
    }

    pub fn every(every: Duration) -> Result<Self, BadTiming> {
        if every < SHORTEST { Err(BadTiming::TooShort(every)) } else { Ok(Timing::Every(every)) }
    }

    fn next(&self, after: DateTime<Utc>, anchor: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        match self {
            Timing::Cron { pattern, .. } => {
                // A pattern knows whole seconds only, and would carry a fraction on.
                let local = after.trunc_subsecs(0).with_timezone(&zone);
                pattern.find_next_occurrence(&local, false).ok().map(|next| next.with_timezone(&Utc))
            }
            Timing::Every(every) => {
                let every = i64::try_from(every.as_micros()).ok().filter(|every| *every > 0)?;
                let passed = after.signed_duration_since(anchor).num_microseconds()?;
                let turn = passed.div_euclid(every).saturating_add(1).max(1);
                anchor.checked_add_signed(TimeDelta::microseconds(turn.checked_mul(every)?))
            }
        }
    }
}

impl Rules {
    /// The first time later than `after`; `anchor` is when the schedule was made.
    pub fn next(&self, after: DateTime<Utc>, anchor: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.timing.next(after, anchor, self.zone)
    }

    /// The next few, as they are written in the time zone of the schedule.
    pub fn upcoming(&self, after: DateTime<Utc>, anchor: DateTime<Utc>, count: usize) -> Vec<DateTime<Tz>> {
        let times = std::iter::successors(self.next(after, anchor), |last| self.next(*last, anchor));
        times.take(count).map(|time| time.with_timezone(&self.zone)).collect()
    }

    /// The keys of the document again, as they are stored.
    pub fn to_json(&self) -> Value {
        let mut keys = Map::new();
        match &self.timing {
            Timing::Cron { text, .. } => keys.insert("cron".to_owned(), json!(text)),
            Timing::Every(every) => keys.insert("every".to_owned(), json!(duration::show(*every))),
        };
        keys.insert("time_zone".to_owned(), json!(self.zone.name()));
        keys.insert("catch_up".to_owned(), json!(self.catch_up.as_str()));
        keys.insert("overlap".to_owned(), json!(self.overlap.as_str()));
        Value::Object(keys)
    }
}

pub fn zone(text: &str) -> Result<Tz, BadTiming> {
    Tz::from_str(text).map_err(|_| BadTiming::Zone(text.to_owned()))
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
