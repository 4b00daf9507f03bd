//! Who the service becomes when root starts it, and what the broker answers.
//!
//! Giving up root is for ever, so the tests start this very test program again, as the service and as the broker of
//! that service: the environment says which part it plays.
use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use dsmil::broker::handle::BrokerHandle;
use dsmil::broker::privileges::{self, PrivilegeError, SERVICE_USER};
use dsmil::broker::server::run_broker;
use dsmil::config::Config;
use dsmil::config::data_dir::DataDir;
use dsmil::config::source::{FileChoice, Sources};
use nix::sys::signal::Signal;
use nix::unistd::{User, geteuid};

const PART: &str = "DSMIL_TEST_PART";
const DIR: &str = "DSMIL_TEST_DATA";
/// The test that plays the parts.
const STAGE: &str = "privileges::root_becomes_the_service_user_and_keeps_a_broker";

fn play(part: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", STAGE, "--test-threads=1", "--nocapture"]).env(PART, part);
    command
}

fn config(data_dir: &Path) -> Config {
    let sources = Sources { file: FileChoice::None, env: Default::default(), ..Sources::of_process(None, Vec::new()) };
    Config { data_dir: data_dir.to_owned(), ..Config::load(&sources).unwrap().config }
}

fn as_service(data_dir: &Path) -> Output {
    play("service").env(DIR, data_dir).stdin(Stdio::null()).output().unwrap()
}

fn is_root() -> bool {
    let root = geteuid().is_root() && User::from_name(SERVICE_USER).unwrap().is_some();
    if !root {
        eprintln!("not run: giving up root needs root and the system user `{SERVICE_USER}`");
    }
    root
}

/// The service's part: what it is after `enter`, one fact a line.
fn service() {
    let config = config(Path::new(&std::env::var_os(DIR).unwrap()));
    let mut privileges = match privileges::enter_with(&config, play("broker")) {
        Ok(privileges) => privileges,
        Err(error) => return println!("error: {error}"),
    };
    let mut facts = String::new();
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    for line in status.lines().filter(|l| ["Uid:", "Gid:", "NoNe", "CapE", "CapP"].contains(&&l[..4.min(l.len())])) {
        writeln!(facts, "{}", line.replace('\t', " ")).unwrap();
    }
    writeln!(facts, "user {}", privileges.user).unwrap();
    writeln!(facts, "lost {}", privileges.lost.join(", ")).unwrap();
    writeln!(facts, "shadow {:?}", fs::read("/etc/shadow").map_err(|e| e.kind()).is_ok()).unwrap();
    match DataDir::open(&config.data_dir) {
        Ok(_) => writeln!(facts, "data dir open").unwrap(),
        Err(error) => writeln!(facts, "data dir: {error}").unwrap(),
    }
    let mut broker = privileges.broker.take().unwrap();
    let pong = broker.ping().unwrap();
    let owner = fs::metadata(format!("/proc/{}", pong.pid)).unwrap().uid();
    writeln!(facts, "broker of user {owner}, its own process {}", pong.pid != std::process::id()).unwrap();
    broker.end().unwrap();
    writeln!(facts, "broker gone {}", !Path::new(&format!("/proc/{}", pong.pid)).exists()).unwrap();
    print!("{facts}");
}

#[test]
fn root_becomes_the_service_user_and_keeps_a_broker() {
    match std::env::var(PART).as_deref() {
        Ok("service") => return service(),
        Ok(_) => std::process::exit(if run_broker() == std::process::ExitCode::SUCCESS { 0 } else { 1 }),
        Err(_) if !is_root() => return,
        Err(_) => {}
    }
    let temp = tempfile::tempdir().unwrap();
    fs::set_permissions(temp.path(), Permissions::from_mode(0o711)).unwrap();
    let data = temp.path().join("data");
    let output = as_service(&data);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let user = User::from_name(SERVICE_USER).unwrap().unwrap();
    let (uid, gid) = (user.uid, user.gid);
    for fact in [
        format!("Uid: {uid} {uid} {uid} {uid}"),
        format!("Gid: {gid} {gid} {gid} {gid}"),
        "NoNewPrivs: 1".to_owned(),
        "CapEff: 0000000000000000".to_owned(),
        "CapPrm: 0000000000000000".to_owned(),
        format!("user {SERVICE_USER}"),
        "password ageing and hashes (shadow)".to_owned(),
        "shadow false".to_owned(),
        "data dir open".to_owned(),
        "broker of user 0, its own process true".to_owned(),
        "broker gone true".to_owned(),
    ] {
        assert!(said.contains(&fact), "`{fact}` is missing in\n{said}\n{}", String::from_utf8_lossy(&output.stderr));
    }
    let meta = fs::metadata(&data).unwrap();
    assert_eq!((meta.uid(), meta.mode() & 0o777), (uid.as_raw(), 0o700));
}

/// The service, started by root on this directory, must refuse and say this.
fn check_refused(data: &Path, expected: &str) {
    let said = String::from_utf8_lossy(&as_service(data).stdout).into_owned();
    assert!(said.contains(expected), "`{expected}` is missing in {said}");
}

#[test]
fn a_directory_the_service_user_cannot_reach_is_named() {
    if !is_root() {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    fs::set_permissions(temp.path(), Permissions::from_mode(0o700)).unwrap();
    check_refused(&temp.path().join("data"), &format!("{} does not let user", temp.path().display()));
}

#[test]
fn files_of_others_are_not_taken_over() {
    if !is_root() {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("precious"), "x").unwrap();
    check_refused(temp.path(), "give it over with `chown -R dsmil:");
    let mine = temp.path().join("mine");
    fs::create_dir(&mine).unwrap();
    chown(&mine, Some(4242), Some(4242)).unwrap();
    check_refused(&mine, "belongs to user 4242");
    assert_eq!(fs::metadata(&mine).unwrap().uid(), 4242);
    assert_eq!(fs::metadata(temp.path().join("precious")).unwrap().uid(), 0);
}

#[test]
fn root_is_given_up_before_there_is_a_second_thread_or_not_at_all() {
    if !is_root() {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let refused = std::thread::spawn({
        let config = config(temp.path());
        move || privileges::enter(&config).map(|p| p.user)
    });
    assert!(matches!(refused.join().unwrap(), Err(PrivilegeError::Threads { threads }) if threads > 1));
    assert!(geteuid().is_root());
}

#[test]
fn the_broker_is_deaf_to_ctrl_c_and_ends_with_the_service() {
    let mut broker = BrokerHandle::spawn(play("broker")).unwrap();
    assert_eq!(broker.ping().unwrap().pid, broker.pid());
    // The test program has a second thread that is not deaf, so look at the one that answers instead of killing it.
    let deaf = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];
    let mask = deaf.iter().fold(0_u64, |mask, signal| mask | 1 << (*signal as i32 - 1));
    let blocked = fs::read_dir(format!("/proc/{}/task", broker.pid())).unwrap().map(|task| {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let bits = status.lines().find_map(|l| l.strip_prefix("SigBlk:\t")).unwrap().to_owned();
        u64::from_str_radix(&bits, 16).unwrap()
    });
    assert!(blocked.into_iter().any(|bits| bits & mask == mask));
    broker.end().unwrap();
}

#[test]
fn a_broker_started_by_hand_refuses() {
    let (_ours, theirs) = UnixStream::pair().unwrap();
    // A shell between us: the socket is not that of the broker's parent.
    let mut shell = Command::new("/bin/sh");
    let exe = std::env::current_exe().unwrap();
    shell.args(["-c", "\"$0\" --exact \"$1\" --test-threads=1 --nocapture; echo status $?"]).arg(exe).arg(STAGE);
    shell.env(PART, "broker").stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)));
    let output = shell.output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("started by `dsmil serve` and not by hand"));
    assert!(String::from_utf8_lossy(&output.stdout).contains("status 1"));
}

#[test]
fn an_ordinary_user_has_no_broker_and_is_told_what_that_costs() {
    let temp = tempfile::tempdir().unwrap();
    let mut config = config(temp.path());
    config.roots.etc = temp.path().to_owned();
    let lost = privileges::lost(&config.roots);
    if geteuid().is_root() {
        assert_eq!(lost, Vec::<&str>::new());
    } else {
        assert!(lost.contains(&"firewall rules (nft)"));
        // What the host does not have is not lost.
        assert!(!lost.iter().any(|l| l.contains("shadow")));
        assert!(privileges::enter(&config).unwrap().broker.is_none());
    }
}
