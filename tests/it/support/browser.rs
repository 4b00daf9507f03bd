//! A real browser: Chromium, driven through chromedriver (W3C WebDriver), each test with one of its own.
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dsmil::clock;
use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::{Value, json};

/// For a page to show what it should.
const PATIENCE: Duration = Duration::from_secs(120);

/// The driver; ended, and its browsers with it, when dropped.
pub struct Driver {
    child: Child,
    url: String,
}

impl Driver {
    pub fn start() -> Self {
        let mut child = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver: `make test` installs it with Chromium");
        let said = BufReader::new(child.stdout.take().expect("piped"));
        let port = said.lines().map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        let url = format!("http://127.0.0.1:{}", port.expect("chromedriver names its port"));
        Driver { child, url }
    }

    pub async fn browser(&self) -> Browser {
        let args = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1440,1000"];
        let wanted = json!({
            "goog:chromeOptions": { "args": args },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let Value::Object(wanted) = wanted else { unreachable!("it is an object") };
        let mut builder = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new());
        let client = builder.capabilities(Capabilities::from_iter(wanted)).connect(&self.url).await;
        Browser { client: client.expect("a browser") }
    }
}

impl Driver {
    /// Has the driver end its browsers and itself: killed, it would leave them behind.
    fn end(&mut self) -> std::io::Result<()> {
        let mut stream = TcpStream::connect(self.url.trim_start_matches("http://"))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(b"GET /shutdown HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        stream.read_to_end(&mut Vec::new()).map(drop)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("chromedriver was not told to end: {error}");
        }
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("chromedriver could not be ended: {error}");
        }
    }
}

/// One browser with one window.
pub struct Browser {
    pub client: Client,
}

impl Browser {
    pub async fn open(&self, url: &str) {
        self.client.goto(url).await.expect("the page is loaded");
    }

    pub async fn sign_in(&self, url: &str, token: &str) {
        self.open(url).await;
        let field = self.client.wait().for_element(Locator::Id("token")).await.expect("a sign-in page");
        field.send_keys(token).await.expect("typed");
        self.press("Sign in").await;
        self.sees("live").await;
    }

    /// What a script says, as JSON.
    pub async fn run(&self, script: &str) -> Value {
        self.client.execute(script, vec![]).await.unwrap_or_else(|fault| panic!("{script}: {fault}"))
    }

    pub async fn text(&self) -> String {
        let text = self.run("return document.body.innerText").await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the page shows this.
    pub async fn sees(&self, what: &str) -> String {
        self.sees_when(what, |text| text.contains(what)).await
    }

    pub async fn sees_when(&self, what: &str, mut is_right: impl FnMut(&str) -> bool) -> String {
        let give_up = clock::now() + PATIENCE;
        loop {
            let text = self.text().await;
            if is_right(&text) {
                return text;
            }
            assert!(clock::now() < give_up, "the page does not show {what:?}, but:\n{text}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Presses the button that says this.
    pub async fn press(&self, label: &str) {
        let path = format!("//button[normalize-space(.)='{label}']");
        let button = self.client.wait().for_element(Locator::XPath(&path)).await;
        button.unwrap_or_else(|fault| panic!("no button {label}: {fault}")).click().await.expect("pressed");
    }

    /// Follows the link of the menu.
    pub async fn page(&self, title: &str) {
        let link = self.client.find(Locator::Css(&format!("nav a[title='{title}']"))).await.expect("a link");
        link.click().await.expect("followed");
    }

    /// Kept where `DSMIL_SCREENSHOTS` says, for people to look at.
    pub async fn picture(&self, name: &str) {
        let Some(dir) = std::env::var_os("DSMIL_SCREENSHOTS").map(PathBuf::from) else { return };
        let png = self.client.screenshot().await.expect("a picture");
        std::fs::write(dir.join(format!("{name}.png")), png).expect("kept");
    }

    /// Complaints of the browser: errors of scripts, refused loads, breaches of the page's policy.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.client.issue_cmd(ReadLog).await.expect("the log");
        let lines = log.as_array().cloned().unwrap_or_default();
        let severe = lines.iter().filter(|line| line["level"] == "SEVERE");
        severe.map(|line| line["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    pub async fn close(self) {
        self.client.close().await.expect("closed");
    }
}

/// Chromium's own command: the messages of its console.
#[derive(Debug)]
struct ReadLog;

impl WebDriverCompatibleCommand for ReadLog {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(json!({ "type": "browser" }).to_string()))
    }
}
