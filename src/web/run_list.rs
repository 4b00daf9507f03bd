//! `GET /workflows`: which runs, by state, name, agent, labels and time.
use actix_web::HttpResponse;
use actix_web::web::{Data, Query};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;

use crate::api;
use crate::api::run::RunStatus;
use crate::ids::RunId;
use crate::messages::store::ListRuns;
use crate::web::error::ApiError;
use crate::web::workflows::Workflows;
use crate::workflow::record::RunSummary;
use crate::workflow::run_filter::RunFilter;

const PAGE: u32 = 50;
const MOST_LABELS: usize = 16;

/// As it stands in the address. Filters may be used together: a run must pass them all.
#[derive(Default, JsonSchema)]
pub struct Filter {
    /// Only runs in this state.
    #[schemars(with = "Option<RunStatus>")]
    status: Option<String>,
    /// Only runs of this name.
    name: Option<String>,
    /// Only runs that this agent takes part in: the workflow names it, or the learner chose it.
    agent: Option<String>,
    /// Only runs with this label, as `key:value`; may be given more than once.
    label: Vec<String>,
    /// Only runs that were accepted at this moment or later (RFC 3339).
    #[schemars(extend("format" = "date-time"))]
    since: Option<String>,
    /// Only runs that were accepted before this moment (RFC 3339).
    #[schemars(extend("format" = "date-time"))]
    until: Option<String>,
    /// How many at most; 50 if left out.
    #[schemars(with = "Option<u32>", range(min = 1, max = 500))]
    limit: Option<String>,
    /// `next` of the page before.
    #[schemars(extend("format" = "uuid"))]
    cursor: Option<String>,
}

pub async fn list(deps: Data<Workflows>, query: Query<Vec<(String, String)>>) -> Result<HttpResponse, ApiError> {
    let filter = Filter::of(query.into_inner())?.checked()?;
    let page = deps.list.ask(ListRuns(filter)).await??;
    let workflows = page.runs.into_iter().map(summary).collect::<Result<_, _>>()?;
    Ok(HttpResponse::Ok().json(api::run::Runs { workflows, next: page.next.map(|run| run.to_string()) }))
}

impl Filter {
    fn of(pairs: Vec<(String, String)>) -> Result<Self, ApiError> {
        let mut filter = Filter::default();
        for (name, value) in pairs {
            let place = match name.as_str() {
                "status" => &mut filter.status,
                "name" => &mut filter.name,
                "agent" => &mut filter.agent,
                "since" => &mut filter.since,
                "until" => &mut filter.until,
                "limit" => &mut filter.limit,
                "cursor" => &mut filter.cursor,
                "label" => {
                    filter.label.push(value);
                    continue;
                }
                _ => return Err(ApiError::BadRequest(format!("`{name}` is not a parameter of this list"))),
            };
            if place.replace(value).is_some() {
                return Err(ApiError::BadRequest(format!("`{name}` is given more than once")));
            }
        }
        Ok(filter)
    }

    fn checked(self) -> Result<RunFilter, ApiError> {
        if self.label.len() > MOST_LABELS {
            return Err(bad("label", format!("at most {MOST_LABELS} labels can be asked for at once")));
        }
        let labels = self.label.into_iter().map(label).collect::<Result<_, _>>()?;
        Ok(RunFilter {
            status: self.status.map(status).transpose()?,
            name: self.name.map(name).transpose()?,
            agent: self.agent.map(|text| text.parse().map_err(|cause| bad("agent", cause))).transpose()?,
            labels,
            since: self.since.map(|text| moment("since", &text)).transpose()?,
            until: self.until.map(|text| moment("until", &text)).transpose()?,
            before: self.cursor.map(cursor).transpose()?,
            limit: self.limit.map_or(Ok(PAGE), limit)?,
        })
    }
}

fn bad(parameter: &str, cause: impl ToString) -> ApiError {
    ApiError::BadRequest(format!("`{parameter}`: {}", cause.to_string()))
}

fn status(text: String) -> Result<String, ApiError> {
    let known: Result<RunStatus, _> = serde_json::from_value(text.into());
    known.map(|status| status.as_str().to_owned()).map_err(|cause| bad("status", cause))
}

fn name(text: String) -> Result<String, ApiError> {
    if text.contains(char::is_control) { Err(bad("name", "it has a control character")) } else { Ok(text) }
}

fn label(text: String) -> Result<String, ApiError> {
    match text.split_once(':') {
        Some((key, _)) if !key.is_empty() => Ok(text),
        _ => Err(bad("label", format!("`{text}` is not `key:value`"))),
    }
}

fn moment(parameter: &str, text: &str) -> Result<DateTime<Utc>, ApiError> {
    let hint = if text.contains(' ') { "; a `+` is written `%2B` in an address" } else { "" };
    DateTime::parse_from_rfc3339(text).map(|moment| moment.to_utc()).map_err(|cause| {
        bad(parameter, format!("`{text}` is not a time such as 2026-11-25T08:00:00Z (RFC 3339): {cause}{hint}"))
    })
}

fn cursor(text: String) -> Result<RunId, ApiError> {
    text.parse().map_err(|cause: crate::ids::BadName| bad("cursor", cause))
}

fn limit(text: String) -> Result<u32, ApiError> {
    let limit = text.parse().ok().filter(|limit| (1..=500).contains(limit));
    limit.ok_or_else(|| bad("limit", format!("`{text}` is not a number from 1 to 500")))
}

fn summary(run: RunSummary) -> Result<api::run::RunSummary, ApiError> {
    let status = serde_json::from_value(run.status.as_str().into())
        .map_err(|cause| ApiError::Unreadable(format!("status of run {}: {cause}", run.header.run)))?;
    Ok(api::run::RunSummary {
        workflow_id: run.header.run,
        name: run.header.name,
        mode: run.header.mode,
        status,
        success_rate: run.outcome.as_ref().and_then(|outcome| outcome.success_rate),
        execution_time_ms: run.outcome.as_ref().map(|outcome| outcome.execution_time_ms),
        coverage: run.outcome.as_ref().and_then(|outcome| outcome.coverage),
        audit_index: run.audit_index,
        node: run.node,
        accepted: run.header.accepted,
        finished: run.outcome.map(|outcome| outcome.finished),
        labels: run.header.labels,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::messages::port::Port;
    use crate::web::asked::{ask, request};
    use crate::web::fakes::edges;
    use crate::workflow::record::RunPage;

    const ID: &str = "01900000-0000-7000-8000-000000000001";

    #[actix_web::test]
    async fn the_list_passes_its_filter_on() {
        let mut edges = edges();
        edges.workflows.list = Port::answering(|ListRuns(asked): ListRuns| {
            let expected = RunFilter {
                status: Some("failed".into()),
                name: Some("nightly".into()),
                agent: Some("PACER".parse().expect("an id")),
                labels: vec!["team:red".into(), "a:b:c".into()],
                since: Some("2026-11-25T07:00:00Z".parse().expect("a time")),
                until: Some("2026-11-26T00:00:00Z".parse().expect("a time")),
                before: Some(ID.parse().expect("an id")),
                limit: 7,
            };
            assert_eq!(asked, expected);
            Ok(Ok(RunPage { runs: Vec::new(), next: asked.before }))
        });
        let line = format!(
            "GET /api/v1/workflows?status=failed&name=nightly&agent=PACER&label=team:red&label=a%3Ab%3Ac\
             &since=2026-11-25T08:00:00%2B01:00&until=2026-11-26T00:00:00Z&limit=7&cursor={ID}"
        );
        assert_eq!(ask(edges, request(&line)).await.json(), json!({ "workflows": [], "next": ID }));
    }

    #[actix_web::test]
    async fn a_bad_value_is_refused_with_the_name_of_its_parameter() {
        for (bad, named) in [
            ("limit=0", "`limit`"),
            ("limit=501", "`limit`"),
            ("limit=many", "`limit`"),
            ("status=odd", "`status`"),
            ("status=failed&status=running", "`status`"),
            ("cursor=x", "`cursor`"),
            ("agent=pacer", "`agent`"),
            ("agent=", "`agent`"),
            ("name=a%00", "`name`"),
            ("label=team", "`label`"),
            ("label=:red", "`label`"),
            ("label=a:b&label=", "`label`"),
            ("since=yesterday", "`since`"),
            ("until=2026-13-01T00:00:00Z", "`until`"),
            ("until=2026-11-25T08:00:00+01:00", "%2B"),
            ("sort=up", "`sort`"),
        ] {
            let answer = ask(edges(), request(&format!("GET /api/v1/workflows?{bad}"))).await;
            let detail = answer.json()["detail"].clone();
            assert_eq!(answer.status, 400, "{bad}: {detail}");
            assert!(detail.as_str().is_some_and(|detail| detail.contains(named)), "{bad}: {detail}");
        }
        let many = format!("GET /api/v1/workflows?{}", ["label=a:b"; 17].join("&"));
        assert_eq!(ask(edges(), request(&many)).await.status, 400);
    }
}
