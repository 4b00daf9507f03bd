//! The keeper of the TPM: finds it, or starts an emulator as a child and ends when that does.
//!
//! ```text
//! starting --device or TCTI--> serving
//! starting --swtpm is up-----> serving --swtpm ended----------> failed (started anew, with all that depends on it)
//!                                      --reported as hung-----> failed
//!                                      --told to stop---------> swtpm is asked to end, then stopped
//! ```
use std::path::PathBuf;
use std::time::Duration;

use actix::fut::ActorFutureExt as _;
use actix::fut::WrapFuture as _;
use actix::{Actor, ActorContext as _, AsyncContext as _, Handler, Running};
use tokio::sync::oneshot;

use crate::actors::context::Ctx;
use crate::messages::signer::SignError;
use crate::messages::tpm::LocateTpm;
use crate::messages::tpm::ReportHung;
use crate::messages::tpm::TpmAddress;
use crate::toolkit::causes::with_causes;
use crate::toolkit::tpm_choice::TpmChoice;
use crate::tpm::backend::Backend;
use crate::tpm::swtpm::Swtpm;

/// How long swtpm may take to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(2);

pub struct TpmKeeper {
    choice: TpmChoice,
    state: PathBuf,
    address: Option<TpmAddress>,
    /// Ends the emulator, after the patience sent.
    leave: Option<oneshot::Sender<Duration>>,
}

enum Started {
    Elsewhere(String),
    Ours(Swtpm),
}

impl TpmKeeper {
    /// `state` is the directory for the emulator's state, if one is needed.
    pub fn new(choice: TpmChoice, state: PathBuf) -> Self {
        TpmKeeper { choice, state, address: None, leave: None }
    }

    fn began(&mut self, started: Result<Started, String>, ctx: &mut Ctx<Self>) {
        match started {
            Err(reason) => return ctx.fail(reason),
            Ok(Started::Elsewhere(tcti)) => self.address = Some(TpmAddress { tcti, emulator: None }),
            Ok(Started::Ours(swtpm)) => {
                self.address = Some(TpmAddress { tcti: swtpm.tcti(), emulator: Some(swtpm.pid()) });
                let (leave, told) = oneshot::channel();
                self.leave = Some(leave);
                ctx.spawn(keep(swtpm, told).into_actor(self).map(Self::ended));
            }
        }
        ctx.ready();
    }

    fn ended(ended: Option<String>, keeper: &mut Self, ctx: &mut Ctx<Self>) {
        (keeper.leave, keeper.address) = (None, None);
        match ended {
            Some(reason) => ctx.fail(format!("swtpm ended: {reason}")),
            None => ctx.stop(),
        }
    }
}

async fn start(choice: TpmChoice, state: PathBuf) -> Result<Started, String> {
    match Backend::of(&choice).map_err(|error| with_causes(&error))? {
        Backend::Tcti(tcti) => Ok(Started::Elsewhere(tcti)),
        Backend::Swtpm => Swtpm::start(&state).await.map(Started::Ours).map_err(|error| with_causes(&error)),
    }
}

/// Lives as long as the emulator does. Answers why it ended, if it was not told to.
async fn keep(mut swtpm: Swtpm, told: oneshot::Receiver<Duration>) -> Option<String> {
    let patience = tokio::select! {
        reason = swtpm.ended() => return Some(reason),
        patience = told => patience.unwrap_or(PATIENCE),
    };
    swtpm.stop(patience).await;
    None
}

impl Actor for TpmKeeper {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        let started = start(self.choice.clone(), self.state.clone());
        ctx.spawn(started.into_actor(self).map(|started, keeper, ctx| keeper.began(started, ctx)));
    }

    fn stopping(&mut self, _: &mut Ctx<Self>) -> Running {
        match self.leave.take().map(|leave| leave.send(PATIENCE)) {
            Some(Ok(())) => Running::Continue,
            // There is no emulator, or it has ended, or is about to: dropping it kills it.
            Some(Err(_)) | None => Running::Stop,
        }
    }
}

impl Handler<LocateTpm> for TpmKeeper {
    type Result = Result<TpmAddress, SignError>;

    fn handle(&mut self, _: LocateTpm, _: &mut Ctx<Self>) -> Self::Result {
        self.address.clone().ok_or_else(|| SignError::Gone { detail: "it is not started yet".to_owned() })
    }
}

impl Handler<ReportHung> for TpmKeeper {
    type Result = ();

    fn handle(&mut self, ReportHung { detail }: ReportHung, ctx: &mut Ctx<Self>) {
        // A stopped process does not hear that it should end: it is killed when this actor is dropped.
        self.leave = None;
        ctx.fail(detail);
    }
}
