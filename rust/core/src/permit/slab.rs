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
    AtomicI64, AtomicU32, AtomicU64, Mutex, Ordering, checked_fence, fence, lock, sized, thread_number,
    wait_a_moment,
};
use crate::units::Millis;

/// Threads are spread over this many rings, so that two of them seldom share one.
const STRIPE_BITS: u32 = sized(3, 0);
const STRIPES: usize = 1 << STRIPE_BITS;
const FIRST_CHUNK: u32 = sized(256, 4);
const CHUNKS: usize = 22;
/// Counters in one body; a longer list goes on in another.
const ENTRIES: usize = sized(24, 2) as usize;
/// Records that are looked at before the ring is made longer.
const LOOKED_AT: u32 = 8;

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

/// One cache line for as long as a permit is remembered. Records lie in a ring that is longer than any cache, so what
/// only an open permit needs is in its body.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Record {
    state: AtomicU64,
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
}

/// What a permit needs while it can still be corrected.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Body {
    /// While free: the next one on the stack. In use: where the list of counters goes on. As number + 1.
    next: AtomicU32,
    /// Free bodies from here down to the bottom of the stack.
    depth: AtomicU32,
    count: AtomicU32,
    /// 1 where any of `charged` is not zero.
    grown: AtomicU32,
    /// The largest totals that an update told.
    pub(crate) seen_tokens: Plain,
    pub(crate) seen_nano: Plain,
    entries: [StoredEntry; ENTRIES],
    /// Growth that came after the window had rolled: used there, and no longer part of the hold.
    charged: [Plain; ENTRIES],
}

#[derive(Debug)]
#[repr(align(64))]
struct Stripe {
    number: u32,
    records: [OnceLock<Box<[Record]>>; CHUNKS],
    length: AtomicU32,
    /// The next record to take.
    cursor: AtomicU32,
    sweeper: AtomicU32,
    growing: Mutex<()>,
    bodies: [OnceLock<Box<[Body]>>; CHUNKS],
    /// Top of the stack of free bodies: a tag against reuse in the upper half, number + 1 in the lower.
    free_body: AtomicU64,
    made_bodies: AtomicU32,
    /// Bodies that continue another's list, and those of expired permits: the others in use are open permits'.
    continuing: AtomicU32,
    expired: AtomicU32,
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
    pub(crate) body: &'a Body,
    pub(crate) handle: Handle,
    /// What it was before.
    pub(crate) was: State,
    left: bool,
}

/// The list of a new permit's counters, in the making.
pub(crate) struct Entries<'a> {
    stripe: &'a Stripe,
    body: &'a Body,
    at: usize,
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

#[inline(always)]
fn chunk<T: Default>(chunks: &[OnceLock<Box<[T]>>; CHUNKS], index: usize) -> &[T] {
    match chunks[index].get() {
        Some(chunk) => chunk,
        None => made(&chunks[index], FIRST_CHUNK << index),
    }
}

#[cold]
fn made<T: Default>(chunk: &OnceLock<Box<[T]>>, length: u32) -> &[T] {
    chunk.get_or_init(|| (0..length).map(|_| T::default()).collect())
}

/// What came of looking at one record of the ring.
enum Claim {
    /// Ours, in this generation.
    Ours(u64),
    /// Somebody's: look at the next.
    InUse,
    /// Closed, and remembered.
    Remembered,
}

impl Stripe {
    fn new(number: u32) -> Stripe {
        Stripe {
            number,
            records: [const { OnceLock::new() }; CHUNKS],
            length: AtomicU32::new(0),
            cursor: AtomicU32::new(0),
            sweeper: AtomicU32::new(0),
            growing: Mutex::new(()),
            bodies: [const { OnceLock::new() }; CHUNKS],
            free_body: AtomicU64::new(0),
            made_bodies: AtomicU32::new(0),
            continuing: AtomicU32::new(0),
            expired: AtomicU32::new(0),
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
    #[inline(always)]
    fn claim(&self, number: u32, now: Millis, remember_ms: i64, forget: bool) -> Claim {
        let record = self.record(number);
        // Acquire: partner of the Release that closed it.
        let seen = record.state.load(Ordering::Acquire);
        match State::of(seen) {
            State::Free => {}
            State::Opening | State::Open | State::Busy => return Claim::InUse,
            _ if forget || record.ends.get().saturating_add(remember_ms) <= now.get() => {}
            _ => return Claim::Remembered,
        }
        let next = word((seen >> 8) + 1, State::Opening);
        // SeqCst: see `policy::current`; whoever has the record looks at the version next.
        if record.state.compare_exchange(seen, next, Ordering::SeqCst, Ordering::Relaxed).is_err() {
            return Claim::InUse;
        }
        // Partner of the fence in `still`: who reads a value of this life finds this life in the state word.
        fence(Ordering::Release);
        Claim::Ours(next >> 8)
    }

    /// A record: the next in the ring if it is free or forgotten, else a new one, else (at the bound) the oldest closed
    /// one.
    #[inline(always)]
    fn take(&self, now: Millis, remember_ms: i64, budget: &AtomicI64) -> Option<(u32, u64)> {
        let number = self.cursor.load(Ordering::Relaxed);
        if number < self.length.load(Ordering::Acquire)
            && let Claim::Ours(generation) = self.claim(number, now, remember_ms, false)
        {
            self.cursor.store(number + 1, Ordering::Relaxed);
            return Some((number, generation));
        }
        self.take_elsewhere(number, now, remember_ms, budget)
    }

    #[cold]
    fn take_elsewhere(
        &self,
        mut number: u32,
        now: Millis,
        remember_ms: i64,
        budget: &AtomicI64,
    ) -> Option<(u32, u64)> {
        loop {
            let length = self.length.load(Ordering::Acquire);
            for _ in 0..length.min(LOOKED_AT) {
                number = if number < length { number } else { 0 };
                match self.claim(number, now, remember_ms, false) {
                    Claim::Ours(generation) => {
                        self.cursor.store(number + 1, Ordering::Relaxed);
                        return Some((number, generation));
                    }
                    Claim::InUse => number += 1,
                    Claim::Remembered => break,
                }
            }
            let growing = lock(&self.growing);
            let granted = if self.length.load(Ordering::Relaxed) == length { grant(budget) } else { 1 };
            if granted == 0 {
                drop(growing);
                return self.oldest_closed(now, remember_ms);
            }
            if self.length.load(Ordering::Relaxed) == length {
                self.length.store(length + granted, Ordering::Release);
            }
            number = length;
        }
    }

    fn oldest_closed(&self, now: Millis, remember_ms: i64) -> Option<(u32, u64)> {
        let length = self.length.load(Ordering::Acquire);
        if self.open() >= i64::from(length) {
            return None;
        }
        let start = self.cursor.load(Ordering::Relaxed);
        for step in 0..length {
            let number = (start.wrapping_add(step)) % length;
            if let Claim::Ours(generation) = self.claim(number, now, remember_ms, true) {
                self.cursor.store(number + 1, Ordering::Relaxed);
                return Some((number, generation));
            }
        }
        None
    }

    #[inline(always)]
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

    #[inline(always)]
    fn give_body(&self, number: u32) {
        let body = self.body(number);
        if body.grown.load(Ordering::Relaxed) != 0 {
            body.grown.store(0, Ordering::Relaxed);
            body.charged.iter().for_each(|charged| charged.set(0));
        }
        let mut top = self.free_body.load(Ordering::Acquire);
        loop {
            let below =
                (top as u32).checked_sub(1).map_or(0, |top| self.body(top).depth.load(Ordering::Relaxed));
            body.depth.store(below + 1, Ordering::Relaxed);
            body.next.store(top as u32, Ordering::Relaxed);
            let new = (top >> 32).wrapping_add(1) << 32 | u64::from(number + 1);
            match self.free_body.compare_exchange(top, new, Ordering::Release, Ordering::Acquire) {
                Ok(_) => return,
                Err(found) => top = found,
            }
        }
    }

    /// Open permits, and those being made: whose bodies are neither free, nor a continuation, nor an expired permit's.
    fn open(&self) -> i64 {
        let top = (self.free_body.load(Ordering::Acquire) as u32).checked_sub(1);
        let free = top.map_or(0, |top| self.body(top).depth.load(Ordering::Relaxed));
        let others = self.continuing.load(Ordering::Relaxed) + self.expired.load(Ordering::Relaxed);
        i64::from(self.made_bodies.load(Ordering::Relaxed)) - i64::from(free) - i64::from(others)
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
        if record.body.load(Ordering::Relaxed) != 0 {
            // It had expired and was never settled.
            stripe.expired.fetch_sub(1, Ordering::Relaxed);
            stripe.give_bodies(record);
        }
        let mine = stripe.take_body();
        let body = stripe.body(mine);
        body.next.store(0, Ordering::Relaxed);
        body.count.store(0, Ordering::Relaxed);
        body.seen_tokens.set(0);
        body.seen_nano.set(0);
        record.body.store(mine + 1, Ordering::Relaxed);
        let handle = Handle { index: number << STRIPE_BITS | stripe.number, generation };
        Held { stripe, record, body, handle, was: State::Free, left: false }
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
            // Partner of the Release in `Held::leave`: one thread alone gets past it. SeqCst: see `policy::current`; whoever
            // has the record looks at the lives of its counters next.
            let busy = word(handle.generation, State::Busy);
            record.state.compare_exchange(seen, busy, Ordering::SeqCst, Ordering::Relaxed).ok()?;
            checked_fence();
        }
        let body = stripe.body(record.body.load(Ordering::Relaxed) - 1);
        Some(Held { stripe, record, body, handle, was, left: false })
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

    /// Look at up to `most` records, going on where the last look ended, and hold each one that is open and whose
    /// time has passed. Busy ones are passed over.
    pub(crate) fn overdue(&self, now: Millis, most: u32, mut each: impl FnMut(Held<'_>)) -> u64 {
        let mut expired = 0;
        for stripe in &self.stripes {
            let length = stripe.length.load(Ordering::Acquire);
            for _ in 0..most.min(length) {
                let number = stripe.sweeper.fetch_add(1, Ordering::Relaxed) % length;
                let record = stripe.record(number);
                let seen = record.state.load(Ordering::Acquire);
                if State::of(seen) != State::Open || record.ends.get() > now.get() {
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
    pub(crate) fn each_correctable(&self, mut each: impl FnMut(Held<'_>)) -> bool {
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

impl Stripe {
    /// Give back the bodies of a record.
    #[inline(always)]
    fn give_bodies(&self, record: &Record) {
        let first = record.body.load(Ordering::Relaxed);
        record.body.store(0, Ordering::Relaxed);
        let mut number = self.body(first - 1).next.load(Ordering::Relaxed);
        self.give_body(first - 1);
        while number != 0 {
            let next = self.body(number - 1).next.load(Ordering::Relaxed);
            self.continuing.fetch_sub(1, Ordering::Relaxed);
            self.give_body(number - 1);
            number = next;
        }
    }
}

impl Entries<'_> {
    /// Remember a counter that was taken from.
    #[inline(always)]
    pub(crate) fn push(&mut self, entry: Entry) {
        if self.at == ENTRIES {
            self.go_on();
        }
        let stored = &self.body.entries[self.at];
        let slot = u64::from(entry.slot.number) << 32 | u64::from(entry.slot.generation);
        stored.slot.store(slot, Ordering::Relaxed);
        stored.epoch.set(entry.epoch.get() << 2 | entry.kind as i64);
        self.at += 1;
        self.body.count.store(self.at as u32, Ordering::Relaxed);
    }

    #[cold]
    fn go_on(&mut self) {
        let more = self.stripe.take_body();
        self.stripe.continuing.fetch_add(1, Ordering::Relaxed);
        self.body.next.store(more + 1, Ordering::Relaxed);
        self.body = self.stripe.body(more);
        self.body.next.store(0, Ordering::Relaxed);
        self.body.count.store(0, Ordering::Relaxed);
        self.at = 0;
    }
}

/// What a permit put into one of its counters outside of its hold.
pub(crate) struct Charged<'a> {
    amount: &'a Plain,
    body: &'a Body,
}

impl Charged<'_> {
    #[inline(always)]
    pub(crate) fn get(&self) -> i64 {
        self.amount.get()
    }

    pub(crate) fn add(&self, amount: i64) {
        self.body.grown.store(1, Ordering::Relaxed);
        self.amount.set(self.amount.get().saturating_add(amount));
    }
}

impl<'a> Held<'a> {
    /// The list of a new permit's counters.
    #[inline(always)]
    pub(crate) fn entries(&self) -> Entries<'a> {
        Entries { stripe: self.stripe, body: self.body, at: 0 }
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
                    kind: crate::policy::Kind::of(epoch & 3),
                    epoch: Epoch::from_raw(epoch >> 2),
                };
                step(entry, Charged { amount, body });
            }
            match body.next.load(Ordering::Relaxed) {
                0 => return,
                next => body = self.stripe.body(next - 1),
            }
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
            self.stripe.expired.fetch_add(1, Ordering::Relaxed);
        }
        self.was = state;
        self
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
        if !self.left {
            self.unlock(self.was);
        }
    }
}
