//! Windows on their own, without an engine: one limit, one counter.

use super::fixed::{Fixed, seal_word, total_at};
use super::sliding::{Ring, Sliding, check_limit};
use super::{BEFORE_ALL, SEALED, ShapeWords, Take, admits, amount_of, epoch_of, flags_of, pack};
use crate::error::Fault;
use crate::period::Lattice;
use crate::sync::Word;
use crate::units::Millis;

/// What one counter shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The most that a window may count.
    pub limit: i64,
    /// Used in the current window.
    pub used: i64,
    /// Held in the current window.
    pub held: i64,
    /// What may still be taken.
    pub remaining: i64,
    /// When what counts now will all be gone.
    pub reset_at: Millis,
    /// How long until one unit can be taken.
    pub retry_after_ms: i64,
}

fn before_all() -> Word {
    Word::new(pack(BEFORE_ALL, 0, 0))
}

/// Seal a deciding word for good, if `total` says that nothing counts. Whoever takes meanwhile changes the word, and
/// the exchange fails.
fn seal_if_empty(word: &Word, total: impl Fn(u128) -> i64) -> bool {
    let mut seen = word.load();
    while flags_of(seen) & SEALED == 0 && total(seen) == 0 {
        match word.cas(seen, pack(epoch_of(seen), SEALED, 0)) {
            Ok(_) => return true,
            Err(found) => seen = found,
        }
    }
    false
}

/// Windows one after the other, on the lattice `anchor + k x length`.
///
/// ```
/// use limen_core::units::Millis;
/// use limen_core::window::single::FixedWindow;
/// let window = FixedWindow::new(2, 1_000, Millis::new(0));
/// assert!(window.take(2, Millis::new(999)));
/// assert!(!window.take(1, Millis::new(999)));
/// assert!(window.take(1, Millis::new(1_000)));
/// ```
#[derive(Debug)]
pub struct FixedWindow {
    word: Word,
    used: Word,
    shape: ShapeWords,
    limit: i64,
}

impl FixedWindow {
    /// At most `limit` in every window of `length_ms`.
    #[must_use]
    pub fn new(limit: i64, length_ms: i64, anchor: Millis) -> FixedWindow {
        FixedWindow::on(limit, Lattice::rolling(anchor, length_ms))
    }

    /// At most `limit` in every window of a lattice.
    #[must_use]
    pub fn on(limit: i64, lattice: Lattice) -> FixedWindow {
        FixedWindow { word: before_all(), used: before_all(), shape: ShapeWords::of(lattice), limit }
    }

    /// Another one with the same limit and windows, empty.
    #[must_use]
    pub fn another(&self) -> FixedWindow {
        FixedWindow::on(self.limit, self.shape.lattice())
    }

    #[inline(always)]
    pub(crate) fn fixed(&self) -> Fixed<'_> {
        Fixed { word: &self.word, used: &self.used, shape: &self.shape }
    }

    /// Take `cost` if it fits.
    #[inline]
    pub fn take(&self, cost: i64, now: Millis) -> bool {
        matches!(self.try_take(cost, now), Take::Taken(_))
    }

    /// As [`FixedWindow::take`], told apart from a window that was closed.
    #[inline]
    pub fn try_take(&self, cost: i64, now: Millis) -> Take {
        self.fixed().take(self.word.load(), now, cost, self.limit, |_| {})
    }

    /// Close it for good: nothing is taken any more.
    pub fn close(&self) {
        seal_word(&self.word);
    }

    /// Close it for good if nothing counts at `now`; whether it was closed by this call.
    pub fn close_if_empty(&self, now: Millis) -> bool {
        seal_if_empty(&self.word, |word| total_at(word, now))
    }

    /// Whether `cost` fits.
    #[must_use]
    pub fn peek(&self, cost: i64, now: Millis) -> bool {
        admits(total_at(self.word.load(), now), cost, self.limit)
    }

    /// Undo a take, by the instant at which it was made. A window that has rolled is left alone.
    pub fn give_back(&self, cost: i64, taken_at: Millis) {
        self.fixed().correct(self.shape.lattice().window_at(taken_at), -cost, 0, taken_at);
    }

    /// Whether nothing counts at `now`.
    #[must_use]
    pub fn is_empty(&self, now: Millis) -> bool {
        total_at(self.word.load(), now) == 0
    }

    /// What the counter shows. All that is taken counts as used.
    #[must_use]
    pub fn status(&self, now: Millis) -> Status {
        let total = total_at(self.word.load(), now);
        let reading = self.fixed().read(now);
        let fits = admits(total, 1, self.limit);
        Status {
            limit: self.limit,
            used: total,
            held: 0,
            remaining: (self.limit - total).max(0),
            reset_at: reading.reset,
            retry_after_ms: if fits { 0 } else { reading.reset.get().saturating_sub(now.get()).max(0) },
        }
    }
}

/// The last length of time, in sub-windows; see [`super::sliding`].
#[derive(Debug)]
pub struct SlidingWindow {
    head: Word,
    slots: Box<[Word]>,
    ring: Ring,
    limit: i64,
}

impl SlidingWindow {
    /// At most `limit` in every window of `length_ms`, told apart in `buckets` sub-windows.
    ///
    /// # Errors
    /// `invalid_request` for a limit above [`super::sliding::LARGEST_LIMIT`].
    pub fn new(limit: i64, length_ms: i64, buckets: i64) -> Result<SlidingWindow, Fault> {
        check_limit(limit)?;
        Ok(SlidingWindow::on(limit, Ring::new(length_ms, buckets)))
    }

    fn on(limit: i64, ring: Ring) -> SlidingWindow {
        let slots = (0..ring.slots()).map(|_| Word::new(Sliding::EMPTY_SLOT)).collect();
        SlidingWindow { head: before_all(), slots, ring, limit }
    }

    /// Another one with the same limit and length, empty.
    #[must_use]
    pub fn another(&self) -> SlidingWindow {
        SlidingWindow::on(self.limit, self.ring)
    }

    #[inline(always)]
    fn sliding(&self) -> Sliding<'_> {
        Sliding { head: &self.head, slots: &self.slots, ring: self.ring }
    }

    /// Take `cost` if it fits.
    #[inline]
    pub fn take(&self, cost: i64, now: Millis) -> bool {
        matches!(self.try_take(cost, now), Take::Taken(_))
    }

    /// As [`SlidingWindow::take`], told apart from a window that was closed.
    #[inline]
    pub fn try_take(&self, cost: i64, now: Millis) -> Take {
        self.sliding().take(self.head.load(), now, cost, self.limit).0
    }

    /// Close it for good: nothing is taken any more.
    pub fn close(&self) {
        seal_word(&self.head);
    }

    /// Close it for good if nothing counts at `now`; whether it was closed by this call.
    pub fn close_if_empty(&self, now: Millis) -> bool {
        self.sliding().advance(now);
        seal_if_empty(&self.head, amount_of)
    }

    /// Whether `cost` fits.
    #[must_use]
    pub fn peek(&self, cost: i64, now: Millis) -> bool {
        self.sliding().fits_at(now, cost, self.limit) == Some(now)
    }

    /// Undo a take, by the instant at which it was made. A sub-window that has left is left alone.
    pub fn give_back(&self, cost: i64, taken_at: Millis) {
        self.sliding().correct(self.ring.epoch_at(taken_at), -cost, 0, taken_at);
    }

    /// Whether nothing counts at `now`.
    #[must_use]
    pub fn is_empty(&self, now: Millis) -> bool {
        self.sliding().read(now).total() == 0
    }

    /// What the counter shows. All that is taken counts as used.
    #[must_use]
    pub fn status(&self, now: Millis) -> Status {
        let reading = self.sliding().read(now);
        let total = reading.total();
        let fits_at = self.sliding().fits_at(now, 1, self.limit);
        let at = fits_at.unwrap_or(reading.reset);
        Status {
            limit: self.limit,
            used: total,
            held: 0,
            remaining: (self.limit - total).max(0),
            reset_at: reading.reset,
            retry_after_ms: at.get().saturating_sub(now.get()).max(0),
        }
    }
}
