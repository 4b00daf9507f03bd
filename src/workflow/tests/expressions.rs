//! What expressions and templates give, and that no text can break them.
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::workflow::expr::Expr;
use crate::workflow::expr::ExprError;
use crate::workflow::expr::LONGEST;
use crate::workflow::expr::Scope;
use crate::workflow::template::Template;
use crate::workflow::template::larger_than;

struct Fixed {
    inputs: Value,
    data: Value,
}

impl Scope for Fixed {
    fn inputs(&self) -> &Value {
        &self.inputs
    }
    fn prev(&self) -> &Value {
        &self.data
    }
    fn step(&self, id: &str) -> Option<(&'static str, &Value)> {
        (id == "a").then_some(("succeeded", &self.data))
    }
}

fn scope() -> Fixed {
    Fixed {
        inputs: json!({"root": "/etc", "n": 3, "big": u64::MAX, "half": 0.5, "list": ["x", "y"], "a-b": 1}),
        data: json!({"changed": ["p", "q"], "count": 2, "nested": {"deep": true}, "none": null}),
    }
}

fn value(source: &str) -> Result<Value, ExprError> {
    Expr::compile(source)?.evaluate(&scope())
}

#[test]
fn expressions_have_the_value_that_cel_says() {
    let table = [
        ("inputs.root", json!("/etc")),
        ("inputs.big", json!(u64::MAX)),
        ("inputs['a-b']", json!(1)),
        ("inputs.n + 1", json!(4)),
        ("inputs.n > 2.5", json!(true)),
        ("inputs.n == 3", json!(true)),
        ("inputs.half * 2.0", json!(1.0)),
        ("inputs.root + '/passwd'", json!("/etc/passwd")),
        ("inputs.list.map(x, x + '!')", json!(["x!", "y!"])),
        ("{'k': inputs.list.size()}", json!({"k": 2})),
        ("steps.a.status", json!("succeeded")),
        ("steps.a.status == 'succeeded' && steps.a.data.changed.size() > 0", json!(true)),
        ("steps.a.data.changed[1]", json!("q")),
        ("steps.a.data.nested", json!({"deep": true})),
        ("steps.a.data == prev", json!(true)),
        ("steps.a == {'status': 'succeeded', 'data': prev}", json!(true)),
        ("has(steps.a.data.none) && !has(steps.a.data.nothing)", json!(true)),
        ("has(steps.a.data.nested.deep)", json!(true)),
        ("steps.a.data.none == null", json!(true)),
        ("prev.changed.exists(p, p == 'q')", json!(true)),
        ("type(inputs.n) == int", json!(true)),
        ("prev.changed.all(p, inputs.list.exists(i, i != p))", json!(true)),
    ];
    for (source, expected) in table {
        assert_eq!(value(source), Ok(expected), "{source}");
    }
}

#[test]
fn a_wrong_name_is_found_when_it_is_compiled() {
    let table = [
        ("input.x", "unknown variable `input`; there are `inputs`, `steps`, `prev` and `item`"),
        ("steps.a.output.x", "a step has `status` and `data`, not `output`"),
        ("steps.size() > 0", "`steps` is read one step at a time, as `steps.<id>`"),
        ("steps[inputs.root].data", "`steps` is read one step at a time, as `steps.<id>`"),
        ("secret.KEY", "this release does not carry out `secret` yet"),
        ("Thing{a: 1}", "there is no message type `Thing`"),
        ("inputs.a.all(x, inputs.b.all(y, inputs.c.all(z, x == z)))", "more than 2 comprehensions inside each other"),
    ];
    for (source, detail) in table {
        let error = value(source).expect_err(source);
        assert_eq!(error, ExprError::Name { text: source.into(), detail: detail.into() }, "{source}");
    }
}

#[test]
fn what_cannot_be_known_before_fails_when_it_is_evaluated() {
    for source in [
        "inputs.nothing",
        "inputs.nothing > 1",
        "inputs.n / 0",
        "inputs.root + 1",
        "nofunction(1)",
        "steps.b.data.x",
        "steps.a.data.count.x",
    ] {
        assert!(matches!(value(source), Err(ExprError::NoValue { .. })), "{source}: {:?}", value(source));
    }
    let not_bool = Expr::compile("inputs.n").expect("compiles").is_true(&scope());
    assert_eq!(not_bool, Err(ExprError::NotBool { text: "inputs.n".into(), got: "a number" }));
}

#[test]
fn deep_and_long_texts_are_refused_or_fit_a_small_stack() {
    let hostile = || {
        let pairs = [("(", ")"), ("[", "]"), ("!", "true"), ("-", "1"), ("{1:", "}"), ("a.map(x,", ")"), ("f(", ")")];
        let mut texts: Vec<String> = pairs
            .iter()
            .flat_map(|(open, close)| {
                [20, 40, 900].map(|n: usize| format!("{}1{}", open.repeat(n), close.repeat(n.min(400))))
            })
            .collect();
        texts.extend(["1+", "true&&", "inputs.n<", "true?1:", "1 in ", "inputs.n*"].map(|part| {
            let times = (LONGEST - 1) / part.len();
            format!("{}1", part.repeat(times))
        }));
        texts.push(format!("inputs{}", ".a".repeat(490)));
        texts.push(format!("inputs{}", "['a']".repeat(190)));
        texts.push(format!("[1].all(x, inputs{} == x)", "['a']".repeat(180)));
        texts.push(format!("has(inputs{})", ".a".repeat(180)));
        texts.push("x".repeat(LONGEST + 1));
        for text in texts {
            // Whatever it says, it says it in bounded stack and without a panic.
            drop(value(&text));
        }
    };
    let small = std::thread::Builder::new().stack_size(1 << 20).spawn(hostile);
    small.expect("a thread").join().expect("no panic, no overflow");
    assert!(matches!(value(&"1".repeat(LONGEST + 1)), Err(ExprError::TooLong(_))));
    assert!(matches!(value("1 +"), Err(ExprError::Syntax { .. })));
    assert!(matches!(value(""), Err(ExprError::Syntax { .. })));
}

fn rendered(written: Value) -> Result<Value, String> {
    let template = Template::parse(written, "/input").map_err(|faults| format!("{faults:?}"))?;
    template.render(&scope()).map(|value| value.as_ref().clone()).map_err(|error| error.to_string())
}

#[test]
fn a_whole_expression_keeps_its_type_and_one_inside_text_is_written_out() {
    let table = [
        (json!({"p": ["${inputs.root}"]}), json!({"p": ["/etc"]})),
        (json!("${inputs.list}"), json!(["x", "y"])),
        (json!("${ inputs.n + 1 }"), json!(4)),
        (json!("n=${inputs.n}, l=${inputs.list}, z=${steps.a.data.none}"), json!("n=3, l=[\"x\",\"y\"], z=null")),
        (json!("${inputs.root}/x"), json!("/etc/x")),
        (json!("costs $5, $${inputs.n}"), json!("costs $5, ${inputs.n}")),
        (json!("${'}' + \"}\" + {'a': '{'}.a}"), json!("}}{")),
        (json!({"k${inputs.n}": 1, "fixed": [1, null]}), json!({"k${inputs.n}": 1, "fixed": [1, null]})),
    ];
    for (written, expected) in table {
        assert_eq!(rendered(written.clone()), Ok(expected), "{written}");
    }
}

#[test]
fn each_bad_template_text_is_pointed_at() {
    let written = json!({"a": ["ok", "${inputs.x +}"], "b/c": "${inputs.root", "d": "${secret.K}"});
    let faults = Template::parse(written, "/steps/0/input").expect_err("three faults");
    let pointers: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
    assert_eq!(pointers, ["/steps/0/input/a/1", "/steps/0/input/b~1c", "/steps/0/input/d"]);
    assert_eq!(faults[1].detail, "`${inputs.root` has no closing brace");
}

#[test]
fn a_template_survives_its_written_form() {
    let template = Template::parse(json!({"a": "${inputs.n}", "b": "$${x"}), "").expect("valid");
    let text = serde_json::to_string(&template).expect("JSON");
    assert_eq!(serde_json::from_str::<Template>(&text).expect("read back"), template);
}

proptest! {
    #[test]
    fn no_text_makes_a_template_panic(text in "\\PC{0,60}|[${}'\"\\\\a.()\\[\\]+ ]{0,60}") {
        drop(rendered(json!({ "x": text })));
    }

    #[test]
    fn the_size_is_that_of_the_text(value in json_value(), slack in 0_usize..3) {
        let size = value.to_string().len();
        prop_assert!(!larger_than(&value, size + slack));
        prop_assert!(larger_than(&value, size - 1));
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,4}", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}
