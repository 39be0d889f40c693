//! Medians, what resampling says about a ratio, and how time grows with size. Pure.

/// A ratio of two medians, and what it is at least, or at most, with 95 % confidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ratio {
    pub(crate) median: f64,
    pub(crate) at_least: f64,
    pub(crate) at_most: f64,
}

/// How often the rounds are drawn again.
const RESAMPLES: usize = 4_000;

pub(crate) fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// Divides the median of one by that of the other; sample `n` of both was measured in round `n`.
pub(crate) fn ratio(above: &[f64], below: &[f64]) -> Ratio {
    let rounds = above.len().min(below.len());
    let mut state = 0x5eed_u64;
    let mut ratios: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let drawn: Vec<usize> = (0..rounds).map(|_| below_bound(&mut state, rounds)).collect();
            let pick = |samples: &[f64]| median(&drawn.iter().map(|round| samples[*round]).collect::<Vec<_>>());
            pick(above) / pick(below)
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    let bound = |index: usize| ratios.get(index).copied().unwrap_or(f64::NAN);
    Ratio { median: median(above) / median(below), at_least: bound(RESAMPLES / 20), at_most: bound(RESAMPLES - 1 - RESAMPLES / 20) }
}

/// Fits `time = a · size ^ exponent` through the points and returns the exponent.
#[expect(clippy::cast_precision_loss, reason = "a handful of points")]
pub(crate) fn exponent(points: &[(f64, f64)]) -> f64 {
    let logs: Vec<(f64, f64)> = points.iter().map(|(size, time)| (size.ln(), time.ln())).collect();
    let count = logs.len() as f64;
    let (mean_x, mean_y) = (logs.iter().map(|log| log.0).sum::<f64>() / count, logs.iter().map(|log| log.1).sum::<f64>() / count);
    let over = logs.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>();
    over / logs.iter().map(|(x, _)| (x - mean_x).powi(2)).sum::<f64>()
}

/// The next number of a small generator (xorshift64), below a bound.
#[expect(clippy::cast_possible_truncation, reason = "the remainder is below the bound")]
fn below_bound(state: &mut u64, bound: usize) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state % bound.max(1) as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-12);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-12);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn the_bounds_of_a_ratio_are_around_it_and_near_where_rounds_agree() {
        let theirs: Vec<f64> = (0..21).map(|round| 300.0 + f64::from(round)).collect();
        let ours: Vec<f64> = (0..21).map(|round| 10.0 + f64::from(round % 3) / 10.0).collect();
        let found = ratio(&theirs, &ours);
        assert!(found.at_least <= found.median && found.median <= found.at_most, "{found:?}");
        assert!(found.at_least > 29.0 && found.at_most < 33.0, "{found:?}");
    }

    #[test]
    fn the_exponent_of_a_power_is_found() {
        let points: Vec<(f64, f64)> = [9.0, 30.0, 100.0, 1000.0].map(|size: f64| (size, 0.3 * size.powf(1.7))).to_vec();
        assert!((exponent(&points) - 1.7).abs() < 1e-9);
    }
}
