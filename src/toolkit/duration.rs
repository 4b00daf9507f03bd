//! Durations as people write them in files: `250ms`, `20s`, `10m`, `1h`, `1h30m`.
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDuration {
    #[error("`{0}` is not a duration; write whole numbers with ms, s, m, h or d, such as 250ms, 20s, 10m or 1h30m")]
    Form(String),
    #[error("`{0}` is longer than a year")]
    TooLong(String),
}

/// Longer than anything waits here; sums of a few such never overflow.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// The units from the longest to the shortest, in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads numbers with units, the longer unit first and no unit twice.
pub fn parse(text: &str) -> Result<Duration, BadDuration> {
    let millis = millis(text.trim()).ok_or_else(|| BadDuration::Form(text.to_owned()))?;
    let duration = u64::try_from(millis).ok().map(Duration::from_millis).filter(|duration| *duration <= LONGEST);
    duration.ok_or_else(|| BadDuration::TooLong(text.to_owned()))
}

fn millis(text: &str) -> Option<u128> {
    let mut rest = text;
    let mut total = 0_u128;
    let mut units = UNITS.iter();
    loop {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        // `find` goes on behind the unit used last, which keeps the order and forbids repetition.
        let (_, factor) = units.find(|(name, _)| *name == unit)?;
        if number.is_empty() {
            return None;
        }
        // All digits: too many of them mean a number too large, which is not a fault of form.
        let number = number.parse::<u128>().unwrap_or(u128::MAX);
        total = total.saturating_add(number.saturating_mul(u128::from(*factor)));
        rest = after;
        if rest.is_empty() {
            return Some(total);
        }
    }
}

/// The shortest text that `parse` reads back to the same whole milliseconds.
pub fn show(duration: Duration) -> String {
    let mut left = duration.as_millis();
    let mut text = String::new();
    for (unit, factor) in UNITS {
        let count = left / u128::from(factor);
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
            left %= u128::from(factor);
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_with_units_are_durations() {
        for (text, millis) in [
            ("250ms", 250),
            ("20s", 20_000),
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("1d", 86_400_000),
            ("0s", 0),
            (" 5s ", 5_000),
            ("2m500ms", 120_500),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_text() {
        for text in ["", "s", "20", "20 s", "-1s", "1.5s", "1m1h", "1s1s", "20sec", "١s"] {
            assert_eq!(parse(text), Err(BadDuration::Form(text.to_owned())));
        }
        for text in ["367d", "99999999999999999999s", "18446744073709551615h"] {
            assert_eq!(parse(text), Err(BadDuration::TooLong(text.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(millis in 0..10_000_000_000u64) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse(&show(duration)), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in "[0-9smhd. ]{0,24}") {
            if let Ok(duration) = parse(&text) {
                prop_assert_eq!(parse(&show(duration)), Ok(duration));
            }
        }
    }
}
