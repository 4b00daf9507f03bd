//! Somebody else at the same files at the same time, between any two moves of the tool.
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::FlockOperation;

use crate::toolkit::cx::CancelFlag;
use crate::toolkit::cx::ToolCx;
use crate::toolkit::output::Status;
use crate::tools::fs::refused::Refused;
use crate::tools::fs::scratch::Ground;
use crate::tools::fs::spot::Spot;
use crate::tools::fs::undo_store::UndoStore;
use crate::tools::fs::write_plan::WritePlan;
use crate::tools::fs::write_tests::{Host, input, ok, refused};

fn hold(host: &Host, name: &str) -> (Spot, UndoStore) {
    let ground = Ground::open(&host.cx.writes.scratch, name).expect("the root");
    let dir = ground.parent().expect("opened").expect("there");
    let spot = Spot::hold(&host.cx, dir, ground.name(), &ground.full()).expect("held");
    (spot, UndoStore::new(&host.cx.writes.undo))
}

/// Everything up to the exchange, then `meanwhile`, then the rest of it.
fn interrupted(host: &Host, meanwhile: impl Fn()) -> Result<(), Refused> {
    let plan = WritePlan::parse(&host.planned(input("f", "mine"))).expect("a plan");
    let before = plan.before.clone().expect("there");
    let (spot, store) = hold(host, "f");
    spot.write_part(b"mine", &before.look()).expect("written");
    spot.arm().expect("armed");
    meanwhile();
    spot.exchange()?;
    spot.conclude(&store, |out| out.same(&before))
}

#[test]
fn what_somebody_writes_right_before_the_exchange_is_put_back() {
    let theirs = |host: &Host| drop(host.put("f", "theirs", 0o600));
    let replaced = |host: &Host| {
        host.put("new", "theirs", 0o644);
        fs::rename(host.at("new"), host.at("f")).expect("renamed");
    };
    let linked = |host: &Host| {
        fs::remove_file(host.at("f")).expect("removed");
        symlink("/etc/passwd", host.at("f")).expect("a link");
    };
    let dir = |host: &Host| {
        fs::remove_file(host.at("f")).expect("removed");
        fs::create_dir(host.at("f")).expect("a directory");
    };
    let chmod = |host: &Host| drop(host.put("f", "old", 0o666));
    let removed = |host: &Host| fs::remove_file(host.at("f")).expect("removed");
    let meanwhile: [&dyn Fn(&Host); 6] = [&theirs, &replaced, &linked, &dir, &chmod, &removed];
    for (number, change) in meanwhile.into_iter().enumerate() {
        let (host, other) = (Host::new(), Host::new());
        host.put("f", "old", 0o600);
        other.put("f", "old", 0o600);
        change(&other);
        let result = interrupted(&host, || change(&host));
        assert!(matches!(result, Err(Refused::ChangedSince { .. })), "{number}: {result:?}");
        let names = |host: &Host| -> Vec<_> {
            let root = &host.cx.writes.scratch;
            host.tree().into_iter().map(|(path, what)| (path.strip_prefix(root).map(ToOwned::to_owned), what)).collect()
        };
        assert_eq!(names(&host), names(&other), "{number}: as if the tool had never been there");
    }
}

#[test]
fn what_somebody_writes_right_before_a_new_file_is_taken_away_is_put_back() {
    let host = Host::new();
    let plan = host.planned(input("f", "mine"));
    ok(&host.apply(&plan));
    host.put("f", "theirs", 0o640);
    let theirs = host.tree();
    let plan = WritePlan::parse(&plan).expect("a plan");
    let taken = hold(&host, "f").0.take(|out| plan.is_after(out));
    assert!(matches!(taken, Err(Refused::ChangedSince { .. })), "{taken:?}");
    assert_eq!(host.tree(), theirs);
}

#[test]
fn a_name_that_is_taken_meanwhile_is_not_overwritten() {
    let host = Host::new();
    let plan = WritePlan::parse(&host.planned(input("f", "mine"))).expect("a plan");
    let (spot, _) = hold(&host, "f");
    spot.write_part(b"mine", &plan.new_look(&Default::default())).expect("written");
    host.put("f", "theirs", 0o600);
    let theirs = fs::read(host.at("f")).expect("read");
    assert!(matches!(spot.place(), Err(Refused::ChangedSince { .. })));
    assert_eq!(fs::read(host.at("f")).expect("read"), theirs);
    assert_eq!(host.tree().len(), 2, "no litter");
}

#[test]
fn a_link_that_flips_in_the_path_never_leads_out_of_the_root() {
    let host = Host::new();
    let outside = tempfile::tempdir().expect("a temp dir");
    host.put("d/f", "old", 0o600);
    symlink(outside.path(), host.at("link")).expect("a link");
    let stop = Arc::new(AtomicBool::new(false));
    let flipper = {
        let (stop, real, link) = (Arc::clone(&stop), host.at("d"), host.at("link"));
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(rustix::fs::CWD, &real, rustix::fs::CWD, &link, flags).expect("flipped");
            }
        })
    };
    let mut written = 0;
    for round in 0..2_000 {
        let Ok(plan) = host.plan(&input("d/f", &format!("round {round}"))) else { continue };
        written += usize::from(host.apply(&plan.plan).status == Status::Ok);
    }
    stop.store(true, Ordering::Relaxed);
    flipper.join().expect("flipped to the end");
    assert_eq!(fs::read_dir(outside.path()).expect("a directory").count(), 0);
    println!("{written} of 2000 were written while the link flipped");
}

#[test]
fn calls_for_one_directory_wait_for_each_other_and_stop_when_told() {
    let host = Host::new();
    host.put("f", "old", 0o600);
    let plan = host.planned(input("f", "new"));
    let held = fs::File::open(&host.cx.writes.scratch).expect("opened");
    rustix::fs::flock(&held, FlockOperation::LockExclusive).expect("held");
    assert_eq!(host.apply(&plan).status, Status::TimedOut, "time passes by waiting alone");
    let cancel = CancelFlag::default();
    cancel.raise();
    let stopped = Host { cx: ToolCx { cancel, ..host.cx.clone() }, _temp: tempfile::tempdir().expect("a temp dir") };
    assert_eq!(refused(&stopped.apply(&plan)), (Status::Aborted, "cancelled"));
    drop(held);
    assert_eq!(refused(&stopped.apply(&plan)), (Status::Aborted, "cancelled"), "before anything is exchanged");
    assert_eq!(fs::read_to_string(host.at("f")).expect("read"), "old");
    assert_eq!(host.tree().len(), 2, "no litter");
}
