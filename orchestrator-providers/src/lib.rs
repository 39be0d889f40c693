//! Everything of Orchestrator that knows an outside system, and the default wiring.
//!
//! Start at [`wiring::builder`], which puts the parts together. This crate keeps no state of its own beyond the
//! folders it is given, never reads an environment variable, and never prints.

pub mod download;
pub mod env;
pub mod hardware;
pub mod hub;
pub mod runtime;
pub mod settings;
pub mod wiring;

pub use download::{DownloadSettings, Downloader, HttpClient, HttpSettings};
pub use env::{EnvPaths, FoundProgram, MachinePrograms, UvEnvironments, find_programs};
pub use hardware::LinuxHardware;
pub use hub::{HuggingFace, LocalModels, OllamaModels};
pub use runtime::LlamaCpp;
pub use settings::{HuggingFaceSettings, OllamaSettings, ProviderSettings, ProxySettings};
pub use wiring::builder;
