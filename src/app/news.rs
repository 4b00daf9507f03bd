//! What supervisors tell becomes entries of the audit log.
//!
//! The channel has no bound: news are few (a restart each, held down by back-off) and must not be dropped.
use tokio::sync::mpsc;

use crate::actors::scribe::Scribe;
use crate::audit::entry::Entry;
use crate::ids::NodeId;
use crate::messages::supervision::{SupervisionEvent, Transition};

/// A panic may say anything; a leaf of the log has 64 KiB at most.
const DETAIL: usize = 500;

/// Records news until the channel closes.
pub async fn record(scribe: Scribe, mut news: mpsc::UnboundedReceiver<SupervisionEvent>) {
    let epoch = scribe.epoch().await;
    while let Some(event) = news.recv().await {
        if let Some(entry) = entry(&scribe.node, epoch, &event) {
            scribe.record(entry).await;
        }
    }
}

/// None: the first start of a child and its ordered stop are told by the service's own entries.
fn entry(node: &NodeId, epoch: i64, event: &SupervisionEvent) -> Option<Entry> {
    let (op, outcome, detail) = match &event.what {
        Transition::Started if event.epoch > 1 => ("child.restarted", "up", format!("life {}", event.epoch)),
        Transition::Started | Transition::Stopped | Transition::RestartIn { .. } => return None,
        Transition::Exited { reason } => ("child.exited", "failed", reason.clone()),
        Transition::BreakerOpened { retry_after } => {
            ("breaker.opened", "open", format!("the address is withdrawn for {} s", retry_after.as_secs()))
        }
        Transition::BreakerHalfOpen => ("breaker.half_open", "half_open", "one request is let through".to_owned()),
        Transition::BreakerClosed => ("breaker.closed", "closed", "the probe succeeded".to_owned()),
        Transition::GaveUp { reason } => ("supervisor.gave_up", "failed", reason.clone()),
        Transition::Abandoned => {
            ("child.abandoned", "failed", "it did not stop in time and was left behind".to_owned())
        }
    };
    let above = event.path.rsplit_once('/').map_or("root", |(above, _)| above);
    Some(Entry {
        at: event.at,
        node: node.clone(),
        epoch,
        actor: format!("supervisor:{above}"),
        op: op.to_owned(),
        subject: format!("child/{}", event.path),
        outcome: outcome.to_owned(),
        payload: None,
        detail: Some(detail.chars().take(DETAIL).collect()),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn check(what: Transition, epoch: u64, op: Option<&str>) {
        let at = chrono::DateTime::from_timestamp(1_700_000_000, 0).expect("time");
        let event = SupervisionEvent { at, path: "root/agents/agents-3/PACER".into(), epoch, passing: false, what };
        let made = entry(&NodeId::new("n").expect("id"), 7, &event);
        assert_eq!(made.as_ref().map(|entry| entry.op.as_str()), op);
        if let Some(entry) = made {
            assert_eq!(entry.actor, "supervisor:root/agents/agents-3");
            assert_eq!(entry.subject, "child/root/agents/agents-3/PACER");
        }
    }

    #[test]
    fn failures_and_restarts_are_recorded_and_the_first_start_is_not() {
        check(Transition::Started, 1, None);
        check(Transition::Started, 2, Some("child.restarted"));
        check(Transition::Exited { reason: "panic: x".into() }, 1, Some("child.exited"));
        check(Transition::BreakerOpened { retry_after: Duration::from_secs(60) }, 1, Some("breaker.opened"));
        check(Transition::GaveUp { reason: "x".into() }, 1, Some("supervisor.gave_up"));
        check(Transition::Stopped, 1, None);
    }
}
