//! A server that outlived a killed service: ended when it is ours, never touched when it is not.
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::clock;
use crate::store::cluster::ClusterError;
use crate::store::cluster::ClusterSpec;
use crate::store::cluster::LAST_GRACE;
use crate::store::cluster::settings;

const PAUSE: Duration = Duration::from_millis(20);

/// What the process named in a lock file is to us.
#[derive(Debug, PartialEq, Eq)]
enum Holder {
    /// No such process, or one that has nothing to do with PostgreSQL: the number was used again.
    Nobody,
    /// Started by this service on this data directory.
    Ours(i32),
    /// Another server on this data directory.
    Foreign { pid: i32, command: String },
}

/// The argument that marks a server as started by this service; also what names its settings.
pub(super) fn config_file(conf: &Path) -> OsString {
    let mut argument = OsString::from("config_file=");
    argument.push(conf);
    argument
}

/// Ends the server that a killed service left behind on the data directory, and waits for its backends. What the two
/// lock files say of a process that has ended is taken away: the server would believe a zombie, or a number used again.
pub(super) async fn end(spec: &ClusterSpec, socket_dir: &Path) -> Result<(), ClusterError> {
    for lock in [spec.data_dir.join("postmaster.pid"), socket_dir.join(format!(".s.PGSQL.{}.lock", spec.port))] {
        end_holder_of(&lock, spec).await?;
    }
    Ok(())
}

async fn end_holder_of(lock: &Path, spec: &ClusterSpec) -> Result<(), ClusterError> {
    let fault = |act, source| ClusterError::Io { path: lock.to_owned(), act, source };
    let text = match fs::read_to_string(lock) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(fault("read", source)),
    };
    let holder = match text.lines().next().and_then(|line| line.trim().parse().ok()) {
        Some(pid) => holder(Path::new("/proc"), pid, &spec.data_dir),
        None => Holder::Nobody,
    };
    match holder {
        Holder::Foreign { pid, command } => {
            return Err(ClusterError::InUse { path: spec.data_dir.clone(), pid, command });
        }
        Holder::Ours(pid) => {
            tracing::warn!(pid, data_dir = %spec.data_dir.display(), "ending the postgres of a service that was killed");
            stop(spec, pid).await?;
        }
        Holder::Nobody => {}
    }
    until_backends_are_gone(spec).await?;
    match fs::remove_file(lock) {
        Ok(()) => tracing::debug!(path = %lock.display(), "removed a stale lock file"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(fault("remove", source)),
    }
    Ok(())
}

async fn stop(spec: &ClusterSpec, pid: i32) -> Result<(), ClusterError> {
    for (signal, grace) in [(Signal::SIGINT, spec.stop_within), (Signal::SIGQUIT, LAST_GRACE)] {
        match kill(Pid::from_raw(pid), signal) {
            Ok(()) => {}
            Err(Errno::ESRCH) => return Ok(()),
            Err(errno) => return Err(spec.io("end the server left behind on", errno.into())),
        }
        if gone_within(grace, || !is_alive(Path::new("/proc"), pid)).await {
            return Ok(());
        }
    }
    Err(ClusterError::WillNotEnd { path: spec.data_dir.clone(), pid })
}

/// Backends end by themselves once they notice that their postmaster is gone. Until then they may write.
async fn until_backends_are_gone(spec: &ClusterSpec) -> Result<(), ClusterError> {
    let users = || working_in(Path::new("/proc"), &spec.data_dir);
    if gone_within(spec.stop_within, || users().is_empty()).await {
        return Ok(());
    }
    let path = spec.data_dir.clone();
    users().first().map_or(Ok(()), |&pid| Err(ClusterError::WillNotEnd { path, pid }))
}

async fn gone_within(grace: Duration, gone: impl Fn() -> bool) -> bool {
    let begun = clock::now();
    loop {
        if gone() {
            return true;
        }
        if clock::now().duration_since(begun) > grace {
            return false;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn holder(proc: &Path, pid: i32, data_dir: &Path) -> Holder {
    if !is_alive(proc, pid) {
        return Holder::Nobody;
    }
    let line = fs::read(proc.join(pid.to_string()).join("cmdline")).unwrap_or_default();
    let arguments: Vec<OsString> =
        line.split(|byte| *byte == 0).map(|part| OsString::from_vec(part.to_vec())).collect();
    let program = arguments.first().map(|program| Path::new(program).file_name().unwrap_or_default());
    let is_server = program.is_some_and(|name| name == "postgres" || name == "postmaster");
    if !is_server {
        return Holder::Nobody;
    }
    let marked = arguments.iter().any(|argument| *argument == config_file(&settings::path(data_dir)));
    let named = arguments.iter().zip(arguments.iter().skip(1)).find(|(flag, _)| *flag == "-D").map(|(_, dir)| dir);
    match named.map(|dir| same_place(Path::new(dir), data_dir)) {
        Some(true) if marked => return Holder::Ours(pid),
        // The number was used again, by a server that keeps to its own data.
        Some(false) => return Holder::Nobody,
        Some(true) | None => {}
    }
    let command = String::from_utf8_lossy(&line).replace('\0', " ").trim().to_owned();
    Holder::Foreign { pid, command }
}

fn is_alive(proc: &Path, pid: i32) -> bool {
    // The state follows the name, which is in brackets and may hold anything. A zombie has ended.
    let stat = fs::read_to_string(proc.join(pid.to_string()).join("stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// Processes whose working directory is the data directory, as that of every server process is.
fn working_in(proc: &Path, data_dir: &Path) -> Vec<i32> {
    let Ok(entries) = fs::read_dir(proc) else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let server = fs::read(proc.join(pid.to_string()).join("comm")).is_ok_and(|comm| comm.starts_with(b"postgres"));
        let works_here =
            || fs::read_link(proc.join(pid.to_string()).join("cwd")).is_ok_and(|cwd| same_place(&cwd, data_dir));
        server && is_alive(proc, *pid) && works_here()
    })
    .collect()
}

fn same_place(a: &Path, b: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| PathBuf::from(path));
    a.as_os_str().as_bytes() == b.as_os_str().as_bytes() || real(a) == real(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process as `/proc` would show it.
    fn proc_with(state: char, cmdline: &str) -> tempfile::TempDir {
        let proc = tempfile::tempdir().expect("a directory");
        let dir = proc.path().join("42");
        fs::create_dir(&dir).expect("made");
        fs::write(dir.join("stat"), format!("42 (post) gres) {state} 1 42")).expect("written");
        fs::write(dir.join("cmdline"), cmdline).expect("written");
        proc
    }

    #[test]
    fn only_a_server_that_bears_our_mark_is_ours() {
        let ours = "/opt/bin/postgres\0-D\0/data\0-c\0config_file=/data/dsmil.conf\0";
        for (state, cmdline, expected) in [
            ('S', ours, Holder::Ours(42)),
            ('Z', ours, Holder::Nobody),
            ('S', "/usr/bin/vim\0/data\0", Holder::Nobody),
            (
                'S',
                "/usr/bin/postgres\0-D\0/data\0",
                Holder::Foreign { pid: 42, command: "/usr/bin/postgres -D /data".into() },
            ),
            ('S', "/opt/bin/postgres\0-D\0/other\0-c\0config_file=/other/dsmil.conf\0", Holder::Nobody),
        ] {
            let proc = proc_with(state, cmdline);
            assert_eq!(holder(proc.path(), 42, Path::new("/data")), expected, "{state} {cmdline:?}");
        }
        let proc = proc_with('S', ours);
        assert_eq!(holder(proc.path(), 43, Path::new("/data")), Holder::Nobody, "no such process");
    }
}
