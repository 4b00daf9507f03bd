//! `dsmil up`: have a service, run a playbook on this very host, say what came of it, keep serving.
use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::api::run::Run;
use crate::cli::args::UpArgs;
use crate::cli::audit::{fetch_proof, log_dir, vkey_file};
use crate::cli::child;
use crate::cli::child::Service;
use crate::cli::document::playbook;
use crate::cli::fail::Failure;
use crate::cli::follow;
use crate::cli::render::verdict::{Places, Proof, verdict};
use crate::cli::shell::Shell;
use crate::client::find;
use crate::client::find::Hints;
use crate::client::http::Client;
use crate::clock;

/// For the TPM to have signed a head over the last entry of the run.
const SEALED_WITHIN: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(100);

pub fn up(shell: &Shell, args: UpArgs) -> Result<(), Failure> {
    let data_dir = shell.data_dir()?;
    shell.wait_for(async {
        if let Some(url) = child::running(&data_dir).await {
            shell.say(&format!("using the service that runs at {url}"));
            let ended = run_playbook(shell, &data_dir, args).await;
            shell.say("the service was running before and goes on");
            return ended;
        }
        let stale = find::running_service(&data_dir).map(|service| service.epoch);
        let mut service = Service::start(shell, &data_dir)?;
        shell.say(&format!("starting the service; its log is {}", service.log().display()));
        let served = serve_and_run(shell, &data_dir, args, &mut service, stale.as_deref()).await;
        if service.runs() {
            shell.say("stopping the service");
        }
        let stopped = service.stop().await;
        served.and(stopped)
    })
}

/// Everything that a signal may break off; the caller stops the service afterwards.
async fn serve_and_run(
    shell: &Shell,
    data_dir: &Path,
    args: UpArgs,
    service: &mut Service,
    stale: Option<&str>,
) -> Result<(), Failure> {
    let once = args.once;
    tokio::select! {
        ready = service.ready(data_dir, stale) => ready?,
        asked = interrupted() => { asked?; return Err(Failure::failed("interrupted before the service was ready")) }
    }
    let ended = tokio::select! {
        ended = run_playbook(shell, data_dir, args) => ended,
        gone = service.ended() => return Err(gone),
        asked = interrupted() => { asked?; return Err(Failure::failed("interrupted before the playbook had ended")) }
    };
    if once {
        return ended;
    }
    if let Err(failure) = ended {
        shell.say(&failure.message);
    }
    shell.say("serving until Ctrl-C");
    tokio::select! {
        gone = service.ended() => Err(gone),
        asked = interrupted() => asked,
    }
}

/// Answers on Ctrl-C or SIGTERM.
async fn interrupted() -> Result<(), Failure> {
    let listen = |kind| signal(kind).map_err(|cause| Failure::failed(format!("cannot listen for signals: {cause}")));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

async fn run_playbook(shell: &Shell, data_dir: &Path, args: UpArgs) -> Result<(), Failure> {
    // The service of this data directory is meant, whatever DSMIL_URL says.
    let client = Client::new(find::find(Hints { url: None, ..shell.hints() }, data_dir)?);
    let accepted = client.submit(&playbook(&args.playbook, args.inputs)).await?;
    shell.say(&format!("playbook {}, run {}", args.playbook, accepted.workflow_id));
    let run = follow::follow(shell, &client, &accepted.workflow_id.to_string()).await?;
    let proof = prove(&client, &run).await;
    let proof = proof.as_ref().map_err(|failure| failure.message.as_str());
    let places = Places {
        url: client.url().to_owned(),
        token_file: find::local_token_file(data_dir).display().to_string(),
        log_dir: log_dir(data_dir).display().to_string(),
        vkey_file: vkey_file(data_dir).display().to_string(),
    };
    shell.show(&run, |run, style| verdict(run, proof, &places, style))?;
    follow::by_status(&run)
}

/// Waits for a signed head over the run's last entry, and checks the way from that entry to the head.
async fn prove(client: &Client, run: &Run) -> Result<Proof, Failure> {
    let index = run.audit_index.ok_or_else(|| Failure::failed("the run has no audit entry"))?;
    let end = clock::now() + SEALED_WITHIN;
    let head = loop {
        let head = client.head().await?;
        if head.size > index {
            break head;
        }
        if clock::now() >= end {
            let (size, waited) = (head.size, SEALED_WITHIN.as_secs());
            let checked = Err(format!("no signed head over entry {index} within {waited} s; it covers {size} entries"));
            return Ok(Proof { head, checked });
        }
        actix_rt::time::sleep(LOOK).await;
    };
    let key = client.verifier_key().await?;
    let checked = fetch_proof(client, index, &key).await.map(|_| index).map_err(|failure| failure.message);
    Ok(Proof { head, checked })
}
