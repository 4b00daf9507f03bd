//! `tpm.attest`: a quote over PCRs, or a signature by the service's key; checked here before it is handed on.
//!
//! Without a nonce the quote is over the results of the run so far: SHA-256 of the canonical JSON
//! `{"run": id, "steps": {step id: SHA-256 of the canonical JSON of its output}}`.
use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::pkcs8::DecodePublicKey;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::audit::entry::canonical;
use crate::ids::Digest;
use crate::toolkit::cx::{NotAvailable, Signed, ToolCx, Trust};
use crate::toolkit::output::{Output, Reason, Status};
use crate::toolkit::spec::{Tool, ToolKind, ToolSpec};
use crate::tools::evidence::{Reader, Started, sha256};
use crate::tools::input;
use crate::tools::schema;
use crate::tools::tpm::quote;

/// Firmware, boot loader and kernel, and the digest of the running kernel image.
const PCRS: [u8; 9] = [0, 1, 2, 3, 4, 5, 6, 7, 11];

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Op {
    #[default]
    Quote,
    Sign,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// `quote` if left out.
    #[serde(default)]
    op: Op,
    /// Of a quote: up to 64 bytes, base64; the digest of the run's results if left out.
    #[serde(default)]
    nonce: Option<String>,
    /// Of a signature: SHA-256 in hex.
    #[serde(default)]
    digest: Option<String>,
    /// Of a quote: indexes 0 to 23 in the SHA-256 bank; 0 to 7 and 11 if left out.
    #[serde(default)]
    pcrs: Option<Vec<u8>>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Data {
    /// TPMS_ATTEST, base64; null for a signature.
    attest_blob: Option<String>,
    /// TPMT_SIGNATURE of a quote, ASN.1 DER of a signature; base64.
    sig: String,
    alg: &'static str,
    pcr_digest: Option<String>,
    /// Index and value in hex.
    pcrs: BTreeMap<String, String>,
    key_name: String,
    public_pem: String,
    /// What the quote is over, base64; or the digest that was signed, hex.
    over: String,
    /// The signature was checked here with the public key alone.
    verified_locally: bool,
    /// `emulator` never counts as hardware.
    trust: String,
}

pub struct TpmAttest;

impl Tool for TpmAttest {
    fn spec(&self) -> ToolSpec {
        let what = "Quotes PCRs over a nonce, or signs a digest with the service key";
        ToolSpec {
            kind: ToolKind::External,
            ..schema::read_only::<Input, Data>("tpm.attest", what, "tss group (/dev/tpmrm0)", Duration::from_secs(60))
        }
    }

    fn call(&self, cx: &ToolCx, input: &Value) -> Output {
        let done = input::parse(input).and_then(|input: Input| match input.op {
            Op::Quote => quoted(cx, &input),
            Op::Sign => signed(cx, &input),
        });
        done.unwrap_or_else(|refusal| *refusal)
    }
}

fn quoted(cx: &ToolCx, input: &Input) -> Result<Output, Box<Output>> {
    let nonce = match &input.nonce {
        None => results_digest(cx)?.0.to_vec(),
        Some(text) => match BASE64.decode(text) {
            Ok(bytes) if (1..=64).contains(&bytes.len()) => bytes,
            Ok(bytes) => {
                return Err(input::invalid("nonce", format!("it has {} bytes; 1 to 64 are allowed", bytes.len())));
            }
            Err(error) => return Err(input::invalid("nonce", format!("it is not base64: {error}"))),
        },
    };
    let pcrs = input.pcrs.clone().unwrap_or_else(|| PCRS.to_vec());
    if let Some(index) = pcrs.iter().find(|index| **index > 23) {
        return Err(input::invalid("pcrs", format!("there is no PCR {index}; indexes are 0 to 23")));
    }
    let started = Started::now(cx);
    let quote = cx.sign.quote(&nonce, &pcrs).map_err(unavailable)?;
    let digest = quote::verify(&quote, &nonce)
        .map_err(|error| failed(&format!("the TPM's own quote does not verify: {error}")))?;
    let evidence =
        started.evidence(cx, "tpm: TPM2_Quote".to_owned(), sha256(&quote.message), quote.message.len() as u64, false);
    let mut reader = Reader::new(cx);
    reader.push(evidence);
    Ok(reader.finish(Data {
        attest_blob: Some(BASE64.encode(&quote.message)),
        sig: BASE64.encode(&quote.signature),
        alg: "ecdsa-p256-sha256",
        pcr_digest: Some(digest.to_string()),
        pcrs: quote.pcrs.iter().map(|(index, value)| (index.to_string(), value.to_string())).collect(),
        key_name: "attestation".to_owned(),
        public_pem: quote.ak_pem,
        over: BASE64.encode(&nonce),
        verified_locally: true,
        trust: trust(quote.trust),
    }))
}

fn signed(cx: &ToolCx, input: &Input) -> Result<Output, Box<Output>> {
    let text = input
        .digest
        .as_deref()
        .ok_or_else(|| input::invalid("digest", "op `sign` needs the SHA-256 digest to sign, in hex"))?;
    let digest: Digest = text.parse().map_err(|error| input::invalid("digest", format!("{error}")))?;
    let started = Started::now(cx);
    let signed = cx.sign.sign(digest).map_err(unavailable)?;
    if !holds(&signed, digest) {
        return Err(failed("the TPM's own signature does not verify"));
    }
    let evidence = started.evidence(
        cx,
        "tpm: TPM2_Sign".to_owned(),
        sha256(&signed.signature),
        signed.signature.len() as u64,
        false,
    );
    let mut reader = Reader::new(cx);
    reader.push(evidence);
    Ok(reader.finish(Data {
        attest_blob: None,
        sig: BASE64.encode(&signed.signature),
        alg: "ecdsa-p256-sha256",
        pcr_digest: None,
        pcrs: BTreeMap::new(),
        key_name: signed.key_name,
        public_pem: signed.public_pem,
        over: digest.to_string(),
        verified_locally: true,
        trust: trust(signed.trust),
    }))
}

fn holds(signed: &Signed, digest: Digest) -> bool {
    let key = VerifyingKey::from_public_key_pem(&signed.public_pem).ok();
    let signature = Signature::from_der(&signed.signature).ok();
    key.zip(signature).is_some_and(|(key, signature)| key.verify_prehash(&digest.0, &signature).is_ok())
}

/// Binds a quote to what the run has found out.
fn results_digest(cx: &ToolCx) -> Result<Digest, Box<Output>> {
    let steps = cx.history.steps_of(cx.run).map_err(unavailable)?;
    let digests: BTreeMap<String, Digest> =
        steps.iter().map(|past| (past.step.to_string(), sha256(&canonical(&past.output)))).collect();
    Ok(sha256(&canonical(&json!({ "run": cx.run, "steps": digests }))))
}

fn trust(trust: Trust) -> String {
    match trust {
        Trust::Hardware => "hardware".to_owned(),
        Trust::Emulator => "emulator".to_owned(),
    }
}

fn unavailable(error: NotAvailable) -> Box<Output> {
    Box::new(Output::without_data(Status::Unavailable, Reason::new("no_facility", error.facility, error.detail)))
}

fn failed(detail: &str) -> Box<Output> {
    Box::new(Output::without_data(Status::Failed, Reason::new("not_verified", "TPM", detail)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::fixture_cx::FixtureCx;

    fn check(input: Value, status: Status, code: &str, facility: &str) {
        let output = TpmAttest.call(&FixtureCx::empty(), &input);
        let reason = output.reason.expect("reason");
        assert_eq!(
            (output.status, reason.code.as_str(), reason.facility.as_str()),
            (status, code, facility),
            "{input}"
        );
    }

    #[test]
    fn bad_input_is_named() {
        check(json!({"op": "seal"}), Status::Failed, "invalid_input", "op");
        check(json!({"nonce": "!"}), Status::Failed, "invalid_input", "nonce");
        check(json!({"nonce": ""}), Status::Failed, "invalid_input", "nonce");
        check(json!({"nonce": "YQ==", "pcrs": [24]}), Status::Failed, "invalid_input", "pcrs");
        check(json!({"op": "sign"}), Status::Failed, "invalid_input", "digest");
        check(json!({"op": "sign", "digest": "00"}), Status::Failed, "invalid_input", "digest");
    }

    #[test]
    fn without_a_tpm_it_is_unavailable() {
        let output = TpmAttest.call(&FixtureCx::empty(), &json!({"nonce": "YQ=="}));
        assert_eq!(output.status, Status::Unavailable, "{output:?}");
    }
}
