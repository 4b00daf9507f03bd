//! The HTTP server as a supervised child: serves while it lives, and fails when the server ends by itself.
use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use actix::fut::WrapFuture;
use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Running};
use actix_web::dev::{Server, ServerHandle};

use crate::actors::context::Ctx;

/// Makes the server on a socket that is bound already: each life gets a copy of it, so that no connection is refused
/// between two lives.
pub type MakeServer = dyn Fn(TcpListener) -> io::Result<Server> + Send + Sync;

pub struct HttpServer {
    listener: Arc<TcpListener>,
    make: Arc<MakeServer>,
    handle: Option<ServerHandle>,
    running: bool,
}

impl HttpServer {
    pub fn new(listener: Arc<TcpListener>, make: Arc<MakeServer>) -> Self {
        HttpServer { listener, make, handle: None, running: false }
    }
}

impl Actor for HttpServer {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        let server = match self.listener.try_clone().and_then(|listener| (self.make)(listener)) {
            Ok(server) => server,
            Err(error) => return ctx.fail(format!("the HTTP server cannot start: {error}")),
        };
        self.handle = Some(server.handle());
        self.running = true;
        ctx.spawn(server.into_actor(self).map(|ended, server, ctx| {
            server.running = false;
            let asked = server.handle.take().is_none();
            match ended {
                Ok(()) if asked => ctx.stop(),
                Ok(()) => ctx.fail("the HTTP server ended"),
                Err(error) => ctx.fail(format!("the HTTP server ended: {error}")),
            }
        }));
    }

    /// Open requests are answered before it goes.
    fn stopping(&mut self, ctx: &mut Ctx<Self>) -> Running {
        if let Some(handle) = self.handle.take() {
            ctx.spawn(handle.stop(true).into_actor(self));
            return Running::Continue;
        }
        if self.running { Running::Continue } else { Running::Stop }
    }
}
