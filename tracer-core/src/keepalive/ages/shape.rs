//! Whether ages start at a sharp edge and thin out from there: their density falls, or stays as it is, and never rises.
//! A heap or a gap further up, and a slow start, all make it rise.

use std::time::Duration;

use super::tolerance;

/// How far the shares of ages may lie below those of a density that falls, times the root of their number: nine of ten
/// even spreads lie closer, and nearly all that thin out. There is another try with the next close.
const CHANCE: f64 = 1.1;

/// Whether sorted ages between `lower` and `upper` thin out upwards, and do not have one age.
pub(super) fn thins_out(ages: &[Duration], lower: Duration, upper: Duration) -> bool {
    !has_gap(ages, lower, upper) && !has_one_age(ages, upper.abs_diff(lower)) && falls(ages, lower)
}

/// Whether two thirds of sorted ages agree on one, though they could lie further apart.
fn has_one_age(ages: &[Duration], range: Duration) -> bool {
    let agree = |age: Duration| {
        let near = tolerance(age).min(range / 8);
        let sooner = ages.partition_point(|&other| other + near < age);
        ages.partition_point(|&other| other <= age + near) - sooner
    };
    ages.iter().any(|&age| agree(age) * 3 > ages.len() * 2)
}

/// Whether there is a gap that the ages beyond it do not leave by chance: where `count` spread over `width`, and the
/// density falls, the chance of a gap before them is `(1 + gap / width) ^ -count`; one in a hundred spreads has such a
/// gap. None is longer than half of the range.
#[expect(clippy::cast_precision_loss, reason = "the window is short")]
fn has_gap(ages: &[Duration], lower: Duration, upper: Duration) -> bool {
    let limit = (ages.len() as f64).ln() + 4.6;
    let before = std::iter::once(&lower).chain(ages);
    before.zip(ages).enumerate().any(|(index, (before, &age))| {
        let gap = age.abs_diff(*before);
        let width = upper.abs_diff(age) + tolerance(age);
        let beyond = (ages.len() - index - 1) as f64;
        beyond * (1.0 + gap.as_secs_f64() / width.as_secs_f64()).ln() > limit
            || gap * 2 > upper.abs_diff(lower)
    })
}

/// Whether the shares of ages up to each age rise ever more slowly: they lie below their hull, the least such line
/// above them, by no more than chance explains.
#[expect(clippy::cast_precision_loss, reason = "the window is short")]
fn falls(ages: &[Duration], lower: Duration) -> bool {
    let count = ages.len() as f64;
    let share =
        |(index, age): (usize, &Duration)| (age.abs_diff(lower).as_secs_f64(), (index as f64 + 1.0) / count);
    let shares: Vec<_> = std::iter::once((0.0, 0.0)).chain(ages.iter().enumerate().map(share)).collect();
    let hull = hull(&shares);
    let below = |&(age, share): &(f64, f64)| {
        hull.windows(2).filter(|line| line[0].0 <= age && age <= line[1].0).all(|line| {
            let ((from, low), (to, high)) = (line[0], line[1]);
            let at = if to > from { (age - from) / (to - from) } else { 1.0 };
            low + (high - low) * at - share <= CHANCE / count.sqrt()
        })
    };
    shares.iter().skip(1).all(below)
}

/// The least line that lies above all these points and bends down only.
fn hull(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut hull: Vec<(f64, f64)> = Vec::new();
    for &(x, y) in points {
        while let [.., first, last] = hull[..]
            && (last.0 - first.0) * (y - first.1) >= (last.1 - first.1) * (x - first.0)
        {
            hull.pop();
        }
        hull.push((x, y));
    }
    hull
}
