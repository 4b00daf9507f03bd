//! Tokens of each role, and some that are good no longer.
use std::sync::{Arc, OnceLock};

use chrono::{DateTime, Utc};
use tokio::sync::watch;

use crate::access::book::Book;
use crate::access::role::Role;
use crate::access::token::{Fresh, Known, hash};
use crate::clock;
use crate::web::fakes::TOKEN;

pub const EXPIRED: &str = "dsmil_0e0e0e0e0e0e_Dg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4";
pub const REVOKED: &str = "dsmil_0f0f0f0f0f0f_Dw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8";
/// Of a session of the operator's.
pub const SESSION_KEY: &str = "the-session";

/// A token of the role.
pub fn token_of(role: Role) -> String {
    let seed = role as u8 + 1;
    Fresh::of([seed; 6], [seed; 32]).text
}

pub fn bearer_of(role: Role) -> (&'static str, String) {
    ("Authorization", format!("Bearer {}", token_of(role)))
}

/// The bootstrap token, one token of each role, an expired and a revoked one.
pub fn book() -> watch::Receiver<Option<Arc<Book>>> {
    static SENDER: OnceLock<watch::Sender<Option<Arc<Book>>>> = OnceLock::new();
    SENDER.get_or_init(|| watch::Sender::new(Some(Arc::new(make())))).subscribe()
}

fn make() -> Book {
    let known = |text: String, role: Role, expires: Option<DateTime<Utc>>, revoked: Option<DateTime<Utc>>| Known {
        id: crate::access::token::claimed(&text).expect("an id"),
        name: role.to_string(),
        role,
        hash: hash(&text),
        created: DateTime::UNIX_EPOCH,
        created_by: "token:admin".to_owned(),
        expires,
        revoked,
    };
    let past = Some(DateTime::UNIX_EPOCH);
    let mut tokens: Vec<Known> = Role::ALL.map(|role| known(token_of(role), role, None, None)).into();
    tokens.push(known(EXPIRED.to_owned(), Role::Admin, past, None));
    tokens.push(known(REVOKED.to_owned(), Role::Admin, None, past));
    let mut book = Book::new(Some(hash(TOKEN)), tokens);
    let operator = book.admit(&token_of(Role::Operator), clock::wall()).expect("admitted");
    book.open_session(SESSION_KEY, &operator, clock::wall());
    book
}
