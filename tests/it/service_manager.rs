//! What systemd sees of the service: readiness, a heart that beats, the end, and an exit status when it gave up.
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dsmil::clock;
use serde_json::{Value, json};

use crate::support::service::{Home, Service};

const PATIENCE: Duration = Duration::from_secs(20);
/// Told twice in each period of the watchdog.
const PERIOD: Duration = Duration::from_millis(400);

/// A service manager that notes what it is told, and when, until the service stops.
fn manager(home: &Home) -> (String, JoinHandle<Vec<(Instant, String)>>) {
    let place = home.path("notify.sock");
    let socket = UnixDatagram::bind(&place).expect("bind");
    // the service gives up root before it speaks
    fs::set_permissions(&place, fs::Permissions::from_mode(0o666)).expect("chmod");
    socket.set_read_timeout(Some(PATIENCE)).expect("timeout");
    let noting = std::thread::spawn(move || {
        let mut heard = Vec::new();
        while heard.last().is_none_or(|(_, last)| last != "STOPPING=1") {
            let mut bytes = [0; 256];
            let read = socket.recv(&mut bytes).expect("the service says something in time");
            heard.push((clock::now(), String::from_utf8_lossy(&bytes[..read]).into_owned()));
        }
        heard
    });
    (place.display().to_string(), noting)
}

/// Kills: a heart that beats though the supervisors are stuck, or none.
#[test]
fn a_service_manager_is_told_of_readiness_of_the_heart_and_of_the_end() {
    let home = Home::new();
    let drills = home.write("drills.toml", "[drills]\nenabled = true\n");
    let (socket, noting) = manager(&home);
    let period = PERIOD.as_micros().to_string();
    let environment = [("NOTIFY_SOCKET", socket.as_str()), ("WATCHDOG_USEC", &period)];
    let service = Service::start_under(&home, &["--config", &drills.display().to_string()], &environment);
    // one supervisor holds the thread that all of them live on
    let held = Duration::from_secs(2);
    let stall = json!({ "fault": "stall", "ms": held.as_millis() });
    assert_eq!(service.post("/api/v1/supervision/watch/drill", &stall).status, 202);
    // answered by the root, hence when the thread is free again
    assert_eq!(service.get("/api/v1/supervision").status, 200);
    assert_eq!(service.stop(), 0);
    let heard = noting.join().expect("the service manager");
    assert_eq!(heard.iter().filter(|(_, said)| said == "READY=1").count(), 1, "{heard:?}");
    let beats: Vec<Instant> = heard.iter().filter(|(_, said)| said == "WATCHDOG=1").map(|(at, _)| *at).collect();
    let gaps = beats.windows(2).map(|two| two[1] - two[0]);
    assert!(gaps.clone().any(|gap| gap > held - PERIOD), "it fell silent: {heard:?}");
    assert!(gaps.filter(|gap| *gap < PERIOD).count() >= 3, "else it was told twice in each period: {heard:?}");
}

#[test]
fn a_service_whose_root_gave_up_ends_with_a_failure_that_says_why() {
    let home = Home::new();
    let drills = home.write("drills.toml", "[drills]\nenabled = true\n");
    let service = Service::start_with(&home, &["--config", &drills.display().to_string()]);
    // the root allows five restarts a minute
    for life in 1..=6 {
        let give_up = clock::now() + PATIENCE;
        while compute(&service) != (json!("up"), json!(life)) {
            assert!(clock::now() < give_up, "the supervisor does not come back: {:?}", compute(&service));
            std::thread::park_timeout(Duration::from_millis(50));
        }
        let drill =
            service.call("POST", "/api/v1/supervision/compute/drill", Some(String::new()), Some(&service.token));
        assert_eq!(drill.status, 202, "{}", drill.body);
    }
    assert_eq!(service.ended(PATIENCE), Some(1));
    let said = fs::read_to_string(home.path("serve.log")).expect("log");
    assert!(
        said.contains("the service gave up: more than 5 restarts within 60s; the last: compute panicked"),
        "{said}"
    );
}

/// State and life of a supervisor that everything else can do without for a time.
fn compute(service: &Service) -> (Value, Value) {
    let tree = service.get("/api/v1/supervision").json();
    let children = tree["children"].as_array().expect("children");
    let compute = children.iter().find(|child| child["name"] == "compute").expect("compute");
    (compute["state"].clone(), compute["epoch"].clone())
}
