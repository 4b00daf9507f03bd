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
