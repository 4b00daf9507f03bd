//! What is written, what is put back, and what is refused.
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::process::Command;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::XattrFlags;
use serde_json::{Value, json};

use crate::toolkit::change::Settled;
use crate::toolkit::cx::{Artifact, Artifacts, NotAvailable, ToolCx, Writes};
use crate::toolkit::output::Status;
use crate::toolkit::spec::Tool;
use crate::tools::evidence::sha256;
use crate::tools::fs::fs_write::FsWrite;
use crate::tools::fs::state::LARGEST;
use crate::tools::fs::undo_store::UndoStore;
use crate::tools::fs::write_tests::{Host, input, ok, refused};

#[test]
fn a_new_file_is_made_with_its_directories_and_taken_away_again() {
    let host = Host::new();
    let before = host.tree();
    let plan = host.plan(&input("a/b/new.conf", "hello")).expect("a plan");
    assert_eq!(host.tree(), before, "a plan changes nothing");
    assert!(plan.summary.starts_with("make ") && plan.summary.contains("a/b/new.conf (5 bytes"), "{}", plan.summary);
    assert_eq!(plan.evidence.len(), 1);
    assert_eq!(host.settle(&plan.plan), Settled::NotApplied);

    let applied = host.apply(&plan.plan);
    let data = ok(&applied);
    assert_eq!((&data["before_sha256"], &data["backup_id"]), (&json!("absent"), &Value::Null));
    assert_eq!(data["after_sha256"], json!(sha256(b"hello")));
    assert_eq!(applied.evidence[0].sha256, sha256(b"hello"));
    let path = host.at("a/b/new.conf");
    assert_eq!(fs::read_to_string(&path).expect("written"), "hello");
    assert_eq!(fs::metadata(&path).expect("metadata").mode() & 0o7777, 0o600);
    assert_eq!(host.settle(&plan.plan), Settled::Applied { data: data.clone() });

    let undone = host.undo(&plan.plan);
    assert_eq!(ok(&undone)["already"], json!(false));
    assert_eq!(host.tree(), before);
    assert_eq!(ok(&host.undo(&plan.plan))["already"], json!(true), "to undo twice is no fault");
    assert_eq!((host.tree(), host.settle(&plan.plan)), (before, Settled::NotApplied));
}

#[test]
fn a_replaced_file_comes_back_with_mode_owner_and_attributes() {
    let host = Host::new();
    let path = host.put("app.conf", "old", 0o640);
    rustix::fs::setxattr(&path, "user.origin", b"package", XattrFlags::empty()).expect("attributes");
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(12_345), Some(23_456)).expect("chown");
    }
    let (before, old) = (host.tree(), fs::metadata(&path).expect("metadata"));
    let plan = host.planned(json!({"path": path, "content": "new", "mode": "0444"}));
    let data = ok(&host.apply(&plan)).clone();
    assert_eq!(data["before_sha256"], json!(sha256(b"old")));
    assert_eq!(data["backup_id"], json!(format!("sha256:{}", sha256(b"old"))));
    assert_eq!(data["mode"], json!("0444"));
    let new = fs::metadata(&path).expect("metadata");
    assert_eq!(fs::read_to_string(&path).expect("read"), "new");
    assert_eq!((new.mode() & 0o7777, new.uid(), new.gid()), (0o444, old.uid(), old.gid()));
    let mut origin = [0; 16];
    assert_eq!(rustix::fs::getxattr(&path, "user.origin", &mut origin[..]), Ok(7), "attributes are kept");
    assert_eq!(host.tree().len(), before.len(), "no litter");
    let kept = UndoStore::new(&host.cx.writes.undo).get(&sha256(b"old")).expect("the backup");
    assert_eq!(kept, b"old");

    ok(&host.undo(&plan));
    assert_eq!(host.tree(), before);
    let back = fs::metadata(&path).expect("metadata");
    assert_eq!((back.mtime(), back.mtime_nsec()), (old.mtime(), old.mtime_nsec()));
    ok(&host.undo(&plan));
    assert_eq!(host.tree(), before);
}

#[test]
fn the_access_control_list_of_a_file_comes_back() {
    let host = Host::new();
    let path = host.put("acl", "old", 0o640);
    // Version 2; user::rw-, user:4242:r--, group::r--, mask::r--, other::---.
    let entries: [(u16, u16, u32); 5] =
        [(1, 6, u32::MAX), (2, 4, 4242), (4, 4, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)];
    let mut acl = 2_u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        acl.extend(tag.to_le_bytes().iter().chain(&rights.to_le_bytes()).chain(&id.to_le_bytes()));
    }
    if rustix::fs::setxattr(&path, "system.posix_acl_access", &acl, XattrFlags::empty()).is_err() {
        eprintln!("not tested: the file system of {} has no access control lists", path.display());
        return;
    }
    let before = host.tree();
    let plan = host.planned(json!({"path": "acl", "content": "new", "mode": "0600"}));
    ok(&host.apply(&plan));
    assert!(matches!(host.settle(&plan), Settled::Applied { .. }));
    ok(&host.undo(&plan));
    assert_eq!(host.tree(), before);
}

#[test]
fn a_file_that_is_as_wanted_is_left_alone() {
    let host = Host::new();
    let path = host.put("same", "text", 0o644);
    let inode = fs::metadata(&path).expect("metadata").ino();
    let plan = host.plan(&input("same", "text")).expect("a plan");
    assert!(plan.summary.starts_with("leave "), "{}", plan.summary);
    ok(&host.apply(&plan.plan));
    ok(&host.undo(&plan.plan));
    assert_eq!(fs::metadata(&path).expect("metadata").ino(), inode);
}

#[test]
fn what_was_expected_and_is_not_so_is_changed_since() {
    let host = Host::new();
    let path = host.put("f", "old", 0o600);
    let digest = |text: &str| sha256(text.as_bytes()).to_string();
    let planned = |expect: &str, path: &str| {
        let input = json!({"path": path, "content": "new", "expect_sha256": expect});
        host.plan(&input).map_err(|output| refused(&output).1.to_owned()).map(|_| ())
    };
    let changed = Err("changed_since".to_owned());
    assert_eq!(planned(&digest("old"), "f"), Ok(()));
    assert_eq!(planned(&digest("old").to_uppercase(), "f"), Ok(()));
    assert_eq!(planned("absent", "g"), Ok(()));
    assert_eq!(planned("absent", "f"), changed);
    assert_eq!(planned(&digest("other"), "f"), changed);
    assert_eq!(planned(&digest("old"), "g"), changed);

    // After the plan, before it is applied; and after that, before it is undone.
    let (replace, make) = (host.planned(input("f", "new")), host.planned(input("g", "new")));
    fs::write(&path, "theirs").expect("written");
    host.put("g", "theirs", 0o600);
    let theirs = host.tree();
    for plan in [&replace, &make] {
        assert_eq!(refused(&host.apply(plan)), (Status::Failed, "changed_since"));
        assert_eq!(refused(&host.undo(plan)), (Status::Failed, "changed_since"));
        assert!(matches!(host.settle(plan), Settled::Neither { .. }));
    }
    assert_eq!(host.tree(), theirs);
    let plan = host.planned(input("f", "new"));
    ok(&host.apply(&plan));
    for change in ["content", "mode", "removal"] {
        match change {
            "content" => fs::write(&path, "others").expect("written"),
            "mode" => drop(host.put("f", "new", 0o666)),
            _ => fs::remove_file(&path).expect("removed"),
        }
        let theirs = host.tree();
        assert_eq!(refused(&host.undo(&plan)), (Status::Failed, "changed_since"), "{change}");
        assert_eq!(host.tree(), theirs, "{change}");
    }
}

#[test]
fn a_directory_that_somebody_else_uses_stays() {
    let host = Host::new();
    let plan = host.planned(input("d/e/f", "x"));
    ok(&host.apply(&plan));
    host.put("d/theirs", "y", 0o600);
    ok(&host.undo(&plan));
    assert!(host.at("d/theirs").exists() && !host.at("d/e").exists());

    let gone = host.planned(input("d/f", "x"));
    fs::remove_dir_all(host.at("d")).expect("removed");
    assert_eq!(refused(&host.apply(&gone)), (Status::Failed, "changed_since"));
}

#[test]
fn only_plain_files_below_the_root_are_written() {
    let host = Host::new();
    let outside = tempfile::tempdir().expect("a temp dir");
    fs::write(outside.path().join("victim"), "precious").expect("written");
    host.put("plain", "x", 0o600);
    fs::create_dir(host.at("dir")).expect("a directory");
    symlink(outside.path().join("victim"), host.at("link")).expect("a link");
    symlink("nowhere", host.at("dangling")).expect("a link");
    symlink(outside.path(), host.at("linked-dir")).expect("a link");
    symlink("dir", host.at("inner-link")).expect("a link");
    host.put("two-names", "x", 0o600);
    fs::hard_link(host.at("two-names"), host.at("second")).expect("a hard link");
    nix::unistd::mkfifo(&host.at("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    let _socket = std::os::unix::net::UnixListener::bind(host.at("socket")).expect("a socket");
    host.put("setuid", "x", 0o4755);
    let before = host.tree();
    for (path, code) in [
        ("link", "not_a_plain_file"),
        ("dangling", "not_a_plain_file"),
        ("dir", "not_a_plain_file"),
        ("two-names", "not_a_plain_file"),
        ("pipe", "not_a_plain_file"),
        ("socket", "not_a_plain_file"),
        ("setuid", "not_a_plain_file"),
        ("plain/below", "not_a_plain_file"),
        ("linked-dir/victim", "outside_root"),
        ("inner-link/f", "outside_root"),
        ("../victim", "outside_root"),
        ("dir/../../victim", "outside_root"),
        ("/etc/passwd", "outside_root"),
    ] {
        let output = host.plan(&input(path, "mine")).expect_err(path);
        assert_eq!(refused(&output), (Status::Denied, code), "{path}");
        let detail = &output.reason.as_ref().expect("a reason").detail;
        let root = host.cx.writes.scratch.display().to_string();
        assert!(detail.contains(&root), "{detail}");
    }
    assert_eq!(host.tree(), before);
    assert_eq!(fs::read_to_string(outside.path().join("victim")).expect("read"), "precious");
}

#[test]
fn bad_input_is_named() {
    let host = Host::new();
    let large = "x".repeat(LARGEST + 1);
    for (input, key) in [
        (json!({"content": "x"}), "path"),
        (json!({"path": "f"}), "content"),
        (json!({"path": "f", "content": "x", "content_base64": "eA=="}), "content"),
        (json!({"path": "f", "content": large}), "content"),
        (json!({"path": "f", "content_base64": "!"}), "content_base64"),
        (json!({"path": "f", "content": "x", "mode": "rw"}), "mode"),
        (json!({"path": "f", "content": "x", "mode": "4755"}), "mode"),
        (json!({"path": "f", "content": "x", "mode": "+644"}), "mode"),
        (json!({"path": "f", "content": "x", "expect_sha256": "none"}), "expect_sha256"),
        (json!({"path": "f", "content": "x", "pth": "f"}), "pth"),
    ] {
        let output = host.plan(&input).expect_err(key);
        assert_eq!(refused(&output), (Status::Failed, "invalid_input"));
        assert_eq!(output.reason.expect("a reason").facility, key);
    }
    for plan in [json!({}), json!("x"), json!({"path": "../x"})] {
        assert_eq!(refused(&host.apply(&plan)), (Status::Failed, "invalid_plan"));
        assert_eq!(refused(&host.undo(&plan)), (Status::Failed, "invalid_plan"));
    }
    let output = FsWrite.call(&host.cx, &input("f", "x"));
    assert_eq!(refused(&output), (Status::Failed, "needs_a_plan"));
    assert!(!host.at("f").exists());
}

/// One artifact.
struct One(Vec<u8>);

impl Artifacts for One {
    fn put(&self, _: &[u8], _: &str) -> Result<Artifact, NotAvailable> {
        Err(NotAvailable { facility: "artifact store".to_owned(), detail: "read only".to_owned() })
    }
    fn get(&self, id: &str) -> Result<Option<Vec<u8>>, NotAvailable> {
        Ok((id == format!("sha256:{}", sha256(&self.0))).then(|| self.0.clone()))
    }
}

#[test]
fn content_comes_as_text_in_base64_or_from_an_artifact() {
    let mut host = Host::new();
    let bytes = vec![0, 255, 10];
    host.cx = ToolCx { artifacts: Arc::new(One(bytes.clone())), ..host.cx };
    let id = format!("sha256:{}", sha256(&bytes));
    for (name, input) in [
        ("a", json!({"path": "a", "content_base64": STANDARD.encode(&bytes)})),
        ("b", json!({"path": "b", "content_ref": id})),
    ] {
        let plan = host.planned(input);
        ok(&host.apply(&plan));
        assert_eq!(fs::read(host.at(name)).expect("read"), bytes);
        assert!(plan.to_string().len() < 1_000, "the plan holds no content");
    }
    let none = host.plan(&json!({"path": "c", "content_ref": "sha256:00"})).expect_err("no artifact");
    assert_eq!(none.reason.expect("a reason").facility, "content_ref");
}

#[test]
fn a_plan_of_another_root_is_refused() {
    let mut host = Host::new();
    let plan = host.planned(input("f", "x"));
    ok(&host.apply(&plan));
    let scratch = host.at("elsewhere");
    host.cx = ToolCx { writes: Arc::new(Writes { scratch, undo: host.cx.writes.undo.clone() }), ..host.cx };
    assert_eq!(refused(&host.undo(&plan)), (Status::Denied, "outside_root"));
    assert_eq!(refused(&host.apply(&plan)), (Status::Denied, "outside_root"));
}

#[test]
fn a_root_that_is_missing_is_made_for_its_owner_only() {
    let host = Host::new();
    fs::remove_dir(&host.cx.writes.scratch).expect("removed");
    ok(&host.apply(&host.planned(input("f", "x"))));
    assert_eq!(fs::metadata(&host.cx.writes.scratch).expect("made").mode() & 0o7777, 0o700);
}

#[test]
fn a_full_and_a_read_only_file_system_leave_all_as_it_was() {
    let host = Host::new();
    if !rustix::process::geteuid().is_root() {
        eprintln!("not tested: only root can mount a small file system");
        return;
    }
    let root = host.cx.writes.scratch.clone();
    let mount = |options: &str| {
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&root).status();
        status.is_ok_and(|status| status.success())
    };
    if !mount("size=64k,mode=0700") {
        eprintln!("not tested: no file system may be mounted here");
        return;
    }
    host.put("f", "old", 0o640);
    let before = host.tree();
    let full = [host.planned(input("f", &"x".repeat(100_000))), host.planned(input("d/g", &"x".repeat(100_000)))];
    let full: Vec<_> = full.iter().map(|plan| (host.apply(plan), host.undo(plan))).collect();
    let after_full = host.tree();
    let plan = host.planned(input("f", "new"));
    let remounted = mount("remount,ro,size=64k");
    let read_only = (host.apply(&plan), host.plan(&input("g", "new")));
    assert!(Command::new("umount").arg(&root).status().expect("umount").success());

    for (applied, undone) in full {
        assert_eq!(refused(&applied), (Status::Failed, "io"));
        assert!(applied.reason.expect("a reason").detail.contains("No space"), "named");
        ok(&undone);
    }
    assert_eq!(after_full, before);
    assert!(remounted);
    assert_eq!(refused(&read_only.0), (Status::Denied, "no_privilege"));
    assert_eq!(refused(&read_only.1.expect_err("read only")), (Status::Denied, "no_privilege"));
}
