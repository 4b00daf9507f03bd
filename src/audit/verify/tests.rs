//! The tamper matrix: each way to lie about a log, and what the check has to say about it.
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::audit::growth::Growth;
use crate::audit::note::signing::Pair;
use crate::audit::tile::encode_entries;
use crate::audit::tile::encode_hashes;

type Log = BTreeMap<String, Vec<u8>>;

fn entries(n: usize) -> Vec<Vec<u8>> {
    (0..n).map(|i| format!(r#"{{"epoch":{i},"op":"step.done"}}"#).into_bytes()).collect()
}

fn pair() -> Pair {
    Pair::new("dsmil/n1", 7)
}

fn head(entries: &[Vec<u8>], pair: &Pair) -> String {
    let mut growth = Growth::default();
    growth.append(entries).expect("short entries");
    pair.sign(&Checkpoint { origin: "dsmil/n1".into(), size: growth.size(), root: growth.root() }.text())
}

/// A log of these entries under the head of those.
fn log_under(entries: &[Vec<u8>], head: String) -> Log {
    let files = Growth::default().append(entries).expect("short entries");
    let mut log: Log = files.into_iter().map(|file| (file.path.to_string(), file.bytes)).collect();
    log.insert("checkpoint".into(), head.into_bytes());
    log
}

fn log(entries: &[Vec<u8>]) -> Log {
    log_under(entries, head(entries, &pair()))
}

/// Puts other entries into one bundle and leaves the tiles alone.
fn rebundle(log: &mut Log, path: &str, entries: &[Vec<u8>]) {
    let old = log.insert(path.into(), encode_entries(entries.iter().map(Vec::as_slice)).expect("short entries"));
    assert!(old.is_some(), "{path} is a file of the log");
}

fn run(log: &Log, pin: Option<&str>) -> Verdict {
    verify(log, &pair().1.vkey(), pin).expect("a verdict")
}

/// The log must be refused with exactly this kind of fault first, at this index.
#[track_caller]
fn check(log: &Log, kind: FaultKind, first: Option<u64>) {
    let verdict = run(log, None);
    let fault = verdict.faults.first().unwrap_or_else(|| panic!("accepted: {verdict}"));
    assert_eq!((fault.kind, fault.first), (kind, first), "{verdict}");
}

#[test]
fn a_whole_log_of_any_size_is_good_with_either_form_of_the_key() {
    for n in [0, 1, 255, 256, 257, 700, 65_536, 65_800] {
        let log = log(&entries(n));
        let verdict = run(&log, None);
        assert!(verdict.is_good(), "{n}: {verdict}");
        assert_eq!((verdict.size, verdict.checked), (n as u64, n as u64));
        let pem = pair().1.pem().expect("PEM");
        assert!(verify(&log, &pem, None).expect("a verdict").is_good());
    }
}

#[test]
fn an_edited_entry_is_named() {
    for at in [0, 255, 256, 600, 699] {
        let mut log = log(&entries(700));
        let mut forged = entries(700);
        forged[at] = br#"{"epoch":0,"op":"forged"}"#.to_vec();
        let start = at / 256 * 256;
        let path =
            if at >= 512 { "tile/entries/002.p/188".to_owned() } else { format!("tile/entries/{:03}", at / 256) };
        rebundle(&mut log, &path, &forged[start..(start + 256).min(700)]);
        check(&log, FaultKind::Entry, Some(at as u64));
    }
}

#[test]
fn an_edited_entry_with_its_leaf_hash_edited_too_is_placed_within_its_tile() {
    let mut forged = entries(700);
    forged[300] = br#"{"epoch":0,"op":"forged"}"#.to_vec();
    let mut log = log(&entries(700));
    rebundle(&mut log, "tile/entries/001", &forged[256..512]);
    let hashes: Vec<Digest> = forged[256..512].iter().map(|entry| hash_leaf(entry)).collect();
    log.insert("tile/0/001".into(), encode_hashes(&hashes));
    let verdict = run(&log, None);
    assert_eq!((verdict.faults[0].first, verdict.faults[0].last), (Some(256), Some(511)), "{verdict}");
}

#[test]
fn an_edited_entry_under_wholly_rewritten_tiles_does_not_reach_the_signed_root() {
    let mut forged = entries(700);
    forged[300] = br#"{"epoch":0,"op":"forged"}"#.to_vec();
    check(&log_under(&forged, head(&entries(700), &pair())), FaultKind::Root, None);
}

#[test]
fn swapped_entries_are_named_by_the_first() {
    let mut swapped = entries(700);
    swapped.swap(10, 200);
    let mut log = log(&entries(700));
    rebundle(&mut log, "tile/entries/000", &swapped[..256]);
    check(&log, FaultKind::Entry, Some(10));
}

#[test]
fn a_deleted_entry_is_named_where_it_was() {
    let mut fewer = entries(700);
    fewer.remove(260);
    let mut log = log(&entries(700));
    rebundle(&mut log, "tile/entries/001", &fewer[256..511]);
    check(&log, FaultKind::Missing, Some(260));
}

#[test]
fn an_inserted_entry_is_named() {
    let mut more = entries(700);
    more.insert(520, br#"{"epoch":0,"op":"forged"}"#.to_vec());
    let mut log = log(&entries(700));
    rebundle(&mut log, "tile/entries/002.p/188", &more[512..]);
    check(&log, FaultKind::Missing, Some(520));
}

#[test]
fn a_truncated_log_is_named_at_its_end() {
    // Whole files cut off, the last one replaced by a narrower one, and a file cut in the middle of an entry.
    let mut cut = log(&entries(700));
    cut.remove("tile/entries/002.p/188");
    check(&cut, FaultKind::Missing, Some(512));
    let narrow = encode_entries(entries(690)[512..].iter().map(Vec::as_slice)).expect("short entries");
    cut.insert("tile/entries/002.p/178".into(), narrow);
    check(&cut, FaultKind::Missing, Some(690));
    let mut torn = log(&entries(700));
    let bundle = torn.get_mut("tile/entries/001").expect("a bundle");
    bundle.truncate(bundle.len() - 3);
    check(&torn, FaultKind::Missing, Some(511));
}

#[test]
fn a_head_that_is_missing_forged_or_of_another_key_is_refused() {
    let mut headless = log(&entries(5));
    headless.remove("checkpoint");
    check(&headless, FaultKind::Head, None);
    headless.insert("checkpoint".into(), b"nonsense".to_vec());
    check(&headless, FaultKind::Head, None);
    let forged = head(&entries(5), &pair()).replacen("\n5\n", "\n4\n", 1);
    check(&log_under(&entries(5), forged), FaultKind::Signature, None);
    check(&log_under(&entries(5), head(&entries(5), &Pair::new("dsmil/n1", 9))), FaultKind::Signature, None);
    check(&log_under(&entries(5), head(&entries(5), &Pair::new("dsmil/n2", 7))), FaultKind::Signature, None);
}

#[test]
fn an_edited_tile_is_told_from_an_edited_entry() {
    let mut low = log(&entries(700));
    low.get_mut("tile/0/001").expect("a tile")[32 * 4] ^= 1;
    check(&low, FaultKind::Tile, Some(260));
    let mut high = log(&entries(700));
    high.get_mut("tile/1/000.p/2").expect("a tile")[32] ^= 1;
    check(&high, FaultKind::Tile, Some(256));
    high.remove("tile/1/000.p/2");
    check(&high, FaultKind::Tile, Some(0));
}

#[test]
fn an_entry_that_is_not_canonical_json_is_named_though_it_was_signed() {
    let mut odd = entries(5);
    odd[3] = br#"{"op": "spaced"}"#.to_vec();
    check(&log(&odd), FaultKind::Entry, Some(3));
}

#[test]
fn a_pin_finds_the_log_that_was_cut_back_to_a_genuine_head() {
    let pin = head(&entries(600), &pair());
    assert!(run(&log(&entries(700)), Some(&pin)).is_good());
    assert!(run(&log(&entries(600)), Some(&pin)).is_good());
    let short = log(&entries(500));
    assert!(run(&short, None).is_good(), "without a pin nothing can be known");
    let verdict = run(&short, Some(&pin));
    assert_eq!((verdict.faults[0].kind, verdict.faults[0].first), (FaultKind::Pin, Some(500)));
}

#[test]
fn a_pin_finds_another_history_under_the_same_key() {
    let mut other = entries(600);
    other[7] = br#"{"op":"other"}"#.to_vec();
    let verdict = run(&log(&entries(700)), Some(&head(&other, &pair())));
    assert_eq!(verdict.faults[0].kind, FaultKind::Pin, "{verdict}");
    let foreign = head(&entries(600), &Pair::new("dsmil/n1", 9));
    assert_eq!(run(&log(&entries(700)), Some(&foreign)).faults[0].kind, FaultKind::Pin);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_flipped_bit_anywhere_in_the_log_is_accepted(file in any::<prop::sample::Index>(), byte in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut log = log(&entries(300));
        let name = log.keys().nth(file.index(log.len())).expect("a file").clone();
        let bytes = log.get_mut(&name).expect("a file");
        let at = byte.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let verdict = run(&log, None);
        prop_assert!(!verdict.is_good(), "bit {bit} of byte {at} of {name}");
        if let Some(first) = verdict.first_bad() {
            prop_assert!(first < 300);
        }
    }
}
