//! The service's side of the socket.
use std::io::{self, Read};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::broker::protocol::{Answer, FrameError, Request, receive, send};

/// A broker that does not answer in this time is taken for hung.
const PATIENCE: Duration = Duration::from_secs(5);

/// A running broker. Dropping the handle closes the socket, and so ends the broker.
#[derive(Debug)]
pub struct BrokerHandle {
    socket: UnixStream,
    child: Child,
}

/// Proof that the broker is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pong {
    pub version: String,
    pub pid: u32,
}

#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("cannot start the broker")]
    Start(#[source] io::Error),
    #[error("cannot ask the broker")]
    Frame(#[source] FrameError),
    #[error("the broker has ended")]
    Gone,
    #[error("the broker refused: {reason}")]
    Refused { reason: String },
    #[error("the broker is of version {theirs}, and the service of version {ours}")]
    OtherVersion { theirs: String, ours: &'static str },
    #[error("the broker did not end within {} s", PATIENCE.as_secs())]
    Stuck(#[source] io::Error),
}

impl BrokerHandle {
    /// The command that starts a broker from this very program, even if its file was replaced meanwhile.
    pub fn command() -> Command {
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0("dsmil")
            .arg("broker")
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LANG", "C.UTF-8");
        command
    }

    /// Starts a broker with one end of a socket pair as its standard input, and hears from it once.
    pub fn spawn(mut command: Command) -> Result<BrokerHandle, AskError> {
        let (ours, theirs) = UnixStream::pair().map_err(AskError::Start)?;
        ours.set_read_timeout(Some(PATIENCE)).map_err(AskError::Start)?;
        ours.set_write_timeout(Some(PATIENCE)).map_err(AskError::Start)?;
        command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null()).current_dir("/").process_group(0);
        let child = command.spawn().map_err(AskError::Start)?;
        // The command holds the broker's end too; only without that copy do we see the broker's end of life.
        drop(command);
        let mut handle = BrokerHandle { socket: ours, child };
        let ours = env!("CARGO_PKG_VERSION");
        match handle.ping()? {
            pong if pong.version == ours => Ok(handle),
            pong => Err(AskError::OtherVersion { theirs: pong.version, ours }),
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn ping(&mut self) -> Result<Pong, AskError> {
        match self.ask(&Request::Ping {})? {
            Answer::Pong { version, pid } => Ok(Pong { version, pid }),
            Answer::Refused { reason } => Err(AskError::Refused { reason }),
        }
    }

    /// Ends the broker and reaps it.
    pub fn end(mut self) -> Result<(), AskError> {
        self.socket.shutdown(Shutdown::Write).map_err(AskError::Stuck)?;
        // The end of the stream is the end of the broker.
        io::copy(&mut Read::by_ref(&mut self.socket), &mut io::sink()).map_err(AskError::Stuck)?;
        self.child.wait().map(|_| ()).map_err(AskError::Stuck)
    }

    fn ask(&mut self, request: &Request) -> Result<Answer, AskError> {
        send(&mut self.socket, request).map_err(AskError::Frame)?;
        receive(&mut self.socket).map_err(AskError::Frame)?.ok_or(AskError::Gone)
    }
}
