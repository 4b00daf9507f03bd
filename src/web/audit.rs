//! `/audit`: the signed log. Checkpoint, tiles and key are public, as verifiers expect; entries need a token.
use actix_web::HttpResponse;
use actix_web::http::header::ContentType;
use actix_web::web::{Data, Path, Query};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::api;
use crate::messages::auditor::AuditError;
use crate::messages::auditor::GetHead;
use crate::messages::auditor::GetLogFile;
use crate::messages::auditor::GetProof;
use crate::messages::auditor::GetVerifierKey;
use crate::messages::port::Port;
use crate::messages::signer::GetLogKey;
use crate::messages::store::LoadEntries;
use crate::web::error::ApiError;
use crate::workflow::record::StoredEntry;

/// What these routes need.
#[derive(Clone)]
pub struct Audit {
    pub head: Port<GetHead>,
    pub file: Port<GetLogFile>,
    pub proof: Port<GetProof>,
    pub vkey: Port<GetVerifierKey>,
    pub log_key: Port<GetLogKey>,
    pub entries: Port<LoadEntries>,
}

/// Entries in one answer.
const STRETCH: u64 = 1_000;
const LONGEST_STRETCH: u64 = 10_000;

pub async fn checkpoint(deps: Data<Audit>) -> Result<HttpResponse, ApiError> {
    let head = deps.head.ask(GetHead).await?.map_err(public)?;
    Ok(HttpResponse::Ok().content_type(ContentType::plaintext()).body(head.note))
}

pub async fn tile(deps: Data<Audit>, path: Path<String>) -> Result<HttpResponse, ApiError> {
    let path = format!("tile/{path}");
    let missing = || ApiError::NotFound(format!("the log has no `{path}`"));
    if !is_tile_path(&path) {
        return Err(missing());
    }
    let bytes = deps.file.ask(GetLogFile { path: path.clone() }).await?.map_err(public)?.ok_or_else(missing)?;
    Ok(HttpResponse::Ok().content_type(ContentType::octet_stream()).body(bytes))
}

pub async fn vkey(deps: Data<Audit>) -> Result<HttpResponse, ApiError> {
    let key = deps.vkey.ask(GetVerifierKey).await?.map_err(public)?;
    Ok(HttpResponse::Ok().content_type(ContentType::plaintext()).body(format!("{}\n", key.vkey.trim_end())))
}

pub async fn head(deps: Data<Audit>) -> Result<HttpResponse, ApiError> {
    let head = deps.head.ask(GetHead).await??;
    // The head stands without the TPM's answer; who asks sees that it did not come.
    let key = deps.log_key.ask(GetLogKey).await.ok().and_then(Result::ok);
    Ok(HttpResponse::Ok().json(api::audit::Head {
        size: head.size,
        root: head.root,
        note: head.note,
        trust: key.as_ref().map(|key| key.trust),
        tpm: key.map(|key| key.manufacturer),
    }))
}

pub async fn proof(deps: Data<Audit>, index: Path<u64>) -> Result<HttpResponse, ApiError> {
    let proof = deps.proof.ask(GetProof { index: index.into_inner() }).await??;
    Ok(HttpResponse::Ok().content_type(ContentType::plaintext()).body(proof))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stretch {
    /// Index of the first entry.
    #[serde(default)]
    from: u64,
    /// Index after the last one; `next` goes on where an answer was full.
    to: Option<u64>,
}

pub async fn entries(deps: Data<Audit>, stretch: Query<Stretch>) -> Result<HttpResponse, ApiError> {
    let Stretch { from, to } = stretch.into_inner();
    let to = to.unwrap_or_else(|| from.saturating_add(STRETCH));
    if to < from {
        return Err(ApiError::BadRequest(format!("`to` ({to}) comes before `from` ({from})")));
    }
    let end = to.min(from.saturating_add(LONGEST_STRETCH));
    let stored = deps.entries.ask(LoadEntries { from, to: end }).await??;
    let last = stored.last().map(|entry| entry.index + 1);
    let entries = stored.into_iter().map(shape).collect::<Result<Vec<_>, _>>()?;
    // A full answer may have more behind it; a short one has met the end of the log.
    let next = last.filter(|&last| last == end);
    Ok(HttpResponse::Ok().json(api::audit::Entries { entries, next }))
}

fn shape(stored: StoredEntry) -> Result<api::audit::AuditEntry, ApiError> {
    let entry = serde_json::from_slice(&stored.leaf)
        .map_err(|cause| ApiError::Unreadable(format!("audit entry {}: {cause}", stored.index)))?;
    Ok(api::audit::AuditEntry { index: stored.index, leaf_hash: stored.leaf_hash, entry })
}

/// C2SP tlog-tiles: `tile/<level or entries>/<groups of three digits>[.p/<width>]`. Nothing else may reach the disk.
fn is_tile_path(path: &str) -> bool {
    let fits = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && part.len() <= 8
            && part.chars().all(|c| c.is_ascii_digit() || c == 'x' || c == '.' || c == 'p')
    };
    let Some(rest) = path.strip_prefix("tile/") else { return false };
    let Some((level, index)) = rest.split_once('/') else { return false };
    let level_fits = level == "entries" || (level.len() <= 2 && level.chars().all(|c| c.is_ascii_digit()));
    level_fits && !level.is_empty() && index.split('/').all(fits) && !index.contains("..")
}

/// Public answers say nothing about the host's disk.
fn public(cause: AuditError) -> ApiError {
    match cause {
        AuditError::Disk { detail } => {
            tracing::warn!("cannot read the audit log: {detail}");
            AuditError::Disk { detail: "the service's log tells more".to_owned() }.into()
        }
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Digest;
    use crate::web::asked::{anonymous, ask, request};
    use crate::web::fakes::edges;

    #[actix_web::test]
    async fn a_verifier_reads_checkpoint_and_tiles_without_a_token() {
        let head = ask(edges(), anonymous("GET /api/v1/audit/checkpoint")).await;
        assert_eq!((head.status, head.header("content-type")), (200, "text/plain; charset=utf-8"));
        assert_eq!(head.text, "dsmil/n1\n3\n\n");
        let mut edges = edges();
        edges.audit.file =
            Port::answering(|GetLogFile { path }| Ok(Ok((path == "tile/0/000.p/3").then(|| vec![7; 96]))));
        let tile = ask(edges.clone(), anonymous("GET /api/v1/audit/tile/0/000.p/3")).await;
        assert_eq!((tile.status, tile.header("content-type"), tile.text.len()), (200, "application/octet-stream", 96));
        for path in ["0/001", "0/../../admin.token", "0/%2e%2e/%2e%2e/admin.token"] {
            assert_eq!(
                ask(edges.clone(), anonymous(&format!("GET /api/v1/audit/tile/{path}"))).await.status,
                404,
                "{path}"
            );
        }
    }

    #[actix_web::test]
    async fn the_disk_is_not_described_to_the_public() {
        let mut edges = edges();
        edges.audit.head =
            Port::answering(|_| Ok(Err(AuditError::Disk { detail: "/secret/place is full".to_owned() })));
        let answer = ask(edges, anonymous("GET /api/v1/audit/checkpoint")).await;
        assert_eq!(answer.status, 503);
        assert!(!answer.text.contains("secret"), "{}", answer.text);
    }

    #[actix_web::test]
    async fn entries_come_in_stretches() {
        let mut edges = edges();
        edges.audit.entries = Port::answering(|LoadEntries { from, to }| {
            let entry = |index| StoredEntry { index, leaf: b"{\"op\":\"x\"}".to_vec(), leaf_hash: Digest([0; 32]) };
            Ok(Ok((from..to.min(5)).map(entry).collect()))
        });
        let asked = |range: &str| request(&format!("GET /api/v1/audit/entries?{range}"));
        let full = ask(edges.clone(), asked("from=1&to=3")).await.json();
        assert_eq!((full["entries"].as_array().map(Vec::len), full["next"].as_u64()), (Some(2), Some(3)));
        assert_eq!(full["entries"][0]["entry"]["op"], "x");
        let short = ask(edges.clone(), asked("from=3&to=9")).await.json();
        assert_eq!((short["entries"].as_array().map(Vec::len), short["next"].as_u64()), (Some(2), None));
        assert_eq!(ask(edges, asked("from=3&to=2")).await.status, 400);
    }

    #[test]
    fn only_tile_paths_reach_the_disk() {
        for path in
            ["tile/0/000", "tile/0/x001/234", "tile/1/000.p/17", "tile/entries/x001/x234/067.p/3", "tile/63/000"]
        {
            assert!(is_tile_path(path), "{path}");
        }
        for path in [
            "tile/",
            "tile/0",
            "tile/0/",
            "tile/0/../../x",
            "tile/0/..",
            "tile//000",
            "tile/entries//0",
            "checkpoint",
            "tile/0/000/etc/passwd",
            "tile/0/%2e%2e/x",
            "tile/entries/.",
            "tile/999/000",
        ] {
            assert!(!is_tile_path(path), "{path}");
        }
    }
}
