//! The data directory: ours alone, of a known layout, and used by one service at a time.
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::unistd::{AccessFlags, access, geteuid};

/// What this program writes and reads.
pub const LAYOUT: u32 = 1;

const VERSION: &str = "VERSION";
const VERSION_NEW: &str = "VERSION.new";
const LOCK: &str = "LOCK";

/// What may lie in a directory that is not ours yet: the marks of an interrupted first start, and of a file system.
/// `log` is made by `dsmil up`, which writes the service's log before there is a service.
const NOT_FOREIGN: &[&str] = &[LOCK, VERSION_NEW, "lost+found", "log"];

/// The directory, held against every other service for as long as this value lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: Flock<File>,
}

#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error("cannot create the data directory {}; name another with --data-dir, or create it for this user", path.display())]
    Create { path: PathBuf, source: io::Error },
    #[error("cannot use the data directory {}: {} does not let user {user} in; open it (chmod o+x), or name another data directory with --data-dir", path.display(), at.display())]
    Unreachable { path: PathBuf, at: PathBuf, user: u32 },
    #[error("the data directory {} is not a directory; name another with --data-dir", path.display())]
    NotADirectory { path: PathBuf },
    #[error("the data directory {} belongs to user {owner}, and this is user {user}; run as its owner, or name another with --data-dir", path.display())]
    OtherOwner { path: PathBuf, owner: u32, user: u32 },
    #[error("{} holds `{found}` and no dsmil data; name an empty directory with --data-dir", path.display())]
    Foreign { path: PathBuf, found: String },
    #[error("the data directory {} has layout `{found}`, and this dsmil knows layout {LAYOUT}; use the dsmil that made it, or name another directory with --data-dir", path.display())]
    OtherLayout { path: PathBuf, found: String },
    #[error("the data directory {} is in use by another dsmil (pid {pid}); stop that one, or name another directory with --data-dir", path.display())]
    InUse { path: PathBuf, pid: String },
    #[error("cannot read the data directory {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {}; it must be writable for this user, and its file system must have room", path.display())]
    Write { path: PathBuf, source: io::Error },
}

impl DataDir {
    /// Creates the directory when it is missing, checks that it is ours, and takes it.
    pub fn open(path: &Path) -> Result<DataDir, DataDirError> {
        create(path)?;
        let meta = fs::metadata(path).map_err(|source| unreadable(path, source))?;
        let user = geteuid().as_raw();
        if !meta.is_dir() {
            return Err(DataDirError::NotADirectory { path: path.to_owned() });
        }
        if meta.uid() != user {
            return Err(DataDirError::OtherOwner { path: path.to_owned(), owner: meta.uid(), user });
        }
        let layout = layout_of(path)?;
        check_layout(path, layout.as_deref())?;
        if meta.mode() & 0o077 != 0 {
            fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(|source| unwritable(path, source))?;
        }
        let lock = take_lock(path)?;
        if layout.is_none() {
            write_layout(path)?;
        }
        Ok(DataDir { path: path.to_owned(), _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Makes the directory with mode 0700, and its parents as usual. One that is there stays as it is.
pub fn create(path: &Path) -> Result<(), DataDirError> {
    match fs::metadata(path) {
        Ok(_) => return Ok(()),
        Err(source) if source.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(unreadable(path, source)),
    }
    let failed = |source| DataDirError::Create { path: path.to_owned(), source };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => Err(failed(source)),
        _ => Ok(()),
    }
}

/// Whether the directory has nothing in it that somebody may miss.
pub fn is_vacant(path: &Path) -> Result<bool, DataDirError> {
    Ok(first_foreign(path)?.is_none())
}

fn unreadable(path: &Path, source: io::Error) -> DataDirError {
    if source.kind() == io::ErrorKind::PermissionDenied {
        let shut = |at: &&Path| access(*at, AccessFlags::X_OK) == Err(Errno::EACCES);
        let mut ancestors: Vec<&Path> = path.ancestors().collect();
        ancestors.reverse();
        if let Some(at) = ancestors.iter().find(|at| shut(at)) {
            return DataDirError::Unreachable { path: path.to_owned(), at: at.to_path_buf(), user: geteuid().as_raw() };
        }
    }
    DataDirError::Read { path: path.to_owned(), source }
}

fn unwritable(path: &Path, source: io::Error) -> DataDirError {
    DataDirError::Write { path: path.to_owned(), source }
}

fn layout_of(path: &Path) -> Result<Option<String>, DataDirError> {
    let file = path.join(VERSION);
    match fs::read_to_string(&file) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(DataDirError::Read { path: file, source }),
    }
}

fn check_layout(path: &Path, layout: Option<&str>) -> Result<(), DataDirError> {
    match layout {
        Some(text) if text == LAYOUT.to_string() => Ok(()),
        Some(text) => {
            // A stray text file should not fill the screen.
            let found = text.chars().take(40).collect();
            Err(DataDirError::OtherLayout { path: path.to_owned(), found })
        }
        None => match first_foreign(path)? {
            Some(found) => Err(DataDirError::Foreign { path: path.to_owned(), found }),
            None => Ok(()),
        },
    }
}

fn first_foreign(path: &Path) -> Result<Option<String>, DataDirError> {
    let entries = fs::read_dir(path).map_err(|source| unreadable(path, source))?;
    for entry in entries {
        let name = entry.map_err(|source| unreadable(path, source))?.file_name().to_string_lossy().into_owned();
        if !NOT_FOREIGN.contains(&name.as_str()) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn take_lock(path: &Path) -> Result<Flock<File>, DataDirError> {
    let file_path = path.join(LOCK);
    let failed = |source: io::Error| unwritable(&file_path, source);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(&file_path)
        .map_err(failed)?;
    let mut lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => lock,
        Err((mut file, Errno::EWOULDBLOCK)) => {
            let mut pid = String::new();
            // The number only helps to find the holder; that there is one is certain without it.
            let known = file.read_to_string(&mut pid).is_ok() && !pid.trim().is_empty();
            let pid = if known { pid.trim().to_owned() } else { "unknown".to_owned() };
            return Err(DataDirError::InUse { path: path.to_owned(), pid });
        }
        Err((_, errno)) => return Err(failed(errno.into())),
    };
    lock.set_len(0).map_err(failed)?;
    lock.rewind().map_err(failed)?;
    writeln!(lock, "{}", std::process::id()).map_err(failed)?;
    Ok(lock)
}

/// Under its own name only once it is whole and on disk.
fn write_layout(path: &Path) -> Result<(), DataDirError> {
    let new = path.join(VERSION_NEW);
    let write = || {
        let mut file = File::create(&new)?;
        writeln!(file, "{LAYOUT}")?;
        file.sync_all()?;
        fs::rename(&new, path.join(VERSION))?;
        File::open(path)?.sync_all()
    };
    write().map_err(|source| unwritable(&new, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> (tempfile::TempDir, PathBuf) {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a/data");
        (temp, path)
    }

    #[test]
    fn a_missing_directory_is_made_for_its_owner_only_and_can_be_opened_again() {
        let (_temp, path) = fresh();
        let first = DataDir::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::read_to_string(path.join(VERSION)).unwrap(), "1\n");
        drop(first);
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn a_second_service_is_told_who_holds_the_directory() {
        let (_temp, path) = fresh();
        let _first = DataDir::open(&path).unwrap();
        let second = DataDir::open(&path).unwrap_err();
        let me = std::process::id().to_string();
        assert!(matches!(&second, DataDirError::InUse { pid, .. } if *pid == me), "{second}");
    }

    #[test]
    fn files_of_somebody_else_are_left_alone() {
        let (_temp, path) = fresh();
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("thesis.tex"), "x").unwrap();
        let error = DataDir::open(&path).unwrap_err();
        assert!(matches!(&error, DataDirError::Foreign { found, .. } if found == "thesis.tex"), "{error}");
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
    }

    #[test]
    fn an_interrupted_first_start_is_taken_up() {
        let (_temp, path) = fresh();
        fs::create_dir_all(path.join("lost+found")).unwrap();
        fs::write(path.join(LOCK), "999999\n").unwrap();
        fs::write(path.join(VERSION_NEW), "").unwrap();
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn another_layout_is_refused() {
        let (_temp, path) = fresh();
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join(VERSION), "2\n").unwrap();
        let error = DataDir::open(&path).unwrap_err();
        assert!(matches!(&error, DataDirError::OtherLayout { found, .. } if found == "2"), "{error}");
    }

    #[test]
    fn a_file_is_no_directory() {
        let (temp, _) = fresh();
        let path = temp.path().join("file");
        fs::write(&path, "x").unwrap();
        assert!(matches!(DataDir::open(&path).unwrap_err(), DataDirError::NotADirectory { .. }));
    }

    #[test]
    fn a_lock_that_is_a_link_is_not_followed() {
        let (temp, path) = fresh();
        let victim = temp.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        fs::create_dir_all(&path).unwrap();
        std::os::unix::fs::symlink(&victim, path.join(LOCK)).unwrap();
        assert!(matches!(DataDir::open(&path).unwrap_err(), DataDirError::Write { .. }));
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    }
}
