//! The socket's directory: open to its owner alone, and short enough for a socket's name.
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::store::cluster::ClusterError;
use crate::store::cluster::ClusterSpec;

/// `sun_path` has 108 bytes, the last of which is zero.
const LONGEST: usize = 107;

/// Makes the directory, or checks that nobody else can reach it, and returns it.
pub(super) fn prepare(spec: &ClusterSpec) -> Result<PathBuf, ClusterError> {
    let uid = spec.uid();
    let dir = choose(spec, uid);
    let fault = |fault: String| ClusterError::SocketDir { path: dir.clone(), fault };
    if fs::symlink_metadata(&dir).is_err() {
        spec.make_dir(&dir)?;
    }
    let found = fs::symlink_metadata(&dir).map_err(|error| fault(format!("cannot be read: {error}")))?;
    if !found.is_dir() {
        return Err(fault("is not a directory: remove it".to_owned()));
    }
    if found.uid() != uid {
        return Err(fault(format!("belongs to user {}, not to user {uid}: remove it", found.uid())));
    }
    if found.mode() & 0o077 != 0 {
        let closed = fs::set_permissions(&dir, fs::Permissions::from_mode(0o700));
        closed.map_err(|error| fault(format!("is open to others and cannot be closed: {error}")))?;
    }
    Ok(dir)
}

/// The wanted directory, or a shorter one that is named by the data directory.
pub(super) fn choose(spec: &ClusterSpec, uid: u32) -> PathBuf {
    let digest = hex::encode(Sha256::digest(spec.data_dir.as_os_str().as_bytes()));
    let short = &digest[..12];
    let in_runtime_dir = spec.runtime_dir.as_ref().map(|dir| dir.join(format!("dsmil-{short}")));
    let last = PathBuf::from(format!("/tmp/dsmil-{uid}-{short}"));
    let wishes = [Some(spec.socket_dir.clone()), in_runtime_dir];
    wishes.into_iter().flatten().find(|dir| fits(dir, spec.port)).unwrap_or(last)
}

fn fits(dir: &Path, port: u16) -> bool {
    dir.join(format!(".s.PGSQL.{port}")).as_os_str().len() <= LONGEST
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::DirBuilderExt;
    use std::time::Duration;

    use super::*;

    fn spec(socket_dir: &Path, runtime_dir: Option<&str>) -> ClusterSpec {
        ClusterSpec {
            bin_dir: "/bin".into(),
            data_dir: "/data".into(),
            socket_dir: socket_dir.into(),
            runtime_dir: runtime_dir.map(PathBuf::from),
            port: 5433,
            run_as: None,
            start_within: Duration::ZERO,
            stop_within: Duration::ZERO,
        }
    }

    #[test]
    fn a_path_too_long_for_a_socket_gives_way_to_a_short_one() {
        let exact = format!("/{}", "x".repeat(LONGEST - "/.s.PGSQL.5433".len() - 1));
        let long = format!("{exact}x");
        assert_eq!(choose(&spec(Path::new(&exact), None), 7), PathBuf::from(&exact));
        let short = choose(&spec(Path::new(&long), None), 7);
        assert!(short.to_string_lossy().starts_with("/tmp/dsmil-7-"), "{short:?}");
        let in_run = choose(&spec(Path::new(&long), Some("/run/user/7")), 7);
        assert!(in_run.to_string_lossy().starts_with("/run/user/7/dsmil-"), "{in_run:?}");
        assert_eq!(choose(&spec(Path::new(&long), Some(&long)), 7), short);
    }

    #[test]
    fn a_directory_open_to_others_is_closed_and_a_link_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let open = dir.path().join("open");
        fs::DirBuilder::new().mode(0o755).create(&open).expect("made");
        prepare(&spec(&open, None)).expect("closed");
        assert_eq!(fs::metadata(&open).expect("there").mode() & 0o777, 0o700);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&open, &link).expect("linked");
        let refused = prepare(&spec(&link, None)).expect_err("a link could lead anywhere");
        assert!(refused.to_string().contains("is not a directory"), "{refused}");
    }
}
