//! Configuration that people write: the values in it, and how a file becomes one.
//!
//! A text becomes a tree in which every value knows its place ([`load`] has the order of steps), the tree is
//! compared with the schema, becomes a typed value, and is checked across keys. [`InstanceCatalog`] does that for
//! all instances of a home. Nothing in here writes a file that exists.

pub mod catalog;
mod check;
mod conform;
pub mod daemon;
pub mod duration;
pub mod error;
pub mod lint;
pub mod load;
pub(crate) mod nearest;
pub mod reference;
mod resolve;
pub mod schema;
mod shape;
pub mod template;
mod tree;
pub mod write;

pub use catalog::{CatalogEntry, InstanceCatalog};
pub use daemon::DaemonConfig;
pub use duration::ConfigDuration;
pub use error::{ConfigError, ConfigFault, Position};
pub use load::{load_daemon_config, load_instance};

#[cfg(test)]
mod tests;
