//! Follows a run to its end, and shows on standard error how its steps come along.
use std::collections::HashMap;
use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::api::run::Run;
use crate::api::run::RunStatus;
use crate::api::run::Step;
use crate::api::run::StepStatus;
use crate::cli::fail::Failure;
use crate::cli::render::run::{note, step_tone, took_ms};
use crate::cli::render::table::{Style, duration, or_dash, shortened};
use crate::cli::shell::{Shell, warn};
use crate::client::error::ClientError;
use crate::client::http::Client;
use crate::clock;

/// Between two looks at a run whose steps are shown.
const LOOK: Duration = Duration::from_millis(150);
/// How long a service may be away, say for a restart: runs survive it.
const AWAY: Duration = Duration::from_secs(60);

/// Waits until the run has ended, whatever its status then is.
pub async fn follow(shell: &Shell, client: &Client, id: &str) -> Result<Run, Failure> {
    let mut progress = Progress::new(shell);
    let mut last_seen = clock::now();
    loop {
        let asked = match progress {
            Progress::Silent => client.run_within(id, 30).await,
            _ => client.run(id).await,
        };
        match asked {
            Ok(run) => {
                last_seen = clock::now();
                progress.show(&run);
                if run.status.has_ended() {
                    progress.end();
                    return Ok(run);
                }
            }
            Err(error) if may_return(&error) && clock::now().duration_since(last_seen) < AWAY => {}
            Err(error) => {
                progress.end();
                return Err(error.into());
            }
        }
        actix_rt::time::sleep(LOOK).await;
    }
}

/// The exit status of a command that waited for a run.
pub fn by_status(run: &Run) -> Result<(), Failure> {
    match run.status {
        RunStatus::Succeeded => Ok(()),
        status => Err(Failure::failed(format!("run {} ended as {status}", run.workflow_id))),
    }
}

fn may_return(error: &ClientError) -> bool {
    error.is_not_reachable() || error.is_passing() || matches!(error, ClientError::BrokenOff { .. })
}

enum Progress {
    Silent,
    /// One line per finished step.
    Lines {
        style: Style,
        seen: Seen,
    },
    /// One moving line per running step.
    Bars {
        style: Style,
        seen: Seen,
        all: MultiProgress,
        bars: HashMap<String, ProgressBar>,
    },
}

impl Progress {
    fn new(shell: &Shell) -> Self {
        let (style, seen) = (shell.aside_style(), Seen::default());
        if shell.global.quiet {
            Progress::Silent
        } else if io::stderr().is_terminal() {
            Progress::Bars { style, seen, all: MultiProgress::new(), bars: HashMap::new() }
        } else {
            Progress::Lines { style, seen }
        }
    }

    fn show(&mut self, run: &Run) {
        match self {
            Progress::Silent => {}
            Progress::Lines { style, seen } => {
                for step in seen.newly_ended(run) {
                    warn(&done_line(step, *style));
                }
            }
            Progress::Bars { style, seen, all, bars } => {
                for step in seen.newly_ended(run) {
                    if let Some(bar) = bars.remove(step.id.as_str()) {
                        bar.finish_and_clear();
                    }
                    // The terminal is gone: there is nobody left to tell.
                    all.println(done_line(step, *style)).unwrap_or_default();
                }
                let running = run.steps.iter().filter(|step| step.status == StepStatus::Running);
                for step in running {
                    bars.entry(step.id.to_string()).or_insert_with(|| spinner(all, step));
                }
            }
        }
    }

    fn end(&mut self) {
        if let Progress::Bars { bars, .. } = self {
            bars.drain().for_each(|(_, bar)| bar.finish_and_clear());
        }
    }
}

fn spinner(all: &MultiProgress, step: &Step) -> ProgressBar {
    let style = ProgressStyle::with_template("  {spinner} {msg} {elapsed}");
    let bar =
        all.add(ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner())));
    bar.set_message(format!("{}  {}  {}", step.id, or_dash(step.agent.as_ref()), or_dash(step.tool.as_ref())));
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

fn done_line(step: &Step, style: Style) -> String {
    let took = or_dash(took_ms(step).map(duration));
    let agent = or_dash(step.agent.as_ref());
    let mut text = format!("  {:12} {:20} {agent:24} {took:>8}", step.status, step.id);
    let note = note(step);
    if !note.is_empty() {
        text.push_str(&format!("  {}", shortened(&note, 80)));
    }
    style.paint(step_tone(step.status), text.trim_end())
}

/// Which steps were told of already.
#[derive(Default)]
struct Seen(Vec<String>);

impl Seen {
    fn newly_ended<'a>(&mut self, run: &'a Run) -> Vec<&'a Step> {
        let ended = run.steps.iter().filter(|step| step.status.has_ended());
        let new: Vec<&Step> = ended.filter(|step| !self.0.iter().any(|id| id == step.id.as_str())).collect();
        self.0.extend(new.iter().map(|step| step.id.to_string()));
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::run::tests::sample;

    #[test]
    fn each_step_is_told_of_once_when_it_has_ended() {
        let (mut run, mut seen) = (sample(), Seen::default());
        run.steps[1].status = StepStatus::Running;
        let ids = |steps: Vec<&Step>| steps.iter().map(|step| step.id.to_string()).collect::<Vec<_>>();
        assert_eq!(ids(seen.newly_ended(&run)), ["load"]);
        assert!(seen.newly_ended(&run).is_empty());
        run.steps[1].status = StepStatus::Unavailable;
        assert_eq!(ids(seen.newly_ended(&run)), ["attest"]);
    }

    #[test]
    fn a_finished_step_is_one_plain_line() {
        let line = done_line(&sample().steps[1], Style::default());
        assert_eq!(
            line,
            "  unavailable  attest               ATTESTOR                     3 ms  /dev/tpmrm0: no TPM answers"
        );
    }

    #[test]
    fn only_success_is_success() {
        let mut run = sample();
        assert!(by_status(&run).is_ok());
        for status in [RunStatus::Failed, RunStatus::Cancelled, RunStatus::TimedOut, RunStatus::RolledBack] {
            run.status = status;
            assert_eq!(by_status(&run).expect_err("not a success").exit as u8, 1);
        }
    }
}
