//! The broker's side of the socket: `dsmil broker`.
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::getppid;

use crate::broker::protocol::{Answer, FrameError, Request, receive, send};

#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    #[error(
        "`dsmil broker` is started by `dsmil serve` and not by hand: its standard input is not the service's socket"
    )]
    NotOurs,
    #[error("the broker cannot take its socket")]
    Socket(#[source] io::Error),
    #[error("the broker cannot set its name and signal mask")]
    Process(#[source] Errno),
    #[error("the service sent what the broker cannot read")]
    Frame(#[source] FrameError),
}

/// The whole life of `dsmil broker`. Its standard input is the socket.
pub fn run_broker() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|c| format!(": {c}")).unwrap_or_default();
            eprintln!("dsmil broker: {error}{cause}");
            if matches!(error, BrokerError::NotOurs) { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

fn run() -> Result<(), BrokerError> {
    let stdin = io::stdin().as_fd().try_clone_to_owned().map_err(BrokerError::Socket)?;
    let peer = getsockopt(&stdin, sockopt::PeerCredentials).map_err(|_| BrokerError::NotOurs)?;
    if peer.pid() != getppid().as_raw() {
        return Err(BrokerError::NotOurs);
    }
    // Started through /proc/self/exe, it would be listed as `exe`.
    prctl::set_name(c"dsmil-broker").map_err(BrokerError::Process)?;
    shield().map_err(BrokerError::Process)?;
    serve(UnixStream::from(stdin))
}

/// Ctrl-C and a service manager's stop reach the whole group; the broker must outlast the service.
fn shield() -> Result<(), Errno> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGQUIT, Signal::SIGHUP] {
        signals.add(signal);
    }
    signals.thread_block()
}

/// Answers until the other side closes the socket.
pub fn serve(mut socket: UnixStream) -> Result<(), BrokerError> {
    loop {
        let answer = match receive::<Request>(&mut socket) {
            Ok(Some(request)) => answer(request),
            Ok(None) => return Ok(()),
            // The frame was whole, so the next one can be read.
            Err(FrameError::Content(why)) => Answer::Refused { reason: why.to_string() },
            Err(error) => return Err(BrokerError::Frame(error)),
        };
        match send(&mut socket, &answer) {
            Err(FrameError::Socket(error)) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            sent => sent.map_err(BrokerError::Frame)?,
        }
    }
}

fn answer(request: Request) -> Answer {
    match request {
        Request::Ping {} => Answer::Pong { version: env!("CARGO_PKG_VERSION").to_owned(), pid: std::process::id() },
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::thread;

    use super::*;

    fn served() -> (UnixStream, thread::JoinHandle<Result<(), BrokerError>>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (ours, thread::spawn(move || serve(theirs)))
    }

    #[test]
    fn a_ping_is_answered_and_closing_the_socket_ends_the_broker() {
        let (mut socket, broker) = served();
        for _ in 0..2 {
            send(&mut socket, &Request::Ping {}).unwrap();
            let pong = Answer::Pong { version: env!("CARGO_PKG_VERSION").to_owned(), pid: std::process::id() };
            assert_eq!(receive(&mut socket).unwrap(), Some(pong));
        }
        drop(socket);
        broker.join().unwrap().unwrap();
    }

    #[test]
    fn an_unknown_request_is_refused_and_the_next_one_answered() {
        let (mut socket, _broker) = served();
        send(&mut socket, &serde_json::json!({ "ask": "exec", "argv": ["/bin/sh"] })).unwrap();
        assert!(matches!(receive(&mut socket).unwrap(), Some(Answer::Refused { .. })));
        send(&mut socket, &Request::Ping {}).unwrap();
        assert!(matches!(receive(&mut socket).unwrap(), Some(Answer::Pong { .. })));
    }

    #[test]
    fn an_oversized_frame_ends_the_broker() {
        let (mut socket, broker) = served();
        socket.write_all(&u32::MAX.to_be_bytes()).unwrap();
        assert!(matches!(broker.join().unwrap(), Err(BrokerError::Frame(FrameError::TooLarge { .. }))));
        assert_eq!(receive::<Answer>(&mut socket).unwrap(), None);
    }
}
