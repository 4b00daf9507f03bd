//! Reads platform configuration registers of the SHA-256 bank.
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::structures::PcrSelectionList;
use tss_esapi::structures::PcrSelectionListBuilder;
use tss_esapi::structures::PcrSlot;

use crate::ids::Digest;
use crate::tpm::error::TpmError;
use crate::tpm::error::during;
use crate::tpm::open::Tpm;

const READ: &str = "read PCRs";
/// A TPM answers no more at once, and says so only by answering fewer.
const AT_ONCE: usize = 8;

impl Tpm {
    /// The values in ascending order of the registers; doubles are read once.
    pub fn read_pcrs(&mut self, pcrs: &[u8]) -> Result<Vec<(u8, Digest)>, TpmError> {
        let wanted = in_order(pcrs);
        let mut values = Vec::with_capacity(wanted.len());
        for some in wanted.chunks(AT_ONCE) {
            let selection = selection(some)?;
            let (_, _, digests) =
                self.context.execute_without_session(|context| context.pcr_read(selection)).map_err(during(READ))?;
            if digests.value().len() != some.len() {
                let detail =
                    format!("of {} PCRs the TPM has {} in its SHA-256 bank", some.len(), digests.value().len());
                return Err(TpmError::Invalid { operation: READ, detail });
            }
            for (pcr, digest) in some.iter().zip(digests.value()) {
                let value = <[u8; 32]>::try_from(digest.as_slice()).map_err(|_| TpmError::Invalid {
                    operation: READ,
                    detail: format!("PCR {pcr} does not hold a SHA-256 digest"),
                })?;
                values.push((*pcr, Digest(value)));
            }
        }
        Ok(values)
    }
}

pub(crate) fn in_order(pcrs: &[u8]) -> Vec<u8> {
    let mut wanted = pcrs.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    wanted
}

pub(crate) fn selection(pcrs: &[u8]) -> Result<PcrSelectionList, TpmError> {
    let slots: Option<Vec<PcrSlot>> = pcrs.iter().map(|pcr| slot(*pcr)).collect();
    let slots = slots.filter(|slots| !slots.is_empty()).ok_or_else(|| TpmError::Invalid {
        operation: READ,
        detail: format!("PCRs are numbered 0 to 23 and at least one is needed, not {pcrs:?}"),
    })?;
    PcrSelectionListBuilder::new().with_selection(HashingAlgorithm::Sha256, &slots).build().map_err(during(READ))
}

fn slot(pcr: u8) -> Option<PcrSlot> {
    PcrSlot::try_from(1u32.checked_shl(pcr.into()).filter(|_| pcr < 24)?).ok()
}
