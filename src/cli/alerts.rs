//! `dsmil alerts`: what is wrong, who has seen it, the exercise, and what rules can be about.
use crate::api::alert::NewAck;
use crate::cli::args_alerts::AlertsCommand;
use crate::cli::fail::Failure;
use crate::cli::render;
use crate::cli::shell::Shell;

pub fn alerts(shell: &Shell, command: AlertsCommand) -> Result<(), Failure> {
    match command {
        AlertsCommand::List { all } => {
            let mut alerts = shell.wait_for(async { Ok::<_, Failure>(shell.client()?.alerts().await?) })?;
            if !all {
                alerts.alerts.retain(|alert| alert.resolved.is_none());
            }
            shell.show(&alerts, |alerts, style| render::alert::list(&alerts.alerts, style))
        }
        AlertsCommand::Ack { id, comment } => {
            let ack = NewAck { comment };
            let alert = shell.wait_for(async { Ok::<_, Failure>(shell.client()?.acknowledge(&id, &ack).await?) })?;
            shell.show(&alert, |alert, _| format!("{} is acknowledged\n", alert.rule))
        }
        AlertsCommand::Test { clear } => {
            let alerts = shell.wait_for(async { Ok::<_, Failure>(shell.client()?.exercise(!clear).await?) })?;
            shell.show(&alerts, |alerts, style| render::alert::list(&alerts.alerts, style))
        }
        AlertsCommand::Metrics => {
            let host = shell.wait_for(async { Ok::<_, Failure>(shell.client()?.readings().await?) })?;
            shell.show(&host.readings, |readings, style| render::alert::metrics(readings, style))
        }
    }
}
