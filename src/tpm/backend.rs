//! Which TPM the choice of the operator comes to on this host.
use std::fs::OpenOptions;
use std::path::Path;
use std::path::PathBuf;

use crate::toolkit::tpm_choice::TpmChoice;

const RESOURCE_MANAGER: &str = "/dev/tpmrm0";

/// A TPM that can be reached, or an emulator to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backend {
    /// Started by us, as our child.
    Swtpm,
    /// Somebody else's: a device, or whatever a TCTI string leads to.
    Tcti(String),
}

#[derive(Debug, thiserror::Error)]
#[error(
    "cannot open the TPM device {}: mend its permissions (often: add the user to the group `tss`), or set \
     DSMIL_TPM=swtpm to use an emulator", path.display()
)]
pub struct NoDevice {
    pub path: PathBuf,
    #[source]
    pub cause: std::io::Error,
}

impl Backend {
    pub fn of(choice: &TpmChoice) -> Result<Self, NoDevice> {
        match choice {
            TpmChoice::Swtpm => Ok(Backend::Swtpm),
            TpmChoice::Tcti(text) => Ok(Backend::Tcti(text.clone())),
            TpmChoice::Device(path) => open(path).map(|()| device(path)),
            TpmChoice::Auto => {
                let path = Path::new(RESOURCE_MANAGER);
                match open(path) {
                    Ok(()) => Ok(device(path)),
                    Err(error) => {
                        if error.cause.kind() != std::io::ErrorKind::NotFound {
                            tracing::warn!(cause = %error.cause, "{error}; an emulator is used instead");
                        }
                        Ok(Backend::Swtpm)
                    }
                }
            }
        }
    }
}

fn device(path: &Path) -> Backend {
    Backend::Tcti(format!("device:{}", path.display()))
}

fn open(path: &Path) -> Result<(), NoDevice> {
    let opened = OpenOptions::new().read(true).write(true).open(path);
    opened.map(drop).map_err(|cause| NoDevice { path: path.to_owned(), cause })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_not_there_is_an_error_that_says_what_to_do() {
        let error = Backend::of(&TpmChoice::Device("/dev/no-such-tpm".into())).expect_err("no such device");
        assert!(error.to_string().contains("/dev/no-such-tpm") && error.to_string().contains("DSMIL_TPM=swtpm"));
        assert_eq!(Backend::of(&TpmChoice::Swtpm).expect("no device needed"), Backend::Swtpm);
    }
}
