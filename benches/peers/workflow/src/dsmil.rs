//! The service as its users have it: the release binary with its defaults, a data directory, PostgreSQL and swtpm.
use std::fs::{self, File, Permissions};
use std::io::Result;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Client, Trips};
use crate::http::{Address, bad};
use crate::process::{Process, end_orphans};

const START: Duration = Duration::from_secs(60);

pub struct Dsmil {
    program: PathBuf,
    dir: TempDir,
    process: Option<Process>,
    url: String,
}

impl Dsmil {
    pub fn start(program: &Path) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("dsmil-bench-").tempdir()?;
        // Started as root, the service becomes the system user, who must get through to the data directory.
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755))?;
        let mut dsmil = Dsmil { program: program.to_owned(), dir, process: None, url: String::new() };
        dsmil.begin()?;
        Ok(dsmil)
    }

    /// Starts the service on the data that is there, and returns once it is ready.
    pub fn begin(&mut self) -> Result<()> {
        let ready = self.data().join("run/service.json");
        if ready.exists() {
            fs::remove_file(&ready)?;
        }
        let log = self.dir.path().join("serve.log");
        let mut command = Command::new(&self.program);
        command.arg("--data-dir").arg(self.data()).args(["serve", "--listen", "127.0.0.1:0"]);
        for variable in ["DATABASE_URL", "DSMIL_URL", "DSMIL_TOKEN"] {
            command.env_remove(variable);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?).spawn()?;
        let process = self.process.insert(Process::of(child));
        let give_up = Instant::now() + START;
        let found = loop {
            let found = fs::read(&ready).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
            if let Some(found) = found {
                break found;
            }
            let told = |_| bad(format!("dsmil did not start:\n{}", fs::read_to_string(&log).unwrap_or_default()));
            process.check("dsmil").map_err(told)?;
            if Instant::now() > give_up {
                return Err(bad(format!("dsmil is not ready after {START:?}")));
            }
            sleep(Duration::from_millis(5));
        };
        let url = found["url"].as_str().and_then(|url| url.strip_prefix("http://"));
        self.url = url.ok_or_else(|| bad("dsmil has no address"))?.to_owned();
        Ok(())
    }

    /// SIGKILL for the service; its PostgreSQL and swtpm stay behind.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), |mut process| process.kill())
    }

    pub fn pid(&self) -> Option<i32> {
        self.process.as_ref().map(Process::pid)
    }

    pub fn client(&self, trips: Trips) -> Result<Client> {
        let token = fs::read_to_string(self.data().join("admin.token"))?;
        let headers = format!("authorization: Bearer {}\r\n", token.trim());
        Ok(Client::dsmil(Address { host: self.url.clone(), headers }, trips))
    }

    /// The settings that the service has written for its PostgreSQL.
    pub fn postgres_settings(&self) -> Result<String> {
        fs::read_to_string(self.data().join("postgres/data/dsmil.conf"))
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }
}

impl Drop for Dsmil {
    fn drop(&mut self) {
        if let Some(Err(fault)) = self.process.take().map(|mut process| process.end(Signal::SIGTERM)) {
            eprintln!("the service could not be ended: {fault}");
        }
        end_orphans(&self.data());
    }
}
