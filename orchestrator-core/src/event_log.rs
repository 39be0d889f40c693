//! stub
use crate::event::*;
use crate::store::StateStore;
use std::sync::Arc;
use tokio::sync::broadcast;
/// x
#[derive(Clone)]
pub struct EventLog(broadcast::Sender<Event>);
impl EventLog {
    /// x
    pub fn start(_s: Arc<dyn StateStore>) -> Self {
        Self(broadcast::channel(1).0)
    }
    /// x
    pub fn record(&self, _d: EventDraft) {}
    /// x
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.0.subscribe()
    }
    /// x
    pub async fn flush(&self) {}
    /// x
    pub async fn close(&self) {}
}
