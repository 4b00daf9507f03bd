//! What is wrong with a document is said all at once, with a pointer and in words that help.
use serde_json::{Value, json};

use crate::workflow::check::check;
use crate::workflow::tests::support::dag;
use crate::workflow::tests::support::plan;
use crate::workflow::tests::support::world;

#[track_caller]
fn check_faults(document: Value, expected: &[(&str, &str)]) {
    let faults = check(&document, &world()).expect_err("a document with faults");
    let mut found: Vec<_> = faults.iter().map(|fault| (fault.pointer.as_str(), fault.detail.as_str())).collect();
    let mut expected = expected.to_vec();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected, "{document}");
}

/// A document whose only step has this in addition.
fn with(extra: Value) -> Value {
    let mut step = json!({"id": "a", "agent": "TESTBED", "tool": "cp.echo"});
    let fields = step.as_object_mut().expect("an object");
    fields.extend(extra.as_object().expect("an object").clone());
    json!({"name": "t", "steps": [step]})
}

fn of_run(extra: Value) -> Value {
    let mut document = with(json!({}));
    document.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
    document
}

#[test]
fn a_document_is_one_of_three_forms() {
    check_faults(json!([]), &[("", "must be an object, not a list")]);
    check_faults(
        json!({"nmae": "x"}),
        &[
            ("/nmae", "a workflow has no key `nmae`; did you mean `name`?"),
            ("", "a workflow needs `steps`, or one of the short forms `agents` and `playbook`"),
        ],
    );
    check_faults(json!({"steps": {}}), &[("/steps", "must be a list, not an object")]);
    check_faults(json!({"steps": []}), &[("/steps", "a workflow needs at least one step")]);
    check_faults(json!({"agents": []}), &[("/agents", "a workflow needs at least one step")]);
    check_faults(json!({"steps": vec![1; 101]}), &[("/steps", "101 steps are more than the 100 allowed")]);
    check_faults(of_run(json!({"agents": ["TESTBED"]})), &[("/agents", "a workflow has no key `agents`")]);
}

#[test]
fn what_is_said_of_the_run_is_checked() {
    for (extra, pointer, detail) in [
        (json!({"name": 3}), "/name", "must be text, not a number"),
        (json!({"name": ""}), "/name", "must have 1 to 200 bytes"),
        (json!({"name": "a\u{0}b"}), "/name", "has the control character U+0000"),
        (json!({"name": "a\u{1b}[2J"}), "/name", "has the control character U+001B"),
        (
            json!({"mode": "dagg"}),
            "/mode",
            "`dagg` is not one of `parallel`, `sequential`, `pipeline`, `dag`; did you mean `dag`?",
        ),
        (json!({"priority": "high"}), "/priority", "`high` is not one of `critical`, `normal`, `background`"),
        (json!({"timeout": 60}), "/timeout", "must be a duration such as `30s`, not a number"),
        (json!({"timeout": "0s"}), "/timeout", "must be longer than nothing"),
        (
            json!({"timeout": "soon"}),
            "/timeout",
            "`soon` is not a duration; write whole numbers with ms, s, m, h or d, such as 250ms, 20s, 10m or 1h30m",
        ),
        (json!({"labels": {"a/b": 1}}), "/labels/a~1b", "must be text, not a number"),
        (json!({"inputs": []}), "/inputs", "must be an object, not a list"),
        (json!({"inputs": {"x": "y".repeat(10_000)}}), "/inputs", "larger than the 10000 bytes allowed"),
        (json!({"on_failure": "stop"}), "/on_failure", "`stop` is not one of `keep`, `rollback`"),
        (json!({"concurrency": {}}), "/concurrency", "this release does not carry out `concurrency` of a workflow yet"),
        (json!({"notify": []}), "/notify", "this release does not carry out `notify` of a workflow yet"),
    ] {
        check_faults(of_run(extra), &[(pointer, detail)]);
    }
}

#[test]
fn what_is_said_of_a_step_is_checked() {
    for (extra, pointer, detail) in [
        (
            json!({"id": "1a"}),
            "/steps/0/id",
            "`1a` is not a valid step id: 1 to 64 of a-z, A-Z, 0-9 and `_`, starting with a letter",
        ),
        (json!({"agent": "TESTBAD"}), "/steps/0/agent", "there is no agent `TESTBAD`; did you mean `TESTBED`?"),
        (json!({"agent": "patcher!"}), "/steps/0/agent", "there is no agent `patcher!`; did you mean `PATCHER`?"),
        (json!({"tool": "cp.ehco"}), "/steps/0/tool", "there is no tool `cp.ehco`; did you mean `cp.echo`?"),
        (
            json!({"tool": "pkg.upgrade"}),
            "/steps/0/tool",
            "TESTBED is not granted `pkg.upgrade`; it has cp.echo, fs.manifest",
        ),
        (json!({"input": "x"}), "/steps/0/input", "must be an object, not text"),
        (json!({"input": {"x": "y".repeat(10_000)}}), "/steps/0/input", "larger than the 10000 bytes allowed"),
        (json!({"timout": "1s"}), "/steps/0/timout", "a step has no key `timout`; did you mean `timeout`?"),
        (json!({"attempt_timeout": ""}), "/steps/0/attempt_timeout", BAD_EMPTY),
        (json!({"retry": 3}), "/steps/0/retry", "must be an object, not a number"),
        (json!({"retry": {"max": "1y"}}), "/steps/0/retry/max", BAD_YEAR),
        (json!({"retry": {"max_attempts": 0}}), "/steps/0/retry/max_attempts", "must be a whole number from 1 to 100"),
        (json!({"retry": {"factor": 0.5}}), "/steps/0/retry/factor", "must be a number from 1 to 100"),
        (json!({"retry": {"jitter": "some"}}), "/steps/0/retry/jitter", "`some` is not one of `full`, `none`"),
        (
            json!({"retry": {"not_on": ["denied", "Not OK"]}}),
            "/steps/0/retry/not_on/1",
            "`Not OK` is not the word of a status or reason: a-z, 0-9, `_`",
        ),
        (json!({"retry": {"attempts": 2}}), "/steps/0/retry/attempts", "`retry` has no key `attempts`"),
        (json!({"host": "n1"}), "/steps/0/host", "this release does not carry out `host` of a step yet"),
        (json!({"on_failure": "undo"}), "/steps/0/on_failure", "`undo` is not one of `keep`, `rollback`"),
        (json!({"approve": {"role": "viewer"}}), "/steps/0/approve/role", "`viewer` is not one of `operator`, `admin`"),
        (json!({"approve": {"expires": "400d"}}), "/steps/0/approve/expires", "`400d` is longer than a year"),
        (json!({"approve": {"by": "me"}}), "/steps/0/approve/by", "`approve` has no key `by`"),
    ] {
        check_faults(with(extra), &[(pointer, detail)]);
    }
    check_faults(
        json!({"steps": [{}, 7, {"id": "w", "sleep": "2s", "agent": "TESTBED"}]}),
        &[
            ("/steps/0", "a step needs an `id`"),
            (
                "/steps/0",
                "a step needs an `agent`, or a `task` for which one is chosen; or it runs a `playbook`; or it waits: `sleep`, `wait_for` or `approve`",
            ),
            ("/steps/1", "must be an object, not a number"),
            ("/steps/2/agent", "a step that sleeps has no `agent`"),
        ],
    );
    check_faults(
        json!({"steps": [
            {"id": "a", "sleep": "400d"}, {"id": "b", "wait_for": "1x", "retry": {}}, {"id": "c", "approve": {}, "timeout": "1s"},
            {"id": "d", "sleep": "1s", "wait_for": "x"}]}),
        &[
            ("/steps/0/sleep", "`400d` is longer than a year"),
            ("/steps/1/retry", "a step that waits for a signal has no `retry`"),
            (
                "/steps/1/wait_for",
                "`1x` is not a valid signal name: 1 to 64 of a-z, A-Z, 0-9, `_` and `-`, starting with a letter",
            ),
            ("/steps/2/timeout", "a step that waits for a decision has no `timeout`"),
            ("/steps/3/sleep", "a step sleeps or waits for a signal, not both"),
        ],
    );
}

const BAD_EMPTY: &str =
    "`` is not a duration; write whole numbers with ms, s, m, h or d, such as 250ms, 20s, 10m or 1h30m";
const BAD_YEAR: &str =
    "`1y` is not a duration; write whole numbers with ms, s, m, h or d, such as 250ms, 20s, 10m or 1h30m";

#[test]
fn steps_are_linked_only_where_that_can_work() {
    check_faults(dag(&[("a", &[]), ("a", &[])]), &[("/steps/1/id", "step 0 has the id `a` already")]);
    check_faults(dag(&[("a", &["a"])]), &[("/steps/0/needs/0", "step `a` needs itself")]);
    check_faults(
        dag(&[("first", &[]), ("b", &["frist", "first", "first"])]),
        &[
            ("/steps/1/needs/0", "there is no step `frist`; did you mean `first`?"),
            ("/steps/1/needs/2", "`first` is named twice"),
        ],
    );
    check_faults(
        dag(&[("z", &[]), ("a", &["z", "c"]), ("b", &["a"]), ("c", &["b"])]),
        &[("/steps/1/needs", "steps need each other in a circle: a -> c -> b -> a")],
    );
    for mode in ["parallel", "sequential", "pipeline"] {
        let mut document = dag(&[("a", &[])]);
        document["mode"] = mode.into();
        let detail = format!("`needs` is for the mode `dag`; in `{mode}` the order is given");
        check_faults(document, &[("/steps/0/needs", &detail)]);
    }
}

#[test]
fn expressions_may_read_only_what_is_certainly_there() {
    let two = |mode: &str, needs: Value, when: &str, input: &str| {
        let mut first = json!({"id": "one", "agent": "TESTBED"});
        let mut second = json!({"id": "two", "agent": "TESTBED", "when": when, "input": {"l": [input]}});
        if mode == "dag" {
            first["needs"] = json!([]);
            second["needs"] = needs;
        }
        json!({"mode": mode, "inputs": {"root": 1}, "steps": [first, second]})
    };
    check_faults(
        two("dag", json!([]), "inputs.rot == 1", "${steps.oen.data}"),
        &[
            ("/steps/1/when", "`inputs.rot == 1`: there is no input `rot`; did you mean `root`?"),
            ("/steps/1/input/l/0", "`steps.oen.data`: there is no step `oen`; did you mean `one`?"),
        ],
    );
    check_faults(
        two("dag", json!([]), "steps.one.status == 'succeeded'", "a ${prev} b ${1 +}"),
        &[
            (
                "/steps/1/when",
                "`steps.one.status == 'succeeded'`: step `one` may not have ended by then; add it to `needs`",
            ),
            (
                "/steps/1/input/l/0",
                "`1 +` is not valid CEL: Syntax error: mismatched input '<EOF>' expecting expression",
            ),
        ],
    );
    check_faults(
        two("parallel", json!([]), "steps.one.status == 'succeeded'", "${prev.x}"),
        &[
            ("/steps/1/when", "`steps.one.status == 'succeeded'`: step `one` has not ended by then"),
            ("/steps/1/input/l/0", "`prev.x`: `prev` is for the mode `pipeline`"),
        ],
    );
    check_faults(
        two("sequential", json!([]), "steps.two.status == 'x'", "${secret.KEY}"),
        &[
            ("/steps/1/when", "`steps.two.status == 'x'`: step `two` has not ended by then"),
            ("/steps/1/input/l/0", "in `secret.KEY`: this release does not carry out `secret` yet"),
        ],
    );
    plan(two("dag", json!(["one"]), "steps.one.data.x && has(inputs.root)", "${steps.one.status}"));
    plan(two("pipeline", json!([]), "prev.x > 1", "${steps.one.data.x}"));
}

#[test]
fn a_step_may_read_what_it_needs_through_others() {
    let mut document = dag(&[("a", &[]), ("b", &["a"]), ("c", &["b"]), ("d", &[])]);
    document["steps"][2]["when"] = "steps.a.data.x".into();
    plan(document.clone());
    document["steps"][2]["when"] = "steps.d.data.x".into();
    let detail = "`steps.d.data.x`: step `d` may not have ended by then; add it to `needs`";
    check_faults(document, &[("/steps/2/when", detail)]);
}

#[test]
fn the_short_forms_are_checked_too() {
    check_faults(
        json!({"agents": ["TESTBED", "TESTBET", 4], "mode": "parallel", "inputs": {}}),
        &[
            ("/agents/1", "there is no agent `TESTBET`; did you mean `TESTBED`?"),
            ("/agents/2", "must be text, not a number"),
            ("/inputs", "a workflow of agents has no key `inputs`"),
        ],
    );
    check_faults(json!({"playbook": "scam"}), &[("/playbook", "there is no playbook `scam`; did you mean `scan`?")]);
    check_faults(
        json!({"playbook": "scan", "inputs": {"rooot": "/x"}, "labels": {"k": 1}, "steeps": 1}),
        &[
            ("/inputs/rooot", "the playbook `scan` has no input `rooot`; did you mean `root`?"),
            ("/labels/k", "must be text, not a number"),
            ("/steeps", "the start of a playbook has no key `steeps`"),
        ],
    );
    check_faults(
        json!({"playbook": "broken"}),
        &[("/playbook", "the playbook `broken` is at fault: /steps/0/agent: there is no agent `NOBODY`")],
    );
}

#[test]
fn the_short_forms_name_steps_after_agents_and_give_inputs() {
    let of_agents = plan(json!({"agents": ["TESTBED", "HARDWARE-DELL", "TESTBED"], "mode": "sequential"}));
    let steps: Vec<_> =
        of_agents.steps().iter().map(|step| format!("{}={}", step.id, step.doer().expect("an agent").tool)).collect();
    assert_eq!(steps, ["TESTBED=cp.echo", "HARDWARE_DELL=fs.manifest", "TESTBED_2=cp.echo"]);
    let of_playbook = plan(json!({"playbook": "scan", "inputs": {"root": "/opt"}, "priority": "critical"}));
    assert_eq!((of_playbook.name(), of_playbook.inputs()), ("scan", &json!({"root": "/opt"})));
    assert_eq!(of_playbook.priority().as_str(), "critical");
}

#[test]
fn a_plan_survives_its_written_form() {
    let document = json!({
        "name": "n", "mode": "dag", "timeout": "10m", "priority": "background", "labels": {"k": "v"},
        "inputs": {"root": "/etc", "f": 0.25},
        "steps": [
            {"id": "a", "agent": "TESTBED", "tool": "fs.manifest", "input": {"p": ["${inputs.root}"]},
             "timeout": "1m", "attempt_timeout": "5s",
             "retry": {"max_attempts": 3, "initial": "1s", "factor": 1.5, "max": "9s", "jitter": "none", "not_on": ["io"]}},
            {"id": "b", "agent": "PATCHER", "needs": ["a"], "when": "steps.a.data.n > 0"}
        ]
    });
    let plan = plan(document);
    let text = serde_json::to_string(&plan).expect("JSON");
    assert_eq!(serde_json::from_str::<crate::workflow::plan::Plan>(&text).expect("read back"), plan);
    let damaged = text.replace(r#""needs":["a"]"#, r#""needs":["b"]"#);
    assert!(serde_json::from_str::<crate::workflow::plan::Plan>(&damaged).is_err(), "a circle is refused here too");
}
