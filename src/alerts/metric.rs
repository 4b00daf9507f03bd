//! What is measured: every metric with its unit. A rule can only name one of these.

/// One reading.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub metric: &'static str,
    /// What the reading is of, where there are several: a mount point, an agent.
    pub of: Option<String>,
    pub value: f64,
}

impl Sample {
    pub fn new(metric: &'static str, value: f64) -> Self {
        Sample { metric, of: None, value }
    }

    pub fn of(metric: &'static str, of: impl Into<String>, value: f64) -> Self {
        Sample { metric, of: Some(of.into()), value }
    }
}

pub struct Metric {
    pub name: &'static str,
    /// `ratio` (0 to 1), `bytes`, `seconds`, `count` or `flag` (0 or 1).
    pub unit: &'static str,
    pub meaning: &'static str,
}

const fn metric(name: &'static str, unit: &'static str, meaning: &'static str) -> Metric {
    Metric { name, unit, meaning }
}

pub const CPU: &str = "host.cpu_ratio";
pub const LOAD: &str = "host.load1_per_core";
pub const MEMORY: &str = "host.memory_used_ratio";
pub const MEMORY_BYTES: &str = "host.memory_used_bytes";
pub const SWAP: &str = "host.swap_used_ratio";
pub const PSI_CPU: &str = "host.pressure_cpu_ratio";
pub const PSI_MEMORY: &str = "host.pressure_memory_ratio";
pub const PSI_IO: &str = "host.pressure_io_ratio";
pub const DISK: &str = "host.disk_used_ratio";
pub const SERVICE_CPU: &str = "service.cpu_ratio";
pub const SERVICE_RSS: &str = "service.rss_bytes";
pub const OPEN_RUNS: &str = "service.open_runs";
pub const RUNNING_STEPS: &str = "service.running_steps";
pub const RUNS_IN_NEED: &str = "service.runs_need_person";
pub const DATABASE_DOWN: &str = "service.database_down";
pub const TPM_DOWN: &str = "service.log_unsigned";
pub const BACKLOG: &str = "service.audit_backlog";
pub const QUEUE: &str = "agents.queue";
pub const AGENTS_DOWN: &str = "agents.not_up";
pub const AGENT_OPEN: &str = "agents.breaker_open";
pub const STEPS: &str = "agents.steps_total";
pub const FAILED_STEPS: &str = "agents.steps_failed_total";
pub const DRILL: &str = "test.level";

/// All of them.
pub const METRICS: &[Metric] = &[
    metric(CPU, "ratio", "share of all cores that worked"),
    metric(LOAD, "ratio", "load average of one minute, per core"),
    metric(MEMORY, "ratio", "memory that is not available"),
    metric(MEMORY_BYTES, "bytes", "memory that is not available"),
    metric(SWAP, "ratio", "swap in use"),
    metric(PSI_CPU, "ratio", "share of time in which some task waited for a core (PSI some, 10 s)"),
    metric(PSI_MEMORY, "ratio", "share of time in which all tasks waited for memory (PSI full, 10 s)"),
    metric(PSI_IO, "ratio", "share of time in which all tasks waited for input or output (PSI full, 10 s)"),
    metric(DISK, "ratio", "use of the file system that holds the data directory"),
    metric(SERVICE_CPU, "ratio", "cores that the service used"),
    metric(SERVICE_RSS, "bytes", "resident memory of the service"),
    metric(OPEN_RUNS, "count", "runs that have not ended"),
    metric(RUNNING_STEPS, "count", "steps that agents work on"),
    metric(RUNS_IN_NEED, "count", "runs that ended with changes that could not be undone"),
    metric(DATABASE_DOWN, "flag", "the database does not answer"),
    metric(TPM_DOWN, "flag", "there is no signed head of the audit log, or none can be had"),
    metric(BACKLOG, "count", "audit entries that no signed head covers yet"),
    metric(QUEUE, "count", "requests that wait at agents"),
    metric(AGENTS_DOWN, "count", "agents that are not up"),
    metric(AGENT_OPEN, "flag", "the breaker of this agent is open"),
    metric(STEPS, "count", "steps that this agent has finished since it was started"),
    metric(FAILED_STEPS, "count", "steps that failed among them"),
    metric(DRILL, "count", "sent by `dsmil alerts test`, and by nothing else"),
];

pub fn find(name: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|metric| metric.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_metric_has_one_name_and_a_known_unit() {
        for (place, metric) in METRICS.iter().enumerate() {
            assert!(METRICS[..place].iter().all(|before| before.name != metric.name), "{} twice", metric.name);
            assert!(["ratio", "bytes", "seconds", "count", "flag"].contains(&metric.unit), "{}", metric.name);
            assert!(metric.name.split_once('.').is_some() && !metric.meaning.is_empty());
        }
    }
}
