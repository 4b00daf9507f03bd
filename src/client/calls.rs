//! What can be asked of the service, one function per call.
use serde_json::{Value, json};

use crate::api::accepted::Accepted;
use crate::api::accepted::Cancelled;
use crate::api::accepted::Checked;
use crate::api::accepted::Restarting;
use crate::api::access::CreatedToken;
use crate::api::access::NewToken;
use crate::api::access::Revoked;
use crate::api::access::Tokens;
use crate::api::agent::Agent;
use crate::api::agent::Agents;
use crate::api::agent::Drilled as DrilledAgent;
use crate::api::alert::Alert;
use crate::api::alert::Alerts;
use crate::api::alert::Host;
use crate::api::alert::NewAck;
use crate::api::audit::Entries;
use crate::api::audit::Head;
use crate::api::health::Readiness;
use crate::api::learner::Prediction;
use crate::api::learner::Question;
use crate::api::playbook::Playbook;
use crate::api::playbook::Playbooks;
use crate::api::run::Run;
use crate::api::run::Runs;
use crate::api::schedule::{Deleted, Ordered, Schedule, Schedules, ShownSchedule};
use crate::api::supervision::{Drill, Drilled, Node};
use crate::api::tool::Tool;
use crate::api::tool::Tools;
use crate::client::error::ClientError;
use crate::client::http::Client;

/// Which runs to list.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    pub status: Option<String>,
    pub name: Option<String>,
    pub agent: Option<String>,
    /// `key:value`, all of them.
    pub labels: Vec<String>,
    /// RFC 3339.
    pub since: Option<String>,
    pub until: Option<String>,
    pub limit: u32,
    pub cursor: Option<String>,
}

impl Client {
    pub async fn submit(&self, document: &Value) -> Result<Accepted, ClientError> {
        self.post("/api/v1/workflows", Some(document)).await
    }

    /// However often it is sent with this key, it is run once.
    pub async fn submit_once(&self, document: &Value, key: &str) -> Result<Accepted, ClientError> {
        self.post_with("/api/v1/workflows", document, ("Idempotency-Key", key)).await
    }

    pub async fn check(&self, document: &Value) -> Result<Checked, ClientError> {
        self.post("/api/v1/workflows?dry_run=true", Some(document)).await
    }

    pub async fn runs(&self, filter: &RunFilter) -> Result<Runs, ClientError> {
        let mut path = format!("/api/v1/workflows?limit={}", filter.limit);
        let single = [
            ("status", &filter.status),
            ("name", &filter.name),
            ("agent", &filter.agent),
            ("since", &filter.since),
            ("until", &filter.until),
            ("cursor", &filter.cursor),
        ];
        let single = single.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
        for (key, value) in single.chain(filter.labels.iter().map(|label| ("label", label))) {
            path.push_str(&format!("&{key}={}", encoded(value)));
        }
        self.get(&path).await
    }

    pub async fn run(&self, id: &str) -> Result<Run, ClientError> {
        self.get(&format!("/api/v1/workflows/{}", encoded(id))).await
    }

    /// Answers when the run has ended, or after `seconds` as it then is.
    pub async fn run_within(&self, id: &str, seconds: u64) -> Result<Run, ClientError> {
        self.get(&format!("/api/v1/workflows/{}?wait={seconds}s", encoded(id))).await
    }

    pub async fn cancel(&self, id: &str, undo: bool) -> Result<Cancelled, ClientError> {
        self.post(&format!("/api/v1/workflows/{}/cancel?undo={undo}", encoded(id)), None).await
    }

    /// `pause`, `resume`, `undo` or `retry`.
    pub async fn steer(&self, id: &str, how: &str) -> Result<Accepted, ClientError> {
        self.post(&format!("/api/v1/workflows/{}/{how}", encoded(id)), None).await
    }

    pub async fn fork(&self, id: &str, changes: &Value) -> Result<Accepted, ClientError> {
        self.post(&format!("/api/v1/workflows/{}/fork", encoded(id)), Some(changes)).await
    }

    pub async fn signal(&self, id: &str, name: &str, data: &Value) -> Result<Accepted, ClientError> {
        self.post(&format!("/api/v1/workflows/{}/signals/{}", encoded(id), encoded(name)), Some(data)).await
    }

    pub async fn approve(&self, id: &str, step: &str, verdict: &Value) -> Result<Accepted, ClientError> {
        self.post(&format!("/api/v1/workflows/{}/steps/{}/approve", encoded(id), encoded(step)), Some(verdict)).await
    }

    pub async fn schedules(&self) -> Result<Schedules, ClientError> {
        self.get("/api/v1/schedules").await
    }

    pub async fn schedule(&self, which: &str) -> Result<ShownSchedule, ClientError> {
        self.get(&format!("/api/v1/schedules/{}", encoded(which))).await
    }

    pub async fn create_schedule(&self, wanted: &Value) -> Result<Schedule, ClientError> {
        self.post("/api/v1/schedules", Some(wanted)).await
    }

    /// `pause` or `resume`.
    pub async fn set_schedule(&self, which: &str, how: &str) -> Result<Schedule, ClientError> {
        self.post(&format!("/api/v1/schedules/{}/{how}", encoded(which)), None).await
    }

    pub async fn run_schedule(&self, which: &str) -> Result<Ordered, ClientError> {
        self.post(&format!("/api/v1/schedules/{}/run", encoded(which)), None).await
    }

    pub async fn delete_schedule(&self, which: &str) -> Result<Deleted, ClientError> {
        self.delete(&format!("/api/v1/schedules/{}", encoded(which))).await
    }

    pub async fn agents(&self) -> Result<Agents, ClientError> {
        self.get("/api/v1/agents").await
    }

    pub async fn agent(&self, id: &str) -> Result<Agent, ClientError> {
        self.get(&format!("/api/v1/agents/{}", encoded(id))).await
    }

    pub async fn restart(&self, id: &str) -> Result<Restarting, ClientError> {
        self.post(&format!("/api/v1/agents/{}/restart", encoded(id)), None).await
    }

    pub async fn drill_agent(&self, id: &str, drill: &Drill) -> Result<DrilledAgent, ClientError> {
        self.post(&format!("/api/v1/agents/{}/drill", encoded(id)), Some(&serde_json::json!(drill))).await
    }

    pub async fn drill(&self, child: &str, drill: &Drill) -> Result<Drilled, ClientError> {
        self.post(&format!("/api/v1/supervision/{}/drill", encoded(child)), Some(&serde_json::json!(drill))).await
    }

    pub async fn predict(&self, question: &Question) -> Result<Prediction, ClientError> {
        self.post("/api/v1/agents/predict", Some(&serde_json::json!(question))).await
    }

    pub async fn supervision(&self) -> Result<Node, ClientError> {
        self.get("/api/v1/supervision").await
    }

    pub async fn tools(&self) -> Result<Tools, ClientError> {
        self.get("/api/v1/tools").await
    }

    pub async fn tool(&self, id: &str) -> Result<Tool, ClientError> {
        self.get(&format!("/api/v1/tools/{}", encoded(id))).await
    }

    pub async fn playbooks(&self) -> Result<Playbooks, ClientError> {
        self.get("/api/v1/playbooks").await
    }

    pub async fn playbook(&self, name: &str) -> Result<Playbook, ClientError> {
        self.get(&format!("/api/v1/playbooks/{}", encoded(name))).await
    }

    pub async fn head(&self) -> Result<Head, ClientError> {
        self.get("/api/v1/audit/head").await
    }

    pub async fn entries(&self, from: u64, to: u64) -> Result<Entries, ClientError> {
        self.get(&format!("/api/v1/audit/entries?from={from}&to={to}")).await
    }

    /// A C2SP tlog-proof.
    pub async fn proof(&self, index: u64) -> Result<String, ClientError> {
        self.get_text(&format!("/api/v1/audit/proof/{index}")).await
    }

    pub async fn verifier_key(&self) -> Result<String, ClientError> {
        self.get_text("/api/v1/audit/vkey").await
    }

    pub async fn create_token(&self, wanted: &NewToken) -> Result<CreatedToken, ClientError> {
        let expires = wanted.expires_in.as_deref();
        let body = json!({ "name": wanted.name, "role": wanted.role, "expires_in": expires });
        self.post("/api/v1/tokens", Some(&body)).await
    }

    pub async fn tokens(&self) -> Result<Tokens, ClientError> {
        self.get("/api/v1/tokens").await
    }

    pub async fn revoke_token(&self, id: &str) -> Result<Revoked, ClientError> {
        self.delete(&format!("/api/v1/tokens/{}", encoded(id))).await
    }

    pub async fn alerts(&self) -> Result<Alerts, ClientError> {
        self.get("/api/v1/alerts").await
    }

    pub async fn acknowledge(&self, id: &str, ack: &NewAck) -> Result<Alert, ClientError> {
        self.post(&format!("/api/v1/alerts/{}/ack", encoded(id)), Some(&json!(ack))).await
    }

    pub async fn exercise(&self, firing: bool) -> Result<Alerts, ClientError> {
        self.post("/api/v1/alerts/test", Some(&json!({ "firing": firing }))).await
    }

    pub async fn readings(&self) -> Result<Host, ClientError> {
        self.get("/api/v1/host").await
    }

    pub async fn readiness(&self) -> Result<Readiness, ClientError> {
        self.get_any("/readyz").await
    }
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_part_of_the_address() {
        assert_eq!(encoded("host-baseline"), "host-baseline");
        assert_eq!(encoded("../a?b=c&d#e é"), "..%2Fa%3Fb%3Dc%26d%23e%20%C3%A9");
    }
}
