//! From diesel's errors to ours.
use diesel::ConnectionError;
use diesel::result::{DatabaseErrorKind, Error};
use diesel_async::pooled_connection::PoolError;
use diesel_async::pooled_connection::deadpool;

use crate::workflow::record::StoreError;

/// The connection could not be made.
pub(super) fn unreachable(detail: impl std::fmt::Display) -> StoreError {
    StoreError::Unreachable { detail: detail.to_string() }
}

pub(super) fn from_connect(error: ConnectionError) -> StoreError {
    match error {
        ConnectionError::CouldntSetupConfiguration(inner) => unreachable(text(&inner)),
        other => unreachable(other),
    }
}

pub(super) fn from_pool(error: deadpool::PoolError) -> StoreError {
    match error {
        deadpool::PoolError::Backend(PoolError::ConnectionError(inner)) => from_connect(inner),
        deadpool::PoolError::Backend(PoolError::QueryError(inner)) => from_query(&inner),
        other => unreachable(other),
    }
}

/// Of a statement that only reads, or whose effect does not matter when the connection is lost.
pub(super) fn from_query(error: &Error) -> StoreError {
    if is_lost(error) { unreachable(text(error)) } else { StoreError::Refused { detail: text(error) } }
}

/// The connection is gone; whether the statement was carried out is not known.
pub(super) fn is_lost(error: &Error) -> bool {
    match error {
        Error::DatabaseError(DatabaseErrorKind::UnableToSendCommand | DatabaseErrorKind::ClosedConnection, _) => true,
        // diesel does not carry the SQLSTATE; these are class 57P, said to a client that is being put out.
        Error::DatabaseError(DatabaseErrorKind::Unknown, info) => {
            let said = info.message();
            said.starts_with("terminating connection") || said.starts_with("the database system is")
        }
        Error::BrokenTransactionManager => true,
        _ => false,
    }
}

/// A row with this key is there already.
pub(super) fn is_duplicate(error: &Error) -> bool {
    matches!(error, Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _))
}

/// The server cannot write at present, whatever the statement: no disk, no memory.
pub(super) fn is_exhausted(error: &Error) -> bool {
    let said = error.to_string();
    ["No space left on device", "Disk quota exceeded", "out of memory"].iter().any(|sign| said.contains(sign))
}

/// The message with its detail, which often names the value.
pub(super) fn text(error: &Error) -> String {
    match error {
        Error::DatabaseError(_, info) => match info.details() {
            Some(details) => format!("{} ({details})", info.message()),
            None => info.message().to_owned(),
        },
        other => other.to_string(),
    }
}
