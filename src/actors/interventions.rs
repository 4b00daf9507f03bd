//! What a person does to a child is on record before it is done.
use std::sync::Arc;
use std::time::Duration;

use actix_rt::{Arbiter, ArbiterHandle};
use tokio::sync::oneshot;
use tracing::warn;

use crate::actors::scribe::{Deed, Scribe};
use crate::messages::port::{AskError, Door, Port, Reply};
use crate::messages::supervision::{Intervene, Intervened, Intervention};

/// How long the record may take.
const RECORD_WITHIN: Duration = Duration::from_secs(5);

/// A door to the root that writes the entry first. A fault that cannot be recorded is not injected; a restart goes on,
/// for the service may need it to get its database back, and is recorded when that is so. Entries are written on the
/// present arbiter, and not on that of whoever asks: they outlive it.
pub fn recorded(scribe: Scribe, root: Port<Intervene>) -> Port<Intervene> {
    Port::new(Arc::new(Recorded { scribe, root, here: Arbiter::current() }))
}

struct Recorded {
    scribe: Scribe,
    root: Port<Intervene>,
    here: ArbiterHandle,
}

/// How an order ended, for its record.
type Told = oneshot::Sender<Result<Intervened, AskError>>;

impl Recorded {
    /// Writes that it was ordered and, unless it was done, how that ended. The first channel tells
    /// when the order is on record.
    fn note(&self, message: &Intervene) -> (oneshot::Receiver<()>, Told) {
        let (written, on_record) = oneshot::channel();
        let (told, ended): (Told, _) = oneshot::channel();
        let (scribe, deed) = (self.scribe.clone(), deed(message));
        let noting = async move {
            scribe.note(deed.clone()).await;
            if written.send(()).is_err() {
                warn!("an order is on record that its giver no longer waits for");
            }
            let outcome = match ended.await {
                Ok(Ok(Intervened::Done)) => return,
                Ok(Ok(Intervened::Unknown | Intervened::NotAlive)) => "refused",
                Ok(Err(refusal)) if refusal.certainly_not_executed() => "refused",
                // the caller has gone before it was told, or was not told in time
                Ok(Err(_)) | Err(_) => "unknown",
            };
            scribe.note(Deed { outcome, ..deed }).await;
        };
        if !self.here.spawn(noting) {
            warn!("{} by {} is not recorded: the service has ended", message.name, message.who);
        }
        (on_record, told)
    }
}

impl Door<Intervene> for Recorded {
    fn ask(&self, message: Intervene, within: Duration) -> Reply<Intervene> {
        let (on_record, told) = self.note(&message);
        let root = self.root.clone();
        Box::pin(async move {
            let recorded = tokio::time::timeout(RECORD_WITHIN.min(within), on_record).await == Ok(Ok(()));
            let answer = match message.how {
                Intervention::Inject(_) if !recorded => {
                    let reason = "the audit log does not take the record of it".into();
                    Err(AskError::Unavailable { retry_after: RECORD_WITHIN, reason })
                }
                _ => root.ask_within(message, within).await,
            };
            if told.send(answer.clone()).is_err() {
                warn!("how an intervention ended is not recorded: the service has ended");
            }
            answer
        })
    }

    /// Never without a record.
    fn try_tell(&self, message: Intervene) -> Result<(), AskError> {
        let asking = self.ask(message, RECORD_WITHIN);
        let carried_out = async move {
            if let Err(fault) = asking.await {
                warn!("an intervention was not carried out: {fault}");
            }
        };
        let gone = || AskError::Unavailable { retry_after: RECORD_WITHIN, reason: "the service has ended".into() };
        self.here.spawn(carried_out).then_some(()).ok_or_else(gone)
    }
}

fn deed(Intervene { name, how, who }: &Intervene) -> Deed {
    let (op, detail) = match how {
        Intervention::Restart => ("child.restart_ordered", None),
        Intervention::Inject(fault) => ("drill.injected", Some(fault.to_string())),
    };
    Deed { actor: who.clone(), op, subject: format!("child/{name}"), outcome: "ordered", detail }
}
