//! Numbers as people read them. Pure functions.

use std::time::Duration;

/// Writes how long something has run: `42s`, `3m 12s`, `5h 07m`, `12d 4h`.
#[must_use]
pub(crate) fn uptime(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{minutes}m {:02}s", seconds % 60),
        3_600..86_400 => format!("{hours}h {:02}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

/// Writes how long a step took: `80 ms`, `1.2 s`, `3m 12s`.
#[must_use]
pub(crate) fn elapsed(duration: Duration) -> String {
    if duration.as_secs() >= 60 {
        uptime(duration.as_secs())
    } else if duration.as_millis() >= 1_000 {
        format!("{:.1} s", duration.as_secs_f64())
    } else {
        format!("{} ms", duration.as_millis())
    }
}

/// Writes an amount of memory given in MiB: `412 MB`, `12.3 GB`.
#[must_use]
pub(crate) fn megabytes(megabytes: u64) -> String {
    if megabytes < 10_000 { format!("{megabytes} MB") } else { scaled(megabytes * 1024 * 1024) }
}

/// Writes a size in bytes: `512 B`, `4.2 MB`, `12.3 GB`.
#[must_use]
pub(crate) fn bytes(bytes: u64) -> String {
    if bytes < 1024 { format!("{bytes} B") } else { scaled(bytes) }
}

/// Writes how many there are: `512`, `7.6 B`, `135 M`.
#[must_use]
pub(crate) fn count(number: u64) -> String {
    for (unit, size) in [("T", 1_000_000_000_000), ("B", 1_000_000_000), ("M", 1_000_000), ("K", 1_000)] {
        if number >= size {
            return format!("{}{unit}", three_digits(number, size));
        }
    }
    number.to_string()
}

fn scaled(bytes: u64) -> String {
    let (unit, size) = match bytes {
        0x100_0000_0000.. => ("TB", 0x100_0000_0000),
        0x4000_0000.. => ("GB", 0x4000_0000),
        0x10_0000.. => ("MB", 0x10_0000),
        _ => ("KB", 0x400),
    };
    format!("{} {unit}", three_digits(bytes, size))
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn three_digits(number: u64, unit: u64) -> String {
    let value = number as f64 / unit as f64;
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

/// Cuts a text to `width` characters and marks the cut.
#[must_use]
pub(crate) fn shorten(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// Escapes what could steer a terminal; keeps everything else, tabs included.
#[must_use]
pub(crate) fn printable(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && character != '\t' {
            clean.extend(character.escape_default());
        } else {
            clean.push(character);
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short_and_unmistakable() {
        let cases = [
            (0, "0s"),
            (59, "59s"),
            (60, "1m 00s"),
            (192, "3m 12s"),
            (3_599, "59m 59s"),
            (3_600, "1h 00m"),
            (18_420, "5h 07m"),
            (86_400, "1d 0h"),
            (1_051_200, "12d 4h"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(uptime(seconds), expected);
        }
        assert_eq!(elapsed(Duration::from_millis(80)), "80 ms");
        assert_eq!(elapsed(Duration::from_millis(1_234)), "1.2 s");
        assert_eq!(elapsed(Duration::from_secs(192)), "3m 12s");
    }

    #[test]
    fn sizes_have_the_unit_that_suits_them() {
        for (value, expected) in [(412, "412 MB"), (0, "0 MB"), (9_999, "9999 MB"), (12_595, "12.3 GB"), (204_800, "200 GB")] {
            assert_eq!(megabytes(value), expected);
        }
        for (value, expected) in [(0, "0 B"), (1_023, "1023 B"), (1_024, "1.0 KB"), (4_404_019, "4.2 MB"), (u64::MAX, "16777216 TB")] {
            assert_eq!(bytes(value), expected);
        }
        for (value, expected) in [(512, "512"), (7_600_000_000, "7.6B"), (135_000_000, "135M")] {
            assert_eq!(count(value), expected);
        }
    }

    #[test]
    fn a_cut_is_marked_and_counts_characters() {
        assert_eq!(shorten("abc", 3), "abc");
        assert_eq!(shorten("abcd", 3), "ab…");
        assert_eq!(shorten("äöüß", 4), "äöüß");
        assert_eq!(shorten("x", 0), "…");
    }
}
