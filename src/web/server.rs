//! The HTTP server: takes a bound socket, serves until told to stop.
use std::any::Any;
use std::io;
use std::net::TcpListener;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use actix_rt::net::TcpStream;
use actix_web::App;
use actix_web::Error;
use actix_web::HttpServer;
use actix_web::body::MessageBody;
use actix_web::dev::{Server, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::{Next, from_fn};
use futures_util::FutureExt;

use crate::web::error::ApiError;
use crate::web::hosts::require_host;
use crate::web::pages::guarding_headers;
use crate::web::routes::Edges;
use crate::web::routes::configure;

/// Enough for one host: what takes time is awaited, and hashing happens elsewhere.
const WORKERS: usize = 2;
/// Connections beyond this wait in the backlog.
const CONNECTIONS_PER_WORKER: usize = 2_048;
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// For the head of a request to arrive.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// For a client to take what was sent to it.
const STALLED_MS: u32 = 8_000;
/// For open requests to be answered once a stop is asked for.
const STOP_WITHIN_S: u64 = 10;

/// The server, not yet running: await it, and stop it through its `handle()`, gracefully with `stop(true)`.
pub fn server(listener: TcpListener, edges: Edges) -> io::Result<Server> {
    let server = HttpServer::new(move || service(edges.clone()))
        .workers(WORKERS)
        .max_connections(CONNECTIONS_PER_WORKER)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_WITHIN)
        .client_disconnect_timeout(Duration::from_secs(5))
        .shutdown_timeout(STOP_WITHIN_S)
        .disable_signals()
        .on_connect(|connection, _| drop_stalled(connection))
        .listen(listener)?;
    Ok(server.run())
}

/// A client that has stopped reading is cut off by the kernel: nothing else can end a write that waits for it.
fn drop_stalled(connection: &dyn Any) {
    let Some(stream) = connection.downcast_ref::<TcpStream>() else { return };
    if let Err(fault) = rustix::net::sockopt::set_tcp_user_timeout(stream, STALLED_MS) {
        tracing::debug!("a connection gets no time limit: {fault}");
    }
}

/// All routes behind the guards that hold for each of them.
pub fn service(
    edges: Edges,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    App::new()
        .configure(|config| configure(config, edges))
        .wrap(from_fn(require_host))
        .wrap(from_fn(survive))
        .wrap(guarding_headers())
}

/// Turns a panic into an answer: without this the connection would be cut without a word.
async fn survive<B: MessageBody>(request: ServiceRequest, next: Next<B>) -> Result<ServiceResponse<B>, Error> {
    let place = format!("{} {}", request.method(), request.path());
    // The request and all it borrows are dropped with the unwound future; shared parts are ports, which hold no lock.
    AssertUnwindSafe(next.call(request)).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!("the handler of `{place}` panicked");
        Err(ApiError::Panicked.into())
    })
}
