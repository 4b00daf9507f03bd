//! `[tpm]`: which TPM signs.
use crate::config::key::{Key, Shape};
use crate::config::layers::Layers;
use crate::toolkit::tpm_choice::TpmChoice;

pub const KEYS: &[Key] = &[Key::new("tpm.choice", Shape::Text, "auto").env("DSMIL_TPM")];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TpmConfig {
    pub choice: TpmChoice,
}

impl TpmConfig {
    pub fn read(layers: &mut Layers) -> Option<Self> {
        let choice = layers.parse("tpm.choice", str::parse);
        Some(TpmConfig { choice: choice? })
    }
}
