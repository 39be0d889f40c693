//! The table that a measurement prints, for `docs/measurements.md`.

use super::statistics::{Ratio, median, ratio};

/// What a ratio is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
}

/// Prints the head of a table.
pub(crate) fn head(peer: &str) {
    println!("\n| row | metric | ours | {peer} | ratio | bound (95 %) | target | |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
}

/// Prints the ratio of what was measured in turns.
pub(crate) fn compared(row: &str, metric: &str, ours: &[f64], peer: &[f64], unit: &str, target: Target) {
    let Ratio { median: found, at_least, at_most } = ratio(ours, peer);
    let (bound, wanted, holds) = match target {
        Target::AtMost(most) => (format!("≤ {at_most:.2}"), format!("≤ {most}"), found <= most),
        Target::AtLeast(least) => (format!("≥ {at_least:.2}"), format!("≥ {least}"), found >= least),
    };
    println!(
        "| {row} | {metric} | {} {unit} | {} {unit} | {found:.2} | {bound} | {wanted} | {} |",
        shown(median(ours)),
        shown(median(peer)),
        verdict(holds)
    );
}

/// Prints a number of our own beside its target.
pub(crate) fn alone(row: &str, metric: &str, ours: f64, unit: &str, target: Target) {
    let (wanted, holds) = match target {
        Target::AtMost(most) => (format!("≤ {} {unit}", shown(most)), ours <= most),
        Target::AtLeast(least) => (format!("≥ {} {unit}", shown(least)), ours >= least),
    };
    println!("| {row} | {metric} | {} {unit} | | | | {wanted} | {} |", shown(ours), verdict(holds));
}

/// Prints numbers without a target.
pub(crate) fn note(row: &str, metric: &str, ours: f64, peer: Option<f64>, unit: &str) {
    let peer = peer.map(|peer| format!("{} {unit}", shown(peer))).unwrap_or_default();
    println!("| {row} | {metric} | {} {unit} | {peer} | | | | |", shown(ours));
}

const fn verdict(holds: bool) -> &'static str {
    if holds { "holds" } else { "**missed**" }
}

/// Writes a number with about three digits that count.
pub(crate) fn shown(number: f64) -> String {
    match number.abs() {
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn numbers_have_about_three_digits() {
        for (number, text) in [(1234.5, "1234"), (12.34, "12.3"), (0.5, "0.50"), (-40.26, "-40.3")] {
            assert_eq!(shown(number), text);
        }
    }
}
