//! Instances: what one should be ([`InstanceSpec`]), what it is ([`InstanceState`]), and how it is shown
//! ([`InstanceSummary`]).

pub mod logs;
pub mod spec;
pub mod state;
pub mod summary;

pub use logs::{LogLine, LogStream};
pub use spec::InstanceSpec;
pub use state::{ExitCause, ExitReport, Failure, InstanceSnapshot, InstanceState, RunningServer, StartStep};
pub use summary::{Health, InstanceSummary};
