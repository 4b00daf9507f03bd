//! `cp.echo`: gives its input back; the no-op of benchmarks and of pipeline tests.
use std::time::Duration;

use serde_json::{Value, json};

use crate::toolkit::cx::ToolCx;
use crate::toolkit::output::Output;
use crate::toolkit::spec::{RunsOn, Tool, ToolSpec};
use crate::tools::input::NoInput;
use crate::tools::schema;

pub struct CpEcho;

impl Tool for CpEcho {
    fn spec(&self) -> ToolSpec {
        let what = "Returns its input unchanged: the no-op of benchmarks and pipelines";
        ToolSpec {
            // Any JSON goes in and comes out.
            input_schema: json!(true),
            output_schema: json!(true),
            runs_on: RunsOn::Arbiter,
            learn: false,
            needs_evidence: false,
            ..schema::read_only::<NoInput, ()>("cp.echo", what, "none", Duration::from_secs(5))
        }
    }

    fn call(&self, _: &ToolCx, input: &Value) -> Output {
        Output::ok(input.clone(), Vec::new())
    }
}
