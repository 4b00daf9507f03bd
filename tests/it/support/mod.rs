//! What the integration tests share.
use std::time::Duration;

use dsmil::clock;

pub mod audit;
pub mod browser;
pub mod burner;
pub mod database;
pub mod feed;
pub mod records;
pub mod service;
pub mod tpm;

/// Asks again and again until there is an answer.
pub fn until<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let give_up = clock::now() + Duration::from_secs(90);
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(clock::now() < give_up, "no {what} in time");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}
