//! The thread that owns the TPM, and the way to ask it without ever waiting for it longer than a deadline.
//!
//! A stopped TPM blocks its caller for ever and nothing can wake it: such a thread is left behind. It ends when the TPM
//! is killed or answers after all, without touching it again, because nobody waits for its work any more.
use std::sync::mpsc;
use std::sync::mpsc::SyncSender;
use std::sync::mpsc::TrySendError;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::tpm::error::TpmError;
use crate::tpm::open::Identity;
use crate::tpm::open::Tpm;

/// Requests that may wait while one is worked on.
const QUEUE: usize = 64;

enum Job {
    Work(Box<dyn FnOnce(&mut Tpm) + Send>),
    Close(oneshot::Sender<Result<(), TpmError>>),
}

/// A door to the thread. When the last one is dropped, the thread ends.
#[derive(Clone)]
pub struct TpmThread {
    jobs: SyncSender<Job>,
}

impl TpmThread {
    /// Starts the thread and opens the TPM on it.
    pub async fn open(tcti: String, ours: bool, within: Duration) -> Result<(Self, Identity), TpmError> {
        let (jobs, queue) = mpsc::sync_channel(QUEUE);
        let (opened, answer) = oneshot::channel();
        let body = move || match Tpm::open(&tcti, ours) {
            Ok(tpm) => {
                if opened.send(Ok(tpm.identity.clone())).is_ok() {
                    serve(tpm, &queue);
                }
            }
            Err(error) => drop(opened.send(Err(error))),
        };
        thread::Builder::new()
            .name("tpm".to_owned())
            .spawn(body)
            .map_err(|error| TpmError::Gone { detail: format!("no thread could be started for it: {error}") })?;
        let identity = wait("open the TPM", within, answer).await?;
        Ok((TpmThread { jobs }, identity))
    }

    /// Has work done on the thread. It may wait `within` for its turn, and then take `within`. If that passes, the work
    /// may still happen; the answer is dropped.
    pub async fn run<T, W>(&self, operation: &'static str, within: Duration, work: W) -> Result<T, TpmError>
    where
        T: Send + 'static,
        W: FnOnce(&mut Tpm) -> Result<T, TpmError> + Send + 'static,
    {
        let (begin, begun) = oneshot::channel();
        let (reply, answer) = oneshot::channel();
        let job = move |tpm: &mut Tpm| {
            // Whoever asked may have given up while the request waited.
            if begin.send(()).is_ok() {
                drop(reply.send(work(tpm)));
            }
        };
        self.hand_over(Job::Work(Box::new(job)))?;
        // A long queue before a slow TPM is no reason to take it for dead: only the request at work can say that.
        if timeout(within, begun).await.is_err() {
            return Err(TpmError::Busy);
        }
        wait(operation, within, answer).await
    }

    /// Shuts the TPM down in good order and ends the thread.
    pub async fn close(self, within: Duration) -> Result<(), TpmError> {
        let (reply, answer) = oneshot::channel();
        self.hand_over(Job::Close(reply))?;
        wait("shut down", within, answer).await
    }

    fn hand_over(&self, job: Job) -> Result<(), TpmError> {
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => TpmError::Busy,
            TrySendError::Disconnected(_) => TpmError::Gone { detail: "its thread has ended".to_owned() },
        })
    }
}

fn serve(mut tpm: Tpm, queue: &mpsc::Receiver<Job>) {
    for job in queue {
        match job {
            Job::Work(work) => work(&mut tpm),
            Job::Close(reply) => {
                drop(reply.send(tpm.shut_down()));
                return;
            }
        }
    }
}

async fn wait<T>(
    operation: &'static str,
    within: Duration,
    answer: oneshot::Receiver<Result<T, TpmError>>,
) -> Result<T, TpmError> {
    match timeout(within, answer).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(TpmError::Gone { detail: format!("its thread ended during `{operation}`") }),
        Err(_) => Err(TpmError::Hung { operation, waited_ms: u64::try_from(within.as_millis()).unwrap_or(u64::MAX) }),
    }
}
