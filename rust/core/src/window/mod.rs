//! Windows: how much was taken, and since when, in one word.
//!
//! A [`Reading`] is what a counter shows at one instant. [`fixed`] counts in windows on a lattice of instants,
//! [`sliding`] in a ring of sub-windows; both decide in a single compare-exchange on their word, and both may be
//! sealed (their last count frozen) when an edit moves the count to another shape.

pub mod fixed;
mod ring;
pub mod single;
pub mod sliding;
pub(crate) mod wait;

use crate::period::{Epoch, Lattice};
use crate::sync::{AtomicI64, Ordering};
use crate::units::Millis;
use sliding::Ring;

/// What one counter shows. `used + held` is what decides; `used` never exceeds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Settled or charged in the current window.
    pub used: i64,
    /// Held by open permits in the current window.
    pub held: i64,
    /// Start of the current window (for a sliding one: `now` less its length).
    pub start: Millis,
    /// When what is counted now will all be gone.
    pub reset: Millis,
}

impl Reading {
    /// `used + held`.
    #[must_use]
    pub fn total(&self) -> i64 {
        self.used.saturating_add(self.held)
    }
}

/// What a counter shows to whom it refuses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    pub(crate) used: i64,
    pub(crate) held: i64,
    /// When what is counted now will all be gone.
    pub(crate) reset: Millis,
    /// When what was asked fits if nothing else comes; None where it never does.
    pub(crate) fits_at: Option<Millis>,
}

/// The rule of every counter: nothing beyond the limit, and nothing at all once it is reached.
///
/// ```
/// use limen_core::window::admits;
/// assert!(admits(4, 1, 5));
/// assert!(!admits(4, 2, 5));
/// assert!(!admits(5, 0, 5)); // asked 0 behaves as "refuse once usage reaches the limit"
/// assert!(!admits(0, 0, 0)); // a limit of 0 refuses everything
/// ```
#[inline(always)]
#[must_use]
pub fn admits(total: i64, asked: i64, limit: i64) -> bool {
    total < limit && asked <= limit - total
}

/// What a take found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// Counted in this window.
    Taken(Epoch),
    /// No room.
    Refused,
    /// The counter was closed by an edit: take the newer policy.
    Sealed,
}

/// How a correction met its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Met {
    /// Done whole.
    Done,
    /// The window has passed: nothing was done.
    Rolled,
    /// An edit has closed the counter: what is still to be added to this window belongs to its successor.
    Sealed { epoch: Epoch, total: i64, used: i64 },
}

/// A counter's shape as two integers, in a cell that may be given out anew: those of its lattice, or the length of a
/// sub-window and how many of them count.
#[derive(Debug, Default)]
pub(crate) struct ShapeWords([AtomicI64; 2]);

impl ShapeWords {
    pub(crate) fn of(lattice: Lattice) -> ShapeWords {
        let words = ShapeWords::default();
        words.set(lattice.to_words());
        words
    }

    /// Before anyone else can reach the cell.
    pub(crate) fn set(&self, words: (i64, i64)) {
        self.0[0].store(words.0, Ordering::Relaxed);
        self.0[1].store(words.1, Ordering::Relaxed);
    }

    fn words(&self) -> (i64, i64) {
        (self.0[0].load(Ordering::Relaxed), self.0[1].load(Ordering::Relaxed))
    }

    #[inline]
    pub(crate) fn lattice(&self) -> Lattice {
        let (anchor_ms, length) = self.words();
        Lattice::from_words(anchor_ms, length)
    }

    #[inline]
    pub(crate) fn ring(&self) -> Ring {
        let (sub_ms, live) = self.words();
        Ring { sub_ms, live }
    }
}

/// Before every window that an instant can lie in.
pub(crate) const BEFORE_ALL: Epoch = Epoch::from_raw(-(1 << 60));

/// Flags in the low three bits of a word's upper half, below the epoch.
pub(crate) const SEALED: u64 = 1;
pub(crate) const UNSEEDED: u64 = 2;
/// More came than the word can count. It stays at its maximum until its window ends, whatever is given back: what came
/// on top was not counted, so whoever gives back may have more to give than was counted for him, and with it would go
/// what others hold and have used.
const OVERFLOWN: u64 = 4;

#[inline(always)]
pub(crate) fn pack(epoch: Epoch, flags: u64, amount: i64) -> u128 {
    let high = ((epoch.get() << 3) as u64) | flags;
    (u128::from(high) << 64) | u128::from(amount as u64)
}

/// The word of a count; None is more than one can count.
pub(crate) fn counted(epoch: Epoch, count: Option<i64>) -> u128 {
    count.map_or_else(|| pack(epoch, OVERFLOWN, i64::MAX), |count| pack(epoch, 0, count))
}

/// What a word counts; None is more than it can.
#[inline(always)]
fn count_of(word: u128) -> Option<i64> {
    (flags_of(word) & OVERFLOWN == 0).then(|| amount_of(word))
}

/// The word after `delta` in its own window; never below zero.
#[inline(always)]
fn moved(word: u128, delta: i64) -> u128 {
    let count = count_of(word).and_then(|count| count.checked_add(delta));
    counted(epoch_of(word), count.map(|count| count.max(0)))
}

#[inline(always)]
pub(crate) fn epoch_of(word: u128) -> Epoch {
    Epoch::from_raw(((word >> 64) as u64 as i64) >> 3)
}

#[inline(always)]
pub(crate) fn flags_of(word: u128) -> u64 {
    ((word >> 64) as u64) & 7
}

#[inline(always)]
pub(crate) fn amount_of(word: u128) -> i64 {
    word as u64 as i64
}
