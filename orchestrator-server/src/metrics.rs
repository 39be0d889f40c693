//! What is counted and measured, and how it is told: `GET /metrics` in Prometheus' text format.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `meters` | what requests count for one instance: atomics |
//! | `histogram` | times in fixed buckets: atomics |
//! | `observer` | what is counted from events: loads, restarts |
//! | `snapshot` | what is looked at only when somebody asks: states, memory, queues |
//! | `families` | every metric there is: name, type, labels, meaning |
//! | `text` | the format |
//! | `report` | all of it put together |
//!
//! On the way of a request there are atomics and nothing else. Labels are names of instances and words of ours: what a
//! client writes never becomes one.

mod families;
mod histogram;
mod meters;
mod observer;
mod report;
mod snapshot;
mod text;

pub use families::reference;

pub(crate) use meters::{Meters, Outcome, Route};
pub(crate) use observer::observe;
pub(crate) use report::MetricsSource;
pub(crate) use text::CONTENT_TYPE;

#[cfg(test)]
mod tests;
