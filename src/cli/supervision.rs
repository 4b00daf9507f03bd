//! `dsmil supervision`: the tree, once or whenever it changes.
use std::time::Duration;

use crate::api::supervision::{Breaker, Node};
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
            let lasting = lasting(root.clone());
            if shown.as_ref() != Some(&lasting) {
                shell.show(&root, tree)?;
                shown = Some(lasting);
            }
            if !args.watch {
                return Ok(());
            }
            actix_rt::time::sleep(LOOK).await;
        }
    })
}

/// Without what differs at each look though nothing has happened.
fn lasting(node: Node) -> Node {
    let breaker = node.breaker.map(|breaker| Breaker { retry_after_s: None, ..breaker });
    let children = node.children.into_iter().map(lasting).collect();
    Node { busy: None, queue: 0, breaker, children, ..node }
}
