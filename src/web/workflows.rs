//! `/workflows`: submit, list, look at and cancel runs.
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::{HeaderName, HeaderValue, LOCATION};
use actix_web::web::{Data, Path, Payload, Query};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::api;
use crate::api::run::RunStatus;
use crate::ids::NodeId;
use crate::ids::RunId;
use crate::messages::orchestrator::GetRun;
use crate::messages::orchestrator::StartError;
use crate::messages::orchestrator::StartRun;
use crate::messages::orchestrator::SteerRun;
use crate::messages::orchestrator::WatchRun;
use crate::messages::port::Port;
use crate::messages::store::FindSubmission;
use crate::messages::store::ListRuns;
use crate::messages::store::LoadRun;
use crate::web::auth::Caller;
use crate::web::body::json_body;
use crate::web::error::ApiError;
use crate::web::idempotency::{Key, REPLAYED};
use crate::web::run_shape::{checked, replayed, shape};
use crate::web::waiting::{self, Waited};
use crate::workflow::check::check;
use crate::workflow::fault::Fault;
use crate::workflow::record::KnownSubmission;
use crate::workflow::schema;
use crate::workflow::submission::Submission;
use crate::workflow::world::World;

/// What these routes need.
#[derive(Clone)]
pub struct Workflows {
    pub start: Port<StartRun>,
    pub get: Port<GetRun>,
    pub watch: Port<WatchRun>,
    pub steer: Port<SteerRun>,
    pub load: Port<LoadRun>,
    pub list: Port<ListRuns>,
    pub find: Port<FindSubmission>,
    /// What documents are checked against.
    pub world: Arc<World>,
    pub node: NodeId,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct How {
    /// Only check the workflow: all its faults, or 200 with the plan.
    #[serde(default)]
    dry_run: bool,
    /// Answer 200 with the run once it has ended; 202 if that takes longer than this, such as `30s`, 60 s at most.
    wait: Option<String>,
}

pub async fn submit(
    deps: Data<Workflows>,
    how: Query<How>,
    caller: Caller,
    key: Key,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let wait = how.wait.as_deref().map(waiting::granted).transpose()?;
    let document: Value = json_body(payload).await?;
    let by = caller.to_string();
    let submission = key.0.filter(|_| !how.dry_run).map(|key| Submission::new(key, &document));
    // Before the check: what was accepted once is so, even if the service would refuse it by now.
    if let Some(submission) = &submission
        && let Some(known) = find(&deps, &by, submission).await?
    {
        return repeated(submission, known.run, known.body == submission.body);
    }
    let plan = check(&document, &deps.world).map_err(faults)?;
    if how.dry_run {
        return Ok(HttpResponse::Ok().json(checked(&plan)));
    }
    let id = match (
        deps.start.ask(StartRun { plan, by, carried: Vec::new(), submission: submission.clone(), child: None }).await?,
        submission,
    ) {
        (Ok(id), _) => id,
        (Err(StartError::KeyTaken { run, same }), Some(submission)) => return repeated(&submission, run, same),
        (Err(refusal), _) => return Err(refusal.into()),
    };
    if let Some(wait) = wait {
        // From now on it is accepted, and no fault may hide its id.
        match ended(&deps, id, wait).await {
            Ok(Some(run)) => {
                let place = (LOCATION, format!("/api/v1/workflows/{id}"));
                return Ok(HttpResponse::Ok().insert_header(place).json(run));
            }
            Ok(None) => {}
            Err(fault) => tracing::debug!(run.id = %id, "run {id} is accepted and cannot be waited for: {fault}"),
        }
    }
    Ok(accepted(id, None))
}

async fn find(deps: &Workflows, by: &str, submission: &Submission) -> Result<Option<KnownSubmission>, ApiError> {
    let (principal, key) = (by.to_owned(), submission.key.clone());
    Ok(deps.find.ask(FindSubmission { principal, key }).await??)
}

/// The answer to a submission whose key has started a run already.
fn repeated(submission: &Submission, run: RunId, same: bool) -> Result<HttpResponse, ApiError> {
    if same { Ok(accepted(run, Some(REPLAYED))) } else { Err(ApiError::KeyReused { key: submission.key.clone(), run }) }
}

fn accepted(run: RunId, mark: Option<(HeaderName, HeaderValue)>) -> HttpResponse {
    let mut response = HttpResponse::Accepted();
    response.insert_header((LOCATION, format!("/api/v1/workflows/{run}")));
    if let Some(mark) = mark {
        response.insert_header(mark);
    }
    response.json(api::accepted::Accepted { workflow_id: run, status: RunStatus::Pending })
}

pub async fn schema() -> Result<HttpResponse, ApiError> {
    let schema = schema::schema().map_err(|cause| ApiError::Unreadable(format!("the workflow schema: {cause}")))?;
    Ok(HttpResponse::Ok().content_type("application/schema+json").json(schema))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Patience {
    /// Answer when the run has ended, or after so long; such as `30s`, 60 s at most.
    wait: Option<String>,
}

pub async fn show(
    deps: Data<Workflows>,
    id: Path<String>,
    patience: Query<Patience>,
) -> Result<HttpResponse, ApiError> {
    let run = run_id(&id)?;
    let waited = match &patience.wait {
        Some(wait) => ended(&deps, run, waiting::granted(wait)?).await?,
        None => None,
    };
    let shown = match waited {
        Some(ended) => ended,
        None => current(&deps, run).await?,
    };
    Ok(HttpResponse::Ok().json(shown))
}

/// The run, once it has ended; none: it has not within this time.
async fn ended(deps: &Workflows, run: RunId, wait: Duration) -> Result<Option<api::run::Run>, ApiError> {
    Ok(match waiting::until_ended(&deps.watch, run, wait).await? {
        Waited::Ended(ended) => Some(shape(&ended, deps.node.clone())),
        // Its runner is being started anew, unless it ended.
        Waited::NotOpen => Some(current(deps, run).await?).filter(|run| run.finished.is_some()),
        Waited::StillOpen => None,
    })
}

/// From the engine, which has every open run; else from the journal, which has all of them.
pub(super) async fn current(deps: &Workflows, run: RunId) -> Result<api::run::Run, ApiError> {
    match deps.get.ask(GetRun(run)).await {
        Ok(Some(open)) => return Ok(shape(&open, deps.node.clone())),
        Ok(None) => {}
        Err(cause) => tracing::debug!(run.id = %run, "the engine cannot tell of run {run}, asking the store: {cause}"),
    }
    replayed(deps.load.ask(LoadRun(run)).await??.ok_or_else(|| no_run(run))?)
}

fn faults(faults: Vec<Fault>) -> ApiError {
    let shown = |fault: Fault| api::problem::Fault { pointer: fault.pointer, detail: fault.detail };
    ApiError::Faults(faults.into_iter().map(shown).collect())
}

pub(super) fn run_id(text: &str) -> Result<RunId, ApiError> {
    text.parse().map_err(|cause: crate::ids::BadName| ApiError::BadRequest(cause.to_string()))
}

pub(super) fn no_run(run: RunId) -> ApiError {
    ApiError::NotFound(format!("there is no run `{run}`"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;
    use tokio::sync::watch;

    use super::*;
    use crate::messages::orchestrator::Progress;
    use crate::web::asked::{Answer, ask, request};
    use crate::web::fakes::{GOOD, edges, run, stored};
    use crate::web::routes::Edges;

    const ID: &str = "01900000-0000-7000-8000-000000000001";

    /// A service that starts every run as `ID`.
    fn accepting() -> Edges {
        let mut edges = edges();
        edges.workflows.start = Port::answering(|start: StartRun| {
            assert_eq!(start.by, "token:admin");
            Ok(Ok(ID.parse().expect("a run id")))
        });
        edges
    }

    async fn post(edges: Edges, body: impl Into<actix_web::web::Bytes>) -> Answer {
        ask(edges, request("POST /api/v1/workflows").set_payload(body)).await
    }

    #[actix_web::test]
    async fn a_durable_run_is_answered_with_where_to_look() {
        let answer = post(accepting(), GOOD).await;
        assert_eq!((answer.status, answer.header("location")), (202, format!("/api/v1/workflows/{ID}").as_str()));
        assert_eq!(answer.json(), json!({ "workflow_id": ID, "status": "pending" }));
    }

    #[actix_web::test]
    async fn a_dry_run_starts_nothing() {
        let asked = request("POST /api/v1/workflows?dry_run=true").set_payload(GOOD);
        let mut edges = accepting();
        edges.workflows.start = Port::answering(|_| panic!("a dry run was started"));
        let answer = ask(edges, asked).await;
        assert_eq!((answer.status, answer.json()["steps"][0]["id"].as_str()), (200, Some("only")));
    }

    #[actix_web::test]
    async fn bad_bodies_are_refused_with_what_is_wrong() {
        let steps = json!([{ "id": "a", "agent": "NOBODY" }, { "id": "b", "agent": "PACER", "tool": "no.such" }]);
        let faulty = post(edges(), json!({ "steps": steps, "modes": "dag" }).to_string()).await;
        assert_eq!(faulty.status, 422);
        let errors = faulty.json()["errors"].clone();
        let pointers: Vec<&str> =
            errors.as_array().expect("a list").iter().filter_map(|e| e["pointer"].as_str()).collect();
        assert_eq!(pointers.len(), 3, "{errors}");
        for pointer in ["/steps/0/agent", "/steps/1/tool", "/modes"] {
            assert!(pointers.contains(&pointer), "no {pointer} in {errors}");
        }
        let torn = post(edges(), "{\n  \"name\": }").await;
        assert_eq!(torn.status, 400);
        assert!(torn.json()["detail"].as_str().is_some_and(|text| text.contains("line 2, column 11")), "{}", torn.text);
        let large = post(edges(), vec![b' '; crate::web::body::LIMIT + 1]).await;
        assert_eq!((large.status, large.header("content-type")), (413, "application/problem+json"));
    }

    #[actix_web::test]
    async fn what_is_not_durable_is_not_accepted() {
        let mut edges = accepting();
        edges.workflows.start =
            Port::answering(|_| Ok(Err(StartError::NotDurable { detail: "the database is down".to_owned() })));
        let answer = post(edges, GOOD).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
    }

    #[actix_web::test]
    async fn a_key_that_has_started_a_run_starts_no_other() {
        let submission = |text: &str| {
            let body = serde_json::from_str(text).expect("JSON");
            Submission::new("k".parse().expect("a key"), &body)
        };
        let run: RunId = ID.parse().expect("a run id");
        let send = async |mut edges: Edges, known: Option<&str>, keys: &[&str], body: &'static str| {
            let known = known.map(|text| KnownSubmission { run, body: submission(text).body });
            edges.workflows.find = Port::answering(move |asked: FindSubmission| {
                assert_eq!((asked.principal.as_str(), asked.key.as_str()), ("token:admin", "k"));
                Ok(Ok(known))
            });
            let asked = request("POST /api/v1/workflows").set_payload(body);
            let asked = keys.iter().fold(asked, |asked, key| asked.append_header(("Idempotency-Key", *key)));
            ask(edges, asked).await
        };
        let mut first = edges();
        first.workflows.start = Port::answering(move |start: StartRun| {
            assert_eq!(start.submission, Some(submission(GOOD)));
            Ok(Ok(run))
        });
        let answer = send(first, None, &["k"], GOOD).await;
        assert_eq!((answer.status, answer.header("idempotent-replayed")), (202, ""));
        // Here a start would be refused: the door is shut.
        let again = send(edges(), Some(GOOD), &["\"k\""], GOOD).await;
        assert_eq!((again.status, again.header("idempotent-replayed")), (202, "true"));
        assert_eq!(again.header("location"), format!("/api/v1/workflows/{ID}"));
        assert_eq!(again.json(), json!({ "workflow_id": ID, "status": "pending" }));
        let other = send(edges(), Some("{\"steps\":[]}"), &["k"], GOOD).await;
        assert_eq!(
            (other.status, other.json()["type"].as_str()),
            (422, Some("urn:dsmil:problem:idempotency-key-reused"))
        );
        for bad in [["", "k"].as_slice(), &["a b"], &["k", "k"], &["\"k"]] {
            assert_eq!(send(accepting(), None, bad, GOOD).await.status, 400, "{bad:?}");
        }
        // Between the look and the start another request was faster.
        let refused = |error: StartError| {
            let mut edges = edges();
            edges.workflows.start = Port::answering(move |_| Ok(Err(error.clone())));
            edges
        };
        let flying = send(refused(StartError::KeyInFlight), None, &["k"], GOOD).await;
        assert_eq!((flying.status, flying.header("retry-after")), (409, "1"));
        let same = send(refused(StartError::KeyTaken { run, same: true }), None, &["k"], GOOD).await;
        assert_eq!((same.status, same.header("idempotent-replayed")), (202, "true"));
        let other = send(refused(StartError::KeyTaken { run, same: false }), None, &["k"], GOOD).await;
        assert_eq!(other.status, 422);
    }

    #[actix_web::test]
    async fn an_open_run_comes_from_the_engine_and_an_ended_one_from_its_journal() {
        let asked = || request(&format!("GET /api/v1/workflows/{ID}"));
        let mut open = edges();
        open.workflows.get = Port::answering(|_| Ok(Some(run())));
        let open = ask(open, asked()).await;
        assert_eq!((open.status, open.json()["status"].as_str()), (200, Some("running")));
        let mut ended = edges();
        ended.workflows.get = crate::web::fakes::shut();
        ended.workflows.load = Port::answering(|_| Ok(Ok(Some(stored()))));
        let ended = ask(ended, asked()).await.json();
        assert_eq!((&ended["status"], &ended["audit_index"]), (&json!("cancelled"), &json!(9)));
        assert_eq!((&ended["node"], &ended["steps"][0]["status"]), (&json!("n1"), &json!("cancelled")));
        let missing = ask(edges(), asked()).await;
        assert_eq!(missing.status, 404);
        assert_eq!(ask(edges(), request("GET /api/v1/workflows/first")).await.status, 400);
    }

    #[actix_web::test]
    async fn a_wait_lasts_until_the_run_has_ended() {
        let (progress, receiver) = watch::channel(Progress::default());
        let looks = Arc::new(AtomicUsize::new(0));
        let mut edges = edges();
        edges.workflows.watch = Port::answering(move |_| Ok(Some(receiver.clone())));
        let counted = Arc::clone(&looks);
        edges.workflows.load = Port::answering(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            Ok(Ok(Some(stored())))
        });
        let seen = Arc::clone(&looks);
        let ender = actix_web::rt::spawn(async move {
            progress.send(Progress { changes: 1, ended: None }).expect("someone waits");
            tokio::task::yield_now().await;
            assert_eq!(seen.load(Ordering::SeqCst), 0, "a change is not the end");
            drop(progress);
        });
        let answer = ask(edges, request(&format!("GET /api/v1/workflows/{ID}?wait=30s"))).await;
        ender.await.expect("it ran");
        assert_eq!((answer.status, looks.load(Ordering::SeqCst)), (200, 1));
        let unreadable = ask(accepting(), request(&format!("GET /api/v1/workflows/{ID}?wait=soon"))).await;
        assert_eq!(unreadable.status, 400);
    }

    #[actix_web::test]
    async fn one_who_submits_and_waits_gets_the_run_as_it_ended() {
        let (progress, receiver) = watch::channel(Progress::default());
        let mut edges = accepting();
        edges.workflows.watch = Port::answering(move |_| Ok(Some(receiver.clone())));
        edges.workflows.load = Port::answering(|_| panic!("what is at hand was read from the store"));
        let ended = Progress { changes: 4, ended: Some(Arc::new(run())) };
        actix_web::rt::spawn(async move { progress.send(ended).expect("someone waits") });
        let asked = || request("POST /api/v1/workflows?wait=30s").set_payload(GOOD);
        let answer = ask(edges, asked()).await;
        assert_eq!((answer.status, answer.header("location")), (200, format!("/api/v1/workflows/{ID}").as_str()));
        assert_eq!(answer.json()["name"], run().plan().name());
        let refused = request("POST /api/v1/workflows?wait=soon").set_payload(GOOD);
        let mut edges = accepting();
        edges.workflows.start = Port::answering(|_| panic!("started, and the caller told that it was not"));
        assert_eq!(ask(edges, refused).await.status, 400);
    }

    #[actix_web::test]
    async fn a_run_that_takes_longer_or_cannot_be_waited_for_is_accepted_all_the_same() {
        let (progress, receiver) = watch::channel(Progress::default());
        let mut slow = accepting();
        slow.workflows.watch = Port::answering(move |_| Ok(Some(receiver.clone())));
        let mut blind = accepting();
        blind.workflows.watch = crate::web::fakes::shut();
        for edges in [slow, blind] {
            let answer = ask(edges, request("POST /api/v1/workflows?wait=10ms").set_payload(GOOD)).await;
            assert_eq!((answer.status, &answer.json()["workflow_id"]), (202, &json!(ID)));
        }
        drop(progress);
    }
}
