//! The peer: DBOS for Rust behind actix-web, with its own defaults, as a process of its own.
//!
//! `POST /{workload}/{id}/run` answers when the workflow has ended, `start` when it is durable, `wait` when one that was
//! started has ended; `POST /open` tells how many have not.
use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, web};
use dbos::sysdb::types::{WorkflowFilter, WorkflowStatus};
use dbos::{Config, DBOS, StartOptions, WorkflowHandle, WorkflowRef};
use futures_util::future::try_join_all;
use serde_json::json;

use crate::client::{BRANCHES, STEP_S, STEPS, Workload};

struct Server {
    dbos: DBOS,
    sequence: WorkflowRef<String, Vec<u64>>,
    fan_out: WorkflowRef<String, Vec<u64>>,
    slow: WorkflowRef<String, Vec<u64>>,
}

async fn echo(n: u64) -> dbos::Result<u64> {
    Ok(n)
}

async fn sequence(_: String) -> dbos::Result<Vec<u64>> {
    let mut results = Vec::new();
    for n in 1..=STEPS as u64 {
        results.push(dbos::step(&format!("step{n}"), || echo(n)).await?);
    }
    Ok(results)
}

async fn fan_out(_: String) -> dbos::Result<Vec<u64>> {
    let steps = (1..=BRANCHES as u64).map(|n| dbos::step(&format!("step{n}"), move || echo(n)));
    try_join_all(steps.collect::<Vec<_>>()).await
}

async fn slow(_: String) -> dbos::Result<Vec<u64>> {
    let mut results = Vec::new();
    for n in 1..=STEPS as u64 {
        results.push(dbos::step(&format!("step{n}"), || echo(n)).await?);
        dbos::sleep(Duration::from_secs(STEP_S)).await?;
    }
    Ok(results)
}

async fn answer(server: web::Data<Server>, path: web::Path<(String, String, String)>) -> HttpResponse {
    let (workload, id, mode) = path.into_inner();
    let answered = match mode.as_str() {
        "wait" => result(server.dbos.retrieve_workflow(&id)).await,
        _ => start(&server, &workload, &id, mode == "run").await,
    };
    answered.unwrap_or_else(|fault| HttpResponse::InternalServerError().body(fault.to_string()))
}

async fn start(server: &Server, workload: &str, id: &str, wait: bool) -> dbos::Result<HttpResponse> {
    let workflow = match workload {
        name if name == Workload::FanOut.name() => &server.fan_out,
        name if name == Workload::Slow.name() => &server.slow,
        _ => &server.sequence,
    };
    let options = StartOptions { workflow_id: Some(id), ..Default::default() };
    let handle = workflow.start_with(id.to_owned(), options).await?;
    match wait {
        true => result(Ok(handle)).await,
        false => Ok(HttpResponse::Accepted().json(json!({ "workflow_id": id }))),
    }
}

async fn result(handle: dbos::Result<WorkflowHandle<Vec<u64>>>) -> dbos::Result<HttpResponse> {
    let results: Vec<u64> = handle?.result().await?;
    Ok(HttpResponse::Ok().json(json!({ "results": results })))
}

async fn open(server: web::Data<Server>) -> HttpResponse {
    let filter = WorkflowFilter { status: vec![WorkflowStatus::Pending], ..Default::default() };
    match server.dbos.list_workflows(&filter).await {
        Ok(found) => HttpResponse::Ok().json(json!({ "open": found.len() })),
        Err(fault) => HttpResponse::InternalServerError().body(fault.to_string()),
    }
}

/// Serves until it is ended; says its port once it is ready.
pub async fn serve(database: String) -> Result<(), Box<dyn std::error::Error>> {
    let dbos = DBOS::new(Config {
        app_version: Some("1".into()),
        executor_id: Some("local".into()),
        ..Config::new("workflow-peers", database)
    });
    let server = Server {
        sequence: dbos.register_workflow("sequence", sequence)?,
        fan_out: dbos.register_workflow("fan-out", fan_out)?,
        slow: dbos.register_workflow("slow", slow)?,
        dbos,
    };
    server.dbos.launch().await?;
    let server = web::Data::new(server);
    let bound = HttpServer::new(move || {
        App::new()
            .app_data(server.clone())
            .route("/open", web::post().to(open))
            .route("/{workload}/{id}/{mode}", web::post().to(answer))
    })
    .workers(2)
    .bind(("127.0.0.1", 0))?;
    let port = bound.addrs().first().ok_or("no address")?.port();
    println!("{port}");
    bound.run().await?;
    Ok(())
}
