//! Tokens, sessions and tickets.
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::role::Role;
use crate::access::token::TokenId;

/// What a new token shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// For people: who or what holds it; 1 to 64 characters, none of them a control character.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    pub role: Role,
    /// Such as `30d`; it does not expire if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<String>,
}

/// The answer that shows the token, once.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct CreatedToken {
    pub token_id: TokenId,
    /// The secret: it is shown here and nowhere else.
    pub token: String,
    pub name: String,
    pub role: Role,
    pub expires: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Token {
    pub token_id: TokenId,
    pub name: String,
    pub role: Role,
    pub created: DateTime<Utc>,
    /// `token:<id>` of who made it.
    pub created_by: String,
    pub expires: Option<DateTime<Utc>>,
    pub revoked: Option<DateTime<Utc>>,
    /// Neither expired nor revoked.
    pub valid: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tokens {
    pub tokens: Vec<Token>,
    /// Null: this is all.
    pub next: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Revoked {
    pub token_id: TokenId,
    /// False: it had been revoked before.
    pub revoked: bool,
}

/// Signs a browser in.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    pub token: String,
}

/// Who is asking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Identity {
    /// Null: the bootstrap token.
    pub token_id: Option<TokenId>,
    pub name: String,
    pub role: Role,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct Ticket {
    pub ticket: String,
    /// It is good once, and for so long.
    pub expires_in_s: u64,
}
