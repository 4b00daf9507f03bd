//! The peer as a subject: its server, and a PostgreSQL of its own that is set up as the service sets up its own.
use std::env;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Result};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::{User, geteuid};
use tempfile::TempDir;

use crate::client::Client;
use crate::http::{Address, bad};
use crate::process::Process;

/// Set in the process that is the server: the database it works with.
pub const ROLE: &str = "WORKFLOW_PEERS_DBOS";
const PORT: u16 = 5433;
/// As `src/store/cluster/init.rs` has it.
const INITDB: [&str; 8] = [
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--data-checksums",
    "--no-instructions",
    "--auth-local=trust",
    "--username=dsmil",
];

pub struct Dbos {
    /// Ended before its database.
    server: Option<Process>,
    port: u16,
    cluster: Cluster,
}

struct Cluster {
    process: Process,
    dir: TempDir,
}

impl Dbos {
    /// `settings` are those of the other PostgreSQL; only where the socket is differs.
    pub fn start(programs: &Path, settings: &str) -> Result<Self> {
        let cluster = Cluster::start(programs, settings)?;
        let mut dbos = Dbos { server: None, port: 0, cluster };
        dbos.begin()?;
        Ok(dbos)
    }

    /// Starts the server on the data that is there, and returns once it is ready.
    pub fn begin(&mut self) -> Result<()> {
        let mut command = Command::new(env::current_exe()?);
        command.env(ROLE, self.cluster.url()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let said = child.stdout.take().ok_or_else(|| bad("the server has no output"))?;
        self.server = Some(Process::of(child));
        let mut line = String::new();
        BufReader::new(said).read_line(&mut line)?;
        self.port = line.trim().parse().map_err(|_| bad(format!("the server did not start: it said `{line}`")))?;
        Ok(())
    }

    /// SIGKILL for the server; its PostgreSQL goes on.
    pub fn kill(&mut self) -> Result<()> {
        self.server.take().map_or(Ok(()), |mut server| server.kill())
    }

    /// The server and its PostgreSQL.
    pub fn pids(&self) -> Vec<i32> {
        self.server.iter().chain([&self.cluster.process]).map(Process::pid).collect()
    }

    pub fn client(&self) -> Client {
        Client::dbos(Address { host: format!("127.0.0.1:{}", self.port), headers: String::new() })
    }
}

impl Cluster {
    fn start(programs: &Path, settings: &str) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("dbos-bench-").tempdir()?;
        let user = user()?;
        if let Some(user) = &user {
            chown(dir.path(), Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        fs::set_permissions(dir.path(), Permissions::from_mode(0o700))?;
        let command = |program: &str| {
            let mut command = Command::new(programs.join(program));
            command
                .env_clear()
                .env("LC_ALL", "C")
                .current_dir("/")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            if let Some(user) = &user {
                command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
            }
            command
        };
        let data = dir.path().join("data");
        let made = command("initdb").arg("-D").arg(&data).args(INITDB).status()?;
        if !made.success() {
            return Err(bad(format!("initdb ended with {made}")));
        }
        let conf = data.join("dsmil.conf");
        fs::write(&conf, with_socket(settings, dir.path()))?;
        fs::set_permissions(&conf, Permissions::from_mode(0o644))?;
        let child = command("postgres")
            .arg("-D")
            .arg(&data)
            .arg("-c")
            .arg(format!("config_file={}", conf.display()))
            .spawn()?;
        let mut cluster = Cluster { process: Process::of(child), dir };
        let socket = cluster.dir.path().join(format!(".s.PGSQL.{PORT}"));
        let give_up = Instant::now() + Duration::from_secs(30);
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            cluster.process.check("PostgreSQL")?;
            if Instant::now() > give_up {
                return Err(bad("PostgreSQL is not there after 30 s"));
            }
            sleep(Duration::from_millis(20));
        }
        Ok(cluster)
    }

    /// By the socket, as the service reaches its own.
    fn url(&self) -> String {
        let host = self.dir.path().display().to_string().replace('/', "%2F");
        format!("postgres://dsmil@{host}:{PORT}/peer")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The fast shutdown.
        if let Err(fault) = self.process.end(Signal::SIGINT) {
            eprintln!("the peer's PostgreSQL could not be ended: {fault}");
        }
    }
}

/// PostgreSQL refuses to run as root; the service has made this user for it.
fn user() -> Result<Option<User>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let user = User::from_name("dsmil")?;
    user.map(Some).ok_or_else(|| bad("there is no user dsmil; run scripts/setup"))
}

fn with_socket(settings: &str, dir: &Path) -> String {
    let other = |line: &&str| !line.starts_with("unix_socket_directories") && !line.starts_with("port ");
    let kept: Vec<&str> = settings.lines().filter(other).collect();
    format!("{}\nunix_socket_directories = '{}'\nport = {PORT}\n", kept.join("\n"), dir.display())
}

/// The folder of PostgreSQL's programs, as the service would find it.
pub fn programs(scripts: &Path) -> Result<PathBuf> {
    if let Some(dir) = env::var_os("DSMIL_POSTGRES_BIN_DIR") {
        return Ok(dir.into());
    }
    let output = Command::new(scripts.join("setup")).args(["where", "postgres"]).output()?;
    let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() { Ok(folder.into()) } else { Err(bad("PostgreSQL is not there; run scripts/setup")) }
}
