//! The places of an agent: how many steps it works on at once, some of which can be withheld for a time.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

pub struct Places {
    free: Arc<Semaphore>,
    all: usize,
    withheld: usize,
    /// Places that are withheld as soon as they fall free: before any step that waits gets one.
    owed: Arc<AtomicUsize>,
}

/// A place that a step has; given back when dropped.
pub struct Place {
    permit: Option<OwnedSemaphorePermit>,
    owed: Arc<AtomicUsize>,
}

impl Places {
    pub fn new(all: usize) -> Self {
        Places { free: Arc::new(Semaphore::new(all)), all, withheld: 0, owed: Arc::default() }
    }

    /// Waits for a place.
    pub fn take(&self) -> impl Future<Output = Result<Place, AcquireError>> + use<> {
        let (free, owed) = (Arc::clone(&self.free), Arc::clone(&self.owed));
        async move { Ok(Place { permit: Some(free.acquire_owned().await?), owed }) }
    }

    /// Uses this share of the places, at least one. What is worked on goes on.
    pub fn use_share(&mut self, share: f64) {
        let wanted = ((self.all as f64 * share).round() as usize).clamp(1, self.all);
        let withheld = self.all - wanted;
        if withheld > self.withheld {
            let more = withheld - self.withheld;
            let had = self.free.forget_permits(more);
            self.owed.fetch_add(more - had, Ordering::AcqRel);
        } else {
            let back = (0..self.withheld - withheld).filter(|_| !pay(&self.owed)).count();
            self.free.add_permits(back);
        }
        self.withheld = withheld;
    }

    pub fn in_use_at_most(&self) -> usize {
        self.all - self.withheld
    }
}

/// Takes one off what is owed; false: nothing is.
fn pay(owed: &AtomicUsize) -> bool {
    owed.fetch_update(Ordering::AcqRel, Ordering::Acquire, |owed| owed.checked_sub(1)).is_ok()
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take()
            && pay(&self.owed)
        {
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn places_are_withheld_as_they_fall_free_and_given_back() {
        let mut places = Places::new(4);
        let busy: Vec<Place> = join_all((0..3).map(|_| places.take())).await.into_iter().flatten().collect();
        places.use_share(0.25);
        assert_eq!((places.in_use_at_most(), places.free.available_permits()), (1, 0), "the free one is withheld");
        drop(busy);
        assert_eq!(places.free.available_permits(), 1);
        places.use_share(1.0);
        assert_eq!((places.free.available_permits(), places.in_use_at_most()), (4, 4));
        places.use_share(0.0);
        assert_eq!(places.in_use_at_most(), 1, "never none");
    }

    #[tokio::test]
    async fn steps_that_wait_do_not_get_a_place_that_is_withheld() {
        let mut places = Places::new(4);
        let mut busy: Vec<Place> = join_all((0..4).map(|_| places.take())).await.into_iter().flatten().collect();
        let waiting: Vec<_> = (0..10).map(|_| tokio::spawn(places.take())).collect();
        tokio::task::yield_now().await;
        places.use_share(0.5);
        busy.truncate(2);
        tokio::task::yield_now().await;
        assert_eq!(waiting.iter().filter(|step| step.is_finished()).count(), 0, "two are worked on, and two may be");
        busy.clear();
        tokio::task::yield_now().await;
        assert_eq!(waiting.iter().filter(|step| step.is_finished()).count(), 2);
        places.use_share(0.25);
        places.use_share(1.0);
        tokio::task::yield_now().await;
        assert_eq!(waiting.iter().filter(|step| step.is_finished()).count(), 4, "what was owed is forgiven");
    }
}
