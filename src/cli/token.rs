//! `dsmil token`: create, list, revoke.
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::api::access::NewToken;
use crate::cli::args::TokenCommand;
use crate::cli::fail::Failure;
use crate::cli::render;
use crate::cli::shell::Shell;
use crate::client::find::saved_token_file;

pub fn token(shell: &Shell, command: TokenCommand) -> Result<(), Failure> {
    match command {
        TokenCommand::Create { name, role, expires, save } => {
            let wanted = NewToken { name, role, expires_in: expires };
            let created = shell.wait_for(async { Ok::<_, Failure>(shell.client()?.create_token(&wanted).await?) })?;
            if let Some(path) = save {
                let path = match path {
                    Some(path) => path,
                    None => saved_token_file(&shell.data_dir()?),
                };
                if let Err(cause) = keep(&path, &created.token) {
                    shell.say(&format!("cannot write {}: {cause}; the token is printed instead", path.display()));
                } else {
                    shell.say(&format!("the token is in {}; use it with --token-file", path.display()));
                    return shell.show(&created, |created, _| format!("{}\n", created.token_id));
                }
            }
            shell.say("keep it: it is shown this once");
            shell.show(&created, |created, _| format!("{}\n", created.token))
        }
        TokenCommand::List => {
            let tokens = shell.wait_for(async { Ok::<_, Failure>(shell.client()?.tokens().await?) })?;
            shell.show(&tokens, |tokens, style| render::token::list(&tokens.tokens, style))
        }
        TokenCommand::Revoke { id } => {
            let answer = shell.wait_for(async { Ok::<_, Failure>(shell.client()?.revoke_token(&id).await?) })?;
            shell.show(&answer, |answer, _| match answer.revoked {
                true => format!("{} is revoked\n", answer.token_id),
                false => format!("{} had been revoked before\n", answer.token_id),
            })
        }
    }
}

/// For its owner alone; an existing file is not written over.
fn keep(path: &Path, token: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{token}")?;
    file.sync_all()
}
