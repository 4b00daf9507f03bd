//! `dsmil playbooks`: list, show.
use crate::cli::args::PlaybooksCommand;
use crate::cli::fail::Failure;
use crate::cli::render;
use crate::cli::shell::Shell;

pub fn playbooks(shell: &Shell, command: PlaybooksCommand) -> Result<(), Failure> {
    shell.wait_for(async {
        let client = shell.client()?;
        match command {
            PlaybooksCommand::List => {
                let all = client.playbooks().await?;
                shell.show(&all, |all, style| render::playbook::list(&all.playbooks, style))
            }
            PlaybooksCommand::Show { name } => {
                let playbook = client.playbook(&name).await?;
                shell.show(&playbook, |playbook, _| render::playbook::show(playbook))
            }
        }
    })
}
