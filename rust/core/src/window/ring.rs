//! The ring of a sliding window: which sub-window an instant lies in, and a slot as one word.
//!
//! A window of `length` is cut into sub-windows of `ceil(length / buckets)`; a sub-window has the slot of its number
//! modulo the number of slots, and its tag tells which of the many that share it was there last.

use crate::error::Fault;
use crate::period::Epoch;
use crate::units::Millis;

/// A slot has 46 bits for a count; in the last one it says that more came than it can count.
pub(crate) const SLOT_MAX: i64 = (1 << 46) - 1;

/// The largest limit of a sliding window: one sub-window may count all of it.
pub const LARGEST_LIMIT: i64 = SLOT_MAX - 1;

/// Whether a sliding window can have this limit.
pub(crate) fn check_limit(limit: i64) -> Result<(), Fault> {
    if limit <= LARGEST_LIMIT {
        return Ok(());
    }
    Err(Fault::invalid("limit", format!("must be at most {LARGEST_LIMIT} in a sliding window")))
}

pub(super) const TAG_MASK: u64 = (1 << 34) - 1;

/// Sub-windows of one window and how many of them count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ring {
    /// Length of a sub-window.
    pub sub_ms: i64,
    /// Sub-windows that count: the newest and as many before it as cover the length.
    pub live: i64,
}

impl Ring {
    /// The ring of a window of `length_ms` cut into `buckets`: sub-windows of `ceil(length / buckets)`.
    ///
    /// ```
    /// use limen_core::window::sliding::Ring;
    /// assert_eq!(Ring::new(60_000, 60), Ring { sub_ms: 1_000, live: 61 });
    /// assert_eq!(Ring::new(100, 60), Ring { sub_ms: 2, live: 51 });
    /// ```
    #[must_use]
    pub fn new(length_ms: i64, buckets: i64) -> Ring {
        let sub_ms = (length_ms + buckets - 1) / buckets;
        Ring { sub_ms, live: (length_ms + sub_ms - 1) / sub_ms + 1 }
    }

    #[inline(always)]
    pub(super) fn at(&self, now: Millis) -> i64 {
        now.get().div_euclid(self.sub_ms)
    }

    /// The sub-window that contains `now`, told without a division where it is still `newest`.
    #[inline(always)]
    pub(super) fn index(&self, newest: i64, now: Millis) -> i64 {
        let into = now.get().wrapping_sub(newest.wrapping_mul(self.sub_ms));
        if (0..self.sub_ms).contains(&into) { newest } else { self.at(now) }
    }

    /// The sub-window that contains `now`.
    #[must_use]
    pub fn epoch_at(&self, now: Millis) -> Epoch {
        Epoch::from_raw(self.at(now))
    }

    /// Start of a sub-window.
    #[must_use]
    pub fn start(&self, epoch: Epoch) -> Millis {
        Millis::new(epoch.get().saturating_mul(self.sub_ms))
    }

    /// The instant at which what was taken in sub-window `index` no longer counts.
    pub(super) fn leaves(&self, index: i64) -> Millis {
        Millis::new((index + self.live).saturating_mul(self.sub_ms))
    }

    /// How many slots the ring needs: at least one for each sub-window that counts, and a power of two, so that none is
    /// found by a division.
    pub(super) fn slots(&self) -> usize {
        (self.live as usize).next_power_of_two()
    }
}

/// What may still happen to a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Counts in its sub-window.
    Open = 0,
    /// Its sub-window has left: nothing is added in it any more, and a newer one may have the slot.
    Closed = 1,
    /// Never used.
    Empty = 2,
    /// An edit closed the counter: no sub-window has the slot any more. Were it only closed, one that the head has
    /// counted already could still take it, and what is settled in it would be charged where nobody reads.
    Sealed = 3,
}

/// A slot's count moved by `delta`, never below zero. At its maximum it stays until its sub-window leaves, as a word does
/// that has overflown.
#[inline(always)]
pub(super) fn moved(count: i64, delta: i64) -> i64 {
    if count == SLOT_MAX { count } else { count.saturating_add(delta).clamp(0, SLOT_MAX) }
}

/// One slot, unpacked: 34 bits of the sub-window, 46 of what was taken in it, 46 of what of that is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) tag: u64,
    pub(super) total: i64,
    pub(super) used: i64,
    pub(super) state: State,
}

pub(super) const EMPTY: Slot = Slot { tag: 0, total: 0, used: 0, state: State::Empty };

impl Slot {
    /// Whether a word is that of an open slot of the sub-window of this tag.
    #[inline(always)]
    pub(super) fn is_open(word: u128, tag: u64) -> bool {
        word as u64 & 3 == State::Open as u64 && (word >> 94) as u64 == tag
    }

    /// Of a word that is known to be an open slot's.
    #[inline(always)]
    pub(super) fn unpack_open(word: u128) -> Slot {
        Slot {
            tag: (word >> 94) as u64 & TAG_MASK,
            total: (word >> 48) as i64 & SLOT_MAX,
            used: (word >> 2) as i64 & SLOT_MAX,
            state: State::Open,
        }
    }

    #[inline(always)]
    pub(super) fn unpack(word: u128) -> Slot {
        let state = match word & 3 {
            0 => State::Open,
            1 => State::Closed,
            2 => State::Empty,
            _ => State::Sealed,
        };
        Slot { state, ..Slot::unpack_open(word) }
    }

    #[inline(always)]
    pub(super) fn pack(self) -> u128 {
        (u128::from(self.tag) << 94)
            | ((self.total as u128) << 48)
            | ((self.used as u128) << 2)
            | self.state as u128
    }

    pub(super) fn open(index: i64, total: i64, used: i64) -> Slot {
        Slot { tag: index as u64 & TAG_MASK, total, used, state: State::Open }
    }
}
