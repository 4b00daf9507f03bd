//! Measures what the calling thread uses while it does a piece of work.
use nix::sys::resource::{Usage as Raw, UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use crate::workflow::result::Usage;

/// Does the work; the usage is none where the kernel does not tell it.
pub fn measured<T>(work: impl FnOnce() -> T) -> (T, Option<Usage>) {
    let before = of_thread();
    let done = work();
    let usage = before.zip(of_thread()).map(|(before, after)| between(&before, &after));
    (done, usage)
}

fn of_thread() -> Option<Raw> {
    getrusage(UsageWho::RUSAGE_THREAD).ok()
}

fn between(before: &Raw, after: &Raw) -> Usage {
    let cpu_us = |raw: &Raw| raw.user_time().num_microseconds() + raw.system_time().num_microseconds();
    let grown = |count: fn(&Raw) -> i64| u64::try_from(count(after) - count(before)).unwrap_or(0);
    Usage {
        cpu_ms: (cpu_us(after) - cpu_us(before)).max(0) as f64 / 1e3,
        major_faults: grown(Raw::major_page_faults),
        blocks_in: grown(Raw::block_reads),
        blocks_out: grown(Raw::block_writes),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;

    #[test]
    fn work_uses_time_and_waiting_does_not() {
        let begun = clock::now();
        let (_, worked) = measured(|| while clock::now() - begun < Duration::from_millis(60) {});
        let (_, waited) = measured(|| std::thread::park_timeout(Duration::from_millis(60)));
        let (worked, waited) = (worked.expect("told").cpu_ms, waited.expect("told").cpu_ms);
        assert!(worked > waited, "{worked} {waited}");
        assert!(waited < 30.0, "{waited}");
    }
}
