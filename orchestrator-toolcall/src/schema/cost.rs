//! What validating with a schema can cost, before any value is seen.
//!
//! Owns the bounds on schemas: their size and depth, how far references lead, and how often one place of a value
//! would be looked at because alternatives multiply. Validation then takes time in proportion to the value.

use std::collections::HashMap;

use serde_json::Value;

/// The deepest schema that is taken, in levels of JSON.
const MAX_DEPTH: usize = 64;

/// The largest schema that is taken, in values of JSON.
const MAX_VALUES: usize = 20_000;

/// How many schemas may lead from one to the next, through references and nesting.
const MAX_CHAIN: usize = 256;

/// How often one place of a value may be looked at.
const MAX_LOOKS: u64 = 20_000;

/// Keywords whose schemas look at the same place of the value as the schema they stand in.
const SAME_PLACE: [&str; 8] = ["anyOf", "oneOf", "allOf", "not", "if", "then", "else", "dependentSchemas"];

/// Keywords whose schemas may all look at one part of the value.
const PARTS: [&str; 11] = [
    "patternProperties",
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
    "items",
    "prefixItems",
    "additionalItems",
    "unevaluatedItems",
    "contains",
    "contentSchema",
    "dependencies",
];

/// Keywords whose schemas stand in a map by name.
const MAPS: [&str; 3] = ["patternProperties", "dependentSchemas", "dependencies"];

/// What is known about the cost of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cost {
    /// Whether it refers to itself and has alternatives: telling why a value fails then takes time that grows
    /// exponentially with the depth of the value, though saying that it fails does not.
    pub(super) explains_slowly: bool,
}

/// Weighs a schema, or says why it is too much.
pub(super) fn weigh(schema: &Value) -> Result<Cost, String> {
    let has_alternatives = measure(schema)?;
    let mut scales = Scales { root: schema, known: HashMap::new(), is_recursive: false };
    let looks = scales.looks(schema, 0)?;
    if looks > MAX_LOOKS {
        return Err("its alternatives multiply beyond bounds".to_owned());
    }
    Ok(Cost { explains_slowly: scales.is_recursive && has_alternatives })
}

/// Checks depth and size without recursion; says whether the schema has alternatives.
fn measure(schema: &Value) -> Result<bool, String> {
    let mut open = vec![(schema, 0)];
    let mut values = 0_usize;
    let mut has_alternatives = false;
    while let Some((value, depth)) = open.pop() {
        values += 1;
        if depth > MAX_DEPTH {
            return Err(format!("it is nested deeper than {MAX_DEPTH} levels"));
        }
        if values > MAX_VALUES {
            return Err(format!("it has more than {MAX_VALUES} values"));
        }
        match value {
            Value::Object(object) => {
                has_alternatives |= SAME_PLACE.iter().any(|keyword| object.contains_key(*keyword));
                open.extend(object.values().map(|value| (value, depth + 1)));
            }
            Value::Array(items) => open.extend(items.iter().map(|value| (value, depth + 1))),
            _ => {}
        }
    }
    Ok(has_alternatives)
}

struct Scales<'a> {
    root: &'a Value,
    /// The looks that the target of a reference costs; nothing while it is being weighed.
    known: HashMap<&'a str, Option<u64>>,
    is_recursive: bool,
}

impl<'a> Scales<'a> {
    /// How often any one place below a value is looked at when the value is held against this schema.
    fn looks(&mut self, schema: &'a Value, chain: usize) -> Result<u64, String> {
        if chain > MAX_CHAIN {
            return Err(format!("its references lead on for more than {MAX_CHAIN} steps"));
        }
        let Value::Object(object) = schema else { return Ok(1) };
        let mut looks = 1_u64;
        for keyword in SAME_PLACE.into_iter().chain(PARTS) {
            if let Some(member) = object.get(keyword) {
                for schema in schemas_of(member, MAPS.contains(&keyword)) {
                    looks = looks.saturating_add(self.looks(schema, chain + 1)?);
                }
            }
        }
        for keyword in ["$ref", "$dynamicRef", "$recursiveRef"] {
            if let Some(Value::String(reference)) = object.get(keyword) {
                looks = looks.saturating_add(self.target(reference, chain)?);
            }
        }
        // Only one of the named properties looks at any one part.
        let mut largest = 0_u64;
        if let Some(properties) = object.get("properties") {
            for schema in schemas_of(properties, true) {
                largest = largest.max(self.looks(schema, chain + 1)?);
            }
        }
        Ok(looks.saturating_add(largest))
    }

    fn target(&mut self, reference: &'a str, chain: usize) -> Result<u64, String> {
        match self.known.get(reference) {
            Some(Some(looks)) => return Ok(*looks),
            Some(None) => {
                // The validator remembers what it found for recursive references.
                self.is_recursive = true;
                return Ok(1);
            }
            None => {}
        }
        let Some(target) = super::portable::resolve(self.root, reference) else { return Ok(1) };
        self.known.insert(reference, None);
        let looks = self.looks(target, chain + 1)?;
        self.known.insert(reference, Some(looks));
        Ok(looks)
    }
}

fn schemas_of(member: &Value, is_map: bool) -> Vec<&Value> {
    match member {
        Value::Array(schemas) => schemas.iter().collect(),
        Value::Object(schemas) if is_map => schemas.values().collect(),
        schema => vec![schema],
    }
}

#[cfg(test)]
mod tests;
