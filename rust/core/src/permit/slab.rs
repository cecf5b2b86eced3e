//! Where permits live: records in rings, bodies in stacks.
//!
//! A *record* is what a permit needs for as long as it is remembered: its state word, what it holds, what it was
//! settled with. Records are taken in turn, so a closed one is found again under its handle for as long as possible:
//! one time to live after closing, less only where the bound on permits is reached. A *body* is the list of
//! counters that the permit was taken from; only open (and expired) permits have one, and the last one given back is
//! the next one used, while it is still in the processor's cache.
//!
//! The state word is the permit's own lock: whoever moves it to `Busy` has the record and its body alone until it
//! stores the next state. Everything else in a record is a plain value under that lock, kept in relaxed atomics
//! because safe Rust has no cheaper word for "plain, but guarded by another word".

use core::mem::ManuallyDrop;

use super::Handle;
use super::body::{Body, Charged, Entries, Entry};
use super::record::{Record, State, word};
use super::ring::Stripe;
use crate::arena::Slot;
use crate::period::Epoch;
use crate::sync::{AtomicI64, Ordering, checked_fence, fence, sized, thread_number, wait_a_moment};
use crate::units::Millis;

/// Threads are spread over this many rings, so that two of them seldom share one.
pub(super) const STRIPE_BITS: u32 = sized(3, 0);
const STRIPES: usize = 1 << STRIPE_BITS;

/// Blocks of records that are looked at for what will be given back, at most.
pub(super) const LOOKED_AT: usize = 64;

/// In a generation, the boot number begins here: a record has as many lives in one process as there are below.
const BOOT_BIT: u32 = 32;

/// How often a look over all permits waits for one that is in the middle of a step.
const PATIENCE: u32 = sized(256, 2);

/// All permits of one engine.
#[derive(Debug)]
pub(crate) struct Slab {
    pub(super) stripes: [Stripe; STRIPES],
    /// Records that may still be made.
    pub(super) budget: AtomicI64,
}

/// A record held in `Busy` (or `Opening`): dropping it puts the old state back.
pub(crate) struct Held<'a> {
    stripe: &'a Stripe,
    pub(crate) record: &'a Record,
    pub(crate) body: &'a Body,
    pub(crate) handle: Handle,
    /// What it was before.
    pub(crate) was: State,
}

/// How a permit was found.
pub(crate) enum Found<'a> {
    Held(Held<'a>),
    /// Closed: its record may be read, and is good if `Slab::still` says so afterwards.
    Closed(&'a Record, State),
    Unknown,
}

impl Slab {
    /// Generations begin above those of every lower `boot`: a permit that was lost with a process is no other's name.
    pub(crate) fn new(most: i64, boot: u32) -> Slab {
        Slab {
            stripes: std::array::from_fn(|number| Stripe::new(number as u32, u64::from(boot) << BOOT_BIT)),
            budget: AtomicI64::new(most),
        }
    }

    /// Another bound. Records already made stay.
    pub(crate) fn change_bound(&self, old: i64, new: i64) {
        self.budget.fetch_add(new.saturating_sub(old), Ordering::Relaxed);
    }

    /// A record to open a permit in; None where as many are open as may be.
    #[inline(always)]
    pub(crate) fn take(&self, now: Millis, remember_ms: i64) -> Option<Held<'_>> {
        let mut at = thread_number() % STRIPES;
        for _ in 0..STRIPES {
            let stripe = &self.stripes[at];
            if let Some((number, generation)) = stripe.take(now, remember_ms, &self.budget) {
                return Some(Slab::opened(stripe, number, generation));
            }
            at = (at + 1) % STRIPES;
        }
        None
    }

    #[inline(always)]
    fn opened(stripe: &Stripe, number: u32, generation: u64) -> Held<'_> {
        let record = stripe.record(number);
        stripe.mark(number).note();
        if record.body.load(Ordering::Relaxed) != 0 {
            // It had expired and was never settled.
            stripe.expired.fetch_sub(1, Ordering::Relaxed);
            stripe.give_bodies(record);
        }
        let body = stripe.fresh_body(record);
        let handle = Handle { index: number << STRIPE_BITS | stripe.number, generation };
        Held { stripe, record, body, handle, was: State::Free }
    }

    pub(super) fn stripe(&self, index: u32) -> (&Stripe, u32) {
        (&self.stripes[index as usize % STRIPES], index >> STRIPE_BITS)
    }

    /// Take the permit's lock, or tell how it was closed.
    #[inline(always)]
    pub(crate) fn find(&self, handle: Handle) -> Found<'_> {
        let (stripe, number) = self.stripe(handle.index);
        if number >= stripe.length.load(Ordering::Acquire) {
            return Found::Unknown;
        }
        let record = stripe.record(number);
        let mut tries = 0;
        loop {
            let seen = record.state.load(Ordering::Acquire);
            let state = State::of(seen);
            if seen >> 8 != handle.generation || matches!(state, State::Free | State::Opening) {
                return Found::Unknown;
            }
            match state {
                State::Settled | State::Released => return Found::Closed(record, state),
                State::Busy => wait_a_moment(&mut tries),
                _ => {
                    if let Some(held) = Slab::hold(stripe, record, handle, seen) {
                        stripe.mark(number).note();
                        return Found::Held(held);
                    }
                }
            }
        }
    }

    /// The lock of a record as it was `seen`. Whoever changes something notes that he has it.
    #[inline(always)]
    pub(super) fn hold<'a>(
        stripe: &'a Stripe,
        record: &'a Record,
        handle: Handle,
        seen: u64,
    ) -> Option<Held<'a>> {
        let was = State::of(seen);
        if !cfg!(canary = "settle_not_once") {
            // Partner of the Release in `Held::leave`: one thread alone gets past it. SeqCst: see `policy::current`; whoever
            // has the record looks at the lives of its counters next.
            let busy = word(handle.generation, State::Busy);
            record.state.compare_exchange(seen, busy, Ordering::SeqCst, Ordering::Relaxed).ok()?;
            checked_fence();
        }
        let body = stripe.body(record.body.load(Ordering::Relaxed) - 1);
        Some(Held { stripe, record, body, handle, was })
    }

    /// Whether a handle still names the closed permit that was just read.
    pub(crate) fn still(&self, handle: Handle, state: State) -> bool {
        let (stripe, number) = self.stripe(handle.index);
        // Partner of the fence in `claim`: the values were read before the word is.
        fence(Ordering::Acquire);
        stripe.record(number).state.load(Ordering::Acquire) == word(handle.generation, state)
    }

    /// State of a permit as it is, without waiting.
    pub(crate) fn state(&self, handle: Handle) -> State {
        let (stripe, number) = self.stripe(handle.index);
        if number >= stripe.length.load(Ordering::Acquire) {
            return State::Free;
        }
        let seen = stripe.record(number).state.load(Ordering::Acquire);
        if seen >> 8 == handle.generation { State::of(seen) } else { State::Free }
    }

    pub(crate) fn record(&self, handle: Handle) -> &Record {
        let (stripe, number) = self.stripe(handle.index);
        stripe.record(number)
    }

    /// Open permits, and those being made.
    pub(crate) fn open(&self) -> i64 {
        self.stripes.iter().map(Stripe::open).sum()
    }

    /// Hold each permit that is open and whose time has passed, in up to `most` blocks of each ring. Busy ones are passed
    /// over. A block is looked at where an end has passed since it was looked at last: each permit brings about one look
    /// at its block, at most, however often anybody asks.
    pub(crate) fn overdue(&self, now: Millis, most: usize, mut each: impl FnMut(Held<'_>)) -> u64 {
        let mut expired = 0;
        for stripe in &self.stripes {
            let seen = stripe.watch.quiet_until();
            if now.get() < seen {
                continue;
            }
            let due = stripe.blocks().filter(|first| stripe.watch_of(*first).quiet_until() <= now.get());
            for first in due.take(most) {
                let quiet_until = stripe.watch_of(first).quiet_until();
                for number in stripe.block(first) {
                    let (seen, end) = stripe.look_at(number);
                    if State::of(seen) != State::Open || end > now.get() {
                        continue;
                    }
                    let handle =
                        Handle { index: number << STRIPE_BITS | stripe.number, generation: seen >> 8 };
                    if let Some(held) = Slab::hold(stripe, stripe.record(number), handle, seen) {
                        expired += 1;
                        each(held);
                    }
                }
                stripe.looked_at(first, quiet_until);
            }
            if stripe.watch.raise(seen, stripe.quiet_until()) {
                stripe.watch.note(stripe.quiet_until());
            }
        }
        expired
    }

    /// Hold each open permit that ends before `until`, in the blocks that end first. From the instant that is returned on
    /// there may be others, in blocks that were not looked at.
    pub(crate) fn ending(&self, until: Millis, mut each: impl FnMut(Held<'_>)) -> Millis {
        let mut blocks = Vec::new();
        for stripe in self.stripes.iter().filter(|stripe| stripe.watch.quiet_until() < until.get()) {
            let quiet = stripe.blocks().map(|first| (stripe.watch_of(first).quiet_until(), stripe, first));
            blocks.extend(quiet.filter(|(quiet_until, ..)| *quiet_until < until.get()));
        }
        blocks.sort_unstable_by_key(|(quiet_until, ..)| *quiet_until);
        let known_until = blocks.get(LOOKED_AT).map_or(until.get(), |(quiet_until, ..)| *quiet_until);
        for (quiet_until, stripe, first) in blocks.into_iter().take(LOOKED_AT) {
            for number in stripe.block(first) {
                let (seen, end) = stripe.look_at(number);
                if State::of(seen) == State::Open && end < known_until {
                    let handle =
                        Handle { index: number << STRIPE_BITS | stripe.number, generation: seen >> 8 };
                    Slab::hold(stripe, stripe.record(number), handle, seen).map(&mut each);
                }
            }
            stripe.looked_at(first, quiet_until);
        }
        Millis::new(known_until)
    }

    /// Records that there are.
    pub(crate) fn length(&self) -> usize {
        self.stripes.iter().map(|stripe| stripe.length.load(Ordering::Relaxed) as usize).sum()
    }

    /// Whether every record was seen out of anybody's hands: whatever step was under way when this began has ended.
    pub(crate) fn are_quiet(&self) -> bool {
        checked_fence();
        self.stripes.iter().all(|stripe| {
            (0..stripe.length.load(Ordering::SeqCst)).all(|number| {
                let mut tries = 0;
                loop {
                    // SeqCst: partner of the exchanges in `claim` and `hold`.
                    match State::of(stripe.record(number).state.load(Ordering::SeqCst)) {
                        State::Opening | State::Busy if tries >= PATIENCE => return false,
                        State::Opening | State::Busy => wait_a_moment(&mut tries),
                        _ => return true,
                    }
                }
            })
        })
    }

    /// Hold every permit that a step may still correct, one after the other. False as soon as one stays in the middle
    /// of a step. A sweep's cursor would not do: with two sweeps at once each passes over what the other looks at.
    pub(crate) fn each_correctable<'a>(&'a self, mut each: impl FnMut(Held<'a>)) -> bool {
        for stripe in &self.stripes {
            for number in 0..stripe.length.load(Ordering::Acquire) {
                let record = stripe.record(number);
                let mut tries = 0;
                loop {
                    let seen = record.state.load(Ordering::Acquire);
                    let handle =
                        Handle { index: number << STRIPE_BITS | stripe.number, generation: seen >> 8 };
                    match State::of(seen) {
                        State::Free | State::Settled | State::Released => break,
                        State::Opening | State::Busy if tries >= PATIENCE => return false,
                        State::Opening | State::Busy => wait_a_moment(&mut tries),
                        State::Open | State::Charged | State::GivenBack => {
                            if let Some(held) = Slab::hold(stripe, record, handle, seen) {
                                each(held);
                                break;
                            }
                        }
                    }
                }
            }
        }
        true
    }
}

impl<'a> Held<'a> {
    /// The list of a new permit's counters.
    #[inline(always)]
    pub(crate) fn entries(&self) -> Entries<'a> {
        Entries { stripe: self.stripe, body: self.body, at: 0 }
    }

    /// When it will be overdue.
    #[inline(always)]
    pub(crate) fn ends_at(&self, end: Millis) {
        self.record.ends.set(end.get());
        self.stripe.note(self.handle.index >> STRIPE_BITS, end.get());
    }

    /// Every counter taken from, in rank order, with what was charged outside the hold.
    #[inline(always)]
    pub(crate) fn each(&self, mut step: impl FnMut(Entry, Charged<'_>)) {
        let mut body = self.body;
        loop {
            let count = body.count.load(Ordering::Relaxed) as usize;
            for (stored, amount) in body.entries.iter().zip(&body.charged).take(count) {
                let slot = stored.slot.load(Ordering::Relaxed);
                let epoch = stored.epoch.get();
                let entry = Entry {
                    slot: Slot { number: (slot >> 32) as u32, generation: slot as u32 },
                    kind: crate::policy::Kind::of(epoch),
                    epoch: Epoch::from_raw(epoch >> 2),
                };
                step(entry, Charged { amount, body, epoch: &stored.epoch });
            }
            match body.next.load(Ordering::Relaxed) {
                0 => return,
                next => body = self.stripe.body(next - 1),
            }
        }
    }

    /// Something of it will be another: said while it is locked.
    pub(crate) fn note(&self) {
        self.stripe.mark(self.handle.index >> STRIPE_BITS).note();
    }

    /// Unlock into `state`. The body goes where the permit is closed for good.
    #[inline(always)]
    pub(crate) fn leave(self, state: State) {
        ManuallyDrop::new(self).unlock(state);
    }

    /// Still locked, but expired: what drops or leaves from here on is an expired permit.
    pub(crate) fn become_expired(&mut self, state: State) {
        self.note();
        if self.was == State::Open {
            self.stripe.expired.fetch_add(1, Ordering::Relaxed);
        }
        self.was = state;
    }

    #[inline(always)]
    fn unlock(&self, state: State) {
        if matches!(state, State::Settled | State::Released | State::Free) {
            if matches!(self.was, State::Charged | State::GivenBack) {
                self.stripe.expired.fetch_sub(1, Ordering::Relaxed);
            }
            self.stripe.give_bodies(self.record);
        }
        // Release: partner of the Acquire in `find`, `hold` and `claim`.
        self.record.state.store(word(self.handle.generation, state), Ordering::Release);
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.unlock(self.was);
    }
}
