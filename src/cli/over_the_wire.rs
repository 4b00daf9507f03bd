//! The client against the server over a real socket: both sides agree on the shapes, and failures arrive as such.
use std::net::TcpListener;

use actix_web::dev::ServerHandle;
use serde_json::json;

use crate::api::run::RunStatus;
use crate::cli::fail::Failure;
use crate::client::calls::RunFilter;
use crate::client::error::ClientError;
use crate::client::find::Target;
use crate::client::find::Token;
use crate::client::http::Client;
use crate::ids::Digest;
use crate::messages::port::Port;
use crate::web::fakes::TOKEN;
use crate::web::fakes::{edges, good, run, stored};
use crate::web::routes::Edges;
use crate::web::server::server;
use crate::workflow::record::RunPage;
use crate::workflow::record::StoredEntry;

fn serve(edges: Edges) -> (String, ServerHandle) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let server = server(listener, edges).expect("it listens");
    let handle = server.handle();
    actix_rt::spawn(server);
    (url, handle)
}

fn client(url: &str, token: &str) -> Client {
    Client::new(Target { url: url.to_owned(), token: Some(Token::new(token)) })
}

#[actix_rt::test]
async fn client_and_service_agree_on_every_shape() {
    let mut edges = edges();
    edges.workflows.start = Port::answering(|_| Ok(Ok(run().id())));
    edges.workflows.load = Port::answering(|_| Ok(Ok(Some(stored()))));
    edges.workflows.steer = Port::answering(|_| Ok(Ok(true)));
    edges.workflows.list = Port::answering(|_| Ok(Ok(RunPage { runs: Vec::new(), next: None })));
    edges.audit.entries = Port::answering(|_| {
        let leaf = br#"{"actor":"PACER"}"#.to_vec();
        Ok(Ok(vec![StoredEntry { index: 0, leaf, leaf_hash: Digest([1; 32]) }]))
    });
    let (url, handle) = serve(edges);
    let client = client(&url, TOKEN);
    let accepted = client.submit(&good()).await.expect("accepted");
    let id = accepted.workflow_id.to_string();
    assert_eq!(client.run_within(&id, 1).await.expect("a run").status, RunStatus::Cancelled);
    assert_eq!(client.check(&good()).await.expect("checked").steps.len(), 1);
    assert!(client.cancel(&id, false).await.expect("an answer").cancelling);
    assert!(client.runs(&RunFilter { limit: 5, ..RunFilter::default() }).await.expect("a page").workflows.is_empty());
    assert_eq!(client.supervision().await.expect("a tree").name, "root");
    assert_eq!(client.head().await.expect("a head").size, 3);
    assert_eq!(client.entries(0, 10).await.expect("entries").entries.len(), 1);
    assert!(client.agents().await.expect("a list").agents.is_empty());
    assert!(client.tools().await.expect("a list").tools.is_empty());
    assert_eq!(client.playbooks().await.expect("a list").playbooks.len(), 1);
    assert!(client.readiness().await.expect("readiness").ready);
    handle.stop(true).await;
}

#[actix_rt::test]
async fn failures_arrive_with_the_exit_status_of_the_contract() {
    let mut edges = edges();
    edges.supervision.tree = Port::answering(|_| panic!("a fault of this test"));
    let (url, handle) = serve(edges);
    let right = client(&url, TOKEN);
    let check = |error: ClientError, exit: u8, part: &str| {
        let failure = Failure::from(error);
        assert_eq!(failure.exit as u8, exit, "{}", failure.message);
        assert!(failure.message.contains(part), "no {part:?} in {}", failure.message);
    };
    check(right.submit(&json!({})).await.expect_err("a faulty document"), 1, "a workflow needs `steps`");
    check(client(&url, "wrong").tools().await.expect_err("a wrong token"), 4, "token is needed");
    // More often than there are workers: each survives.
    for _ in 0..5 {
        check(right.supervision().await.expect_err("a panic"), 1, "fault in the service");
    }
    handle.stop(true).await;
    check(right.tools().await.expect_err("nobody listens"), 3, "start it with `dsmil serve`");
}
