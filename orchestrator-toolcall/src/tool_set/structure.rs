//! Whether a text whose brackets were mended could have meant something else.
//!
//! Owns the test of uniqueness: where a closer was added or dropped, every other single place where it could have
//! been forgotten (or be the one too many) is tried. If one of those readings fits the schemas as well as ours,
//! the text is ambiguous. The number of tries is bounded; a text with more places than that is ambiguous too.

use serde_json::Value;

use super::ToolSet;
use super::judge::one_call;
use crate::envelope::Envelope;
use crate::repair::{Doubt, EditKind, Pivot, Reading, read_tolerant};
use crate::verdict::Finish;

/// The most places that are tried.
const MAX_TRIES: usize = 64;

/// A text and how it was read.
pub(super) struct Candidate<'a> {
    pub(super) text: &'a str,
    pub(super) start: usize,
    pub(super) reading: &'a Reading,
    pub(super) finish: Finish,
    /// The name of the tool, where the text is the arguments of one native call.
    pub(super) call: Option<&'a str>,
}

/// How well a reading fits the schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    None,
    /// With properties that the schemas allow but do not declare.
    Loose,
    Declared,
}

/// Says whether another reading of the brackets fits as well.
pub(super) fn is_doubtful(set: &ToolSet, candidate: &Candidate<'_>) -> bool {
    let mended = |kind| candidate.reading.edits.iter().any(|edit| edit.kind == kind);
    let (missing, extra) = (mended(EditKind::MissingCloser), mended(EditKind::ExtraCloser));
    if !missing && !extra {
        return false;
    }
    if extra && mended(EditKind::TrailingComma) {
        // An empty array whose opener is missing looks like this too.
        return true;
    }
    // The brackets of the envelope itself give themselves away: its objects are closed.
    let depth = if candidate.call.is_some() { 2 } else { 5 };
    let places: Vec<&Pivot> = candidate
        .reading
        .pivots
        .iter()
        .filter(|pivot| pivot.depth >= depth)
        .filter(|pivot| if pivot.doubt == Doubt::ExtraCloser { extra } else { missing })
        .collect();
    if places.is_empty() {
        return false;
    }
    let ours = fit(set, candidate, candidate.reading.value.clone());
    if ours == Fit::None {
        // It is refused for what the schemas say.
        return false;
    }
    // With several brackets missing, not all of the other places are tried together.
    let several = candidate.reading.edits.iter().filter(|edit| edit.kind == EditKind::MissingCloser).count() > 1;
    (several && ours == Fit::Loose)
        || places.len() > MAX_TRIES
        || places.into_iter().any(|place| other_reading(candidate, place, set).is_some_and(|other| fit(set, candidate, other) >= ours))
}

/// What the text says if the bracket in question stands elsewhere; nothing if it then says the same or makes no sense.
fn other_reading(candidate: &Candidate<'_>, place: &Pivot, set: &ToolSet) -> Option<Value> {
    let text = &candidate.text[candidate.start..candidate.reading.end];
    let (before, after) = text.split_at(place.offset - candidate.start);
    let changed = match place.doubt {
        Doubt::Forgotten(closer) => format!("{before}{}{after}", char::from(closer)),
        Doubt::ExtraCloser | Doubt::ExtraOpener => format!("{before} {}", &after[1..]),
    };
    let other = read_tolerant(&changed, 0, set.limits(), candidate.finish).ok()?;
    let structural = |reading: &Reading| reading.edits.iter().filter(|edit| edit.kind.is_structural()).count();
    let fewer = structural(&other) < structural(candidate.reading);
    (fewer && other.end == changed.len() && other.value != candidate.reading.value).then_some(other.value)
}

fn fit(set: &ToolSet, candidate: &Candidate<'_>, value: Value) -> Fit {
    let envelope = match candidate.call {
        None => Envelope::from_value(value).ok(),
        Some(name) => match value {
            Value::Object(arguments) => Some(one_call(name, arguments)),
            _ => None,
        },
    };
    let Some(Envelope::ToolCalls { calls }) = envelope else {
        return Fit::None;
    };
    calls
        .into_iter()
        .map(|call| {
            let Some(tool) = set.tool(&call.name) else {
                return Fit::None;
            };
            let arguments = Value::Object(call.arguments);
            if !tool.validator().is_valid(&arguments) {
                Fit::None
            } else if tool.closed_validator().is_some_and(|closed| closed.is_valid(&arguments)) {
                Fit::Declared
            } else {
                Fit::Loose
            }
        })
        .min()
        .unwrap_or(Fit::None)
}
