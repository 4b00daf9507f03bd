//! What can be asked of the keeper of the TPM, which starts an emulator where there is no TPM.
use actix::Message;

use crate::messages::signer::SignError;

/// Where the TPM is. Asked by the signer, the only one to open it.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<TpmAddress, SignError>")]
pub struct LocateTpm;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TpmAddress {
    /// As libtss2 reads it: `device:/dev/tpmrm0`, `swtpm:host=127.0.0.1,port=...`.
    pub tcti: String,
    /// Process id of the emulator, if it is a child of ours: then nobody else uses it.
    pub emulator: Option<u32>,
}

/// Tells that the TPM did not answer in time: it is started anew, and all that depends on it.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct ReportHung {
    pub detail: String,
}
