//! A PostgreSQL cluster of our own: made once, run in the foreground as our child, stopped in order.
//!
//! ```text
//! lock: one service at a time                                    (cluster::lock)
//!    -> version check, initdb into a side directory, rename       (cluster::init)
//!    -> orphan of a killed service ended                         (cluster::orphan)
//!    -> socket directory checked, settings written               (cluster::socket, cluster::settings)
//!    -> postgres started, polled until it answers a query -> Cluster { url, wait, stop }
//! ```
pub mod init;
pub mod lock;
pub mod orphan;
pub mod settings;
pub mod socket;

use std::collections::VecDeque;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::fcntl::Flock;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;

use crate::clock;
use crate::store::database::Database;
use crate::workflow::record::StoreError;

/// How many of the server's last lines an error message quotes.
const TAIL: usize = 12;
/// From SIGQUIT to SIGKILL.
const LAST_GRACE: Duration = Duration::from_secs(5);

/// Where a cluster is and how it is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSpec {
    /// The server's own programs: `initdb`, `postgres`.
    pub bin_dir: PathBuf,
    pub data_dir: PathBuf,
    pub socket_dir: PathBuf,
    /// Preferred place of a shorter socket directory, where `socket_dir` is too long for a socket: `$XDG_RUNTIME_DIR`.
    pub runtime_dir: Option<PathBuf>,
    /// Part of the socket's name; nothing listens on TCP.
    pub port: u16,
    /// For a caller that is root and stays root, such as a test. The service has changed its user by now: none.
    pub run_as: Option<RunAs>,
    /// Crash recovery is part of the start.
    pub start_within: Duration,
    pub stop_within: Duration,
}

/// A user other than the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunAs {
    pub uid: u32,
    pub gid: u32,
}

#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error(
        "PostgreSQL refuses to run as root: start the service as an ordinary user, or let it become the system user"
    )]
    Root,
    #[error("cannot run `{program}`: is `postgres.bin_dir` right?")]
    NoProgram {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot {act} `{path}`")]
    Io {
        path: PathBuf,
        act: &'static str,
        #[source]
        source: io::Error,
    },
    #[error(
        "`{path}` holds a cluster of PostgreSQL {found}, but the programs are of version {programs}: point \
         `postgres.bin_dir` at version {found}, or move the data with `pg_upgrade` (or `pg_dump` and a new data directory)"
    )]
    Version { path: PathBuf, found: String, programs: String },
    #[error("`{path}` is neither empty nor a PostgreSQL cluster: name another data directory, or clear this one")]
    NotACluster { path: PathBuf },
    #[error("no space left on the disk of `{path}`: free some and start again ({detail})")]
    DiskFull { path: PathBuf, detail: String },
    #[error("initdb of `{path}` failed: {detail}")]
    Initdb { path: PathBuf, detail: String },
    #[error("`{path}` is in use by process {pid} (`{command}`), which this service did not start: stop it first")]
    InUse { path: PathBuf, pid: i32, command: String },
    #[error("another service is at work on `{path}`: stop it first, or name another data directory")]
    Locked { path: PathBuf },
    #[error("process {pid}, a PostgreSQL left behind on `{path}`, does not end: stop it by hand (`kill -QUIT {pid}`)")]
    WillNotEnd { path: PathBuf, pid: i32 },
    #[error("the socket directory `{path}` {fault}")]
    SocketDir { path: PathBuf, fault: String },
    #[error("postgres on `{path}` ended while starting ({status}): {detail}")]
    Ended { path: PathBuf, status: String, detail: String },
    #[error("postgres on `{path}` did not answer within {waited:.0?}: {detail}")]
    Silent { path: PathBuf, waited: Duration, detail: String },
    #[error("the database `{name}` could not be created")]
    Create {
        name: String,
        #[source]
        source: StoreError,
    },
}

/// A running server. Dropping it leaves the server running, to be taken over by the next start.
#[derive(Debug)]
pub struct Cluster {
    child: Child,
    pid: Pid,
    socket_dir: PathBuf,
    port: u16,
    stop_within: Duration,
    log: Option<JoinHandle<VecDeque<String>>>,
    /// Held as long as the server is ours.
    _lock: Flock<File>,
}

impl Cluster {
    /// Makes the cluster if there is none, ends a server that a killed service left behind, starts the server and
    /// returns once it answers a query.
    pub async fn start(spec: &ClusterSpec) -> Result<Cluster, ClusterError> {
        if spec.run_as.is_none() && geteuid().is_root() {
            return Err(ClusterError::Root);
        }
        let lock = lock::take(spec)?;
        let prepared = spec.clone();
        let prepare = tokio::task::spawn_blocking(move || init::ensure(&prepared));
        prepare.await.map_err(|source| spec.io("prepare", io::Error::other(source)))??;
        let socket_dir = socket::prepare(spec)?;
        orphan::end(spec, &socket_dir).await?;
        let conf = settings::write(spec, &socket_dir)?;

        let program = spec.bin_dir.join("postgres");
        let mut command = Command::new(&program);
        command.arg("-D").arg(&spec.data_dir).arg("-c").arg(orphan::config_file(&conf));
        // A group of its own: a Ctrl-C meant for the service must not stop the database before its turn.
        command.process_group(0).env_clear().env("LC_ALL", "C").current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        if let Some(RunAs { uid, gid }) = spec.run_as {
            command.uid(uid).gid(gid);
        }
        let mut child = command.spawn().map_err(|source| ClusterError::NoProgram { program, source })?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
        let pid = pid.ok_or_else(|| spec.io("follow", io::Error::other("postgres has no process id")))?;
        let log = child.stderr.take().map(|stderr| tokio::spawn(follow(stderr)));
        let mut cluster =
            Cluster { child, pid, socket_dir, port: spec.port, stop_within: spec.stop_within, log, _lock: lock };
        cluster.until_ready(spec).await?;
        Ok(cluster)
    }

    /// Process id of the postmaster.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Where the socket is: not always where the specification wished it to be.
    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// A database of this cluster.
    pub fn database(&self, name: &str) -> Database {
        Database::on_socket(&self.socket_dir, self.port, name)
    }

    /// Creates the database unless it exists.
    pub async fn ensure_database(&self, name: &str) -> Result<Database, ClusterError> {
        let create = self.database("postgres").create_database(name).await;
        create.map_err(|source| ClusterError::Create { name: name.to_owned(), source })?;
        Ok(self.database(name))
    }

    /// Waits until the server ends by itself, and tells why.
    pub async fn wait(&mut self) -> String {
        let status = match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        format!("postgres exited: {status}: {}", self.last_words().await)
    }

    /// Fast shutdown; immediate shutdown when that takes too long, then the end.
    pub async fn stop(mut self) -> Result<(), ClusterError> {
        for (signal, grace) in [(Signal::SIGINT, self.stop_within), (Signal::SIGQUIT, LAST_GRACE)] {
            // An error means that the process is gone, which `wait` will confirm.
            if let Err(error) = kill(self.pid, signal) {
                tracing::debug!(pid = %self.pid, %error, "postgres was gone before {signal}");
            }
            if tokio::time::timeout(grace, self.child.wait()).await.is_ok() {
                return Ok(());
            }
            tracing::warn!(pid = %self.pid, "postgres did not end within {grace:?} of {signal}");
        }
        let killed = self.child.kill().await;
        killed.map_err(|source| ClusterError::Io { path: self.socket_dir.clone(), act: "stop its server", source })
    }

    /// Polls until the server answers; ends it when it does not.
    async fn until_ready(&mut self, spec: &ClusterSpec) -> Result<(), ClusterError> {
        const LONGEST_PAUSE: Duration = Duration::from_millis(250);
        let begun = clock::now();
        let database = self.database("postgres");
        let mut pause = Duration::from_millis(10);
        loop {
            let path = spec.data_dir.clone();
            if let Ok(Some(status)) = self.child.try_wait() {
                let detail = self.last_words().await;
                return Err(match no_space(&detail) {
                    true => ClusterError::DiskFull { path, detail },
                    false => ClusterError::Ended { path, status: status.to_string(), detail },
                });
            }
            match database.check().await {
                Ok(()) => return Ok(()),
                Err(error) if clock::now().duration_since(begun) > spec.start_within => {
                    if let Err(error) = self.child.kill().await {
                        tracing::warn!(pid = %self.pid, %error, "a silent postgres could not be killed");
                    }
                    let detail = format!("{error}; {}", self.last_words().await);
                    return Err(ClusterError::Silent { path, waited: spec.start_within, detail });
                }
                Err(_) => tokio::time::sleep(pause).await,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The last lines of the server's log, once it has ended.
    async fn last_words(&mut self) -> String {
        let Some(log) = self.log.take() else { return String::new() };
        // Backends that still run hold the pipe open; their words are not worth a long wait.
        match tokio::time::timeout(Duration::from_secs(1), log).await {
            Ok(Ok(lines)) => lines.into_iter().collect::<Vec<_>>().join(" | "),
            Ok(Err(error)) => format!("its log was lost: {error}"),
            Err(_) => "its log is still open".to_owned(),
        }
    }
}

impl ClusterSpec {
    /// A database of the cluster, whether it runs already or not.
    pub fn database(&self, name: &str) -> Database {
        Database::on_socket(&socket::choose(self, self.uid()), self.port, name)
    }

    fn io(&self, act: &'static str, source: io::Error) -> ClusterError {
        ClusterError::Io { path: self.data_dir.clone(), act, source }
    }

    /// Makes a directory and those above it that are missing, open to their owner alone.
    fn make_dir(&self, path: &Path) -> Result<(), ClusterError> {
        let missing: Vec<&Path> = path.ancestors().take_while(|dir| !dir.exists()).collect();
        for dir in missing.into_iter().rev() {
            let made = DirBuilder::new().mode(0o700).create(dir);
            made.map_err(|source| ClusterError::Io { path: dir.to_owned(), act: "create", source })?;
            self.hand_over(dir)?;
        }
        Ok(())
    }

    /// Gives a path to the user who runs the server.
    fn hand_over(&self, path: &Path) -> Result<(), ClusterError> {
        let Some(RunAs { uid, gid }) = self.run_as else { return Ok(()) };
        let given = chown(path, Some(uid), Some(gid));
        given.map_err(|source| ClusterError::Io { path: path.to_owned(), act: "change its owner", source })
    }

    /// The user who runs the server.
    fn uid(&self) -> u32 {
        self.run_as.map_or_else(|| geteuid().as_raw(), |user| user.uid)
    }
}

fn no_space(text: &str) -> bool {
    text.contains("No space left on device") || text.contains("Disk quota exceeded")
}

/// Carries the server's lines into our log; returns the last of them when the server has ended.
async fn follow(stderr: ChildStderr) -> VecDeque<String> {
    let mut tail = VecDeque::with_capacity(TAIL);
    let mut lines = BufReader::new(stderr).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        // What clients are refused they are told themselves; it is no news in the service's log.
        match line.split_once(":  ").map_or("", |(severity, _)| severity) {
            "PANIC" => tracing::error!(target: "postgres", "{line}"),
            "WARNING" => tracing::warn!(target: "postgres", "{line}"),
            _ => tracing::debug!(target: "postgres", "{line}"),
        }
        if tail.len() == TAIL {
            tail.pop_front();
        }
        tail.push_back(line);
    }
    tail
}
