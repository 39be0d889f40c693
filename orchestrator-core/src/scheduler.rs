//! Which requests are let in, and which instances are loaded.
//!
//! The decisions are made by the [`policy`], which is pure.

pub mod policy;
