//! PostgreSQL as a child: its death is the actor's, its readiness too.
use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Running, WrapFuture};
use tokio::sync::oneshot;

use crate::actors::context::Ctx;
use crate::store::cluster::Cluster;
use crate::store::cluster::ClusterError;
use crate::store::cluster::ClusterSpec;
use crate::toolkit::causes::with_causes;

/// One life of the server. A life that is cut off leaves its server running; the next one ends it and starts anew.
pub struct Postgres {
    spec: ClusterSpec,
    /// Created when it is missing.
    database: String,
    phase: Phase,
}

enum Phase {
    Starting { stop_asked: bool },
    Running { stop: oneshot::Sender<()> },
    Stopping,
    Ended,
}

impl Postgres {
    pub fn new(spec: ClusterSpec, database: impl Into<String>) -> Self {
        Postgres { spec, database: database.into(), phase: Phase::Starting { stop_asked: false } }
    }

    /// The server answers: say so, and watch over it.
    fn attend(&mut self, cluster: Cluster, ctx: &mut Ctx<Self>) {
        let (stop, stopped) = oneshot::channel();
        let watch = watch(cluster, stopped).into_actor(self);
        ctx.spawn(watch.map(|end, actor, ctx| actor.end(end, ctx)));
        match self.phase {
            Phase::Starting { stop_asked: false } => {
                self.phase = Phase::Running { stop };
                ctx.ready();
            }
            // `stop` is dropped here, which tells the watch as well as sending does.
            Phase::Starting { stop_asked: true } | Phase::Running { .. } | Phase::Stopping | Phase::Ended => {
                self.phase = Phase::Stopping;
            }
        }
    }

    fn end(&mut self, end: Result<(), String>, ctx: &mut Ctx<Self>) {
        self.phase = Phase::Ended;
        match end {
            Ok(()) => ctx.stop(),
            Err(reason) => ctx.fail(reason),
        }
    }
}

impl Actor for Postgres {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        let start = start(self.spec.clone(), self.database.clone()).into_actor(self);
        ctx.spawn(start.map(|started, actor, ctx| match started {
            Ok(cluster) => actor.attend(cluster, ctx),
            Err(error) => actor.end(Err(with_causes(&error)), ctx),
        }));
    }

    fn stopping(&mut self, _: &mut Ctx<Self>) -> Running {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Ended => return Running::Stop,
            // A server that is half started could not be stopped: it is stopped as soon as it runs.
            Phase::Starting { .. } => Phase::Starting { stop_asked: true },
            Phase::Running { stop } => {
                if stop.send(()).is_err() {
                    tracing::debug!("postgres ended before it was told to");
                }
                Phase::Stopping
            }
            Phase::Stopping => Phase::Stopping,
        };
        Running::Continue
    }
}

async fn start(spec: ClusterSpec, database: String) -> Result<Cluster, ClusterError> {
    let cluster = Cluster::start(&spec).await?;
    match cluster.ensure_database(&database).await {
        Ok(_) => Ok(cluster),
        Err(error) => {
            cluster.stop().await?;
            Err(error)
        }
    }
}

/// Waits for the server's end; stops it when `stopped` resolves.
async fn watch(mut cluster: Cluster, stopped: oneshot::Receiver<()>) -> Result<(), String> {
    tokio::select! {
        reason = cluster.wait() => return Err(reason),
        _ = stopped => {}
    }
    cluster.stop().await.map_err(|error| with_causes(&error))
}
