//! A home: the arbiter (one thread) that children live on, and that is replaced when one of them blocks it.
//!
//! A blocked thread cannot be ended from outside. Its home moves to a fresh thread, the children start anew there,
//! and the old thread ends when what blocks it returns. If it never does, that thread is lost; a home that has lost
//! too many threads refuses to move, and its supervisor gives up.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix_rt::{Arbiter, ArbiterHandle};
use parking_lot::Mutex;

/// How many threads a home may have lost and not got back.
const MOST_LOST: usize = 4;

#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    #[error("cannot start a thread for `{home}`")]
    Thread {
        home: String,
        #[source]
        source: std::io::Error,
    },
    #[error("`{home}` has lost {lost} threads to calls that never returned")]
    TooManyLost { home: String, lost: usize },
}

/// An arbiter by name, shared by those who live there.
#[derive(Debug)]
pub struct Home {
    name: String,
    present: Mutex<Present>,
    lost: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Present {
    handle: ArbiterHandle,
    /// Started here, hence ended here.
    owned: bool,
    generation: u64,
}

impl Home {
    /// Starts a thread.
    pub fn start(name: impl Into<String>) -> Result<Arc<Self>, HomeError> {
        let name = name.into();
        let handle = fresh(&name)?;
        Ok(Self::with(name, handle, true))
    }

    /// An arbiter that somebody else started and will end.
    pub fn given(name: impl Into<String>, handle: ArbiterHandle) -> Arc<Self> {
        Self::with(name.into(), handle, false)
    }

    fn with(name: String, handle: ArbiterHandle, owned: bool) -> Arc<Self> {
        let present = Mutex::new(Present { handle, owned, generation: 0 });
        Arc::new(Home { name, present, lost: Arc::default() })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Threads that were given up and whose call has not returned.
    pub fn lost(&self) -> usize {
        self.lost.load(Ordering::Acquire)
    }

    /// Counts the moves; who lives in an older generation lives on a thread that was given up.
    pub(super) fn generation(&self) -> u64 {
        self.present.lock().generation
    }

    /// Runs `work` on the present thread. If that has ended, `work` is dropped unrun.
    pub(super) fn run(&self, work: impl FnOnce() + Send + 'static) {
        if !self.present.lock().handle.spawn_fn(work) {
            tracing::warn!(home = %self.name, "the thread of `{}` has ended", self.name);
        }
    }

    /// Moves to a fresh thread, unless another supervisor has already done so since `seen`.
    pub(super) fn move_from(&self, seen: u64) -> Result<(), HomeError> {
        let mut present = self.present.lock();
        if present.generation != seen {
            return Ok(());
        }
        let lost = self.lost.fetch_add(1, Ordering::AcqRel) + 1;
        let come_back = Arc::clone(&self.lost);
        let gone = !present.handle.spawn_fn(move || {
            come_back.fetch_sub(1, Ordering::AcqRel);
        });
        if gone {
            self.lost.fetch_sub(1, Ordering::AcqRel);
        } else if lost > MOST_LOST {
            return Err(HomeError::TooManyLost { home: self.name.clone(), lost });
        }
        let handle = fresh(&self.name)?;
        if present.owned {
            present.handle.stop();
        }
        *present = Present { handle, owned: true, generation: seen + 1 };
        Ok(())
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let present = self.present.get_mut();
        if present.owned {
            present.handle.stop();
        }
    }
}

fn fresh(home: &str) -> Result<ArbiterHandle, HomeError> {
    let arbiter = Arbiter::try_new().map_err(|source| HomeError::Thread { home: home.to_owned(), source })?;
    Ok(arbiter.handle())
}
