//! The tree in which tools may write files: everything in it is reached from its root, never through a link.
use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::tools::fs::refused::Refused;
use crate::tools::fs::spot;

const DEEPEST: usize = 32;
const LONGEST_NAME: usize = 255;

/// The open root, and one name in it.
pub struct Ground {
    root: PathBuf,
    fd: OwnedFd,
    /// From the root: directories, then the name.
    parents: Vec<String>,
    name: String,
}

impl Ground {
    /// Opens the root, which is made for its owner only when it is missing. `path` is below it, or relative to it.
    pub fn open(root: &Path, path: &str) -> Result<Self, Refused> {
        let (parents, name) = parse(root, path)?;
        match DirBuilder::new().mode(0o700).create(root) {
            Ok(()) => sync_parent(root).map_err(|error| Refused::io(root, "made", error))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Refused::io(root, "made", error)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(root, flags, Mode::empty()).map_err(|errno| Refused::io(root, "opened", errno))?;
        Ok(Ground { root: root.to_owned(), fd, parents, name })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// From the root.
    pub fn path(&self) -> String {
        if self.parents.is_empty() { self.name.clone() } else { format!("{}/{}", self.parents.join("/"), self.name) }
    }

    pub fn full(&self) -> PathBuf {
        self.root.join(self.path())
    }

    /// The directory of the name; none: it is missing.
    pub fn parent(&self) -> Result<Option<OwnedFd>, Refused> {
        self.dir(&self.parents)
    }

    /// The directories on the way to the name that are missing, from the root down.
    pub fn missing(&self) -> Result<Vec<String>, Refused> {
        for depth in 1..=self.parents.len() {
            if self.dir(&self.parents[..depth])?.is_none() {
                return Ok((depth..=self.parents.len()).map(|end| self.parents[..end].join("/")).collect());
            }
        }
        Ok(Vec::new())
    }

    /// Makes directories, each given from the root and after those it is in. `made` gets those that were missing.
    pub fn make_dirs(&self, dirs: &[String], made: &mut Vec<String>) -> Result<(), Refused> {
        for dir in dirs {
            let (above, name, path) = self.within(dir)?;
            let Some(above) = above else { return Err(Refused::changed(&path, "the directory it is in is gone")) };
            match rustix::fs::mkdirat(&above, name, Mode::RWXU) {
                Ok(()) => made.push(dir.clone()),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(Refused::io(&path, "made", errno)),
            }
            rustix::fs::fsync(&above).map_err(|errno| Refused::io(&path, "made", errno))?;
        }
        Ok(())
    }

    /// Removes those of the directories that are empty.
    pub fn remove_dirs(&self, dirs: &[String]) -> Result<(), Refused> {
        for dir in dirs.iter().rev() {
            let (above, name, path) = self.within(dir)?;
            let Some(above) = above else { continue };
            match rustix::fs::unlinkat(&above, name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => {}
                // Somebody else needs it, and so all above it.
                Err(Errno::NOTEMPTY | Errno::EXIST) => return Ok(()),
                Err(errno) => return Err(Refused::io(&path, "removed", errno)),
            }
            rustix::fs::fsync(&above).map_err(|errno| Refused::io(&path, "removed", errno))?;
        }
        Ok(())
    }

    fn within<'a>(&self, dir: &'a str) -> Result<(Option<OwnedFd>, &'a str, PathBuf), Refused> {
        let (above, name) = dir.rsplit_once('/').unwrap_or(("", dir));
        let above: Vec<String> = above.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        Ok((self.dir(&above)?, name, self.root.join(dir)))
    }

    fn dir(&self, parts: &[String]) -> Result<Option<OwnedFd>, Refused> {
        let below = if parts.is_empty() { ".".to_owned() } else { parts.join("/") };
        let path = self.root.join(&below);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(&self.fd, below.as_str(), flags, Mode::empty(), resolve) {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::LOOP | Errno::XDEV) => {
                let (path, root) = (self.path(), self.root.display().to_string());
                Err(Refused::Outside { path, why: "leads through a symbolic link", root })
            }
            Err(Errno::NOTDIR) => {
                let path = path.display().to_string();
                Err(Refused::NotPlain { path, what: "not a directory, or lies in something that is none" })
            }
            Err(Errno::NOSYS) => {
                let path = path.display().to_string();
                Err(Refused::NoFacility { path, what: "keep a path below a directory (openat2)" })
            }
            Err(errno) => Err(Refused::io(&path, "opened", errno)),
        }
    }
}

fn parse(root: &Path, path: &str) -> Result<(Vec<String>, String), Refused> {
    let outside =
        |why| Refused::Outside { path: path.chars().take(200).collect(), why, root: root.display().to_string() };
    let below = match Path::new(path).strip_prefix(root) {
        // `strip_prefix` would also forgive doubled slashes; what is left is checked below.
        Ok(_) => path.strip_prefix(root.to_string_lossy().as_ref()).unwrap_or(path).trim_start_matches('/'),
        Err(_) if path.starts_with('/') => return Err(outside("is not below the root")),
        Err(_) => path,
    };
    let mut parts = Vec::new();
    for part in below.split('/') {
        match part {
            "" => return Err(outside("has an empty part")),
            "." | ".." => return Err(outside("has a part `.` or `..`")),
            _ if part.contains('\0') => return Err(outside("has a zero byte")),
            _ if part.len() > LONGEST_NAME => return Err(outside("has a name of more than 255 bytes")),
            _ if part.starts_with(spot::PREFIX) => return Err(outside("has a name that is kept for files under way")),
            _ => parts.push(part.to_owned()),
        }
    }
    if parts.len() > DEEPEST {
        return Err(outside("is more than 32 deep"));
    }
    let name = parts.pop().ok_or_else(|| outside("names nothing"))?;
    Ok((parts, name))
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_below_the_root_or_refused_with_the_root() {
        let root = Path::new("/data/scratch");
        let fine = |path: &str| parse(root, path).expect(path);
        assert_eq!(fine("a"), (vec![], "a".to_owned()));
        assert_eq!(fine("a/b/c"), (vec!["a".to_owned(), "b".to_owned()], "c".to_owned()));
        assert_eq!(fine("/data/scratch/a/b"), (vec!["a".to_owned()], "b".to_owned()));
        let deep = "d/".repeat(40) + "f";
        let long = "n".repeat(256);
        for bad in [
            "",
            "/",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a/./b",
            "a//b",
            "a/",
            "/data/scratch",
            "/data/scratchy/a",
            "/data/scratch/../x",
            "a\0b",
            ".dsmil-0.swap",
            "a/.dsmil-x/b",
            &deep,
            &long,
        ] {
            let refused = parse(root, bad).expect_err(bad);
            let output = refused.output();
            let reason = output.reason.expect("a reason");
            assert_eq!(reason.code, "outside_root", "{bad}");
            assert!(reason.detail.ends_with("below /data/scratch only"), "{}", reason.detail);
        }
    }
}
