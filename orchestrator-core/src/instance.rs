//! Instances: what one should be ([`InstanceSpec`]), what it is ([`InstanceState`]), and how it is shown
//! ([`InstanceSummary`]).

pub(crate) mod driver;
mod last_words;
pub mod logs;
pub(crate) mod ports;
mod probe;
pub(crate) mod reason;
pub mod restart;
pub(crate) mod secrets;
pub mod spec;
pub mod state;
pub mod summary;

pub use spec::InstanceSpec;
pub use state::{ExitCause, ExitReport, Failure, InstanceSnapshot, InstanceState, RunningServer, StartStep};
pub use summary::{Health, InstanceSummary};
