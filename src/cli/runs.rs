//! `dsmil runs`: list, show, watch, cancel.
use crate::cli::args::RunsCommand;
use crate::cli::args_runs::RunsListArgs;
use crate::cli::fail::Failure;
use crate::cli::follow;
use crate::cli::render;
use crate::cli::shell::Shell;
use crate::client::calls::RunFilter;

pub fn runs(shell: &Shell, command: RunsCommand) -> Result<(), Failure> {
    shell.wait_for(async {
        let client = shell.client()?;
        match command {
            RunsCommand::List(RunsListArgs { status, name, agent, labels, since, until, limit, cursor }) => {
                let filter = RunFilter { status, name, agent, labels, since, until, limit, cursor };
                let runs = client.runs(&filter).await?;
                shell.show(&runs, render::run::list)
            }
            RunsCommand::Show { id } => shell.show(&client.run(&id).await?, render::run::show),
            RunsCommand::Watch { id } => {
                let run = follow::follow(shell, &client, &id).await?;
                shell.show(&run, render::run::show)?;
                follow::by_status(&run)
            }
            RunsCommand::Pause { id } => {
                let run = client.pause(&id).await?;
                shell.show(&run, |run, _| format!("run {} is {}\n", run.workflow_id, run.status))
            }
            RunsCommand::Resume { id } => {
                let run = client.resume(&id).await?;
                shell.show(&run, |run, _| format!("run {} is {}\n", run.workflow_id, run.status))
            }
            RunsCommand::Cancel { id } => {
                let cancelled = client.cancel(&id).await?;
                shell.show(&cancelled, |cancelled, _| {
                    let how = if cancelled.cancelling { "is being cancelled" } else { "had ended already" };
                    format!("run {} {how}\n", cancelled.workflow_id)
                })
            }
        }
    })
}
