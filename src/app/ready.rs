//! When the service is ready, and how others learn of it: `run/service.json` in the data directory, and the
//! service manager.
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tracing::warn;

use crate::access::book::Book;
use crate::actors::scribe::Scribe;
use crate::app::desk::Trouble;
use crate::app::service_manager::notify;
use crate::messages::auditor::GetHead;
use crate::messages::orchestrator::GetEngineStatus;
use crate::messages::port::Port;
use crate::messages::scheduler::ListSchedules;

const LOOK: Duration = Duration::from_millis(20);
/// PostgreSQL may have to recover from a crash, and a TPM chip to make its keys.
const WITHIN: Duration = Duration::from_secs(180);

#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    #[error("not ready within {} s: {what}; the log above says why", WITHIN.as_secs())]
    Late { what: &'static str },
    #[error("told to stop before it was ready")]
    Interrupted,
    #[error("cannot start: {path} ended again and again, the last time because: {reason}")]
    Hopeless { path: String, reason: String },
}

/// Asks the parts until all of them are there.
pub struct Readiness {
    scribe: Scribe,
    head: Port<GetHead>,
    engine: Port<GetEngineStatus>,
    schedules: Port<ListSchedules>,
    book: watch::Receiver<Option<Arc<Book>>>,
    trouble: watch::Receiver<Option<Trouble>>,
}

impl Readiness {
    pub fn new(
        scribe: Scribe,
        head: Port<GetHead>,
        engine: Port<GetEngineStatus>,
        schedules: Port<ListSchedules>,
        book: watch::Receiver<Option<Arc<Book>>>,
        trouble: watch::Receiver<Option<Trouble>>,
    ) -> Self {
        Readiness { scribe, head, engine, schedules, book, trouble }
    }

    /// The number of this start, once it is on record and a signed head of the log exists.
    pub async fn wait(&self) -> Result<i64, NotReady> {
        let mut what = "the database";
        let all = async {
            let epoch = self.scribe.epoch().await;
            what = "the audit log, which records the start";
            self.scribe.note_own("service.started", "ok").await;
            what = "the tokens";
            // A closed channel never gives them; the deadline then says what was missing.
            if self.book.clone().wait_for(Option::is_some).await.is_err() {
                std::future::pending::<()>().await;
            }
            what = "the engine, which reads the journal of the last start";
            while !self.engine.ask(GetEngineStatus).await.is_ok_and(|status| status.recovered) {
                tokio::time::sleep(LOOK).await;
            }
            what = "the schedules";
            while !matches!(self.schedules.ask(ListSchedules).await, Ok(Ok(_))) {
                tokio::time::sleep(LOOK).await;
            }
            what = "the TPM, which signs the head of the audit log";
            while !matches!(self.head.ask(GetHead).await, Ok(Ok(_))) {
                tokio::time::sleep(LOOK).await;
            }
            epoch
        };
        let mut trouble = self.trouble.clone();
        let ready = tokio::select! {
            ready = tokio::time::timeout(WITHIN, all) => ready,
            Ok(found) = trouble.wait_for(Option::is_some) => {
                let Trouble { path, reason } = found.clone().unwrap_or_default();
                return Err(NotReady::Hopeless { path, reason });
            }
        };
        ready.map_err(|_| NotReady::Late { what })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("cannot write {}; its file system must have room", path.display())]
pub struct AnnounceError {
    pub path: PathBuf,
    pub source: io::Error,
}

/// Where others find the service.
pub struct Announcement {
    path: PathBuf,
    url: String,
}

pub struct Published {
    pub url: String,
    path: PathBuf,
}

impl Announcement {
    pub fn new(data_dir: &Path, address: SocketAddr) -> Self {
        let announcement = Announcement { path: data_dir.join("run/service.json"), url: format!("http://{address}") };
        // What a killed service left behind must not be taken for this one.
        announcement.clear();
        announcement
    }

    fn clear(&self) {
        if let Err(fault) = fs::remove_file(&self.path)
            && fault.kind() != io::ErrorKind::NotFound
        {
            warn!("{} cannot be removed: {fault}", self.path.display());
        }
    }

    pub fn publish(&self, epoch: i64) -> Result<Published, AnnounceError> {
        let shown = json!({
            "pid": std::process::id(), "url": self.url, "epoch": epoch.to_string(), "version": env!("CARGO_PKG_VERSION"),
        });
        let part = self.path.with_extension("part");
        let write = || -> io::Result<()> {
            if let Some(dir) = self.path.parent() {
                fs::create_dir_all(dir)?;
            }
            fs::File::create(&part)?.write_all(shown.to_string().as_bytes())?;
            fs::rename(&part, &self.path)
        };
        write().map_err(|source| AnnounceError { path: self.path.clone(), source })?;
        notify("READY=1");
        Ok(Published { url: self.url.clone(), path: self.path.clone() })
    }
}

impl Published {
    pub fn withdraw(self) {
        notify("STOPPING=1");
        if let Err(fault) = fs::remove_file(&self.path) {
            warn!("{} cannot be removed: {fault}", self.path.display());
        }
    }
}
