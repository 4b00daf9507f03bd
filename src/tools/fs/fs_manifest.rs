//! `fs.manifest`: hash every file of a set of trees, keep the list, compare it with an earlier one.
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::toolkit::cx::{Artifact, Roots, ToolCx};
use crate::toolkit::output::{Output, Reason, Status};
use crate::toolkit::spec::{Tool, ToolSpec};
use crate::tools::evidence::{Reader, Started};
use crate::tools::fs::tree::{Change, Difference, Manifest};
use crate::tools::fs::walk;
use crate::tools::input;
use crate::tools::schema;

/// Longer lists of differences are cut; the counts stay true.
const LISTED: usize = 1_000;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// Absolute paths of files or directories.
    paths: Vec<String>,
    /// Absolute paths that are left out with everything below them.
    #[serde(default)]
    excludes: Vec<String>,
    /// The manifest to compare with: `last` (of this agent), or the id of a manifest artifact (`sha256:...`).
    #[serde(default)]
    baseline_id: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Data {
    /// Number of files, directories and links.
    entries: usize,
    /// Bytes hashed.
    bytes: u64,
    root_hash: String,
    /// Artifact that holds the whole list; pass its id as `baseline_id` to compare with it.
    manifest: Kept,
    /// `absent`, or the id of the manifest compared with.
    baseline: String,
    added: Vec<String>,
    removed: Vec<String>,
    changed: Vec<Change>,
    counts: Counts,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Kept {
    id: String,
    path: String,
    bytes: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Counts {
    added: usize,
    removed: usize,
    changed: usize,
    unreadable: usize,
}

pub struct FsManifest;

impl Tool for FsManifest {
    fn spec(&self) -> ToolSpec {
        let what = "Hashes the files of a set of paths and compares them with a stored baseline";
        schema::read_only::<Input, Data>("fs.manifest", what, "root for full coverage", Duration::from_secs(300))
    }

    fn call(&self, cx: &ToolCx, input: &Value) -> Output {
        input::parse(input).and_then(|input: Input| manifest(cx, &input)).unwrap_or_else(|refusal| *refusal)
    }
}

fn manifest(cx: &ToolCx, input: &Input) -> Result<Output, Box<Output>> {
    let relative =
        input.paths.iter().chain(&input.excludes).find(|path| !path.starts_with('/') || path.contains("/../"));
    if let Some(path) = relative {
        return Err(input::invalid("paths", format!("`{path}` is not an absolute path without `..`")));
    }
    if input.paths.is_empty() {
        return Err(input::invalid("paths", "name at least one path, for example [\"/etc\"]"));
    }
    // Before the walk: a bad baseline should not cost a minute of reading.
    let baseline = baseline(cx, input)?;

    let mut reader = Reader::new(cx);
    let started = Started::now(cx);
    let (present, absent): (Vec<_>, Vec<_>) = input.paths.iter().partition(|path| locate(&cx.roots, path).exists());
    for path in absent {
        reader.gap_because(
            "entries",
            Reason::new("no_facility", path.as_str(), format!("{path} does not exist on this host")),
        );
    }
    let roots: Vec<PathBuf> = present.iter().map(|path| locate(&cx.roots, path)).collect();
    let left_out: Vec<PathBuf> = input.excludes.iter().map(|path| locate(&cx.roots, path)).collect();
    let walked = walk::walk(cx, &roots, move |path| left_out.iter().any(|out| path.starts_with(out)));
    cx.go_on()?;

    let mut now = Manifest { roots: present.into_iter().cloned().collect(), ..Manifest::default() };
    now.entries = walked.leaves.into_iter().map(|(path, leaf)| (name(&cx.roots, &path), leaf)).collect();
    let kept = keep(cx, &now)?;
    let root_hash = now.root_hash();
    reader.push(started.evidence(cx, format!("manifest of {}", now.roots.join(" ")), root_hash, walked.bytes, false));
    if let Some((path, why)) = walked.unread.first() {
        let detail = format!(
            "{} of {} files could not be read, the first is {}: {why}",
            walked.unread.len(),
            now.entries.len(),
            name(&cx.roots, path)
        );
        reader.gap_because("entries", Reason::new("no_privilege", name(&cx.roots, path), detail));
    }

    let found = baseline.as_ref().map(|(_, before)| before.compare(&now)).unwrap_or_default();
    let counts = Counts {
        added: found.added.len(),
        removed: found.removed.len(),
        changed: found.changed.len(),
        unreadable: walked.unread.len(),
    };
    let Difference { mut added, mut removed, mut changed } = found;
    added.truncate(LISTED);
    removed.truncate(LISTED);
    changed.truncate(LISTED);
    Ok(reader.finish(Data {
        entries: now.entries.len(),
        bytes: walked.bytes,
        root_hash: root_hash.to_string(),
        manifest: Kept { id: kept.id, path: kept.path, bytes: kept.bytes },
        baseline: baseline.map_or_else(|| "absent".to_owned(), |(id, _)| id),
        added,
        removed,
        changed,
        counts,
    }))
}

/// The manifest to compare with, and its id. None: none was asked for, or there is no earlier one of the same paths.
fn baseline(cx: &ToolCx, input: &Input) -> Result<Option<(String, Manifest)>, Box<Output>> {
    let id = match input.baseline_id.as_deref() {
        None => return Ok(None),
        Some("last") => {
            let tool = FsManifest.spec().id;
            let last = cx
                .history
                .last_output(&cx.agent, &tool, cx.run)
                .map_err(|error| unavailable(&error.facility, &error.detail))?;
            match last.and_then(|past| past.output.data["manifest"]["id"].as_str().map(str::to_owned)) {
                Some(id) => id,
                None => return Ok(None),
            }
        }
        Some(id) if id.starts_with("sha256:") => id.to_owned(),
        Some(other) => {
            return Err(input::invalid(
                "baseline_id",
                format!("`{other}` is neither `last` nor the id of a manifest (sha256:...)"),
            ));
        }
    };
    let found = cx.artifacts.get(&id).map_err(|error| unavailable(&error.facility, &error.detail))?;
    let asked_by_id = input.baseline_id.as_deref() != Some("last");
    let Some(bytes) = found else {
        return if asked_by_id {
            Err(input::invalid("baseline_id", format!("there is no artifact {id}")))
        } else {
            Ok(None)
        };
    };
    let before: Manifest = serde_json::from_slice(&bytes)
        .map_err(|error| input::invalid("baseline_id", format!("the artifact {id} is not a manifest: {error}")))?;
    // Other trees would only show as thousands of additions and removals.
    Ok((asked_by_id || before.roots == input.paths).then_some((id, before)))
}

fn keep(cx: &ToolCx, manifest: &Manifest) -> Result<Artifact, Box<Output>> {
    let bytes = serde_json::to_vec(manifest).map_err(|error| unavailable("artifact store", &error.to_string()))?;
    cx.artifacts.put(&bytes, "manifest.json").map_err(|error| unavailable(&error.facility, &error.detail))
}

fn unavailable(facility: &str, detail: &str) -> Box<Output> {
    Box::new(Output::without_data(Status::Unavailable, Reason::new("no_facility", facility, detail)))
}

/// Where an absolute path of the host is found under the configured roots.
fn locate(roots: &Roots, path: &str) -> PathBuf {
    let below = |prefix: &str| path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    for (prefix, root) in
        [("/etc", &roots.etc), ("/var", &roots.var), ("/proc", &roots.proc), ("/sys", &roots.sys), ("/dev", &roots.dev)]
    {
        if let Some(rest) = below(prefix) {
            return root.join(rest.trim_start_matches('/'));
        }
    }
    roots.root.join(path.trim_start_matches('/'))
}

/// The other way round: the name of a file on the host.
fn name(roots: &Roots, path: &Path) -> String {
    for (prefix, root) in [
        ("/etc", &roots.etc),
        ("/var", &roots.var),
        ("/proc", &roots.proc),
        ("/sys", &roots.sys),
        ("/dev", &roots.dev),
        ("", &roots.root),
    ] {
        if let Ok(rest) = path.strip_prefix(root) {
            let rest = rest.to_string_lossy();
            return if rest.is_empty() { prefix.to_owned() } else { format!("{prefix}/{rest}") };
        }
    }
    path.display().to_string()
}
