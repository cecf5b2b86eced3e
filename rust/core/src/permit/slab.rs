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

use std::sync::OnceLock;

use super::Handle;
use crate::arena::Slot;
use crate::period::Epoch;
use crate::sync::{
    AtomicI64, AtomicU32, AtomicU64, Mutex, Ordering, fence, lock, sized, thread_number, wait_a_moment,
};
use crate::units::Millis;

/// Threads are spread over this many rings, so that two of them seldom share one.
const STRIPE_BITS: u32 = sized(3, 0);
const STRIPES: usize = 1 << STRIPE_BITS;
const FIRST_CHUNK: u32 = sized(256, 4);
const CHUNKS: usize = 22;
/// Counters in one body; a longer list goes on in another.
const ENTRIES: usize = sized(24, 2) as usize;

/// How often a look over all permits waits for one that is in the middle of a step.
const PATIENCE: u32 = sized(256, 2);

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
    fn of(word: u64) -> State {
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

fn word(generation: u64, state: State) -> u64 {
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

#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Record {
    state: AtomicU64,
    /// Instants in ms.
    pub(crate) expires: Plain,
    pub(crate) closed: Plain,
    /// What is held on every token counter and on every budget.
    pub(crate) tokens: Plain,
    pub(crate) nano: Plain,
    /// The largest totals that an update told.
    pub(crate) seen_tokens: Plain,
    pub(crate) seen_nano: Plain,
    /// How it was closed: the usage's digest, and the answer.
    pub(crate) digest: Plain,
    pub(crate) answer_tokens: Plain,
    pub(crate) answer_nano: Plain,
    pub(crate) flags: Plain,
    /// The serial of the virtual key, and the lower half of the fingerprint of the value that it came by.
    pub(crate) credential: [Plain; 2],
    /// Fingerprint of the idempotency id, halves; zero where none was given.
    pub(crate) id: [Plain; 2],
    body: AtomicU32,
}

/// One counter that a permit was taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) slot: Slot,
    pub(crate) kind: crate::policy::Kind,
    /// The window of the hold.
    pub(crate) epoch: Epoch,
}

#[derive(Debug, Default)]
struct StoredEntry {
    slot: AtomicU64,
    epoch: Plain,
    /// Growth that came after the window had rolled: used there, and no longer part of the hold.
    charged: Plain,
}

#[derive(Debug, Default)]
struct Body {
    /// While free: the next one on the stack. In use: where the list goes on. As number + 1.
    next: AtomicU32,
    count: AtomicU32,
    entries: [StoredEntry; ENTRIES],
}

#[derive(Debug)]
#[repr(align(64))]
struct Stripe {
    number: u32,
    records: [OnceLock<Box<[Record]>>; CHUNKS],
    /// Records that exist, and how many of them have been used at least once.
    length: AtomicU32,
    fresh: AtomicU32,
    /// Where the oldest record is looked for.
    cursor: AtomicU32,
    sweeper: AtomicU32,
    growing: Mutex<()>,
    bodies: [OnceLock<Box<[Body]>>; CHUNKS],
    /// Top of the stack of free bodies: a tag against reuse in the upper half, number + 1 in the lower.
    free_body: AtomicU64,
    made_bodies: AtomicU32,
    open: AtomicI64,
}

/// All permits of one engine.
#[derive(Debug)]
pub(crate) struct Slab {
    stripes: [Stripe; STRIPES],
    /// Records that may still be made.
    budget: AtomicI64,
}

/// A record held in `Busy` (or `Opening`): dropping it puts the old state back.
pub(crate) struct Held<'a> {
    stripe: &'a Stripe,
    pub(crate) record: &'a Record,
    pub(crate) handle: Handle,
    /// What it was before.
    pub(crate) was: State,
    left: bool,
}

/// How a permit was found.
pub(crate) enum Found<'a> {
    Held(Held<'a>),
    /// Closed: its record may be read, and is good if `Slab::still` says so afterwards.
    Closed(&'a Record, State),
    Unknown,
}

#[inline(always)]
fn place(number: u32) -> (usize, usize) {
    let from_first = number + FIRST_CHUNK;
    let chunk = from_first.ilog2() - FIRST_CHUNK.ilog2();
    (chunk as usize, (from_first - (FIRST_CHUNK << chunk)) as usize)
}

fn chunk<T: Default>(chunks: &[OnceLock<Box<[T]>>; CHUNKS], index: usize) -> &[T] {
    chunks[index].get_or_init(|| (0..FIRST_CHUNK << index).map(|_| T::default()).collect())
}

impl Stripe {
    fn new(number: u32) -> Stripe {
        Stripe {
            number,
            records: [const { OnceLock::new() }; CHUNKS],
            length: AtomicU32::new(0),
            fresh: AtomicU32::new(0),
            cursor: AtomicU32::new(0),
            sweeper: AtomicU32::new(0),
            growing: Mutex::new(()),
            bodies: [const { OnceLock::new() }; CHUNKS],
            free_body: AtomicU64::new(0),
            made_bodies: AtomicU32::new(0),
            open: AtomicI64::new(0),
        }
    }

    #[inline(always)]
    fn record(&self, number: u32) -> &Record {
        let (index, at) = place(number);
        &chunk(&self.records, index)[at]
    }

    #[inline(always)]
    fn body(&self, number: u32) -> &Body {
        let (index, at) = place(number);
        &chunk(&self.bodies, index)[at]
    }

    /// Try to make a record one's own. `forget`: also one that is closed and still remembered.
    fn claim(&self, number: u32, now: Millis, remember_ms: i64, forget: bool) -> Option<u64> {
        let record = self.record(number);
        // Acquire: partner of the Release that closed it.
        let seen = record.state.load(Ordering::Acquire);
        let reusable = match State::of(seen) {
            State::Free => true,
            State::Opening | State::Open | State::Busy => false,
            _ => forget || record.closed.get().saturating_add(remember_ms) <= now.get(),
        };
        if !reusable {
            return None;
        }
        let next = word((seen >> 8) + 1, State::Opening);
        record.state.compare_exchange(seen, next, Ordering::AcqRel, Ordering::Relaxed).ok()?;
        // Partner of the fence in `still`: who reads a value of this life finds this life in the state word.
        fence(Ordering::Release);
        Some(next >> 8)
    }

    /// A record: the oldest one if it is forgotten, else a new one, else (at the bound) the oldest closed one.
    fn take(&self, now: Millis, remember_ms: i64, budget: &AtomicI64) -> Option<(u32, u64)> {
        let used = self.fresh.load(Ordering::Relaxed).min(self.length.load(Ordering::Relaxed));
        let mut cursor = self.cursor.load(Ordering::Relaxed);
        for _ in 0..used.min(8) {
            let number = cursor % used;
            if let Some(generation) = self.claim(number, now, remember_ms, false) {
                self.cursor.store(number + 1, Ordering::Relaxed);
                return Some((number, generation));
            }
            if matches!(
                State::of(self.record(number).state.load(Ordering::Relaxed)),
                State::Open | State::Busy | State::Opening
            ) {
                cursor = number + 1;
            } else {
                break;
            }
        }
        self.fresh_record(now, budget).or_else(|| self.oldest_closed(now, remember_ms))
    }

    fn fresh_record(&self, now: Millis, budget: &AtomicI64) -> Option<(u32, u64)> {
        loop {
            let length = self.length.load(Ordering::Acquire);
            let fresh = self.fresh.load(Ordering::Relaxed);
            if fresh < length {
                // Once counted it is anybody's: a claim that comes too late goes on to the next.
                if self.fresh.compare_exchange(fresh, fresh + 1, Ordering::Relaxed, Ordering::Relaxed).is_ok()
                    && let Some(generation) = self.claim(fresh, now, 0, false)
                {
                    return Some((fresh, generation));
                }
                continue;
            }
            let _growing = lock(&self.growing);
            if self.length.load(Ordering::Relaxed) != length {
                continue;
            }
            let granted = grant(budget);
            if granted == 0 {
                return None;
            }
            self.length.store(length + granted, Ordering::Release);
        }
    }

    fn oldest_closed(&self, now: Millis, remember_ms: i64) -> Option<(u32, u64)> {
        let length = self.length.load(Ordering::Acquire);
        if self.open.load(Ordering::Relaxed) >= i64::from(length) {
            return None;
        }
        let start = self.cursor.load(Ordering::Relaxed);
        for step in 0..length {
            let number = (start.wrapping_add(step)) % length;
            if let Some(generation) = self.claim(number, now, remember_ms, true) {
                self.cursor.store(number + 1, Ordering::Relaxed);
                return Some((number, generation));
            }
        }
        None
    }

    fn take_body(&self) -> u32 {
        loop {
            // Acquire: partner of the Release in `give_body`; the body's `next` is then the one stored there.
            let top = self.free_body.load(Ordering::Acquire);
            let number = (top as u32).wrapping_sub(1);
            if top as u32 == 0 {
                return self.made_bodies.fetch_add(1, Ordering::Relaxed);
            }
            let next = self.body(number).next.load(Ordering::Relaxed);
            let tag = (top >> 32).wrapping_add(1) << 32;
            let new = tag | u64::from(next);
            // The tag makes the exchange fail if the body was taken and given back in between.
            if self.free_body.compare_exchange(top, new, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                return number;
            }
        }
    }

    fn give_body(&self, number: u32) {
        let body = self.body(number);
        let mut top = self.free_body.load(Ordering::Relaxed);
        loop {
            body.next.store(top as u32, Ordering::Relaxed);
            let new = (top >> 32).wrapping_add(1) << 32 | u64::from(number + 1);
            match self.free_body.compare_exchange(top, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(found) => top = found,
            }
        }
    }
}

/// Up to one small chunk of the records that may still be made.
fn grant(budget: &AtomicI64) -> u32 {
    let mut left = budget.load(Ordering::Relaxed);
    loop {
        let granted = left.clamp(0, i64::from(FIRST_CHUNK));
        match budget.compare_exchange(left, left - granted, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return granted as u32,
            Err(found) => left = found,
        }
    }
}

impl Slab {
    pub(crate) fn new(most: i64) -> Slab {
        Slab {
            stripes: std::array::from_fn(|number| Stripe::new(number as u32)),
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
        let first = thread_number() % STRIPES;
        let mut at = first;
        loop {
            let stripe = &self.stripes[at];
            if let Some((number, generation)) = stripe.take(now, remember_ms, &self.budget) {
                let index = number << STRIPE_BITS | stripe.number;
                let record = stripe.record(number);
                stripe.open.fetch_add(1, Ordering::Relaxed);
                let held = Held {
                    stripe,
                    record,
                    handle: Handle { index, generation },
                    was: State::Free,
                    left: false,
                };
                held.free_bodies();
                return Some(held);
            }
            at = (at + 1) % STRIPES;
            if at == first {
                return None;
            }
        }
    }

    fn stripe(&self, index: u32) -> (&Stripe, u32) {
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
                        return Found::Held(held);
                    }
                }
            }
        }
    }

    fn hold<'a>(stripe: &'a Stripe, record: &'a Record, handle: Handle, seen: u64) -> Option<Held<'a>> {
        let was = State::of(seen);
        if !cfg!(canary = "settle_not_once") {
            // AcqRel: partner of the Release in `Held::leave`; one thread alone gets past it.
            record
                .state
                .compare_exchange(
                    seen,
                    word(handle.generation, State::Busy),
                    Ordering::AcqRel,
                    Ordering::Relaxed,
                )
                .ok()?;
        }
        Some(Held { stripe, record, handle, was, left: false })
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

    /// Permits open or expired-and-correctable, and those being made.
    pub(crate) fn open(&self) -> i64 {
        self.stripes.iter().map(|stripe| stripe.open.load(Ordering::Relaxed)).sum()
    }

    /// Look at up to `most` records, going on where the last look ended, and hold each one that is open and whose
    /// time has passed. Busy ones are passed over.
    pub(crate) fn overdue(&self, now: Millis, most: u32, mut each: impl FnMut(Held<'_>)) -> u64 {
        let mut expired = 0;
        for stripe in &self.stripes {
            let used = stripe.fresh.load(Ordering::Acquire).min(stripe.length.load(Ordering::Acquire));
            for _ in 0..most.min(used) {
                let number = stripe.sweeper.fetch_add(1, Ordering::Relaxed) % used;
                let record = stripe.record(number);
                let seen = record.state.load(Ordering::Acquire);
                if State::of(seen) != State::Open || record.expires.get() > now.get() {
                    continue;
                }
                let handle = Handle { index: number << STRIPE_BITS | stripe.number, generation: seen >> 8 };
                if let Some(held) = Slab::hold(stripe, record, handle, seen) {
                    expired += 1;
                    each(held);
                }
            }
        }
        expired
    }

    /// Hold every permit that a step may still correct, one after the other. False as soon as one stays in the middle
    /// of a step. A sweep's cursor would not do: with two sweeps at once each passes over what the other looks at.
    pub(crate) fn each_correctable(&self, mut each: impl FnMut(Held<'_>)) -> bool {
        for stripe in &self.stripes {
            let used = stripe.fresh.load(Ordering::Acquire).min(stripe.length.load(Ordering::Acquire));
            for number in 0..used {
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

impl Held<'_> {
    /// Remember a counter that was taken from.
    #[inline(always)]
    pub(crate) fn push(&self, place: usize, entry: Entry) {
        let at = place % ENTRIES;
        if place == 0 {
            let first = self.stripe.take_body();
            self.stripe.body(first).next.store(0, Ordering::Relaxed);
            self.record.body.store(first + 1, Ordering::Relaxed);
        } else if at == 0 {
            let more = self.stripe.take_body();
            self.stripe.body(more).next.store(0, Ordering::Relaxed);
            self.last_body().next.store(more + 1, Ordering::Relaxed);
        }
        let body = self.last_body();
        let stored = &body.entries[at];
        let slot = u64::from(entry.slot.number) << 32 | u64::from(entry.slot.generation);
        stored.slot.store(slot, Ordering::Relaxed);
        stored.epoch.set(entry.epoch.get() << 2 | entry.kind as i64);
        stored.charged.set(0);
        body.count.store(at as u32 + 1, Ordering::Relaxed);
    }

    #[inline(always)]
    fn last_body(&self) -> &Body {
        let mut body = self.stripe.body(self.record.body.load(Ordering::Relaxed) - 1);
        loop {
            match body.next.load(Ordering::Relaxed) {
                0 => return body,
                next => body = self.stripe.body(next - 1),
            }
        }
    }

    /// Every counter taken from, in rank order, with what was charged outside the hold.
    #[inline(always)]
    pub(crate) fn each(&self, mut step: impl FnMut(Entry, &Plain)) {
        let mut number = self.record.body.load(Ordering::Relaxed);
        while number != 0 {
            let body = self.stripe.body(number - 1);
            for stored in &body.entries[..body.count.load(Ordering::Relaxed) as usize] {
                let slot = stored.slot.load(Ordering::Relaxed);
                let epoch = stored.epoch.get();
                let entry = Entry {
                    slot: Slot { number: (slot >> 32) as u32, generation: slot as u32 },
                    kind: crate::policy::Kind::of(epoch & 3),
                    epoch: Epoch::from_raw(epoch >> 2),
                };
                step(entry, &stored.charged);
            }
            number = body.next.load(Ordering::Relaxed);
        }
    }

    fn free_bodies(&self) {
        let mut number = self.record.body.load(Ordering::Relaxed);
        self.record.body.store(0, Ordering::Relaxed);
        while number != 0 {
            let next = self.stripe.body(number - 1).next.load(Ordering::Relaxed);
            self.stripe.give_body(number - 1);
            number = next;
        }
    }

    /// Unlock into `state`. The body goes where the permit is closed for good.
    #[inline(always)]
    pub(crate) fn leave(mut self, state: State) {
        self.left = true;
        self.unlock(state);
    }

    /// Still locked, but expired: what drops or leaves from here on is an expired permit.
    pub(crate) fn become_expired(mut self, state: State) -> Self {
        if self.was == State::Open {
            self.stripe.open.fetch_sub(1, Ordering::Relaxed);
        }
        self.was = state;
        self
    }

    fn unlock(&self, state: State) {
        let was_open = matches!(self.was, State::Open) || matches!(self.was, State::Free);
        let is_open = matches!(state, State::Open);
        if matches!(state, State::Settled | State::Released | State::Free) {
            self.free_bodies();
        }
        if was_open && !is_open {
            self.stripe.open.fetch_sub(1, Ordering::Relaxed);
        }
        // Release: partner of the Acquire in `find`, `hold` and `claim`.
        self.record.state.store(word(self.handle.generation, state), Ordering::Release);
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if !self.left {
            self.unlock(self.was);
        }
    }
}
