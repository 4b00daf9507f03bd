//! The service as a child of `dsmil up`: started with its log in a file, awaited, and stopped in order.
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use crate::api::health::Readiness;
use crate::cli::fail::Failure;
use crate::cli::shell::Shell;
use crate::client::find;
use crate::client::find::Target;
use crate::client::http::Client;
use crate::clock;
use crate::config::data_dir;

/// From the start until it answers that it is ready.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// From SIGTERM until it has gone: as long as an ordered stop may take.
const STOP_WITHIN: Duration = Duration::from_secs(40);
const LOOK: Duration = Duration::from_millis(100);
/// Lines of the log that are shown when the service ends too early.
const TAIL: usize = 15;

pub struct Service {
    child: Child,
    log: PathBuf,
}

impl Service {
    /// Starts `dsmil serve` with the same options, in a process group of its own: a Ctrl-C reaches us alone.
    pub fn start(shell: &Shell, data_dir: &Path) -> Result<Self, Failure> {
        let log = data_dir.join("log/serve.log");
        let file = open_log(data_dir, &log)?;
        let program = std::env::current_exe()
            .map_err(|cause| Failure::failed(format!("cannot find the program file of dsmil: {cause}")))?;
        let both = file.try_clone().map_err(|cause| cannot_log(&log, &cause))?;
        let mut command = Command::new(program);
        command.arg("serve").arg("--data-dir").arg(data_dir);
        if let Some(config) = &shell.global.config {
            command.arg("--config").arg(config);
        }
        command.stdin(Stdio::null()).stdout(Stdio::from(file)).stderr(Stdio::from(both)).process_group(0);
        let child = command.spawn().map_err(|cause| Failure::failed(format!("cannot start the service: {cause}")))?;
        Ok(Service { child, log })
    }

    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Answers when the service says that it is ready.
    pub async fn ready(&mut self, data_dir: &Path, stale: Option<&str>) -> Result<(), Failure> {
        let end = clock::now() + READY_WITHIN;
        loop {
            match self.child.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => return Err(self.ended_early(status)),
                Err(cause) => return Err(Failure::failed(format!("cannot watch the service: {cause}"))),
            }
            let readiness = readiness(data_dir, stale).await;
            if readiness.as_ref().is_some_and(|readiness| readiness.ready) {
                return Ok(());
            }
            if clock::now() >= end {
                return Err(Failure::failed(not_ready(readiness, &self.log)));
            }
            actix_rt::time::sleep(LOOK).await;
        }
    }

    /// False once its end was seen.
    pub fn runs(&self) -> bool {
        self.child.id().is_some()
    }

    /// Ends it in order; if it does not end in time, at once.
    pub async fn stop(&mut self) -> Result<(), Failure> {
        let Some(pid) = self.child.id() else { return Ok(()) };
        let pid = Pid::from_raw(i32::try_from(pid).map_err(|cause| Failure::of(&cause))?);
        kill(pid, Signal::SIGTERM).map_err(|cause| Failure::failed(format!("cannot stop the service: {cause}")))?;
        match tokio::time::timeout(STOP_WITHIN, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => {
                Err(Failure::failed(format!("the service did not stop cleanly: {status}\n{}", tail(&self.log))))
            }
            Ok(Err(cause)) => Err(Failure::failed(format!("cannot await the end of the service: {cause}"))),
            Err(_) => {
                self.child.start_kill().map_err(|cause| Failure::of(&cause))?;
                let waited = STOP_WITHIN.as_secs();
                Err(Failure::failed(format!(
                    "the service did not stop within {waited} s and was killed\n{}",
                    tail(&self.log)
                )))
            }
        }
    }

    /// Answers when the service has ended by itself.
    pub async fn ended(&mut self) -> Failure {
        match self.child.wait().await {
            Ok(status) => self.ended_early(status),
            Err(cause) => Failure::failed(format!("cannot watch the service: {cause}")),
        }
    }

    fn ended_early(&self, status: ExitStatus) -> Failure {
        let log = self.log.display();
        Failure::failed(format!("the service ended with {status}; the end of its log {log}:\n{}", tail(&self.log)))
    }
}

/// A service of this data directory that answers, if there is one.
pub async fn running(data_dir: &Path) -> Option<String> {
    let service = find::running_service(data_dir)?;
    let client = Client::new(Target { url: service.url.clone(), token: None });
    client.readiness().await.ok()?;
    Some(service.url)
}

async fn readiness(data_dir: &Path, stale: Option<&str>) -> Option<Readiness> {
    let service = find::running_service(data_dir).filter(|service| Some(service.epoch.as_str()) != stale)?;
    Client::new(Target { url: service.url, token: None }).readiness().await.ok()
}

fn not_ready(readiness: Option<Readiness>, log: &Path) -> String {
    let waited = READY_WITHIN.as_secs();
    let parts = readiness.map(|readiness| {
        readiness.parts.into_iter().filter(|part| !part.ok).map(|part| part.name).collect::<Vec<_>>().join(", ")
    });
    let what = parts.map_or_else(|| "it does not answer".to_owned(), |parts| format!("not ready: {parts}"));
    format!(
        "the service was not ready within {waited} s ({what}); the end of its log {}:\n{}",
        log.display(),
        tail(log)
    )
}

fn open_log(data_dir: &Path, log: &Path) -> Result<File, Failure> {
    data_dir::create(data_dir).map_err(|cause| Failure::of(&cause))?;
    let dir = log.parent().unwrap_or(data_dir);
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => return Err(cannot_log(log, &cause)),
        _ => {}
    }
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(log);
    file.map_err(|cause| cannot_log(log, &cause))
}

fn cannot_log(log: &Path, cause: &io::Error) -> Failure {
    Failure::failed(format!(
        "cannot write the log of the service {}: {cause}; name a data directory of your own with --data-dir",
        log.display()
    ))
}

fn tail(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let text = text.unwrap_or_else(|cause| format!("(cannot be read: {cause})"));
    let lines: Vec<&str> = text.lines().collect();
    let shown = lines.len().saturating_sub(TAIL);
    lines[shown..].iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}
