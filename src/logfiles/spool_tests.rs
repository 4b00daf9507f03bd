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
