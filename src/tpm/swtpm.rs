//! The emulator as a child process: for hosts without a TPM, development and tests. Its signatures are worth what the
//! file system around its state is worth, and are always reported as an emulator's.
use std::io;
use std::net::Ipv4Addr;
use std::net::TcpListener;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;
use tokio::process::Child;
use tokio::process::Command;

use crate::tpm::orphan::OrphanError;
use crate::tpm::orphan::end_orphans;
use crate::tpm::orphan::listens;

/// From the spawn to the open port; 10 to 15 ms is usual.
const START: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// Somebody else may take a port between our looking and swtpm's binding.
const TRIES: usize = 8;

#[derive(Debug, thiserror::Error)]
pub enum SwtpmError {
    #[error(
        "there is no TPM device and the emulator `swtpm` is not installed: install it with `apt-get install swtpm`, or \
         name a TPM with DSMIL_TPM=device:/dev/tpmrm0"
    )]
    NotInstalled,
    #[error("cannot use {} for the emulator's state", path.display())]
    State {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("cannot start swtpm")]
    Spawn {
        #[source]
        cause: io::Error,
    },
    #[error("swtpm ended at its start ({status}); its last words, in {}: {words}", log.display())]
    Ended { status: String, words: String, log: PathBuf },
    #[error("swtpm opened no port within {} s", START.as_secs())]
    Silent,
    #[error("no two free ports in a row were found on 127.0.0.1")]
    NoPorts,
    #[error(transparent)]
    Orphan(#[from] OrphanError),
}

/// A running emulator. Dropping it kills it.
#[derive(Debug)]
pub struct Swtpm {
    child: Child,
    pid: u32,
    port: u16,
}

impl Swtpm {
    /// Starts swtpm on a state directory, after ending whatever an earlier service left there.
    pub async fn start(state: &Path) -> Result<Self, SwtpmError> {
        make_private(state).map_err(|cause| SwtpmError::State { path: state.to_owned(), cause })?;
        end_orphans(state).await?;
        let mut last = SwtpmError::NoPorts;
        for _ in 0..TRIES {
            let Some(port) = free_ports() else { continue };
            match spawn(state, port).await {
                Ok(swtpm) => return Ok(swtpm),
                // A port taken in between ends swtpm; whatever else does so will do it again, and be told then.
                Err(error @ SwtpmError::Ended { .. }) => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// How libtss2 reaches it. The control port is the next one.
    pub fn tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.port)
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for its end and says what it was.
    pub async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => describe(status),
            Err(error) => format!("it cannot be waited for: {error}"),
        }
    }

    /// Ends it: politely first, by force after `patience`.
    pub async fn stop(mut self, patience: Duration) {
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw)
            && self.child.try_wait().is_ok_and(|status| status.is_none())
        {
            if let Err(errno) = kill_process(pid, Signal::TERM) {
                tracing::warn!(pid = self.pid, %errno, "swtpm cannot be told to end");
            }
            if tokio::time::timeout(patience, self.child.wait()).await.is_err()
                && let Err(error) = self.child.kill().await
            {
                tracing::warn!(pid = self.pid, %error, "swtpm cannot be killed");
            }
        }
    }
}

async fn spawn(state: &Path, port: u16) -> Result<Swtpm, SwtpmError> {
    let log = state.join("swtpm.log");
    let control = port + 1;
    let mut child = Command::new("swtpm")
        .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
        .args(["--tpmstate", &format!("dir={},mode=0600", state.display())])
        .args(["--server", &format!("type=tcp,port={port},bindaddr=127.0.0.1")])
        .args(["--ctrl", &format!("type=tcp,port={control},bindaddr=127.0.0.1")])
        .args(["--log", &format!("file={},level=1,truncate", log.display())])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // A terminal's Ctrl-C is for the service, which then shuts the TPM down in good order.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|cause| match cause.kind() {
            io::ErrorKind::NotFound => SwtpmError::NotInstalled,
            _ => SwtpmError::Spawn { cause },
        })?;
    let Some(pid) = child.id() else { return Err(SwtpmError::Silent) };
    let opens = async {
        loop {
            if let Some(status) = child.try_wait().map_err(|cause| SwtpmError::Spawn { cause })? {
                return Err(SwtpmError::Ended { status: describe(status), words: last_words(&log), log: log.clone() });
            }
            if listens(pid, port) && listens(pid, control) {
                return Ok(());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    tokio::time::timeout(START, opens).await.map_err(|_| SwtpmError::Silent)??;
    Ok(Swtpm { child, pid, port })
}

fn make_private(state: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(state)
}

/// A port whose successor is free as well.
fn free_ports() -> Option<u16> {
    (0..64).find_map(|_| {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
        let port = first.local_addr().ok()?.port();
        TcpListener::bind((Ipv4Addr::LOCALHOST, port.checked_add(1)?)).ok().map(|_| port)
    })
}

fn last_words(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(3)..].join(" / ")
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}
