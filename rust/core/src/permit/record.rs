//! What a permit is for as long as it is remembered: one cache line, locked by its state word.

use crate::sync::{AtomicI64, AtomicU32, AtomicU64, Ordering};

/// What may be done with a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum State {
    /// Never used, or its admission failed.
    Free = 0,
    /// Being made: its counters are not all taken yet.
    Opening = 1,
    Open = 2,
    /// One thread is in the middle of a step.
    Busy = 3,
    Settled = 4,
    Released = 5,
    /// Expired, and what it held was charged.
    Charged = 6,
    /// Expired, and what it held was given back.
    GivenBack = 7,
}

impl State {
    pub(super) fn of(word: u64) -> State {
        match word & 0xff {
            1 => State::Opening,
            2 => State::Open,
            3 => State::Busy,
            4 => State::Settled,
            5 => State::Released,
            6 => State::Charged,
            7 => State::GivenBack,
            _ => State::Free,
        }
    }
}

impl State {
    /// One in which a permit is kept, by its number.
    pub(crate) fn kept(number: i64) -> Option<State> {
        let states = [State::Open, State::Settled, State::Released, State::Charged, State::GivenBack];
        states.into_iter().find(|state| *state as i64 == number)
    }
}

pub(super) fn word(generation: u64, state: State) -> u64 {
    generation << 8 | state as u64
}

/// A plain value under the state word's lock.
#[derive(Debug, Default)]
pub(crate) struct Plain(AtomicI64);

impl Plain {
    #[inline(always)]
    pub(crate) fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(crate) fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// One cache line for as long as a permit is remembered. Records lie in a ring that is longer than any cache, so what
/// only an open permit needs is in its body.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Record {
    pub(super) state: AtomicU64,
    /// An instant in ms: when it expires (or has expired); once it is settled or released, when that was.
    pub(crate) ends: Plain,
    /// What is held on every token counter and on every budget; once it is settled, what was charged.
    pub(crate) tokens: Plain,
    pub(crate) nano: Plain,
    /// What it was settled with.
    pub(crate) digest: Plain,
    /// The serial of the virtual key, and the lower half of the fingerprint of the value that it came by.
    pub(crate) credential: [Plain; 2],
    pub(crate) flags: AtomicU32,
    pub(super) body: AtomicU32,
}
