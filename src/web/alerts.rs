//! `/alerts`, `/host` and `/metrics`: what is wrong, and the readings behind it.
use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Payload, Query};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::alerts::book;
use crate::alerts::book::State;
use crate::alerts::metric::{DRILL, Sample, find};
use crate::api::alert as shape;
use crate::clock;
use crate::messages::alerts::{Acknowledge, GetAlerts, GetReadings, Observe, Readings};
use crate::messages::port::Port;
use crate::web::auth::Caller;
use crate::web::body::json_body;
use crate::web::error::ApiError;
use crate::web::prometheus;

const LONGEST_COMMENT: usize = 500;

/// What these routes need.
#[derive(Clone)]
pub struct Alerts {
    pub list: Port<GetAlerts>,
    pub ack: Port<Acknowledge>,
    pub readings: Port<GetReadings>,
    pub observe: Port<Observe>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Only alerts in this state.
    state: Option<State>,
}

pub async fn list(deps: Data<Alerts>, filter: Query<Filter>) -> Result<HttpResponse, ApiError> {
    let alerts = deps.list.ask(GetAlerts).await?;
    let wanted = alerts.into_iter().filter(|alert| filter.state.is_none_or(|state| alert.state == state));
    Ok(HttpResponse::Ok().json(shape::Alerts { alerts: wanted.map(shown).collect(), next: None }))
}

pub async fn ack(
    deps: Data<Alerts>,
    caller: Caller,
    id: Path<String>,
    body: Payload,
) -> Result<HttpResponse, ApiError> {
    let shape::NewAck { comment } = json_body(body).await?;
    if comment.chars().count() > LONGEST_COMMENT {
        return Err(ApiError::BadRequest(format!("`comment` may have {LONGEST_COMMENT} characters")));
    }
    if let Some(at) = comment.chars().position(char::is_control) {
        return Err(ApiError::BadRequest(format!(
            "`comment` has a control character at place {}: leave it out",
            at + 1
        )));
    }
    let fingerprint = id.into_inner();
    let order = Acknowledge { fingerprint: fingerprint.clone(), by: caller.to_string(), comment };
    let alert = deps.ack.ask(order).await?;
    let alert = alert.ok_or_else(|| ApiError::NotFound(format!("no alert `{fingerprint}` is firing")))?;
    Ok(HttpResponse::Ok().json(shown(alert)))
}

/// Sends a reading of the exercise metric through the real way.
pub async fn exercise(deps: Data<Alerts>, body: Payload) -> Result<HttpResponse, ApiError> {
    let shape::Exercise { firing } = json_body(body).await?;
    let samples = vec![Sample::new(DRILL, f64::from(u8::from(firing)))];
    deps.observe.ask(Observe { at: clock::wall(), samples }).await?;
    list(deps, Query(Filter { state: None })).await
}

pub async fn host(deps: Data<Alerts>) -> Result<HttpResponse, ApiError> {
    let Readings { newest, history } = deps.readings.ask(GetReadings).await?;
    let reading = |sample: Sample| {
        let metric = find(sample.metric);
        shape::Reading {
            metric: sample.metric.to_owned(),
            unit: metric.map(|metric| metric.unit.to_owned()).unwrap_or_default(),
            meaning: metric.map(|metric| metric.meaning.to_owned()).unwrap_or_default(),
            of: sample.of,
            value: sample.value,
        }
    };
    let history: BTreeMap<String, Vec<(i64, f64)>> = history
        .into_iter()
        .map(|(metric, series)| {
            (metric.to_owned(), series.iter().map(|(at, value)| (at.timestamp_millis(), *value)).collect())
        })
        .collect();
    Ok(HttpResponse::Ok().json(shape::Host { readings: newest.into_iter().map(reading).collect(), history }))
}

pub async fn metrics(deps: Data<Alerts>) -> Result<HttpResponse, ApiError> {
    let readings = deps.readings.ask(GetReadings).await?;
    let alerts = deps.list.ask(GetAlerts).await?;
    Ok(HttpResponse::Ok().content_type(prometheus::MEDIA_TYPE).body(prometheus::page(&readings.newest, &alerts)))
}

fn shown(alert: book::Alert) -> shape::Alert {
    shape::Alert {
        alert_id: alert.fingerprint,
        rule: alert.rule,
        metric: alert.metric,
        severity: alert.severity,
        state: alert.state,
        summary: alert.summary,
        value: alert.value,
        threshold: alert.threshold,
        since: alert.since,
        fired: alert.fired,
        resolved: alert.resolved,
        labels: alert.labels,
        action: alert.action,
        ack: alert.ack,
        flapping: alert.flapping,
    }
}
