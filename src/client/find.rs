//! Where the service is and which token to show: as told, else from what it wrote into its data directory.
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::api::health::ServiceFile;

/// Where a service listens that was told nothing else.
pub const DEFAULT_URL: &str = "http://127.0.0.1:8787";

/// A bearer token. Deliberately without `Debug`.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    pub fn new(text: &str) -> Self {
        Token(text.trim().to_owned())
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// What the caller was told.
#[derive(Clone, Default)]
pub struct Hints {
    pub url: Option<String>,
    pub token: Option<Token>,
    pub token_file: Option<PathBuf>,
}

/// Where to ask, with what.
#[derive(Clone)]
pub struct Target {
    pub url: String,
    /// None: no token was found, and the service will say so.
    pub token: Option<Token>,
}

#[derive(Debug, thiserror::Error)]
pub enum FindError {
    #[error("cannot read the token file {}: use --token-file or DSMIL_TOKEN, or ask as its owner", path.display())]
    Token { path: PathBuf, source: io::Error },
    #[error("`{url}` is not an address of the form http://HOST:PORT")]
    Url { url: String },
}

impl FindError {
    pub fn is_not_permitted(&self) -> bool {
        matches!(self, FindError::Token { .. })
    }
}

pub fn service_file(data_dir: &Path) -> PathBuf {
    data_dir.join("run/service.json")
}

pub fn admin_token_file(data_dir: &Path) -> PathBuf {
    data_dir.join("admin.token")
}

/// Where `dsmil token create --save` keeps a token for the commands of this host.
pub fn saved_token_file(data_dir: &Path) -> PathBuf {
    data_dir.join("cli.token")
}

/// The file that holds a token for this host's commands: the first one until there is an administrator.
pub fn local_token_file(data_dir: &Path) -> PathBuf {
    let first = admin_token_file(data_dir);
    if matches!(first.try_exists(), Ok(false)) { saved_token_file(data_dir) } else { first }
}

/// What a service of this data directory wrote about itself; it may have been killed since.
pub fn running_service(data_dir: &Path) -> Option<ServiceFile> {
    let text = fs::read(service_file(data_dir)).ok()?;
    serde_json::from_slice(&text).ok()
}

pub fn find(hints: Hints, data_dir: &Path) -> Result<Target, FindError> {
    let written = running_service(data_dir).map(|service| service.url);
    let told = hints.url.is_some();
    let url = hints.url.or_else(|| written.clone()).unwrap_or_else(|| DEFAULT_URL.to_owned());
    let url = url.trim_end_matches('/').to_owned();
    let parsed = url.parse::<awc::http::Uri>().ok().filter(|uri| uri.scheme_str() == Some("http"));
    let host = parsed.as_ref().and_then(|uri| uri.host()).ok_or_else(|| FindError::Url { url: url.clone() })?;
    // The token of this host's service is not shown to another host.
    let ours = !told || written.as_deref() == Some(&url) || is_loopback(host);
    let token = match (hints.token, hints.token_file) {
        (_, Some(path)) => Some(read_token(&path)?),
        (Some(token), None) => Some(token),
        (None, None) if ours => {
            let path = local_token_file(data_dir);
            if matches!(path.try_exists(), Ok(false)) { None } else { Some(read_token(&path)?) }
        }
        (None, None) => None,
    };
    Ok(Target { url, token })
}

fn read_token(path: &Path) -> Result<Token, FindError> {
    let text = fs::read_to_string(path).map_err(|source| FindError::Token { path: path.to_owned(), source })?;
    Ok(Token::new(&text))
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(url: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("run")).expect("a directory");
        let text = format!(r#"{{"pid":1,"url":"{url}","epoch":"1","version":"0"}}"#);
        fs::write(service_file(dir.path()), text).expect("a file");
        fs::write(admin_token_file(dir.path()), "local\n").expect("a file");
        dir
    }

    fn check(told: Option<&str>, url: &str, token: Option<&str>) {
        let dir = service("http://127.0.0.1:9999");
        let hints = Hints { url: told.map(str::to_owned), ..Hints::default() };
        let target = find(hints, dir.path()).expect("found");
        assert_eq!(target.url, url);
        assert_eq!(target.token.as_ref().map(Token::reveal), token, "asking {url}");
    }

    #[test]
    fn the_data_directory_tells_both() {
        check(None, "http://127.0.0.1:9999", Some("local"));
    }

    #[test]
    fn a_saved_token_counts_once_the_first_one_is_gone() {
        let dir = service("http://127.0.0.1:9999");
        fs::write(saved_token_file(dir.path()), "saved\n").expect("a file");
        let token = || find(Hints::default(), dir.path()).expect("found").token;
        assert_eq!(token().as_ref().map(Token::reveal), Some("local"));
        fs::remove_file(admin_token_file(dir.path())).expect("removed");
        assert_eq!(token().as_ref().map(Token::reveal), Some("saved"));
    }

    #[test]
    fn the_local_token_is_not_shown_to_another_host() {
        check(Some("http://192.0.2.1:8787/"), "http://192.0.2.1:8787", None);
        check(Some("http://localhost:1"), "http://localhost:1", Some("local"));
    }

    #[test]
    fn without_a_service_file_the_default_address_is_asked() {
        let dir = tempfile::tempdir().expect("a directory");
        let target = find(Hints::default(), dir.path()).expect("found");
        assert_eq!(target.url, DEFAULT_URL);
        assert!(target.token.is_none());
    }

    #[test]
    fn an_address_that_is_none_and_a_token_file_that_is_none_are_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        for url in ["localhost:8787", "ftp://localhost", "https://localhost", "http://"] {
            let hints = Hints { url: Some(url.to_owned()), ..Hints::default() };
            assert!(matches!(find(hints, dir.path()), Err(FindError::Url { .. })), "{url}");
        }
        let hints = Hints { token_file: Some(dir.path().join("none")), ..Hints::default() };
        assert!(matches!(find(hints, dir.path()), Err(FindError::Token { .. })));
    }
}
