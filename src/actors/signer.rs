//! The signer: the only one to use the TPM. It hands requests to the thread that owns the connection and never waits
//! for it without a deadline. When the TPM hangs or is gone it ends itself, and is started anew with a new thread.
use std::time::Duration;

use actix::fut::ActorFutureExt as _;
use actix::fut::WrapFuture as _;
use actix::{Actor, ActorContext as _, AsyncContext as _, Handler, ResponseActFuture, Running};

use crate::actors::context::Ctx;
use crate::ids::Digest;
use crate::messages::port::Port;
use crate::messages::signer::GetLogKey;
use crate::messages::signer::GetRandom;
use crate::messages::signer::LogKey;
use crate::messages::signer::QuotePcrs;
use crate::messages::signer::ReadPcrs;
use crate::messages::signer::SignDigest;
use crate::messages::signer::SignError;
use crate::messages::tpm::LocateTpm;
use crate::messages::tpm::ReportHung;
use crate::toolkit::cx::Quote;
use crate::toolkit::cx::Signed;
use crate::tpm::error::TpmError;
use crate::tpm::open::Identity;
use crate::tpm::open::Tpm;
use crate::tpm::thread::TpmThread;

/// How long the TPM may take.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// For the connection; the first one makes the keys, which takes a chip seconds.
    pub open: Duration,
    /// For one operation, once it is its turn.
    pub request: Duration,
    /// For the farewell.
    pub close: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Deadlines { open: seconds(30), request: seconds(5), close: seconds(2) }
    }
}

pub struct Signer {
    locate: Port<LocateTpm>,
    hung: Port<ReportHung>,
    deadlines: Deadlines,
    open: Option<Open>,
}

struct Open {
    thread: TpmThread,
    identity: Identity,
}

type Answer<T> = ResponseActFuture<Signer, Result<T, SignError>>;

impl Signer {
    pub fn new(locate: Port<LocateTpm>, hung: Port<ReportHung>, deadlines: Deadlines) -> Self {
        Signer { locate, hung, deadlines, open: None }
    }

    fn opened(&mut self, opened: Result<Open, SignError>, ctx: &mut Ctx<Self>) {
        match opened {
            Ok(open) => {
                let Identity { manufacturer, trust, .. } = &open.identity;
                tracing::info!(%manufacturer, ?trust, "the TPM is open: {manufacturer}, reported as {trust:?}");
                self.open = Some(open);
                ctx.ready();
            }
            Err(error) => self.give_up(&error, ctx),
        }
    }

    /// Has one operation done on the TPM's thread.
    fn ask<T, W>(&self, operation: &'static str, work: W) -> Answer<T>
    where
        T: Send + 'static,
        W: FnOnce(&mut Tpm) -> Result<T, TpmError> + Send + 'static,
    {
        let (thread, within) = (self.open.as_ref().map(|open| open.thread.clone()), self.deadlines.request);
        let answer = async move {
            let thread = thread.ok_or_else(not_open)?;
            thread.run(operation, within, work).await.map_err(SignError::from)
        };
        Box::pin(answer.into_actor(self).map(|answer, signer, ctx| {
            if let Err(error @ (SignError::Hung { .. } | SignError::Gone { .. })) = &answer {
                signer.give_up(error, ctx);
            }
            answer
        }))
    }

    /// Ends this life. The thread is left behind: it may be stuck for ever.
    fn give_up(&mut self, error: &SignError, ctx: &mut Ctx<Self>) {
        self.open = None;
        if let SignError::Hung { .. } = error
            && let Err(unheard) = self.hung.try_tell(ReportHung { detail: error.to_string() })
        {
            tracing::warn!(%unheard, "nobody hears that the TPM hangs");
        }
        ctx.fail(error.to_string());
    }
}

async fn open(locate: Port<LocateTpm>, within: Duration) -> Result<Open, SignError> {
    let address = locate.ask_within(LocateTpm, within).await;
    let address = address.map_err(|error| SignError::Gone { detail: error.to_string() })??;
    let (thread, identity) = TpmThread::open(address.tcti, address.emulator.is_some(), within).await?;
    Ok(Open { thread, identity })
}

fn not_open() -> SignError {
    SignError::Gone { detail: "it is not open yet".to_owned() }
}

impl From<TpmError> for SignError {
    fn from(error: TpmError) -> Self {
        match error {
            TpmError::Refused { operation, detail } => SignError::Refused { operation, detail },
            TpmError::Hung { operation, waited_ms } => SignError::Hung { operation, waited_ms },
            TpmError::Gone { detail } => SignError::Gone { detail },
            TpmError::Busy => SignError::Busy,
            TpmError::Invalid { .. } => SignError::Invalid { detail: error.to_string() },
            TpmError::HandleTaken { .. } => {
                SignError::Refused { operation: "find the keys", detail: error.to_string() }
            }
            TpmError::Stranger { operation } => SignError::Gone { detail: format!("`{operation}`: {error}") },
        }
    }
}

impl Actor for Signer {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        let opened = open(self.locate.clone(), self.deadlines.open);
        ctx.spawn(opened.into_actor(self).map(|opened, signer, ctx| signer.opened(opened, ctx)));
    }

    fn stopping(&mut self, ctx: &mut Ctx<Self>) -> Running {
        // A runtime that is being dropped has no time to wait in.
        let no_time = tokio::runtime::Handle::try_current().is_err();
        let Some(open) = self.open.take().filter(|_| !no_time) else { return Running::Stop };
        let closed = open.thread.close(self.deadlines.close);
        ctx.spawn(closed.into_actor(self).map(|closed, _, ctx| {
            if let Err(error) = closed {
                tracing::warn!(%error, "the TPM was not shut down in good order: {error}");
            }
            ctx.stop();
        }));
        Running::Continue
    }
}

impl Handler<SignDigest> for Signer {
    type Result = Answer<Signed>;

    fn handle(&mut self, SignDigest(digest): SignDigest, _: &mut Ctx<Self>) -> Self::Result {
        self.ask("sign a digest", move |tpm| tpm.sign(digest))
    }
}

impl Handler<QuotePcrs> for Signer {
    type Result = Answer<Quote>;

    fn handle(&mut self, QuotePcrs { nonce, pcrs }: QuotePcrs, _: &mut Ctx<Self>) -> Self::Result {
        self.ask("quote PCRs", move |tpm| tpm.quote(&nonce, &pcrs))
    }
}

impl Handler<ReadPcrs> for Signer {
    type Result = Answer<Vec<(u8, Digest)>>;

    fn handle(&mut self, ReadPcrs(pcrs): ReadPcrs, _: &mut Ctx<Self>) -> Self::Result {
        self.ask("read PCRs", move |tpm| tpm.read_pcrs(&pcrs))
    }
}

impl Handler<GetRandom> for Signer {
    type Result = Answer<Vec<u8>>;

    fn handle(&mut self, GetRandom { bytes }: GetRandom, _: &mut Ctx<Self>) -> Self::Result {
        self.ask("get random bytes", move |tpm| tpm.random(bytes))
    }
}

impl Handler<GetLogKey> for Signer {
    type Result = Result<LogKey, SignError>;

    fn handle(&mut self, _: GetLogKey, _: &mut Ctx<Self>) -> Self::Result {
        let identity = &self.open.as_ref().ok_or_else(not_open)?.identity;
        let (spki, manufacturer) = (identity.log_spki.clone(), identity.manufacturer.clone());
        Ok(LogKey { spki, trust: identity.trust, manufacturer })
    }
}
