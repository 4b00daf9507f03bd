//! `fs.write` against real files: what a test needs to plan, apply, undo and settle, and to compare whole trees.
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::toolkit::change::{Change, Planned, Settled};
use crate::toolkit::cx::ToolCx;
use crate::toolkit::output::{Output, Status};
use crate::tools::fixture_cx::FixtureCx;
use crate::tools::fs::fs_write::FsWrite;

mod any_order;
mod crashes;
mod races;
mod table;

/// A host with a scratch root.
pub struct Host {
    pub cx: ToolCx,
    pub _temp: tempfile::TempDir,
}

/// Everything that an undo must bring back: by path, mode, owner, attributes and content (none: a directory).
pub type Tree = BTreeMap<PathBuf, (u32, u32, u32, BTreeMap<String, Vec<u8>>, Option<Vec<u8>>)>;

impl Host {
    pub fn new() -> Self {
        let temp = tempfile::tempdir().expect("a temp dir");
        let cx = FixtureCx::at(temp.path());
        fs::create_dir(&cx.writes.scratch).expect("a scratch root");
        Host { cx, _temp: temp }
    }

    pub fn at(&self, below: &str) -> PathBuf {
        self.cx.writes.scratch.join(below)
    }

    /// Writes as anybody else would, not through the tool.
    pub fn put(&self, below: &str, content: &str, mode: u32) -> PathBuf {
        let path = self.at(below);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(&path, content).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mode set");
        path
    }

    pub fn plan(&self, input: &Value) -> Result<Planned, Box<Output>> {
        FsWrite.plan(&self.cx, input)
    }

    /// A plan that must be made, as the engine would keep it.
    pub fn planned(&self, input: Value) -> Value {
        self.plan(&input).unwrap_or_else(|refusal| panic!("{input}: {refusal:?}")).plan
    }

    pub fn apply(&self, plan: &Value) -> Output {
        FsWrite.apply(&self.cx, plan)
    }

    pub fn undo(&self, plan: &Value) -> Output {
        FsWrite.undo(&self.cx, plan)
    }

    pub fn settle(&self, plan: &Value) -> Settled {
        Settled::from_output(&FsWrite.settle(&self.cx, plan)).expect("a verdict")
    }

    pub fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        grow(&self.cx.writes.scratch, &mut tree);
        tree
    }
}

fn grow(path: &Path, tree: &mut Tree) {
    let meta = fs::symlink_metadata(path).expect("metadata");
    let content = meta.is_file().then(|| fs::read(path).expect("readable"));
    tree.insert(path.to_owned(), (meta.mode(), meta.uid(), meta.gid(), xattrs(path), content));
    if meta.is_dir() {
        for entry in fs::read_dir(path).expect("a directory") {
            grow(&entry.expect("an entry").path(), tree);
        }
    }
}

fn xattrs(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = vec![0_u8; 4096];
    let length = rustix::fs::llistxattr(path, names.as_mut_slice()).unwrap_or(0);
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let name = String::from_utf8(name.to_vec()).expect("UTF-8");
        let mut value = vec![0_u8; 4096];
        let length = rustix::fs::lgetxattr(path, name.as_str(), value.as_mut_slice()).expect("an attribute");
        value.truncate(length);
        (name, value)
    };
    names.map(value).collect()
}

pub fn ok(output: &Output) -> &Value {
    assert_eq!(output.status, Status::Ok, "{output:?}");
    assert!(!output.evidence.is_empty(), "success needs evidence");
    &output.data
}

/// The status and the reason code of a refusal.
pub fn refused(output: &Output) -> (Status, &str) {
    let reason = output.reason.as_ref().unwrap_or_else(|| panic!("not refused: {output:?}"));
    (output.status, reason.code.as_str())
}

pub fn input(path: &str, content: &str) -> Value {
    json!({"path": path, "content": content})
}
