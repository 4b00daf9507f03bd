//! The TPM layer against a real swtpm, judged by openssl and tpm2-tools.
use std::process::Command;
use std::time::Duration;

use dsmil::ids::Digest;
use dsmil::toolkit::cx::Signed;
use dsmil::toolkit::cx::Trust;
use dsmil::tpm::error::TpmError;
use dsmil::tpm::swtpm::Swtpm;
use dsmil::tpm::thread::TpmThread;

use crate::support::tpm::LONG;
use crate::support::tpm::foreign;
use crate::support::tpm::open;
use crate::support::tpm::signal;
use crate::support::tpm::start;

const MESSAGE: &[u8] = b"what was signed\n";

fn digest(message: &[u8]) -> Digest {
    use sha2::Digest as _;
    Digest(sha2::Sha256::digest(message).into())
}

async fn sign(tpm: &TpmThread, within: Duration) -> Result<Signed, TpmError> {
    tpm.run("sign a digest", within, |tpm| tpm.sign(digest(MESSAGE))).await
}

#[actix::test]
async fn openssl_accepts_a_signature_of_the_log_key() {
    let dir = tempfile::tempdir().expect("a directory");
    let swtpm = start(&dir.path().join("tpm")).await;
    let (tpm, identity) = open(&swtpm).await;
    let signed = sign(&tpm, LONG).await.expect("a signature");
    assert_eq!((signed.trust, identity.trust), (Trust::Emulator, Trust::Emulator));
    assert!(identity.manufacturer.starts_with("IBM"), "{}", identity.manufacturer);
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    };
    let (key, signature) = (file("key.pem", signed.public_pem.as_bytes()), file("signature", &signed.signature));
    let message = file("message", MESSAGE);
    let said = foreign(
        Command::new("openssl")
            .args(["dgst", "-sha256", "-verify"])
            .arg(key)
            .arg("-signature")
            .arg(signature)
            .arg(message),
    );
    assert!(said.contains("Verified OK"), "{said}");
    tpm.close(LONG).await.expect("an orderly stop");
    swtpm.stop(LONG).await;
}

#[actix::test]
async fn tpm2_checkquote_accepts_a_quote_of_more_registers_than_are_read_at_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let swtpm = start(&dir.path().join("tpm")).await;
    let (tpm, _) = open(&swtpm).await;
    let pcrs: Vec<u8> = (0..16).collect();
    let quote = tpm.run("quote", LONG, move |tpm| tpm.quote(b"a nonce", &pcrs)).await.expect("a quote");
    assert_eq!(quote.pcrs.iter().map(|(pcr, _)| *pcr).collect::<Vec<_>>(), (0..16).collect::<Vec<u8>>());
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    };
    let check = |nonce: &str| {
        let mut command = Command::new("tpm2_checkquote");
        command.arg("-u").arg(file("ak.pub", &quote.ak_public)).arg("-m").arg(file("message", &quote.message));
        command.arg("-s").arg(file("signature", &quote.signature)).args(["-g", "sha256", "-q", nonce]);
        command
    };
    foreign(&mut check(&hex::encode("a nonce")));
    assert!(!check(&hex::encode("another")).output().expect("it ran").status.success(), "another nonce was accepted");
    let pem = file("ak.pem", quote.ak_pem.as_bytes());
    let shown = foreign(Command::new("openssl").args(["pkey", "-pubin", "-noout", "-text", "-in"]).arg(pem));
    assert!(shown.contains("P-256"), "{shown}");
}

#[actix::test]
async fn a_quote_refuses_what_no_tpm_can_do() {
    let dir = tempfile::tempdir().expect("a directory");
    let swtpm = start(&dir.path().join("tpm")).await;
    let (tpm, _) = open(&swtpm).await;
    for (nonce, pcrs) in [(65, vec![0]), (8, vec![24]), (8, vec![])] {
        let refused = tpm.run("quote", LONG, move |tpm| tpm.quote(&vec![0; nonce], &pcrs)).await;
        assert!(matches!(refused, Err(TpmError::Invalid { .. })), "{refused:?}");
    }
}

#[actix::test]
async fn random_bytes_come_in_any_number() {
    let dir = tempfile::tempdir().expect("a directory");
    let swtpm = start(&dir.path().join("tpm")).await;
    let (tpm, _) = open(&swtpm).await;
    for bytes in [0, 1, 65, 300] {
        let random = tpm.run("random", LONG, move |tpm| tpm.random(bytes)).await.expect("random bytes");
        assert_eq!(random.len(), bytes);
    }
    assert!(tpm.run("random", LONG, |tpm| tpm.random(5000)).await.is_err());
}

#[actix::test]
async fn kill_after_kill_the_same_key_signs_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let state = dir.path().join("tpm");
    let mut first = None;
    for round in 0..5 {
        let swtpm = start(&state).await;
        let (tpm, identity) = open(&swtpm).await;
        let key = first.get_or_insert_with(|| identity.log_spki.clone()).clone();
        assert_eq!(identity.log_spki, key, "round {round}");
        sign(&tpm, LONG).await.expect("a signature");
        signal(swtpm.pid(), "KILL");
        let mut swtpm = swtpm;
        assert_eq!(swtpm.ended().await, "signal 9");
        let gone = sign(&tpm, LONG).await;
        assert!(matches!(gone, Err(TpmError::Gone { .. })), "{gone:?}");
    }
}

#[actix::test]
async fn a_stopped_tpm_costs_no_more_than_the_deadline() {
    let dir = tempfile::tempdir().expect("a directory");
    let swtpm = start(&dir.path().join("tpm")).await;
    let (tpm, _) = open(&swtpm).await;
    signal(swtpm.pid(), "STOP");
    let hung = sign(&tpm, Duration::from_millis(300)).await;
    assert!(matches!(hung, Err(TpmError::Hung { waited_ms: 300, .. })), "{hung:?}");
    let unopened = TpmThread::open(swtpm.tcti(), true, Duration::from_millis(300)).await;
    assert!(matches!(unopened.map(drop), Err(TpmError::Hung { .. })));
    signal(swtpm.pid(), "CONT");
    sign(&tpm, LONG).await.expect("it goes on where it was stopped");
}

#[actix::test]
async fn an_emulator_left_behind_is_ended_and_its_state_taken_over() {
    let dir = tempfile::tempdir().expect("a directory");
    let state = dir.path().join("tpm");
    let mut orphan = start(&state).await;
    let (_, before) = open(&orphan).await;
    signal(orphan.pid(), "STOP");
    let swtpm = start(&state).await;
    assert_eq!(orphan.ended().await, "signal 9");
    let (tpm, after) = open(&swtpm).await;
    assert_eq!(before.log_spki, after.log_spki);
    sign(&tpm, LONG).await.expect("a signature");
}

#[actix::test]
async fn two_emulators_on_two_states_are_two_tpms() {
    let (one, two) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let (first, second) = (start(one.path()).await, start(two.path()).await);
    assert_ne!(open(&first).await.1.log_spki, open(&second).await.1.log_spki);
}

#[actix::test]
async fn a_state_directory_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("file"), b"").expect("written");
    let error = Swtpm::start(&dir.path().join("file/tpm")).await.expect_err("a file stands in the way");
    assert!(error.to_string().contains("file/tpm"), "{error}");
}

#[actix::test]
async fn a_connection_to_nobody_says_so() {
    let error = TpmThread::open("swtpm:host=127.0.0.1,port=1".into(), false, LONG).await.map(drop).expect_err("nobody");
    assert!(matches!(error, TpmError::Gone { .. }), "{error}");
    let error = TpmThread::open("nonsense".into(), false, LONG).await.map(drop).expect_err("no TCTI");
    assert!(error.to_string().contains("nonsense"), "{error}");
}
