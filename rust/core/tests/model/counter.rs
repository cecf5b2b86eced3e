//! One limit: a log of entries, and a rule that says which of them count.

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

    /// Length of a sub-window, and how many count: those that a window of the length may touch.
    fn ring(&self) -> (i64, i64) {
        let sub = (self.length() + 59) / 60;
        (sub, (self.length() + sub - 1) / sub + 1)
    }
}

#[derive(Clone, Debug)]
pub struct Entry {
    at: i64,
    pub used: i64,
    pub held: i64,
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
    /// The counter's own time: it never runs backwards.
    newest: i64,
    pub entries: Vec<Entry>,
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
            newest: now,
            entries: Vec::new(),
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

    pub fn counts(&self, entry: &Entry, now: i64) -> bool {
        !entry.gone && self.time(now) < self.leaves_at(entry)
    }

    fn sum(&self, now: i64, of: impl Fn(&Entry) -> i64) -> i64 {
        self.entries.iter().filter(|entry| self.counts(entry, now)).map(of).sum()
    }

    pub fn used(&self, now: i64) -> i64 {
        self.sum(now, |entry| entry.used)
    }

    pub fn held(&self, now: i64) -> i64 {
        self.sum(now, |entry| entry.held)
    }

    pub fn total(&self, now: i64) -> i64 {
        self.used(now) + self.held(now)
    }

    pub fn shown(&self, now: i64) -> Shown {
        let reset_at = if self.shape.window == Window::Sliding {
            let counting = self.entries.iter().filter(|entry| self.counts(entry, now));
            let leaving =
                counting.filter(|entry| entry.used + entry.held > 0).map(|entry| self.leaves_at(entry));
            leaving.max().unwrap_or(now)
        } else {
            self.bounds(self.time(now)).1
        };
        Shown { used: self.used(now), held: self.held(now), reset_at }
    }

    pub fn fits(&self, now: i64, asked: i64) -> bool {
        let total = i128::from(self.total(now));
        total + i128::from(asked) <= i128::from(self.limit) && total < i128::from(self.limit)
    }

    /// From when on `asked` fits if nothing else comes; None where it never does.
    pub fn passes_at(&self, now: i64, asked: i64) -> Option<i64> {
        if self.limit == 0 || asked > self.limit {
            return None;
        }
        let counting = self.entries.iter().filter(|entry| self.counts(entry, now));
        let mut instants: Vec<i64> = counting.map(|entry| self.leaves_at(entry)).collect();
        instants.push(now);
        instants.sort_unstable();
        instants.into_iter().find(|at| self.fits(*at, asked))
    }

    /// A new entry, at the counter's own time.
    pub fn add(&mut self, now: i64, used: i64, held: i64) -> usize {
        self.newest = self.time(now);
        self.entries.push(Entry { at: self.newest, used, held, gone: false });
        self.entries.len() - 1
    }

    pub fn reset(&mut self, now: i64) {
        for place in 0..self.entries.len() {
            if self.counts(&self.entries[place], now) {
                self.entries[place].used = 0;
            }
        }
    }

    /// Another shape: what counts is kept, and counts in the window of the new shape that contains the edit.
    pub fn reshape(&mut self, shape: Shape, now: i64) {
        if shape == self.shape {
            return;
        }
        // An edit under a clock set back takes place in the window where the counter is.
        let at = now.max(self.bounds(self.newest).0);
        let afresh = shape.window == Window::Calendar && self.shape.window != Window::Calendar;
        for place in 0..self.entries.len() {
            let counts = self.counts(&self.entries[place], now);
            let entry = &mut self.entries[place];
            entry.gone |= !counts || afresh;
            entry.at = at;
        }
        self.anchor = if self.shape.window == Window::Sliding { now } else { self.bounds(at).0 };
        (self.shape, self.newest) = (shape, at);
    }
}
