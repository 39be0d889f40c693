//! The stack of containers that are open while a value is read.

use serde_json::{Map, Value};

/// A container that has been opened and not yet closed.
#[derive(Debug)]
pub(super) enum Frame {
    /// An object, and the key whose value is being read with the offset of that key.
    Object { members: Map<String, Value>, key: String, key_at: usize },
    /// An array.
    Array { items: Vec<Value> },
}

impl Frame {
    pub(super) const fn closer(&self) -> u8 {
        match self {
            Self::Object { .. } => b'}',
            Self::Array { .. } => b']',
        }
    }

    pub(super) fn into_value(self) -> Value {
        match self {
            Self::Object { members, .. } => Value::Object(members),
            Self::Array { items } => Value::Array(items),
        }
    }
}

/// The JSON pointer of the place where reading stopped.
pub(super) fn pointer(stack: &[Frame]) -> String {
    let mut pointer = String::new();
    for frame in stack {
        match frame {
            Frame::Object { key, .. } if key.is_empty() => break,
            Frame::Object { key, .. } => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Frame::Array { items } => {
                pointer.push('/');
                pointer.push_str(&items.len().to_string());
            }
        }
    }
    pointer
}
