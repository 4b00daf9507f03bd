//! The run-time state of units, from systemd over the system bus.
use std::collections::{BTreeMap, HashMap};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use zbus::{Connection, OwnedObjectPath, OwnedVariant};

use crate::tools::evidence::Reader;
use crate::tools::evidence::Started;
use crate::tools::evidence::Unread;
use crate::tools::evidence::sha256;
use crate::tools::host::unit_files;

const PATIENCE: Duration = Duration::from_secs(10);
const SYSTEMD: &str = "org.freedesktop.systemd1";

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunState {
    pub load: String,
    pub active: String,
    pub sub: String,
    /// Of services that systemd has loaded.
    pub restarts: Option<u32>,
    pub result: Option<String>,
    pub main_pid: Option<u32>,
}

/// Name, description, load, active, sub, followed, object, job id, job type, job object.
type Listed = (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

/// The units that systemd has loaded. Must be called on a blocking thread: it runs a small runtime of its own.
pub fn read(reader: &mut Reader<'_>) -> Result<BTreeMap<String, RunState>, Unread> {
    let socket = reader.root("run/dbus/system_bus_socket");
    let what = socket.display().to_string();
    let started = Started::now(reader.cx);
    let stream = UnixStream::connect(&socket).map_err(|error| Unread::from_io(&socket, &error))?;
    let failed = |why: String| Unread::Io { what: what.clone(), why };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed(error.to_string()))?;
    let patience = PATIENCE.min(reader.cx.remaining());
    let (units, bytes) = runtime
        .block_on(async { tokio::time::timeout(patience, ask(stream)).await })
        .map_err(|_| failed(format!("systemd did not answer within {} s", patience.as_secs())))?
        .map_err(|error| failed(error.to_string()))?;
    let source = format!("{what} {SYSTEMD}.Manager.ListUnits and properties of services");
    reader.push(started.evidence(reader.cx, source, sha256(&bytes), bytes.len() as u64, false));
    Ok(units)
}

/// The units, and the raw bodies of all answers.
async fn ask(stream: UnixStream) -> zbus::Result<(BTreeMap<String, RunState>, Vec<u8>)> {
    let bus = zbus::connection::Builder::unix_stream(stream).build().await?;
    let manager = Some("org.freedesktop.systemd1.Manager");
    let answer = bus.call_method(Some(SYSTEMD), "/org/freedesktop/systemd1", manager, "ListUnits", &()).await?;
    let body = answer.body();
    let mut bytes = body.data().to_vec();
    let listed: Vec<Listed> = body.deserialize()?;
    let mut units = BTreeMap::new();
    for (name, _, load, active, sub, _, path, ..) in listed {
        if !unit_files::starts_something(&name) {
            continue;
        }
        let mut state = RunState { load, active, sub, ..RunState::default() };
        if name.ends_with(".service") && state.load == "loaded" {
            add_service(&bus, &path, &mut state, &mut bytes).await?;
        }
        units.insert(name, state);
    }
    Ok((units, bytes))
}

async fn add_service(
    bus: &Connection,
    path: &OwnedObjectPath,
    state: &mut RunState,
    bytes: &mut Vec<u8>,
) -> zbus::Result<()> {
    let properties = Some("org.freedesktop.DBus.Properties");
    let of = "org.freedesktop.systemd1.Service";
    let answer = match bus.call_method(Some(SYSTEMD), path.as_ref(), properties, "GetAll", &of).await {
        Ok(answer) => answer,
        // the unit was unloaded since it was listed
        Err(zbus::Error::MethodError(..)) => return Ok(()),
        Err(error) => return Err(error),
    };
    let body = answer.body();
    bytes.extend_from_slice(body.data());
    let values: HashMap<String, OwnedVariant> = body.deserialize()?;
    let number = |name: &str| values.get(name).and_then(|value| value.downcast_ref::<u32>().ok());
    state.restarts = number("NRestarts");
    state.main_pid = number("MainPID").filter(|pid| *pid != 0);
    state.result = values.get("Result").and_then(|value| value.downcast_ref::<String>().ok());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::path::Path;
    use std::process::{Child, Command, Stdio};
    use std::sync::mpsc;

    use futures_util::StreamExt;
    use zbus::{MessageStream, Variant};

    use super::*;
    use crate::tools::fixture_cx::FixtureCx;
    use crate::tools::program;

    /// A bus of our own at the place of the system bus; ends with the test.
    struct Bus(Child);

    impl Drop for Bus {
        fn drop(&mut self) {
            self.0.kill().expect("the bus was ours to end");
            self.0.wait().expect("and is reaped");
        }
    }

    fn bus(daemon: &Path, root: &Path) -> Bus {
        std::fs::create_dir_all(root.join("run/dbus")).expect("mkdir");
        let socket = root.join("run/dbus/system_bus_socket");
        let allowed = "<allow send_destination=\"*\"/><allow receive_sender=\"*\"/><allow own=\"*\"/>";
        let rules = format!("<policy context=\"default\">{allowed}</policy>");
        let listen = format!("<listen>unix:path={}</listen><auth>EXTERNAL</auth>", socket.display());
        let config = root.join("bus.conf");
        std::fs::write(&config, format!("<busconfig><type>session</type>{listen}{rules}</busconfig>")).expect("write");
        let mut child = Command::new(daemon)
            .arg(format!("--config-file={}", config.display()))
            .args(["--nofork", "--print-address"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("dbus-daemon starts");
        let mut ready = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut ready).expect("its address");
        assert!(ready.contains("unix:path"), "{ready}");
        Bus(child)
    }

    fn listed(name: &str, load: &str, active: &str, sub: &str) -> Listed {
        let path = |text: &str| OwnedObjectPath::try_from(text.to_owned()).expect("an object path");
        let [name, load, active, sub] = [name, load, active, sub].map(str::to_owned);
        let empty = String::new;
        (name, empty(), load, active, sub, empty(), path("/unit"), 0, empty(), path("/"))
    }

    /// Answers as systemd would, until the bus ends.
    async fn systemd(stream: UnixStream, ready: mpsc::Sender<()>) {
        let bus = zbus::connection::Builder::unix_stream(stream).build().await.expect("on the bus");
        let mut messages = MessageStream::from(&bus);
        bus.request_name(SYSTEMD).await.expect("the name is free");
        ready.send(()).expect("the test waits");
        while let Some(Ok(message)) = messages.next().await {
            let header = message.header();
            match header.member().map(|member| member.as_str()) {
                Some("ListUnits") => {
                    let units = vec![
                        listed("cron.service", "loaded", "active", "running"),
                        listed("gone.service", "not-found", "inactive", "dead"),
                        listed("apt-daily.timer", "loaded", "active", "waiting"),
                        listed("basic.target", "loaded", "active", "active"),
                    ];
                    bus.reply(&header, &units).await.expect("answered");
                }
                Some("GetAll") => {
                    let values: HashMap<&str, Variant<'_>> = HashMap::from([
                        ("NRestarts", Variant::from(2_u32)),
                        ("MainPID", Variant::from(812_u32)),
                        ("Result", Variant::from("success")),
                        ("Type", Variant::from("simple")),
                    ]);
                    bus.reply(&header, &values).await.expect("answered");
                }
                _ => {}
            }
        }
    }

    #[test]
    fn systemd_is_asked_over_the_bus() {
        let daemon = program::find("dbus-daemon").expect("the test needs `dbus-daemon`: apt-get install dbus");
        let dir = tempfile::tempdir().expect("a temp dir");
        let bus = bus(&daemon, dir.path());
        let stream = UnixStream::connect(dir.path().join("run/dbus/system_bus_socket")).expect("the bus listens");
        let (sender, ready) = mpsc::channel();
        let server = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(systemd(stream, sender));
        });
        ready.recv_timeout(Duration::from_secs(30)).expect("the fake systemd is on the bus");
        let cx = FixtureCx::at(dir.path());
        let mut reader = Reader::new(&cx);
        let states = read(&mut reader).expect("systemd answers");
        drop(bus);
        server.join().expect("the fake systemd ends with its bus");
        let cron = RunState {
            load: "loaded".to_owned(),
            active: "active".to_owned(),
            sub: "running".to_owned(),
            restarts: Some(2),
            result: Some("success".to_owned()),
            main_pid: Some(812),
        };
        assert_eq!(states.get("cron.service"), Some(&cron));
        assert_eq!(
            states.keys().map(String::as_str).collect::<Vec<_>>(),
            ["apt-daily.timer", "cron.service", "gone.service"]
        );
        assert_eq!(states["gone.service"].restarts, None, "what is not loaded has no properties");
        let output = reader.finish(serde_json::json!({}));
        assert!(output.evidence[0].source.ends_with("ListUnits and properties of services"));
        assert!(output.evidence[0].bytes > 100);
    }

    #[test]
    fn no_bus_is_a_missing_facility() {
        let cx = FixtureCx::empty();
        assert_eq!(read(&mut Reader::new(&cx)).expect_err("no bus").reason().code, "no_facility");
    }
}
