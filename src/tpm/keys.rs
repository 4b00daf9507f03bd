//! The two keys of the service: what they are, and how they are found again.
//!
//! Both are primary keys, so the same TPM makes the same key again from the same template until it is cleared; both are
//! persistent, so that no start has to make them; and both are `noDA`: three kills of an emulator in a row would
//! otherwise lock them out. They have no authorisation value: who may open the TPM device may use them.
use tss_esapi::Context;
use tss_esapi::attributes::ObjectAttributesBuilder;
use tss_esapi::constants::CapabilityType;
use tss_esapi::handles::KeyHandle;
use tss_esapi::handles::PersistentTpmHandle;
use tss_esapi::handles::TpmHandle;
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::algorithm::PublicAlgorithm;
use tss_esapi::interface_types::dynamic_handles::Persistent;
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::interface_types::resource_handles::Provision;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::CapabilityData;
use tss_esapi::structures::EccParameter;
use tss_esapi::structures::EccPoint;
use tss_esapi::structures::EccScheme;
use tss_esapi::structures::HashScheme;
use tss_esapi::structures::KeyDerivationFunctionScheme;
use tss_esapi::structures::Public;
use tss_esapi::structures::PublicBuilder;
use tss_esapi::structures::PublicEccParametersBuilder;
use tss_esapi::structures::SymmetricDefinitionObject;

use p256::ecdsa::VerifyingKey;
use p256::pkcs8::EncodePublicKey as _;
use p256::pkcs8::LineEnding;

use crate::tpm::error::TpmError;
use crate::tpm::error::during;

/// One key: where it lives and what it may do.
#[derive(Debug, Clone, Copy)]
pub struct KeyKind {
    pub name: &'static str,
    pub handle: u32,
    hierarchy: Hierarchy,
    /// A restricted key signs only what the TPM itself made, which is what makes a quote worth something.
    restricted: bool,
}

/// Signs the heads of the audit log.
pub const LOG: KeyKind =
    KeyKind { name: "dsmil log key", handle: 0x8144_5301, hierarchy: Hierarchy::Owner, restricted: false };

/// Signs quotes. Under the endorsement hierarchy, because elsewhere the TPM scrambles reset counters in a quote.
pub const ATTESTATION: KeyKind =
    KeyKind { name: "dsmil attestation key", handle: 0x8144_5302, hierarchy: Hierarchy::Endorsement, restricted: true };

/// A key that can be used.
#[derive(Debug, Clone)]
pub struct Key {
    pub handle: KeyHandle,
    pub public: Public,
    pub verifying: VerifyingKey,
}

/// Finds the key at its persistent handle, or makes it and keeps it there.
pub fn find_or_make(context: &mut Context, kind: KeyKind) -> Result<Key, TpmError> {
    let wanted = template(kind).map_err(during("describe a key"))?;
    let handle = match find(context, kind.handle)? {
        Some(handle) => handle,
        None => make(context, kind, wanted.clone())?,
    };
    let (public, _, _) = context.read_public(handle).map_err(during("read a public key"))?;
    if !same_kind(&public, &wanted) {
        return Err(TpmError::HandleTaken { handle: kind.handle });
    }
    let verifying = verifying_key(&public)?;
    Ok(Key { handle, public, verifying })
}

fn find(context: &mut Context, handle: u32) -> Result<Option<KeyHandle>, TpmError> {
    // Asking for the handle itself would make the library print an error where there is none.
    let listed = context.get_capability(CapabilityType::Handles, handle, 1).map_err(during("list handles"))?;
    let persistent = persistent(handle)?;
    let CapabilityData::Handles(handles) = listed.0 else { return Ok(None) };
    let wanted = TpmHandle::Persistent(persistent);
    if handles.into_inner().first() != Some(&wanted) {
        return Ok(None);
    }
    let object = context.tr_from_tpm_public(wanted).map_err(during("open a persistent key"))?;
    Ok(Some(KeyHandle::from(object)))
}

fn make(context: &mut Context, kind: KeyKind, template: Public) -> Result<KeyHandle, TpmError> {
    let place = Persistent::Persistent(persistent(kind.handle)?);
    context.execute_with_session(Some(AuthSession::Password), |context| {
        let made = context
            .create_primary(kind.hierarchy, template, None, None, None, None)
            .map_err(during("create a primary key"))?;
        let kept = context.evict_control(Provision::Owner, made.key_handle.into(), place);
        // The transient copy takes one of three slots, whether the key could be kept or not.
        let flushed = context.execute_without_session(|context| context.flush_context(made.key_handle.into()));
        let kept = kept.map_err(during("make a key persistent"))?;
        flushed.map_err(during("flush a key"))?;
        Ok(KeyHandle::from(kept))
    })
}

fn persistent(handle: u32) -> Result<PersistentTpmHandle, TpmError> {
    PersistentTpmHandle::new(handle).map_err(during("name a persistent handle"))
}

fn template(kind: KeyKind) -> Result<Public, tss_esapi::Error> {
    let attributes = ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_sensitive_data_origin(true)
        .with_user_with_auth(true)
        .with_no_da(true)
        .with_sign_encrypt(true)
        .with_restricted(kind.restricted)
        .build()?;
    let parameters = PublicEccParametersBuilder::new()
        .with_curve(EccCurve::NistP256)
        .with_ecc_scheme(EccScheme::EcDsa(HashScheme::new(HashingAlgorithm::Sha256)))
        .with_symmetric(SymmetricDefinitionObject::Null)
        .with_key_derivation_function_scheme(KeyDerivationFunctionScheme::Null)
        .with_is_signing_key(true)
        .with_restricted(kind.restricted)
        .build()?;
    // The name goes into the derivation, so that no other program's primary key is the same key.
    let label = EccParameter::try_from(kind.name.as_bytes())?;
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::Ecc)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
        .with_ecc_parameters(parameters)
        .with_ecc_unique_identifier(EccPoint::new(label, EccParameter::default()))
        .build()
}

fn same_kind(found: &Public, wanted: &Public) -> bool {
    let (Public::Ecc { parameters: found_parameters, .. }, Public::Ecc { parameters: wanted_parameters, .. }) =
        (found, wanted)
    else {
        return false;
    };
    found.object_attributes() == wanted.object_attributes()
        && found.name_hashing_algorithm() == wanted.name_hashing_algorithm()
        && found_parameters == wanted_parameters
}

fn verifying_key(public: &Public) -> Result<VerifyingKey, TpmError> {
    let invalid = |detail: &str| TpmError::Invalid { operation: "read a public key", detail: detail.to_owned() };
    let Public::Ecc { unique, .. } = public else { return Err(invalid("it is not an elliptic-curve key")) };
    let mut point = [0; 65];
    point[0] = 4;
    pad(&mut point[1..33], unique.x().as_ref()).ok_or_else(|| invalid("its point is too long"))?;
    pad(&mut point[33..], unique.y().as_ref()).ok_or_else(|| invalid("its point is too long"))?;
    VerifyingKey::from_sec1_bytes(&point).map_err(|_| invalid("its point is not on P-256"))
}

/// Right-aligns a number: a TPM may leave leading zeros out.
pub fn pad(field: &mut [u8], number: &[u8]) -> Option<()> {
    let start = field.len().checked_sub(number.len())?;
    field[start..].copy_from_slice(number);
    Some(())
}

impl Key {
    /// SubjectPublicKeyInfo, DER.
    pub fn spki(&self) -> Result<Vec<u8>, TpmError> {
        let invalid = |_| TpmError::Invalid { operation: "encode a public key", detail: "DER".to_owned() };
        self.verifying.to_public_key_der().map(|der| der.as_bytes().to_vec()).map_err(invalid)
    }

    pub fn pem(&self) -> Result<String, TpmError> {
        let invalid = |_| TpmError::Invalid { operation: "encode a public key", detail: "PEM".to_owned() };
        self.verifying.to_public_key_pem(LineEnding::LF).map_err(invalid)
    }
}
