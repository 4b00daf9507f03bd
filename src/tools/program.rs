//! Runs an external program for a tool: fixed path, typed arguments, cleared environment, capped output, bounded time.
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::toolkit::cx::ToolCx;
use crate::toolkit::output::Evidence;
use crate::tools::evidence;
use crate::tools::evidence::Started;
use crate::tools::evidence::Unread;

/// Where programs are looked for; the service's own PATH plays no part.
const DIRECTORIES: [&str; 4] = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];
const STDERR_CAP: usize = 64 << 10;
const SLICE: Duration = Duration::from_millis(20);
/// Between SIGTERM and SIGKILL, and for output still in the pipes of a program that ended.
const GRACE: Duration = Duration::from_secs(2);

/// What to run.
#[derive(Debug, Clone, Copy)]
pub struct Program<'a> {
    /// A bare name: it is found in the system's own directories.
    pub name: &'a str,
    /// Values that came from outside belong behind `--`.
    pub args: &'a [&'a str],
    /// Bytes of standard output that are kept; a program that writes more loses its pipe.
    pub cap: usize,
    pub timeout: Duration,
}

/// A program that ended by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Ran {
    pub stdout: Vec<u8>,
    pub stderr: String,
    /// None: ended by a signal.
    pub exit_code: Option<i32>,
    pub truncated: bool,
}

/// Runs the program; the evidence is over its standard output.
pub fn run(cx: &ToolCx, program: &Program<'_>) -> Result<(Ran, Evidence), Unread> {
    let path = find(program.name)?;
    let source = std::iter::once(path.display().to_string().as_str())
        .chain(program.args.iter().copied())
        .collect::<Vec<_>>()
        .join(" ");
    let started = Started::now(cx);
    let failed = |why: String| Unread::Io { what: source.clone(), why };
    let mut child = spawn(&path, program.args).map_err(|error| failed(error.to_string()))?;
    let pieces = drain(&mut child, program.cap);
    let status = wait(cx, &mut child, program.timeout).map_err(|why| failed(end(&mut child, why)))?;
    let (stdout, stderr) = collect(&pieces).map_err(|why| failed(end(&mut child, why)))?;
    let truncated = stdout.len() > program.cap;
    let stdout = stdout[..stdout.len().min(program.cap)].to_vec();
    let digest = evidence::sha256(&stdout);
    let mut record = started.evidence(cx, source, digest, stdout.len() as u64, truncated);
    record.exit_code = status.code();
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    Ok((Ran { stdout, stderr, exit_code: status.code(), truncated }, record))
}

/// The program's absolute path.
pub fn find(name: &str) -> Result<PathBuf, Unread> {
    DIRECTORIES
        .iter()
        .map(|directory| Path::new(directory).join(name))
        .find(|path| path.is_file())
        .ok_or_else(|| Unread::Missing { what: format!("the program `{name}`") })
}

fn spawn(path: &Path, args: &[&str]) -> io::Result<Child> {
    Command::new(path)
        .args(args)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LANG", "C.UTF-8")
        .env("TZ", "UTC")
        .env("HOME", "/nonexistent")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
}

enum Piece {
    Out(Vec<u8>),
    Err(Vec<u8>),
}

fn drain(child: &mut Child, cap: usize) -> Receiver<Piece> {
    let (sender, receiver) = mpsc::channel();
    if let Some(pipe) = child.stdout.take() {
        read_in_thread(pipe, cap + 1, Piece::Out, sender.clone());
    }
    if let Some(pipe) = child.stderr.take() {
        read_in_thread(pipe, STDERR_CAP, Piece::Err, sender);
    }
    receiver
}

fn read_in_thread(
    pipe: impl Read + Send + 'static,
    cap: usize,
    piece: impl FnOnce(Vec<u8>) -> Piece + Send + 'static,
    sender: Sender<Piece>,
) {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let mut capped = pipe.take(cap as u64);
        if let Err(error) = capped.read_to_end(&mut bytes) {
            tracing::debug!(%error, "a pipe of a program broke; what came before is kept");
        }
        drop(capped);
        if sender.send(piece(bytes)).is_err() {
            tracing::debug!("output of a program came after its end was given up on");
        }
    });
}

/// Time is counted in slices really waited, so that it passes whatever clock the context has.
fn wait(cx: &ToolCx, child: &mut Child, timeout: Duration) -> Result<ExitStatus, String> {
    let mut waited = Duration::ZERO;
    loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            return Ok(status);
        }
        if cx.cancel.is_raised() {
            return Err("the step was cancelled".to_owned());
        }
        if waited >= timeout || cx.remaining().is_zero() {
            return Err(format!("it did not end within {} s", waited.as_secs()));
        }
        std::thread::park_timeout(SLICE);
        waited += SLICE;
    }
}

fn collect(pieces: &Receiver<Piece>) -> Result<(Vec<u8>, Vec<u8>), String> {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    loop {
        match pieces.recv_timeout(GRACE) {
            Ok(Piece::Out(bytes)) => out = bytes,
            Ok(Piece::Err(bytes)) => err = bytes,
            Err(RecvTimeoutError::Disconnected) => return Ok((out, err)),
            Err(RecvTimeoutError::Timeout) => return Err("a child of it kept its output open".to_owned()),
        }
    }
}

/// Ends the whole process group, politely first, and passes the reason on.
fn end(child: &mut Child, why: String) -> String {
    let group = Pid::from_raw(child.id().cast_signed());
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        if let Err(error) = killpg(group, signal) {
            tracing::debug!(%group, %error, "the process group of a program is gone already");
        }
        let mut waited = Duration::ZERO;
        while waited < GRACE {
            match child.try_wait() {
                Ok(None) => std::thread::park_timeout(SLICE),
                Ok(Some(_)) | Err(_) => break,
            }
            waited += SLICE;
        }
    }
    why
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::fixture_cx::FixtureCx;

    fn sh(script: &str, cap: usize, timeout: Duration) -> Result<(Ran, Evidence), Unread> {
        let program = Program { name: "sh", args: &["-c", script], cap, timeout };
        run(&FixtureCx::empty(), &program)
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn output_and_exit_code_are_kept_as_evidence() {
        let (ran, record) = sh("echo out; echo err >&2; exit 3", 100, MINUTE).expect("runs");
        let expected = Ran { stdout: b"out\n".to_vec(), stderr: "err\n".into(), exit_code: Some(3), truncated: false };
        assert_eq!(ran, expected);
        assert_eq!((record.exit_code, record.bytes), (Some(3), 4));
        assert_eq!(record.sha256, evidence::sha256(b"out\n"));
        assert!(record.source.ends_with("/sh -c echo out; echo err >&2; exit 3"), "{}", record.source);
    }

    #[test]
    fn the_environment_is_ours() {
        let (ran, _) = sh("env | grep -c CARGO", 100, MINUTE).expect("runs");
        assert_eq!(ran.stdout, b"0\n");
    }

    #[test]
    fn a_flood_is_cut_at_the_cap() {
        let (ran, record) = sh("exec yes", 1000, MINUTE).expect("ends on its broken pipe");
        assert_eq!((ran.stdout.len(), ran.truncated, record.truncated), (1000, true, true));
        assert_eq!(ran.exit_code, None, "ended by SIGPIPE");
    }

    #[test]
    fn a_program_that_hangs_is_ended_with_its_children() {
        let hung = sh("sleep 60 & sleep 60", 100, Duration::from_millis(40)).expect_err("timed out");
        assert_eq!(hung.reason().code, "io");
        assert!(hung.to_string().contains("did not end within"), "{hung}");
    }

    #[test]
    fn a_program_that_is_not_installed_is_a_missing_facility() {
        let program = Program { name: "no-such-program", args: &[], cap: 1, timeout: MINUTE };
        let missing = run(&FixtureCx::empty(), &program).expect_err("missing");
        assert_eq!(missing.reason().code, "no_facility");
    }
}
