//! An auditor under supervision, with a database that is a list and a key in memory, both of which can be taken away.
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::DateTime;
use dsmil::actors::auditor::Auditor;
use dsmil::actors::auditor::AuditorPorts;
use dsmil::actors::child::ChildOptions;
use dsmil::actors::child::ChildSpec;
use dsmil::actors::child::Place;
use dsmil::actors::child::Readiness;
use dsmil::actors::home::Home;
use dsmil::actors::root::RootHandle;
use dsmil::actors::root::start_root;
use dsmil::actors::slot::Ref;
use dsmil::actors::supervisor::SupervisorSpec;
use dsmil::audit::entry::Entry;
use dsmil::audit::merkle::hash_leaf;
use dsmil::ids::NodeId;
use dsmil::messages::auditor::AwaitSealed;
use dsmil::messages::auditor::EntriesCommitted;
use dsmil::messages::auditor::SignedHead;
use dsmil::messages::compute::Compute;
use dsmil::messages::port::AskError;
use dsmil::messages::port::Port;
use dsmil::messages::signer::GetLogKey;
use dsmil::messages::signer::LogKey;
use dsmil::messages::signer::SignDigest;
use dsmil::messages::signer::SignError;
use dsmil::messages::store::AppendEntries;
use dsmil::messages::store::CountEntries;
use dsmil::messages::store::LoadEntries;
use dsmil::resilience::restart::Intensity;
use dsmil::resilience::roster::Strategy;
use dsmil::toolkit::cx::Signed;
use dsmil::toolkit::cx::Trust;
use dsmil::workflow::record::StoreError;
use dsmil::workflow::record::StoredEntry;
use p256::ecdsa::Signature;
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::pkcs8::EncodePublicKey as _;
use parking_lot::Mutex;

pub fn entry(n: u64) -> Entry {
    Entry {
        at: DateTime::from_timestamp_micros(1_700_000_000_000_000 + n as i64).expect("in range"),
        node: NodeId::new("n1").expect("valid"),
        epoch: 1,
        actor: "PACER".into(),
        op: "step.done".into(),
        subject: format!("run/1/step/s{n}"),
        outcome: "ok".into(),
        payload: None,
        detail: None,
    }
}

pub fn leaves(range: std::ops::Range<u64>) -> Vec<Vec<u8>> {
    range.map(|n| entry(n).canonical()).collect()
}

/// The database: a list of leaves, reachable or not.
#[derive(Clone, Default)]
pub struct FakeStore {
    pub leaves: Arc<Mutex<Vec<Vec<u8>>>>,
    down: Arc<AtomicBool>,
    /// Stores, but answers as if nobody had.
    mute: Arc<AtomicBool>,
}

impl FakeStore {
    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    pub fn set_mute(&self, mute: bool) {
        self.mute.store(mute, Ordering::SeqCst);
    }

    fn up<T>(&self, answer: impl FnOnce(&mut Vec<Vec<u8>>) -> T) -> Result<Result<T, StoreError>, AskError> {
        if self.down.load(Ordering::SeqCst) {
            return Ok(Err(StoreError::Unreachable { detail: "no such database".into() }));
        }
        Ok(Ok(answer(&mut self.leaves.lock())))
    }

    pub fn append(&self) -> Port<AppendEntries> {
        let store = self.clone();
        Port::answering(move |AppendEntries(entries)| {
            let range = store.up(|leaves| {
                let from = leaves.len() as u64;
                leaves.extend(entries.iter().map(Entry::canonical));
                from..leaves.len() as u64
            });
            if store.mute.load(Ordering::SeqCst) { Err(AskError::Lost) } else { range }
        })
    }

    pub fn count(&self) -> Port<CountEntries> {
        let store = self.clone();
        Port::answering(move |CountEntries| store.up(|leaves| leaves.len() as u64))
    }

    pub fn load(&self) -> Port<LoadEntries> {
        let store = self.clone();
        Port::answering(move |LoadEntries { from, to }| {
            store.up(|leaves| {
                let to = to.min(from + 10_000).min(leaves.len() as u64);
                let stored = |index: u64| {
                    let leaf = leaves[index as usize].clone();
                    StoredEntry { index, leaf_hash: hash_leaf(&leaf), leaf }
                };
                (from..to).map(stored).collect()
            })
        })
    }
}

/// A log key in memory, there or not. What a TPM does in earnest is tested with a TPM.
#[derive(Clone)]
pub struct FakeSigner {
    key: SigningKey,
    gone: Arc<AtomicBool>,
}

impl FakeSigner {
    pub fn new(seed: u8) -> Self {
        FakeSigner { key: SigningKey::from_slice(&[seed; 32]).expect("a scalar"), gone: Arc::default() }
    }

    pub fn set_gone(&self, gone: bool) {
        self.gone.store(gone, Ordering::SeqCst);
    }

    pub fn sign(&self) -> Port<SignDigest> {
        let signer = self.clone();
        Port::answering(move |SignDigest(digest)| {
            if signer.gone.load(Ordering::SeqCst) {
                return Ok(Err(SignError::Gone { detail: "pulled out".into() }));
            }
            let signature: Signature = signer.key.sign_prehash(&digest.0).expect("a signature");
            let signature = signature.to_der().as_bytes().to_vec();
            Ok(Ok(Signed { signature, public_pem: String::new(), key_name: "test".into(), trust: Trust::Emulator }))
        })
    }

    pub fn key(&self) -> Port<GetLogKey> {
        let spki = self.key.verifying_key().to_public_key_der().expect("DER").as_bytes().to_vec();
        let key = LogKey { spki, trust: Trust::Emulator, manufacturer: "test".into() };
        Port::answering(move |GetLogKey| Ok(Ok(key.clone())))
    }
}

pub fn ports(store: &FakeStore, key: Port<GetLogKey>, sign: Port<SignDigest>) -> AuditorPorts {
    AuditorPorts {
        key,
        sign,
        append: store.append(),
        count: store.count(),
        load: store.load(),
        compute: Port::answering(|Compute(job)| Ok(Ok(job.digests()))),
    }
}

/// A supervised worker that says itself when it serves.
pub fn options(home: &Arc<Home>) -> ChildOptions {
    let mut options = ChildOptions::at(Place::Shared(Arc::clone(home)));
    options.readiness = Readiness::WhenReady { within: Duration::from_secs(60) };
    options.breaker = None;
    options
}

pub fn supervise(name: &str, children: Vec<ChildSpec>) -> RootHandle {
    let intensity = Intensity { max: 20, within: Duration::from_secs(60) };
    let spec = SupervisorSpec { name: name.into(), strategy: Strategy::RestForOne, intensity, children };
    start_root(spec, |_| {}).expect("a thread for the supervisors")
}

/// An auditor at work.
pub struct Running {
    pub auditor: Ref<Auditor>,
    root: RootHandle,
}

impl Running {
    pub fn start(dir: &Path, ports: AuditorPorts) -> Self {
        let home = Home::start("auditor").expect("a thread");
        let (at, node) = (dir.to_owned(), NodeId::new("n1").expect("valid"));
        let make = move || Auditor::new(&node, at.clone(), ports.clone());
        let (child, auditor) = ChildSpec::worker("auditor", options(&home), make);
        let root = supervise("trust", vec![child]);
        Running { auditor, root }
    }

    /// The head that covers the first `size` entries.
    pub async fn sealed(&self, size: u64) -> SignedHead {
        tell_committed(&self.auditor.port(), size).await;
        sealed(&self.auditor.port(), size).await
    }

    pub async fn stop(self) {
        self.root.shutdown(Duration::from_secs(5)).await;
    }
}

pub async fn tell_committed(port: &Port<EntriesCommitted>, size: u64) {
    until(async || port.ask(EntriesCommitted { size }).await.ok()).await;
}

pub async fn sealed(port: &Port<AwaitSealed>, size: u64) -> SignedHead {
    let sealed = until(async || {
        let waiting = port.ask(AwaitSealed { index: size - 1 }).await.ok()?.ok()?;
        // A restart in between loses the promise; it is asked for again.
        waiting.await.ok()
    });
    sealed.await
}

/// Asks until there is an answer; the supervisor may still be starting what answers.
pub async fn until<T>(ask: impl AsyncFn() -> Option<T>) -> T {
    let answered = async {
        loop {
            match ask().await {
                Some(answer) => return answer,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), answered).await.expect("an answer within a minute")
}
