//! One HTTP/1.1 connection that is kept open: as little work as can be, since it shares the cores with what is measured.
use std::io::{Error, ErrorKind, Result};

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Where requests go, and the headers they all carry.
#[derive(Clone)]
pub struct Address {
    pub host: String,
    pub headers: String,
}

pub struct Connection {
    address: Address,
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

pub struct Answer<'a> {
    status: u16,
    body: &'a [u8],
}

impl Connection {
    pub async fn open(address: &Address) -> Result<Self> {
        let stream = TcpStream::connect(&address.host).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { address: address.clone(), stream, request: Vec::new(), answer: Vec::with_capacity(8192) })
    }

    pub async fn call(&mut self, method: &str, path: &str, body: &str) -> Result<Answer<'_>> {
        let Address { host, headers } = &self.address;
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\n{headers}content-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        self.request.clear();
        self.request.extend_from_slice(request.as_bytes());
        self.stream.write_all(&self.request).await?;
        self.answer.clear();
        let head = loop {
            self.more().await?;
            if let Some(end) = self.answer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let (status, length) = read_head(&self.answer[..head])?;
        while self.answer.len() < head + length {
            self.more().await?;
        }
        Ok(Answer { status, body: &self.answer[head..] })
    }

    async fn more(&mut self) -> Result<()> {
        match self.stream.read_buf(&mut self.answer).await? {
            0 => Err(Error::new(ErrorKind::UnexpectedEof, "the server closed the connection")),
            _ => Ok(()),
        }
    }
}

impl Answer<'_> {
    /// The body, if the status is this one.
    pub fn read<'b, T: Deserialize<'b>>(&'b self, status: u16) -> Result<T> {
        if self.status != status {
            return Err(bad(format!("not {status}: {}", self.text())));
        }
        serde_json::from_slice(self.body).map_err(|cause| bad(format!("{cause} in {}", self.text())))
    }

    pub fn text(&self) -> String {
        format!("{} {}", self.status, String::from_utf8_lossy(self.body))
    }
}

pub fn bad(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidData, what.into())
}

/// Status and length of the body.
fn read_head(head: &[u8]) -> Result<(u16, usize)> {
    let head = std::str::from_utf8(head).map_err(|_| bad("a head that is no text"))?;
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    let fields = lines.filter_map(|line| line.split_once(':'));
    let mut lengths = fields.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = lengths.next().map_or(Some(0), |(_, length)| length.trim().parse().ok());
    status.zip(length).ok_or_else(|| bad(format!("a head that cannot be read: {first}")))
}
