//! Posts, signs and stores what happened to alerts, in order. What is away for a while holds up only what needs it:
//! an alert is posted at once and signed without the database, and stored when that is back.
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{debug, error, warn};

use crate::actors::scribe::{Deed, Scribe};
use crate::alerts::book::{Alert, Change, What};
use crate::ids::NodeId;
use crate::store::alerts;
use crate::store::database::Readers;
use crate::webhook;
use crate::workflow::record::StoreError;

const RETRY: Duration = Duration::from_millis(500);
/// Posts that wait for a slow receiver.
const POSTS: usize = 256;
/// Changes that wait for the database.
const ROWS: usize = 4_096;

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
        let (rows, unstored) = mpsc::channel(ROWS);
        actix_rt::spawn(store(self.database.clone(), self.scribe.node.clone(), unstored));
        while let Some(change) = changes.recv().await {
            let is_news = change.what != What::Superseded;
            if let Some(posts) = &posts
                && is_news
                && change.what != What::Acknowledged
                && posts.try_send(change.alert.clone()).is_err()
            {
                warn!(
                    alert = change.alert.rule,
                    "the receiver of alerts is too slow: {} is not posted", change.alert.rule
                );
            }
            if is_news {
                self.scribe.note(deed(&change)).await;
            }
            if let Err(refused) = rows.try_send(change.alert) {
                let rule = &refused.into_inner().rule;
                warn!(alert = rule, "too many changes of alerts wait for the database: one of {rule} is not stored");
            }
        }
    }
}

/// Tries again while the database is away; what it refuses it would refuse for ever.
async fn store(database: Readers, node: NodeId, mut unstored: mpsc::Receiver<Alert>) {
    while let Some(alert) = unstored.recv().await {
        while let Err(fault) = alerts::put(&database, &node, &alert).await {
            if !matches!(fault, StoreError::Unreachable { .. } | StoreError::Unknown { .. }) {
                error!(alert = alert.rule, "how alert {} stands cannot be stored: {fault}", alert.rule);
                break;
            }
            debug!("an alert waits for the database: {fault}");
            tokio::time::sleep(RETRY).await;
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
