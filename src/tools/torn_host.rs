//! Tests only: no tool panics or breaks its envelope when any file of a host holds any bytes.
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::Value;

use crate::toolkit::output::Status;
use crate::tools::ALL;
use crate::tools::fixture_cx::FixtureCx;

/// Copies a tree, links as links, and gives the files of the copy.
fn copy(from: &Path, to: &Path, files: &mut Vec<PathBuf>) {
    std::fs::create_dir_all(to).expect("mkdir");
    let mut entries: Vec<_> = std::fs::read_dir(from).expect("a fixture").map(|e| e.expect("an entry")).collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let target = to.join(entry.file_name());
        let kind = entry.file_type().expect("a type");
        if kind.is_symlink() {
            symlink(std::fs::read_link(entry.path()).expect("a link"), &target).expect("linked");
        } else if kind.is_dir() {
            copy(&entry.path(), &target, files);
        } else {
            std::fs::copy(entry.path(), &target).expect("copied");
            files.push(target);
        }
    }
}

fn check(tree: &Path) {
    for tool in ALL {
        let spec = tool.spec();
        let output = tool.call(&FixtureCx::at(tree), &Value::Null).checked(spec.needs_evidence);
        assert!(output.status == Status::Ok || output.reason.is_some(), "{}: {output:?}", spec.id);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_in_any_files_are_survived(
        torn in proptest::collection::vec((any::<prop::sample::Index>(), proptest::collection::vec(any::<u8>(), 0..200)), 1..12),
        flip in any::<prop::sample::Index>(),
    ) {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/latitude");
        let dir = tempfile::tempdir().expect("a temp dir");
        let mut files = Vec::new();
        copy(&fixture, dir.path(), &mut files);
        for (file, bytes) in &torn {
            std::fs::write(file.get(&files), bytes).expect("write");
        }
        // a single changed byte gets deeper into a parser than noise does
        for file in files.iter().skip(flip.index(7)).step_by(7) {
            let mut bytes = std::fs::read(file).expect("readable");
            if !bytes.is_empty() {
                let at = flip.index(bytes.len());
                bytes[at] ^= 0x11;
                std::fs::write(file, bytes).expect("write");
            }
        }
        check(dir.path());
    }
}

#[test]
fn a_host_whose_files_are_all_empty_is_survived() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/latitude");
    let dir = tempfile::tempdir().expect("a temp dir");
    let mut files = Vec::new();
    copy(&fixture, dir.path(), &mut files);
    for file in &files {
        std::fs::write(file, b"").expect("write");
    }
    check(dir.path());
}
