//! `[tpm]`: which TPM signs.
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::config::key::{Key, Shape};
use crate::config::layers::Layers;

pub const KEYS: &[Key] = &[Key::new("tpm.choice", Shape::Text, "auto").env("DSMIL_TPM")];

/// TCTI modules of tpm2-tss.
const TCTI: &[&str] = &["device", "swtpm", "mssim", "tabrmd", "cmd", "pcap", "libtpms", "i2c-helper", "spi-helper"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TpmConfig {
    pub choice: TpmChoice,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TpmChoice {
    /// The chip if there is one that may be opened, else an emulator of our own.
    Auto,
    /// An emulator of our own, as a supervised child.
    Swtpm,
    Device(PathBuf),
    /// Any TCTI string of tpm2-tss, such as `swtpm:path=/run/tpm.sock`.
    Tcti(String),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be auto, swtpm, device:/dev/PATH or a TCTI string of tpm2-tss such as mssim:host=localhost,port=2321")]
pub struct BadTpmChoice;

impl FromStr for TpmChoice {
    type Err = BadTpmChoice;
    fn from_str(text: &str) -> Result<Self, BadTpmChoice> {
        match text.split_once(':') {
            None if text == "auto" => Ok(TpmChoice::Auto),
            None if text == "swtpm" => Ok(TpmChoice::Swtpm),
            Some(("device", path)) if path.starts_with('/') => Ok(TpmChoice::Device(PathBuf::from(path))),
            Some(("device", _)) => Err(BadTpmChoice),
            Some((name, config)) if TCTI.contains(&name) && !config.is_empty() => Ok(TpmChoice::Tcti(text.to_owned())),
            None if text == "tabrmd" || text == "mssim" => Ok(TpmChoice::Tcti(text.to_owned())),
            _ => Err(BadTpmChoice),
        }
    }
}

impl fmt::Display for TpmChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TpmChoice::Auto => f.write_str("auto"),
            TpmChoice::Swtpm => f.write_str("swtpm"),
            TpmChoice::Device(path) => write!(f, "device:{}", path.display()),
            TpmChoice::Tcti(text) => f.write_str(text),
        }
    }
}

impl TpmConfig {
    pub fn read(layers: &mut Layers) -> Option<Self> {
        let choice = layers.parse("tpm.choice", str::parse);
        Some(TpmConfig { choice: choice? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_survives_its_text_form() {
        for text in ["auto", "swtpm", "device:/dev/tpmrm0", "mssim:host=localhost,port=2321", "tabrmd"] {
            let choice: TpmChoice = text.parse().unwrap();
            assert_eq!(choice.to_string(), text);
        }
    }

    #[test]
    fn what_names_no_tpm_is_refused() {
        for text in ["", "none", "software", "device:", "device:tpmrm0", "swtpm:", "Auto", "foo:bar"] {
            assert_eq!(text.parse::<TpmChoice>(), Err(BadTpmChoice), "{text}");
        }
    }
}
