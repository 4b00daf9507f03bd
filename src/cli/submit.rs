//! `dsmil submit`: hands in a workflow, and waits for it if asked to.
use serde_json::Value;

use crate::cli::args::SubmitArgs;
use crate::cli::document;
use crate::cli::fail::Failure;
use crate::cli::follow;
use crate::cli::render;
use crate::cli::shell::Shell;

pub fn submit(shell: &Shell, args: SubmitArgs) -> Result<(), Failure> {
    let document = document::document(&args.what, args.inputs)?;
    if args.dry_run {
        let checked = shell.wait_for(async { Ok::<_, Failure>(shell.client()?.check(&document).await?) })?;
        return shell.show(&checked, render::run::checked);
    }
    hand_in(shell, &document, args.wait, args.idempotency_key.as_deref())
}

/// Submits; then shows the run when it has ended, or only its number.
pub fn hand_in(shell: &Shell, document: &Value, wait: bool, key: Option<&str>) -> Result<(), Failure> {
    shell.wait_for(async {
        let client = shell.client()?;
        let accepted = match key {
            Some(key) => client.submit_once(document, key).await?,
            None => client.submit(document).await?,
        };
        if !wait {
            let id = accepted.workflow_id;
            shell.say(&format!("accepted; `dsmil runs watch {id}` follows it"));
            return shell.show(&accepted, |accepted, _| format!("{}\n", accepted.workflow_id));
        }
        shell.say(&format!("run {}", accepted.workflow_id));
        let run = follow::follow(shell, &client, &accepted.workflow_id.to_string()).await?;
        shell.show(&run, render::run::show)?;
        follow::by_status(&run)
    })
}
