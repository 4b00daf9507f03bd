//! What may be asked of the broker, and how it crosses the socket: a length of four bytes, then that much JSON.
use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Largest frame in bytes. A request that needs more is no request of ours.
pub const LARGEST: usize = 64 * 1024;

// Braces on every variant: only then does serde refuse unknown fields in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    Ping {},
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    Pong {
        version: String,
        pid: u32,
    },
    /// The request was not understood or not allowed.
    Refused {
        reason: String,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("a frame of {bytes} bytes is larger than the allowed {LARGEST}")]
    TooLarge { bytes: usize },
    #[error("the frame does not hold what was expected")]
    Content(#[source] serde_json::Error),
    #[error("the other side of the socket went away in the middle of a frame")]
    Cut,
    #[error("the socket failed")]
    Socket(#[source] io::Error),
}

pub fn send(to: &mut impl Write, message: &impl Serialize) -> Result<(), FrameError> {
    let body = serde_json::to_vec(message).map_err(FrameError::Content)?;
    let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= LARGEST);
    let length = length.ok_or(FrameError::TooLarge { bytes: body.len() })?;
    // One write: a frame is never seen in halves because of us.
    let frame = [&length.to_be_bytes(), body.as_slice()].concat();
    to.write_all(&frame).map_err(FrameError::Socket)
}

/// The next frame, or nothing when the other side has closed the socket.
pub fn receive<T: DeserializeOwned>(from: &mut impl Read) -> Result<Option<T>, FrameError> {
    let mut length = [0; 4];
    match read_full(from, &mut length)? {
        0 => return Ok(None),
        4 => {}
        _ => return Err(FrameError::Cut),
    }
    let bytes = u32::from_be_bytes(length) as usize;
    if bytes > LARGEST {
        return Err(FrameError::TooLarge { bytes });
    }
    let mut body = vec![0; bytes];
    if read_full(from, &mut body)? < bytes {
        return Err(FrameError::Cut);
    }
    serde_json::from_slice(&body).map(Some).map_err(FrameError::Content)
}

/// Fills the buffer unless the stream ends first; tells how much was read.
fn read_full(from: &mut impl Read, buffer: &mut [u8]) -> Result<usize, FrameError> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(FrameError::Socket(error)),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    fn framed(body: &str) -> Vec<u8> {
        [&u32::try_from(body.len()).unwrap().to_be_bytes(), body.as_bytes()].concat()
    }

    fn received(bytes: &[u8]) -> Result<Option<Request>, FrameError> {
        receive(&mut &*bytes)
    }

    #[test]
    fn what_is_sent_is_received_and_then_the_stream_is_at_its_end() {
        let mut stream = Vec::new();
        send(&mut stream, &Request::Ping {}).unwrap();
        let mut rest = stream.as_slice();
        assert_eq!(receive(&mut rest).unwrap(), Some(Request::Ping {}));
        assert_eq!(receive::<Request>(&mut rest).unwrap(), None);
    }

    #[test]
    fn only_known_requests_with_known_fields_are_taken() {
        assert!(received(&framed(r#"{"ask":"ping"}"#)).is_ok());
        for body in [r#"{"ask":"ping","argv":["sh"]}"#, r#"{"ask":"exec"}"#, r#""ping""#, "{}", "", "\u{7f}"] {
            assert!(matches!(received(&framed(body)), Err(FrameError::Content(_))), "{body}");
        }
    }

    #[test]
    fn a_frame_too_large_is_refused_before_it_is_read() {
        assert!(matches!(received(&u32::MAX.to_be_bytes()), Err(FrameError::TooLarge { .. })));
        let answer = Answer::Refused { reason: "x".repeat(LARGEST) };
        assert!(matches!(send(&mut Vec::new(), &answer), Err(FrameError::TooLarge { .. })));
    }

    #[test]
    fn a_cut_frame_is_told_from_an_orderly_end() {
        let whole = framed(r#"{"ask":"ping"}"#);
        for length in 1..whole.len() {
            assert!(matches!(received(&whole[..length]), Err(FrameError::Cut)), "{length}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic_or_take_much_memory(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            assert!(!matches!(received(&bytes), Ok(Some(request)) if request != Request::Ping {}));
        }
    }
}
