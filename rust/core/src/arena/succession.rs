//! From a counter that an edit has closed to the one that goes on: seeds, and corrections that follow.

use super::{Counter, Shape, Slot};
use crate::period::Epoch;
use crate::sync::Ordering;
use crate::units::Millis;
use crate::window::fixed::seed_word;
use crate::window::{Met, UNSEEDED, amount_of, epoch_of, flags_of};

impl<'a> Counter<'a> {
    /// The counter that counts now; where there is none any more, the last that did.
    pub(crate) fn newest(&self) -> Counter<'a> {
        self.follow().unwrap_or_else(|last| last)
    }

    /// Follow the edits to the counter that counts now. Err: its limit is gone, and this one counted last.
    pub(super) fn follow(&self) -> Result<Counter<'a>, Counter<'a>> {
        let mut counter = *self;
        while Counter::is_sealed(counter.cell.word.load()) {
            counter = counter.next().ok_or(counter)?;
        }
        Ok(counter)
    }

    /// Where what was taken in `epoch` counts now, and in which window.
    pub(crate) fn whereabouts(&self, epoch: Epoch) -> Option<(Slot, Epoch)> {
        let (heir, epoch) = self.heir(epoch)?;
        Some((heir.slot(), epoch?))
    }

    /// The counter that goes on for this one, and which window `epoch` is there: None where it has passed.
    pub(crate) fn heir(&self, epoch: Epoch) -> Option<(Counter<'a>, Option<Epoch>)> {
        let (mut counter, mut epoch) = (*self, Some(epoch));
        while Counter::is_sealed(counter.look()) {
            let next = counter.next()?;
            epoch = epoch.and_then(|epoch| next.carried(&counter, epoch));
            counter = next;
        }
        Some((counter, epoch))
    }

    pub(super) fn next(&self) -> Option<Counter<'a>> {
        // Acquire: partner of the Release in `Arena::succeed`.
        let link = self.arena.edits(self.number)?.next.load(Ordering::Acquire);
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
            if met == Met::Done {
                self.note();
                return true;
            }
            return self.corrected(met, (epoch, total), late, now);
        }
        self.corrected(self.correct_here(epoch, total, used, now), (epoch, total), late, now)
    }

    pub(super) fn correct_here(&self, epoch: Epoch, total: i64, used: i64, now: Millis) -> Met {
        self.look();
        if !self.is_sliding() {
            return self.fixed().correct(epoch, total, used, now);
        }
        let (met, owed) = self.sliding().correct(epoch, total, used, now);
        self.owe(owed, now);
        met
    }

    /// What follows from how a correction of (window, amount) met this counter: it goes on in the successors. What is
    /// too late for its window is told to the history, without what is charged to the current one instead.
    #[cold]
    pub(super) fn corrected(&self, mut met: Met, mut asked: (Epoch, i64), late: i64, now: Millis) -> bool {
        let mut counter = *self;
        loop {
            match met {
                Met::Done => {
                    counter.note();
                    return true;
                }
                Met::Rolled => {
                    counter.tell_correction(asked.0, asked.1.saturating_sub(late));
                    counter.charge(late, now);
                    return false;
                }
                Met::Sealed { epoch, total, used } => {
                    let Some(next) = counter.next() else { return true };
                    let Some(carried) = next.carried(&counter, epoch) else {
                        if total != 0 {
                            counter.tell_correction(epoch, total.saturating_sub(late));
                        }
                        next.charge(late, now);
                        return false;
                    };
                    met = next.correct_here(carried, total, used, now);
                    (counter, asked) = (next, (carried, total));
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
            counter.fixed().charge(amount, now, |closed| counter.tell_total(closed))
        };
        counter.note();
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
    pub(super) fn owe(&self, amount: i64, now: Millis) {
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
    pub(super) fn origin(&self, old: &Counter<'_>) -> (Epoch, bool) {
        let edits = self.arena.edits_made(self.number);
        let edited = Millis::new(edits.edited.load(Ordering::Relaxed));
        let last = epoch_of(old.cell.word.load());
        let (old_shape, shape) = (old.shape(), self.shape());
        // Traffic may have moved the old counter past the edit's instant: time does not run backwards for it.
        let at = edited.max(old_shape.start(last));
        let carries = edits.afresh.load(Ordering::Relaxed) == 0
            && match old_shape {
                Shape::Fixed(_) => last.contains_or_after(edited),
                Shape::Sliding(_) => true,
            };
        (shape.epoch_at(at), carries)
    }

    /// The window here that continues window `epoch` of the sealed predecessor.
    pub(super) fn carried(&self, old: &Counter<'_>, epoch: Epoch) -> Option<Epoch> {
        let last = epoch_of(old.cell.word.load());
        let counted = match old.shape() {
            Shape::Fixed(_) => epoch == last,
            Shape::Sliding(ring) => last.get() - epoch.get() < ring.live,
        };
        let (seed, carries) = self.origin(old);
        (counted && carries).then_some(seed)
    }

    /// Seal the predecessor and take its count over. Any number of threads may do it at once: all compute the same.
    pub(super) fn seed(&self) {
        let Some(edits) = self.arena.edits(self.number) else { return };
        let previous = edits.previous.load(Ordering::Relaxed);
        if previous == 0 {
            return;
        }
        let old = self.arena.get_number(previous - 1);
        old.look();
        let edited = Millis::new(edits.edited.load(Ordering::Relaxed));
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
        let (total, used) = if carries { (total, used) } else { (Some(0), Some(0)) };
        let first = if self.is_sliding() {
            self.sliding().seed(epoch, total, used)
        } else {
            seed_word(&self.cell.used, epoch, used);
            seed_word(&self.cell.word, epoch, total)
        };
        if first && !old.is_sliding() && (!carries || self.is_sliding()) {
            // Its period ends here: no window goes on with it, and nobody will roll it.
            old.tell_total(old.cell.word.load());
        }
        self.note();
        old.owe(owed, edited);
    }

    /// The fault that a canary build has: the count is copied while the old counter goes on counting.
    pub(crate) fn copy_for_canary(&self) {
        let previous = self.arena.edits_made(self.number).previous.load(Ordering::Relaxed);
        if previous != 0 && flags_of(self.cell.word.load()) & UNSEEDED != 0 {
            let old = self.arena.get_number(previous - 1);
            let (epoch, _) = self.origin(&old);
            seed_word(&self.cell.used, epoch, Some(amount_of(old.cell.used.load())));
            seed_word(&self.cell.word, epoch, Some(amount_of(old.cell.word.load())));
        }
    }
}
