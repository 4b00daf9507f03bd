//! Where the news of supervisors arrive: written to the log, handed on to the recorder, and watched during the start.
//!
//! The hub is one of the children, so that news of its own end find it shut: they wait here until it is back.
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::{mpsc, watch};
use tracing::{debug, error, info, warn};

use crate::feed::channel::Channel;
use crate::messages::events::{Event, Publish};
use crate::messages::port::Port;
use crate::messages::supervision::{SupervisionEvent, Transition};

/// A child that has ended as often as this before the service was ready will not mend itself.
const HOPELESS: u32 = 3;
/// Between two tries to tell watchers what the hub refused.
const AGAIN: Duration = Duration::from_millis(200);
/// News that wait for the hub; the oldest go first.
const WAITING: usize = 1_000;

/// A part that cannot be started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trouble {
    pub path: String,
    pub reason: String,
}

pub struct Desk {
    pub recorder: mpsc::UnboundedSender<SupervisionEvent>,
    pub trouble: watch::Sender<Option<Trouble>>,
    pub feed: Port<Publish>,
}

impl Desk {
    /// Takes news in until the channel closes.
    pub async fn run(self, mut news: mpsc::UnboundedReceiver<SupervisionEvent>) {
        let mut ends: HashMap<String, u32> = HashMap::new();
        let mut waiting: VecDeque<Event> = VecDeque::new();
        loop {
            let event = tokio::select! {
                event = news.recv() => event,
                () = tokio::time::sleep(AGAIN), if !waiting.is_empty() => {
                    self.publish(&mut waiting);
                    continue;
                }
            };
            let Some(event) = event else { return };
            tell(&event);
            waiting.extend(published(&event));
            self.publish(&mut waiting);
            // The service does not consist of those that come and go: it can start without them.
            if let Transition::Exited { reason } = &event.what
                && !event.passing
            {
                let count = ends.entry(event.path.clone()).or_default();
                *count += 1;
                if *count == HOPELESS {
                    self.trouble.send_replace(Some(Trouble { path: event.path.clone(), reason: reason.clone() }));
                }
            }
            // The recorder ends with the process.
            drop(self.recorder.send(event));
        }
    }
}

impl Desk {
    /// Tells watchers what waits, in its order; what is refused goes on waiting.
    fn publish(&self, waiting: &mut VecDeque<Event>) {
        while let Some(event) = waiting.pop_front() {
            if let Err(refusal) = self.feed.try_tell(Publish(vec![event.clone()])) {
                debug!("watchers are told of a child later: {refusal}");
                waiting.push_front(event);
                break;
            }
        }
        if waiting.len() > WAITING {
            let lost = waiting.len() - WAITING;
            warn!("watchers are never told of {lost} events of children: the hub is away for too long");
            waiting.drain(..lost);
        }
    }
}

/// As watchers are told. None: the ordinary way of things.
fn published(event: &SupervisionEvent) -> Option<Event> {
    let (what, detail, severity) = shown(&event.what, event.epoch)?;
    let value = json!({ "kind": "supervision", "what": what, "subject": event.path, "detail": detail,
        "severity": severity, "at": event.at });
    Some(Event { channel: Channel::Events, id: String::new(), at: event.at, value: Some(Arc::new(value)) })
}

fn shown(what: &Transition, epoch: u64) -> Option<(&'static str, String, &'static str)> {
    Some(match what {
        Transition::Exited { reason } => ("ended", reason.clone(), "warning"),
        Transition::RestartIn { delay } => ("restarting", format!("in {delay:.1?}"), "info"),
        Transition::Started if epoch > 1 => ("restarted", format!("life {epoch}"), "info"),
        Transition::BreakerOpened { retry_after } => {
            ("breaker open", format!("for {} s", retry_after.as_secs()), "warning")
        }
        Transition::BreakerHalfOpen => ("breaker half open", "one request is let through".to_owned(), "info"),
        Transition::BreakerClosed => ("breaker closed", String::new(), "info"),
        Transition::GaveUp { reason } => ("gave up", reason.clone(), "critical"),
        Transition::Abandoned => ("abandoned", "it did not stop in time".to_owned(), "critical"),
        Transition::Started | Transition::Stopped => return None,
    })
}

fn tell(event: &SupervisionEvent) {
    let SupervisionEvent { path, epoch, what, .. } = event;
    match what {
        Transition::Exited { reason } => error!(path, epoch, "{path} ended: {reason}"),
        Transition::GaveUp { reason } => error!(path, epoch, "{path} gave up: {reason}"),
        Transition::Abandoned => error!(path, epoch, "{path} did not stop in time and is left behind"),
        Transition::BreakerOpened { retry_after } => {
            warn!(path, epoch, "{path} fails too often: nothing is asked of it for {} s", retry_after.as_secs());
        }
        Transition::RestartIn { delay } => info!(path, epoch, "{path} is started again in {delay:.1?}"),
        Transition::Started if *epoch > 1 => info!(path, epoch, "{path} was started again, life {epoch}"),
        Transition::BreakerHalfOpen | Transition::BreakerClosed => info!(path, epoch, "{path}: {what:?}"),
        Transition::Started | Transition::Stopped => debug!(path, epoch, "{path}: {what:?}"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::messages::port::AskError;

    fn exit(path: &str, reason: &str) -> SupervisionEvent {
        let at = chrono::DateTime::from_timestamp(1_700_000_000, 0).expect("time");
        SupervisionEvent {
            at,
            path: path.into(),
            epoch: 1,
            passing: false,
            what: Transition::Exited { reason: reason.into() },
        }
    }

    #[actix::test]
    async fn three_ends_of_one_child_are_hopeless_and_all_news_are_handed_on() {
        let (tell, news) = mpsc::unbounded_channel();
        let (recorder, mut handed_on) = mpsc::unbounded_channel();
        let (trouble, seen) = watch::channel(None);
        for (path, reason) in [("a", "1"), ("b", "1"), ("a", "2"), ("b", "2")] {
            tell.send(exit(path, reason)).expect("open");
        }
        tell.send(exit("a", "no space left")).expect("open");
        drop(tell);
        Desk { recorder, trouble, feed: Port::answering(|_| Ok(())) }.run(news).await;
        let expected = Trouble { path: "a".into(), reason: "no space left".into() };
        assert_eq!(*seen.borrow(), Some(expected));
        let mut count = 0;
        while handed_on.recv().await.is_some() {
            count += 1;
        }
        assert_eq!(count, 5);
    }

    #[actix::test]
    async fn those_who_come_and_go_do_not_keep_the_service_from_starting() {
        let (tell, news) = mpsc::unbounded_channel();
        let (recorder, _recorded) = mpsc::unbounded_channel();
        let (trouble, seen) = watch::channel(None);
        for _ in 0..HOPELESS {
            tell.send(SupervisionEvent { passing: true, ..exit("root/a/run", "again") }).expect("open");
        }
        drop(tell);
        Desk { recorder, trouble, feed: Port::answering(|_| Ok(())) }.run(news).await;
        assert_eq!(*seen.borrow(), None);
    }

    #[actix::test]
    async fn what_the_hub_refuses_is_told_once_it_is_back_and_in_order() {
        tokio::time::pause();
        let (tell, news) = mpsc::unbounded_channel();
        let (recorder, _recorded) = mpsc::unbounded_channel();
        let (trouble, _seen) = watch::channel(None);
        let (told, mut hears) = mpsc::unbounded_channel();
        let refusals = AtomicU32::new(3);
        let feed = Port::answering(move |Publish(events): Publish| {
            if refusals.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                return Err(AskError::Overloaded);
            }
            events.into_iter().for_each(|event| told.send(event).expect("open"));
            Ok(())
        });
        let desk = actix_rt::spawn(Desk { recorder, trouble, feed }.run(news));
        tell.send(exit("root/edges/hub", "1")).expect("open");
        tell.send(exit("root/edges/hub", "2")).expect("open");
        for reason in ["1", "2"] {
            let event = hears.recv().await.expect("told");
            assert_eq!(event.value.expect("a value")["detail"], reason);
        }
        drop(tell);
        desk.await.expect("it ends with the channel");
    }
}
