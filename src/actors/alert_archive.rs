//! Signs, stores and posts what happened to alerts, in order, whatever is away for a while.
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{debug, warn};

use crate::actors::scribe::{Deed, Scribe};
use crate::alerts::book::{Alert, Change, What};
use crate::store::alerts;
use crate::store::database::Readers;
use crate::webhook;

const RETRY: Duration = Duration::from_millis(500);
/// Posts that wait for a slow receiver.
const POSTS: usize = 256;

#[derive(Clone)]
pub struct Archive {
    pub database: Readers,
    pub scribe: Scribe,
    /// Where alerts are posted to.
    pub webhook: Option<String>,
    /// Shown in posts.
    pub dashboard: String,
}

impl Archive {
    /// The alerts that fired when the service ended; waits for the database.
    pub async fn firing(self) -> Vec<Alert> {
        loop {
            match alerts::firing(&self.database, &self.scribe.node).await {
                Ok(firing) => return firing,
                Err(fault) => debug!("alerts cannot be read yet: {fault}"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Works until the channel closes.
    pub async fn run(self, mut changes: mpsc::Receiver<Change>) {
        let posts = self.webhook.clone().map(|url| {
            let (posts, waiting) = mpsc::channel(POSTS);
            actix_rt::spawn(post(url, self.scribe.node.to_string(), self.dashboard.clone(), waiting));
            posts
        });
        while let Some(change) = changes.recv().await {
            if let Some(posts) = &posts
                && change.what != What::Acknowledged
                && posts.try_send(change.alert.clone()).is_err()
            {
                warn!(
                    alert = change.alert.rule,
                    "the receiver of alerts is too slow: {} is not posted", change.alert.rule
                );
            }
            self.scribe.note(deed(&change)).await;
            while let Err(fault) = alerts::put(&self.database, &self.scribe.node, &change.alert).await {
                debug!("an alert waits for the database: {fault}");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

fn deed(Change { what, alert }: &Change) -> Deed {
    let (actor, op) = match (what, &alert.ack) {
        (What::Acknowledged, Some(ack)) => (ack.by.clone(), "alert.acknowledged"),
        (What::Resolved, _) => ("alerts".to_owned(), "alert.resolved"),
        _ => ("alerts".to_owned(), "alert.fired"),
    };
    let comment = alert.ack.as_ref().filter(|_| *what == What::Acknowledged).map(|ack| format!(": {}", ack.comment));
    let detail = format!(
        "{}, value {:.4}, threshold {}{}",
        alert.severity.as_str(),
        alert.value,
        alert.threshold,
        comment.unwrap_or_default()
    );
    let subject = match alert.labels.get("of") {
        Some(of) => format!("alert/{}/{of}", alert.rule),
        None => format!("alert/{}", alert.rule),
    };
    Deed { actor, op, subject, outcome: "ok", detail: Some(detail) }
}

async fn post(url: String, node: String, dashboard: String, mut waiting: mpsc::Receiver<Alert>) {
    let client = awc::Client::new();
    while let Some(alert) = waiting.recv().await {
        if let Err(fault) = webhook::deliver(&client, &url, &webhook::body(&alert, &node, &dashboard)).await {
            warn!(alert = alert.rule, "alert {} cannot be posted: {fault}", alert.rule);
        }
    }
}
