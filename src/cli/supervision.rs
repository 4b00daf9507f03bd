//! `dsmil supervision`: the tree, once or whenever it changes.
use std::time::Duration;

use crate::cli::args::SupervisionArgs;
use crate::cli::fail::Failure;
use crate::cli::render::supervision::tree;
use crate::cli::shell::Shell;

const LOOK: Duration = Duration::from_secs(1);

pub fn supervision(shell: &Shell, args: SupervisionArgs) -> Result<(), Failure> {
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
