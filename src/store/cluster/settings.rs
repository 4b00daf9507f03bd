//! The server's settings, written anew at each start; what an operator adds with ALTER SYSTEM stands above them.
use std::fs;
use std::path::{Path, PathBuf};

use crate::store::cluster::ClusterError;
use crate::store::cluster::ClusterSpec;

const MIB: u64 = 1 << 20;
const FILE: &str = "dsmil.conf";

/// Writes the settings into the data directory and returns their path.
pub(super) fn write(spec: &ClusterSpec, socket_dir: &Path) -> Result<PathBuf, ClusterError> {
    let path = path(&spec.data_dir);
    let info = rustix::system::sysinfo();
    let memory = info.totalram.saturating_mul(u64::from(info.mem_unit));
    let written = fs::write(&path, text(socket_dir, spec.port, memory));
    written.map_err(|source| ClusterError::Io { path: path.clone(), act: "write", source })?;
    spec.hand_over(&path)?;
    Ok(path)
}

/// Where the settings of the cluster in `data_dir` are.
pub(super) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

/// The settings for a machine with `memory` bytes that does other work too.
fn text(socket_dir: &Path, port: u16, memory: u64) -> String {
    let shared_buffers = (memory / 16 / MIB).clamp(64, 1024);
    let cache = (memory / 3 / MIB).max(256);
    // A list of directories: quoted for the list, then for the file.
    let sockets = quoted(&format!("\"{}\"", socket_dir.to_string_lossy().replace('"', "\"\"")));
    format!(
        "# Written at each start. Use ALTER SYSTEM to change a setting.\n\
         listen_addresses = ''\n\
         unix_socket_directories = {sockets}\n\
         unix_socket_permissions = 0700\n\
         port = {port}\n\
         max_connections = 64\n\
         cluster_name = 'dsmil'\n\
         timezone = 'UTC'\n\
         log_timezone = 'UTC'\n\
         \n\
         # what is acknowledged survives\n\
         fsync = on\n\
         synchronous_commit = on\n\
         full_page_writes = on\n\
         restart_after_crash = on\n\
         # after a crash, one call instead of opening and syncing thousands of files\n\
         recovery_init_sync_method = syncfs\n\
         \n\
         shared_buffers = {shared_buffers}MB\n\
         effective_cache_size = {cache}MB\n\
         work_mem = 16MB\n\
         maintenance_work_mem = 128MB\n\
         min_wal_size = 128MB\n\
         max_wal_size = 2GB\n\
         checkpoint_timeout = 15min\n\
         max_wal_senders = 0\n\
         \n\
         # short statements on solid-state disks\n\
         jit = off\n\
         random_page_cost = 1.1\n\
         idle_in_transaction_session_timeout = '60s'\n\
         \n\
         # to the service, which keeps the log; statements may hold host data and stay out of it\n\
         log_destination = 'stderr'\n\
         logging_collector = off\n\
         log_line_prefix = ''\n\
         log_checkpoints = off\n\
         log_min_error_statement = panic\n"
    )
}

/// A text value of a configuration file.
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\'', "''").replace('\n', "\\n");
    format!("'{escaped}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_follow_the_memory_within_bounds() {
        for (memory_mib, expected) in [(512, 64), (4096, 256), (65536, 1024)] {
            let text = text(Path::new("/s"), 5433, memory_mib * MIB);
            assert!(text.contains(&format!("shared_buffers = {expected}MB\n")), "{memory_mib} MiB: {text}");
        }
    }

    #[test]
    fn a_strange_socket_path_stays_one_value() {
        let text = text(Path::new("/a, b's \"c\""), 5433, MIB);
        assert!(text.contains("unix_socket_directories = '\"/a, b''s \"\"c\"\"\"'\n"), "{text}");
    }
}
