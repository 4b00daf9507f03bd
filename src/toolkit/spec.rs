//! What is known about a tool before it is called; also what `GET /tools` publishes.
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::ids::ToolId;
use crate::toolkit::change::Change;
use crate::toolkit::cx::ToolCx;
use crate::toolkit::output::Output;

/// What a tool does to the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolKind {
    ReadOnly,
    /// Changes the host; owns an undo.
    Mutating,
    /// Acts outside of the host's configuration: sends, signs, writes an artifact.
    External,
    /// Puts load on the host.
    Load,
}

/// Where a call runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunsOn {
    /// On the agent's arbiter: for pure functions that take microseconds.
    Arbiter,
    /// On a thread of the blocking pool: for everything that reads, waits or hashes.
    Thread,
}

/// The specification of one tool.
#[derive(Debug, Clone)]
pub struct ToolSpec {
    pub id: ToolId,
    pub kind: ToolKind,
    /// One line: what it finds out or does.
    pub what: String,
    /// JSON Schema of the input object.
    pub input_schema: Value,
    /// JSON Schema of `data` in the result.
    pub output_schema: Value,
    /// What it needs beyond an unprivileged process, in words; `none` otherwise.
    pub privileges: String,
    pub timeout: Duration,
    pub runs_on: RunsOn,
    /// Whether an execution teaches the learner something.
    pub learn: bool,
    /// May a call whose outcome is unknown after a crash be made again?
    pub repeatable: bool,
    /// False for pure functions, which read nothing from the host.
    pub needs_evidence: bool,
    /// False: the catalogue names it, this release has no code for it, and a call answers `unavailable`.
    pub built: bool,
}

/// A typed tool. The implementation owns its checks: bad input is `Status::Failed` with code `invalid_input`.
pub trait Tool: Send + Sync {
    fn spec(&self) -> ToolSpec;
    fn call(&self, cx: &ToolCx, input: &Value) -> Output;
    /// Of a built tool of kind `Mutating`: how it is called instead.
    fn change(&self) -> Option<&dyn Change> {
        None
    }
}
