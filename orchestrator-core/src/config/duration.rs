//! Durations as people write them: seconds as a number, or text such as `10m`, `1h30m`, `250ms`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time in a configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigDuration(Duration);

/// A text that is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no duration: write seconds as a number, or text such as `10m`, `1h30m` or `250ms`")]
pub struct DurationError {
    text: String,
}

/// No configured wait is longer than this: about 31 years, far from any overflow.
const LONGEST_SECONDS: f64 = 1e9;

impl ConfigDuration {
    /// Makes a duration of whole seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// Makes a duration of milliseconds.
    #[must_use]
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(Duration::from_millis(milliseconds))
    }

    /// Returns the length of time.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }

    fn from_seconds(seconds: f64) -> Option<Self> {
        let allowed = seconds.is_finite() && (0.0..=LONGEST_SECONDS).contains(&seconds);
        allowed.then(|| Self(Duration::from_secs_f64(seconds)))
    }
}

impl FromStr for ConfigDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let refuse = || DurationError { text: text.chars().take(60).flat_map(char::escape_debug).collect() };
        let trimmed = text.trim();
        if let Ok(seconds) = trimmed.parse::<f64>() {
            return Self::from_seconds(seconds).ok_or_else(refuse);
        }
        let mut rest = trimmed;
        let mut seconds = 0.0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(refuse)?;
            let number: f64 = rest[..digits].parse().map_err(|_| refuse())?;
            rest = rest[digits..].trim_start();
            let unit_length = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            seconds += number
                * match &rest[..unit_length] {
                    "ms" => 0.001,
                    "s" => 1.0,
                    "m" => 60.0,
                    "h" => 3_600.0,
                    "d" => 86_400.0,
                    _ => return Err(refuse()),
                };
            rest = rest[unit_length..].trim_start();
        }
        if trimmed.is_empty() {
            return Err(refuse());
        }
        Self::from_seconds(seconds).ok_or_else(refuse)
    }
}

impl fmt::Display for ConfigDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.subsec_nanos().is_multiple_of(1_000_000) {
            return write!(f, "{}", self.0.as_secs_f64());
        }
        let mut milliseconds = self.0.as_millis();
        if milliseconds == 0 {
            return f.write_str("0s");
        }
        for (unit, length) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
            if milliseconds >= length {
                write!(f, "{}{unit}", milliseconds / length)?;
                milliseconds %= length;
            }
        }
        Ok(())
    }
}

impl Serialize for ConfigDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

struct DurationVisitor;

impl Visitor<'_> for DurationVisitor {
    type Value = ConfigDuration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("seconds as a number, or text such as `10m`, `1h30m` or `250ms`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ConfigDuration, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<ConfigDuration, E> {
        seconds.to_string().parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<ConfigDuration, E> {
        seconds.to_string().parse().map_err(E::custom)
    }

    fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<ConfigDuration, E> {
        seconds.to_string().parse().map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for ConfigDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DurationVisitor)
    }
}

impl JsonSchema for ConfigDuration {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Seconds as a number, or text such as `10m`, `1h30m` or `250ms`.",
            "anyOf": [
                { "type": "number", "minimum": 0, "maximum": LONGEST_SECONDS },
                { "type": "string", "pattern": r"^([0-9.]+\s*(ms|s|m|h|d)\s*)+$|^[0-9.]+$" },
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, milliseconds) in
            [("10m", 600_000), ("1h30m", 5_400_000), ("250ms", 250), ("1.5s", 1_500), ("2 d", 172_800_000), ("0", 0), ("0.5", 500)]
        {
            assert_eq!(text.parse::<ConfigDuration>().unwrap().get(), Duration::from_millis(milliseconds), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_duration() {
        for text in ["", "m", "10x", "-1", "-5s", "1e300", "inf", "NaN", "10m5", "1..2s", "9999999999d"] {
            assert!(text.parse::<ConfigDuration>().is_err(), "`{text}` was accepted");
        }
    }

    #[test]
    fn what_is_shown_reads_back_the_same() {
        for milliseconds in [0, 1, 999, 1_000, 61_001, 90_061_001, 600_000] {
            let duration = ConfigDuration::from_millis(milliseconds);
            assert_eq!(duration.to_string().parse::<ConfigDuration>().unwrap(), duration);
        }
    }
}
