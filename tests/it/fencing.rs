//! A service that stood still and was replaced meanwhile: what it still believes does no harm.
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::support::database::{OwnCluster, sql};
use crate::support::service::{Home, Service};
use crate::support::until;

fn sleepers(name: &str) -> Value {
    let echo = |id: &str| json!({ "id": id, "agent": "TESTBED", "tool": "cp.echo" });
    json!({ "name": name, "mode": "sequential", "steps": [echo("a"), { "id": "nap", "sleep": "3s" }, echo("b")] })
}

/// Both are the same node on the same database, as after a switch to a standby host.
#[test]
fn a_service_that_was_paused_and_replaced_writes_no_more() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let own = runtime.block_on(OwnCluster::start());
    let database = runtime.block_on(own.database());
    let url = format!("postgres://dsmil@/dsmil?host={}&port=5433", own.place.spec.socket_dir.display());
    let environment = [("DATABASE_URL", url.as_str()), ("DSMIL_NODE_ID", "twin")];
    let (home, other_home) = (Home::new(), Home::new());

    let paused = Service::start_under(&home, &[], &environment);
    let runs: Vec<String> = (0..5).map(|n| paused.submit(&sleepers(&format!("run-{n}")))).collect();
    until("all of them to sleep", || {
        let napping = "SELECT count(*) FROM state.journal WHERE kind = 'step_held'";
        (sql(&database, napping) == "5").then_some(())
    });
    let pid = Pid::from_raw(paused.pid());
    kill(pid, Signal::SIGSTOP).expect("stopped");
    let replacement = Service::start_under(&other_home, &[], &environment);
    for run in &runs {
        assert_eq!(replacement.finished(run)["status"], "succeeded");
    }
    let rows = || sql(&database, "SELECT epoch, count(*) FROM state.journal GROUP BY 1 ORDER BY 1");
    let (before, written) = (rows(), sql(&database, "SELECT count(*) FROM ledger.audit_entries"));
    assert_eq!(before.lines().count(), 2, "two starts of the node have written: {before}");

    kill(pid, Signal::SIGCONT).expect("goes on");
    // It believes that five naps are over, and wants to write so.
    assert!(paused.ended(Duration::from_secs(60)).is_some_and(|status| status != 0), "it sees that it was replaced");
    assert_eq!((rows(), sql(&database, "SELECT count(*) FROM ledger.audit_entries")), (before, written));
    let log = std::fs::read_to_string(home.path("serve.log")).expect("a log");
    assert!(log.contains("of node `twin` was replaced by epoch"), "{log}");

    let run = replacement.submit(&sleepers("after"));
    assert_eq!(replacement.finished(&run)["status"], "succeeded");
    assert_eq!(replacement.stop(), 0);
}
