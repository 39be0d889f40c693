//! What this machine has, and what the engines make of it.

use futures_util::future::join_all;

use super::Orchestrator;
use crate::hardware::{EngineDevices, Hardware};
use crate::runtime::{Engine, Runtime};

impl Orchestrator {
    /// Returns what this machine has.
    pub async fn hardware(&self) -> Hardware {
        self.inner.services.hardware.probe().await
    }

    /// Returns what this machine has, with what each engine says that it could use: those of the instances, and those that
    /// are found without any configuration. They are started for that, for a moment.
    pub async fn hardware_and_engines(&self) -> Hardware {
        let services = &self.inner.services;
        let mut asked = Vec::new();
        for (kind, runtime) in &services.runtimes {
            let mut engines = runtime.engines_at_hand();
            for name in self.inner.fleet.names() {
                let Some(Ok(spec)) = self.inner.fleet.configured(&name) else { continue };
                if spec.runtime == *kind {
                    // What cannot be found is the instance's own trouble, and is told there.
                    engines.extend(runtime.find_engine(&spec, services.environments.as_ref()).await);
                }
            }
            engines.sort_by_key(Engine::shown);
            engines.dedup();
            asked.extend(engines.into_iter().map(|engine| (runtime.as_ref(), engine)));
        }
        let (mut hardware, engines) =
            tokio::join!(self.hardware(), join_all(asked.into_iter().map(|(runtime, engine)| ask(runtime, engine))));
        hardware.engines = engines;
        hardware
    }
}

async fn ask(runtime: &dyn Runtime, engine: Engine) -> EngineDevices {
    let (devices, problem) = match runtime.devices_of(&engine).await {
        Ok(devices) => (devices, None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    EngineDevices { runtime: runtime.kind(), engine: engine.shown(), devices, problem }
}
