//! The library behind Orchestrator: its domain, the traits that outside systems implement, the engine that
//! keeps instances in the state they should be in, the state store (`SQLite`) and the local process launcher.
//!
//! Start at [`Orchestrator`], the facade. The traits are [`Runtime`], [`Provider`], [`EnvRegistry`],
//! [`StateStore`], [`Launcher`] and [`HardwareProbe`]; `orchestrator-providers` implements them for real systems.
//!
//! This crate never prints, never reads an environment variable or the home directory (paths are passed in),
//! never serves HTTP, and names no concrete engine or hub.

pub mod config;
pub mod env;
pub mod error;
pub mod event;
pub mod event_log;
pub mod hardware;
pub mod home_failure;
pub mod instance;
pub mod launcher;
pub mod memory;
pub mod memory_watch;
pub mod model;
pub mod names;
pub mod operation;
pub mod orchestrator;
pub mod paths;
pub mod process;
pub mod provider;
pub mod runtime;
pub mod scheduler;
pub mod store;

pub use env::EnvRegistry;
pub use error::{ErrorCode, Problem};
pub use hardware::HardwareProbe;
pub use instance::InstanceSpec;
pub use launcher::{LaunchPlan, Launcher};
pub use names::{EnvKey, InstanceName};
pub use orchestrator::{Orchestrator, OrchestratorBuilder};
pub use paths::Paths;
pub use provider::Provider;
pub use runtime::Runtime;
pub use store::StateStore;
