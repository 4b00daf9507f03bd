//! The store as the service runs it: a supervised server, a supervised writer, supervised readers.
use std::fs;
use std::time::Duration;

use dsmil::actors::child::{ChildOptions, ChildSpec, Place, Readiness};
use dsmil::actors::home::Home;
use dsmil::actors::postgres::Postgres;
use dsmil::actors::root::{RootHandle, start_root};
use dsmil::actors::store_reader::StoreReader;
use dsmil::actors::store_writer::StoreWriter;
use dsmil::actors::supervisor::SupervisorSpec;
use dsmil::clock;
use dsmil::messages::port::{AskError, Port};
use dsmil::messages::store::{AppendEntries, AppendRun, BeginEpoch, CountEntries, GetStoreStatus, LoadRun};
use dsmil::resilience::backoff::Backoff;
use dsmil::resilience::restart::Intensity;
use dsmil::resilience::roster::Strategy;
use dsmil::store::cluster::ClusterSpec;
use dsmil::store::writer::Epoch;
use dsmil::workflow::record::StoreError;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::mpsc;

use crate::support::database;
use crate::support::records::{entry, header, new_run, node, row};

struct Store {
    root: RootHandle,
    append: Port<AppendRun>,
    record: Port<AppendEntries>,
    epoch: Port<BeginEpoch>,
    load: Port<LoadRun>,
    count: Port<CountEntries>,
    status: Port<GetStoreStatus>,
    committed: mpsc::UnboundedReceiver<u64>,
}

fn start(spec: &ClusterSpec) -> Store {
    let home = Home::start("data").expect("a thread");
    let options = || ChildOptions {
        readiness: Readiness::WhenReady { within: Duration::from_secs(60) },
        grace: Duration::from_secs(30),
        backoff: Backoff::new(Duration::from_millis(20), Duration::from_millis(200)),
        breaker: None,
        ..ChildOptions::at(Place::Shared(home.clone()))
    };
    let database = spec.database("dsmil");
    let server = spec.clone();
    let (postgres, _) = ChildSpec::worker("postgres", options(), move || Postgres::new(server.clone(), "dsmil"));
    let (say, committed) = mpsc::unbounded_channel();
    let auditor = Port::answering(move |message: dsmil::messages::auditor::EntriesCommitted| {
        say.send(message.size).map_err(|_| AskError::Lost)
    });
    let (epoch, reached) = (Epoch::default(), database.clone());
    let make = move || StoreWriter::new(reached.clone(), node(), epoch.clone(), Some(auditor.clone()));
    let (writer, writing) = ChildSpec::worker("writer", options(), make);
    let readers = database.readers(2).expect("a pool");
    let at_once = ChildOptions { readiness: Readiness::AtOnce, ..options() };
    let (reader, reading) = ChildSpec::worker("readers", at_once, move || StoreReader::new(readers.clone(), node()));
    let intensity = Intensity { max: 20, within: Duration::from_secs(60) };
    let children = vec![postgres, writer, reader];
    let spec = SupervisorSpec { name: "data".into(), strategy: Strategy::RestForOne, intensity, children };
    let root = start_root(spec, |_| ()).expect("a tree");
    let (append, record, epoch) = (writing.port(), writing.port(), writing.port());
    let (load, count, status) = (reading.port(), reading.port(), reading.port());
    Store { root, append, record, epoch, load, count, status, committed }
}

/// Asks until the part is there, as a caller does who may ask again.
async fn patiently<M>(port: &Port<M>, message: M) -> M::Result
where
    M: actix::Message + Clone + Send + 'static,
    M::Result: Send + 'static,
{
    loop {
        match port.ask(message.clone()).await {
            Ok(reply) => return reply,
            Err(AskError::Unavailable { .. } | AskError::Lost) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => panic!("{error}"),
        }
    }
}

fn first_rows() -> AppendRun {
    let run = new_run();
    let header = Some(header(run, "baseline"));
    AppendRun { run, header, registration: None, rows: vec![row(0)], status: "pending".into(), outcome: None }
}

/// None: no server has written its number yet.
fn postmaster(spec: &ClusterSpec) -> Option<i32> {
    let text = fs::read_to_string(spec.data_dir.join("postmaster.pid")).ok()?;
    text.lines().next()?.parse().ok()
}

#[actix::test]
async fn the_store_serves_survives_the_death_of_its_server_and_stops_in_order() {
    let place = database::Place::new();
    let mut store = start(&place.spec);
    let first = first_rows();
    assert_eq!(patiently(&store.append, first.clone()).await.expect("stored").indexes, [Some(0)]);
    assert_eq!(store.record.ask(AppendEntries(vec![entry("a"), entry("b")])).await, Ok(Ok(1..3)));
    assert_eq!(store.epoch.ask(BeginEpoch).await, Ok(Ok(1)));
    assert_eq!([store.committed.recv().await, store.committed.recv().await], [Some(1), Some(3)]);
    let stored = store.load.ask(LoadRun(first.run)).await.expect("asked").expect("read").expect("there");
    assert_eq!(stored.rows.len(), 1);
    assert!(store.status.ask(GetStoreStatus).await.expect("asked").is_ok());

    let killed = postmaster(&place.spec).expect("a server runs");
    kill(Pid::from_raw(killed), Signal::SIGKILL).expect("killed");
    let second = first_rows();
    // Until the server is back the answer is a refusal or an unknown outcome, never silence.
    loop {
        match patiently(&store.append, second.clone()).await {
            Ok(appended) => break assert_eq!(appended.indexes, [Some(3)]),
            Err(StoreError::Unreachable { .. } | StoreError::Unknown { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    // A backend may live on for a moment and answer that append; the server is back when it can be read from.
    let count = loop {
        match patiently(&store.count, CountEntries).await {
            Err(StoreError::Unreachable { .. }) => tokio::time::sleep(Duration::from_millis(10)).await,
            count => break count,
        }
    };
    assert_eq!(count, Ok(4));
    assert_eq!(patiently(&store.epoch, BeginEpoch).await, Ok(1), "the service is the same");

    // The killed server's file may still lie there while its successor is being started.
    let give_up = clock::now() + Duration::from_secs(60);
    while postmaster(&place.spec).is_none_or(|pid| pid == killed) {
        assert!(clock::now() < give_up, "no server follows the one that was killed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Those after it in the tree start anew with it, in their order.
    assert_eq!(patiently(&store.epoch, BeginEpoch).await, Ok(1));
    assert!(matches!(patiently(&store.count, CountEntries).await, Ok(4..)));
    let farewells = store.root.shutdown(Duration::from_secs(30)).await;
    assert_eq!(farewells.left_behind, Vec::<String>::new());
    assert_eq!(farewells.stopped, ["data/readers", "data/writer", "data/postgres", "data"]);
    assert!(!place.spec.data_dir.join("postmaster.pid").exists(), "the server was shut down, not cut off");
}
