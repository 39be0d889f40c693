//! The core's facade as what lets requests in.

use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use orchestrator_core::event::EventDraft;
use orchestrator_core::orchestrator::{Lease, Requester};
use orchestrator_core::runtime::RuntimeCapabilities;
use orchestrator_core::{InstanceName, InstanceSpec, Orchestrator, Problem};

use super::{Admission, InstanceLease, ServerMark};
use crate::api::ServedModel;

impl Admission for Orchestrator {
    type Lease = Lease;

    async fn admit(&self, model: &str, requester: Requester) -> Result<Lease, Problem> {
        Orchestrator::admit_for(self, model, requester).await
    }

    fn shun(&self, instance: &InstanceName, pause: Duration) {
        Self::shun(self, instance, pause);
    }

    fn record(&self, event: EventDraft) {
        Orchestrator::record(self, event);
    }

    fn served(&self) -> Vec<ServedModel> {
        Orchestrator::served(self)
    }
}

impl InstanceLease for Lease {
    fn address(&self) -> SocketAddr {
        Lease::address(self)
    }

    fn server(&self) -> ServerMark {
        let mut hasher = DefaultHasher::new();
        Lease::server(self).hash(&mut hasher);
        hasher.finish()
    }

    fn instance(&self) -> &InstanceName {
        Lease::instance(self)
    }

    fn spec(&self) -> &Arc<InstanceSpec> {
        Lease::spec(self)
    }

    fn capabilities(&self) -> RuntimeCapabilities {
        Lease::capabilities(self)
    }

    fn gone(&self) -> impl Future<Output = ()> + Send {
        Lease::gone(self)
    }
}
