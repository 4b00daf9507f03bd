//! One service at a time on a data directory. The lock ends with its process, so a server found running by the one
//! who holds the lock is an orphan for certain.
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::store::cluster::ClusterError;
use crate::store::cluster::ClusterSpec;

/// Takes the lock beside the data directory, making the directory above if need be.
pub(super) fn take(spec: &ClusterSpec) -> Result<Flock<File>, ClusterError> {
    let parent = spec.data_dir.parent().unwrap_or(Path::new("/"));
    spec.make_dir(parent)?;
    let name = spec.data_dir.file_name().map_or_else(|| "cluster".into(), |name| name.to_string_lossy());
    let path = parent.join(format!("{name}.lock"));
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = opened.map_err(|source| ClusterError::Io { path: path.clone(), act: "open", source })?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EWOULDBLOCK => ClusterError::Locked { path: spec.data_dir.clone() },
        errno => ClusterError::Io { path, act: "lock", source: errno.into() },
    })
}
