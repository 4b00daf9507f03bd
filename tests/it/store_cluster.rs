//! The private PostgreSQL cluster: made once, taken over from the killed, never taken from others.
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Instant;

use dsmil::clock;
use dsmil::store::cluster::{Cluster, ClusterError, RunAs};
use dsmil::store::database::Database;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

use crate::support::database::{OwnCluster, Place, bin_dir, sql};

async fn start_error(place: &Place) -> ClusterError {
    Cluster::start(&place.spec).await.expect_err("it must not start")
}

fn is_running(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[tokio::test]
async fn a_cluster_keeps_its_data_over_a_stop_and_starts_again_quickly() {
    let mut own = OwnCluster::start().await;
    let database = own.database().await;
    sql(&database, "CREATE TABLE kept AS SELECT 42 AS n");
    for (setting, expected) in [
        ("listen_addresses", ""),
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("jit", "off"),
        ("data_checksums", "on"),
        ("unix_socket_permissions", "0700"),
        ("server_encoding", "UTF8"),
    ] {
        assert_eq!(sql(&database, &format!("SHOW {setting}")), expected, "{setting}");
    }
    let collation = "SELECT datlocprovider, datlocale FROM pg_database WHERE datname = 'dsmil'";
    assert_eq!(sql(&database, collation), "b|C.UTF-8");
    let url = format!("postgres://dsmil@/dsmil?host={}&port=5433", own.place.spec.socket_dir.display());
    Database::from_url(&url).expect("a URL").check().await.expect("an operator's URL leads to it too");
    own.cluster.take().expect("running").stop().await.expect("stopped");
    assert!(!is_running(own.pid()));

    let begun: Instant = clock::now();
    own.start_again().await;
    let took = clock::now().duration_since(begun);
    assert!(took.as_secs() < 10, "a start without work took {took:?}");
    assert_eq!(sql(&own.database().await, "SELECT n FROM kept"), "42");
}

#[tokio::test]
async fn the_server_of_a_killed_service_is_ended_and_replaced() {
    let mut own = OwnCluster::start().await;
    sql(&own.database().await, "CREATE TABLE kept AS SELECT 42 AS n");
    let orphan = own.pid();
    // Dropping the handle leaves the server running, as SIGKILL of the service would.
    own.cluster = None;
    assert!(is_running(orphan));
    own.start_again().await;
    assert!(!is_running(orphan) && own.pid() != orphan);
    assert_eq!(sql(&own.database().await, "SELECT n FROM kept"), "42");
}

#[tokio::test]
async fn a_server_that_is_not_ours_is_left_alone() {
    let mut own = OwnCluster::start().await;
    own.cluster.take().expect("running").stop().await.expect("stopped");
    let mut foreign = Command::new(bin_dir().join("postgres"));
    foreign
        .arg("-D")
        .arg(&own.place.spec.data_dir)
        .arg("-k")
        .arg(own.place.dir.path())
        .args(["-c", "listen_addresses="]);
    if let Some(RunAs { uid, gid }) = own.place.spec.run_as {
        foreign.uid(uid).gid(gid);
    }
    let mut foreign = foreign.current_dir("/").stderr(Stdio::null()).stdout(Stdio::null()).spawn().expect("started");
    let pid_file = own.place.spec.data_dir.join("postmaster.pid");
    while !fs::read_to_string(&pid_file).is_ok_and(|text| text.contains("ready")) {
        assert!(foreign.try_wait().expect("a child").is_none(), "the foreign server ended");
        tokio::task::yield_now().await;
    }
    let refused = start_error(&own.place).await;
    let pid = i32::try_from(foreign.id()).expect("a pid");
    let untouched = foreign.try_wait().expect("a child").is_none();
    kill(Pid::from_raw(pid), Signal::SIGINT).expect("stopped");
    foreign.wait().expect("ended");
    assert!(matches!(&refused, ClusterError::InUse { pid: found, .. } if *found == pid), "{refused}");
    assert!(refused.to_string().contains("which this service did not start: stop it first"), "{refused}");
    assert!(untouched);
    own.start_again().await;
}

/// The number may also be that of a zombie, which to the server is alive.
#[tokio::test]
async fn lock_files_whose_number_was_used_again_are_stale() {
    let mut own = OwnCluster::start().await;
    own.kill();
    own.cluster.take().expect("it was running").wait().await;
    let spec = &own.place.spec;
    let socket_lock = spec.socket_dir.join(format!(".s.PGSQL.{}.lock", spec.port));
    for lock in [spec.data_dir.join("postmaster.pid"), socket_lock] {
        let text = fs::read_to_string(&lock).expect("left behind");
        let ours = std::process::id().to_string();
        fs::write(&lock, text.replacen(&own.pid().to_string(), &ours, 1)).expect("written");
    }
    own.start_again().await;
}

#[tokio::test]
async fn one_service_at_a_time_uses_a_cluster() {
    let own = OwnCluster::start().await;
    let refused = start_error(&own.place).await;
    assert!(matches!(refused, ClusterError::Locked { .. }), "{refused}");
    assert!(is_running(own.pid()));
}

#[tokio::test]
async fn a_data_directory_with_a_long_path_gets_a_short_socket() {
    let mut place = Place::new();
    let deep = place.dir.path().join("d".repeat(60)).join("e".repeat(60));
    place.spec.data_dir = deep.join("data");
    place.spec.socket_dir = deep.join("socket");
    let cluster = Cluster::start(&place.spec).await.expect("a cluster");
    let socket_dir = cluster.socket_dir().to_owned();
    let answer = sql(&cluster.ensure_database("dsmil").await.expect("a database"), "SELECT 1");
    cluster.stop().await.expect("stopped");
    fs::remove_dir_all(&socket_dir).expect("removed");
    assert_eq!(answer, "1");
    assert!(socket_dir.starts_with("/tmp") && socket_dir.as_os_str().len() < 60, "{socket_dir:?}");
}

#[tokio::test]
async fn an_initdb_that_never_finished_is_done_again() {
    let mut own = OwnCluster { place: Place::new(), pid: 0, cluster: None };
    let half = own.place.dir.path().join("data.unfinished-1");
    fs::create_dir_all(half.join("base")).expect("made");
    fs::write(half.join("PG_VERSION"), "18\n").expect("written");
    own.start_again().await;
    assert!(!half.exists());
}

#[tokio::test]
async fn what_is_no_cluster_of_this_version_is_refused_with_what_to_do() {
    let place = Place::new();
    let data_dir = &place.spec.data_dir;
    fs::create_dir(data_dir).expect("made");
    fs::write(data_dir.join("thesis.odt"), "precious").expect("written");
    let refused = start_error(&place).await;
    assert!(matches!(refused, ClusterError::NotACluster { .. }), "{refused}");
    fs::write(data_dir.join("PG_VERSION"), "16\n").expect("written");
    let refused = start_error(&place).await.to_string();
    assert!(
        refused.contains("PostgreSQL 16") && refused.contains("version 18") && refused.contains("pg_upgrade"),
        "{refused}"
    );
    assert!(data_dir.join("thesis.odt").exists());
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why() {
    let mut own = OwnCluster::start().await;
    own.cluster.take().expect("running").stop().await.expect("stopped");
    let auto = own.place.spec.data_dir.join("postgresql.auto.conf");
    fs::write(&auto, "shared_buffers = 'lots'\n").expect("written");
    let refused = start_error(&own.place).await;
    assert!(matches!(&refused, ClusterError::Ended { detail, .. } if detail.contains("shared_buffers")), "{refused}");
    let mut place = Place::new();
    place.spec.bin_dir = "/nonexistent".into();
    let refused = start_error(&place).await.to_string();
    assert!(refused.contains("/nonexistent/postgres") && refused.contains("postgres.bin_dir"), "{refused}");
}

#[tokio::test]
async fn root_is_told_that_postgresql_refuses_root() {
    let mut place = Place::new();
    place.spec.run_as = None;
    if geteuid().is_root() {
        assert!(matches!(start_error(&place).await, ClusterError::Root));
    } else {
        // An ordinary user needs no other.
        let cluster = Cluster::start(&place.spec).await.expect("a cluster");
        cluster.stop().await.expect("stopped");
    }
}

#[tokio::test]
async fn the_end_of_the_server_is_noticed_with_its_reason() {
    let mut own = OwnCluster::start().await;
    own.kill();
    let reason = own.cluster.as_mut().expect("it was running").wait().await;
    assert!(reason.starts_with("postgres exited: signal: 9"), "{reason}");
    own.cluster = None;
}
