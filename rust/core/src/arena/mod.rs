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

mod counter;
mod keeping;
mod succession;

pub(crate) use keeping::Standing;

use std::sync::{Arc, Mutex as OsMutex, OnceLock};

use crate::history::History;
use crate::mark::Mark;
use crate::period::{Epoch, Lattice};
use crate::policy::LimitName;
use crate::sync::{AtomicI64, AtomicU32, AtomicU64, Mutex, Ordering, Word, lock, sized};
use crate::units::Millis;
use crate::window::sliding::{Ring, Sliding};
use crate::window::{ShapeWords, UNSEEDED, pack};

/// Chunks come in fours of one size; those of the first four have so many cells, those of the next ones twice as many. So
/// at most a fifth of what there is stands empty.
const FIRST_CHUNK: u32 = sized(16, 2);
const BLOCK: usize = FIRST_CHUNK as usize;
/// As many as the bits above a place can tell apart, so that no number is beyond them: of the last forty none is made.
/// A checked engine is small: it is made on a stack of 32 KiB.
const CHUNKS: usize = sized(128, 8) as usize;
/// A number is its chunk above this bit, and the place in the chunk below: it is told apart without a search.
const CHUNK_BIT: u32 = 25;

/// Where a counter is, and in which of its lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    pub(crate) number: u32,
    pub(crate) generation: u32,
}

impl Slot {
    /// Where no counter is: no cell lives so often.
    pub(crate) const NOWHERE: Slot = Slot { number: 0, generation: u32::MAX };
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
    pub(crate) fn epoch_at(&self, now: Millis) -> Epoch {
        match self {
            Shape::Fixed(lattice) => lattice.window_at(now),
            Shape::Sliding(ring) => ring.epoch_at(now),
        }
    }

    pub(crate) fn start(&self, epoch: Epoch) -> Millis {
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

/// What is rarely read of a block's cells, or which few cells have: each sort is made where the first of them needs it.
#[derive(Debug, Default)]
struct Meta {
    /// What the limits are called now: for those who know a permit's counters and not its policy.
    names: OsMutex<[Option<Arc<LimitName>>; BLOCK]>,
    rings: OnceLock<Box<[Slots; BLOCK]>>,
    /// Most counters never succeed another, and are never succeeded.
    edits: OnceLock<Box<[Edits; BLOCK]>>,
}

/// The sub-windows of a sliding counter.
type Slots = OnceLock<Box<[Word; RING_SLOTS]>>;

/// How a counter stands to the one before it and the one after it.
#[derive(Debug, Default)]
struct Edits {
    /// Successor, as number + 1 below its generation: a cell that was given out anew is nobody's successor. And
    /// predecessor, as number + 1.
    next: AtomicU64,
    previous: AtomicU32,
    /// Whether the counter starts afresh, and when the edit that made it was asked for.
    afresh: AtomicU32,
    edited: AtomicI64,
}

impl Meta {
    /// The names, also after a panic in another holder: each is whole.
    fn names(&self) -> std::sync::MutexGuard<'_, [Option<Arc<LimitName>>; BLOCK]> {
        self.names.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Cells with their marks beside them: a flush looks at one line of marks, not at every cell, and whoever has found the
/// cell has found the mark.
#[derive(Debug)]
struct Block {
    cells: [Cell; BLOCK],
    marks: [Mark; BLOCK],
}

impl Default for Block {
    fn default() -> Block {
        Block {
            cells: std::array::from_fn(|_| Cell::default()),
            marks: std::array::from_fn(|_| Mark::default()),
        }
    }
}

#[derive(Debug)]
struct Chunk {
    blocks: Box<[Block]>,
    metas: Box<[Meta]>,
}

/// Sub-windows of an engine's sliding limits.
pub const BUCKETS: i64 = sized(60, 2) as i64;
const RING_SLOTS: usize = (BUCKETS as usize + 1).next_power_of_two();

/// All counters of one engine.
#[derive(Debug)]
pub struct Arena {
    chunks: [OnceLock<Chunk>; CHUNKS],
    free: Mutex<Free>,
    pub(crate) history: History,
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
    mark: &'a Mark,
    number: u32,
}

impl Default for Arena {
    fn default() -> Arena {
        Arena {
            chunks: [const { OnceLock::new() }; CHUNKS],
            free: Mutex::new(Free::default()),
            history: History::default(),
        }
    }
}

/// The number of the cell that is given out as the `count`th: the chunks of the kth four hold `FIRST_CHUNK << k` cells.
fn number_of(count: u32) -> u32 {
    let from_first = count + 4 * FIRST_CHUNK;
    let four = from_first.ilog2() - (4 * FIRST_CHUNK).ilog2();
    let length = FIRST_CHUNK << four;
    let in_four = from_first - 4 * length;
    ((4 * four + in_four / length) << CHUNK_BIT) | (in_four % length)
}

/// The chunk that holds a number, and the place in it.
#[inline(always)]
fn place(number: u32) -> (usize, usize) {
    ((number >> CHUNK_BIT) as usize, (number & ((1 << CHUNK_BIT) - 1)) as usize)
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
            let length = FIRST_CHUNK << (index / 4);
            Chunk {
                blocks: (0..length as usize / BLOCK).map(|_| Block::default()).collect(),
                metas: (0..length as usize / BLOCK).map(|_| Meta::default()).collect(),
            }
        })
    }

    #[inline(always)]
    fn block(&self, number: u32) -> &Block {
        let (chunk, index) = place(number);
        &self.chunk(chunk).blocks[index / BLOCK]
    }

    fn cell(&self, number: u32) -> &Cell {
        &self.block(number).cells[number as usize % BLOCK]
    }

    /// What is rarely read of a cell's block, and the cell's place in it.
    fn meta(&self, number: u32) -> (&Meta, usize) {
        let (chunk, index) = place(number);
        (&self.chunk(chunk).metas[index / BLOCK], index % BLOCK)
    }

    /// What the limit is called whose counter this is.
    fn name(&self, number: u32) -> Option<Arc<LimitName>> {
        let (meta, at) = self.meta(number);
        meta.names()[at].clone()
    }

    fn set_name(&self, number: u32, name: Option<Arc<LimitName>>) {
        let (meta, at) = self.meta(number);
        // What was there is let go of when nobody waits for the names any more.
        let _before = core::mem::replace(&mut meta.names()[at], name);
    }

    /// How a counter stands to its neighbours; None where nobody in its block has any.
    fn edits(&self, number: u32) -> Option<&Edits> {
        let (meta, at) = self.meta(number);
        Some(&meta.edits.get()?[at])
    }

    fn edits_made(&self, number: u32) -> &Edits {
        let (meta, at) = self.meta(number);
        &meta.edits.get_or_init(Box::default)[at]
    }

    fn ring(&self, number: u32) -> &[Word] {
        let (meta, at) = self.meta(number);
        meta.rings.get().and_then(|rings| rings[at].get()).map_or(&[], |ring| &ring[..])
    }

    /// The counter of a slot that the caller's policy names: it cannot be given out anew while that policy lives.
    #[inline(always)]
    pub(crate) fn get(&self, slot: Slot) -> Counter<'_> {
        self.get_number(slot.number)
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
        let cell = self.cell(number);
        let start = pack(shape.epoch_at(now), 0, 0);
        cell.word.store(start);
        cell.used.store(start);
        self.get_number(number).slot()
    }

    /// A counter that takes over the count of `old` when it is first met. `afresh`: nothing is taken over, and what
    /// was held before changes nothing in it.
    pub(crate) fn succeed(&self, old: Slot, shape: Shape, now: Millis, afresh: bool) -> Slot {
        let number = self.allocate(shape);
        let (cell, edits) = (self.cell(number), self.edits_made(number));
        edits.previous.store(old.number + 1, Ordering::Relaxed);
        edits.edited.store(now.get(), Ordering::Relaxed);
        edits.afresh.store(u32::from(afresh), Ordering::Relaxed);
        let unseeded = pack(shape.epoch_at(now), UNSEEDED, 0);
        cell.word.store(unseeded);
        cell.used.store(unseeded);
        let slot = self.get_number(number).slot();
        // Release: partner of the Acquire in `Counter::next`; who follows it sees the successor as set up above.
        let link = u64::from(slot.generation) << 32 | u64::from(number + 1);
        self.edits_made(old.number).next.store(link, Ordering::Release);
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
        self.set_name(slot.number, Some(name.clone()));
    }

    /// Every counter that has changed since this was last asked.
    pub(crate) fn each_changed(&self, mut step: impl FnMut(Counter<'_>)) {
        for (at, chunk) in self.chunks.iter().enumerate() {
            let Some(chunk) = chunk.get() else { continue };
            let marks = chunk.blocks.iter().flat_map(|block| &block.marks);
            for (index, mark) in marks.enumerate() {
                if mark.clear() {
                    step(self.get_number((at as u32) << CHUNK_BIT | index as u32));
                    mark.was_read();
                }
            }
        }
    }

    #[inline(always)]
    fn get_number(&self, number: u32) -> Counter<'_> {
        let (block, place) = (self.block(number), number as usize % BLOCK);
        Counter { arena: self, cell: &block.cells[place], mark: &block.marks[place], number }
    }

    fn allocate(&self, shape: Shape) -> u32 {
        let mut free = lock(&self.free);
        let ready = match shape {
            Shape::Fixed(_) => &mut free.fixed,
            Shape::Sliding(_) => &mut free.sliding,
        };
        let number = ready.pop().unwrap_or_else(|| {
            free.next += 1;
            number_of(free.next - 1)
        });
        drop(free);
        let cell = self.cell(number);
        cell.shape.set(match shape {
            Shape::Fixed(lattice) => lattice.to_words(),
            Shape::Sliding(ring) => (ring.sub_ms, ring.live),
        });
        cell.ceiling.store(i64::MAX, Ordering::Relaxed);
        if let Some(edits) = self.edits(number) {
            edits.next.store(0, Ordering::Relaxed);
            edits.previous.store(0, Ordering::Relaxed);
        }
        let sliding = matches!(shape, Shape::Sliding(_));
        if sliding {
            let empty = |_| Word::new(Sliding::EMPTY_SLOT);
            let (meta, at) = self.meta(number);
            let ring = &meta.rings.get_or_init(Box::default)[at];
            for slot in &**ring.get_or_init(|| Box::new(std::array::from_fn(empty))) {
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
        self.set_name(slot.number, None);
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
