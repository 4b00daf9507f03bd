//! `dsmil supervision`: the tree, once or whenever it changes.
use std::time::Duration;

use crate::cli::args_supervision::{SupervisionArgs, SupervisionCommand};
use crate::cli::fail::Failure;
use crate::cli::render::supervision::tree;
use crate::cli::render::table::clean;
use crate::cli::shell::Shell;

const LOOK: Duration = Duration::from_secs(1);

pub fn supervision(shell: &Shell, args: SupervisionArgs) -> Result<(), Failure> {
    if let Some(SupervisionCommand::Drill { child, fault }) = args.command {
        let answer = shell.wait_for(async { Ok::<_, Failure>(shell.client()?.drill(&child, &fault.into()).await?) })?;
        return shell.show(&answer, |answer, _| format!("{} was told to fail\n", clean(&answer.child)));
    }
    shell.wait_for(async {
        let client = shell.client()?;
        let mut shown = None;
        loop {
            let root = client.supervision().await?;
            if shown.as_ref() != Some(&root) {
                shell.show(&root, tree)?;
                shown = Some(root);
            }
            if !args.watch {
                return Ok(());
            }
            actix_rt::time::sleep(LOOK).await;
        }
    })
}
