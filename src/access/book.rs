//! All that is admitted at present: tokens, browser sessions and stream tickets. One value, replaced as a whole.
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use subtle::ConstantTimeEq;

use crate::access::role::Role;
use crate::access::token::{Known, TokenId, claimed, hash};
use crate::ids::Digest;

/// A browser signs in again after this long.
pub const SESSION: Duration = Duration::from_secs(12 * 3600);
/// A ticket is used at once or not at all.
pub const TICKET: Duration = Duration::from_secs(30);
/// Sessions and tickets beyond these push the oldest out.
const MOST_SESSIONS: usize = 1_000;
const MOST_TICKETS: usize = 1_000;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// None: the bootstrap token.
    pub token: Option<TokenId>,
    pub name: String,
    pub role: Role,
}

/// As it is written into records: `token:<id>`.
impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.token {
            Some(id) => write!(f, "token:{id}"),
            None => f.write_str("token:admin"),
        }
    }
}

/// Who was admitted, and by what. It ends with what it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub who: Principal,
    /// The hash of the session's key; none: by the token itself.
    pub session: Option<Digest>,
}

/// What asking for the end of a token comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    NoSuchToken,
    DoneBefore,
    /// Nobody could make tokens any more.
    LastAdmin,
    Due,
}

#[derive(Debug, Clone)]
struct Pass {
    /// None: the bootstrap token.
    token: Option<TokenId>,
    /// Of a ticket: the session that asked for it.
    session: Option<Digest>,
    begun: DateTime<Utc>,
}

/// Deliberately without `Debug`.
#[derive(Clone, Default)]
pub struct Book {
    bootstrap: Option<Digest>,
    tokens: BTreeMap<TokenId, Known>,
    sessions: HashMap<Digest, Pass>,
    tickets: HashMap<Digest, Pass>,
}

impl Book {
    /// The tokens that are stored; the bootstrap token counts until there is an administrator beside it.
    pub fn new(bootstrap: Option<Digest>, tokens: impl IntoIterator<Item = Known>) -> Self {
        let tokens = tokens.into_iter().map(|token| (token.id.clone(), token)).collect();
        Book { bootstrap, tokens, sessions: HashMap::new(), tickets: HashMap::new() }
    }

    /// Takes in the tokens that are stored; sessions go on. What was done since they were read stands: a revoked token
    /// stays revoked, a new one stays, and the bootstrap token does not come back.
    pub fn reload(&mut self, bootstrap: Option<Digest>, tokens: impl IntoIterator<Item = Known>) {
        for stored in tokens {
            let revoked = self.tokens.get(&stored.id).and_then(|known| known.revoked).or(stored.revoked);
            self.tokens.insert(stored.id.clone(), Known { revoked, ..stored });
        }
        self.bootstrap = self.bootstrap.and(bootstrap);
    }

    pub fn has_bootstrap(&self) -> bool {
        self.bootstrap.is_some()
    }

    /// Who presents this token, if it is one. Hashes are compared in constant time.
    pub fn admit(&self, presented: &str, now: DateTime<Utc>) -> Option<Principal> {
        let shown = hash(presented);
        let same = |kept: &Digest| bool::from(kept.0.ct_eq(&shown.0));
        if self.bootstrap.as_ref().is_some_and(same) {
            return self.principal(None, now);
        }
        let id = claimed(presented)?;
        let known = self.tokens.get(&id)?;
        if same(&known.hash) { self.principal(Some(&id), now) } else { None }
    }

    fn principal(&self, token: Option<&TokenId>, now: DateTime<Utc>) -> Option<Principal> {
        match token {
            None => self.bootstrap.map(|_| Principal { token: None, name: "bootstrap".to_owned(), role: Role::Admin }),
            Some(id) => {
                let known = self.tokens.get(id).filter(|known| known.is_valid(now))?;
                Some(Principal { token: Some(id.clone()), name: known.name.clone(), role: known.role })
            }
        }
    }

    /// Does what once admitted them still hold?
    pub fn still_admits(&self, Grant { who, session }: &Grant, now: DateTime<Utc>) -> bool {
        match session {
            Some(session) => self.of_session(session, now).is_some(),
            None => self.principal(who.token.as_ref(), now).is_some(),
        }
    }

    pub fn tokens(&self) -> impl Iterator<Item = &Known> {
        self.tokens.values()
    }

    pub fn token(&self, id: &TokenId) -> Option<&Known> {
        self.tokens.get(id)
    }

    /// Is there a token that may make others?
    pub fn has_admin(&self, now: DateTime<Utc>) -> bool {
        self.tokens.values().any(|known| known.role == Role::Admin && known.is_valid(now))
    }

    /// The first administrator ends the bootstrap token. True: it did.
    pub fn add(&mut self, known: Known) -> bool {
        let ends = known.role == Role::Admin && self.bootstrap.take().is_some();
        self.tokens.insert(known.id.clone(), known);
        if ends {
            self.sessions.retain(|_, pass| pass.token.is_some());
            self.tickets.retain(|_, pass| pass.token.is_some());
        }
        ends
    }

    /// May this token be revoked, and does anything come of it?
    pub fn revocation(&self, id: &TokenId, now: DateTime<Utc>) -> Revocation {
        let Some(known) = self.tokens.get(id) else { return Revocation::NoSuchToken };
        let mut admins = self.tokens.values().filter(|token| token.role == Role::Admin && token.is_valid(now));
        match known.revoked {
            Some(_) => Revocation::DoneBefore,
            None if admins.next() == Some(known) && admins.next().is_none() => Revocation::LastAdmin,
            None => Revocation::Due,
        }
    }

    /// False: there is no such token, or it was revoked before.
    pub fn revoke(&mut self, id: &TokenId, now: DateTime<Utc>) -> bool {
        let Some(known) = self.tokens.get_mut(id).filter(|known| known.revoked.is_none()) else { return false };
        known.revoked = Some(now);
        self.sessions.retain(|_, pass| pass.token.as_ref() != Some(id));
        self.tickets.retain(|_, pass| pass.token.as_ref() != Some(id));
        true
    }

    /// Begins a session; `key` is the text of its cookie.
    pub fn open_session(&mut self, key: &str, principal: &Principal, now: DateTime<Utc>) {
        let pass = Pass { token: principal.token.clone(), session: None, begun: now };
        put(&mut self.sessions, MOST_SESSIONS, SESSION, key, pass);
    }

    pub fn session(&self, key: &str, now: DateTime<Utc>) -> Option<Grant> {
        let session = hash(key);
        self.of_session(&session, now).map(|who| Grant { who, session: Some(session) })
    }

    fn of_session(&self, session: &Digest, now: DateTime<Utc>) -> Option<Principal> {
        let pass = self.sessions.get(session).filter(|pass| is_fresh(pass, SESSION, now))?;
        self.principal(pass.token.as_ref(), now)
    }

    /// False: there was none.
    pub fn close_session(&mut self, key: &str) -> bool {
        self.sessions.remove(&hash(key)).is_some()
    }

    pub fn issue_ticket(&mut self, ticket: &str, to: &Grant, now: DateTime<Utc>) {
        let pass = Pass { token: to.who.token.clone(), session: to.session, begun: now };
        put(&mut self.tickets, MOST_TICKETS, TICKET, ticket, pass);
    }

    /// Each ticket is good once, and no longer than the session that asked for it.
    pub fn redeem_ticket(&mut self, ticket: &str, now: DateTime<Utc>) -> Option<Grant> {
        let pass = self.tickets.remove(&hash(ticket)).filter(|pass| is_fresh(pass, TICKET, now))?;
        let grant = Grant { who: self.principal(pass.token.as_ref(), now)?, session: pass.session };
        self.still_admits(&grant, now).then_some(grant)
    }
}

fn is_fresh(pass: &Pass, lasts: Duration, now: DateTime<Utc>) -> bool {
    (now - pass.begun).to_std().is_ok_and(|age| age < lasts)
}

fn put(passes: &mut HashMap<Digest, Pass>, most: usize, lasts: Duration, key: &str, pass: Pass) {
    passes.retain(|_, held| is_fresh(held, lasts, pass.begun));
    if passes.len() >= most
        && let Some(oldest) = passes.iter().min_by_key(|(_, held)| held.begun).map(|(key, _)| *key)
    {
        passes.remove(&oldest);
    }
    passes.insert(hash(key), pass);
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::access::token::Fresh;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).expect("in range")
    }

    fn known(seed: u8, role: Role) -> (Fresh, Known) {
        let fresh = Fresh::of([seed; 6], [seed; 32]);
        let known = Known {
            id: fresh.id.clone(),
            name: format!("n{seed}"),
            role,
            hash: fresh.hash(),
            created: at(0),
            created_by: "token:admin".to_owned(),
            expires: Some(at(100)),
            revoked: None,
        };
        (fresh, known)
    }

    #[test]
    fn a_token_is_admitted_until_it_expires_or_is_revoked() {
        let (fresh, token) = known(1, Role::Operator);
        let mut book = Book::new(None, [token]);
        assert_eq!(book.admit(&fresh.text, at(99)).map(|who| who.role), Some(Role::Operator));
        assert_eq!(book.admit(&fresh.text, at(100)), None, "expired");
        for wrong in ["", "dsmil_", &fresh.text[..fresh.text.len() - 1], &format!("{} ", fresh.text)] {
            assert_eq!(book.admit(wrong, at(1)), None, "{wrong:?}");
        }
        assert!(book.revoke(&fresh.id, at(1)));
        assert!(!book.revoke(&fresh.id, at(1)), "once");
        assert_eq!(book.admit(&fresh.text, at(1)), None, "revoked");
    }

    #[test]
    fn the_first_administrator_ends_the_bootstrap_token_and_its_sessions() {
        let mut book = Book::new(Some(hash("first")), []);
        let first = book.admit("first", at(0)).expect("bootstrap");
        book.open_session("cookie", &first, at(0));
        assert!(!book.add(known(1, Role::Viewer).1), "a viewer ends nothing");
        assert!(book.session("cookie", at(1)).is_some() && book.admit("first", at(1)).is_some());
        assert!(book.add(known(2, Role::Admin).1));
        assert!(book.session("cookie", at(1)).is_none() && book.admit("first", at(1)).is_none());
    }

    #[test]
    fn a_session_ends_with_its_token_its_time_or_its_close() {
        let (fresh, token) = known(1, Role::Viewer);
        let mut book = Book::new(None, [token]);
        let who = book.admit(&fresh.text, at(0)).expect("admitted");
        book.open_session("a", &who, at(0));
        book.open_session("b", &who, at(0));
        let grant = book.session("a", at(99)).expect("open");
        assert_eq!(grant.who, who);
        assert_eq!(book.session("a", at(100)), None, "its token has expired");
        assert_eq!(book.session("a", at(0) + TimeDelta::from_std(SESSION).expect("short")), None);
        assert!(book.still_admits(&grant, at(99)));
        assert!(book.close_session("a") && !book.close_session("a"));
        assert!(!book.still_admits(&grant, at(1)), "what the session admitted ends with it");
        assert!(book.still_admits(&Grant { who: who.clone(), session: None }, at(1)), "the token goes on");
        assert!(book.session("b", at(1)).is_some());
        book.revoke(&fresh.id, at(2));
        assert_eq!(book.session("b", at(3)), None);
    }

    #[test]
    fn a_ticket_is_good_once_and_for_half_a_minute() {
        let (fresh, token) = known(1, Role::Viewer);
        let mut book = Book::new(None, [token]);
        let who = book.admit(&fresh.text, at(0)).expect("admitted");
        let grant = Grant { who, session: None };
        book.issue_ticket("t", &grant, at(0));
        book.issue_ticket("u", &grant, at(0));
        assert!(book.redeem_ticket("t", at(29)).is_some());
        assert!(book.redeem_ticket("t", at(29)).is_none(), "used");
        assert!(book.redeem_ticket("u", at(30)).is_none(), "too late");
    }

    #[test]
    fn a_ticket_and_what_it_admits_end_with_the_session_that_asked_for_it() {
        let mut book = Book::new(Some(hash("first")), []);
        let who = book.admit("first", at(0)).expect("bootstrap");
        book.open_session("cookie", &who, at(0));
        let session = book.session("cookie", at(0)).expect("open");
        book.issue_ticket("t", &session, at(0));
        book.issue_ticket("u", &session, at(0));
        let redeemed = book.redeem_ticket("t", at(1)).expect("in time");
        assert!(book.still_admits(&redeemed, at(1)));
        book.close_session("cookie");
        assert!(!book.still_admits(&redeemed, at(1)));
        assert!(book.redeem_ticket("u", at(1)).is_none());
    }

    #[test]
    fn what_was_done_while_the_tokens_were_read_stands() {
        let ((gone, was), (kept, chief), (made, fresh)) =
            (known(1, Role::Viewer), known(2, Role::Viewer), known(3, Role::Admin));
        let stored = [was.clone(), chief.clone()];
        let mut book = Book::new(Some(hash("first")), stored.clone());
        book.revoke(&gone.id, at(1));
        book.add(fresh);
        book.reload(Some(hash("first")), stored);
        let admits = |text: &str| book.admit(text, at(2)).is_some();
        assert!(!admits(&gone.text), "a revoked token stays revoked");
        assert!(admits(&kept.text) && admits(&made.text));
        assert!(!admits("first") && !book.has_bootstrap(), "the bootstrap token stays ended");
        // What only the database knows is learned.
        book.reload(None, [Known { revoked: Some(at(2)), ..chief }]);
        assert_eq!(book.admit(&kept.text, at(3)), None);
    }

    #[test]
    fn the_last_valid_admin_token_is_not_revoked() {
        let ((_, eyes), (_, one), (_, other)) = (known(1, Role::Viewer), known(2, Role::Admin), known(3, Role::Admin));
        let mut book = Book::new(None, [eyes.clone(), one.clone(), other.clone()]);
        assert_eq!(book.revocation(&known(9, Role::Viewer).0.id, at(1)), Revocation::NoSuchToken);
        assert_eq!(book.revocation(&one.id, at(1)), Revocation::Due);
        book.revoke(&one.id, at(1));
        for (token, then, comes_to) in [
            (&one, 2, Revocation::DoneBefore),
            (&other, 2, Revocation::LastAdmin),
            (&eyes, 2, Revocation::Due),
            (&other, 100, Revocation::Due),
        ] {
            assert_eq!(book.revocation(&token.id, at(then)), comes_to, "{} at {then}", token.name);
        }
    }

    #[test]
    fn passes_do_not_grow_without_bound() {
        let mut book = Book::new(Some(hash("first")), []);
        let who = book.admit("first", at(0)).expect("bootstrap");
        for n in 0..MOST_SESSIONS as i64 + 5 {
            book.open_session(&n.to_string(), &who, at(n));
        }
        assert_eq!(book.sessions.len(), MOST_SESSIONS);
        assert!(book.session("0", at(2_000)).is_none() && book.session("1004", at(2_000)).is_some());
    }
}
