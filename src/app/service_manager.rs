//! What the service manager is told, if one started us (sd_notify(3)): that the service is ready, that it stops, and,
//! while the root of the supervision tree is alive, that it need not be killed (WATCHDOG=1).
use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tokio::sync::watch;
use tracing::warn;

/// Between two beats of the root, which are waited for besides.
const TICK: Duration = Duration::from_millis(100);

/// Says one thing.
pub fn notify(state: &str) {
    let Some(place) = env::var_os("NOTIFY_SOCKET") else { return };
    let name = place.as_encoded_bytes();
    let told = UnixDatagram::unbound().and_then(|socket| {
        let address = match name.strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(&place)?,
        };
        // a manager that does not read must not hold up the service
        socket.set_nonblocking(true)?;
        socket.send_to_addr(state.as_bytes(), &address)
    });
    match told {
        Ok(_) => {}
        Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => {
            warn!("the service manager does not listen: {state}")
        }
        Err(fault) => warn!("the service manager cannot be told {state}: {fault}"),
    }
}

/// Tells the manager's watchdog, twice in each of its periods, that the root has ticked. It falls silent when the root
/// or this thread is stuck; the manager then ends the process and starts it anew.
pub async fn feed_watchdog(mut pulse: watch::Receiver<u64>) {
    let told = |name| env::var(name).ok();
    let Some(period) = period(told("WATCHDOG_USEC"), told("WATCHDOG_PID"), std::process::id()) else { return };
    while pulse.changed().await.is_ok() {
        notify("WATCHDOG=1");
        tokio::time::sleep((period / 2).saturating_sub(TICK)).await;
        pulse.mark_unchanged();
    }
}

/// None: the manager set no watchdog, or not on this process.
fn period(usec: Option<String>, pid: Option<String>, own_pid: u32) -> Option<Duration> {
    let ours = pid.is_none_or(|pid| pid.parse() == Ok(own_pid));
    let usec: u64 = usec?.parse().ok()?;
    (ours && usec > 0).then(|| Duration::from_micros(usec))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_fed_if_it_watches_this_process() {
        let check = |usec: Option<&str>, pid: Option<&str>| period(usec.map(str::to_owned), pid.map(str::to_owned), 7);
        assert_eq!(check(Some("3000000"), Some("7")), Some(Duration::from_secs(3)));
        assert_eq!(check(Some("3000000"), None), Some(Duration::from_secs(3)));
        for (usec, pid) in [(None, None), (Some("0"), None), (Some("soon"), None), (Some("3000000"), Some("8"))] {
            assert_eq!(check(usec, pid), None, "{usec:?} {pid:?}");
        }
    }
}
