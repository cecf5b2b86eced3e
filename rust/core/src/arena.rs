//! The counters' home: cells in chunks that never move, reached by a number and a generation.
//!
//! A [`Slot`] names a cell and the generation in which it was given out. A retired counter's generation is raised
//! before the policy without it is published, so a permit of it that settles later finds another generation and
//! leaves the cell alone. The cell is given out again only when whoever might still be counting in it has ended: see
//! [`crate::policy::current`].
//!
//! An edit that changes a counter's shape leaves the old cell sealed and points it to a successor. Seeding needs no
//! particular thread: the successor is published unseeded, and whoever meets it first seals the old cell and carries
//! its count over. So there is no instant at which a decision on the old policy and one on the new can both take the
//! last unit, and nobody waits for the editor.

use std::sync::{Arc, Mutex as OsMutex, OnceLock};

use crate::period::{Epoch, Lattice};
use crate::policy::{Kind, LimitName};
use crate::sync::{AtomicI64, AtomicU32, AtomicU64, Mutex, Ordering, Word, lock, sized};
use crate::units::Millis;
use crate::window::fixed::{Fixed, seed_word, total_at};
use crate::window::sliding::{Ring, Sliding};
use crate::window::{Met, Reading, SEALED, ShapeWords, Take, UNSEEDED, amount_of, epoch_of, flags_of, pack};

/// Cells in the first chunk; each further one doubles.
const FIRST_CHUNK: u32 = sized(64, 8);
const CHUNKS: usize = 26;

/// Where a counter is, and in which of its lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    pub(crate) number: u32,
    pub(crate) generation: u32,
}

/// How a counter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Windows on a lattice.
    Fixed(Lattice),
    /// A ring of sub-windows.
    Sliding(Ring),
}

impl Shape {
    fn epoch_at(&self, now: Millis) -> Epoch {
        match self {
            Shape::Fixed(lattice) => lattice.window_at(now),
            Shape::Sliding(ring) => ring.epoch_at(now),
        }
    }

    fn start(&self, epoch: Epoch) -> Millis {
        match self {
            Shape::Fixed(lattice) => lattice.start(epoch),
            Shape::Sliding(ring) => ring.start(epoch),
        }
    }
}

/// One counter. The upper half decides, the lower is read beside it: one cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Cell {
    word: Word,
    used: Word,
    shape: ShapeWords,
    /// What a store has granted so far; alone in one process it is no bound.
    ceiling: AtomicI64,
    /// Generation in the upper half, 1 where sliding in the lower.
    life: AtomicU64,
}

/// What is rarely read of a cell.
#[derive(Debug, Default)]
struct Meta {
    /// Successor, as number + 1 below its generation: a cell that was given out anew is nobody's successor. And
    /// predecessor, as number + 1.
    next: AtomicU64,
    previous: AtomicU32,
    /// When the edit that made this counter was asked for, and whether it starts afresh.
    edited: AtomicI64,
    afresh: AtomicU32,
    ring: OnceLock<Box<[Word]>>,
    /// What the limit is called now: for those who know a permit's counters and not its policy.
    name: OsMutex<Option<Arc<LimitName>>>,
}

#[derive(Debug)]
struct Chunk {
    cells: Box<[Cell]>,
    metas: Box<[Meta]>,
}

/// Sub-windows of an engine's sliding limits.
pub const BUCKETS: i64 = sized(60, 2) as i64;
const RING_SLOTS: usize = BUCKETS as usize + 1;

/// All counters of one engine.
#[derive(Debug)]
pub struct Arena {
    chunks: [OnceLock<Chunk>; CHUNKS],
    free: Mutex<Free>,
}

#[derive(Debug, Default)]
struct Free {
    next: u32,
    /// Ready to be given out, without and with a ring.
    fixed: Vec<u32>,
    sliding: Vec<u32>,
    /// Retired: a decision that began before may still be counting in them.
    resting: Vec<u32>,
}

/// One live counter, looked up.
#[derive(Clone, Copy)]
pub(crate) struct Counter<'a> {
    arena: &'a Arena,
    cell: &'a Cell,
    number: u32,
}

impl Default for Arena {
    fn default() -> Arena {
        Arena { chunks: [const { OnceLock::new() }; CHUNKS], free: Mutex::new(Free::default()) }
    }
}

/// The chunk that holds a number, and the place in it: chunk k holds `FIRST_CHUNK << k` cells.
#[inline(always)]
fn place(number: u32) -> (usize, usize) {
    let from_first = number + FIRST_CHUNK;
    let chunk = from_first.ilog2() - FIRST_CHUNK.ilog2();
    (chunk as usize, (from_first - (FIRST_CHUNK << chunk)) as usize)
}

fn name_of(meta: &Meta) -> std::sync::MutexGuard<'_, Option<Arc<LimitName>>> {
    meta.name.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Arena {
    #[inline(always)]
    fn chunk(&self, index: usize) -> &Chunk {
        match self.chunks[index].get() {
            Some(chunk) => chunk,
            None => self.made(index),
        }
    }

    #[cold]
    fn made(&self, index: usize) -> &Chunk {
        self.chunks[index].get_or_init(|| {
            let length = FIRST_CHUNK << index;
            Chunk {
                cells: (0..length).map(|_| Cell::default()).collect(),
                metas: (0..length).map(|_| Meta::default()).collect(),
            }
        })
    }

    #[inline(always)]
    fn cell(&self, number: u32) -> &Cell {
        let (chunk, index) = place(number);
        &self.chunk(chunk).cells[index]
    }

    fn meta(&self, number: u32) -> &Meta {
        let (chunk, index) = place(number);
        &self.chunk(chunk).metas[index]
    }

    /// The counter of a slot that the caller's policy names: it cannot be given out anew while that policy lives.
    #[inline(always)]
    pub(crate) fn get(&self, slot: Slot) -> Counter<'_> {
        Counter { arena: self, cell: self.cell(slot.number), number: slot.number }
    }

    /// The counter of a slot that a permit remembers; None where it was retired since.
    #[inline(always)]
    pub(crate) fn find(&self, slot: Slot) -> Option<Counter<'_>> {
        let counter = self.get(slot);
        (counter.slot() == slot).then_some(counter)
    }

    /// A new counter, empty at `now`.
    pub(crate) fn create(&self, shape: Shape, now: Millis) -> Slot {
        let number = self.allocate(shape);
        let (cell, meta) = (self.cell(number), self.meta(number));
        meta.previous.store(0, Ordering::Relaxed);
        let start = pack(shape.epoch_at(now), 0, 0);
        cell.word.store(start);
        cell.used.store(start);
        self.get_number(number).slot()
    }

    /// A counter that takes over the count of `old` when it is first met. `afresh`: nothing is taken over, and what
    /// was held before changes nothing in it.
    pub(crate) fn succeed(&self, old: Slot, shape: Shape, now: Millis, afresh: bool) -> Slot {
        let number = self.allocate(shape);
        let (cell, meta) = (self.cell(number), self.meta(number));
        meta.previous.store(old.number + 1, Ordering::Relaxed);
        meta.edited.store(now.get(), Ordering::Relaxed);
        meta.afresh.store(u32::from(afresh), Ordering::Relaxed);
        let unseeded = pack(shape.epoch_at(now), UNSEEDED, 0);
        cell.word.store(unseeded);
        cell.used.store(unseeded);
        let slot = self.get_number(number).slot();
        // Release: partner of the Acquire in `Counter::next`; who follows it sees the successor as set up above.
        let link = u64::from(slot.generation) << 32 | u64::from(number + 1);
        self.meta(old.number).next.store(link, Ordering::Release);
        slot
    }

    /// The counter of a slot and those that it leads to: where a permit of it is corrected, step by step.
    pub(crate) fn way_of(&self, slot: Slot) -> impl Iterator<Item = Slot> {
        let mut on_the_way = self.find(slot);
        core::iter::from_fn(move || {
            let counter = on_the_way?;
            let sealed = Counter::is_sealed(counter.cell.word.load());
            on_the_way = if sealed { counter.next() } else { None };
            Some(counter.slot())
        })
    }

    /// What a limit is called from now on.
    pub(crate) fn rename(&self, slot: Slot, name: &Arc<LimitName>) {
        *name_of(self.meta(slot.number)) = Some(name.clone());
    }

    fn get_number(&self, number: u32) -> Counter<'_> {
        Counter { arena: self, cell: self.cell(number), number }
    }

    fn allocate(&self, shape: Shape) -> u32 {
        let mut free = lock(&self.free);
        let ready = match shape {
            Shape::Fixed(_) => &mut free.fixed,
            Shape::Sliding(_) => &mut free.sliding,
        };
        let number = ready.pop().unwrap_or_else(|| {
            free.next += 1;
            free.next - 1
        });
        drop(free);
        let (cell, meta) = (self.cell(number), self.meta(number));
        cell.shape.set(match shape {
            Shape::Fixed(lattice) => lattice.to_words(),
            Shape::Sliding(ring) => (ring.sub_ms, ring.live),
        });
        cell.ceiling.store(i64::MAX, Ordering::Relaxed);
        meta.next.store(0, Ordering::Relaxed);
        let sliding = matches!(shape, Shape::Sliding(_));
        if sliding {
            let ring =
                meta.ring.get_or_init(|| (0..RING_SLOTS).map(|_| Word::new(Sliding::EMPTY_SLOT)).collect());
            for slot in ring {
                slot.store(Sliding::EMPTY_SLOT);
            }
        }
        let generation = cell.life.load(Ordering::Relaxed) >> 32;
        cell.life.store(generation << 32 | u64::from(sliding), Ordering::Relaxed);
        number
    }

    /// End a counter's life. Before the policy without it is published.
    pub(crate) fn retire(&self, slot: Slot) {
        let cell = self.cell(slot.number);
        let life = cell.life.load(Ordering::Relaxed);
        // SeqCst: partner of the load in `Counter::slot` by a permit that settles later, and comes before the look at the
        // records in `recycle`.
        cell.life.store(life.wrapping_add(1 << 32), Ordering::SeqCst);
        lock(&self.free).resting.push(slot.number);
    }

    /// Give out again what was retired, if there is enough of it and `quiet` says that whoever knew it has ended.
    pub(crate) fn recycle(&self, enough: usize, quiet: impl FnOnce() -> bool) {
        let mut free = lock(&self.free);
        if free.resting.len() < enough || !quiet() {
            return;
        }
        while let Some(number) = free.resting.pop() {
            if self.cell(number).life.load(Ordering::Relaxed) & 1 == 1 {
                free.sliding.push(number);
            } else {
                free.fixed.push(number);
            }
        }
    }

    /// Cells given out at least once.
    pub(crate) fn len(&self) -> u32 {
        lock(&self.free).next
    }
}

impl<'a> Counter<'a> {
    #[inline(always)]
    pub(crate) fn slot(&self) -> Slot {
        // SeqCst: partner of the store in `retire`.
        let life = self.cell.life.load(Ordering::SeqCst);
        Slot { number: self.number, generation: (life >> 32) as u32 }
    }

    #[inline(always)]
    fn is_sliding(&self) -> bool {
        self.cell.life.load(Ordering::Relaxed) & 1 == 1
    }

    #[inline(always)]
    fn fixed(&self) -> Fixed<'a> {
        Fixed { word: &self.cell.word, used: &self.cell.used, shape: &self.cell.shape }
    }

    fn sliding(&self) -> Sliding<'a> {
        let ring = self.cell.shape.ring();
        let slots = self.arena.meta(self.number).ring.get().map_or(&[][..], |slots| slots);
        Sliding { head: &self.cell.word, slots: &slots[..ring.live as usize], ring }
    }

    pub(crate) fn shape(&self) -> Shape {
        if self.is_sliding() {
            Shape::Sliding(self.sliding().ring)
        } else {
            Shape::Fixed(self.cell.shape.lattice())
        }
    }

    /// The deciding word as it is.
    #[inline(always)]
    pub(crate) fn word(&self) -> u128 {
        self.cell.word.load()
    }

    /// Whether a deciding word decides nothing: sealed, or not seeded yet.
    #[inline(always)]
    pub(crate) fn is_closed(word: u128) -> bool {
        flags_of(word) != 0
    }

    /// The deciding word, seeded.
    #[inline(always)]
    pub(crate) fn look(&self) -> u128 {
        let word = self.cell.word.load();
        if flags_of(word) & UNSEEDED == 0 { word } else { self.seeded() }
    }

    #[cold]
    fn seeded(&self) -> u128 {
        self.seed();
        self.cell.word.load()
    }

    #[inline(always)]
    pub(crate) fn is_sealed(word: u128) -> bool {
        flags_of(word) & SEALED != 0
    }

    /// What is taken at `now` as far as `word` tells. For a sliding counter at least that.
    #[inline(always)]
    pub(crate) fn total(&self, word: u128, now: Millis) -> i64 {
        if !self.is_sliding() {
            return total_at(word, now);
        }
        if self.sliding().is_current(word, now) {
            return amount_of(word);
        }
        self.sliding().live_total(now)
    }

    /// Let what has left a sliding window leave its head: then the head tells exactly what counts.
    pub(crate) fn tidy(&self, now: Millis) {
        if self.is_sliding() {
            let owed = self.sliding().tidy();
            self.owe(owed, now);
        }
    }

    #[inline(always)]
    pub(crate) fn ceiling(&self) -> i64 {
        self.cell.ceiling.load(Ordering::Relaxed)
    }

    pub(crate) fn set_ceiling(&self, ceiling: i64) {
        self.cell.ceiling.store(ceiling, Ordering::Relaxed);
    }

    /// Take `asked` if it fits under `limit` and under what a store has granted.
    #[inline(always)]
    pub(crate) fn take(&self, seen: u128, now: Millis, asked: i64, limit: i64) -> Take {
        let cap = limit.min(self.ceiling());
        if !self.is_sliding() {
            return self.fixed().take(seen, now, asked, cap);
        }
        let (take, owed) = self.sliding().take(seen, now, asked, cap);
        self.owe(owed, now);
        take
    }

    /// When `asked` fits if nothing else comes; None where it never does.
    pub(crate) fn fits_at(&self, now: Millis, asked: i64, limit: i64) -> Option<Millis> {
        if limit <= 0 || asked > limit {
            return None;
        }
        let current = self.newest();
        current.look();
        if current.is_sliding() {
            return current.sliding().fits_at(now, asked, limit);
        }
        Some(current.read(now).reset)
    }

    pub(crate) fn read(&self, now: Millis) -> Reading {
        let current = self.newest();
        current.look();
        if current.is_sliding() { current.sliding().read(now) } else { current.fixed().read(now) }
    }

    /// What was taken in the window that counts at `now`, by its start; of a sliding one, in each sub-window.
    pub(crate) fn pieces(&self, now: Millis) -> Vec<(Millis, i64)> {
        let current = self.newest();
        current.look();
        if current.is_sliding() {
            return current.sliding().pieces(now);
        }
        let reading = current.fixed().read(now);
        if reading.total() == 0 { Vec::new() } else { vec![(reading.start, reading.total())] }
    }

    /// Let at least as much be used as the same counter had counted elsewhere, in the same windows; what is held here
    /// is beside it, since it may be given back. No edit comes in between.
    pub(crate) fn raise(&self, pieces: &[(Millis, i64)], now: Millis) {
        self.look();
        if self.is_sliding() {
            let owed = self.sliding().raise(pieces, now);
            return self.owe(owed, now);
        }
        for &(start, taken) in pieces {
            // The other counter may have been ahead of this clock.
            let now = now.max(start);
            let reading = self.fixed().read(now);
            if reading.start == start {
                self.charge(taken.saturating_sub(reading.used), now);
            }
        }
    }

    /// Start of the window that counts at `now`. Unlike a reading it seeds nothing: a counter that is not published yet
    /// must not close its predecessor, or traffic would meet the seal before there is a newer policy to take.
    pub(crate) fn window_start(&self, now: Millis) -> Millis {
        let shape = self.shape();
        shape.start(shape.epoch_at(now).max(epoch_of(self.cell.word.load())))
    }

    /// A request counts as used at once, so nothing is held on a request counter.
    pub(crate) fn read_as(&self, kind: Kind, now: Millis) -> Reading {
        let reading = self.read(now);
        match kind {
            Kind::Requests => Reading { used: reading.total(), held: 0, ..reading },
            _ => reading,
        }
    }

    /// What the limit is called now.
    pub(crate) fn name(&self) -> Option<Arc<LimitName>> {
        name_of(self.arena.meta(self.newest().number)).clone()
    }

    /// Follow the edits to the counter that counts now.
    fn newest(&self) -> Counter<'a> {
        let mut counter = *self;
        while Counter::is_sealed(counter.cell.word.load()) {
            let Some(next) = counter.next() else { break };
            counter = next;
        }
        counter
    }

    fn next(&self) -> Option<Counter<'a>> {
        // Acquire: partner of the Release in `Arena::succeed`.
        let link = self.arena.meta(self.number).next.load(Ordering::Acquire);
        let number = (link as u32).checked_sub(1)?;
        self.arena.find(Slot { number, generation: (link >> 32) as u32 })
    }

    /// Correct what was taken in `epoch`: `total` is added to what is taken and `used` to what is used, in that window,
    /// wherever edits have carried it. If it has rolled, `late` (what exceeds the hold) is charged to the current one.
    /// True: in its own window.
    #[inline(always)]
    pub(crate) fn correct(&self, epoch: Epoch, total: i64, used: i64, late: i64, now: Millis) -> bool {
        if !self.is_sliding() && flags_of(self.cell.word.load()) & UNSEEDED == 0 {
            let met = self.fixed().correct(epoch, total, used, now);
            return met == Met::Done || self.corrected(met, late, now);
        }
        self.corrected(self.correct_here(epoch, total, used, now), late, now)
    }

    fn correct_here(&self, epoch: Epoch, total: i64, used: i64, now: Millis) -> Met {
        self.look();
        if !self.is_sliding() {
            return self.fixed().correct(epoch, total, used, now);
        }
        let (met, owed) = self.sliding().correct(epoch, total, used, now);
        self.owe(owed, now);
        met
    }

    /// What follows from how a correction met this counter: it goes on in the successors.
    #[cold]
    fn corrected(&self, mut met: Met, late: i64, now: Millis) -> bool {
        let mut counter = *self;
        loop {
            match met {
                Met::Done => return true,
                Met::Rolled => {
                    counter.charge(late, now);
                    return false;
                }
                Met::Sealed { epoch, total, used } => {
                    let Some(next) = counter.next() else { return true };
                    let Some(carried) = next.carried(&counter, epoch) else {
                        next.charge(late, now);
                        return false;
                    };
                    met = next.correct_here(carried, total, used, now);
                    counter = next;
                }
            }
        }
    }

    /// Add to the current window, used at once, without asking.
    pub(crate) fn charge(&self, amount: i64, now: Millis) {
        if amount <= 0 {
            return;
        }
        let counter = self.newest();
        counter.look();
        let met = if counter.is_sliding() {
            let (met, owed) = counter.sliding().charge(amount, now);
            counter.owe(owed, now);
            met
        } else {
            counter.fixed().charge(amount, now)
        };
        if let Met::Sealed { epoch, total, used } = met
            && let Some(next) = counter.next()
        {
            if total == amount {
                // Sealed before anything was added.
                next.charge(amount, now);
            } else if let Some(epoch) = next.carried(&counter, epoch) {
                next.correct(epoch, total, used, 0, now);
            }
        }
    }

    /// Take out of the successor what should have left this sealed counter.
    fn owe(&self, amount: i64, now: Millis) {
        if amount > 0
            && let Some(next) = self.next()
        {
            let (seed, carries) = next.origin(self);
            if carries {
                next.correct(seed, -amount, 0, 0, now);
            }
        }
    }

    /// Where this counter began counting for its predecessor, and whether anything was carried over.
    fn origin(&self, old: &Counter<'_>) -> (Epoch, bool) {
        let meta = self.arena.meta(self.number);
        let edited = Millis::new(meta.edited.load(Ordering::Relaxed));
        let last = epoch_of(old.cell.word.load());
        let (old_shape, shape) = (old.shape(), self.shape());
        // Traffic may have moved the old counter past the edit's instant: time does not run backwards for it.
        let at = edited.max(old_shape.start(last));
        let carries = meta.afresh.load(Ordering::Relaxed) == 0
            && match old_shape {
                Shape::Fixed(_) => last.contains_or_after(edited),
                Shape::Sliding(_) => true,
            };
        (shape.epoch_at(at), carries)
    }

    /// The window here that continues window `epoch` of the sealed predecessor.
    fn carried(&self, old: &Counter<'_>, epoch: Epoch) -> Option<Epoch> {
        let last = epoch_of(old.cell.word.load());
        let counted = match old.shape() {
            Shape::Fixed(_) => epoch == last,
            Shape::Sliding(ring) => last.get() - epoch.get() < ring.live,
        };
        let (seed, carries) = self.origin(old);
        (counted && carries).then_some(seed)
    }

    /// Seal the predecessor and take its count over. Any number of threads may do it at once: all compute the same.
    fn seed(&self) {
        let previous = self.arena.meta(self.number).previous.load(Ordering::Relaxed);
        if previous == 0 {
            return;
        }
        let old = self.arena.get_number(previous - 1);
        old.look();
        let edited = Millis::new(self.arena.meta(self.number).edited.load(Ordering::Relaxed));
        let (total, used, owed) = if old.is_sliding() {
            let sliding = old.sliding();
            let advanced = sliding.advance(edited);
            let (total, used, owed) = sliding.seal();
            (total, used, owed + advanced)
        } else {
            let (total, used) = old.fixed().seal();
            (total, used, 0)
        };
        let (epoch, carries) = self.origin(&old);
        let (total, used) = if carries { (total, used) } else { (0, 0) };
        if self.is_sliding() {
            self.sliding().seed(epoch, total, used);
        } else {
            seed_word(&self.cell.used, epoch, used);
            seed_word(&self.cell.word, epoch, total);
        }
        old.owe(owed, edited);
    }

    /// Everything that counts in the current window to zero.
    pub(crate) fn empty(&self, now: Millis) {
        let counter = self.newest();
        counter.look();
        if counter.is_sliding() {
            counter.sliding().empty(now);
        } else {
            let fixed = counter.fixed();
            let word = counter.cell.word.load();
            let current = counter.cell.shape.lattice().window_at(now).max(epoch_of(word));
            fixed.correct(current, -total_at(word, now), 0, now);
        }
    }

    /// Lower what is used in the current window, never below zero.
    pub(crate) fn lower_used(&self, amount: i64, now: Millis) {
        let counter = self.newest();
        counter.look();
        if !counter.is_sliding() {
            counter.fixed().lower_used(amount, now);
        }
    }

    /// The fault that a canary build has: the count is copied while the old counter goes on counting.
    pub(crate) fn copy_for_canary(&self) {
        let previous = self.arena.meta(self.number).previous.load(Ordering::Relaxed);
        if previous != 0 && flags_of(self.cell.word.load()) & UNSEEDED != 0 {
            let old = self.arena.get_number(previous - 1);
            let (epoch, _) = self.origin(&old);
            seed_word(&self.cell.used, epoch, amount_of(old.cell.used.load()));
            seed_word(&self.cell.word, epoch, amount_of(old.cell.word.load()));
        }
    }

    /// Usage to zero in the current window; what is held stays.
    pub(crate) fn reset_used(&self, now: Millis) {
        let counter = self.newest();
        counter.look();
        if counter.is_sliding() {
            counter.sliding().reset_used(now);
        } else {
            counter.fixed().lower_used(i64::MAX, now);
        }
    }
}
