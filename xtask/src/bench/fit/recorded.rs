//! A slice of the table.
