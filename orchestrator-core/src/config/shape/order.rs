//! The order in which a type declares its fields. The schema loses it; serde tells it to whoever plays deserializer.

use std::fmt;

use serde::de::{self, DeserializeOwned, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

/// Returns the names of the fields of the struct that stands under `path` inside a `T`.
pub(super) fn fields_at<T: DeserializeOwned>(path: &[&str]) -> Option<&'static [&'static str]> {
    T::deserialize(Probe { path }).err().and_then(|answer| answer.0)
}

/// The answer travels as the error that ends the deserialization.
#[derive(Debug)]
struct Answer(Option<&'static [&'static str]>);

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer was found")
    }
}

impl std::error::Error for Answer {}

impl de::Error for Answer {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(None)
    }
}

struct Probe<'a> {
    path: &'a [&'a str],
}

impl<'de> de::Deserializer<'de> for Probe<'_> {
    type Error = Answer;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Answer> {
        Err(Answer(None))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Answer> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Answer> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(self, _: &'static str, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Answer> {
        match self.path.split_first() {
            None => Err(Answer(Some(fields))),
            Some((name, below)) => visitor.visit_map(OneField { name: Some(name), below }),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map enum identifier ignored_any
    }
}

struct OneField<'a> {
    name: Option<&'a str>,
    below: &'a [&'a str],
}

impl<'de> de::MapAccess<'de> for OneField<'_> {
    type Error = Answer;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Answer> {
        let Some(name) = self.name.take() else { return Ok(None) };
        seed.deserialize(name.into_deserializer()).map(Some)
    }

    fn next_value_seed<T: de::DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Answer> {
        seed.deserialize(Probe { path: self.below })
    }
}
