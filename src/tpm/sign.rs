//! Signs a digest with the log key.
use p256::ecdsa::Signature as P256Signature;
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::Digest as TpmDigest;
use tss_esapi::structures::EccSignature;
use tss_esapi::structures::HashcheckTicket;
use tss_esapi::structures::Signature;
use tss_esapi::structures::SignatureScheme;

use crate::ids::Digest;
use crate::toolkit::cx::Signed;
use crate::tpm::error::TpmError;
use crate::tpm::error::during;
use crate::tpm::keys::LOG;
use crate::tpm::keys::pad;
use crate::tpm::open::Tpm;

const SIGN: &str = "sign a digest";

impl Tpm {
    /// ECDSA P-256 over the digest. The signature is checked before it is answered: whoever else might listen at an
    /// emulator's port cannot make one.
    pub fn sign(&mut self, digest: Digest) -> Result<Signed, TpmError> {
        let ticket = no_ticket()?;
        let asked = TpmDigest::try_from(digest.0.as_slice()).map_err(during(SIGN))?;
        let key = self.log.handle;
        let signature = self
            .context
            .execute_with_session(Some(AuthSession::Password), |context| {
                context.sign(key, asked, SignatureScheme::Null, ticket)
            })
            .map_err(during(SIGN))?;
        let Signature::EcDsa(signature) = signature else { return Err(invalid("the TPM made no ECDSA signature")) };
        let signature = p256_signature(&signature).ok_or_else(|| invalid("the TPM's signature is out of range"))?;
        if self.log.verifying.verify_prehash(&digest.0, &signature).is_err() {
            return Err(TpmError::Stranger { operation: SIGN });
        }
        Ok(Signed {
            signature: signature.to_der().as_bytes().to_vec(),
            public_pem: self.identity.log_pem.clone(),
            key_name: LOG.name.to_owned(),
            trust: self.identity.trust,
        })
    }
}

fn invalid(detail: &str) -> TpmError {
    TpmError::Invalid { operation: SIGN, detail: detail.to_owned() }
}

/// An unrestricted key needs no proof that the TPM itself hashed the data.
fn no_ticket() -> Result<HashcheckTicket, TpmError> {
    use tss_esapi::constants::tss::TPM2_RH_NULL;
    use tss_esapi::constants::tss::TPM2_ST_HASHCHECK;
    use tss_esapi::tss2_esys::TPMT_TK_HASHCHECK;
    let none = TPMT_TK_HASHCHECK { tag: TPM2_ST_HASHCHECK, hierarchy: TPM2_RH_NULL, digest: Default::default() };
    HashcheckTicket::try_from(none).map_err(during(SIGN))
}

fn p256_signature(signature: &EccSignature) -> Option<P256Signature> {
    let (mut r, mut s) = ([0; 32], [0; 32]);
    pad(&mut r, signature.signature_r().as_ref())?;
    pad(&mut s, signature.signature_s().as_ref())?;
    P256Signature::from_scalars(r, s).ok()
}
