//! The whole service as its user meets it: the real binary, its own data directory, PostgreSQL and swtpm.
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use dsmil::clock;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_dsmil");
const START: Duration = Duration::from_secs(60);

/// A data directory that outlives the services started in it.
pub struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("dsmil-it-").tempdir().expect("temp dir");
        // Started as root, the service becomes the system user, who must get through to the data directory.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
        Home { dir }
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("write");
        path
    }

    /// Processes of this program whose command line names this data directory.
    pub fn children(&self, program: &str) -> Vec<Pid> {
        let place = self.data().display().to_string();
        let ours = |pid: &i32| {
            let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let name = String::from_utf8_lossy(&read("comm")).trim() == program;
            name && String::from_utf8_lossy(&read("cmdline")).contains(&place)
        };
        let entries = fs::read_dir("/proc").expect("/proc").flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        pids.filter(ours).map(Pid::from_raw).collect()
    }

    /// Makes the data directory with files in it, as its service would own them.
    pub fn fill(&self, files: &[(&str, &str)]) {
        fs::create_dir_all(self.data()).expect("mkdir");
        for (name, text) in files {
            fs::write(self.data().join(name), text).expect("write");
        }
        if let Some(user) = nix::unistd::User::from_name("dsmil").expect("user").filter(|_| geteuid().is_root()) {
            std::os::unix::fs::chown(self.data(), Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("chown");
        }
    }

    /// A command of the tool, told where the data directory is.
    pub fn dsmil(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("run dsmil")
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command
            .arg("--data-dir")
            .arg(self.data())
            .args(args)
            // A port of its own for each: tests run side by side.
            .env("DSMIL_WEB_LISTEN", "127.0.0.1:0")
            .env_remove("DATABASE_URL")
            .env_remove("DSMIL_URL")
            .env_remove("DSMIL_TOKEN");
        command
    }
}

impl Drop for Home {
    /// Children of a service that was killed on purpose are ended here, and only those: their command lines name us.
    fn drop(&mut self) {
        for pid in ["postgres", "swtpm"].into_iter().flat_map(|name| self.children(name)) {
            if let Err(error) = kill(pid, Signal::SIGKILL) {
                eprintln!("an orphan of this test could not be ended: {error}");
            }
        }
    }
}

/// A running service; ended when dropped.
pub struct Service {
    pub url: String,
    pub token: String,
    child: Child,
}

impl Service {
    /// Starts on a free port and waits until it is ready.
    pub fn start(home: &Home) -> Self {
        Service::start_with(home, &[])
    }

    pub fn start_with(home: &Home, extra: &[&str]) -> Self {
        Service::start_under(home, extra, &[])
    }

    /// With these variables of the environment.
    pub fn start_under(home: &Home, extra: &[&str], environment: &[(&str, &str)]) -> Self {
        let ready = home.data().join("run/service.json");
        if let Err(error) = fs::remove_file(&ready) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
        }
        let log = fs::File::create(home.path("serve.log")).expect("log file");
        let mut args = vec!["serve", "--listen", "127.0.0.1:0"];
        args.extend(extra);
        let mut command = home.command(&args);
        let command = command.envs(environment.iter().copied());
        let mut child = command.stdout(Stdio::null()).stderr(log).spawn().expect("start dsmil serve");
        let give_up = clock::now() + START;
        let found = loop {
            if let Some(found) = fs::read(&ready).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok()) {
                break found;
            }
            let log = || fs::read_to_string(home.path("serve.log")).unwrap_or_default();
            if let Some(status) = child.try_wait().expect("wait") {
                panic!("the service ended with {status} before it was ready:\n{}", log());
            }
            assert!(clock::now() < give_up, "the service is not ready after {START:?}:\n{}", log());
            std::thread::park_timeout(Duration::from_millis(10));
        };
        // Gone once there is another admin token; such a test has one.
        let token = fs::read_to_string(home.data().join("admin.token")).unwrap_or_default().trim().to_owned();
        Service { url: found["url"].as_str().expect("url").to_owned(), token, child }
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("pid")
    }

    pub fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None, Some(&self.token))
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, Some(body.to_string()), Some(&self.token))
    }

    pub fn call(&self, method: &str, path: &str, body: Option<String>, token: Option<&str>) -> Answer {
        let bearer = token.map(|token| format!("Authorization: Bearer {token}"));
        self.call_with(method, path, body, &bearer.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// With headers of the caller's.
    pub fn call_with(&self, method: &str, path: &str, body: Option<String>, headers: &[&str]) -> Answer {
        self.caller().try_call(method, path, body, headers).expect("an answer")
    }

    /// Who asks for as long as there is a service.
    pub fn caller(&self) -> Caller {
        Caller { host: self.url.strip_prefix("http://").expect("http").to_owned(), token: self.token.clone() }
    }

    /// Submits a workflow and gives the id of its run.
    pub fn submit(&self, document: &Value) -> String {
        let answer = self.post("/api/v1/workflows", document);
        assert_eq!(answer.status, 202, "{}", answer.body);
        answer.json()["workflow_id"].as_str().expect("workflow_id").to_owned()
    }

    /// The run, once it has ended.
    pub fn finished(&self, run: &str) -> Value {
        let give_up = clock::now() + Duration::from_secs(120);
        loop {
            let answer = self.get(&format!("/api/v1/workflows/{run}?wait=30s"));
            // The database may be on its way back: that is for the caller to sit out.
            if answer.status == 503 {
                assert!(clock::now() < give_up, "the service does not come back: {}", answer.body);
                std::thread::park_timeout(Duration::from_millis(100));
                continue;
            }
            assert_eq!(answer.status, 200, "{}", answer.body);
            let shape = answer.json();
            let status = shape["status"].as_str().expect("status");
            if !matches!(status, "pending" | "running" | "paused" | "waiting") {
                return shape;
            }
            assert!(clock::now() < give_up, "run {run} does not end: {shape:#}");
        }
    }

    /// The exit status, once it ends by itself; none if that takes longer.
    pub fn ended(mut self, within: Duration) -> Option<i32> {
        let give_up = clock::now() + within;
        while clock::now() < give_up {
            if let Some(status) = self.child.try_wait().expect("wait") {
                return status.code();
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        None
    }

    /// SIGKILL: no clean-up of any kind.
    pub fn kill(mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }

    /// SIGTERM, and the exit status.
    pub fn stop(mut self) -> i32 {
        kill(Pid::from_raw(self.pid()), Signal::SIGTERM).expect("terminate");
        self.child.wait().expect("wait").code().unwrap_or(-1)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
            return;
        }
        let stopped = kill(Pid::from_raw(self.pid()), Signal::SIGTERM);
        let give_up = clock::now() + Duration::from_secs(20);
        while stopped.is_ok() && clock::now() < give_up {
            if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("the service could not be ended: {error}");
        }
    }
}

/// Who asks a service that may be gone by then.
#[derive(Clone)]
pub struct Caller {
    host: String,
    token: String,
}

impl Caller {
    pub fn get(&self, path: &str) -> io::Result<Answer> {
        self.try_call("GET", path, None, &[&format!("Authorization: Bearer {}", self.token)])
    }

    pub fn post(&self, path: &str, body: &Value, headers: &[&str]) -> io::Result<Answer> {
        let bearer = format!("Authorization: Bearer {}", self.token);
        let headers: Vec<&str> = headers.iter().copied().chain([bearer.as_str()]).collect();
        self.try_call("POST", path, Some(body.to_string()), &headers)
    }

    fn try_call(&self, method: &str, path: &str, body: Option<String>, headers: &[&str]) -> io::Result<Answer> {
        let host = &self.host;
        let mut stream = TcpStream::connect(host)?;
        stream.set_read_timeout(Some(Duration::from_secs(90)))?;
        let body = body.unwrap_or_default();
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}");
        let request = format!("{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes())?;
        Answer::read(BufReader::new(stream))
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    fn read(mut from: BufReader<TcpStream>) -> io::Result<Self> {
        let mut line = String::new();
        from.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status in {line:?}")))?;
        let mut headers = Vec::new();
        loop {
            line.clear();
            from.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let length =
            headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, value)| value.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        from.read_exact(&mut body)?;
        Ok(Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.body))
    }
}
