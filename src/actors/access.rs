//! Keeps the tokens, sessions and tickets. The book it publishes is read by every request without asking this actor.
//!
//! Tokens are in the database and in the book; sessions and tickets in the book alone, so that a restart of the
//! service signs browsers out. While the database is away who was admitted is admitted still.
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix::fut::WrapFuture;
use actix::{Actor, AsyncContext, Handler, ResponseActFuture};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::sync::{Mutex, watch};
use tracing::{info, warn};

use crate::access::book::{Book, Revocation};
use crate::access::role::Role;
use crate::access::token::{Fresh, Known};
use crate::actors::context::Ctx;
use crate::actors::scribe::{Deed, Scribe};
use crate::clock;
use crate::ids::{Digest, NodeId};
use crate::messages::access::{
    AccessError, CloseSession, CreateToken, Created, IssueTicket, OpenSession, RedeemTicket, RevokeToken,
};
use crate::secrets::{SecretError, admin_token_hash, random, remove_admin_token};
use crate::store::database::Readers;
use crate::store::tokens;

/// Between two tries to read the tokens.
const RETRY: Duration = Duration::from_millis(100);

/// None until the tokens have been read.
pub type Shared = watch::Sender<Option<Arc<Book>>>;

pub struct Access {
    clerk: Clerk,
}

/// Carries changes out, for this actor's tasks.
#[derive(Clone)]
struct Clerk {
    node: NodeId,
    data_dir: PathBuf,
    database: Readers,
    scribe: Scribe,
    /// Outlives this actor, so that sessions survive its restart.
    book: Shared,
    /// Held from the look at the book to its change: of two changes the second sees the first.
    turn: Arc<Mutex<()>>,
}

impl Access {
    pub fn new(node: NodeId, data_dir: PathBuf, database: Readers, scribe: Scribe, book: Shared) -> Self {
        Access { clerk: Clerk { node, data_dir, database, scribe, book, turn: Arc::default() } }
    }
}

impl Clerk {
    /// Changes the book; none: it has not been read yet.
    fn change<T>(&self, change: impl FnOnce(&mut Book) -> T) -> Option<T> {
        let mut changed = None;
        self.book.send_if_modified(|book| {
            let Some(book) = book else { return false };
            let mut next = Book::clone(book);
            changed = Some(change(&mut next));
            *book = Arc::new(next);
            true
        });
        changed
    }

    fn present(&self) -> Result<Arc<Book>, AccessError> {
        self.book.borrow().clone().ok_or(AccessError::NotLoaded)
    }

    fn loaded(&self, tokens: Vec<Known>, bootstrap: Option<Digest>) {
        let mut is_ended = false;
        self.book.send_modify(|book| {
            let next = match book.as_deref() {
                None => Book::new(bootstrap, tokens),
                Some(known) => {
                    let mut next = known.clone();
                    next.reload(bootstrap, tokens);
                    next
                }
            };
            is_ended = bootstrap.is_some() && !next.has_bootstrap();
            *book = Some(Arc::new(next));
        });
        if is_ended {
            self.remove_bootstrap();
        }
    }

    /// Makes a token: it counts from when it is stored, and the first administrator ends the bootstrap token.
    async fn create(self, asked: CreateToken) -> Result<Created, AccessError> {
        let CreateToken { name, role, expires_in, by } = asked;
        let turn = self.turn.lock().await;
        self.present()?;
        let fresh = fresh()?;
        let created = clock::wall();
        let known = Known {
            id: fresh.id.clone(),
            name,
            role,
            hash: fresh.hash(),
            created,
            created_by: by.to_string(),
            expires: expires_in.map(|lasts| created + lasts),
            revoked: None,
        };
        tokens::insert(&self.database, &self.node, &known).await?;
        if self.change(|book| book.add(known.clone())) == Some(true) {
            info!("there is an admin token now: the bootstrap token is no longer valid");
            self.remove_bootstrap();
        }
        drop(turn);
        self.scribe.note_or_later(deed(&by.to_string(), "token.created", &known)).await;
        Ok(Created { fresh, known })
    }

    async fn revoke(self, RevokeToken { id, by }: RevokeToken) -> Result<bool, AccessError> {
        let turn = self.turn.lock().await;
        let (book, now) = (self.present()?, clock::wall());
        match book.revocation(&id, now) {
            Revocation::Due => {}
            Revocation::DoneBefore => return Ok(false),
            Revocation::LastAdmin => return Err(AccessError::LastAdmin(id)),
            Revocation::NoSuchToken => return Err(AccessError::NoSuchToken(id)),
        }
        tokens::revoke(&self.database, &self.node, &id, now, &by.to_string()).await?;
        let revoked = self.change(|book| book.revoke(&id, now)).ok_or(AccessError::NotLoaded)?;
        drop(turn);
        if let Some(known) = book.token(&id) {
            self.scribe.note_or_later(deed(&by.to_string(), "token.revoked", known)).await;
        }
        Ok(revoked)
    }

    fn remove_bootstrap(&self) {
        let data_dir = self.data_dir.clone();
        actix_rt::spawn(async move {
            // A file that stays is removed by the next start, and is refused until then.
            match tokio::task::spawn_blocking(move || remove_admin_token(&data_dir)).await {
                Ok(Ok(())) => {}
                Ok(Err(fault)) => warn!("the bootstrap token is not valid any more, but its file stays: {fault}"),
                Err(fault) => warn!("the file of the bootstrap token was not removed: {fault}"),
            }
        });
    }
}

/// The tokens that are stored, and the bootstrap token if there is no administrator among them.
async fn read(database: &Readers, node: &NodeId, data_dir: PathBuf) -> (Vec<Known>, Option<Digest>) {
    loop {
        match tokens::load(database, node).await {
            Ok(tokens) => {
                let now = clock::wall();
                let has_admin = tokens.iter().any(|known| known.role == Role::Admin && known.is_valid(now));
                let dir = data_dir.clone();
                match tokio::task::spawn_blocking(move || bootstrap(&dir, has_admin)).await {
                    Ok(Ok(bootstrap)) => return (tokens, bootstrap),
                    Ok(Err(fault)) => warn!("the bootstrap token: {fault}"),
                    Err(fault) => warn!("the bootstrap token: {fault}"),
                }
            }
            Err(fault) => warn!("the tokens cannot be read yet: {fault}"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

fn bootstrap(data_dir: &std::path::Path, has_admin: bool) -> Result<Option<Digest>, SecretError> {
    if has_admin {
        remove_admin_token(data_dir).map(|()| None)
    } else {
        admin_token_hash(data_dir).map(|hash| Some(Digest(hash)))
    }
}

fn fresh() -> Result<Fresh, AccessError> {
    let failed = |fault: SecretError| AccessError::NoRandom { detail: fault.to_string() };
    Ok(Fresh::of(random().map_err(failed)?, random().map_err(failed)?))
}

fn key() -> Result<String, AccessError> {
    let bytes: [u8; 32] = random().map_err(|fault| AccessError::NoRandom { detail: fault.to_string() })?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

impl Actor for Access {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        let clerk = self.clerk.clone();
        let reading = async move {
            let (tokens, bootstrap) = read(&clerk.database, &clerk.node, clerk.data_dir.clone()).await;
            clerk.loaded(tokens, bootstrap);
        };
        ctx.spawn(reading.into_actor(self));
    }
}

impl Handler<CreateToken> for Access {
    type Result = ResponseActFuture<Self, Result<Created, AccessError>>;

    fn handle(&mut self, asked: CreateToken, _: &mut Ctx<Self>) -> Self::Result {
        Box::pin(self.clerk.clone().create(asked).into_actor(self))
    }
}

fn deed(by: &str, op: &'static str, known: &Known) -> Deed {
    let expires = known.expires.map_or_else(|| "never expires".to_owned(), |at| format!("expires {}", at.to_rfc3339()));
    Deed {
        actor: by.to_owned(),
        op,
        subject: format!("token/{}", known.id),
        outcome: "ok",
        detail: Some(format!("{} `{}`, {expires}", known.role, known.name)),
    }
}

impl Handler<RevokeToken> for Access {
    type Result = ResponseActFuture<Self, Result<bool, AccessError>>;

    fn handle(&mut self, asked: RevokeToken, _: &mut Ctx<Self>) -> Self::Result {
        Box::pin(self.clerk.clone().revoke(asked).into_actor(self))
    }
}

impl Handler<OpenSession> for Access {
    type Result = ResponseActFuture<Self, Result<String, AccessError>>;

    fn handle(&mut self, OpenSession { token }: OpenSession, _: &mut Ctx<Self>) -> Self::Result {
        let clerk = self.clerk.clone();
        let now = clock::wall();
        let opened = key().and_then(|key| {
            let open = |book: &mut Book| {
                let who = book.admit(&token, now)?;
                book.open_session(&key, &who, now);
                Some(who)
            };
            let who = self.clerk.change(open).ok_or(AccessError::NotLoaded)?.ok_or(AccessError::NotAdmitted)?;
            Ok((key, who))
        });
        let noting = async move {
            let (key, who) = opened?;
            let (actor, subject) = (who.to_string(), format!("node/{}", clerk.scribe.node));
            let detail = Some(format!("{} `{}`", who.role, who.name));
            clerk.scribe.note_or_later(Deed { actor, op: "session.opened", subject, outcome: "ok", detail }).await;
            Ok(key)
        };
        Box::pin(noting.into_actor(self))
    }
}

impl Handler<CloseSession> for Access {
    type Result = bool;

    fn handle(&mut self, CloseSession { key }: CloseSession, _: &mut Ctx<Self>) -> bool {
        self.clerk.change(|book| book.close_session(&key)).unwrap_or(false)
    }
}

impl Handler<IssueTicket> for Access {
    type Result = Result<String, AccessError>;

    fn handle(&mut self, IssueTicket { to }: IssueTicket, _: &mut Ctx<Self>) -> Self::Result {
        let ticket = key()?;
        self.clerk.change(|book| book.issue_ticket(&ticket, &to, clock::wall())).ok_or(AccessError::NotLoaded)?;
        Ok(ticket)
    }
}

impl Handler<RedeemTicket> for Access {
    type Result = actix::MessageResult<RedeemTicket>;

    fn handle(&mut self, RedeemTicket { ticket }: RedeemTicket, _: &mut Ctx<Self>) -> Self::Result {
        actix::MessageResult(self.clerk.change(|book| book.redeem_ticket(&ticket, clock::wall())).flatten())
    }
}
