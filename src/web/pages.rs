//! The dashboard: one page under several addresses, and the files that it loads. All of it is part of the program.
use std::collections::HashMap;
use std::sync::LazyLock;

use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::http::header::{self, ETag, EntityTag, Header, IfNoneMatch};
use actix_web::middleware::DefaultHeaders;
use actix_web::web::{Bytes, Path};
use include_dir::{Dir, include_dir};
use sha2::{Digest, Sha256};

use crate::web::error::ApiError;

static DASH: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/assets/dash");
static REFERENCE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/assets/reference");
static VENDOR: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/assets/vendor");
static FILES: LazyLock<HashMap<String, File>> = LazyLock::new(files);

const PAGE: &str = "dash/index.html";
const REFERENCE_PAGE: &str = "reference/index.html";
/// Asked for anew each time, and not sent again unless it changed.
const OWN: &str = "no-cache";
/// Its address names its version.
const VERSIONED: &str = "public, max-age=31536000, immutable";
/// Nothing from elsewhere, and no script or style within the page (Content Security Policy Level 3).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// Swagger UI sets styles of its own elements.
const REFERENCE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                                img-src 'self' data:; connect-src 'self'; form-action 'none'; base-uri 'none'; \
                                frame-ancestors 'none'";

struct File {
    body: Bytes,
    media_type: &'static str,
    tag: EntityTag,
    caching: &'static str,
}

fn files() -> HashMap<String, File> {
    let mut files = HashMap::new();
    take(&DASH, "dash", OWN, &mut files);
    take(&REFERENCE, "reference", OWN, &mut files);
    take(&VENDOR, "vendor", VERSIONED, &mut files);
    files
}

fn take(dir: &Dir<'static>, name: &str, caching: &'static str, files: &mut HashMap<String, File>) {
    for file in dir.files() {
        let path = format!("{name}/{}", file.path().display());
        let digest = hex::encode(&Sha256::digest(file.contents())[..16]);
        let extension = file.path().extension().and_then(|extension| extension.to_str());
        let media_type = match extension {
            Some("html") => "text/html; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => "text/plain; charset=utf-8",
        };
        let tag = EntityTag::new_strong(digest);
        files.insert(path, File { body: Bytes::from_static(file.contents()), media_type, tag, caching });
    }
    dir.dirs().for_each(|inner| take(inner, name, caching, files));
}

/// What every answer carries unless it says otherwise: it is no page, nobody may frame it, and it is not kept.
pub fn guarding_headers() -> DefaultHeaders {
    DefaultHeaders::new()
        .add((header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"))
        .add((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .add((header::REFERRER_POLICY, "no-referrer"))
        .add((header::X_FRAME_OPTIONS, "DENY"))
        .add((header::CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"))
        .add((header::CROSS_ORIGIN_OPENER_POLICY, "same-origin"))
        .add((header::CACHE_CONTROL, "no-store"))
}

/// The page finds out by its address what to show.
pub async fn page(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    under(POLICY, file(PAGE, &request)?)
}

/// The API reference, drawn by Swagger UI from the description of the API.
pub async fn reference(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    under(REFERENCE_POLICY, file(REFERENCE_PAGE, &request)?)
}

fn under(policy: &'static str, mut response: HttpResponse) -> Result<HttpResponse, ApiError> {
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, header::HeaderValue::from_static(policy));
    Ok(response)
}

pub async fn asset(path: Path<String>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    file(&path, &request)
}

fn file(path: &str, request: &HttpRequest) -> Result<HttpResponse, ApiError> {
    let file = FILES.get(path).ok_or_else(|| ApiError::NotFound(format!("the dashboard has no file `{path}`")))?;
    // Without the header it parses as an empty list of tags.
    let known = match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|tag| tag.weak_eq(&file.tag)),
        Err(_) => false,
    };
    let mut response = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header(ETag(file.tag.clone())).insert_header((header::CACHE_CONTROL, file.caching));
    if known {
        return Ok(response.finish());
    }
    Ok(response.insert_header((header::CONTENT_TYPE, file.media_type)).body(file.body.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::asked::{anonymous, ask};
    use crate::web::fakes::edges;

    /// What a file loads: addresses in the page, imports in its scripts.
    fn loads(path: &str, text: &str) -> Vec<String> {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let quoted = |text: &str| text.split('"').nth(1).map(str::to_owned);
        let addresses = text.split(" href=").skip(1).chain(text.split(" src=").skip(1)).filter_map(quoted);
        let addresses = addresses.filter_map(|address| address.strip_prefix("/assets/").map(str::to_owned));
        let imports = text.lines().filter(|line| line.starts_with("import ") || line.starts_with("export {"));
        let imports = imports.filter_map(|line| line.split(" from ").nth(1)).filter_map(quoted);
        addresses.chain(imports.map(|import| resolve(folder, &import))).collect()
    }

    fn resolve(folder: &str, import: &str) -> String {
        let mut parts: Vec<&str> = folder.split('/').collect();
        for part in import.split('/') {
            match part {
                "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        parts.join("/")
    }

    #[actix_web::test]
    async fn each_address_of_the_dashboard_gives_the_page_under_a_strict_policy() {
        for line in ["GET /", "GET /agents", "GET /agents/PACER", "GET /workflows/x", "GET /alerts", "GET /audit"] {
            let answer = ask(edges(), anonymous(line)).await;
            assert_eq!((answer.status, answer.header("content-type")), (200, "text/html; charset=utf-8"), "{line}");
            let policy = answer.header("content-security-policy");
            assert!(policy.starts_with("default-src 'none'; script-src 'self'") && !policy.contains("unsafe"));
        }
        assert_eq!(ask(edges(), anonymous("GET /elsewhere")).await.status, 404);
    }

    #[actix_web::test]
    async fn everything_that_the_page_loads_is_there_and_nothing_from_elsewhere() {
        let mut todo = vec![PAGE.to_owned(), REFERENCE_PAGE.to_owned()];
        let mut seen = Vec::new();
        while let Some(path) = todo.pop() {
            if seen.contains(&path) {
                continue;
            }
            let answer = ask(edges(), anonymous(&format!("GET /assets/{path}"))).await;
            assert_eq!(answer.status, 200, "{path}");
            if !path.starts_with("vendor/") {
                assert!(!answer.text.contains("<style") && !answer.text.contains("javascript:"), "{path}");
                let foreign = answer.text.replace("http://www.w3.org/2000/svg", "");
                assert!(!foreign.contains("http://") && !foreign.contains("https://"), "{path} names another host");
                todo.extend(loads(&path, &answer.text));
            }
            seen.push(path);
        }
        let mut own: Vec<&String> = FILES.keys().filter(|path| !path.starts_with("vendor/")).collect();
        own.retain(|path| !seen.contains(path));
        assert_eq!(own, Vec::<&String>::new(), "never loaded");
    }

    #[actix_web::test]
    async fn a_file_that_did_not_change_is_not_sent_again() {
        let first = ask(edges(), anonymous("GET /assets/dash/app.js")).await;
        let tag = first.header("etag").to_owned();
        let again = anonymous("GET /assets/dash/app.js").insert_header(("If-None-Match", tag));
        let again = ask(edges(), again).await;
        assert_eq!((again.status, again.text.as_str()), (304, ""));
        let other = anonymous("GET /assets/dash/app.js").insert_header(("If-None-Match", "\"other\""));
        assert_eq!(ask(edges(), other).await.status, 200);
        for path in ["dash/none.js", "dash/../../Cargo.toml", "", "/etc/passwd"] {
            assert_eq!(ask(edges(), anonymous(&format!("GET /assets/{path}"))).await.status, 404, "{path}");
        }
    }

    #[actix_web::test]
    async fn every_answer_is_guarded_against_pages_of_others() {
        for line in ["GET /livez", "GET /api/v1/agents", "GET /none", "GET /"] {
            let answer = ask(edges(), anonymous(line)).await;
            for (name, value) in [
                ("x-content-type-options", "nosniff"),
                ("referrer-policy", "no-referrer"),
                ("x-frame-options", "DENY"),
                ("cross-origin-resource-policy", "same-origin"),
            ] {
                assert_eq!(answer.header(name), value, "{line}");
            }
            assert!(answer.header("content-security-policy").contains("frame-ancestors 'none'"), "{line}");
        }
    }

    #[test]
    fn vendored_files_are_what_their_list_says() {
        let list = VENDOR.get_file("SHA256SUMS").and_then(|file| file.contents_utf8()).expect("a list");
        for line in list.lines() {
            let (sum, path) = line.split_once("  ").expect("as sha256sum writes it");
            let file = VENDOR.get_file(path).unwrap_or_else(|| panic!("{path} is missing"));
            assert_eq!(hex::encode(Sha256::digest(file.contents())), sum, "{path}");
        }
        let listed = list.lines().count();
        let shipped = FILES.keys().filter(|path| path.starts_with("vendor/")).count();
        assert_eq!(listed + 1, shipped, "each vendored file is listed");
    }
}
