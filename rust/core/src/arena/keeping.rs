//! A counter as it is kept: read by a flush, and put back after a restart.

use std::sync::Arc;

use super::{Arena, Counter, Shape, Slot};
use crate::history::Told;
use crate::period::{Epoch, Lattice, MAX_LENGTH_MS};
use crate::policy::{Kind, LimitName};
use crate::units::Millis;
use crate::window::sliding::{Ring, SLOT_MAX};
use crate::window::{amount_of, counted, epoch_of};

/// Where one counter stands: its newest window, and in each window that counts then (of a fixed one, in that alone) what
/// was taken and what is used of it. More than a word can count is the largest number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) shape: Shape,
    pub(crate) newest: Epoch,
    pub(crate) pieces: Vec<(Epoch, i64, i64)>,
}

/// No anchor is further from the epoch, and no period of the calendar longer.
const FAR: i64 = 1 << 52;
const MOST_MONTHS: i64 = 1_300;

impl Shape {
    /// As three integers.
    pub(crate) fn to_words(self) -> (bool, i64, i64) {
        match self {
            Shape::Fixed(lattice) => {
                let (anchor, length) = lattice.to_words();
                (false, anchor, length)
            }
            Shape::Sliding(ring) => (true, ring.sub_ms, ring.live),
        }
    }

    /// What one window of it can count at most.
    pub(crate) fn most(self) -> i64 {
        match self {
            Shape::Fixed(_) => i64::MAX,
            Shape::Sliding(_) => SLOT_MAX,
        }
    }

    /// What `to_words` gave; None for integers that are no shape.
    pub(crate) fn from_words(sliding: bool, first: i64, second: i64) -> Option<Shape> {
        if sliding {
            let good = (1..=MAX_LENGTH_MS).contains(&first) && (1..=1 << 20).contains(&second);
            return good.then_some(Shape::Sliding(Ring { sub_ms: first, live: second }));
        }
        let good = first.abs() < FAR && (-MOST_MONTHS..=MAX_LENGTH_MS).contains(&second) && second != 0;
        good.then(|| Shape::Fixed(Lattice::from_words(first, second)))
    }
}

impl Standing {
    /// What counts at `at`, and is used of it: in every window together.
    pub(crate) fn used_at(&self, at: Millis) -> i64 {
        let counts = self.pieces.iter().filter(|(epoch, ..)| self.counts(*epoch, at));
        counts.fold(0, |sum, (.., used)| sum.saturating_add(*used))
    }

    /// Whether a window counts at `at`.
    pub(crate) fn counts(&self, epoch: Epoch, at: Millis) -> bool {
        self.has_not_left(epoch)
            && match self.shape {
                Shape::Fixed(_) => epoch.contains_or_after(at),
                Shape::Sliding(ring) => ring.epoch_at(at).get() - epoch.get() < ring.live,
            }
    }

    /// Whether a window is one of those that count when the newest is.
    pub(crate) fn has_not_left(&self, epoch: Epoch) -> bool {
        match self.shape {
            Shape::Fixed(_) => epoch == self.newest,
            Shape::Sliding(ring) => (0..ring.live).contains(&(self.newest.get() - epoch.get())),
        }
    }
}

impl Counter<'_> {
    /// What is kept of it; None where another counts on for it, or its limit is gone.
    pub(crate) fn standing(&self) -> Option<(Arc<LimitName>, Standing)> {
        let word = self.look();
        if Counter::is_sealed(word) {
            return None;
        }
        let name = self.arena.name(self.number)?;
        let shape = self.shape();
        let (newest, mut pieces) = match shape {
            Shape::Sliding(_) => self.sliding().standing(),
            Shape::Fixed(_) => {
                // What is used first, as whoever reads the two.
                let used = self.cell.used.load();
                let word = self.cell.word.load();
                let (newest, total) = (epoch_of(word), amount_of(word));
                let used = if epoch_of(used) == newest { amount_of(used).min(total) } else { 0 };
                (newest, vec![(newest, total, used)])
            }
        };
        if name.kind == Kind::Requests {
            // A request is used at once.
            pieces.iter_mut().for_each(|(_, total, used)| *used = *total);
        }
        Some((name, Standing { shape, newest, pieces }))
    }

    /// Its limit is gone, and its window ends with it: tell the history what was used. What is held will be charged to
    /// others alone.
    pub(crate) fn tell_end(&self) {
        if let Some((_, standing)) = self.standing()
            && let (Shape::Fixed(_), [(epoch, _, used @ 1..)]) = (standing.shape, &standing.pieces[..])
        {
            self.tell(*epoch, Told::Total(*used));
        }
    }

    /// Stand where the counter of before stood. Nobody counts yet.
    fn put_back(&self, newest: Epoch, pieces: &[(Epoch, i64, i64)]) {
        if self.is_sliding() {
            return self.sliding().put_back(newest, pieces);
        }
        let count = |amount: i64| Some(amount).filter(|amount| *amount < i64::MAX);
        let (total, used) = pieces.first().map_or((0, 0), |(_, total, used)| (*total, *used));
        self.cell.used.store(counted(newest, count(used)));
        self.cell.word.store(counted(newest, count(total)));
    }
}

impl Arena {
    /// Put a counter where it stood, of whose windows `pieces` tells. `changed`: it is not kept like this.
    pub(crate) fn put_back(&self, slot: Slot, newest: Epoch, pieces: &[(Epoch, i64, i64)], changed: bool) {
        let counter = self.get(slot);
        counter.put_back(newest, pieces);
        if changed {
            counter.note();
        }
    }
}
