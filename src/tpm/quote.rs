//! Quotes registers with the attestation key, in the byte formats that tpm2-tools read.
use sha2::Digest as _;
use sha2::Sha256;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::Attest;
use tss_esapi::structures::AttestInfo;
use tss_esapi::structures::Data;
use tss_esapi::structures::SignatureScheme;
use tss_esapi::traits::Marshall as _;

use crate::ids::Digest;
use crate::toolkit::cx::Quote;
use crate::tpm::error::TpmError;
use crate::tpm::error::during;
use crate::tpm::open::Tpm;
use crate::tpm::pcrs::in_order;
use crate::tpm::pcrs::selection;

const QUOTE: &str = "quote PCRs";
const LONGEST_NONCE: usize = 64;
/// Something may extend a register between the quote and the reading of its value.
const TRIES: usize = 5;

impl Tpm {
    /// A quote over the registers, with the values that it is about.
    pub fn quote(&mut self, nonce: &[u8], pcrs: &[u8]) -> Result<Quote, TpmError> {
        if nonce.len() > LONGEST_NONCE {
            return Err(invalid(format!("the nonce has {} bytes; {LONGEST_NONCE} is the most", nonce.len())));
        }
        let pcrs = in_order(pcrs);
        for _ in 0..TRIES {
            let (nonce, selection) = (Data::try_from(nonce).map_err(during(QUOTE))?, selection(&pcrs)?);
            let key = self.attestation.handle;
            let (attest, signature) = self
                .context
                .execute_with_session(Some(AuthSession::Password), |context| {
                    context.quote(key, nonce, SignatureScheme::Null, selection)
                })
                .map_err(during(QUOTE))?;
            let values = self.read_pcrs(&pcrs)?;
            if !is_about(&attest, &values) {
                continue;
            }
            let public = self.attestation.public.marshall().map_err(during(QUOTE))?;
            let length = u16::try_from(public.len()).map_err(|_| invalid("the public key is too long".to_owned()))?;
            return Ok(Quote {
                message: attest.marshall().map_err(during(QUOTE))?,
                signature: signature.marshall().map_err(during(QUOTE))?,
                ak_public: [length.to_be_bytes().as_slice(), &public].concat(),
                ak_pem: self.attestation.pem()?,
                pcrs: values,
                trust: self.identity.trust,
            });
        }
        Err(invalid(format!("the PCRs changed during {TRIES} quotes in a row")))
    }
}

fn is_about(attest: &Attest, values: &[(u8, Digest)]) -> bool {
    let AttestInfo::Quote { info } = attest.attested() else { return false };
    let hash = values.iter().fold(Sha256::new(), |hash, (_, value)| hash.chain_update(value.0)).finalize();
    info.pcr_digest().as_slice() == hash.as_slice()
}

fn invalid(detail: String) -> TpmError {
    TpmError::Invalid { operation: QUOTE, detail }
}
