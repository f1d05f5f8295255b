//! How long what is heard of now and then keeps its place in a bounded table.

use std::time::Duration;

use super::KernelNs;

/// After such a silence a place is free for a newcomer, however long it was held.
const QUIET: Duration = Duration::from_hours(1);

/// From when something was first heard of until it last was.
///
/// It keeps its place for as long afterwards as it had been heard of before, at most [`QUIET`]. So newcomers that come
/// in crowds and do not last take the places of one another, and never that of a server that is there to stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenure {
    first: KernelNs,
    last: KernelNs,
}

impl Tenure {
    /// It is heard of for the first time.
    #[must_use]
    pub fn begin(now: KernelNs) -> Self {
        Self { first: now, last: now }
    }

    /// It is heard of again.
    pub fn renew(&mut self, now: KernelNs) {
        self.last = self.last.max(now);
    }

    /// It is heard of again after it has lost its place: not for the first time, unless that was too long ago.
    #[must_use]
    pub fn resume(mut self, now: KernelNs) -> Self {
        if now.since(self.last) >= QUIET {
            return Self::begin(now);
        }
        self.renew(now);
        self
    }

    /// When it was last heard of.
    #[must_use]
    pub(crate) fn last(self) -> KernelNs {
        self.last
    }

    /// Until when newcomers must leave it its place: they never take it in the moment in which it is heard of.
    #[must_use]
    pub fn ends(self) -> KernelNs {
        self.last.plus(self.last.since(self.first).min(QUIET))
    }

    /// Whether newcomers must leave it its place.
    #[must_use]
    pub fn lasts(self, now: KernelNs) -> bool {
        now <= self.ends()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_kept_for_as_long_as_it_was_held_and_an_hour_at_most() {
        let at = |seconds: u64| KernelNs(seconds * 1_000_000_000);
        for (heard, ends) in [
            (&[100][..], 100),
            (&[100, 102], 104),
            (&[100, 102, 110], 120),
            // Two processors' records, out of order.
            (&[100, 110, 109], 120),
            (&[0, 3_000], 6_000),
            (&[0, 3_600, 80_000], 83_600),
        ] {
            let mut tenure = Tenure::begin(at(heard[0]));
            heard[1..].iter().for_each(|&seconds| tenure.renew(at(seconds)));
            assert_eq!(tenure.ends(), at(ends), "{heard:?}");
            assert!(tenure.lasts(at(ends)) && !tenure.lasts(KernelNs(at(ends).0 + 1)), "{heard:?}");
        }
    }

    #[test]
    fn what_comes_back_within_an_hour_is_no_stranger() {
        let at = |seconds: u64| KernelNs(seconds * 1_000_000_000);
        for (back, ends) in [(40, 70), (3_609, 7_208), (3_610, 3_610), (90_000, 90_000)] {
            assert_eq!(Tenure::begin(at(10)).resume(at(back)).ends(), at(ends), "after {back} s");
        }
    }
}
