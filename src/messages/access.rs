//! What can be asked of the keeper of access: changes. Who is admitted is read from its book, without asking.
use std::time::Duration;

use actix::Message;

use crate::access::book::{Grant, Principal};
use crate::access::role::Role;
use crate::access::token::{Fresh, Known, TokenId};
use crate::workflow::record::StoreError;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    #[error("the tokens have not been read yet")]
    NotLoaded,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("no random bytes: {detail}")]
    NoRandom { detail: String },
    #[error("there is no token `{0}`")]
    NoSuchToken(TokenId),
    #[error("`{0}` is the last valid admin token; create another one first")]
    LastAdmin(TokenId),
    #[error("the token is not valid: it may be mistyped, expired or revoked")]
    NotAdmitted,
}

/// Makes a token; answers once it is stored, and on record unless the audit log keeps that waiting. The first admin token
/// ends the bootstrap token.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Created, AccessError>")]
pub struct CreateToken {
    pub name: String,
    pub role: Role,
    pub expires_in: Option<Duration>,
    pub by: Principal,
}

/// Deliberately without `Debug`: it holds the secret.
pub struct Created {
    pub fresh: Fresh,
    pub known: Known,
}

/// Revokes a token: its sessions end with it, as soon as that is stored. False: it was revoked before.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<bool, AccessError>")]
pub struct RevokeToken {
    pub id: TokenId,
    pub by: Principal,
}

/// Signs a browser in; answers the key of the session for its cookie.
#[derive(Clone, Message)]
#[rtype(result = "Result<String, AccessError>")]
pub struct OpenSession {
    pub token: String,
}

/// Signs a browser out.
#[derive(Clone, Message)]
#[rtype(result = "bool")]
pub struct CloseSession {
    pub key: String,
}

/// A ticket for one connection to the live feed, for clients that can send neither header nor cookie.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<String, AccessError>")]
pub struct IssueTicket {
    pub to: Grant,
}

#[derive(Clone, Message)]
#[rtype(result = "Option<Grant>")]
pub struct RedeemTicket {
    pub ticket: String,
}
