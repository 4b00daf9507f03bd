//! Real load on the cores of this host, and rules that notice it.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, spawn};

/// A rule that the burner breaks, and that what else the tests do to this host does not break for long.
pub const RULES: &str = r#"
[[rule]]
name = "burner"
metric = "service.cpu_ratio"
above = 100000
severity = "info"
summary = "never"

[[rule]]
name = "busy"
metric = "host.cpu_ratio"
above = 0.92
clear = 0.85
for = "2s"
severity = "critical"
summary = "a core is busy"
action = "reduce-agent-concurrency"

[[rule]]
name = "drill"
metric = "test.level"
above = 0.5
severity = "warning"
summary = "an exercise"
action = "pause-non-critical"
"#;

/// Keeps as many cores busy as there are.
pub struct Burner {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Burner {
    pub fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let burn = |stop: Arc<AtomicBool>| {
            spawn(move || {
                let mut sum = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
                }
            })
        };
        let threads = (0..cores).map(|_| burn(Arc::clone(&stop))).collect();
        Burner { stop, threads }
    }
}

impl Drop for Burner {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("a burner ends");
        }
    }
}
