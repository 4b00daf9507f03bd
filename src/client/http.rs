//! One request and its answer, over HTTP/1.1. Needs an actix system to run in.
use std::time::Duration;

use awc::error::{ConnectError, SendRequestError};
use awc::http::Method;
use awc::http::header::{ACCEPT, AUTHORIZATION};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api::problem::MEDIA_TYPE;
use crate::api::problem::Problem;
use crate::client::error::ClientError;
use crate::client::find::Target;

/// Longer than the longest wait that the service grants.
const ANSWER_WITHIN: Duration = Duration::from_secs(90);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// The largest answer that is taken: a run of many steps with their data.
const LARGEST_ANSWER: usize = 256 * 1024 * 1024;

/// A client of one service; cheap to clone within its thread.
#[derive(Clone)]
pub struct Client {
    http: awc::Client,
    target: Target,
}

impl Client {
    pub fn new(target: Target) -> Self {
        let connector = awc::Connector::new().timeout(CONNECT_WITHIN);
        let http = awc::Client::builder().connector(connector).timeout(ANSWER_WITHIN).disable_redirects().finish();
        Client { http, target }
    }

    pub fn url(&self) -> &str {
        &self.target.url
    }

    /// `path` begins with a slash and is encoded already.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let (url, bytes) = self.exchange(Method::GET, path, None).await?;
        parse(url, &bytes)
    }

    pub async fn get_text(&self, path: &str) -> Result<String, ClientError> {
        let (_, bytes) = self.exchange(Method::GET, path, None).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: Option<&Value>) -> Result<T, ClientError> {
        let (url, bytes) = self.exchange(Method::POST, path, body).await?;
        parse(url, &bytes)
    }

    /// With a header of the caller's.
    pub async fn post_with<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
        header: (&str, &str),
    ) -> Result<T, ClientError> {
        let (url, bytes) = self.exchange_with(Method::POST, path, Some(body), Some(header)).await?;
        parse(url, &bytes)
    }

    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let (url, bytes) = self.exchange(Method::DELETE, path, None).await?;
        parse(url, &bytes)
    }

    /// The answer whatever its status, for addresses whose status says how things are.
    pub async fn get_any<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let (url, _, _, bytes) = self.send(Method::GET, path, None, None).await?;
        parse(url, &bytes)
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(String, Vec<u8>), ClientError> {
        self.exchange_with(method, path, body, None).await
    }

    async fn exchange_with(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        header: Option<(&str, &str)>,
    ) -> Result<(String, Vec<u8>), ClientError> {
        let (url, status, is_problem, bytes) = self.send(method, path, body, header).await?;
        if (200..300).contains(&status) {
            return Ok((url, bytes));
        }
        match serde_json::from_slice::<Problem>(&bytes) {
            Ok(problem) if is_problem => Err(ClientError::Refused(problem)),
            _ => Err(ClientError::NotOurs { url, status }),
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        header: Option<(&str, &str)>,
    ) -> Result<(String, u16, bool, Vec<u8>), ClientError> {
        let url = format!("{}{path}", self.target.url);
        let mut request = self.http.request(method, &url).insert_header((ACCEPT, "application/json"));
        if let Some(token) = &self.target.token {
            request = request.insert_header((AUTHORIZATION, format!("Bearer {}", token.reveal())));
        }
        if let Some(header) = header {
            request = request.insert_header(header);
        }
        let sent = match body {
            Some(body) => request.send_json(body).await,
            None => request.send().await,
        };
        let mut answer = sent.map_err(|cause| failure(&self.target.url, cause))?;
        let is_problem = answer.headers().get("content-type").is_some_and(|kind| kind == MEDIA_TYPE);
        let status = answer.status().as_u16();
        let body = answer.body().limit(LARGEST_ANSWER).await;
        let bytes = body.map_err(|cause| ClientError::BrokenOff { url: url.clone(), detail: cause.to_string() })?;
        Ok((url, status, is_problem, bytes.to_vec()))
    }
}

fn parse<T: DeserializeOwned>(url: String, bytes: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(bytes).map_err(|source| ClientError::NotUnderstood { url, source })
}

fn failure(url: &str, cause: SendRequestError) -> ClientError {
    let url = url.to_owned();
    match cause {
        SendRequestError::Connect(ConnectError::Io(cause)) => {
            ClientError::NotReachable { url, detail: cause.to_string() }
        }
        SendRequestError::Connect(cause) => ClientError::NotReachable { url, detail: cause.to_string() },
        SendRequestError::Url(cause) => ClientError::NotReachable { url, detail: cause.to_string() },
        cause => ClientError::BrokenOff { url, detail: cause.to_string() },
    }
}
