//! The findings of `dsmil doctor`: one line each, and below it how to mend it.
use serde::Serialize;

use crate::cli::render::table::{Style, Tone, clean, line};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    Ok,
    Warn,
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    pub what: &'static str,
    pub grade: Grade,
    pub detail: String,
    /// How to mend it.
    pub mend: Option<String>,
}

impl Check {
    pub fn ok(what: &'static str, detail: impl Into<String>) -> Self {
        Check { what, grade: Grade::Ok, detail: detail.into(), mend: None }
    }

    pub fn warn(what: &'static str, detail: impl Into<String>, mend: impl Into<String>) -> Self {
        Check { what, grade: Grade::Warn, detail: detail.into(), mend: Some(mend.into()) }
    }

    pub fn fail(what: &'static str, detail: impl Into<String>, mend: impl Into<String>) -> Self {
        Check { what, grade: Grade::Fail, detail: detail.into(), mend: Some(mend.into()) }
    }
}

pub fn checks(checks: &[Check], style: Style) -> String {
    let width = checks.iter().map(|check| check.what.len()).max().unwrap_or(0);
    checks.iter().fold(String::new(), |mut out, check| {
        let (word, tone) = match check.grade {
            Grade::Ok => ("ok  ", Tone::Good),
            Grade::Warn => ("warn", Tone::Warning),
            Grade::Fail => ("fail", Tone::Bad),
        };
        let word = style.paint(tone, word);
        line(&mut out, format_args!("{word}  {:width$}  {}", check.what, clean(&check.detail)));
        if let Some(mend) = &check.mend {
            line(&mut out, format_args!("      {:width$}  -> {}", "", clean(mend)));
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_followed_by_how_to_mend_it() {
        let found = [Check::ok("port", "127.0.0.1:8787 is free"), Check::fail("tpm", "no swtpm", "install swtpm")];
        let expected = "\
ok    port  127.0.0.1:8787 is free
fail  tpm   no swtpm
            -> install swtpm
";
        assert_eq!(checks(&found, Style::default()), expected);
    }
}
