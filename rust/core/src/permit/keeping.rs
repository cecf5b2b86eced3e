//! Permits out and in: what a flush finds of each, and how one is put back under its own handle after a restart.

use super::body::{Entries, Entry};
use super::record::{Record, State, word};
use super::slab::STRIPE_BITS;
use super::{Handle, Held, Slab};
use crate::policy::prices::Tariff;
use crate::sync::Ordering;

/// A permit as it is kept.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) generation: u64,
    pub(crate) state: State,
    pub(crate) flags: u32,
    pub(crate) ends: i64,
    pub(crate) tokens: i64,
    pub(crate) nano: i64,
    pub(crate) digest: i64,
    pub(crate) credential: [i64; 2],
    /// The largest totals that an update told: tokens, nano-dollars.
    pub(crate) seen: [i64; 2],
    /// By what it is settled.
    pub(crate) tariff: Tariff,
}

/// How a flush finds a record.
pub(crate) enum Look<'a> {
    /// No permit is in it.
    Empty,
    /// A permit of this generation is being made, or is in the middle of a step.
    Busy(u64),
    /// It can still be corrected: what it says does not change while it is held.
    Held(Held<'a>),
    /// It is closed: its record is good if `Slab::still` says so afterwards.
    Closed(&'a Record, Handle, State),
}

impl Kept {
    pub(crate) fn of(record: &Record, handle: Handle, state: State) -> Kept {
        Kept {
            generation: handle.generation,
            state,
            flags: record.flags.load(Ordering::Relaxed),
            ends: record.ends.get(),
            tokens: record.tokens.get(),
            nano: record.nano.get(),
            digest: record.digest.get(),
            credential: [record.credential[0].get(), record.credential[1].get()],
            seen: [0, 0],
            tariff: Tariff::default(),
        }
    }

    /// Whether a step may still correct it: only then it has a list of counters.
    pub(crate) fn is_correctable(&self) -> bool {
        matches!(self.state, State::Open | State::Charged | State::GivenBack)
    }
}

impl Slab {
    /// The index of every record that has changed since this was last asked.
    pub(crate) fn changed(&self) -> impl Iterator<Item = u32> {
        self.stripes
            .iter()
            .flat_map(|stripe| stripe.changed().map(|number| number << STRIPE_BITS | stripe.number))
    }

    /// Have a record looked at again by the next flush.
    pub(crate) fn look_again(&self, index: u32) {
        let (stripe, number) = self.stripe(index);
        stripe.mark(number).note();
    }

    pub(crate) fn look(&self, index: u32) -> Look<'_> {
        let (stripe, number) = self.stripe(index);
        let record = stripe.record(number);
        // SeqCst: comes after the fence of the mark that was cleared.
        let seen = record.state.load(Ordering::SeqCst);
        let handle = Handle { index, generation: seen >> 8 };
        match State::of(seen) {
            State::Free => Look::Empty,
            State::Opening | State::Busy => Look::Busy(handle.generation),
            state @ (State::Settled | State::Released) => Look::Closed(record, handle, state),
            State::Open | State::Charged | State::GivenBack => {
                match Slab::hold(stripe, record, handle, seen) {
                    Some(held) => Look::Held(held),
                    None => Look::Busy(handle.generation),
                }
            }
        }
    }

    /// Whether a permit of this generation may have been given out before this process.
    pub(crate) fn gave_before(&self, generation: u64) -> bool {
        generation < self.stripes[0].base
    }

    /// Put a permit back under its handle, before there are others: with the counters that it was taken from, and what of
    /// each was charged outside the hold.
    pub(crate) fn put_back(&self, index: u32, kept: &Kept, entries: &[(Entry, i64)]) {
        let (stripe, number) = self.stripe(index);
        stripe.reach(number, &self.budget);
        let record = stripe.record(number);
        record.ends.set(kept.ends);
        record.tokens.set(kept.tokens);
        record.nano.set(kept.nano);
        record.digest.set(kept.digest);
        record.credential[0].set(kept.credential[0]);
        record.credential[1].set(kept.credential[1]);
        record.flags.store(kept.flags, Ordering::Relaxed);
        if kept.is_correctable() {
            let body = stripe.fresh_body(record);
            body.seen_tokens.set(kept.seen[0]);
            body.seen_nano.set(kept.seen[1]);
            body.settle_by(kept.tariff);
            let mut list = Entries { stripe, body, at: 0 };
            for (entry, charged) in entries {
                list.push(*entry);
                list.charge_last(*charged);
            }
        }
        match kept.state {
            State::Open => stripe.note(number, kept.ends),
            State::Charged | State::GivenBack => _ = stripe.expired.fetch_add(1, Ordering::Relaxed),
            _ => {}
        }
        record.state.store(word(kept.generation, kept.state), Ordering::Release);
    }
}
