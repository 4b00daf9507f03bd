//! Why the TPM did not do what it was asked for.
use tss_esapi::Error as TssError;
use tss_esapi::constants::response_code::Tss2ResponseCode;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TpmError {
    #[error("the TPM refused `{operation}`: {detail}")]
    Refused { operation: &'static str, detail: String },
    #[error("the TPM did not answer `{operation}` within {waited_ms} ms")]
    Hung { operation: &'static str, waited_ms: u64 },
    #[error("the TPM is gone: {detail}")]
    Gone { detail: String },
    #[error("{operation}: {detail}")]
    Invalid { operation: &'static str, detail: String },
    #[error("too many requests wait for the TPM; try again")]
    Busy,
    #[error(
        "the persistent handle {handle:#010x} holds another key than ours; if it is not needed, remove it with \
         `tpm2_evictcontrol -c {handle:#010x}`"
    )]
    HandleTaken { handle: u32 },
    #[error("the answer does not fit the key that was found when the TPM was opened: somebody else answers")]
    Stranger { operation: &'static str },
}

/// Names the operation that failed, and tells a TPM that is gone from one that refuses.
pub fn during(operation: &'static str) -> impl Fn(TssError) -> TpmError {
    move |error| match response_code(error) {
        Some(code) if is_transport(code) => {
            TpmError::Gone { detail: format!("`{operation}` could not be sent (response code {code:#x})") }
        }
        Some(code) => TpmError::Refused { operation, detail: format!("{error} ({code:#x})") },
        None => TpmError::Invalid { operation, detail: error.to_string() },
    }
}

/// The wrapper keeps the number to itself, except in this text: `Response code value: 0x...`.
fn response_code(error: TssError) -> Option<u32> {
    let text = match error {
        TssError::Tss2Error(Tss2ResponseCode::FormatZero(code)) => code.to_string(),
        TssError::Tss2Error(Tss2ResponseCode::FormatOne(code)) => code.to_string(),
        TssError::Tss2Error(Tss2ResponseCode::Success) | TssError::WrapperError(_) => return None,
    };
    let (_, number) = text.rsplit_once("0x")?;
    u32::from_str_radix(number, 16).ok()
}

/// Response codes of the layer that carries commands to the TPM: nobody is at the other end.
fn is_transport(code: u32) -> bool {
    const TCTI_LAYER: u32 = 0xa;
    code >> 16 == TCTI_LAYER
}
