//! A home: the arbiter (one thread) that children live on, and that is replaced when one of them blocks it.
//!
//! A blocked thread cannot be ended from outside. Its home moves to a fresh thread, the children start anew there,
//! and the old thread ends when what blocks it returns. If it never does, that thread is lost; a home that has lost
//! too many threads refuses to move, and its supervisor gives up.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use actix_rt::{Arbiter, ArbiterHandle};
use parking_lot::Mutex;

use crate::clock;

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
    /// When the present thread last began with something it was given, by the coarse clock.
    began: Arc<AtomicU64>,
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
        let began = Arc::new(AtomicU64::new(clock::coarse_ms()));
        Arc::new(Home { name, present, lost: Arc::default(), began })
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

    /// For how long the present thread has begun with nothing.
    pub(super) fn quiet_for(&self) -> Duration {
        Duration::from_millis(clock::coarse_ms().saturating_sub(self.began.load(Ordering::Acquire)))
    }

    /// Whether anybody can live here: the present thread is not one that could not be left.
    pub(super) fn check(&self) -> Result<(), HomeError> {
        let lost = self.lost();
        let full = || HomeError::TooManyLost { home: self.name.clone(), lost };
        if lost > MOST_LOST { Err(full()) } else { Ok(()) }
    }

    /// Runs `work` on the present thread. If that has ended, `work` is dropped unrun.
    pub(super) fn run(&self, work: impl FnOnce() + Send + 'static) {
        let began = Arc::clone(&self.began);
        let work = move || {
            began.store(clock::coarse_ms(), Ordering::Release);
            work();
        };
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
        // Also dropped without being run: by a thread that has ended, or ends as soon as it comes back.
        let come_back = ComeBack(Arc::clone(&self.lost));
        let held = present.handle.spawn_fn(move || drop(come_back));
        if held && lost > MOST_LOST {
            return Err(HomeError::TooManyLost { home: self.name.clone(), lost });
        }
        let handle = fresh(&self.name)?;
        if present.owned {
            present.handle.stop();
        }
        *present = Present { handle, owned: true, generation: seen + 1 };
        self.began.store(clock::coarse_ms(), Ordering::Release);
        Ok(())
    }
}

/// A thread that was given up, until it has done what it was held by.
struct ComeBack(Arc<AtomicUsize>);

impl Drop for ComeBack {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
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
