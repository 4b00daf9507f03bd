//! Checks a quote without a TPM: the structures of TPM 2.0 Library, Part 2, as the chip marshals them.
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::pkcs8::DecodePublicKey;
use sha2::{Digest as _, Sha256};

use crate::ids::Digest;
use crate::toolkit::cx::Quote;

/// Why a quote is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuoteError {
    #[error("the {what} ends early or has another form")]
    Malformed { what: &'static str },
    #[error("the statement was not made by a TPM as a quote")]
    NotAQuote,
    #[error("the quote answers another nonce")]
    OtherNonce,
    #[error("the PCR values are not those that were quoted")]
    OtherPcrs,
    #[error("the signature is not by the attestation key")]
    BadSignature,
}

const GENERATED: u32 = 0xff54_4347;
const ATTEST_QUOTE: u16 = 0x8018;
const ALG_ECDSA: u16 = 0x0018;
const ALG_SHA256: u16 = 0x000b;

/// Reads big-endian fields from the front.
struct Fields<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], QuoteError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(QuoteError::Malformed { what: self.what })?;
        self.rest = rest;
        Ok(taken)
    }

    fn number(&mut self, bytes: usize) -> Result<u32, QuoteError> {
        Ok(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    fn short(&mut self) -> Result<u16, QuoteError> {
        Ok(self.take(2)?.iter().fold(0, |number, byte| number << 8 | u16::from(*byte)))
    }

    /// A TPM2B: two bytes of length, then the bytes.
    fn sized(&mut self) -> Result<&'a [u8], QuoteError> {
        let size = self.short()?;
        self.take(usize::from(size))
    }
}

/// Signature, nonce and PCR values fit together. Gives the digest over the PCR values.
pub fn verify(quote: &Quote, nonce: &[u8]) -> Result<Digest, QuoteError> {
    let quoted = quoted_digest(&quote.message, nonce)?;
    let mut values = Sha256::new();
    let mut pcrs = quote.pcrs.clone();
    pcrs.sort();
    for (_, value) in &pcrs {
        values.update(value.0);
    }
    if quoted != <[u8; 32]>::from(values.finalize()) {
        return Err(QuoteError::OtherPcrs);
    }
    let key = VerifyingKey::from_public_key_pem(&quote.ak_pem)
        .map_err(|_| QuoteError::Malformed { what: "attestation key" })?;
    let signature = signature(&quote.signature)?;
    key.verify_prehash(&Sha256::digest(&quote.message), &signature).map_err(|_| QuoteError::BadSignature)?;
    Ok(Digest(quoted))
}

/// The PCR digest of a TPMS_ATTEST that is a quote over `nonce`.
fn quoted_digest(message: &[u8], nonce: &[u8]) -> Result<[u8; 32], QuoteError> {
    let mut fields = Fields { rest: message, what: "TPMS_ATTEST" };
    if fields.number(4)? != GENERATED || fields.short()? != ATTEST_QUOTE {
        return Err(QuoteError::NotAQuote);
    }
    fields.sized()?; // qualified name of the signer
    if fields.sized()? != nonce {
        return Err(QuoteError::OtherNonce);
    }
    fields.take(17 + 8)?; // clock information, firmware version
    for _ in 0..fields.number(4)? {
        fields.short()?; // bank
        let size = fields.number(1)?;
        fields.take(size as usize)?; // bit map of the PCRs
    }
    fields.sized()?.try_into().map_err(|_| QuoteError::Malformed { what: "PCR digest" })
}

/// A TPMT_SIGNATURE by ECDSA with SHA-256: algorithm, hash, r, s. The numbers may be shorter than the field.
fn signature(bytes: &[u8]) -> Result<Signature, QuoteError> {
    const WHAT: &str = "TPMT_SIGNATURE";
    let mut fields = Fields { rest: bytes, what: WHAT };
    if fields.short()? != ALG_ECDSA || fields.short()? != ALG_SHA256 {
        return Err(QuoteError::Malformed { what: WHAT });
    }
    let mut number = || -> Result<[u8; 32], QuoteError> {
        let short = fields.sized()?;
        let mut padded = [0; 32];
        let start = padded.len().checked_sub(short.len()).ok_or(QuoteError::Malformed { what: WHAT })?;
        padded[start..].copy_from_slice(short);
        Ok(padded)
    };
    let (r, s) = (number()?, number()?);
    Signature::from_scalars(r, s).map_err(|_| QuoteError::Malformed { what: WHAT })
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::SigningKey;
    use p256::ecdsa::signature::hazmat::PrehashSigner;
    use p256::pkcs8::{EncodePublicKey, LineEnding};
    use proptest::prelude::*;

    use super::*;
    use crate::toolkit::cx::Trust;

    /// A quote as a TPM would make it, by a key that is not one.
    fn quote(nonce: &[u8], pcrs: &[(u8, Digest)]) -> Quote {
        let key = SigningKey::from_slice(&[7; 32]).expect("a scalar");
        let mut message = GENERATED.to_be_bytes().to_vec();
        message.extend(ATTEST_QUOTE.to_be_bytes());
        message.extend([0, 2, 9, 9]);
        message.extend(u16::try_from(nonce.len()).expect("short").to_be_bytes());
        message.extend(nonce);
        message.extend([0; 25]);
        message.extend([0, 0, 0, 1, 0, 0x0b, 3, 0xff, 0, 0]);
        let values = pcrs.iter().fold(Sha256::new(), |hash, (_, value)| hash.chain_update(value.0)).finalize();
        message.extend([0, 32]);
        message.extend(values);
        let signed: Signature = key.sign_prehash(&Sha256::digest(&message)).expect("signs");
        let mut signature = [ALG_ECDSA.to_be_bytes(), ALG_SHA256.to_be_bytes()].concat();
        let (r, s) = signed.split_bytes();
        for number in [r, s] {
            signature.extend([0, 32]);
            signature.extend(number);
        }
        let ak_pem = key.verifying_key().to_public_key_pem(LineEnding::LF).expect("PEM");
        Quote { message, signature, ak_public: Vec::new(), ak_pem, pcrs: pcrs.to_vec(), trust: Trust::Emulator }
    }

    fn sample() -> Quote {
        quote(b"nonce", &[(0, Digest([1; 32])), (7, Digest([2; 32]))])
    }

    #[test]
    fn a_quote_is_accepted_for_its_nonce_and_values_alone() {
        assert!(verify(&sample(), b"nonce").is_ok());
        assert_eq!(verify(&sample(), b"other"), Err(QuoteError::OtherNonce));
        let mut changed = sample();
        changed.pcrs[1].1 = Digest([3; 32]);
        assert_eq!(verify(&changed, b"nonce"), Err(QuoteError::OtherPcrs));
        let mut forged = sample();
        forged.signature[10] ^= 1;
        assert_eq!(verify(&forged, b"nonce"), Err(QuoteError::BadSignature));
    }

    proptest! {
        #[test]
        fn no_single_changed_byte_of_the_message_passes(place in 0_usize..100, flip in 1_u8..=255) {
            let mut changed = sample();
            let place = place % changed.message.len();
            changed.message[place] ^= flip;
            prop_assert!(verify(&changed, b"nonce").is_err());
        }

        #[test]
        fn no_bytes_make_it_panic(message in prop::collection::vec(any::<u8>(), 0..120), bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let made = Quote { message, signature: bytes, ..sample() };
            prop_assert!(verify(&made, b"nonce").is_err());
        }
    }
}
