//! The input of `fs.write`: the file, its new content from one of three sources, and what it must be now.
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::ids::Digest;
use crate::toolkit::cx::ToolCx;
use crate::toolkit::output::{Output, Reason, Status};
use crate::tools::fs::state::LARGEST;
use crate::tools::fs::write_plan::ABSENT;
use crate::tools::input;

/// One of `content`, `content_base64` and `content_ref` must be given.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The file: relative to the scratch root, or absolute and below it. Missing directories are made.
    path: String,
    /// The new content as text.
    #[serde(default)]
    content: Option<String>,
    /// The new content in base64.
    #[serde(default)]
    content_base64: Option<String>,
    /// The artifact that holds the new content (`sha256:...`).
    #[serde(default)]
    content_ref: Option<String>,
    /// Permission bits in octal, such as `0640`. Unless given: as they are; 0600 for a new file.
    #[serde(default)]
    mode: Option<String>,
    /// SHA-256 that the file must have now, or `absent`.
    #[serde(default)]
    expect_sha256: Option<String>,
}

/// The input, checked.
pub struct Wanted {
    pub path: String,
    pub content: Vec<u8>,
    /// Permission bits.
    pub mode: Option<u32>,
    /// The SHA-256 that the file must have, or `ABSENT`.
    pub expected: Option<String>,
}

impl Wanted {
    pub fn parse(cx: &ToolCx, input: &Value) -> Result<Self, Box<Output>> {
        let input: Input = input::parse(input)?;
        let (content, mode, expected) = (content(cx, &input)?, mode(&input)?, expected(&input)?);
        Ok(Wanted { path: input.path, content, mode, expected })
    }
}

fn content(cx: &ToolCx, input: &Input) -> Result<Vec<u8>, Box<Output>> {
    let bytes = match (&input.content, &input.content_base64, &input.content_ref) {
        (Some(text), None, None) => text.as_bytes().to_vec(),
        (None, Some(text), None) => STANDARD
            .decode(text)
            .map_err(|error| input::invalid("content_base64", format!("this is not base64: {error}")))?,
        (None, None, Some(id)) => cx
            .artifacts
            .get(id)
            .map_err(|error| {
                let reason = Reason::new("no_facility", error.facility, error.detail);
                Box::new(Output::without_data(Status::Unavailable, reason))
            })?
            .ok_or_else(|| input::invalid("content_ref", format!("there is no artifact `{id}`")))?,
        _ => {
            let detail = "give exactly one of `content`, `content_base64` and `content_ref`";
            return Err(input::invalid("content", detail));
        }
    };
    if bytes.len() > LARGEST {
        let detail = format!("the content has {} bytes; {LARGEST} is the most", bytes.len());
        return Err(input::invalid("content", detail));
    }
    Ok(bytes)
}

fn mode(input: &Input) -> Result<Option<u32>, Box<Output>> {
    let Some(text) = &input.mode else { return Ok(None) };
    let digits = text.chars().all(|c| c.is_digit(8));
    match u32::from_str_radix(text, 8) {
        Ok(mode) if digits && mode <= 0o777 => Ok(Some(mode)),
        _ => {
            Err(input::invalid("mode", format!("`{text}` is not a mode; write octal digits up to 0777, such as 0640")))
        }
    }
}

fn expected(input: &Input) -> Result<Option<String>, Box<Output>> {
    let Some(text) = &input.expect_sha256 else { return Ok(None) };
    if text == ABSENT || text.parse::<Digest>().is_ok() {
        return Ok(Some(text.to_ascii_lowercase()));
    }
    Err(input::invalid("expect_sha256", format!("`{text}` is neither 64 hexadecimal digits nor `{ABSENT}`")))
}
