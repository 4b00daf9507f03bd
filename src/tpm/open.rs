//! A connection to the TPM, cleaned of what an earlier one left, with both keys at hand.
use std::str::FromStr as _;

use tss_esapi::Context;
use tss_esapi::constants::CapabilityType;
use tss_esapi::constants::PropertyTag;
use tss_esapi::constants::StartupType;
use tss_esapi::structures::CapabilityData;
use tss_esapi::tcti_ldr::TctiNameConf;

use crate::toolkit::cx::Trust;
use crate::tpm::error::TpmError;
use crate::tpm::error::during;
use crate::tpm::keys::ATTESTATION;
use crate::tpm::keys::Key;
use crate::tpm::keys::LOG;
use crate::tpm::keys::find_or_make;

const FIRST_LOADED_SESSION: u32 = 0x0200_0000;
const FIRST_TRANSIENT: u32 = 0x8000_0000;

/// What is known of a TPM once it is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub trust: Trust,
    /// Vendor string, for people.
    pub manufacturer: String,
    /// Log key, SubjectPublicKeyInfo DER.
    pub log_spki: Vec<u8>,
    pub log_pem: String,
}

/// An open TPM. Owned by one thread.
pub struct Tpm {
    pub(crate) context: Context,
    pub(crate) log: Key,
    pub(crate) attestation: Key,
    pub identity: Identity,
}

impl Tpm {
    /// Connects and finds or makes the keys. `ours` says that nobody else uses this TPM, so that whatever objects and
    /// sessions are loaded were left behind by us.
    pub fn open(tcti: &str, ours: bool) -> Result<Self, TpmError> {
        let conf = TctiNameConf::from_str(tcti).map_err(|error| TpmError::Invalid {
            operation: "open the TPM",
            detail: format!("`{tcti}` is not a TCTI string ({error})"),
        })?;
        let mut context = Context::new(conf)
            .map_err(|error| TpmError::Gone { detail: format!("cannot connect to `{tcti}`: {error}") })?;
        if ours {
            flush_leaks(&mut context, FIRST_TRANSIENT)?;
            flush_leaks(&mut context, FIRST_LOADED_SESSION)?;
        }
        let (vendor, manufacturer) = manufacturer(&mut context)?;
        let log = find_or_make(&mut context, LOG)?;
        let attestation = find_or_make(&mut context, ATTESTATION)?;
        let trust = trust(tcti, &vendor);
        let identity = Identity { trust, manufacturer, log_spki: log.spki()?, log_pem: log.pem()? };
        Ok(Tpm { context, log, attestation, identity })
    }

    /// Tells the TPM that it will lose power: a stop without this counts as an attack.
    pub fn shut_down(mut self) -> Result<(), TpmError> {
        self.context.shutdown(StartupType::Clear).map_err(during("shut down"))
    }
}

fn flush_leaks(context: &mut Context, first: u32) -> Result<(), TpmError> {
    let listed = context.get_capability(CapabilityType::Handles, first, 64).map_err(during("list handles"))?;
    let CapabilityData::Handles(handles) = listed.0 else { return Ok(()) };
    for handle in handles.into_inner() {
        if u32::from(handle) >> 24 != first >> 24 {
            continue;
        }
        // Some versions of the library cannot name a session that another connection began; it costs a slot, no more.
        match context.tr_from_tpm_public(handle) {
            Ok(object) => context.flush_context(object).map_err(during("flush what was left behind"))?,
            Err(error) => tracing::warn!(%error, handle = u32::from(handle), "a handle left behind cannot be flushed"),
        }
    }
    Ok(())
}

/// The four letters of the manufacturer, and with them the vendor string.
fn manufacturer(context: &mut Context) -> Result<(String, String), TpmError> {
    let mut text = |tag| {
        let number = context.get_tpm_property(tag).map_err(during("read the manufacturer"))?;
        let bytes = number.unwrap_or_default().to_be_bytes();
        Ok(bytes.iter().filter(|byte| byte.is_ascii_graphic() || **byte == b' ').map(|byte| *byte as char).collect())
    };
    let vendor: String = text(PropertyTag::Manufacturer)?;
    let mut string = String::new();
    let tags = [
        PropertyTag::VendorString1,
        PropertyTag::VendorString2,
        PropertyTag::VendorString3,
        PropertyTag::VendorString4,
    ];
    for tag in tags {
        string += &text(tag)?;
    }
    let (vendor, string) = (vendor.trim().to_owned(), string.split_whitespace().collect::<Vec<_>>().join(" "));
    let both = if string.is_empty() { vendor.clone() } else { format!("{vendor} {string}") };
    Ok((vendor, both))
}

/// Only a device of this host whose maker builds chips is hardware: everything else is reported as an emulator, also
/// the virtual TPMs of hypervisors, which are software whatever stands around them.
fn trust(tcti: &str, vendor: &str) -> Trust {
    const EMULATORS: [&str; 6] = ["IBM", "MSFT", "XYZ", "GOOG", "AMZN", "VMW"];
    if tcti.starts_with("device:") && !vendor.is_empty() && !EMULATORS.contains(&vendor) {
        Trust::Hardware
    } else {
        Trust::Emulator
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_device_of_a_chip_maker_is_hardware() {
        assert_eq!(trust("device:/dev/tpmrm0", "STM"), Trust::Hardware);
        assert_eq!(trust("device:/dev/tpmrm0", "IBM"), Trust::Emulator);
        assert_eq!(trust("device:/dev/tpmrm0", ""), Trust::Emulator);
        assert_eq!(trust("swtpm:port=1", "STM"), Trust::Emulator);
        assert_eq!(trust("tabrmd", "STM"), Trust::Emulator);
    }
}
