//! What systemd sees of the service: readiness, a heart that beats, the end, and an exit status when it gave up.
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use dsmil::clock;
use serde_json::{Value, json};

use crate::support::service::{Home, Service};

const PATIENCE: Duration = Duration::from_secs(20);
/// Told twice in each period of the watchdog.
const PERIOD: Duration = Duration::from_millis(400);

/// The socket of a service manager that writes down what it is told.
struct Manager(UnixDatagram);

impl Manager {
    fn listen(home: &Home) -> (Manager, String) {
        let place = home.path("notify.sock");
        let socket = UnixDatagram::bind(&place).expect("bind");
        // the service gives up root before it speaks
        fs::set_permissions(&place, fs::Permissions::from_mode(0o666)).expect("chmod");
        socket.set_read_timeout(Some(PATIENCE)).expect("timeout");
        (Manager(socket), place.display().to_string())
    }

    fn hears(&self) -> String {
        let mut bytes = [0; 256];
        let read = self.0.recv(&mut bytes).expect("the service says something in time");
        String::from_utf8_lossy(&bytes[..read]).into_owned()
    }
}

/// Kills: a heart that beats though the supervisors are stuck, or none.
#[test]
fn a_service_manager_is_told_of_readiness_of_the_heart_and_of_the_end() {
    let home = Home::new();
    let drills = home.write("drills.toml", "[drills]\nenabled = true\n");
    let (manager, socket) = Manager::listen(&home);
    let period = PERIOD.as_micros().to_string();
    let environment = [("NOTIFY_SOCKET", socket.as_str()), ("WATCHDOG_USEC", &period)];
    let service = Service::start_under(&home, &["--config", &drills.display().to_string()], &environment);
    // during the start the heart beats already
    while manager.hears() != "READY=1" {}
    for _ in 0..5 {
        assert_eq!(manager.hears(), "WATCHDOG=1");
    }
    // one supervisor holds the thread that all of them live on
    let held = Duration::from_secs(2);
    let stall = json!({ "fault": "stall", "ms": held.as_millis() });
    assert_eq!(service.post("/api/v1/supervision/watch/drill", &stall).status, 202);
    let mut longest = Duration::ZERO;
    while longest < held - PERIOD {
        let began = clock::now();
        assert_eq!(manager.hears(), "WATCHDOG=1");
        longest = longest.max(clock::now() - began);
    }
    assert_eq!(service.stop(), 0);
    while manager.hears() != "STOPPING=1" {}
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
        let drill = service.call("POST", "/api/v1/supervision/compute/drill", Some(String::new()), Some(&service.token));
        assert_eq!(drill.status, 202, "{}", drill.body);
    }
    assert_eq!(service.ended(PATIENCE), Some(1));
    let said = fs::read_to_string(home.path("serve.log")).expect("log");
    assert!(said.contains("the service gave up: more than 5 restarts within 60s; the last: compute panicked"), "{said}");
}

/// State and life of a supervisor that everything else can do without for a time.
fn compute(service: &Service) -> (Value, Value) {
    let tree = service.get("/api/v1/supervision").json();
    let children = tree["children"].as_array().expect("children");
    let compute = children.iter().find(|child| child["name"] == "compute").expect("compute");
    (compute["state"].clone(), compute["epoch"].clone())
}
