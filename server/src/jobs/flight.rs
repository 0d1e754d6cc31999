//! One piece of work for all who want the same at the same time.
//!
//! Whoever waits keeps the work going: it goes on when one of them leaves, and is cancelled with the last.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use futures::{
    FutureExt as _,
    future::{BoxFuture, Shared, WeakShared},
};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::Progress;

/// Work in flight, by what it is for. Clones share it.
pub(super) struct Flights<K, V: Clone>(Arc<Mutex<HashMap<K, Flight<V>>>>);

struct Flight<V: Clone> {
    work: WeakShared<BoxFuture<'static, V>>,
    pages: watch::Receiver<(usize, usize)>,
    /// Tells a flight from a later one for the same.
    number: u64,
}

/// Tells everybody who waits how far the work is.
pub(super) struct Pages(watch::Sender<(usize, usize)>);

impl Progress for Pages {
    fn pages(&self, done: usize, total: usize) {
        self.0.send_replace((done, total));
    }
}

impl<K, V: Clone> Clone for Flights<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, V: Clone> Default for Flights<K, V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K, V: Clone> std::fmt::Debug for Flights<K, V> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_tuple("Flights").field(&self.0.lock().len()).finish()
    }
}

impl<K, V> Flights<K, V>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// What the work for `key` comes to: that in flight, or else the one that `start` begins. Also says whether it
    /// was in flight already.
    pub(super) async fn join(
        &self,
        key: K,
        progress: &dyn Progress,
        start: impl FnOnce(Pages) -> BoxFuture<'static, V>,
    ) -> (V, bool) {
        let (mut work, mut pages, joined) = self.board(key, start);
        let mut told = (0, 0);
        let value = loop {
            tokio::select! {
                biased;
                value = &mut work => break value,
                Ok(()) = pages.changed() => {
                    told = *pages.borrow_and_update();
                    progress.pages(told.0, told.1);
                }
            }
        };
        // With the last page the work is done, too.
        let last = *pages.borrow();
        if last != told {
            progress.pages(last.0, last.1);
        }
        (value, joined)
    }

    fn board(
        &self,
        key: K,
        start: impl FnOnce(Pages) -> BoxFuture<'static, V>,
    ) -> (
        Shared<BoxFuture<'static, V>>,
        watch::Receiver<(usize, usize)>,
        bool,
    ) {
        let mut flights = self.0.lock();
        let last = flights.get(&key);
        if let Some((work, flight)) = last.and_then(|flight| Some((flight.work.upgrade()?, flight))) {
            return (work, flight.pages.clone(), true);
        }
        let number = last.map_or(0, |flight| flight.number + 1);
        let (sender, pages) = watch::channel((0, 0));
        let landing = Landing {
            flights: self.clone(),
            key: key.clone(),
            number,
        };
        let work = start(Pages(sender));
        let work = async move {
            let _landing = landing;
            work.await
        };
        let work = work.boxed().shared();
        if let Some(weak) = work.downgrade() {
            let flight = Flight {
                work: weak,
                pages: pages.clone(),
                number,
            };
            flights.insert(key, flight);
        }
        (work, pages, false)
    }
}

/// Takes a flight off the list when its work is done or cancelled.
struct Landing<K: Hash + Eq, V: Clone> {
    flights: Flights<K, V>,
    key: K,
    number: u64,
}

impl<K: Hash + Eq, V: Clone> Drop for Landing<K, V> {
    fn drop(&mut self) {
        let mut flights = self.flights.0.lock();
        if flights
            .get(&self.key)
            .is_some_and(|flight| flight.number == self.number)
        {
            flights.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::{future::join, poll};
    use tokio::sync::oneshot;

    use super::*;

    type Numbers = Flights<&'static str, Option<u32>>;

    /// Work that ends when it is told what it comes to, and the count of how often it began.
    fn work(
        begun: &AtomicUsize,
    ) -> (
        oneshot::Sender<u32>,
        impl FnOnce(Pages) -> BoxFuture<'static, Option<u32>>,
    ) {
        let (sender, receiver) = oneshot::channel();
        let start = |pages: Pages| {
            begun.fetch_add(1, Ordering::Relaxed);
            async move {
                pages.pages(1, 2);
                let value = receiver.await.ok();
                pages.pages(2, 2);
                value
            }
            .boxed()
        };
        (sender, start)
    }

    #[derive(Default)]
    struct Heard(AtomicUsize);

    impl Progress for Heard {
        fn pages(&self, done: usize, _: usize) {
            self.0.store(done, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn equal_work_is_done_once_and_everybody_hears_of_it() {
        let (flights, begun, heard) = (Numbers::default(), AtomicUsize::new(0), Heard::default());
        let (done, start) = work(&begun);
        let (_, unused) = work(&begun);
        let first = Box::pin(flights.join("a", &(), start));
        let mut second = Box::pin(flights.join("a", &heard, unused));
        let mut first = first;
        assert!(poll!(&mut first).is_pending());
        assert!(poll!(&mut second).is_pending());
        assert_eq!(heard.0.load(Ordering::Relaxed), 1);
        done.send(7).expect("waited for");
        assert_eq!(join(first, second).await, ((Some(7), false), (Some(7), true)));
        assert_eq!(heard.0.load(Ordering::Relaxed), 2, "of the last page too");
        assert_eq!(begun.load(Ordering::Relaxed), 1);
        assert!(flights.0.lock().is_empty());
    }

    #[tokio::test]
    async fn one_who_leaves_does_not_end_it_and_the_last_does() {
        let (flights, begun) = (Numbers::default(), AtomicUsize::new(0));
        let (done, start) = work(&begun);
        let (_, unused) = work(&begun);
        let mut first = Box::pin(flights.join("a", &(), start));
        let mut second = Box::pin(flights.join("a", &(), unused));
        assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
        drop(first);
        assert!(!done.is_closed(), "the second still waits");
        drop(second);
        assert!(done.is_closed(), "nobody waits");
        assert!(flights.0.lock().is_empty());

        // And whoever comes later begins anew.
        let (done, start) = work(&begun);
        done.send(8).expect("to come");
        assert_eq!(flights.join("a", &(), start).await, (Some(8), false));
        assert_eq!(begun.load(Ordering::Relaxed), 2);
    }
}
