//! Durations as text, `200ms`, `10m`, `1h`: the one parser, and their form in records (whole milliseconds).
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};

const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const LONGEST_MS: u64 = 366 * 86_400_000;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDuration {
    #[error("`{0}` is not a duration: write a whole number and a unit, such as `200ms`, `30s`, `10m`, `1h` or `2d`")]
    Form(String),
    #[error("`{0}` is longer than a year")]
    TooLong(String),
}

/// Parses one whole number and one unit.
pub fn parse(text: &str) -> Result<Duration, BadDuration> {
    let form = || BadDuration::Form(text.to_owned());
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(form)?;
    let (number, unit) = text.split_at(unit_at);
    let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(form)?;
    if number.is_empty() {
        return Err(form());
    }
    // All digits, so the only way to fail is to be too large.
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(*scale))
        .filter(|ms| *ms <= LONGEST_MS)
        .map(Duration::from_millis)
        .ok_or_else(|| BadDuration::TooLong(text.to_owned()))
}

/// For serde's `with`: whole milliseconds.
pub mod millis {
    use super::{Deserialize, Deserializer, Duration, Serializer, whole};

    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(whole(*duration))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

/// For serde's `with`: whole milliseconds, or null.
pub mod optional_millis {
    use super::{Deserialize, Deserializer, Duration, Serializer, whole};

    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => serializer.serialize_some(&whole(*duration)),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Option::<u64>::deserialize(deserializer).map(|ms| ms.map(Duration::from_millis))
    }
}

fn whole(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_whole_number_and_a_unit() {
        for (text, ms) in [("200ms", 200), ("2s", 2_000), ("10m", 600_000), ("1h", 3_600_000), ("0s", 0)] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "5", "s", "1.5s", "-1s", "1 s", "1sec", "1h30m", "١s"] {
            assert_eq!(parse(text), Err(BadDuration::Form(text.to_owned())), "{text}");
        }
        for text in ["367d", "99999999999999999999s", "18446744073709551615h"] {
            assert_eq!(parse(text), Err(BadDuration::TooLong(text.to_owned())), "{text}");
        }
    }
}
