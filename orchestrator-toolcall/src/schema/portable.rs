//! The portable subset of JSON Schema, which engines accept as a constraint on generation.
//!
//! Owns the reduction: references are inlined (recursion is unrolled a little, growth is bounded), and what
//! engines ignore, misread or choke on is left out. Whatever the full schema accepts, the reduced one accepts
//! too; the opposite is not true, so results are always validated with the full one.

use serde_json::{Map, Value, json};

/// How often one definition may be unrolled inside itself.
const MAX_UNROLL: usize = 2;

/// The most schemas that a reduced schema may hold.
const MAX_SCHEMAS: usize = 2_000;

/// The deepest nesting of a reduced schema, in schemas.
const MAX_DEPTH: usize = 24;

/// The largest bound on lengths and counts that engines turn into a grammar of reasonable size.
const MAX_BOUND: u64 = 256;

/// The largest absolute value of a bound on an integer.
const MAX_INTEGER: u64 = 1 << 53;

/// Reduces a JSON Schema to the portable subset.
///
/// # Examples
/// ```
/// use orchestrator_toolcall::schema::portable;
/// use serde_json::json;
///
/// let full = json!({
///     "type": "object",
///     "properties": {"when": {"$ref": "#/$defs/when"}, "note": {"type": "string", "maxLength": 100_000}},
///     "$defs": {"when": {"type": "string", "format": "date-time"}}
/// });
/// assert_eq!(portable(&full), json!({
///     "type": "object",
///     "properties": {"when": {"type": "string"}, "note": {"type": "string"}}
/// }));
/// ```
#[must_use]
pub fn portable(schema: &Value) -> Value {
    let mut reduction = Reduction {
        root: schema,
        has_siblings: has_siblings(schema),
        has_resources: holds_resource(schema),
        schemas: 0,
        unrolling: Vec::new(),
    };
    reduction.schema(schema, 0)
}

struct Reduction<'a> {
    root: &'a Value,
    /// Whether keywords beside `$ref` count, as they do since the draft of 2019.
    has_siblings: bool,
    /// Whether parts have an `$id` of their own, so that references are not to the root.
    has_resources: bool,
    /// How many schemas were written so far.
    schemas: usize,
    /// The references that are being inlined.
    unrolling: Vec<&'a str>,
}

impl<'a> Reduction<'a> {
    fn schema(&mut self, schema: &'a Value, depth: usize) -> Value {
        // `true` accepts everything, and so does what is put in the place of `false`: nothing portable says less.
        let Value::Object(object) = schema else {
            return json!({});
        };
        self.schemas += 1;
        if self.schemas > MAX_SCHEMAS || depth > MAX_DEPTH {
            return outline(object);
        }
        let reference = object.get("$ref").and_then(Value::as_str);
        if let Some(reference) = reference.filter(|_| !self.has_siblings) {
            let mut reduced = self.reference(reference, depth);
            tidy(&mut reduced);
            return Value::Object(reduced);
        }
        let mut reduced = self.own_keywords(object, depth);
        if let Some(reference) = reference {
            let target = self.reference(reference, depth);
            reduced = intersect(reduced, target);
        }
        if let Some(Value::Array(branches)) = object.get("allOf") {
            for branch in branches {
                let branch = self.schema(branch, depth + 1);
                reduced = intersect(reduced, into_object(branch));
            }
        }
        tidy(&mut reduced);
        Value::Object(reduced)
    }

    fn reference(&mut self, reference: &'a str, depth: usize) -> Map<String, Value> {
        let Some(target) = resolve(self.root, reference).filter(|_| !self.has_resources) else {
            return Map::new();
        };
        let unrolled = self.unrolling.iter().filter(|open| **open == reference).count();
        if unrolled > MAX_UNROLL {
            return target.as_object().map(|target| into_object(outline(target))).unwrap_or_default();
        }
        self.unrolling.push(reference);
        let reduced = self.schema(target, depth + 1);
        self.unrolling.pop();
        into_object(reduced)
    }

    fn own_keywords(&mut self, object: &'a Map<String, Value>, depth: usize) -> Map<String, Value> {
        let mut reduced = Map::new();
        let has_tuple = object.contains_key("prefixItems") || matches!(object.get("items"), Some(Value::Array(_)));
        let has_patterns = object.contains_key("patternProperties");
        for (keyword, value) in object {
            let kept = match keyword.as_str() {
                "type" | "const" => Some(value.clone()),
                "enum" => value.as_array().filter(|options| !options.is_empty()).map(|_| value.clone()),
                "properties" => value
                    .as_object()
                    .map(|members| members.iter().map(|(name, member)| (name.clone(), self.schema(member, depth + 1))).collect()),
                "required" => value.as_array().filter(|names| !names.is_empty()).map(|_| value.clone()),
                // With patterns, other names than the declared ones may be meant.
                "additionalProperties" if has_patterns => None,
                "additionalProperties" => match value {
                    Value::Bool(_) => Some(value.clone()),
                    member => Some(self.schema(member, depth + 1)),
                },
                "items" if has_tuple => None,
                "items" => match value {
                    Value::Object(_) => Some(self.schema(value, depth + 1)),
                    _ => None,
                },
                "anyOf" | "oneOf" => value
                    .as_array()
                    .filter(|branches| !branches.is_empty())
                    .map(|branches| branches.iter().map(|branch| self.schema(branch, depth + 1)).collect()),
                "minItems" | "maxItems" | "minLength" | "maxLength" => small(value, MAX_BOUND),
                "minimum" | "maximum" if object.get("type").is_some_and(|kind| kind == "integer") => integer(value),
                "pattern" => value.as_str().filter(|pattern| is_plain_pattern(pattern)).map(|_| value.clone()),
                _ => None,
            };
            if let Some(kept) = kept {
                // `oneOf` promises more than engines keep; `anyOf` is what they mean by it.
                let keyword = if keyword == "oneOf" { "anyOf" } else { keyword.as_str() };
                if !reduced.contains_key(keyword) {
                    reduced.insert(keyword.to_owned(), kept);
                }
            }
        }
        reduced
    }
}

/// Says whether the draft that a schema names lets keywords stand beside `$ref`.
fn has_siblings(schema: &Value) -> bool {
    let draft = schema.get("$schema").and_then(Value::as_str).unwrap_or_default();
    !["draft-03", "draft-04", "draft-06", "draft-07"].iter().any(|old| draft.contains(old))
}

/// Says whether any part below the root has an identity of its own.
fn holds_resource(schema: &Value) -> bool {
    let mut open: Vec<&Value> = vec![schema];
    let mut is_root = true;
    while let Some(value) = open.pop() {
        match value {
            Value::Object(object) => {
                if !is_root && object.get("$id").or_else(|| object.get("id")).is_some_and(Value::is_string) {
                    return true;
                }
                open.extend(object.values());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
        is_root = false;
    }
    false
}

/// Only the type of a schema, for places where no more is said.
fn outline(object: &Map<String, Value>) -> Value {
    match object.get("type") {
        Some(kind) => json!({"type": kind}),
        None => json!({}),
    }
}

fn into_object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

/// A schema that accepts whatever both accept, and perhaps more.
fn intersect(mut first: Map<String, Value>, second: Map<String, Value>) -> Map<String, Value> {
    for (keyword, value) in second {
        match (keyword.as_str(), first.get_mut(&keyword)) {
            (_, None) => {
                first.insert(keyword, value);
            }
            ("properties", Some(Value::Object(members))) => {
                for (name, member) in into_object(value) {
                    members.entry(name).or_insert(member);
                }
            }
            ("required", Some(Value::Array(names))) => {
                for name in value.as_array().into_iter().flatten() {
                    if !names.contains(name) {
                        names.push(name.clone());
                    }
                }
            }
            ("type", Some(kind)) => narrow_type(kind, &value),
            // A closed branch closes the whole: all its names are among the declared ones.
            ("additionalProperties", Some(rest)) if *rest != json!(false) => *rest = value,
            // Either of two demands is implied by both.
            _ => {}
        }
    }
    first
}

fn narrow_type(kind: &mut Value, other: &Value) {
    if let (Value::Array(several), Value::String(_)) = (&*kind, other)
        && several.contains(other)
    {
        *kind = other.clone();
    }
}

/// Brings a reduced schema into the forms that engines handle.
fn tidy(reduced: &mut Map<String, Value>) {
    // `properties` beside alternatives is not handled: what is common to all alternatives is kept.
    if reduced.contains_key("properties") {
        reduced.shift_remove("anyOf");
    }
    // A constant or a choice says everything.
    if let Some(keyword) = ["const", "enum"].into_iter().find(|keyword| reduced.contains_key(*keyword)) {
        reduced.retain(|key, _| key == keyword);
    }
    // An additional property with a schema of its own beside a closed list of names of another branch stays as it is;
    // required names that are not declared must be declared, or grammars refer to nothing.
    let required: Vec<String> = match reduced.get("required") {
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    if !required.is_empty() {
        let rest = match reduced.get("additionalProperties") {
            Some(rest @ Value::Object(_)) => rest.clone(),
            _ => json!({}),
        };
        let members = reduced.entry("properties").or_insert_with(|| json!({}));
        if let Value::Object(members) = members {
            for name in required {
                members.entry(name).or_insert_with(|| rest.clone());
            }
        }
        reduced.shift_remove("anyOf");
    }
}

/// The schema a local reference points to.
pub(super) fn resolve<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    let fragment = reference.strip_prefix('#')?;
    if fragment.is_empty() {
        return Some(root);
    }
    if fragment.starts_with('/') {
        return root.pointer(&percent_decoded(fragment)?);
    }
    let definitions = ["$defs", "definitions"].into_iter().filter_map(|key| root.get(key)?.as_object());
    definitions.flat_map(Map::values).find(|schema| schema.get("$anchor").is_some_and(|anchor| anchor == fragment))
}

fn percent_decoded(fragment: &str) -> Option<String> {
    if !fragment.contains('%') {
        return Some(fragment.to_owned());
    }
    let mut bytes = Vec::with_capacity(fragment.len());
    let mut rest = fragment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

fn small(value: &Value, limit: u64) -> Option<Value> {
    value.as_u64().filter(|bound| *bound <= limit).map(|_| value.clone())
}

fn integer(value: &Value) -> Option<Value> {
    value.as_i64().filter(|bound| bound.unsigned_abs() <= MAX_INTEGER).map(|_| value.clone())
}

/// Says whether engines read a pattern as JSON Schema means it: anchored, and of plain parts only.
fn is_plain_pattern(pattern: &str) -> bool {
    let anchored = pattern.len() <= 200 && pattern.starts_with('^') && pattern.ends_with('$') && !pattern.ends_with("\\$");
    let inner = pattern.get(1..pattern.len().saturating_sub(1)).unwrap_or_default();
    let escapes_are_plain =
        inner.split('\\').skip(1).all(|after| after.starts_with(['.', '-', '/', '(', ')', '[', ']', '{', '}', '+', '*', '?', '|']));
    // Bars outside groups are not covered by the anchors; anchors inside and large counts are not understood.
    anchored && escapes_are_plain && !inner.contains(['^', '$', '|', '\n']) && !inner.contains("(?") && counts_are_small(inner)
}

/// Says whether every `{` of a pattern begins a count (`{n}`, `{n,}`, `{n,m}`), and whether they are small even where
/// they stand inside each other.
fn counts_are_small(pattern: &str) -> bool {
    let largest = |after: &str| -> Option<u64> {
        let (count, _) = after.split_once('}')?;
        let (least, most) = count.split_once(',').unwrap_or((count, count));
        let least = least.parse().ok()?;
        if most.is_empty() { Some(least) } else { most.parse().ok() }
    };
    let counts = pattern.replace("\\{", "");
    let mut repeats = counts.split('{').skip(1).map(largest);
    let product = repeats.try_fold(1, |product: u64, count| product.checked_mul(count?.max(1)));
    product.is_some_and(|product| product <= MAX_BOUND)
}

#[cfg(test)]
mod tests;
