//! One log line per panic. A supervised panic is news, not the end: a backtrace each time would bury it.
use std::panic::PanicHookInfo;

/// Makes every panic of the process a line in the log.
pub fn log_panics() {
    std::panic::set_hook(Box::new(log));
}

fn log(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let message = text.unwrap_or("(no message)");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(thread = thread.name().unwrap_or("?"), place, "panic: {message}");
}

#[cfg(test)]
mod tests {
    /// With `panic = "abort"` nothing that supervision does would ever run.
    #[test]
    #[expect(clippy::assertions_on_constants, reason = "the constant is what the test is about")]
    fn panics_unwind() {
        assert!(cfg!(panic = "unwind"));
    }
}
