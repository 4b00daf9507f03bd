//! `dsmil audit`: look at the log, prove an entry, verify a whole log offline, export it.
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::api::audit::AuditEntry;
use crate::audit::checkpoint::Checkpoint;
use crate::audit::entry::canonical;
use crate::audit::merkle::hash_leaf;
use crate::audit::note::NoteKey;
use crate::audit::tlog_proof::TlogProof;
use crate::cli::args::AuditCommand;
use crate::cli::fail::Failure;
use crate::cli::render;
use crate::cli::shell::{Shell, warn};
use crate::client::http::Client;
use crate::logfiles::disk;

/// Where a log and its key lie in a data directory.
pub fn log_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("audit/log")
}

pub fn vkey_file(data_dir: &Path) -> PathBuf {
    log_dir(data_dir).join("vkey")
}

const LOOK: Duration = Duration::from_secs(1);
/// Entries asked for at a time.
const STRETCH: u64 = 1_000;

pub fn audit(shell: &Shell, command: AuditCommand) -> Result<(), Failure> {
    match command {
        AuditCommand::Tail { lines, follow } => shell.wait_for(tail(shell, lines, follow)),
        AuditCommand::Verify { dir, vkey, pin } => verify(shell, dir, vkey, pin),
        AuditCommand::Prove { index, to, vkey } => shell.wait_for(prove(shell, index, to, vkey)),
        AuditCommand::Export { from, to } => shell.wait_for(export(shell, from, to)),
    }
}

async fn tail(shell: &Shell, lines: u64, follow: bool) -> Result<(), Failure> {
    let client = shell.client()?;
    let size = client.head().await?.size;
    let mut from = size.saturating_sub(lines);
    loop {
        let entries = client.entries(from, from.saturating_add(STRETCH)).await?;
        if let Some(last) = entries.entries.last() {
            from = last.index + 1;
            shell.show(&entries.entries, |entries, style| render::audit::entries(entries, style))?;
        }
        if !follow {
            return Ok(());
        }
        actix_rt::time::sleep(LOOK).await;
    }
}

fn verify(shell: &Shell, dir: Option<PathBuf>, vkey: Option<PathBuf>, pin: Option<PathBuf>) -> Result<(), Failure> {
    // With both named nothing is asked of this host: the log may come from another.
    let home = || shell.data_dir();
    let dir = dir.map_or_else(|| home().map(|home| log_dir(&home)), Ok)?;
    if vkey.is_none() {
        shell.say(
            "note: the key is the one in the data directory; name one that was kept elsewhere to prove the origin",
        );
    }
    let vkey = vkey.map_or_else(|| home().map(|home| vkey_file(&home)), Ok)?;
    let verdict = disk::verify_dir(&dir, &vkey, pin.as_deref()).map_err(|cause| Failure::of(&cause))?;
    shell.show(&verdict, |verdict, _| format!("{verdict}\n"))?;
    if verdict.is_good() { Ok(()) } else { Err(Failure::failed("the log does not verify")) }
}

async fn prove(shell: &Shell, index: u64, to: Option<PathBuf>, vkey: Option<PathBuf>) -> Result<(), Failure> {
    let client = shell.client()?;
    let key = match vkey {
        Some(file) => fs::read_to_string(&file)
            .map_err(|cause| Failure::failed(format!("cannot read the verifier key {}: {cause}", file.display())))?,
        None => client.verifier_key().await?,
    };
    let (proof, head) = fetch_proof(&client, index, &key).await?;
    match to {
        Some(file) => fs::write(&file, &proof)
            .map_err(|cause| Failure::failed(format!("cannot write {}: {cause}", file.display())))?,
        None => shell.print(&proof)?,
    }
    shell.say(&format!(
        "entry {index} is in the log `{}` of {} entries: proof and signature verified",
        head.origin, head.size
    ));
    Ok(())
}

/// The proof of an entry, checked here against the entry's own bytes, and the signed head that it leads to.
pub async fn fetch_proof(client: &Client, index: u64, key: &str) -> Result<(String, Checkpoint), Failure> {
    let entries = client.entries(index, index + 1).await?.entries;
    let entry = entries.into_iter().find(|entry| entry.index == index);
    let entry = entry.ok_or_else(|| Failure::failed(format!("the log has no entry {index}")))?;
    let text = client.proof(index).await?;
    let head = check_proof(&text, index, &entry.entry, key).map_err(Failure::failed)?;
    Ok((text, head))
}

fn check_proof(text: &str, index: u64, entry: &Value, key: &str) -> Result<Checkpoint, String> {
    let proof = TlogProof::parse(text).map_err(|cause| cause.to_string())?;
    if proof.index != index {
        return Err(format!("the proof is for entry {}, not for entry {index}", proof.index));
    }
    let key = NoteKey::read(key, "unknown").map_err(|cause| cause.to_string())?;
    proof.check(hash_leaf(&canonical(entry)), &key).map_err(|cause| cause.to_string())
}

async fn export(shell: &Shell, from: u64, to: Option<u64>) -> Result<(), Failure> {
    let client = shell.client()?;
    let end = to.unwrap_or(u64::MAX);
    let mut next = Some(from);
    let mut written = 0_u64;
    while let Some(from) = next.filter(|&from| from < end) {
        let stretch = client.entries(from, end.min(from.saturating_add(STRETCH))).await?;
        let lines = stretch.entries.iter().map(json_line).collect::<Result<String, _>>()?;
        shell.print(&lines)?;
        written += stretch.entries.len() as u64;
        next = stretch.next;
    }
    if !shell.global.quiet {
        warn(&format!("{written} entries"));
    }
    Ok(())
}

fn json_line(entry: &AuditEntry) -> Result<String, Failure> {
    serde_json::to_string(entry).map(|line| line + "\n").map_err(|cause| Failure::of(&cause))
}
