//! Posts alerts to a receiver in the JSON of Alertmanager's webhook, version 4, so that receivers made for it work.
use std::time::Duration;

use serde_json::{Value, json};

use crate::alerts::book::{Alert, State};

const WITHIN: Duration = Duration::from_secs(10);
const TRIES: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Tries a few times. The error is that of the last try.
pub async fn deliver(client: &awc::Client, url: &str, body: &Value) -> Result<(), String> {
    let mut pause = FIRST_PAUSE;
    let mut tries = 1;
    loop {
        match client.post(url).timeout(WITHIN).send_json(body).await {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(answer) if tries == TRIES => return Err(format!("it answered {}", answer.status())),
            Err(cause) if tries == TRIES => return Err(cause.to_string()),
            Ok(_) | Err(_) => {}
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
        tries += 1;
    }
}

pub fn body(alert: &Alert, node: &str, dashboard: &str) -> Value {
    let status = if alert.state == State::Resolved { "resolved" } else { "firing" };
    let mut labels = serde_json::to_value(&alert.labels).unwrap_or_default();
    labels["alertname"] = json!(alert.rule);
    labels["severity"] = json!(alert.severity.as_str());
    labels["node"] = json!(node);
    let annotations = json!({ "summary": alert.summary, "value": alert.value.to_string() });
    let ends = alert.resolved.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), |at| at.to_rfc3339());
    let one = json!({
        "status": status, "labels": labels, "annotations": annotations,
        "startsAt": alert.fired.unwrap_or(alert.since).to_rfc3339(), "endsAt": ends,
        "generatorURL": dashboard, "fingerprint": alert.fingerprint,
    });
    json!({
        "version": "4", "groupKey": format!("{{}}:{{alertname=\"{}\"}}", alert.rule), "truncatedAlerts": 0,
        "status": status, "receiver": "dsmil", "groupLabels": { "alertname": alert.rule },
        "commonLabels": labels, "commonAnnotations": annotations, "externalURL": dashboard, "alerts": [one],
    })
}
