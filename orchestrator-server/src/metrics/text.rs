//! Prometheus' text format, version 0.0.4.

use std::fmt::Write as _;

use super::families::{Family, Kind};
use super::histogram::Reading;

/// What the format is called.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes metrics. Writing to a `String` cannot fail.
#[derive(Debug, Default)]
pub(super) struct Text(String);

/// A value, exact where it can be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    Whole(u64),
    Real(f64),
}

impl Text {
    /// Writes all values of a metric; without any, nothing.
    pub(super) fn family<'a>(&mut self, family: &Family, values: impl IntoIterator<Item = (Vec<&'a str>, Value)>) {
        let mut is_first = true;
        for (labels, value) in values {
            if std::mem::take(&mut is_first) {
                self.head(family);
            }
            self.line(family, ("", None), &labels, value);
        }
    }

    /// Writes a metric that is a histogram; one that is empty is left out.
    pub(super) fn histograms<'a>(&mut self, family: &Family, values: impl IntoIterator<Item = (&'a str, Reading)>) {
        let mut is_first = true;
        for (label, reading) in values.into_iter().filter(|(_, reading)| reading.count > 0) {
            if std::mem::take(&mut is_first) {
                self.head(family);
            }
            for (bound, count) in &reading.buckets {
                self.line(family, ("_bucket", Some(&bound.to_string())), &[label], Value::Whole(*count));
            }
            self.line(family, ("_bucket", Some("+Inf")), &[label], Value::Whole(reading.count));
            self.line(family, ("_sum", None), &[label], Value::Real(reading.sum));
            self.line(family, ("_count", None), &[label], Value::Whole(reading.count));
        }
    }

    /// Returns what was written.
    pub(super) fn finish(self) -> String {
        self.0
    }

    fn head(&mut self, family: &Family) {
        debug_assert!(!self.0.contains(&format!("# TYPE {} ", family.name)), "{} is written twice", family.name);
        let help = family.help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = writeln!(self.0, "# HELP {} {help}\n# TYPE {} {}", family.name, family.name, family.kind.as_str());
    }

    /// `kind` is what is added to the name, and the upper end of a bucket.
    fn line(&mut self, family: &Family, kind: (&str, Option<&str>), values: &[&str], value: Value) {
        debug_assert_eq!(values.len(), family.labels.len(), "{}", family.name);
        debug_assert!(kind.0.is_empty() || family.kind == Kind::Histogram, "{}", family.name);
        let (suffix, bound) = kind;
        let _ = write!(self.0, "{}{suffix}", family.name);
        let labels = family.labels.iter().copied().zip(values.iter().copied()).chain(bound.map(|bound| ("le", bound)));
        let mut opening = '{';
        for (name, value) in labels {
            let _ = write!(self.0, "{opening}{name}=\"");
            escape(&mut self.0, value);
            self.0.push('"');
            opening = ',';
        }
        if opening == ',' {
            self.0.push('}');
        }
        let _ = match value {
            Value::Whole(value) => writeln!(self.0, " {value}"),
            Value::Real(value) => writeln!(self.0, " {value}"),
        };
    }
}

fn escape(text: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}
