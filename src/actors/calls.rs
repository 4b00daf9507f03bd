//! Which function of a tool an order is for, and the refusal of one that the tool does not have.
use serde_json::Value;

use crate::toolkit::change::{Call, Planned};
use crate::toolkit::cx::ToolCx;
use crate::toolkit::output::{Output, Reason, Status};
use crate::toolkit::spec::Tool;

/// Has the tool do it. `denied` where tool and call do not go together: the same order will never do better.
pub(super) fn carry_out(tool: &dyn Tool, cx: &ToolCx, call: &Call, input: &Value) -> Output {
    let Some(change) = tool.change() else {
        // Making a specification means making its schemas: not for each run.
        if *call == Call::Run {
            return tool.call(cx, input);
        }
        let spec = tool.spec();
        // A tool of the catalogue without code says so itself, whatever is asked of it.
        if !spec.built {
            return tool.call(cx, input);
        }
        let detail = format!("{} is {:?}: it is run, and has no plan to make, apply or undo", spec.id, spec.kind);
        return denied("changes_nothing", spec.id.as_str(), detail);
    };
    match call {
        Call::Run => {
            let id = tool.spec().id;
            let detail = format!("{id} changes the host: it must be planned before it is applied");
            denied("needs_a_plan", id.as_str(), detail)
        }
        Call::Plan => change.plan(cx, input).map_or_else(|refusal| *refusal, Planned::into_output),
        Call::Apply(plan) => change.apply(cx, plan),
        Call::Undo(plan) => change.undo(cx, plan),
        Call::Settle(plan) => change.settle(cx, plan),
    }
}

fn denied(code: &str, tool: &str, detail: String) -> Output {
    Output::without_data(Status::Denied, Reason::new(code, tool, detail))
}
