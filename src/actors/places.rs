//! The places of an agent: how many steps it works on at once, some of which can be withheld for a time.
use std::sync::Arc;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

pub struct Places {
    free: Arc<Semaphore>,
    all: usize,
    /// Each holds one place from the moment it is free until it is given back.
    withheld: Vec<JoinHandle<()>>,
}

impl Places {
    pub fn new(all: usize) -> Self {
        Places { free: Arc::new(Semaphore::new(all)), all, withheld: Vec::new() }
    }

    /// Waits for a place; it is given back when the permit is dropped.
    pub fn take(&self) -> impl Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + use<> {
        Arc::clone(&self.free).acquire_owned()
    }

    /// Uses this share of the places, at least one. What is worked on goes on.
    pub fn use_share(&mut self, share: f64) {
        let wanted = ((self.all as f64 * share).round() as usize).clamp(1, self.all);
        let withhold = self.all - wanted;
        while self.withheld.len() > withhold {
            if let Some(holder) = self.withheld.pop() {
                holder.abort();
            }
        }
        while self.withheld.len() < withhold {
            let place = self.take();
            self.withheld.push(actix_rt::spawn(async move {
                // The semaphore is never closed; were it, there would be nothing to withhold.
                if let Ok(_place) = place.await {
                    std::future::pending::<()>().await;
                }
            }));
        }
    }

    pub fn in_use_at_most(&self) -> usize {
        self.all - self.withheld.len()
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        self.withheld.iter().for_each(JoinHandle::abort);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_rt::test]
    async fn places_are_withheld_as_they_fall_free_and_given_back() {
        let mut places = Places::new(4);
        let busy = [
            places.take().await.expect("open"),
            places.take().await.expect("open"),
            places.take().await.expect("open"),
        ];
        places.use_share(0.25);
        assert_eq!(places.in_use_at_most(), 1);
        tokio::task::yield_now().await;
        assert_eq!(places.free.available_permits(), 0, "the free one is withheld");
        drop(busy);
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert_eq!(places.free.available_permits(), 1);
        places.use_share(1.0);
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert_eq!((places.free.available_permits(), places.in_use_at_most()), (4, 4));
        places.use_share(0.0);
        assert_eq!(places.in_use_at_most(), 1, "never none");
    }
}
