//! `GET /stream`: the live feed over a WebSocket. The session only carries frames; the hub decides what is sent.
//!
//! Each connection is a guest among those that may be open at once; one more is refused before the handshake is
//! answered. It may be opened with a bearer token, with the cookie of a session from one of our own pages, or with a ticket.
use std::time::{Duration, Instant};

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Handler, StreamHandler, WrapFuture};
use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::web::{Data, Payload, Query};
use actix_web_actors::ws::{CloseCode, CloseReason, Message, ProtocolError, WebsocketContext, WsResponseBuilder};
use schemars::JsonSchema;
use serde::Deserialize;
use tracing::debug;

use crate::access::book::Grant;
use crate::clock;
use crate::feed::protocol::{Close, SUB_PROTOCOL};
use crate::messages::access::RedeemTicket;
use crate::messages::guests::{Adopt, Stay};
use crate::messages::hub::{Deliver, HasRead, Join, Leave, Said};
use crate::messages::port::{AskError, Port};
use crate::web::auth::{Admission, caller, is_own_page};
use crate::web::error::ApiError;

/// The largest frame that is taken from a client.
const FRAME: usize = 64 * 1024;
/// How long the handshake may wait for a place.
const SEATED_WITHIN: Duration = Duration::from_secs(5);
/// Between two looks at whether token and session still hold and the hub still sends.
const LOOK: Duration = Duration::from_secs(2);
/// The hub sends every second; silence for so long means that it was started anew and does not know us.
const SILENCE: Duration = Duration::from_secs(6);

/// What this route needs.
#[derive(Clone)]
pub struct Stream {
    pub join: Port<Join>,
    pub said: Port<Said>,
    pub read: Port<HasRead>,
    pub leave: Port<Leave>,
    pub redeem: Port<RedeemTicket>,
    /// Takes a connection in among those that may be open at once.
    pub adopt: Port<Adopt>,
    /// How many those are.
    pub most: usize,
}

#[derive(Deserialize, JsonSchema)]
pub struct How {
    /// Of `POST /api/v1/stream-tickets`, for clients that can send neither header nor cookie.
    ticket: Option<String>,
}

pub async fn open(
    deps: Data<Stream>,
    admission: Data<Admission>,
    how: Query<How>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let grant = match &how.ticket {
        Some(ticket) => {
            let redeemed = deps.redeem.ask(RedeemTicket { ticket: ticket.clone() }).await?;
            redeemed.ok_or(ApiError::NoToken)?
        }
        None => {
            let caller = caller(&request)?;
            // A browser opens a WebSocket to anybody and sends the cookie along: only our own pages may.
            if (caller.session.is_some() || request.headers().contains_key("origin")) && !is_own_page(&request) {
                return Err(ApiError::ForeignOrigin);
            }
            Grant::from(caller)
        }
    };
    let guest = Adopt { kind: "session", label: grant.who.name.clone() };
    let stay = deps.adopt.ask_within(guest, SEATED_WITHIN).await.map_err(|refusal| match refusal {
        AskError::Overloaded => ApiError::TooManySessions { limit: deps.most },
        other => other.into(),
    })?;
    let (deps, admission) = ((**deps).clone(), (**admission).clone());
    let session = Session { deps, admission, grant, stay, number: None, heard: clock::now() };
    WsResponseBuilder::new(session, &request, payload.into_inner())
        .protocols(&[SUB_PROTOCOL])
        .frame_size(FRAME)
        .start()
        .map_err(|fault| ApiError::BadRequest(format!("this address is for WebSocket connections: {fault}")))
}

/// One connection.
struct Session {
    deps: Stream,
    admission: Admission,
    /// Holds as long as the token, and the session if it came by one.
    grant: Grant,
    /// Its place; given back when the connection ends, however it does.
    stay: Stay,
    /// The hub's number for it, once it has joined.
    number: Option<u64>,
    /// When the hub last sent something.
    heard: Instant,
}

impl Session {
    fn end(&self, close: Close, ctx: &mut WebsocketContext<Self>) {
        ctx.close(Some(CloseReason { code: CloseCode::Other(close.code()), description: Some(close.reason().into()) }));
        ctx.stop();
    }

    fn look(&self, ctx: &mut WebsocketContext<Self>) {
        let holds = self.admission.book().is_ok_and(|book| book.still_admits(&self.grant, clock::wall()));
        if !holds {
            return self.end(Close::Expired, ctx);
        }
        if clock::now().saturating_duration_since(self.heard) > SILENCE {
            ctx.close(Some(CloseReason { code: CloseCode::Restart, description: Some("come again".into()) }));
            ctx.stop();
        }
    }
}

impl Actor for Session {
    type Context = WebsocketContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let told = self.stay.told_to_go();
        ctx.spawn(told.into_actor(self).map(|(), session, ctx| session.end(Close::Away, ctx)));
        let join = self.deps.join.clone();
        let to = ctx.address().recipient();
        let joining = async move { join.ask(Join { to }).await };
        // Nothing is read from the client before the hub knows of it.
        ctx.wait(joining.into_actor(self).map(|joined, session, ctx| match joined {
            Ok(number) => session.number = Some(number),
            Err(fault) => {
                debug!("a watcher cannot join: {fault}");
                ctx.close(Some(CloseReason { code: CloseCode::Again, description: Some(fault.to_string()) }));
                ctx.stop();
            }
        }));
        ctx.run_interval(LOOK, |session, ctx| session.look(ctx));
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        if let Some(watcher) = self.number
            && let Err(fault) = self.deps.leave.try_tell(Leave { watcher })
        {
            // The hub finds out by itself: nothing is read any more.
            debug!("the hub is not told that a watcher went: {fault}");
        }
    }
}

impl StreamHandler<Result<Message, ProtocolError>> for Session {
    fn handle(&mut self, item: Result<Message, ProtocolError>, ctx: &mut Self::Context) {
        let Some(watcher) = self.number else { return ctx.stop() };
        let told = match item {
            Ok(Message::Text(text)) => self.deps.said.try_tell(Said { watcher, text: text.to_string() }),
            Ok(Message::Ping(bytes)) => {
                ctx.pong(&bytes);
                Ok(())
            }
            Ok(Message::Pong(bytes)) => match std::str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok()) {
                Some(batch) => self.deps.read.try_tell(HasRead { watcher, batch }),
                None => Ok(()),
            },
            Ok(Message::Close(reason)) => {
                ctx.close(reason);
                return ctx.stop();
            }
            Ok(Message::Nop) => Ok(()),
            Ok(Message::Binary(_) | Message::Continuation(_)) | Err(_) => return self.end(Close::Protocol, ctx),
        };
        if let Err(fault) = told {
            debug!("the hub does not hear a watcher: {fault}");
        }
    }
}

impl Handler<Deliver> for Session {
    type Result = ();

    fn handle(&mut self, deliver: Deliver, ctx: &mut Self::Context) {
        self.heard = clock::now();
        match deliver {
            Deliver::Batch { frames, ping } => {
                frames.into_iter().for_each(|frame| ctx.text(frame));
                ctx.ping(ping.to_string().as_bytes());
            }
            Deliver::Close(close) => self.end(close, ctx),
        }
    }
}
