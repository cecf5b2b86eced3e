//! One limit: a log of entries, and a rule that says which of them count. Where more came in one window (of a sliding
//! limit: sub-window) than can be counted, it stays full until that window ends.

use std::collections::{BTreeMap, BTreeSet};

use limen_core::policy::{Kind, Level, Window};

use super::{Row, calendar};

/// How a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub count: i64,
    pub unit: char,
    pub window: Window,
}

impl Shape {
    pub fn text(&self) -> String {
        format!("{}{}", self.count, self.unit)
    }

    fn length(&self) -> i64 {
        let unit = match self.unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 7 * 86_400,
            'M' => 30 * 86_400,
            'Y' => 365 * 86_400,
            unit => panic!("{unit} is no unit"),
        };
        self.count * unit * 1_000
    }

    /// What a window (or sub-window) shows that more came in than can be counted, and from what sum on it is so.
    fn full(&self) -> (i64, i128) {
        match self.window {
            Window::Sliding => ((1 << 46) - 1, (1 << 46) - 1),
            Window::Fixed | Window::Calendar => (i64::MAX, 1 << 63),
        }
    }

    /// Length of a sub-window, and how many count: those that a window of the length may touch.
    fn ring(&self) -> (i64, i64) {
        let sub = (self.length() + 59) / 60;
        (sub, (self.length() + sub - 1) / sub + 1)
    }
}

#[derive(Clone, Debug)]
struct Entry {
    at: i64,
    used: i64,
    held: i64,
    /// It did not count any more when the shape was edited.
    gone: bool,
}

/// The numbers that a counter shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    pub used: i64,
    pub held: i64,
    pub reset_at: i64,
}

#[derive(Clone, Debug)]
pub struct Counter {
    pub limit_id: String,
    pub owner_id: String,
    pub level: Level,
    pub kind: Kind,
    pub limit: i64,
    pub shape: Shape,
    anchor: i64,
    /// When it got its shape.
    pub since: i64,
    /// The counter's own time: it never runs backwards.
    newest: i64,
    entries: Vec<Entry>,
    /// The ends of windows in which more was taken, and used, than can be counted.
    overflown: [BTreeSet<i64>; 2],
}

impl Counter {
    pub fn new(row: &Row, level: Level, owner_id: &str, now: i64) -> Counter {
        Counter {
            limit_id: row.id.clone(),
            owner_id: owner_id.into(),
            level,
            kind: row.kind,
            limit: row.limit,
            shape: row.shape,
            anchor: now,
            since: now,
            newest: now,
            entries: Vec::new(),
            overflown: Default::default(),
        }
    }

    fn time(&self, now: i64) -> i64 {
        now.max(self.newest)
    }

    /// The window that contains an instant: of a sliding one, the sub-window.
    fn bounds(&self, at: i64) -> (i64, i64) {
        let lattice = |anchor: i64, length: i64| {
            let start = anchor + (at - anchor).div_euclid(length) * length;
            (start, start + length)
        };
        match self.shape.window {
            Window::Fixed => lattice(self.anchor, self.shape.length()),
            Window::Sliding => lattice(0, self.shape.ring().0),
            Window::Calendar => calendar::period(self.shape.count, self.shape.unit, at),
        }
    }

    /// When an entry stops counting.
    fn leaves_at(&self, entry: &Entry) -> i64 {
        let (start, end) = self.bounds(entry.at);
        if self.shape.window == Window::Sliding {
            let (sub, live) = self.shape.ring();
            return start + sub * live;
        }
        end
    }

    fn counts(&self, entry: &Entry, now: i64) -> bool {
        !entry.gone && self.time(now) < self.leaves_at(entry)
    }

    pub fn still_counts(&self, entry: usize, now: i64) -> bool {
        self.counts(&self.entries[entry], now)
    }

    /// What the windows that count at `now` come to, by their ends: taken, and of that used.
    fn sums(&self, now: i64) -> BTreeMap<i64, [i128; 2]> {
        let mut sums: BTreeMap<i64, [i128; 2]> = BTreeMap::new();
        for entry in self.entries.iter().filter(|entry| self.counts(entry, now)) {
            let sum = sums.entry(self.leaves_at(entry)).or_default();
            sum[0] += i128::from(entry.used) + i128::from(entry.held);
            sum[1] += i128::from(entry.used);
        }
        sums
    }

    /// Taken, and used, in the window that ends at `end`.
    fn shown_of(&self, end: i64, sum: [i128; 2]) -> [i64; 2] {
        let (full, _) = self.shape.full();
        [0, 1].map(|of| if self.overflown[of].contains(&end) { full } else { sum[of] as i64 })
    }

    fn sum(&self, now: i64, of: usize) -> i64 {
        self.sums(now).into_iter().map(|(end, sum)| self.shown_of(end, sum)[of]).sum()
    }

    pub fn total(&self, now: i64) -> i64 {
        self.sum(now, 0)
    }

    pub fn used(&self, now: i64) -> i64 {
        self.sum(now, 1)
    }

    /// What is taken and not used: of a full window also what nobody can tell any more.
    pub fn held(&self, now: i64) -> i64 {
        self.total(now) - self.used(now)
    }

    fn note_overflow(&mut self) {
        let (_, from) = self.shape.full();
        for (end, sum) in self.sums(self.newest) {
            for of in [0, 1] {
                if sum[of] >= from {
                    self.overflown[of].insert(end);
                }
            }
        }
    }

    pub fn shown(&self, now: i64) -> Shown {
        let reset_at = if self.shape.window == Window::Sliding {
            let mut sums = self.sums(now).into_iter().rev();
            sums.find(|(end, sum)| self.shown_of(*end, *sum)[0] > 0).map_or(now, |(end, _)| end)
        } else {
            self.bounds(self.time(now)).1
        };
        Shown { used: self.used(now), held: self.held(now), reset_at }
    }

    /// It counts on in a process that knows nothing of it.
    pub fn begin_again(&mut self, now: i64) {
        self.newest = now;
    }

    pub fn fits(&self, now: i64, asked: i64) -> bool {
        let total = i128::from(self.total(now));
        total + i128::from(asked) <= i128::from(self.limit) && total < i128::from(self.limit)
    }

    /// From when on `asked` fits if nothing else comes; None where it never does. `ending`: entries whose hold is given back,
    /// and when.
    pub fn passes_at(&self, now: i64, asked: i64, ending: &[(usize, i64)]) -> Option<i64> {
        if self.limit == 0 || asked > self.limit {
            return None;
        }
        let mut instants: Vec<i64> = self.sums(now).into_keys().collect();
        instants.extend(ending.iter().map(|(_, at)| *at));
        instants.push(now);
        instants.sort_unstable();
        let mut later = self.clone();
        instants.into_iter().find(|at| {
            for (entry, _) in ending.iter().filter(|(_, end)| end <= at) {
                later.set(*entry, later.entries[*entry].used, 0);
            }
            later.fits(*at, asked)
        })
    }

    /// A new entry, at the counter's own time.
    pub fn add(&mut self, now: i64, used: i64, held: i64) -> usize {
        self.newest = self.time(now);
        self.entries.push(Entry { at: self.newest, used, held, gone: false });
        self.note_overflow();
        self.entries.len() - 1
    }

    /// Other amounts in an entry.
    pub fn set(&mut self, entry: usize, used: i64, held: i64) {
        (self.entries[entry].used, self.entries[entry].held) = (used, held);
        self.note_overflow();
    }

    pub fn hold_more(&mut self, entry: usize, growth: i64) {
        self.set(entry, self.entries[entry].used, self.entries[entry].held + growth);
    }

    /// What is used is gone: for whoever put it there its window has passed.
    pub fn reset(&mut self, now: i64) {
        for place in 0..self.entries.len() {
            if self.counts(&self.entries[place], now) && self.entries[place].used > 0 {
                self.entries[place].gone = true;
                // The window stays, with what else is to be said of it.
                self.entries.push(Entry { used: 0, held: 0, gone: false, ..self.entries[place].clone() });
            }
        }
    }

    /// Another shape: what counts is kept, and counts in the window of the new shape that contains the edit.
    pub fn reshape(&mut self, shape: Shape, now: i64) {
        if shape == self.shape {
            return;
        }
        self.since = now;
        // An edit under a clock set back takes place in the window where the counter is.
        let at = now.max(self.bounds(self.newest).0);
        let afresh = shape.window == Window::Calendar && self.shape.window != Window::Calendar;
        let counting: BTreeSet<i64> = self.sums(now).into_keys().collect();
        let overflown = [0, 1].map(|of| !afresh && !self.overflown[of].is_disjoint(&counting));
        for place in 0..self.entries.len() {
            let counts = self.counts(&self.entries[place], now);
            let entry = &mut self.entries[place];
            entry.gone |= !counts || afresh;
            entry.at = at;
        }
        self.anchor = if self.shape.window == Window::Sliding { now } else { self.bounds(at).0 };
        (self.shape, self.newest) = (shape, at);
        let ends: BTreeSet<i64> = self.sums(at).into_keys().collect();
        self.overflown = overflown.map(|overflown| if overflown { ends.clone() } else { BTreeSet::new() });
        self.note_overflow();
    }
}
