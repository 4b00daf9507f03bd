//! `storage.map`: mounts with their use, block devices with their stack, the largest directories.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ignore::WalkBuilder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::toolkit::cx::ToolCx;
use crate::toolkit::output::{Output, Reason};
use crate::toolkit::spec::{Tool, ToolSpec};
use crate::tools::bundle::Bundle;
use crate::tools::evidence::{Reader, Started, Unread, sha256};
use crate::tools::input;
use crate::tools::schema;
use crate::tools::storage::mountinfo::{self, Mount};

/// A server that does not answer would block a look at these for minutes.
const REMOTE: [&str; 7] = ["nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "9p"];

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// Directories whose largest children are looked for; none, if left out.
    #[serde(default)]
    paths: Vec<String>,
    /// How many of them, 1 to 100.
    #[serde(default = "ten")]
    top_n: usize,
}

fn ten() -> usize {
    10
}

#[derive(Debug, Serialize, JsonSchema)]
struct Data {
    mounts: Vec<MountUse>,
    blocks: Vec<Block>,
    /// LUKS headers; empty with a gap where raw devices may not be read.
    luks: Vec<Luks>,
    top_dirs: Vec<Dir>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct MountUse {
    path: String,
    source: String,
    fs: String,
    opts: Vec<String>,
    /// Null for file systems without blocks of their own and for remote ones.
    used: Option<Use>,
    inodes: Option<Use>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Use {
    /// Bytes, or number of inodes.
    total: u64,
    used: u64,
    /// Of what an ordinary user could use.
    used_pct: f64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Block {
    name: String,
    bytes: Option<u64>,
    rotational: Option<bool>,
    model: Option<String>,
    sched: Option<String>,
    /// Devices that this one is made of.
    stack: Vec<String>,
    partitions: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Luks {
    device: String,
    version: u16,
    cipher: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Dir {
    path: String,
    bytes: u64,
}

pub struct StorageMap;

impl Tool for StorageMap {
    fn spec(&self) -> ToolSpec {
        let what = "Mounts with options and usage, the block device stack, LUKS headers, largest directories";
        schema::read_only::<Input, Data>(
            "storage.map",
            what,
            "none; raw header read needs root",
            Duration::from_secs(120),
        )
    }

    fn call(&self, cx: &ToolCx, input: &Value) -> Output {
        input::parse(input).and_then(|input: Input| map(cx, &input)).unwrap_or_else(|refusal| *refusal)
    }
}

fn map(cx: &ToolCx, input: &Input) -> Result<Output, Box<Output>> {
    if !(1..=100).contains(&input.top_n) {
        return Err(input::invalid("top_n", format!("{} is not between 1 and 100", input.top_n)));
    }
    if let Some(path) = input.paths.iter().find(|path| !path.starts_with('/')) {
        return Err(input::invalid("paths", format!("`{path}` is not an absolute path")));
    }
    let mut reader = Reader::new(cx);
    let table = reader.proc("self/mountinfo");
    let listed = reader.text(&table).map(|text| mountinfo::parse(&text));
    let (mounts, odd) = reader.or_gap("mounts", listed).unwrap_or_default();
    if odd > 0 {
        let why = format!("{odd} lines have another form than proc_pid_mountinfo(5)");
        reader.gap("mounts", &Unread::Malformed { what: table.display().to_string(), why });
    }
    let mounts = usage(&mut reader, mounts);
    cx.go_on()?;
    let blocks = blocks(&mut reader);
    let why = cx.no_broker.as_deref().unwrap_or("this release reads no raw devices");
    reader.gap_because(
        "luks",
        Reason::new("no_privilege", "raw block devices", format!("headers of raw devices were not read: {why}")),
    );
    let top_dirs = top_dirs(&mut reader, &input.paths, input.top_n)?;
    Ok(reader.finish(Data { mounts, blocks, luks: Vec::new(), top_dirs }))
}

fn usage(reader: &mut Reader<'_>, mounts: Vec<Mount>) -> Vec<MountUse> {
    let started = Started::now(reader.cx);
    let mut answers = String::new();
    let mut listed = Vec::with_capacity(mounts.len());
    for mount in mounts {
        let remote = REMOTE.contains(&mount.fs.as_str()) || mount.fs.starts_with("fuse.");
        let place = reader.cx.roots.root.join(mount.path.trim_start_matches('/'));
        let answer = if remote { None } else { rustix::fs::statvfs(&place).ok().filter(|answer| answer.f_blocks > 0) };
        let (mut used, mut inodes) = (None, None);
        if let Some(answer) = answer {
            let block = answer.f_frsize;
            used = share(answer.f_blocks * block, (answer.f_blocks - answer.f_bfree) * block, answer.f_bavail * block);
            inodes = share(answer.f_files, answer.f_files.saturating_sub(answer.f_ffree), answer.f_favail);
            answers.push_str(&format!(
                "{}\0{} {} {} {} {}\n",
                mount.path, answer.f_blocks, answer.f_bfree, answer.f_bavail, answer.f_files, answer.f_ffree
            ));
        }
        listed.push(MountUse { path: mount.path, source: mount.source, fs: mount.fs, opts: mount.opts, used, inodes });
    }
    if !answers.is_empty() {
        let evidence = started.evidence(
            reader.cx,
            "statvfs(2) of each mount".to_owned(),
            sha256(answers.as_bytes()),
            answers.len() as u64,
            false,
        );
        reader.push(evidence);
    }
    listed
}

/// As df(1) does it: what root keeps in reserve counts as neither used nor free.
fn share(total: u64, used: u64, available: u64) -> Option<Use> {
    let usable = used + available;
    (usable > 0).then(|| Use { total, used, used_pct: (used as f64 / usable as f64 * 1000.0).round() / 10.0 })
}

fn blocks(reader: &mut Reader<'_>) -> Vec<Block> {
    let root = reader.sys("block");
    let mut bundle = Bundle::new(reader.cx, root.display().to_string());
    let devices = match bundle.list(&root) {
        Ok(devices) => devices,
        Err(unread) => {
            reader.gap("blocks", &unread);
            return Vec::new();
        }
    };
    let mut blocks = Vec::new();
    for device in devices {
        // An attribute that a driver does not offer is null: the kernel leaves out the file.
        let mut attribute = |name: &str| bundle.trimmed(&device.path.join(name)).ok().filter(|text| !text.is_empty());
        let bytes = attribute("size").and_then(|text| text.parse::<u64>().ok()).map(|sectors| sectors * 512);
        let rotational = attribute("queue/rotational").map(|text| text == "1");
        let model = attribute("device/model");
        let sched = attribute("queue/scheduler").and_then(|text| active(&text));
        let stack = bundle
            .list(&device.path.join("slaves"))
            .map(|below| below.into_iter().map(|entry| entry.name).collect())
            .unwrap_or_default();
        let inside = bundle.list(&device.path).unwrap_or_default();
        let partitions =
            inside.into_iter().map(|entry| entry.name).filter(|name| name.starts_with(&device.name)).collect();
        // Loop and RAM devices without a size are not in use.
        if bytes.is_some_and(|bytes| bytes > 0) {
            blocks.push(Block { name: device.name.clone(), bytes, rotational, model, sched, stack, partitions });
        }
    }
    if let Some(evidence) = bundle.into_evidence(reader.cx) {
        reader.push(evidence);
    }
    blocks
}

/// The scheduler in brackets: `none [mq-deadline] kyber`.
fn active(text: &str) -> Option<String> {
    let inside = text.split_once('[')?.1.split_once(']')?.0;
    Some(inside.to_owned())
}

fn top_dirs(reader: &mut Reader<'_>, paths: &[String], top_n: usize) -> Result<Vec<Dir>, Box<Output>> {
    let mut sizes: BTreeMap<PathBuf, u64> = BTreeMap::new();
    let started = Started::now(reader.cx);
    let mut bytes = 0;
    for path in paths {
        let root = reader.cx.roots.root.join(path.trim_start_matches('/'));
        let walk = WalkBuilder::new(&root).standard_filters(false).follow_links(false).same_file_system(true).build();
        for entry in walk.flatten() {
            reader.cx.go_on()?;
            // What vanishes between the listing and the look takes no space any more.
            let Ok(meta) = entry.metadata() else { continue };
            if !meta.is_file() {
                continue;
            }
            bytes += meta.len();
            if let Some(child) = entry.path().strip_prefix(&root).ok().and_then(|below| below.components().next()) {
                *sizes.entry(root.join(child)).or_default() += meta.len();
            }
        }
    }
    let mut largest: Vec<_> =
        sizes.into_iter().map(|(path, bytes)| Dir { path: path.display().to_string(), bytes }).collect();
    largest.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.path.cmp(&b.path)));
    largest.truncate(top_n);
    if !paths.is_empty() {
        let told: String = largest.iter().map(|dir| format!("{}\0{}\n", dir.path, dir.bytes)).collect();
        let evidence = started.evidence(
            reader.cx,
            format!("sizes of files below {}", paths.join(" ")),
            sha256(told.as_bytes()),
            bytes,
            false,
        );
        reader.push(evidence);
    }
    Ok(largest)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;
    use crate::toolkit::output::Status;
    use crate::tools::fixture_cx::FixtureCx;

    #[test]
    fn a_small_host_is_mapped() {
        let dir = tempfile::tempdir().expect("temp dir");
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().expect("parent")).expect("mkdir");
            fs::write(path, text).expect("write");
        };
        write(
            "proc/self/mountinfo",
            "1 0 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n2 1 0:9 / /nfs rw - nfs4 srv:/x rw\n",
        );
        write("sys/block/sda/size", "2048\n");
        write("sys/block/sda/queue/rotational", "0\n");
        write("sys/block/sda/queue/scheduler", "none [mq-deadline]\n");
        write("sys/block/sda/sda1/partition", "1\n");
        write("sys/block/loop0/size", "0\n");
        write("var/big/file", &"x".repeat(100));
        write("var/small/file", "x");
        let output = StorageMap.call(&FixtureCx::at(dir.path()), &json!({"paths": ["/var"], "top_n": 1}));
        assert_eq!(output.status, Status::Degraded, "raw devices are never read: {output:?}");
        let data = &output.data;
        assert_eq!(data["mounts"][0]["fs"], "ext4");
        assert!(data["mounts"][0]["used"]["used_pct"].is_number(), "{data:#}");
        assert_eq!(data["mounts"][1]["used"], Value::Null, "a remote file system is not asked");
        let expected = json!([{ "name": "sda", "bytes": 1_048_576, "rotational": false, "model": null, "sched": "mq-deadline", "stack": [], "partitions": ["sda1"] }]);
        assert_eq!(data["blocks"], expected);
        assert_eq!(data["top_dirs"][0]["bytes"], 100);
    }

    #[test]
    fn bad_input_is_named() {
        for (input, key) in
            [(json!({"top_n": 0}), "top_n"), (json!({"paths": ["var"]}), "paths"), (json!({"path": []}), "path")]
        {
            let reason = StorageMap.call(&FixtureCx::empty(), &input).reason.expect("reason");
            assert_eq!((reason.code.as_str(), reason.facility.as_str()), ("invalid_input", key));
        }
    }

    #[test]
    fn what_root_keeps_in_reserve_is_neither_used_nor_free() {
        let used = share(100, 45, 45).expect("usable");
        assert!((used.used_pct - 50.0).abs() < f64::EPSILON);
        assert!(share(0, 0, 0).is_none());
    }
}
