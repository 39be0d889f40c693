//! Configuration that people write: the values in it, and how a file becomes one.
//!
//! Nothing in here writes a file that exists.

pub mod catalog;
pub mod daemon;
pub mod duration;

pub use daemon::DaemonConfig;
pub use duration::ConfigDuration;
