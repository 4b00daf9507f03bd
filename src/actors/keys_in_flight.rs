//! Idempotency keys whose run is being stored: kept over all lives of the orchestrator, as the runs are.
//!
//! It makes the second of two requests wait instead of starting a run that the database would then refuse. That there
//! is one run for one key does not hang on it: that the commit sees to.
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::ids::{Digest, RunId};
use crate::messages::orchestrator::StartError;
use crate::workflow::submission::{IdempotencyKey, Submission};

/// Keys are told apart by who asked.
type Owned = (String, IdempotencyKey);

#[derive(Clone, Default)]
pub struct KeysInFlight(Arc<Mutex<HashMap<Owned, Begun>>>);

#[derive(Debug, Clone, Copy)]
struct Begun {
    run: RunId,
    body: Digest,
}

/// A key in the hands of the run that it starts; let go when that is stored or refused.
pub struct HeldKey {
    owned: Owned,
    pub submission: Submission,
    keys: KeysInFlight,
}

impl KeysInFlight {
    pub(super) fn hold(&self, by: &str, submission: Submission, run: RunId) -> Result<HeldKey, StartError> {
        let owned = (by.to_owned(), submission.key.clone());
        let mut keys = self.0.lock();
        match keys.get(&owned) {
            Some(begun) if begun.body == submission.body => Err(StartError::KeyInFlight),
            Some(begun) => Err(StartError::KeyTaken { run: begun.run, same: false }),
            None => {
                keys.insert(owned.clone(), Begun { run, body: submission.body });
                Ok(HeldKey { owned, submission, keys: self.clone() })
            }
        }
    }
}

impl Drop for HeldKey {
    fn drop(&mut self) {
        self.keys.0.lock().remove(&self.owned);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn submission(key: &str, body: i32) -> Submission {
        Submission::new(IdempotencyKey::parse(key).expect("a key"), &json!(body))
    }

    #[test]
    fn a_key_is_held_until_its_run_lets_it_go() {
        let (keys, run) = (KeysInFlight::default(), RunId(Uuid::from_u128(1)));
        let held = keys.hold("token:a", submission("k", 1), run).unwrap_or_else(|refused| panic!("{refused}"));
        let again = |by: &str, key: &str, body| keys.hold(by, submission(key, body), run).map(drop);
        assert_eq!(again("token:a", "k", 1), Err(StartError::KeyInFlight));
        assert_eq!(again("token:a", "k", 2), Err(StartError::KeyTaken { run, same: false }));
        assert_eq!(again("token:b", "k", 2), Ok(()), "another principal's");
        assert_eq!(again("token:a", "l", 2), Ok(()), "another key");
        drop(held);
        assert_eq!(again("token:a", "k", 2), Ok(()));
    }
}
