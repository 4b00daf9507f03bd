//! Random numbers of the TPM.
use crate::tpm::error::TpmError;
use crate::tpm::error::during;
use crate::tpm::open::Tpm;

const RANDOM: &str = "get random bytes";
/// Beyond this a TPM answers fewer bytes than asked for, without an error.
const AT_ONCE: usize = 32;
pub const MOST: usize = 4096;

impl Tpm {
    pub fn random(&mut self, bytes: usize) -> Result<Vec<u8>, TpmError> {
        if bytes > MOST {
            let detail = format!("{bytes} bytes are more than the {MOST} a request may ask for");
            return Err(TpmError::Invalid { operation: RANDOM, detail });
        }
        let mut random = Vec::with_capacity(bytes);
        while random.len() < bytes {
            let want = (bytes - random.len()).min(AT_ONCE);
            let some =
                self.context.execute_without_session(|context| context.get_random(want)).map_err(during(RANDOM))?;
            if some.is_empty() {
                return Err(TpmError::Invalid { operation: RANDOM, detail: "the TPM answered no bytes".to_owned() });
            }
            random.extend_from_slice(&some.as_slice()[..some.len().min(want)]);
        }
        Ok(random)
    }
}
