//! A real swtpm with its state in a directory of its own, and the foreign programs that judge what it makes.
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use dsmil::tpm::open::Identity;
use dsmil::tpm::swtpm::Swtpm;
use dsmil::tpm::thread::TpmThread;

pub const LONG: Duration = Duration::from_secs(20);

pub async fn start(state: &Path) -> Swtpm {
    Swtpm::start(state).await.unwrap_or_else(|error| panic!("these tests need swtpm: {error}"))
}

pub async fn open(swtpm: &Swtpm) -> (TpmThread, Identity) {
    TpmThread::open(swtpm.tcti(), true, LONG).await.expect("the emulator opens")
}

/// Sends a signal to a process that the test started.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().expect("`kill` runs");
    assert!(sent.success(), "kill -{name} {pid}");
}

/// Runs a foreign program; it must exist and end well. Answers what it printed.
#[track_caller]
pub fn foreign(command: &mut Command) -> String {
    let out = command.output().unwrap_or_else(|error| {
        panic!("this test needs `{}`, which the test set-up installs: {error}", command.get_program().display())
    });
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{command:?}: {text}");
    text
}
