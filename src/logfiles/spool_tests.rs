//! The spool over crashes, damage and its bound.
use super::*;

const SMALL: Bounds = Bounds { segment: 400, total: 1 << 20 };

fn record(n: usize) -> String {
    format!("{{\"n\":{n}}}")
}

fn fill(spool: &mut Spool, numbers: std::ops::Range<usize>) {
    for n in numbers {
        spool.append(&[record(n)]).expect("appended");
    }
}

/// Takes all out, a few at a time.
fn drain(spool: &mut Spool) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(peeked) = spool.peek(7).expect("read") {
        all.extend(peeked.records.clone());
        spool.landed(&peeked);
    }
    all
}

fn files(dir: &Path) -> usize {
    fs::read_dir(dir).expect("listed").count()
}

#[test]
fn records_come_out_in_order_and_leave_no_file_behind() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spool = Spool::open(dir.path(), SMALL).expect("opened");
    assert_eq!(spool.peek(10).expect("read"), None);
    fill(&mut spool, 0..100);
    assert_eq!(spool.waiting(), 100);
    assert!(files(dir.path()) > 3, "there are several segments");
    assert_eq!(drain(&mut spool), (0..100).map(record).collect::<Vec<_>>());
    assert_eq!((spool.waiting(), spool.bytes(), files(dir.path())), (0, 0, 0));
    fill(&mut spool, 0..3);
    assert_eq!(drain(&mut spool).len(), 3);
}

#[test]
fn a_file_that_a_life_that_stood_still_made_meanwhile_is_passed_over_and_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut old, mut new) =
        (Spool::open(dir.path(), SMALL).expect("opened"), Spool::open(dir.path(), SMALL).expect("opened"));
    fill(&mut old, 0..1);
    fill(&mut new, 1..3);
    let mut all = drain(&mut new);
    all.sort();
    assert_eq!(all, (0..3).map(record).collect::<Vec<_>>(), "all are read, the late ones later");
    assert_eq!(files(dir.path()), 0);
}

#[test]
fn what_has_not_landed_is_read_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spool = Spool::open(dir.path(), SMALL).expect("opened");
    fill(&mut spool, 0..50);
    let first = spool.peek(20).expect("read").expect("there");
    spool.again();
    assert_eq!(spool.peek(20).expect("read").expect("there"), first);
    spool.landed(&first);
    assert_eq!(spool.waiting(), 30);
    drop(spool);
    // Another life knows nothing of what landed from a file that is still there: it may bring that a second time.
    let mut spool = Spool::open(dir.path(), SMALL).expect("opened");
    fill(&mut spool, 50..60);
    let again = drain(&mut spool);
    assert_eq!(again[again.len() - 40..], (20..60).map(record).collect::<Vec<_>>());
}

#[test]
fn a_torn_end_and_a_damaged_line_are_left_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spool = Spool::open(dir.path(), Bounds::default()).expect("opened");
    fill(&mut spool, 0..10);
    drop(spool);
    let path = dir.path().join("000000000000.seg");
    let text = fs::read_to_string(&path).expect("read");
    let damaged = text.replace("{\"n\":3}", "{\"n\":8}");
    fs::write(&path, &damaged[..damaged.len() - 5]).expect("written");
    let mut spool = Spool::open(dir.path(), Bounds::default()).expect("opened");
    fill(&mut spool, 10..12);
    let expected: Vec<_> = [0, 1, 2, 4, 5, 6, 7, 8, 10, 11].map(record).into();
    assert_eq!(drain(&mut spool), expected);
    assert_eq!(files(dir.path()), 0);
}

#[test]
fn beyond_the_bound_the_oldest_go_and_are_counted() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spool = Spool::open(dir.path(), Bounds { segment: 400, total: 2_000 }).expect("opened");
    fill(&mut spool, 0..500);
    assert!(spool.bytes() <= 2_000);
    let (dropped, waiting) = (spool.dropped() as usize, spool.waiting() as usize);
    assert_eq!(dropped + waiting, 500);
    assert_eq!(drain(&mut spool), (dropped..500).map(record).collect::<Vec<_>>());
}

#[test]
fn what_is_being_read_is_not_dropped() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut spool = Spool::open(dir.path(), Bounds { segment: 400, total: 2_000 }).expect("opened");
    fill(&mut spool, 0..50);
    let peeked = spool.peek(20).expect("read").expect("there");
    fill(&mut spool, 50..500);
    spool.landed(&peeked);
    let dropped = spool.dropped() as usize;
    assert_eq!(20 + dropped + spool.waiting() as usize, 500);
    let rest = drain(&mut spool);
    assert_eq!(rest.last(), Some(&record(499)));
    assert_eq!(rest.len(), 480 - dropped);
}

#[test]
fn what_a_life_that_stood_still_writes_late_is_read_or_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut stalled = Spool::open(dir.path(), Bounds::default()).expect("opened");
    fill(&mut stalled, 0..5);
    let mut spool = Spool::open(dir.path(), Bounds::default()).expect("opened");
    let peeked = spool.peek(100).expect("read").expect("there");
    assert_eq!(peeked.records.len(), 5);
    fill(&mut stalled, 5..8);
    spool.landed(&peeked);
    assert!(spool.waiting() > 0, "what was acknowledged meanwhile waits");
    assert_eq!(drain(&mut spool), (5..8).map(record).collect::<Vec<_>>());
    assert_eq!(files(dir.path()), 0);
    // Its file has gone: it must not say that this is kept.
    stalled.append(&[record(8)]).expect_err("refused");
    fill(&mut stalled, 8..9);
    assert_eq!(files(dir.path()), 1, "the next goes to a file that has a name");
}

/// A file system of this many KiB that is full soon; unmounted at the end.
struct Small(tempfile::TempDir);

impl Small {
    /// None, and a word about it, where nothing may be mounted.
    fn mount(kib: usize) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        let asked = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs"])
            .arg(dir.path())
            .output();
        match asked {
            Ok(output) if output.status.success() => return Some(Small(dir)),
            Ok(output) => eprintln!("NOT TESTED: no file system can be mounted here: {}", lossy(&output.stderr)),
            Err(error) => eprintln!("NOT TESTED: no file system can be mounted here: {error}"),
        }
        None
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let gone = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
        assert!(gone.is_ok_and(|status| status.success()), "{} stays mounted", self.0.path().display());
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_full_disk_takes_all_of_an_append_or_nothing_and_collects_no_empty_files() {
    let Some(disk) = Small::mount(64) else { return };
    let dir = disk.0.path();
    let mut spool = Spool::open(dir, Bounds { segment: 10_000, total: 1 << 20 }).expect("opened");
    // Appends that are larger than a page are the ones that a full disk cuts in the middle.
    let append = |from: usize| (from..from + 200).map(record).collect::<Vec<_>>();
    let mut kept = 0;
    let fault = loop {
        match spool.append(&append(kept)) {
            Ok(()) => kept += 200,
            Err(fault) => break fault,
        }
    };
    assert_eq!(fault.cause.kind(), io::ErrorKind::StorageFull, "{fault:?}");
    let (there, bytes) = (files(dir), spool.bytes());
    for _ in 0..50 {
        spool.append(&append(kept)).expect_err("the disk is full");
    }
    assert_eq!((files(dir), spool.bytes(), spool.waiting()), (there, bytes, kept as u64));
    let on_disk: u64 =
        fs::read_dir(dir).expect("listed").map(|entry| entry.expect("entry").metadata().expect("meta").len()).sum();
    assert_eq!(on_disk, bytes, "a try that failed leaves nothing behind");
    // What lands makes room, and the same append goes through.
    while spool.append(&append(kept)).is_err() {
        let peeked = spool.peek(100).expect("read").expect("there");
        spool.landed(&peeked);
    }
    assert_eq!(drain(&mut spool).last(), Some(&record(kept + 199)));
}
