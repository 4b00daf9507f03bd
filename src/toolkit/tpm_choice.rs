//! Which TPM the operator wants: the one setting `DSMIL_TPM`, parsed.
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The TPM to use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TpmChoice {
    /// `/dev/tpmrm0` where it exists and may be opened, else swtpm.
    #[default]
    Auto,
    /// An emulator of our own, with its state under the data directory.
    Swtpm,
    /// A TPM of this host, through the kernel.
    Device(PathBuf),
    /// Any other TCTI that libtss2 and its wrapper know, as they write it.
    Tcti(String),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` names no TPM: write `auto`, `swtpm`, `device:/dev/tpmrm0`, or a TCTI string that starts with \
     `swtpm:`, `mssim:` or `tabrmd:`"
)]
pub struct BadTpmChoice {
    pub text: String,
}

impl FromStr for TpmChoice {
    type Err = BadTpmChoice;
    fn from_str(text: &str) -> Result<Self, BadTpmChoice> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        match (kind, rest) {
            ("auto", "") => Ok(TpmChoice::Auto),
            ("swtpm", "") => Ok(TpmChoice::Swtpm),
            ("device", path) if path.starts_with('/') => Ok(TpmChoice::Device(path.into())),
            ("swtpm" | "mssim", rest) if !rest.is_empty() => Ok(TpmChoice::Tcti(text.to_owned())),
            ("mssim" | "tabrmd", _) => Ok(TpmChoice::Tcti(text.to_owned())),
            _ => Err(BadTpmChoice { text: text.to_owned() }),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_read_as_the_manual_writes_it() {
        for text in ["auto", "swtpm", "device:/dev/tpmrm0", "swtpm:host=127.0.0.1,port=2321", "tabrmd", "mssim:port=1"]
        {
            assert_eq!(text.parse::<TpmChoice>().expect(text).to_string(), text);
        }
        assert_eq!("device:/dev/tpm0".parse(), Ok(TpmChoice::Device("/dev/tpm0".into())));
        for bad in ["", "tpm", "device:", "device:tpm0", "/dev/tpmrm0", "auto:1"] {
            assert!(bad.parse::<TpmChoice>().is_err(), "{bad}");
        }
    }
}
