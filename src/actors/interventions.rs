//! What a person does to a child is on record before it is done.
use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use crate::actors::scribe::{Deed, Scribe};
use crate::messages::port::{AskError, Door, Port, Reply};
use crate::messages::supervision::{Intervene, Intervened, Intervention};

/// How long the record may take.
const RECORD_WITHIN: Duration = Duration::from_secs(5);

/// A door to the root that writes the entry first. A fault that cannot be recorded is not injected; a restart goes on,
/// for the service may need it to get its database back, and is recorded when that is so.
pub fn recorded(scribe: Scribe, root: Port<Intervene>) -> Port<Intervene> {
    Port::new(Arc::new(Recorded { scribe, root }))
}

struct Recorded {
    scribe: Scribe,
    root: Port<Intervene>,
}

impl Door<Intervene> for Recorded {
    fn ask(&self, message: Intervene, within: Duration) -> Reply<Intervene> {
        let (scribe, later, root) = (self.scribe.clone(), self.scribe.clone(), self.root.clone());
        Box::pin(async move {
            let (deed, must) = (deed(&message), matches!(message.how, Intervention::Inject(_)));
            let mut noting = actix_rt::spawn(async move { scribe.note(deed).await });
            match tokio::time::timeout(RECORD_WITHIN.min(within), &mut noting).await {
                Ok(Ok(())) => {}
                _ if must => {
                    noting.abort();
                    let reason = "the audit log does not take the record of it".into();
                    return Err(AskError::Unavailable { retry_after: RECORD_WITHIN, reason });
                }
                _ => warn!("the restart of {} by {} is recorded later", message.name, message.who),
            }
            let answer = root.ask_within(message.clone(), within).await;
            if must && answer != Ok(Intervened::Done) {
                // the record says that it was ordered
                let deed = Deed { outcome: "refused", ..self::deed(&message) };
                actix_rt::spawn(async move { later.note(deed).await });
            }
            answer
        })
    }

    /// Never without a record.
    fn try_tell(&self, message: Intervene) -> Result<(), AskError> {
        let asking = self.ask(message, RECORD_WITHIN);
        actix_rt::spawn(async move {
            if let Err(fault) = asking.await {
                warn!("an intervention was not carried out: {fault}");
            }
        });
        Ok(())
    }
}

fn deed(Intervene { name, how, who }: &Intervene) -> Deed {
    let (op, detail) = match how {
        Intervention::Restart => ("child.restart_ordered", None),
        Intervention::Inject(fault) => ("drill.injected", Some(fault.to_string())),
    };
    Deed { actor: who.clone(), op, subject: format!("child/{name}"), outcome: "ordered", detail }
}
