//! A fixed window: one word holds the window and what was taken in it, so the roll to a new window and the count
//! are one step.
//!
//! With the count and the window's end in two words, this happens: A reads the end (passed), B reads the end
//! (passed), A writes zero and takes the last unit, B writes zero and takes it again. Here both would exchange
//! the same word, and B's exchange fails.
//!
//! Beside the deciding word stands a second one with what is *used* (settled or charged) in the same window. It
//! informs and never decides; `held` is the difference. A reader takes `used` first: the other order could pair an
//! old total with a newer, larger `used`.

use super::wait::Leaving;
use super::{
    Met, Reading, Refusal, SEALED, ShapeWords, Take, UNSEEDED, admits, amount_of, count_of, counted,
    epoch_of, flags_of, moved, pack,
};
use crate::period::Epoch;
use crate::sync::Word;
use crate::units::Millis;

/// The two words of a counter and where to read, on a roll, the lattice that its windows lie on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fixed<'a> {
    pub(crate) word: &'a Word,
    pub(crate) used: &'a Word,
    pub(crate) shape: &'a ShapeWords,
}

/// The window that counts at `now` and what is taken in it: an expired window is an empty one.
#[inline(always)]
fn current(word: u128, shape: &ShapeWords, now: Millis) -> (Epoch, i64) {
    let epoch = epoch_of(word);
    if epoch.contains_or_after(now) { (epoch, amount_of(word)) } else { (rolled(shape, now), 0) }
}

/// Once in a window: everything else knows its window by the word alone.
#[cold]
fn rolled(shape: &ShapeWords, now: Millis) -> Epoch {
    shape.lattice().window_at(now)
}

/// What is taken at `now`, as far as a deciding word tells.
#[inline(always)]
pub(crate) fn total_at(word: u128, now: Millis) -> i64 {
    if epoch_of(word).contains_or_after(now) { amount_of(word) } else { 0 }
}

impl Fixed<'_> {
    /// Take `asked` if it fits. `seen` is the word as last read: the first exchange is tried on it. `closed` is told the
    /// last word of a window that this take closes.
    #[inline(always)]
    pub(crate) fn take(
        &self,
        mut seen: u128,
        now: Millis,
        asked: i64,
        limit: i64,
        closed: impl FnOnce(u128),
    ) -> Take {
        loop {
            if flags_of(seen) & SEALED != 0 {
                return Take::Sealed;
            }
            let epoch = epoch_of(seen);
            // An instant before the word's window counts as that window: time set back opens nothing.
            if !epoch.contains_or_after(now) {
                match self.open(seen, now, asked, limit) {
                    None => return Take::Refused,
                    Some(Err(found)) => seen = found,
                    Some(Ok(epoch)) => {
                        closed(seen);
                        return Take::Taken(epoch);
                    }
                }
                continue;
            }
            let total = amount_of(seen);
            if !admits(total, asked, limit) {
                return Take::Refused;
            }
            let mut next = pack(epoch, 0, total + asked);
            if cfg!(canary = "check_then_add") {
                // The fault: checked on one reading, added to another.
                seen = self.word.load();
                next = pack(epoch, 0, amount_of(seen).saturating_add(asked));
            }
            match self.word.cas(seen, next) {
                Ok(_) => return Take::Taken(epoch),
                Err(found) => seen = found,
            }
        }
    }

    /// The first take of a new window: once in a window.
    #[cold]
    fn open(&self, seen: u128, now: Millis, asked: i64, limit: i64) -> Option<Result<Epoch, u128>> {
        let epoch = rolled(self.shape, now);
        if !admits(0, asked, limit) {
            return None;
        }
        if cfg!(canary = "epoch_in_two_steps") {
            // The fault: the window moves in one step, the count starts in a second.
            self.word.store(pack(epoch, 0, 0));
            return Some(Err(self.word.load()));
        }
        Some(self.word.cas(seen, pack(epoch, 0, asked)).map(|_| epoch))
    }

    /// Add `total` to what is taken and `used` to what is used in the window `epoch`, if that is still the word's.
    ///
    /// By the clock alone, without any count, a window rolls for what is added to it and not for what is taken out: a
    /// hold that stayed in the word would count again if the clock were set back.
    #[inline(always)]
    pub(crate) fn correct(&self, epoch: Epoch, total: i64, used: i64, now: Millis) -> Met {
        // What is used falls before what is taken does, and rises after it: no reader sees more used than taken.
        if used < 0 && !self.add_used(epoch, used) {
            return Met::Sealed { epoch, total, used };
        }
        let rising = used.max(0);
        let mut seen = self.word.load();
        loop {
            if flags_of(seen) & SEALED != 0 {
                return Met::Sealed { epoch, total, used: rising };
            }
            let has_rolled = epoch_of(seen) != epoch || (total > 0 && !epoch.contains_or_after(now));
            if has_rolled && !cfg!(canary = "give_back_into_a_new_window") {
                return Met::Rolled;
            }
            if total == 0 {
                break;
            }
            match self.word.cas(seen, moved(seen, total)) {
                Ok(_) => break,
                Err(found) => seen = found,
            }
        }
        if rising > 0 && !self.add_used(epoch, rising) {
            return Met::Sealed { epoch, total: 0, used: rising };
        }
        Met::Done
    }

    /// Add to the current window, used at once, without asking whether it fits. `closed` as in `take`.
    pub(crate) fn charge(&self, amount: i64, now: Millis, closed: impl FnOnce(u128)) -> Met {
        let mut seen = self.word.load();
        loop {
            let (epoch, _) = current(seen, self.shape, now);
            if flags_of(seen) & SEALED != 0 {
                return Met::Sealed { epoch, total: amount, used: amount };
            }
            let next = if epoch_of(seen) == epoch { moved(seen, amount) } else { pack(epoch, 0, amount) };
            match self.word.cas(seen, next) {
                Ok(old) => {
                    if epoch_of(old) != epoch {
                        closed(old);
                    }
                    if self.add_used(epoch, amount) {
                        return Met::Done;
                    }
                    return Met::Sealed { epoch, total: 0, used: amount };
                }
                Err(found) => seen = found,
            }
        }
    }

    /// False: sealed by an edit, nothing was added.
    #[inline(always)]
    fn add_used(&self, epoch: Epoch, delta: i64) -> bool {
        let mut seen = self.used.load();
        loop {
            if flags_of(seen) & SEALED != 0 {
                return false;
            }
            let next = match epoch_of(seen).cmp(&epoch) {
                core::cmp::Ordering::Equal => moved(seen, delta),
                core::cmp::Ordering::Less => pack(epoch, 0, delta.max(0)),
                core::cmp::Ordering::Greater => return true,
            };
            match self.used.cas(seen, next) {
                Ok(_) => return true,
                Err(found) => seen = found,
            }
        }
    }

    /// Take up to `amount` of what is used out of the current window.
    pub(crate) fn lower_used(&self, amount: i64, now: Millis) {
        let mut seen = self.used.load();
        loop {
            let epoch = epoch_of(seen);
            let lowered = count_of(seen).map_or(0, |used| used.min(amount));
            let current = epoch.contains_or_after(now);
            if flags_of(seen) & SEALED != 0 || lowered == 0 || !current {
                return;
            }
            match self.used.cas(seen, moved(seen, -lowered)) {
                Ok(_) => {
                    self.correct(epoch, -lowered, 0, now);
                    return;
                }
                Err(found) => seen = found,
            }
        }
    }

    /// The window that counts at `now`, what is used in it and what is held.
    #[inline(always)]
    fn shown(&self, now: Millis) -> (Epoch, i64, i64) {
        let used = self.used.load();
        let word = self.word.load();
        let (epoch, total) = current(word, self.shape, now);
        let used = if epoch_of(used) == epoch { amount_of(used).min(total) } else { 0 };
        (epoch, used, total - used)
    }

    pub(crate) fn read(&self, now: Millis) -> Reading {
        let (epoch, used, held) = self.shown(now);
        let lattice = self.shape.lattice();
        Reading { used, held, start: lattice.start(epoch), reset: lattice.end(epoch) }
    }

    /// What is shown to whom it refuses. (Not a whole [`Reading`]: where a period of the calendar starts is worked out by
    /// divisions.) The wait is that of a later look at the word: what a reservation had filled that has been undone since
    /// has room at once.
    #[inline(always)]
    pub(crate) fn refusal(&self, now: Millis, asked: i64, limit: i64) -> Refusal {
        let (epoch, used, held) = self.shown(now);
        let reset = self.shape.lattice().end(epoch);
        Refusal { used, held, reset, fits_at: self.fits_at(now, asked, limit) }
    }

    /// The first instant at which `asked` fits if nothing else comes; None where it never does.
    #[inline(always)]
    pub(crate) fn fits_at(&self, now: Millis, asked: i64, limit: i64) -> Option<Millis> {
        let (epoch, total) = current(self.word.load(), self.shape, now);
        if admits(total, asked, limit) {
            return Some(now);
        }
        admits(0, asked, limit).then(|| self.shape.lattice().end(epoch))
    }

    /// What counts at `now`.
    pub(crate) fn leaving(&self, now: Millis) -> Leaving {
        let word = self.word.load();
        let (epoch, total) = current(word, self.shape, now);
        let overflown = epoch_of(word) == epoch && count_of(word).is_none();
        Leaving { epoch, total, at: self.shape.lattice().end(epoch), overflown }
    }

    /// Close both words for ever and give what they hold: (taken, used in the same window). Any number of callers get
    /// the same answer, so whoever meets an unseeded successor can seed it.
    pub(crate) fn seal(&self) -> (Option<i64>, Option<i64>) {
        let word = seal_word(self.word);
        let used = seal_word(self.used);
        let used = if epoch_of(used) == epoch_of(word) { count_of(used) } else { Some(0) };
        (count_of(word), used)
    }
}

/// Set the seal; the value that it closed.
pub(crate) fn seal_word(word: &Word) -> u128 {
    let mut seen = word.load();
    while flags_of(seen) & SEALED == 0 {
        let sealed = pack(epoch_of(seen), flags_of(seen) | SEALED, amount_of(seen));
        match word.cas(seen, sealed) {
            Ok(_) => return sealed,
            Err(found) => seen = found,
        }
    }
    seen
}

/// Give an unseeded counter its first count. Only the first of several equal seeds lands: true for that one.
pub(crate) fn seed_word(word: &Word, epoch: Epoch, count: Option<i64>) -> bool {
    let seen = word.load();
    flags_of(seen) & UNSEEDED != 0 && word.cas(seen, counted(epoch, count)).is_ok()
}
