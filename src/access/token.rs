//! Tokens: `dsmil_<id>_<secret>`. The id finds the token, the 256-bit secret proves it; only its hash is kept.
//!
//! A random secret of that length cannot be guessed, so a plain SHA-256 is enough: a slow hash, made for passwords,
//! would cost each request tens of milliseconds and add nothing.
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::access::role::Role;
use crate::ids::Digest;

const PREFIX: &str = "dsmil_";
/// Bytes of an id; written as twice as many hexadecimal digits.
pub const ID_BYTES: usize = 6;

/// The public part of a token: 12 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub struct TokenId(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the id of a token: an id has 12 hexadecimal digits")]
pub struct BadTokenId(String);

impl TokenId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TokenId {
    type Error = BadTokenId;
    fn try_from(text: String) -> Result<Self, BadTokenId> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if digits && text.len() == 2 * ID_BYTES { Ok(TokenId(text)) } else { Err(BadTokenId(text)) }
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A new token with its secret, to be shown once. Deliberately without `Debug`.
#[derive(Clone)]
pub struct Fresh {
    pub id: TokenId,
    pub text: String,
}

impl Fresh {
    /// From random bytes.
    pub fn of(id: [u8; ID_BYTES], secret: [u8; 32]) -> Self {
        let id = TokenId(hex::encode(id));
        let text = format!("{PREFIX}{id}_{}", URL_SAFE_NO_PAD.encode(secret));
        Fresh { id, text }
    }

    pub fn hash(&self) -> Digest {
        hash(&self.text)
    }
}

/// SHA-256 of a presented text.
pub fn hash(text: &str) -> Digest {
    Digest(Sha256::digest(text.as_bytes()).into())
}

/// Which token the text claims to be.
pub fn claimed(text: &str) -> Option<TokenId> {
    let (id, _) = text.strip_prefix(PREFIX)?.split_once('_')?;
    TokenId::try_from(id.to_owned()).ok()
}

/// A token as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    pub id: TokenId,
    pub name: String,
    pub role: Role,
    pub hash: Digest,
    pub created: DateTime<Utc>,
    /// Who made it.
    pub created_by: String,
    /// None: it does not expire.
    pub expires: Option<DateTime<Utc>>,
    pub revoked: Option<DateTime<Utc>>,
}

impl Known {
    pub fn is_valid(&self, now: DateTime<Utc>) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|expires| now < expires)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_token_claims_its_own_id(id: [u8; ID_BYTES], secret: [u8; 32]) {
            let fresh = Fresh::of(id, secret);
            prop_assert_eq!(claimed(&fresh.text), Some(fresh.id.clone()));
            prop_assert_eq!(fresh.hash(), hash(&fresh.text));
            prop_assert!(fresh.text.len() > 43);
        }

        #[test]
        fn any_text_may_be_presented(text in ".*") {
            let _claim = claimed(&text);
        }
    }

    #[test]
    fn an_id_has_twelve_lower_case_digits() {
        assert!(TokenId::try_from("0123456789ab".to_owned()).is_ok());
        for wrong in ["", "0123456789a", "0123456789AB", "0123456789abc", "0123456789ag"] {
            assert!(TokenId::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
