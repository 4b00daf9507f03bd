//! A client of the live feed.
use std::time::Duration;

use awc::BoxedSocket;
use awc::ws::{Codec, Frame, Message};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};

use crate::support::service::Service;

type Socket = actix_codec::Framed<BoxedSocket, Codec>;

const PATIENCE: Duration = Duration::from_secs(20);

/// A client that reads.
pub struct Client(Socket);

impl Client {
    pub async fn connect(service: &Service, query: &str, token: Option<&str>) -> Result<Self, String> {
        let bearer = token.map(|token| ("Authorization", format!("Bearer {token}")));
        Client::connect_with(service, query, bearer.as_slice()).await
    }

    pub async fn connect_with(service: &Service, query: &str, headers: &[(&str, String)]) -> Result<Self, String> {
        let url = format!("{}/api/v1/stream{query}", service.url);
        let mut request = awc::Client::new().ws(url).protocols(["dsmil.v1.json"]);
        for (name, value) in headers {
            request = request.header(*name, value.as_str());
        }
        request.connect().await.map(|(_, socket)| Client(socket)).map_err(|fault| fault.to_string())
    }

    pub async fn say(&mut self, frame: Value) {
        self.0.send(Message::Text(frame.to_string().into())).await.expect("sent");
    }

    pub async fn follow(&mut self, resume: Option<Value>, channels: &[&str]) {
        self.say(json!({ "t": "hello", "v": 1, "resume": resume })).await;
        for (id, channel) in channels.iter().enumerate() {
            self.say(json!({ "t": "sub", "id": id, "ch": channel, "rate_hz": 60 })).await;
        }
    }

    /// The next frame of the feed; pings are answered. The code, if the connection is closed.
    pub async fn next(&mut self) -> Result<Value, u16> {
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.0.next()).await.expect("a frame in time");
            match frame {
                Some(Ok(Frame::Text(text))) => return Ok(serde_json::from_slice(&text).expect("JSON")),
                Some(Ok(Frame::Ping(bytes))) => self.0.send(Message::Pong(bytes)).await.expect("sent"),
                Some(Ok(Frame::Close(reason))) => return Err(reason.map_or(1005, |reason| reason.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(1006),
            }
        }
    }

    /// The code with which the connection ends.
    pub async fn end(&mut self) -> u16 {
        loop {
            if let Err(code) = self.next().await {
                return code;
            }
        }
    }

    /// The next frame of this kind, of this channel if there is one.
    pub async fn frame(&mut self, kind: &str, channel: &str) -> Value {
        loop {
            let frame = self.next().await.expect("the connection lasts");
            if frame["t"] == kind && (channel.is_empty() || frame["ch"] == channel) {
                return frame;
            }
        }
    }
}
