//! `dsmil runs`: look at runs, and steer them.
use serde_json::json;

use crate::api::accepted::Accepted;
use crate::cli::args_runs::{RunsCommand, RunsListArgs};
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
            RunsCommand::Pause { id } => told(shell, &client.steer(&id, "pause").await?),
            RunsCommand::Resume { id } => told(shell, &client.steer(&id, "resume").await?),
            RunsCommand::Undo { id } => told(shell, &client.steer(&id, "undo").await?),
            RunsCommand::Retry { id } => told(shell, &client.steer(&id, "retry").await?),
            RunsCommand::Fork { id, from, inputs } => {
                let inputs: serde_json::Map<_, _> = inputs.into_iter().collect();
                told(shell, &client.fork(&id, &json!({ "from": from, "inputs": inputs })).await?)
            }
            RunsCommand::Signal { id, name, data } => {
                told(shell, &client.signal(&id, &name, &data.unwrap_or_default()).await?)
            }
            RunsCommand::Approve { id, step, yes, no, comment } => {
                let run = client.run(&id).await?;
                let known = run.steps.into_iter().find(|known| known.id.as_str() == step);
                let known = known.ok_or_else(|| Failure::failed(format!("run {id} has no step `{step}`")))?;
                if !yes && !no {
                    return shell.show(&known, render::run::approval);
                }
                // What is decided about is what this command has seen.
                let digest = known.approval.and_then(|approval| approval.digest);
                let verdict = json!({ "approve": yes, "digest": digest, "comment": comment });
                told(shell, &client.approve(&id, &step, &verdict).await?)
            }
            RunsCommand::Cancel { id, undo } => {
                let cancelled = client.cancel(&id, undo).await?;
                shell.show(&cancelled, |cancelled, _| {
                    let how = if cancelled.cancelling { "is being cancelled" } else { "had ended already" };
                    format!("run {} {how}\n", cancelled.workflow_id)
                })
            }
        }
    })
}

fn told(shell: &Shell, run: &Accepted) -> Result<(), Failure> {
    shell.show(run, |run, _| format!("run {} is {}\n", run.workflow_id, run.status))
}
