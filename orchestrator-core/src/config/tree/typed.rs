//! Turns a tree into a typed value, and says at which key that failed.

use std::fmt;

use serde::de::{self, DeserializeOwned, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::{Key, Node, Value};
use crate::config::error::Position;

/// A value that its type refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::config) struct TypeError {
    pub(in crate::config) message: String,
    /// The keys that lead to it, the last one first.
    reversed_path: Vec<String>,
    pub(in crate::config) at: Option<Position>,
}

impl TypeError {
    /// Returns the keys that lead to the value.
    pub(in crate::config) fn path(&self) -> Vec<String> {
        self.reversed_path.iter().rev().cloned().collect()
    }

    fn located(mut self, at: Option<Position>) -> Self {
        self.at = self.at.or(at);
        self
    }

    fn under(mut self, segment: impl Into<String>) -> Self {
        self.reversed_path.push(segment.into());
        self
    }
}

impl fmt::Display for TypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TypeError {}

impl de::Error for TypeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), reversed_path: Vec::new(), at: None }
    }
}

/// Makes a typed value of a tree.
pub(in crate::config) fn deserialize<T: DeserializeOwned>(node: &Node) -> Result<T, TypeError> {
    T::deserialize(TreeDeserializer(node))
}

#[derive(Clone, Copy)]
struct TreeDeserializer<'a>(&'a Node);

impl<'de> de::Deserializer<'de> for TreeDeserializer<'_> {
    type Error = TypeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        let result = match &self.0.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Integer(value) => match (i64::try_from(*value), u64::try_from(*value)) {
                (_, Ok(value)) => visitor.visit_u64(value),
                (Ok(value), _) => visitor.visit_i64(value),
                _ => visitor.visit_i128(*value),
            },
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(value) => visitor.visit_str(value),
            Value::List(items) => visitor.visit_seq(ListAccess { items, next: 0 }),
            Value::Map(entries) => visitor.visit_map(MapAccess { entries, value: None }),
        };
        result.map_err(|error| error.located(self.0.at))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypeError> {
        if self.0.value == Value::Null { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_enum<V: Visitor<'de>>(self, _: &'static str, _: &'static [&'static str], visitor: V) -> Result<V::Value, TypeError> {
        let Value::Text(text) = &self.0.value else { return self.deserialize_any(visitor) };
        visitor.visit_enum(text.as_str().into_deserializer()).map_err(|error: TypeError| error.located(self.0.at))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, TypeError> {
        visitor.visit_newtype_struct(self).map_err(|error: TypeError| error.located(self.0.at))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }
}

struct ListAccess<'a> {
    items: &'a [Node],
    next: usize,
}

impl<'de> de::SeqAccess<'de> for ListAccess<'_> {
    type Error = TypeError;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, TypeError> {
        let Some(item) = self.items.get(self.next) else { return Ok(None) };
        let index = self.next;
        self.next += 1;
        seed.deserialize(TreeDeserializer(item)).map(Some).map_err(|error| error.located(item.at).under(format!("[{index}]")))
    }
}

struct MapAccess<'a> {
    entries: &'a [(Key, Node)],
    value: Option<(&'a Key, &'a Node)>,
}

impl<'de> de::MapAccess<'de> for MapAccess<'_> {
    type Error = TypeError;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, TypeError> {
        let Some(((key, node), rest)) = self.entries.split_first() else { return Ok(None) };
        self.entries = rest;
        self.value = Some((key, node));
        seed.deserialize(key.name.as_str().into_deserializer())
            .map(Some)
            .map_err(|error: TypeError| error.located(key.at).under(key.name.clone()))
    }

    fn next_value_seed<T: de::DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, TypeError> {
        let Some((key, node)) = self.value.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(TreeDeserializer(node)).map_err(|error| error.located(node.at).under(key.name.clone()))
    }
}
