//! JSON Schemas: validating a value against one, and reducing one to what engines accept as a constraint.

pub mod validate;

pub use validate::Validator;
