//! What a plain file is, as far as it can be put back: content, mode, owner, extended attributes, time of change.
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::ids::Digest;
use crate::tools::evidence::sha256;
use crate::tools::fs::refused::Refused;

/// The longest content that is written, and the longest that is replaced: both are held in memory and kept.
pub const LARGEST: usize = 16 << 20;
/// The most that the extended attributes of one file may have together: they stand in the plan.
const LARGEST_XATTRS: usize = 64 << 10;
/// They vouch for a content, and would vouch for another one after a replacement.
const VOUCHING: [&str; 3] = ["security.capability", "security.ima", "security.evm"];

/// The access control list, of which the kernel keeps the mask in the mode.
const ACL: &str = "system.posix_acl_access";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileState {
    pub sha256: Digest,
    pub bytes: u64,
    /// Permission bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Values in hexadecimal.
    #[serde(default)]
    pub xattrs: BTreeMap<String, String>,
    /// Seconds and nanoseconds.
    pub mtime: (i64, i64),
}

/// What a file is to become; owner and time as they come where none is given.
pub struct Look<'a> {
    pub mode: u32,
    pub owner: Option<(u32, u32)>,
    pub xattrs: &'a BTreeMap<String, String>,
    pub mtime: Option<(i64, i64)>,
}

impl FileState {
    /// Whether one can stand for the other. The time of change is no matter: to touch a file is not to change it.
    pub fn same(&self, other: &FileState) -> bool {
        FileState { mtime: other.mtime, ..self.clone() } == *other
    }

    pub fn look(&self) -> Look<'_> {
        Look { mode: self.mode, owner: Some((self.uid, self.gid)), xattrs: &self.xattrs, mtime: Some(self.mtime) }
    }

    /// The attributes that do not follow from the mode or from a security module.
    pub fn own_xattrs(xattrs: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
        let own = |name: &&String| name.as_str() != ACL && !name.starts_with("security.");
        xattrs.iter().filter(|(name, _)| own(name)).map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }
}

/// The file of this name and its content; none: there is nothing of this name. `path` is for messages.
pub fn read(dir: &OwnedFd, name: &str, path: &Path) -> Result<Option<(FileState, Vec<u8>)>, Refused> {
    let failed = |errno: Errno| Refused::io(path, "read", errno);
    // Before it is opened: to open a device can do something.
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => plain(&stat, path)?,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(failed(errno)),
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let file = match rustix::fs::openat2(dir, name, flags, Mode::empty(), resolve) {
        Ok(fd) => File::from(fd),
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) => return Err(not_plain(path, "a symbolic link")),
        Err(errno) => return Err(failed(errno)),
    };
    let stat = rustix::fs::fstat(&file).map_err(failed)?;
    plain(&stat, path)?;
    let mut bytes = Vec::new();
    let most = LARGEST as u64;
    (&file).take(most + 1).read_to_end(&mut bytes).map_err(|error| Refused::io(path, "read", error))?;
    if bytes.len() > LARGEST {
        let bytes = u64::try_from(stat.st_size).unwrap_or(most + 1);
        return Err(Refused::TooLarge { path: path.display().to_string(), bytes, most: LARGEST });
    }
    let state = FileState {
        sha256: sha256(&bytes),
        bytes: bytes.len() as u64,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        xattrs: xattrs(&file, path)?,
        mtime: (stat.st_mtime, stat.st_mtime_nsec as i64),
    };
    Ok(Some((state, bytes)))
}

/// Gives an open file its look. The order matters: a change of the owner clears bits of the mode, and the mode is the
/// mask of an access control list.
pub fn dress(file: &File, look: &Look<'_>, path: &Path) -> Result<(), Refused> {
    let failed = |errno: Errno| Refused::io(path, "given its mode, owner and attributes", errno);
    let stat = rustix::fs::fstat(file).map_err(failed)?;
    if let Some((uid, gid)) = look.owner.filter(|owner| *owner != (stat.st_uid, stat.st_gid)) {
        let owner = (Some(rustix::fs::Uid::from_raw(uid)), Some(rustix::fs::Gid::from_raw(gid)));
        rustix::fs::fchown(file, owner.0, owner.1).map_err(failed)?;
    }
    let present = xattrs(file, path)?;
    for name in present.keys().filter(|name| !look.xattrs.contains_key(*name) && !name.starts_with("security.")) {
        // A new file in a directory with a default list has it of itself, which is right for it.
        if look.owner.is_some() {
            rustix::fs::fremovexattr(file, name.as_str()).map_err(failed)?;
        }
    }
    for (name, value) in look.xattrs.iter().filter(|(name, value)| present.get(*name) != Some(value)) {
        let value = hex::decode(value).map_err(|error| Refused::BadPlan { detail: format!("{name}: {error}") })?;
        rustix::fs::fsetxattr(file, name.as_str(), &value, XattrFlags::empty()).map_err(failed)?;
    }
    rustix::fs::fchmod(file, Mode::from_raw_mode(look.mode)).map_err(failed)?;
    if let Some((tv_sec, tv_nsec)) = look.mtime {
        let at = Timespec { tv_sec, tv_nsec };
        rustix::fs::futimens(file, &Timestamps { last_access: at, last_modification: at }).map_err(failed)?;
    }
    Ok(())
}

fn plain(stat: &Stat, path: &Path) -> Result<(), Refused> {
    let what = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile if stat.st_nlink > 1 => "a file with several names (hard links)",
        FileType::RegularFile if stat.st_mode & 0o7000 != 0 => "a file with a set-user, set-group or sticky bit",
        FileType::RegularFile => return Ok(()),
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a pipe",
        FileType::Socket => "a socket",
        _ => "a device",
    };
    Err(not_plain(path, what))
}

fn not_plain(path: &Path, what: &'static str) -> Refused {
    Refused::NotPlain { path: path.display().to_string(), what }
}

fn xattrs(file: &File, path: &Path) -> Result<BTreeMap<String, String>, Refused> {
    let failed = |errno: Errno| Refused::io(path, "read with its extended attributes", errno);
    let mut names = vec![0_u8; LARGEST_XATTRS];
    let listed = match rustix::fs::flistxattr(file, names.as_mut_slice()) {
        Ok(length) => length,
        // The file system has none.
        Err(Errno::OPNOTSUPP) => 0,
        Err(errno) => return Err(failed(errno)),
    };
    let mut found = BTreeMap::new();
    let mut total = 0;
    let mut value = vec![0_u8; LARGEST_XATTRS];
    for name in names[..listed].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let Ok(name) = std::str::from_utf8(name) else {
            return Err(not_plain(path, "a file with an extended attribute whose name is not UTF-8"));
        };
        if VOUCHING.contains(&name) {
            return Err(not_plain(path, "a file with capabilities or a signature of its content"));
        }
        let length = match rustix::fs::fgetxattr(file, name, value.as_mut_slice()) {
            Ok(length) => length,
            Err(Errno::RANGE) => LARGEST_XATTRS + 1,
            Err(errno) => return Err(failed(errno)),
        };
        total += length;
        if total > LARGEST_XATTRS {
            return Err(not_plain(path, "a file with extended attributes of more than 64 KiB"));
        }
        found.insert(name.to_owned(), hex::encode(&value[..length]));
    }
    Ok(found)
}
