//! Periods that have ended: how much of a limit each of its windows used.
//!
//! The step that rolls a window is the one that knows the word which it closed, so the total is told by whoever wins
//! that exchange. What was still held is in it: it counts until it is corrected, and a correction that comes after the
//! roll is told beside it. So what a period used is its total and its corrections, in whatever order they are met. An
//! empty window tells nothing, and a sliding one has no periods.
//!
//! Nothing is told where nobody asked to keep it. No counting step waits here but the one that rolls.

use crate::policy::Kind;
use crate::sync::{AtomicU32, AtomicU64, Mutex, Ordering, lock, sized, thread_number};
use crate::units::Millis;

const STRIPES: usize = sized(16, 1) as usize;
/// Entries that a stripe keeps: all together enough for a quarter of a million windows that end at one midnight.
const MOST: usize = 1 << 14;

/// What is told of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It has ended, and this was used or held in it.
    Total(i64),
    /// This is to be added to it.
    Correction(i64),
}

/// One window of one limit, that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// The limit's number.
    pub number: i64,
    /// What it counts.
    pub kind: Kind,
    /// Its first instant.
    pub start: Millis,
    /// The first instant after it.
    pub end: Millis,
    /// The limit that stood when this was told.
    pub limit: i64,
    /// What was used of it.
    pub told: Told,
}

/// What has been told and not been taken yet.
#[derive(Debug)]
pub(crate) struct History {
    on: AtomicU32,
    stripes: [Mutex<Vec<Period>>; STRIPES],
    lost: AtomicU64,
}

impl Default for History {
    fn default() -> History {
        History {
            on: AtomicU32::new(0),
            stripes: std::array::from_fn(|_| Mutex::new(Vec::new())),
            lost: AtomicU64::new(0),
        }
    }
}

impl History {
    pub(crate) fn keep(&self, on: bool) {
        self.on.store(u32::from(on), Ordering::Relaxed);
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.on.load(Ordering::Relaxed) != 0
    }

    pub(crate) fn tell(&self, period: Period) {
        let mut told = lock(&self.stripes[thread_number() % STRIPES]);
        if told.len() < MOST {
            told.push(period);
        } else {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Take out what has been told: the corrections, or the totals.
    pub(crate) fn take(&self, totals: bool) -> Vec<Period> {
        let mut taken = Vec::new();
        for stripe in &self.stripes {
            let wanted = |period: &mut Period| matches!(period.told, Told::Total(_)) == totals;
            taken.extend(lock(stripe).extract_if(.., wanted));
        }
        taken
    }

    /// How many entries found no room.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}
