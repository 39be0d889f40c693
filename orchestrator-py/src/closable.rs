//! A stream that one call at a time waits on and that any thread may close meanwhile.

use std::pin::Pin;

use futures_util::{Stream, StreamExt};
use orchestrator_core::Problem;
use tokio::sync::{Mutex, watch};

use crate::runtime::release;

/// Things that come one by one until the first failure.
pub(crate) type Items<T> = Pin<Box<dyn Stream<Item = Result<T, Problem>> + Send>>;

/// A stream that can be closed while it is waited on. Closing it lets go of all that it holds.
pub(crate) struct ClosableStream<T: Send + 'static> {
    /// Nothing, once it is over or closed.
    items: Mutex<Option<Items<T>>>,
    is_closed: watch::Sender<bool>,
}

impl<T: Send + 'static> ClosableStream<T> {
    pub(crate) fn new(items: Items<T>) -> Self {
        Self { items: Mutex::new(Some(items)), is_closed: watch::Sender::new(false) }
    }

    /// Returns the next item; nothing after the end, after a failure and after closing.
    pub(crate) async fn next(&self) -> Option<Result<T, Problem>> {
        let mut is_closed = self.is_closed.subscribe();
        let next = async {
            let mut place = self.items.lock().await;
            let item = place.as_mut()?.next().await;
            if !matches!(item, Some(Ok(_))) {
                *place = None;
            }
            item
        };
        tokio::select! {
            biased;
            _ = is_closed.wait_for(|is_closed| *is_closed) => {}
            item = next => return item,
        }
        self.let_go();
        None
    }

    /// Ends the stream. Whoever waits for its next item gets nothing.
    pub(crate) fn close(&self) {
        self.is_closed.send_replace(true);
        self.let_go();
    }

    /// Where another call holds the items, that call lets them go when it sees that the stream is closed.
    fn let_go(&self) {
        if let Ok(mut place) = self.items.try_lock() {
            release(place.take());
        }
    }
}

impl<T: Send + 'static> Drop for ClosableStream<T> {
    fn drop(&mut self) {
        self.let_go();
    }
}
