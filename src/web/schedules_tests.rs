//! Schedules over HTTP, with a function in place of the scheduler.
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::access::role::Role;
use crate::messages::scheduler::ScheduleError;
use crate::web::asked::{anonymous, ask, request};
use crate::web::fakes::access::bearer_of;
use crate::web::fakes::{edges, good};

fn document() -> Value {
    json!({ "name": "nightly", "workflow": good(), "cron": "0 3 * * *", "time_zone": "Europe/Berlin" })
}

fn view() -> View {
    let created = "2026-01-01T00:00:00Z".parse().expect("a time");
    let new = read(&document(), &World::clone(&edges().schedules.world), created).expect("a schedule");
    let schedule = Schedule {
        id: Uuid::nil(),
        name: new.name,
        workflow: new.workflow,
        rules: new.rules,
        paused: false,
        created,
        created_by: "token:admin".to_owned(),
        next_due: None,
    };
    View { schedule, waiting: 0, open: Vec::new(), last: None, trouble: None }
}

#[actix_web::test]
async fn a_schedule_is_made_and_answered_with_where_it_is() {
    let mut edges = edges();
    edges.schedules.create = Port::answering(|asked: CreateSchedule| {
        assert_eq!((asked.by.as_str(), asked.new.name.as_str()), ("token:admin", "nightly"));
        Ok(Ok(view()))
    });
    let made = ask(edges, request("POST /api/v1/schedules").set_payload(document().to_string())).await;
    assert_eq!((made.status, made.header("location")), (202, "/api/v1/schedules/nightly"));
    let made = made.json();
    assert_eq!(
        (&made["cron"], &made["overlap"], &made["catch_up"]),
        (&json!("0 3 * * *"), &json!("skip"), &json!("one"))
    );
    assert!(made["upcoming"][0].as_str().is_some_and(|next| next.contains("T03:00:00+0")), "{made}");
}

#[actix_web::test]
async fn all_that_is_wrong_is_told_with_pointers() {
    let bad = json!({ "name": "n", "workflow": { "agents": ["NOBODY"] }, "cron": "61 * * * *", "time_zone": "Mars" });
    let refused = ask(edges(), request("POST /api/v1/schedules").set_payload(bad.to_string())).await;
    assert_eq!(refused.status, 422);
    let refused = refused.json();
    assert_eq!(refused["type"], "urn:dsmil:problem:invalid-schedule");
    let errors = refused["errors"].as_array().expect("errors").iter();
    let mut pointers: Vec<&str> = errors.filter_map(|fault| fault["pointer"].as_str()).collect();
    pointers.sort_unstable();
    assert_eq!(pointers, ["/cron", "/time_zone", "/workflow/agents/0"]);
}

#[actix_web::test]
async fn what_the_scheduler_refuses_has_its_status() {
    for (fault, status) in [
        (ScheduleError::NameTaken(view().schedule.name), 409),
        (ScheduleError::TooMany(1_000), 409),
        (ScheduleError::NotRead, 503),
        (ScheduleError::NotDurable { detail: "away".to_owned() }, 503),
    ] {
        let mut edges = edges();
        edges.schedules.create = Port::answering(move |_| Ok(Err(fault.clone())));
        let refused = ask(edges, request("POST /api/v1/schedules").set_payload(document().to_string())).await;
        assert_eq!(refused.status, status, "{}", refused.text);
    }
    let mut edges = edges();
    edges.schedules.get = Port::answering(|GetSchedule(which)| Ok(Err(ScheduleError::NoSuch(which))));
    assert_eq!(ask(edges, request("GET /api/v1/schedules/none")).await.status, 404);
}

#[actix_web::test]
async fn an_order_that_was_not_carried_out_is_a_conflict() {
    let answer = async |state: FiringState| {
        let mut edges = edges();
        edges.schedules.run = Port::answering(move |asked: RunSchedule| {
            assert_eq!((asked.which.as_str(), asked.by.as_str()), ("nightly", "token:admin"));
            let detail = Some("the last run is still open".to_owned());
            Ok(Ok((view(), Firing { state, detail, ..Firing::new(view().schedule.created) })))
        });
        ask(edges, request("POST /api/v1/schedules/nightly/run")).await
    };
    let waits = answer(FiringState::Due).await;
    assert_eq!((waits.status, waits.json()["state"].as_str()), (202, Some("due")));
    let skipped = answer(FiringState::Skipped).await;
    assert!(skipped.status == 409 && skipped.text.contains("still open"), "{}", skipped.text);
}

#[actix_web::test]
async fn a_viewer_may_look_and_nothing_else() {
    let as_viewer = async |line: &str| {
        let mut edges = edges();
        edges.schedules.list = Port::answering(|_| Ok(Ok(vec![view()])));
        ask(edges, anonymous(line).insert_header(bearer_of(Role::Viewer))).await
    };
    assert_eq!(as_viewer("GET /api/v1/schedules").await.json()["schedules"][0]["name"], "nightly");
    for line in [
        "POST /api/v1/schedules",
        "DELETE /api/v1/schedules/nightly",
        "POST /api/v1/schedules/nightly/pause",
        "POST /api/v1/schedules/nightly/resume",
        "POST /api/v1/schedules/nightly/run",
    ] {
        assert_eq!(as_viewer(line).await.status, 403, "{line}");
    }
}
