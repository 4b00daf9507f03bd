//! The audit log: kept up with the database, sealed by a TPM, judged by programs that are not ours.
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use dsmil::actors::auditor::Auditor;
use dsmil::actors::child::ChildSpec;
use dsmil::actors::home::Home;
use dsmil::actors::signer::Deadlines;
use dsmil::actors::signer::Signer;
use dsmil::actors::tpm::TpmKeeper;
use dsmil::audit::merkle::hash_leaf;
use dsmil::audit::note::NoteKey;
use dsmil::audit::note::text_of;
use dsmil::audit::tlog_proof::TlogProof;
use dsmil::audit::verdict::Verdict;
use dsmil::ids::Digest;
use dsmil::ids::NodeId;
use dsmil::logfiles::disk::verify_dir;
use dsmil::logfiles::wal::Waiting;
use dsmil::logfiles::wal::Wal;
use dsmil::messages::auditor::AuditError;
use dsmil::messages::auditor::EntriesCommitted;
use dsmil::messages::auditor::GetHead;
use dsmil::messages::auditor::GetLogFile;
use dsmil::messages::auditor::GetProof;
use dsmil::messages::auditor::GetVerifierKey;
use dsmil::messages::auditor::Record;
use dsmil::messages::signer::GetLogKey;
use dsmil::messages::signer::GetRandom;
use dsmil::messages::signer::QuotePcrs;
use dsmil::messages::signer::ReadPcrs;
use dsmil::messages::signer::SignDigest;
use dsmil::messages::signer::SignError;
use dsmil::messages::tpm::LocateTpm;
use dsmil::toolkit::cx::Trust;
use dsmil::toolkit::tpm_choice::TpmChoice;

use crate::support::audit::FakeSigner;
use crate::support::audit::FakeStore;
use crate::support::audit::Running;
use crate::support::audit::entry;
use crate::support::audit::leaves;
use crate::support::audit::options;
use crate::support::audit::ports;
use crate::support::audit::sealed;
use crate::support::audit::supervise;
use crate::support::audit::tell_committed;
use crate::support::audit::until;
use crate::support::tpm::foreign;
use crate::support::tpm::signal;

fn check_log(dir: &Path) -> Verdict {
    let log = dir.join("log");
    verify_dir(&log, &log.join("vkey"), None).expect("a verdict")
}

#[track_caller]
fn assert_good(dir: &Path, size: u64) {
    let verdict = check_log(dir);
    assert!(verdict.is_good() && verdict.size == size, "{verdict}");
}

/// The verdict of Go's sumdb code.
fn go_verifier(log: &Path) -> Command {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign/verify.go");
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-cache");
    let mut go = Command::new("go");
    go.env("GO111MODULE", "off").env("GOPATH", "/usr/share/gocode").env("GOFLAGS", "").env("GOCACHE", cache);
    go.arg("run").arg(source).arg(log).arg(log.join("vkey"));
    go
}

/// TPM keeper, signer and auditor as the service has them.
struct Trusted {
    running: dsmil::actors::root::RootHandle,
    tpm: dsmil::actors::slot::Ref<TpmKeeper>,
    signer: dsmil::actors::slot::Ref<Signer>,
    auditor: dsmil::actors::slot::Ref<Auditor>,
}

impl Trusted {
    fn start(dir: &Path, store: &FakeStore, deadlines: Deadlines) -> Self {
        let home = Home::start("trust").expect("a thread");
        let state = dir.join("tpm");
        let keep = move || TpmKeeper::new(TpmChoice::Swtpm, state.clone());
        let (tpm_child, tpm) = ChildSpec::worker("tpm", options(&home), keep);
        let (locate, hung) = (tpm.port(), tpm.port());
        let sign = move || Signer::new(locate.clone(), hung.clone(), deadlines);
        let (signer_child, signer) = ChildSpec::worker("signer", options(&home), sign);
        let (audit, node) = (dir.join("audit"), NodeId::new("n1").expect("valid"));
        let ports = ports(store, signer.port(), signer.port());
        let keep = move || Auditor::new(&node, audit.clone(), ports.clone());
        let (auditor_child, auditor) = ChildSpec::worker("auditor", options(&home), keep);
        let running = supervise("trust", vec![tpm_child, signer_child, auditor_child]);
        Trusted { running, tpm, signer, auditor }
    }

    async fn emulator(&self) -> u32 {
        let locate = self.tpm.port::<LocateTpm>();
        until(async || locate.ask(LocateTpm).await.ok()?.ok()?.emulator).await
    }

    async fn signs_again(&self) {
        let sign = self.signer.port::<SignDigest>();
        until(async || sign.ask(SignDigest(Digest([1; 32]))).await.ok()?.ok()).await;
    }

    async fn stop(self) {
        let farewells = self.running.shutdown(Duration::from_secs(10)).await;
        assert!(farewells.left_behind.is_empty(), "{farewells:?}");
    }
}

#[actix::test]
async fn a_log_sealed_by_a_tpm_convinces_openssl_and_go_and_ourselves() {
    let (dir, store) = (tempfile::tempdir().expect("a directory"), FakeStore::default());
    let trusted = Trusted::start(dir.path(), &store, Deadlines::default());
    for (from, to) in [(0, 1), (1, 200), (200, 700)] {
        store.leaves.lock().extend(leaves(from..to));
        tell_committed(&trusted.auditor.port(), to).await;
        sealed(&trusted.auditor.port(), to).await;
    }
    let (audit, log) = (dir.path().join("audit"), dir.path().join("audit/log"));
    assert_good(&audit, 700);

    let said = foreign(&mut go_verifier(&log));
    assert!(said.starts_with("good 700 "), "{said}");

    let head = trusted.auditor.port::<GetHead>().ask(GetHead).await.expect("answered").expect("a head");
    let text = text_of(&head.note).expect("a note");
    let encoded = head.note.trim_end().rsplit(' ').next().expect("a signature");
    use base64::Engine as _;
    let signature = base64::engine::general_purpose::STANDARD.decode(encoded).expect("base64");
    std::fs::write(dir.path().join("text"), text).expect("written");
    std::fs::write(dir.path().join("signature"), &signature[4..]).expect("written");
    let mut openssl = Command::new("openssl");
    openssl.args(["dgst", "-sha256", "-verify"]).arg(log.join("verifier.pem"));
    openssl.arg("-signature").arg(dir.path().join("signature")).arg(dir.path().join("text"));
    assert!(foreign(&mut openssl).contains("Verified OK"));

    let key = trusted.auditor.port::<GetVerifierKey>().ask(GetVerifierKey).await.expect("answered").expect("a key");
    let key = NoteKey::read(&key.vkey, "").expect("a vkey");
    for index in [0, 256, 699] {
        let proof =
            trusted.auditor.port::<GetProof>().ask(GetProof { index }).await.expect("answered").expect("a proof");
        let proof = TlogProof::parse(&proof).expect("a tlog-proof");
        proof.check(hash_leaf(&entry(index).canonical()), &key).expect("convincing");
    }
    let beyond = trusted.auditor.port::<GetProof>().ask(GetProof { index: 700 }).await.expect("answered");
    assert_eq!(beyond, Err(AuditError::BeyondEnd { index: 700, size: 700 }));
    let files = trusted.auditor.port::<GetLogFile>();
    let served = files.ask(GetLogFile { path: "tile/0/002.p/188".into() }).await.expect("answered").expect("readable");
    assert_eq!(served.expect("there").len(), 188 * 32);
    assert_eq!(files.ask(GetLogFile { path: "../wal".into() }).await, Ok(Ok(None)));

    // Whoever changes an entry is found out by Go as well.
    let bundle = log.join("tile/entries/001");
    let mut bytes = std::fs::read(&bundle).expect("a bundle");
    bytes[40] ^= 1;
    std::fs::write(&bundle, bytes).expect("written");
    assert!(!go_verifier(&log).output().expect("go runs").status.success());
    assert_eq!(check_log(&audit).first_bad(), Some(256));
    trusted.stop().await;
}

#[actix::test]
async fn a_signer_does_all_that_can_be_asked_of_it() {
    let (dir, store) = (tempfile::tempdir().expect("a directory"), FakeStore::default());
    let trusted = Trusted::start(dir.path(), &store, Deadlines::default());
    trusted.signs_again().await;
    let signer = &trusted.signer;
    let quote = QuotePcrs { nonce: b"n".to_vec(), pcrs: vec![0, 7, 10] };
    let quote = signer.port().ask(quote).await.expect("answered").expect("a quote");
    let values = signer.port().ask(ReadPcrs(vec![10, 0, 7])).await.expect("answered").expect("values");
    assert_eq!((quote.pcrs, quote.trust), (values, Trust::Emulator));
    let random = signer.port().ask(GetRandom { bytes: 100 }).await.expect("answered").expect("random bytes");
    assert_eq!(random.len(), 100);
    let key = signer.port().ask(GetLogKey).await.expect("answered").expect("a key");
    assert_eq!(key.trust, Trust::Emulator);
    let nonsense = signer.port().ask(QuotePcrs { nonce: vec![0; 65], pcrs: vec![0] }).await.expect("answered");
    assert!(matches!(nonsense, Err(SignError::Invalid { .. })), "{nonsense:?}");
    trusted.signs_again().await;
    assert_eq!(signer.epoch(), 1, "bad requests do not end the signer");
    trusted.stop().await;
}

#[actix::test]
async fn a_killed_emulator_is_started_again_and_the_log_goes_on_under_the_same_key() {
    let (dir, store) = (tempfile::tempdir().expect("a directory"), FakeStore::default());
    let trusted = Trusted::start(dir.path(), &store, Deadlines::default());
    for round in 1..=5 {
        store.leaves.lock().extend(leaves((round - 1) * 10..round * 10));
        tell_committed(&trusted.auditor.port(), round * 10).await;
        sealed(&trusted.auditor.port(), round * 10).await;
        signal(trusted.emulator().await, "KILL");
        // The death is noticed by the next request at the latest.
        trusted.signs_again().await;
    }
    trusted.stop().await;
    assert_good(&dir.path().join("audit"), 50);
}

#[actix::test]
async fn a_stopped_emulator_is_told_by_the_deadline_and_replaced() {
    let (dir, store) = (tempfile::tempdir().expect("a directory"), FakeStore::default());
    let deadlines = Deadlines { request: Duration::from_millis(400), ..Deadlines::default() };
    let trusted = Trusted::start(dir.path(), &store, deadlines);
    trusted.signs_again().await;
    let stopped = trusted.emulator().await;
    signal(stopped, "STOP");
    let hung = trusted.signer.port().ask_within(SignDigest(Digest([1; 32])), Duration::from_secs(5)).await;
    assert!(matches!(hung, Ok(Err(SignError::Hung { waited_ms: 400, .. }))), "{hung:?}");
    trusted.signs_again().await;
    assert_ne!(trusted.emulator().await, stopped);
    trusted.stop().await;
}

#[actix::test]
async fn an_auditor_catches_up_with_what_was_committed_while_it_was_away() {
    let (dir, store, signer) = (tempfile::tempdir().expect("a directory"), FakeStore::default(), FakeSigner::new(7));
    let start = || Running::start(dir.path(), ports(&store, signer.key(), signer.sign()));
    store.leaves.lock().extend(leaves(0..300));
    let running = start();
    // Nobody tells it: it asks the database at its start.
    sealed(&running.auditor.port(), 300).await;
    running.stop().await;
    store.leaves.lock().extend(leaves(300..9000));
    let running = start();
    let head = sealed(&running.auditor.port(), 9000).await;
    assert_eq!(head.size, 9000);
    running.stop().await;
    assert_good(dir.path(), 9000);
}

#[actix::test]
async fn entries_are_sealed_once_the_tpm_is_back() {
    let (dir, store, signer) = (tempfile::tempdir().expect("a directory"), FakeStore::default(), FakeSigner::new(7));
    signer.set_gone(true);
    let running = Running::start(dir.path(), ports(&store, signer.key(), signer.sign()));
    store.leaves.lock().extend(leaves(0..5));
    tell_committed(&running.auditor.port(), 5).await;
    let head = until(async || match running.auditor.port::<GetHead>().ask(GetHead).await.ok()? {
        Err(AuditError::NotSigned { detail }) if detail.contains("pulled out") => Some(()),
        _ => None,
    });
    head.await;
    signer.set_gone(false);
    assert_eq!(running.sealed(5).await.size, 5);
    running.stop().await;
    assert_good(dir.path(), 5);
}

#[actix::test]
async fn entries_recorded_without_a_database_are_kept_and_moved_there_in_order() {
    let (dir, store, signer) = (tempfile::tempdir().expect("a directory"), FakeStore::default(), FakeSigner::new(7));
    let start = || Running::start(dir.path(), ports(&store, signer.key(), signer.sign()));
    store.set_down(true);
    let running = start();
    for n in 0..3 {
        let record = running.auditor.port::<Record>();
        until(async || record.ask(Record(entry(n))).await.ok()?.ok()).await;
    }
    running.stop().await;
    assert!(store.leaves.lock().is_empty());
    // They survive the restart; the database comes back during the next life.
    let running = start();
    running.auditor.port::<Record>().ask(Record(entry(3))).await.ok();
    store.set_down(false);
    let head = sealed(&running.auditor.port(), 3).await;
    assert!(head.size >= 3);
    let record = running.auditor.port::<Record>();
    until(async || record.ask(Record(entry(4))).await.ok()?.ok()).await;
    let all = until(async || Some(store.leaves.lock().clone()).filter(|all| all.last() == leaves(4..5).last())).await;
    assert_eq!(all[..3], leaves(0..3));
    running.stop().await;
    assert_good(dir.path(), all.len() as u64);
}

#[actix::test]
async fn an_entry_whose_answer_was_lost_is_not_stored_twice() {
    let (dir, store, signer) = (tempfile::tempdir().expect("a directory"), FakeStore::default(), FakeSigner::new(7));
    let running = Running::start(dir.path(), ports(&store, signer.key(), signer.sign()));
    store.set_mute(true);
    let record = running.auditor.port::<Record>();
    until(async || record.ask(Record(entry(0))).await.ok()?.ok()).await;
    store.set_mute(false);
    until(async || record.ask(Record(entry(1))).await.ok()?.ok()).await;
    sealed(&running.auditor.port(), 2).await;
    running.stop().await;
    assert_eq!(*store.leaves.lock(), leaves(0..2));
}

#[actix::test]
async fn entries_that_reached_the_database_before_a_kill_are_not_stored_twice() {
    let (dir, store, signer) = (tempfile::tempdir().expect("a directory"), FakeStore::default(), FakeSigner::new(7));
    // As a kill leaves it between the commit and the emptying of the file: two of three are in the database.
    let (mut wal, _) = Wal::open(&dir.path().join("wal")).expect("opened");
    let waiting: Vec<Waiting> = (5..8).map(|n| Waiting { since: 4, entry: entry(n) }).collect();
    wal.append(&waiting).expect("kept");
    store.leaves.lock().extend(leaves(0..7));
    let running = Running::start(dir.path(), ports(&store, signer.key(), signer.sign()));
    sealed(&running.auditor.port(), 8).await;
    running.stop().await;
    assert_eq!(*store.leaves.lock(), leaves(0..8));
    assert_eq!(std::fs::read(dir.path().join("wal")).expect("readable"), b"");
}

/// Makes a log of 300 entries, changes the database, starts again: the log must be refused and left alone.
async fn refused_after(change: impl FnOnce(&mut Vec<Vec<u8>>), says: &str) {
    let (dir, store, signer) = (tempfile::tempdir().expect("a directory"), FakeStore::default(), FakeSigner::new(7));
    let start = || Running::start(dir.path(), ports(&store, signer.key(), signer.sign()));
    store.leaves.lock().extend(leaves(0..300));
    let running = start();
    sealed(&running.auditor.port(), 300).await;
    running.stop().await;
    change(&mut store.leaves.lock());
    let running = start();
    let count = store.leaves.lock().len() as u64;
    let committed = running.auditor.port::<EntriesCommitted>();
    until(async || committed.ask(EntriesCommitted { size: count }).await.ok()).await;
    let head = running.auditor.port::<GetHead>();
    let detail = until(async || match head.ask(GetHead).await.ok()? {
        Err(AuditError::NotSigned { detail }) if detail.contains(says) => Some(detail),
        _ => None,
    });
    detail.await;
    // Entries are kept all the same; only the signature is refused.
    let record = running.auditor.port::<Record>();
    until(async || record.ask(Record(entry(999))).await.ok()?.ok()).await;
    running.stop().await;
    assert_good(dir.path(), 300);
}

#[actix::test]
async fn a_database_that_was_set_back_is_not_signed_over() {
    refused_after(|leaves| leaves.truncate(290), "was set back or replaced").await;
}

#[actix::test]
async fn a_database_whose_entries_were_changed_is_not_signed_over() {
    refused_after(|all| all[298] = leaves(7..8).remove(0), "entry 298 in the database is not the one").await;
}

#[actix::test]
async fn another_tpm_does_not_sign_over_the_log() {
    let (dir, store) = (tempfile::tempdir().expect("a directory"), FakeStore::default());
    store.leaves.lock().extend(leaves(0..10));
    for (seed, good) in [(7, true), (8, false)] {
        let signer = FakeSigner::new(seed);
        let running = Running::start(dir.path(), ports(&store, signer.key(), signer.sign()));
        let head = running.auditor.port::<GetHead>();
        let answer = until(async || match head.ask(GetHead).await.ok()? {
            Ok(head) => Some(Ok(head.size)),
            Err(AuditError::NotSigned { detail }) if detail.contains("bring back the TPM") => Some(Err(detail)),
            Err(_) => None,
        });
        assert_eq!(answer.await.is_ok(), good);
        running.stop().await;
    }
    assert_good(dir.path(), 10);
}
