//! A window for each of many keys, within a bound on how many there are.
//!
//! Keys that are known are decided in the map and in their own word; nobody waits. New keys, and keys that are dropped,
//! pass one at a time through a door.
//!
//! A key may be dropped only while nothing counts in its window, and what is counted must stay counted. This order
//! would break it: A finds the key's window in the map; B finds that window empty and drops the key; C finds no key,
//! makes a new window and takes the whole limit from it; A takes the whole limit from the old one. So a window is
//! closed by one exchange of the word that A's take exchanges too: either A is first, and B finds the window counting
//! and keeps it, or B is first, and A finds it closed and comes through the door.
//!
//! With the bound reached, a new key needs one that is empty. Every key stands in a queue at an instant before which
//! it cannot be empty; who needs room asks those whose instant has come, and puts back, at a later one, those that
//! were used since. So a key is asked at most once for each time that it was used, however many there are, and while
//! none can be empty nothing is asked.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use limen_core::error::Fault;
use limen_core::units::Millis;
use limen_core::window::Take;
use limen_core::window::single::{FixedWindow, SlidingWindow, Status};
use papaya::{HashMap, LocalGuard};
use rapidhash::fast::RandomState;

/// What every key is limited to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Fixed,
    Sliding { buckets: i64 },
}

#[derive(Debug)]
enum Window {
    Fixed(FixedWindow),
    Sliding(SlidingWindow),
}

macro_rules! either {
    ($window:expr, $inner:ident => $call:expr) => {
        match $window {
            Window::Fixed($inner) => $call,
            Window::Sliding($inner) => $call,
        }
    };
}

#[derive(Debug)]
struct Entry {
    window: Window,
    /// Where it stands in the queue; moved only by who is in the door.
    due: AtomicI64,
    serial: u64,
}

impl Entry {
    fn place(&self) -> (i64, u64) {
        (self.due.load(Ordering::Relaxed), self.serial)
    }
}

/// How a key was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Taken,
    Refused,
    /// A new key, and every other one counts something.
    NoRoom,
}

/// The map, as one thread looks at it.
pub(super) type View<'a> = LocalGuard<'a>;

/// Who is let in, and who may be asked to leave.
#[derive(Debug, Default)]
struct Door {
    serial: u64,
    /// Made when the bound is first met.
    queue: Option<BTreeMap<(i64, u64), Arc<str>>>,
}

#[derive(Debug)]
pub(super) struct Keys {
    map: HashMap<Arc<str>, Entry, RandomState>,
    door: Mutex<Door>,
    max_keys: usize,
    /// What a key shows that is not there, and what a new one begins with. Nothing is ever taken from it.
    unknown: Window,
    refused_new: AtomicU64,
}

impl Keys {
    pub(super) fn new(limit: i64, length_ms: i64, shape: Shape, max_keys: usize) -> Result<Keys, Fault> {
        Ok(Keys {
            map: HashMap::with_hasher(RandomState::new()),
            door: Mutex::new(Door::default()),
            max_keys,
            unknown: match shape {
                Shape::Fixed => Window::Fixed(FixedWindow::new(limit, length_ms, Millis::new(0))),
                Shape::Sliding { buckets } => Window::Sliding(SlidingWindow::new(limit, length_ms, buckets)?),
            },
            refused_new: AtomicU64::new(0),
        })
    }

    pub(super) fn view(&self) -> View<'_> {
        self.map.guard()
    }

    /// Take from a key that is known; None where it is not.
    #[inline]
    pub(super) fn take_known(&self, key: &str, cost: i64, now: Millis, view: &View<'_>) -> Option<bool> {
        let entry = self.map.get(key, view)?;
        match either!(&entry.window, window => window.try_take(cost, now)) {
            Take::Taken(_) => Some(true),
            Take::Refused => Some(false),
            Take::Sealed => None,
        }
    }

    /// Take from a key that may be new. Waits for others at the door.
    pub(super) fn take_new(&self, key: &str, cost: i64, now: Millis, view: &View<'_>) -> Answer {
        let mut door = self.door();
        // Whoever closes a window drops its key before leaving the door: what is in the map now is open.
        if let Some(taken) = self.take_known(key, cost, now, view) {
            return if taken { Answer::Taken } else { Answer::Refused };
        }
        if !self.fits_unknown(cost, now) {
            return Answer::Refused;
        }
        // A key that counts nothing need not be remembered.
        if cost == 0 {
            return Answer::Taken;
        }
        if !self.make_room(&mut door, now, view) {
            return Answer::NoRoom;
        }
        let window = match &self.unknown {
            Window::Fixed(window) => Window::Fixed(window.another()),
            Window::Sliding(window) => Window::Sliding(window.another()),
        };
        // Counted before anybody else can see it, so that nobody finds it empty.
        either!(&window, window => window.take(cost, now));
        let due = empty_at(&window, now);
        door.serial += 1;
        let (key, serial) = (Arc::<str>::from(key), door.serial);
        if let Some(queue) = &mut door.queue {
            queue.insert((due, serial), Arc::clone(&key));
        }
        self.map.insert(key, Entry { window, due: AtomicI64::new(due), serial }, view);
        Answer::Taken
    }

    /// What `take_new` of this key and cost would answer, but for the count of refusals.
    pub(super) fn peek(&self, key: &str, cost: i64, now: Millis, view: &View<'_>) -> bool {
        match self.map.get(key, view) {
            Some(entry) => either!(&entry.window, window => window.peek(cost, now)),
            None => self.fits_unknown(cost, now) && (cost == 0 || self.has_room(now, view)),
        }
    }

    pub(super) fn status(&self, key: &str, now: Millis, view: &View<'_>) -> Status {
        let entry = self.map.get(key, view);
        either!(entry.map_or(&self.unknown, |entry| &entry.window), window => window.status(now))
    }

    /// Drop a key whatever it counts; whether it was there.
    pub(super) fn forget(&self, key: &str, view: &View<'_>) -> bool {
        let mut door = self.door();
        let Some(entry) = self.map.get(key, view) else {
            return false;
        };
        either!(&entry.window, window => window.close());
        self.drop_key(&mut door, key, entry, view);
        true
    }

    pub(super) fn count_refused_new(&self) {
        self.refused_new.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused_new(&self) -> u64 {
        self.refused_new.load(Ordering::Relaxed)
    }

    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    /// Also after a panic in another holder: a queue that lacks a key costs that key's place, never a count.
    fn door(&self) -> MutexGuard<'_, Door> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fits_unknown(&self, cost: i64, now: Millis) -> bool {
        either!(&self.unknown, window => window.peek(cost, now))
    }

    fn has_room(&self, now: Millis, view: &View<'_>) -> bool {
        self.map.len() < self.max_keys || {
            let mut door = self.door();
            self.next_empty(&mut door, now, view).is_some()
        }
    }

    fn make_room(&self, door: &mut Door, now: Millis, view: &View<'_>) -> bool {
        while self.map.len() >= self.max_keys {
            let Some((key, entry)) = self.next_empty(door, now, view) else {
                return false;
            };
            if either!(&entry.window, window => window.close_if_empty(now)) {
                self.drop_key(door, &key, entry, view);
            } else {
                // Taken from at this moment: not empty before the next.
                put_back(door, &key, entry, now.get() + 1);
            }
        }
        true
    }

    /// A key with an empty window, if there is one.
    fn next_empty<'g>(
        &self,
        door: &mut Door,
        now: Millis,
        view: &'g View<'_>,
    ) -> Option<(Arc<str>, &'g Entry)> {
        loop {
            let queue = door.queue.get_or_insert_with(|| {
                self.map.iter(view).map(|(key, entry)| (entry.place(), Arc::clone(key))).collect()
            });
            let first = queue.first_entry()?;
            if first.key().0 > now.get() {
                return None;
            }
            let key = Arc::clone(first.get());
            let Some(entry) = self.map.get(&key, view) else {
                first.remove();
                continue;
            };
            if either!(&entry.window, window => window.is_empty(now)) {
                return Some((key, entry));
            }
            let due = empty_at(&entry.window, now).max(now.get() + 1);
            put_back(door, &key, entry, due);
        }
    }

    fn drop_key(&self, door: &mut Door, key: &str, entry: &Entry, view: &View<'_>) {
        if let Some(queue) = &mut door.queue {
            queue.remove(&entry.place());
        }
        self.map.remove(key, view);
    }
}

/// The first instant at which nothing of what a window counts now counts any more.
fn empty_at(window: &Window, now: Millis) -> i64 {
    either!(window, window => window.status(now).reset_at).get()
}

fn put_back(door: &mut Door, key: &Arc<str>, entry: &Entry, due: i64) {
    if let Some(queue) = &mut door.queue {
        queue.remove(&entry.place());
        entry.due.store(due, Ordering::Relaxed);
        queue.insert(entry.place(), Arc::clone(key));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicI64;
    use std::thread;

    use super::*;

    const SECOND: i64 = 1_000;
    const ROUNDS: i64 = 100_000;

    fn admit(keys: &Keys, key: &str, now: Millis) -> bool {
        let view = keys.view();
        let known = keys.take_known(key, 1, now, &view);
        known.unwrap_or_else(|| keys.take_new(key, 1, now, &view) == Answer::Taken)
    }

    /// Take from the key in every round, as soon as the other thread has come to the same round; which were admitted.
    fn rounds(keys: &Keys, key: &str, mine: &AtomicI64, other: &AtomicI64) -> Vec<bool> {
        let in_round = |number: i64| {
            mine.store(number, Ordering::Release);
            let mut tries = 0;
            while other.load(Ordering::Acquire) < number {
                tries += 1;
                if tries % 1_000 == 0 {
                    thread::yield_now();
                }
            }
            admit(keys, key, Millis::new(number * 3 * SECOND))
        };
        (1..=ROUNDS).map(in_round).collect()
    }

    /// There is room for one key, whose window is empty when a round begins. One thread takes from it while the other
    /// takes from a new one, which must drop it. Were both admitted, one was counted where nobody looks any more.
    fn nothing_is_counted_into_a_dropped_key(shape: Shape) {
        let keys = Keys::new(1, SECOND, shape, 1).expect("a small limit");
        let (at_a, at_b) = (AtomicI64::new(0), AtomicI64::new(0));
        let (a, b) = thread::scope(|scope| {
            let b = scope.spawn(|| rounds(&keys, "b", &at_b, &at_a));
            (rounds(&keys, "a", &at_a, &at_b), b.join().unwrap_or_default())
        });
        let wrong = a.iter().zip(&b).filter(|(a, b)| a == b).count();
        assert_eq!((wrong, b.len()), (0, a.len()));
    }

    #[test]
    fn nothing_is_counted_into_a_dropped_key_of_fixed_windows() {
        nothing_is_counted_into_a_dropped_key(Shape::Fixed);
    }

    #[test]
    fn nothing_is_counted_into_a_dropped_key_of_sliding_windows() {
        nothing_is_counted_into_a_dropped_key(Shape::Sliding { buckets: 10 });
    }
}
