//! A call that is cut off between any two moves: settle knows what became of it, and nothing is left behind.
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::toolkit::change::{Change as _, Settled};
use crate::tools::fixture_cx::FixtureCx;
use crate::tools::fs::fs_write::FsWrite;
use crate::tools::fs::scratch::Ground;
use crate::tools::fs::spot::Spot;
use crate::tools::fs::undo_store::UndoStore;
use crate::tools::fs::write_plan::WritePlan;
use crate::tools::fs::write_tests::{Host, input, ok};

/// Where a call was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cut {
    Dirs,
    HalfAPart,
    Part,
    Armed,
    Exchanged,
    Done,
}

const CUTS: [Cut; 6] = [Cut::Dirs, Cut::HalfAPart, Cut::Part, Cut::Armed, Cut::Exchanged, Cut::Done];

fn spot(host: &Host, plan: &WritePlan) -> (Ground, Spot) {
    let ground = Ground::open(&host.cx.writes.scratch, &plan.path).expect("the root");
    ground.make_dirs(&plan.made_dirs, &mut Vec::new()).expect("made");
    let dir = ground.parent().expect("opened").expect("there");
    let spot = Spot::hold(&host.cx, dir, ground.name(), &ground.full()).expect("held");
    (ground, spot)
}

/// The moves of `apply` up to a point.
fn apply_until(host: &Host, plan: &Value, cut: Cut) {
    let plan = WritePlan::parse(plan).expect("a plan");
    let (store, (_, spot)) = (UndoStore::new(&host.cx.writes.undo), spot(host, &plan));
    if cut == Cut::Dirs {
        return;
    }
    let content = store.get(&plan.after.sha256).expect("kept");
    let half = if cut == Cut::HalfAPart { &content[..content.len() / 2] } else { &content[..] };
    spot.write_part(half, &plan.new_look(&Default::default())).expect("written");
    match (&plan.before, cut) {
        (_, Cut::Dirs | Cut::HalfAPart | Cut::Part) => {}
        (None, _) => spot.place().expect("placed"),
        (Some(before), _) => {
            spot.arm().expect("armed");
            if cut >= Cut::Exchanged {
                spot.exchange().expect("exchanged");
            }
            if cut >= Cut::Done {
                spot.conclude(&store, |out| out.same(before)).expect("as planned");
            }
        }
    }
}

/// The moves of `undo` up to a point.
fn undo_until(host: &Host, plan: &Value, cut: Cut) {
    let plan = WritePlan::parse(plan).expect("a plan");
    let (store, (ground, spot)) = (UndoStore::new(&host.cx.writes.undo), spot(host, &plan));
    let Some(before) = &plan.before else {
        if cut >= Cut::Exchanged {
            fs::rename(ground.full(), spot.swap_path()).expect("taken");
        }
        if cut >= Cut::Done {
            spot.drop_swap().expect("removed");
        }
        return;
    };
    let content = store.get(&before.sha256).expect("kept");
    match cut {
        Cut::Dirs => {}
        Cut::HalfAPart => spot.write_part(&content[..1], &before.look()).expect("written"),
        _ => spot.write_part(&content, &before.look()).expect("written"),
    }
    if cut >= Cut::Armed {
        spot.arm().expect("armed");
    }
    if cut >= Cut::Exchanged {
        spot.exchange().expect("exchanged");
    }
    if cut >= Cut::Done {
        spot.conclude(&store, |out| plan.is_after(out)).expect("as applied");
    }
}

fn hosts() -> [(Host, &'static str); 2] {
    let (old, new) = (Host::new(), Host::new());
    old.put("d/f", "old", 0o640);
    [(old, "d/f"), (new, "d/e/f")]
}

#[test]
fn an_apply_that_was_cut_off_is_settled_and_undone() {
    for cut in CUTS {
        for (host, path) in hosts() {
            let before = host.tree();
            let plan = host.planned(input(path, "new content"));
            apply_until(&host, &plan, cut);
            // A new file is whole as soon as it has its name.
            let is_done = if host.at(path).exists() && path == "d/e/f" { Cut::Armed } else { Cut::Exchanged };
            match host.settle(&plan) {
                Settled::Applied { data } => {
                    assert!(cut >= is_done, "{path} {cut:?}");
                    assert_eq!(data["bytes"], json!(11));
                }
                Settled::NotApplied => assert!(cut < is_done, "{path} {cut:?}"),
                verdict => panic!("{path} {cut:?}: {verdict:?}"),
            }
            ok(&host.undo(&plan));
            assert_eq!(host.tree(), before, "{path} {cut:?}");
        }
    }
}

#[test]
fn an_apply_that_was_cut_off_before_it_changed_anything_is_applied_anew() {
    for cut in CUTS.into_iter().filter(|cut| *cut < Cut::Exchanged) {
        for (host, path) in hosts() {
            let plan = host.planned(input(path, "new content"));
            apply_until(&host, &plan, cut);
            if host.settle(&plan) == Settled::NotApplied {
                ok(&host.apply(&plan));
            }
            assert_eq!(fs::read_to_string(host.at(path)).expect("written"), "new content");
            let names = host.tree().into_keys().filter(|path| path.to_string_lossy().contains(".dsmil-")).count();
            assert_eq!(names, 0, "{path} {cut:?}: litter");
        }
    }
}

#[test]
fn a_plan_clears_away_what_a_crash_left() {
    for cut in CUTS {
        for (host, path) in hosts() {
            apply_until(&host, &host.planned(input(path, "new content")), cut);
            host.planned(input(path, "another"));
            let names = host.tree().into_keys().filter(|path| path.to_string_lossy().contains(".dsmil-")).count();
            assert_eq!(names, 0, "{path} {cut:?}: litter");
        }
    }
}

#[test]
fn an_undo_that_was_cut_off_is_carried_on() {
    for cut in CUTS {
        for (host, path) in hosts() {
            let before = host.tree();
            let plan = host.planned(input(path, "new content"));
            ok(&host.apply(&plan));
            undo_until(&host, &plan, cut);
            assert!(!matches!(host.settle(&plan), Settled::Neither { .. }), "{path} {cut:?}");
            ok(&host.undo(&plan));
            assert_eq!(host.tree(), before, "{path} {cut:?}");
        }
    }
}

#[test]
fn what_somebody_else_wrote_is_never_taken_for_litter() {
    // Cut off right after the exchange took out what was not planned.
    let host = Host::new();
    host.put("f", "old", 0o600);
    let plan = host.planned(input("f", "mine"));
    apply_until(&host, &plan, Cut::Armed);
    host.put("f", "theirs", 0o600);
    let parsed = WritePlan::parse(&plan).expect("a plan");
    spot(&host, &parsed).1.exchange().expect("exchanged");
    let left = host.tree();
    assert!(matches!(host.settle(&plan), Settled::Neither { detail } if detail.contains(".swap")));
    for output in [host.undo(&plan), host.apply(&plan), *host.plan(&input("f", "x")).expect_err("refused")] {
        let reason = output.reason.expect("refused");
        assert_eq!(reason.code, "changed_since");
        assert!(reason.detail.contains(".swap"), "{}", reason.detail);
    }
    assert_eq!(host.tree(), left);
    // Where the name is free it goes back there by itself.
    fs::remove_file(host.at("f")).expect("removed");
    host.planned(input("f", "x"));
    assert_eq!(fs::read_to_string(host.at("f")).expect("there"), "theirs");
    assert_eq!(host.tree().len(), 2);
}

/// Names the tree in which the child works; unset in the ordinary run of the tests.
const VICTIM: &str = "FS_WRITE_TEST_VICTIM";

/// Not a test of its own: what the next test starts as a process and kills.
#[test]
fn victim() {
    let Some(tree) = std::env::var_os(VICTIM) else { return };
    let tree = Path::new(&tree);
    let cx = FixtureCx::at(tree);
    for round in 0.. {
        let path = if round % 2 == 0 { "d/f" } else { "d/e/f" };
        let content = format!("round {round} ").repeat(2_000);
        let plan = FsWrite.plan(&cx, &input(path, &content)).expect("a plan").plan;
        // As the engine does: the plan is kept before it is applied.
        fs::write(tree.join("plan.new"), plan.to_string()).expect("written");
        fs::rename(tree.join("plan.new"), tree.join("plan")).expect("kept");
        eprintln!("apply");
        ok(&FsWrite.apply(&cx, &plan));
        eprintln!("undo");
        ok(&FsWrite.undo(&cx, &plan));
    }
}

#[test]
fn a_process_that_is_killed_leaves_what_can_be_settled_and_undone() {
    let temp = tempfile::tempdir().expect("a temp dir");
    let host = Host { cx: FixtureCx::at(temp.path()), _temp: temp };
    host.put("d/f", "old", 0o640);
    let before = host.tree();
    let tree = host.cx.roots.root.clone();
    let mut verdicts = [0, 0];
    for kill in 0..20_usize {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "tools::fs::write_tests::crashes::victim", "--nocapture"])
            .env(VICTIM, &tree)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        let mut said = BufReader::new(child.stderr.take().expect("piped"));
        let mut line = String::new();
        for _ in 0..=kill {
            line.clear();
            said.read_line(&mut line).expect("alive");
        }
        // Somewhere in what it does next: a different while for each kill.
        (0..kill * 20).for_each(|_| drop(fs::metadata(&tree)));
        child.kill().expect("killed");
        child.wait().expect("ended");
        let mut rest = String::new();
        said.read_to_string(&mut rest).expect("read to the end");
        assert!(!line.contains("panicked") && !rest.contains("panicked"), "{line}{rest}");

        let plan: Value =
            serde_json::from_slice(&fs::read(tree.join("plan")).expect("a plan was kept")).expect("whole");
        match host.settle(&plan) {
            Settled::Applied { .. } => verdicts[0] += 1,
            Settled::NotApplied => verdicts[1] += 1,
            verdict => panic!("{verdict:?}"),
        }
        ok(&host.undo(&plan));
        assert_eq!(host.tree(), before, "kill {kill}");
    }
    println!("of 20 kills {} found it applied, {} not applied", verdicts[0], verdicts[1]);
}
