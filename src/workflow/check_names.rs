//! Links steps with each other: duplicate ids, needs that lead nowhere or round in circles, and expressions that read
//! what will not be there when the step begins.
use std::collections::HashMap;

use serde_json::Value;

use crate::ids::StepId;
use crate::workflow::check_step::Draft;
use crate::workflow::document::Reader;
use crate::workflow::expr::Expr;
use crate::workflow::fault::below;
use crate::workflow::fault::did_you_mean;
use crate::workflow::graph::Graph;
use crate::workflow::graph::contains;
use crate::workflow::graph::cycle;
use crate::workflow::plan::Mode;
use crate::workflow::step::Step;

/// The steps, if there is no fault in any of them.
pub fn link(mode: Mode, inputs: &Value, drafts: Vec<Draft>, reader: &mut Reader) -> Option<Vec<Step>> {
    let places = places(&drafts, reader);
    let needs = resolve_needs(&drafts, &places, reader);
    check_circles(&drafts, &needs, reader);
    check_reads(mode, inputs, &drafts, &places, needs, reader);
    if !reader.faults.is_empty() {
        return None;
    }
    drafts.into_iter().map(finished).collect()
}

fn finished(draft: Draft) -> Option<Step> {
    let job = draft.job?;
    let needs = draft.needs.iter().map(|(name, _)| StepId::new(name)).collect::<Result<_, _>>().ok()?;
    Some(Step {
        id: draft.id?,
        work: job.work,
        input: draft.input,
        needs,
        when: draft.when,
        timeout: draft.timeout.unwrap_or(job.timeout),
        attempt_timeout: draft.attempt_timeout,
        retry: draft.retry,
        approve: draft.approve,
        for_each: draft.for_each,
        on_failure: draft.on_failure,
    })
}

fn places(drafts: &[Draft], reader: &mut Reader) -> HashMap<StepId, usize> {
    let mut places = HashMap::new();
    for (at, draft) in drafts.iter().enumerate() {
        let Some(id) = &draft.id else { continue };
        match places.get(id) {
            Some(first) => {
                reader.fault(below(&draft.pointer, "id"), format!("step {first} has the id `{id}` already"));
            }
            None => drop(places.insert(id.clone(), at)),
        }
    }
    places
}

fn resolve_needs(drafts: &[Draft], places: &HashMap<StepId, usize>, reader: &mut Reader) -> Vec<Vec<usize>> {
    let mut all = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let mut needs = Vec::new();
        for (name, pointer) in &draft.needs {
            match places.get(name.as_str()) {
                _ if draft.id.as_ref().is_some_and(|id| id.as_str() == name) => {
                    reader.fault(pointer, format!("step `{name}` needs itself"));
                }
                Some(place) if needs.contains(place) => reader.fault(pointer, format!("`{name}` is named twice")),
                Some(place) => needs.push(*place),
                None => reader.fault(pointer, format!("there is no step `{name}`{}", near_step(name, places))),
            }
        }
        all.push(needs);
    }
    all
}

fn near_step(name: &str, places: &HashMap<StepId, usize>) -> String {
    did_you_mean(name, places.keys().map(StepId::as_str))
}

fn check_circles(drafts: &[Draft], needs: &[Vec<usize>], reader: &mut Reader) {
    let Some(circle) = cycle(needs) else { return };
    let names: Vec<_> = circle.iter().filter_map(|at| Some(drafts.get(*at)?.id.as_ref()?.to_string())).collect();
    let first = circle.first().and_then(|at| drafts.get(*at)).map_or("/steps", |draft| draft.pointer.as_str());
    reader.fault(below(first, "needs"), format!("steps need each other in a circle: {}", names.join(" -> ")));
}

/// What an expression may read: an input that is declared, a step that has certainly settled, `prev` in a pipeline.
fn check_reads(
    mode: Mode,
    inputs: &Value,
    drafts: &[Draft],
    places: &HashMap<StepId, usize>,
    needs: Vec<Vec<usize>>,
    reader: &mut Reader,
) {
    // With a circle among the needs this knows too few ancestors; only the circle is told then.
    if cycle(&needs).is_some() {
        return;
    }
    let before = (mode == Mode::Dag)
        .then(|| Graph { index: HashMap::new(), dependents: vec![Vec::new(); needs.len()], needs }.ancestors());
    for (at, draft) in drafts.iter().enumerate() {
        let is_before = |other: usize| match mode {
            Mode::Parallel => false,
            Mode::Sequential | Mode::Pipeline => other < at,
            Mode::Dag => before.as_ref().and_then(|sets| sets.get(at)).is_some_and(|set| contains(set, other)),
        };
        let mut check = |pointer: String, expr: &Expr, has_item: bool| {
            if !has_item && expr.reads().fields.contains_key("item") {
                reader
                    .fault(&pointer, format!("`{}`: `item` is for the input of a step with `for_each`", expr.source()));
            }
            for name in expr.reads().fields.get("inputs").into_iter().flat_map(|reads| reads.fields.keys()) {
                if inputs.get(name).is_none() {
                    let declared = inputs.as_object().into_iter().flat_map(|fields| fields.keys().map(String::as_str));
                    let hint = did_you_mean(name, declared);
                    reader.fault(&pointer, format!("`{}`: there is no input `{name}`{hint}", expr.source()));
                }
            }
            for name in expr.reads().fields.get("steps").into_iter().flat_map(|reads| reads.fields.keys()) {
                let detail = match places.get(name.as_str()) {
                    None => format!("there is no step `{name}`{}", near_step(name, places)),
                    Some(place) if is_before(*place) => continue,
                    Some(_) if mode == Mode::Dag => {
                        format!("step `{name}` may not have ended by then; add it to `needs`")
                    }
                    Some(_) => format!("step `{name}` has not ended by then"),
                };
                reader.fault(&pointer, format!("`{}`: {detail}", expr.source()));
            }
            if mode != Mode::Pipeline && expr.reads().fields.contains_key("prev") {
                reader.fault(&pointer, format!("`{}`: `prev` is for the mode `pipeline`", expr.source()));
            }
        };
        if let Some(when) = &draft.when {
            check(below(&draft.pointer, "when"), when, false);
        }
        if let Some(each) = &draft.for_each {
            each.items.each_expr(&below(&draft.pointer, "for_each"), &mut |pointer, expr| check(pointer, expr, false));
        }
        if let Some(input) = &draft.input {
            let each = draft.for_each.is_some();
            input.each_expr(&below(&draft.pointer, draft.input_key), &mut |pointer, expr| check(pointer, expr, each));
        }
    }
}
