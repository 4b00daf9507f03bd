//! The frames of `dsmil.v1.json`. Unknown keys are ignored in both directions, so that either side may grow.
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub const SUB_PROTOCOL: &str = "dsmil.v1.json";
pub const VERSION: u32 = 1;

/// Why the service closes a connection; 4000 and above are ours, 1001 is everybody's (RFC 6455, section 7.4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// It did not say hello, or what it said makes no sense.
    Protocol,
    /// It stopped reading.
    Slow,
    /// Its token is not valid any more.
    Expired,
    /// The service is being stopped, or somebody ended this connection.
    Away,
}

impl Close {
    pub fn code(self) -> u16 {
        match self {
            Close::Protocol => 4000,
            Close::Slow => 4008,
            Close::Expired => 4401,
            Close::Away => 1001,
        }
    }

    pub fn reason(self) -> &'static str {
        match self {
            Close::Protocol => "protocol error",
            Close::Slow => "too slow",
            Close::Expired => "the token is not valid any more",
            Close::Away => "going away",
        }
    }
}

/// What a client says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "t", rename_all = "lowercase")]
pub enum FromClient {
    Hello {
        v: u32,
        #[serde(default)]
        resume: Option<Resume>,
    },
    Sub {
        #[serde(default)]
        id: u64,
        ch: String,
        #[serde(default)]
        rate_hz: Option<f64>,
    },
    Unsub {
        ch: String,
    },
    /// Allowed and not needed: the pong of the connection tells as much.
    Ack {},
}

/// Where an earlier connection ended, by channel.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Resume {
    pub epoch: String,
    #[serde(flatten)]
    pub seen: BTreeMap<String, u64>,
}

/// What the service says, but for the frames with data, which are put together from parts that are encoded once.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "t", rename_all = "lowercase")]
pub enum ToClient<'a> {
    Welcome {
        v: u32,
        epoch: &'a str,
        heartbeat_ms: u64,
        server_time: DateTime<Utc>,
        build: &'a str,
    },
    /// Nothing changed: the connection lives.
    Hb {
        ts: i64,
    },
    Err {
        id: u64,
        problem: ProtocolProblem,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProtocolProblem {
    pub title: &'static str,
    pub detail: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frames_of_a_client_are_read() {
        let read = |text: &str| serde_json::from_str::<FromClient>(text);
        let hello = read(r#"{"t":"hello","v":1,"resume":{"epoch":"k3f","agents":12},"client":"web"}"#).expect("read");
        let FromClient::Hello { v: 1, resume: Some(resume) } = hello else { panic!("{hello:?}") };
        assert_eq!((resume.epoch.as_str(), resume.seen["agents"]), ("k3f", 12));
        let sub = read(r#"{"t":"sub","id":1,"ch":"agents","rate_hz":10}"#).expect("read");
        assert_eq!(sub, FromClient::Sub { id: 1, ch: "agents".into(), rate_hz: Some(10.0) });
        assert!(read(r#"{"t":"ack","seq":3}"#).is_ok());
        for wrong in ["", "{}", r#"{"t":"fly"}"#, r#"{"t":"sub"}"#, "[]"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
