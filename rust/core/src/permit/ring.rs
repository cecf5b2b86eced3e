//! One ring of records, and its stack of bodies.

use std::sync::OnceLock;

use super::body::Body;
use super::record::{Record, State, word};
use crate::mark::Mark;
use crate::sync::{AtomicI64, AtomicU32, AtomicU64, Mutex, Ordering, checked_fence, fence, lock, sized};
use crate::units::Millis;

const FIRST_CHUNK: u32 = sized(256, 4);
/// Records that share a watch.
pub(super) const BLOCK: u32 = FIRST_CHUNK;
const CHUNKS: usize = 22;
/// Records that are looked at before the ring is made longer.
const LOOKED_AT: u32 = 8;

/// Nothing of a block of records, or of a whole ring, is overdue before this instant. Without it every refusal would look
/// at every record to find what is seldom there.
///
/// It is lowered by who opens a permit and raised by who has looked at all that it stands for. Between the look and the
/// raise a permit may have been opened whose opener saw no reason to lower it: so whoever has raised it looks again.
/// Either the opener meets what was raised, or the second look meets the record that he had claimed before.
#[derive(Debug)]
pub(super) struct Watch(AtomicI64);

impl Default for Watch {
    fn default() -> Watch {
        Watch(AtomicI64::new(i64::MAX))
    }
}

impl Watch {
    /// SeqCst, as what follows: `note` comes after the claim of the record, the second look after `raise`.
    #[inline(always)]
    pub(super) fn quiet_until(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    #[inline(always)]
    pub(super) fn note(&self, end: i64) {
        let mut seen = self.quiet_until();
        while end < seen {
            match self.0.compare_exchange(seen, end, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return,
                Err(found) => seen = found,
            }
        }
    }

    /// False: somebody else has moved it since it was `seen`, and knows better.
    pub(super) fn raise(&self, seen: i64, end: i64) -> bool {
        let raised = self.0.compare_exchange(seen, end, Ordering::SeqCst, Ordering::Relaxed).is_ok();
        checked_fence();
        raised
    }
}

#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Stripe {
    pub(super) number: u32,
    /// Every generation that is given out here is above it.
    pub(super) base: u64,
    pub(super) records: [OnceLock<Box<[Record]>>; CHUNKS],
    pub(super) length: AtomicU32,
    /// The next record to take.
    pub(super) cursor: AtomicU32,
    /// Of all records, and of each block.
    pub(super) watch: Watch,
    pub(super) watches: [OnceLock<Box<[Watch]>>; CHUNKS],
    /// Whether a record has changed since a flush looked: noted by whoever has its lock, once he has it, so that the flush
    /// finds him at it or finds what he has done.
    pub(super) marks: [OnceLock<Box<[Mark]>>; CHUNKS],
    pub(super) growing: Mutex<()>,
    pub(super) bodies: [OnceLock<Box<[Body]>>; CHUNKS],
    /// Top of the stack of free bodies: a tag against reuse in the upper half, number + 1 in the lower.
    pub(super) free_body: AtomicU64,
    pub(super) made_bodies: AtomicU32,
    /// Bodies that continue another's list, and those of expired permits: the others in use are open permits'.
    pub(super) continuing: AtomicU32,
    pub(super) expired: AtomicU32,
}

#[inline(always)]
fn place(number: u32) -> (usize, usize) {
    let from_first = number + FIRST_CHUNK;
    let chunk = from_first.ilog2() - FIRST_CHUNK.ilog2();
    (chunk as usize, (from_first - (FIRST_CHUNK << chunk)) as usize)
}

#[inline(always)]
fn chunk<T: Default>(chunks: &[OnceLock<Box<[T]>>; CHUNKS], index: usize, first: u32) -> &[T] {
    match chunks[index].get() {
        Some(chunk) => chunk,
        None => made(&chunks[index], first << index),
    }
}

#[cold]
fn made<T: Default>(chunk: &OnceLock<Box<[T]>>, length: u32) -> &[T] {
    chunk.get_or_init(|| (0..length).map(|_| T::default()).collect())
}

/// What came of looking at one record of the ring.
pub(super) enum Claim {
    /// Ours, in this generation.
    Ours(u64),
    /// Somebody's: look at the next.
    InUse,
    /// Closed, and remembered.
    Remembered,
}

impl Stripe {
    pub(super) fn new(number: u32, base: u64) -> Stripe {
        Stripe {
            number,
            base,
            records: [const { OnceLock::new() }; CHUNKS],
            length: AtomicU32::new(0),
            cursor: AtomicU32::new(0),
            watch: Watch::default(),
            watches: [const { OnceLock::new() }; CHUNKS],
            marks: [const { OnceLock::new() }; CHUNKS],
            growing: Mutex::new(()),
            bodies: [const { OnceLock::new() }; CHUNKS],
            free_body: AtomicU64::new(0),
            made_bodies: AtomicU32::new(0),
            continuing: AtomicU32::new(0),
            expired: AtomicU32::new(0),
        }
    }

    #[inline(always)]
    pub(super) fn record(&self, number: u32) -> &Record {
        let (index, at) = place(number);
        &chunk(&self.records, index, FIRST_CHUNK)[at]
    }

    #[inline(always)]
    pub(super) fn body(&self, number: u32) -> &Body {
        let (index, at) = place(number);
        &chunk(&self.bodies, index, FIRST_CHUNK)[at]
    }

    #[inline(always)]
    pub(super) fn mark(&self, number: u32) -> &Mark {
        let (index, at) = place(number);
        &chunk(&self.marks, index, FIRST_CHUNK)[at]
    }

    /// The records that have changed since this was last asked.
    pub(super) fn changed(&self) -> impl Iterator<Item = u32> {
        self.marks.iter().zip(0u32..).flat_map(|(chunk, index)| {
            let (marks, first) =
                (chunk.get().map_or(&[][..], |marks| marks), (FIRST_CHUNK << index) - FIRST_CHUNK);
            marks.iter().zip(first..).filter(|(mark, _)| mark.clear()).map(|(_, number)| number)
        })
    }

    /// Have a record of this number, whatever the bound is, and none beyond it: who finds one takes it without asking the
    /// budget.
    pub(super) fn reach(&self, number: u32, budget: &AtomicI64) {
        let _growing = lock(&self.growing);
        let length = self.length.load(Ordering::Relaxed);
        if number >= length {
            budget.fetch_sub(i64::from(number + 1 - length), Ordering::Relaxed);
            self.length.store(number + 1, Ordering::SeqCst);
        }
    }

    /// The watch of the block that a record is in.
    #[inline(always)]
    pub(super) fn watch_of(&self, number: u32) -> &Watch {
        let (index, at) = place(number);
        &chunk(&self.watches, index, FIRST_CHUNK / BLOCK)[at / BLOCK as usize]
    }

    /// Something that may be overdue at `end` is in a record. (It ends earlier than those before it where the time to live
    /// was made shorter, or the clock was set back.)
    #[inline(always)]
    pub(super) fn note(&self, number: u32, end: i64) {
        checked_fence();
        self.watch_of(number).note(end);
        checked_fence();
        self.watch.note(end);
    }

    /// The first record of each block.
    pub(super) fn blocks(&self) -> impl Iterator<Item = u32> {
        (0..self.length.load(Ordering::SeqCst)).step_by(BLOCK as usize)
    }

    /// Before when nothing of any block is overdue.
    pub(super) fn quiet_until(&self) -> i64 {
        self.blocks().map(|first| self.watch_of(first).quiet_until()).min().unwrap_or(i64::MAX)
    }

    /// The records of a block.
    pub(super) fn block(&self, first: u32) -> core::ops::Range<u32> {
        first..(first + BLOCK).min(self.length.load(Ordering::Acquire))
    }

    /// When the first permit of a block ends. One that is being opened may do so at any time.
    pub(super) fn first_end(&self, first: u32) -> i64 {
        let end = |number| match self.look_at(number) {
            (seen, end) if matches!(State::of(seen), State::Open | State::Busy) => end,
            (seen, _) if State::of(seen) == State::Opening => i64::MIN,
            _ => i64::MAX,
        };
        self.block(first).map(end).min().unwrap_or(i64::MAX)
    }

    /// A block was looked at whose watch was at `quiet_until` before.
    pub(super) fn looked_at(&self, first: u32, quiet_until: i64) {
        if self.watch_of(first).raise(quiet_until, self.first_end(first)) {
            self.note(first, self.first_end(first));
        }
    }

    /// The state word of a record and when its permit ends.
    pub(super) fn look_at(&self, number: u32) -> (u64, i64) {
        let record = self.record(number);
        // SeqCst: see `Watch`.
        (record.state.load(Ordering::SeqCst), record.ends.get())
    }

    /// Try to make a record one's own. `forget`: also one that is closed and still remembered.
    #[inline(always)]
    pub(super) fn claim(&self, number: u32, now: Millis, remember_ms: i64, forget: bool) -> Claim {
        let record = self.record(number);
        // Acquire: partner of the Release that closed it.
        let seen = record.state.load(Ordering::Acquire);
        match State::of(seen) {
            State::Free => {}
            State::Opening | State::Open | State::Busy => return Claim::InUse,
            _ if forget || record.ends.get().saturating_add(remember_ms) <= now.get() => {}
            _ => return Claim::Remembered,
        }
        let next = word((seen >> 8).max(self.base) + 1, State::Opening);
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
    pub(super) fn take(&self, now: Millis, remember_ms: i64, budget: &AtomicI64) -> Option<(u32, u64)> {
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
    pub(super) fn take_elsewhere(
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
                // SeqCst: comes before the exchange that takes one of them, for `are_quiet`.
                self.length.store(length + granted, Ordering::SeqCst);
            }
            number = length;
        }
    }

    pub(super) fn oldest_closed(&self, now: Millis, remember_ms: i64) -> Option<(u32, u64)> {
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
    pub(super) fn take_body(&self) -> u32 {
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

    /// A body for a record, empty.
    #[inline(always)]
    pub(super) fn fresh_body(&self, record: &Record) -> &Body {
        let mine = self.take_body();
        let body = self.body(mine);
        body.next.store(0, Ordering::Relaxed);
        body.count.store(0, Ordering::Relaxed);
        body.seen_tokens.set(0);
        body.seen_nano.set(0);
        record.body.store(mine + 1, Ordering::Relaxed);
        body
    }

    #[inline(always)]
    pub(super) fn give_body(&self, number: u32) {
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
    pub(super) fn open(&self) -> i64 {
        let top = (self.free_body.load(Ordering::Acquire) as u32).checked_sub(1);
        let free = top.map_or(0, |top| self.body(top).depth.load(Ordering::Relaxed));
        let others = self.continuing.load(Ordering::Relaxed) + self.expired.load(Ordering::Relaxed);
        i64::from(self.made_bodies.load(Ordering::Relaxed)) - i64::from(free) - i64::from(others)
    }
}

impl Stripe {
    /// Give back the bodies of a record.
    #[inline(always)]
    pub(super) fn give_bodies(&self, record: &Record) {
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

/// Up to one small chunk of the records that may still be made.
pub(super) fn grant(budget: &AtomicI64) -> u32 {
    let mut left = budget.load(Ordering::Relaxed);
    loop {
        let granted = left.clamp(0, i64::from(FIRST_CHUNK));
        if granted == 0 {
            // Nothing is written: at the bound every thread asks at every permit, and would take the word from the others.
            return 0;
        }
        match budget.compare_exchange(left, left - granted, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return granted as u32,
            Err(found) => left = found,
        }
    }
}
