//! A sliding window: a head word that decides, and a ring of sub-windows that remembers when its count leaves.
//!
//! The head holds the newest sub-window and the running total, and decides alone in one exchange. A slot holds what
//! was taken in one sub-window. Taken in sub-window `q`, an amount counts while the newest is at most
//! `q + live - 1`, where `live - 1` sub-windows are at least the window's length: never more than the limit in any
//! true window, at the price of counting up to one sub-window too long.
//!
//! The invariant is *head total >= sum of the open live slots*, so that every race errs to refusal:
//!
//! - take: head first, then the slot. A slot that was closed in between has left the window; whoever finds it so
//!   takes its own amount out of the head again.
//! - turn: **first** the head moves to the new sub-window, total unchanged; **then** the slots that left are closed,
//!   and whoever closes one takes exactly its content out of the head. The other order lets this happen: A closes an
//!   old slot and lowers the total, stalls; B, in the old sub-window, fills the room; A moves the head; C, late in
//!   the old sub-window's true window, finds more room than there is.
//! - give back: out of the slot first (only while it is open), then out of the head.

pub use super::ring::{LARGEST_LIMIT, Ring};
pub(crate) use super::ring::{SLOT_MAX, check_limit};

use super::fixed::seal_word;
use super::ring::{EMPTY, Slot, State, TAG_MASK, moved};
use super::wait::Leaving;
use super::{Met, Reading, Refusal, SEALED, Take, admits, amount_of, epoch_of, flags_of, pack};
use crate::period::Epoch;
use crate::sync::Word;
use crate::units::Millis;

/// The words of a sliding counter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sliding<'a> {
    pub(crate) head: &'a Word,
    pub(crate) slots: &'a [Word],
    pub(crate) ring: Ring,
}

impl Sliding<'_> {
    /// The slot of a sub-window: that of its number modulo the number of slots, a power of two.
    #[inline(always)]
    fn slot(&self, index: i64) -> &Word {
        &self.slots[index as usize & (self.slots.len() - 1)]
    }

    /// Take `asked` if it fits; second, what could not be taken out of a head that an edit had closed meanwhile.
    #[inline]
    pub(crate) fn take(&self, mut seen: u128, now: Millis, asked: i64, limit: i64) -> (Take, i64) {
        let mut owed = 0;
        loop {
            if flags_of(seen) & SEALED != 0 {
                return (Take::Sealed, owed);
            }
            let newest = epoch_of(seen).get();
            let index = self.ring.index(newest, now).max(newest);
            let total = amount_of(seen);
            if !admits(total, asked, limit) {
                let (may_fit, left) = self.make_room(seen, index, now, asked, limit);
                owed += left;
                if !may_fit {
                    return (Take::Refused, owed);
                }
                seen = self.head.load();
                continue;
            }
            // Where there is room beside what is about to leave, the head turns and counts in one step.
            let epoch = Epoch::from_raw(index);
            match self.head.cas(seen, pack(epoch, 0, total + asked)) {
                Ok(_) => {
                    if index > newest {
                        owed += self.close_leaving(newest, index);
                    }
                    owed += self.add_to_slot(index, asked);
                    return (Take::Taken(epoch), owed);
                }
                Err(found) => seen = found,
            }
        }
    }

    /// Let leave what a full head still counts. Whether `asked` may fit then, and what could not be taken out of a sealed
    /// head. A refusal moves nothing: what no slot leaves room for is refused before the head turns.
    #[cold]
    fn make_room(&self, seen: u128, index: i64, now: Millis, asked: i64, limit: i64) -> (bool, i64) {
        if index == epoch_of(seen).get() {
            return self.close_left(index);
        }
        let fits = admits(self.live_total(now), asked, limit);
        (fits, if fits { self.turn(seen, index).unwrap_or(0) } else { 0 })
    }

    /// Move the head to a newer sub-window, then close what left. What could not be taken out of a sealed head; None
    /// where the head was no longer as seen: then nothing was moved, and nothing may be closed.
    fn turn(&self, seen: u128, index: i64) -> Option<i64> {
        if cfg!(canary = "slots_closed_before_the_head_moves") {
            // The fault: room appears while the head still stands in the old sub-window.
            let owed = self.close_left(index).1;
            let seen = self.head.load();
            let _ = self.head.cas(seen, pack(Epoch::from_raw(index), 0, amount_of(seen)));
            return Some(owed);
        }
        let newest = epoch_of(seen).get();
        self.head.cas(seen, pack(Epoch::from_raw(index), 0, amount_of(seen))).ok()?;
        Some(self.close_leaving(newest, index))
    }

    /// Close the slots whose sub-windows leave by a turn from `newest` to `index`. What could not be taken out of a sealed
    /// head. A slot that a late adder opened after its sub-window had left is not among them: it is closed before
    /// anything is refused, or by whoever needs the slot.
    fn close_leaving(&self, newest: i64, index: i64) -> i64 {
        if index - newest >= self.ring.live {
            return self.close_left(index).1;
        }
        let leaving = newest - self.ring.live + 1..index - self.ring.live + 1;
        leaving.map(|q| self.close(self.slot(q), index).1).sum()
    }

    /// Close every slot whose sub-window has left when the newest is `index`. Whether anything was freed, and what
    /// could not be taken out of a sealed head. Any thread may help: a slot is closed once.
    fn close_left(&self, index: i64) -> (bool, i64) {
        let closed = self.slots.iter().map(|word| self.close(word, index));
        closed.fold((false, 0), |(freed, owed), (more, left)| (freed | more, owed + left))
    }

    fn close(&self, word: &Word, index: i64) -> (bool, i64) {
        let mut seen = word.load();
        loop {
            let slot = Slot::unpack(seen);
            if slot.state != State::Open || self.is_live(slot.tag, index) {
                return (false, 0);
            }
            match word.cas(seen, Slot { total: 0, used: 0, state: State::Closed, ..slot }.pack()) {
                Ok(_) => return (slot.total > 0, self.lower_head(slot.total)),
                Err(found) => seen = found,
            }
        }
    }

    /// Whether a tag is one of the sub-windows that count when the newest is `index` (or one just ahead of a reader
    /// that was overtaken).
    #[inline(always)]
    fn is_live(&self, tag: u64, index: i64) -> bool {
        let age = (index as u64).wrapping_sub(tag) & TAG_MASK;
        age < self.ring.live as u64 || age > TAG_MASK / 2
    }

    /// Zero, or the amount where the head is sealed and its successor owes it.
    fn lower_head(&self, amount: i64) -> i64 {
        self.add_to_head(-amount)
    }

    fn add_to_head(&self, delta: i64) -> i64 {
        if delta == 0 {
            return 0;
        }
        let mut seen = self.head.load();
        loop {
            if flags_of(seen) & SEALED != 0 {
                return -delta;
            }
            let next = amount_of(seen).saturating_add(delta).max(0);
            match self.head.cas(seen, pack(epoch_of(seen), 0, next)) {
                Ok(_) => return 0,
                Err(found) => seen = found,
            }
        }
    }

    /// What is owed for an amount whose slot is closed: it leaves the head, unless a seal carried it away while its
    /// sub-window still counted.
    #[cold]
    fn too_late(&self, index: i64, amount: i64) -> i64 {
        let head = self.head.load();
        if flags_of(head) & SEALED != 0 && epoch_of(head).get() - index < self.ring.live {
            return 0;
        }
        self.lower_head(amount)
    }

    /// Record in its slot what the head has counted. A slot that has left meanwhile is too late: the amount leaves
    /// the head as well. What a sealed head could not give is returned.
    #[inline(always)]
    fn add_to_slot(&self, index: i64, amount: i64) -> i64 {
        let word = self.slot(index);
        let tag = index as u64 & TAG_MASK;
        let mut seen = word.load();
        loop {
            let (next, leaving) = if Slot::is_open(seen, tag) {
                let slot = Slot::unpack_open(seen);
                let total = (slot.total + amount).min(SLOT_MAX);
                // What a full slot cannot remember the head must not count: it would never leave.
                (Slot { total, ..slot }, amount - (total - slot.total))
            } else {
                let slot = Slot::unpack(seen);
                let is_older = (tag.wrapping_sub(slot.tag) & TAG_MASK) <= TAG_MASK / 2;
                let leaving = match slot.state {
                    State::Empty => 0,
                    // An older sub-window's slot: whoever replaces it takes its content out of the head.
                    State::Open if is_older => slot.total,
                    State::Closed if is_older && slot.tag != tag => 0,
                    _ => return self.too_late(index, amount),
                };
                (Slot::open(index, amount, 0), leaving)
            };
            match word.cas(seen, next.pack()) {
                Ok(_) => return self.lower_head(leaving),
                Err(found) => seen = found,
            }
        }
    }

    /// Add to the slot of `epoch` while it counts, and to the head alike. Second, what a sealed head owes.
    pub(crate) fn correct(&self, epoch: Epoch, total: i64, used: i64, now: Millis) -> (Met, i64) {
        // What a slot cannot count the head must not count either: it would never leave. Whoever counts on for a sealed one
        // is told the whole: he may have room for it.
        let (whole, total) = (total, total.min(SLOT_MAX));
        let index = epoch.get();
        let head = self.head.load();
        let newest = epoch_of(head).get();
        // By the clock alone a sub-window leaves for what is added to it, not for what is taken out.
        let clock = if total > 0 { self.ring.index(newest, now).max(newest) } else { newest };
        if flags_of(head) & SEALED == 0 && clock - index >= self.ring.live {
            return (Met::Rolled, 0);
        }
        if total > 0 && self.add_to_head(total) != 0 {
            return (Met::Sealed { epoch, total: whole, used }, 0);
        }
        let raised = total.max(0);
        let word = self.slot(index);
        let tag = index as u64 & TAG_MASK;
        let mut seen = word.load();
        loop {
            let slot = Slot::unpack(seen);
            if slot.tag != tag || slot.state != State::Open {
                return if flags_of(self.head.load()) & SEALED != 0 {
                    (Met::Sealed { epoch, total: total.min(0), used }, self.too_late(index, raised))
                } else {
                    (Met::Rolled, self.lower_head(raised))
                };
            }
            let next_total = moved(slot.total, total);
            let next_used = moved(slot.used, used).min(next_total);
            match word.cas(seen, Slot { total: next_total, used: next_used, ..slot }.pack()) {
                // The head ends up moved by what the slot really moved by: it gives exactly that when it leaves.
                Ok(_) => return (Met::Done, self.lower_head(raised - (next_total - slot.total))),
                Err(found) => seen = found,
            }
        }
    }

    /// Add to the newest sub-window without asking. What a sealed head could not give is returned beside it.
    pub(crate) fn charge(&self, amount: i64, now: Millis) -> (Met, i64) {
        let amount = amount.min(SLOT_MAX);
        let mut owed = 0;
        loop {
            let seen = self.head.load();
            let newest = epoch_of(seen).get();
            let index = self.ring.index(newest, now).max(newest);
            let epoch = Epoch::from_raw(index);
            if flags_of(seen) & SEALED != 0 {
                return (Met::Sealed { epoch, total: amount, used: amount }, owed);
            }
            if index > newest {
                owed += self.turn(seen, index).unwrap_or(0);
                continue;
            }
            if self.head.cas(seen, pack(epoch, 0, amount_of(seen).saturating_add(amount))).is_ok() {
                owed += self.add_to_slot(index, amount);
                let (met, _) = self.correct(epoch, 0, amount, now);
                return (if met == Met::Rolled { Met::Done } else { met }, owed);
            }
        }
    }

    /// (used, held) of every slot that counts at `now`, oldest first, with its sub-window.
    fn live_slots(&self, now: Millis) -> impl DoubleEndedIterator<Item = (i64, Slot)> + '_ {
        let newest = epoch_of(self.head.load()).get();
        let index = self.ring.index(newest, now).max(newest);
        ((index - self.ring.live + 1)..=index).filter_map(move |q| {
            let slot = Slot::unpack(self.slot(q).load());
            (slot.tag == q as u64 & TAG_MASK && slot.state == State::Open).then_some((q, slot))
        })
    }

    /// The newest sub-window, and of each that counts then what was taken and what is used of it.
    pub(crate) fn standing(&self) -> (Epoch, Vec<(Epoch, i64, i64)>) {
        let newest = epoch_of(self.head.load());
        let live = (newest.get() - self.ring.live + 1..=newest.get()).filter_map(|q| {
            let slot = Slot::unpack(self.slot(q).load());
            // One that is empty may still be corrected.
            let counts = slot.tag == q as u64 & TAG_MASK && slot.state == State::Open;
            counts.then(|| (Epoch::from_raw(q), slot.total, slot.used))
        });
        (newest, live.collect())
    }

    /// Stand so. Nobody counts yet.
    pub(crate) fn put_back(&self, newest: Epoch, pieces: &[(Epoch, i64, i64)]) {
        let mut sum = 0i64;
        for &(epoch, total, used) in pieces {
            let total = total.min(SLOT_MAX);
            let slot = Slot::open(epoch.get(), total, used.min(total));
            self.slot(epoch.get()).store(slot.pack());
            sum = sum.saturating_add(total);
        }
        self.head.store(pack(newest, 0, sum));
    }

    /// What was taken in each sub-window that counts at `now`, by its start.
    pub(crate) fn pieces(&self, now: Millis) -> Vec<(Millis, i64)> {
        let taken = self.live_slots(now).filter(|(_, slot)| slot.total > 0);
        taken.map(|(q, slot)| (self.ring.start(Epoch::from_raw(q)), slot.total)).collect()
    }

    /// Let at least as much be used in each sub-window that still counts as `pieces` says of it; `holds`: what is taken here
    /// and not used is beside it. What a sealed head owes.
    pub(crate) fn raise(&self, holds: bool, pieces: &[(Millis, i64)], now: Millis) -> i64 {
        let newest = pieces.iter().map(|(start, _)| *start).fold(now, Millis::max);
        let mut owed = self.advance(newest);
        for &(start, taken) in pieces {
            let index = self.ring.at(start);
            if epoch_of(self.head.load()).get() - index >= self.ring.live {
                continue;
            }
            let slot = Slot::unpack(self.slot(index).load());
            let there = slot.tag == index as u64 & TAG_MASK && slot.state == State::Open;
            let used = if holds { slot.used } else { slot.total };
            let missing = taken.min(SLOT_MAX) - if there { used } else { 0 };
            if missing > 0 {
                // As a take: the head first.
                owed += self.add_to_head(missing) + self.add_to_slot(index, missing);
                owed += self.correct(Epoch::from_raw(index), 0, missing, now).1;
            }
        }
        owed
    }

    /// What the slots that count at `now` hold. Moves nothing.
    pub(crate) fn live_total(&self, now: Millis) -> i64 {
        self.live_slots(now).map(|(_, slot)| slot.total).sum()
    }

    /// Close what has left the window where the head stands. What a sealed head owes.
    pub(crate) fn tidy(&self) -> i64 {
        let head = self.head.load();
        if flags_of(head) & SEALED != 0 { 0 } else { self.close_left(epoch_of(head).get()).1 }
    }

    pub(crate) fn read(&self, now: Millis) -> Reading {
        let (mut used, mut total, mut reset) = (0, 0, now);
        for (q, slot) in self.live_slots(now) {
            used += slot.used;
            total += slot.total;
            if slot.total > 0 {
                reset = self.ring.leaves(q);
            }
        }
        let start = Millis::new(now.get().saturating_sub((self.ring.live - 1) * self.ring.sub_ms));
        Reading { used, held: total - used, start, reset }
    }

    /// The first instant at which `asked` fits if nothing else comes; None where it never does.
    pub(crate) fn fits_at(&self, now: Millis, asked: i64, limit: i64) -> Option<Millis> {
        if !admits(0, asked, limit) {
            return None;
        }
        // From the newest on: there is room as soon as the first has left beside which there is none.
        let mut newer = 0;
        for (q, slot) in self.live_slots(now).rev() {
            newer += slot.total;
            if !admits(newer, asked, limit) {
                return Some(self.ring.leaves(q));
            }
        }
        Some(now)
    }

    /// What is shown to whom it refuses.
    pub(crate) fn refusal(&self, now: Millis, asked: i64, limit: i64) -> Refusal {
        let Reading { used, held, reset, .. } = self.read(now);
        Refusal { used, held, reset, fits_at: self.fits_at(now, asked, limit) }
    }

    /// What counts at `now`, by sub-windows.
    pub(crate) fn leaving(&self, now: Millis) -> Vec<Leaving> {
        let leaving = |(q, slot): (i64, Slot)| Leaving {
            epoch: Epoch::from_raw(q),
            total: slot.total,
            at: self.ring.leaves(q),
            overflown: slot.total == SLOT_MAX,
        };
        self.live_slots(now).map(leaving).collect()
    }

    /// Take everything that is used out of the window.
    pub(crate) fn reset_used(&self, now: Millis) {
        let slots: Vec<(i64, Slot)> = self.live_slots(now).collect();
        for (q, slot) in slots {
            self.correct(Epoch::from_raw(q), -slot.used, -slot.used, now);
        }
    }

    /// Take everything out of the window.
    pub(crate) fn empty(&self, now: Millis) {
        let slots: Vec<(i64, Slot)> = self.live_slots(now).collect();
        for (q, slot) in slots {
            self.correct(Epoch::from_raw(q), -slot.total, -slot.used, now);
        }
    }

    /// Close the head and every slot for ever: taken, used, and what the head still counts of slots that had left.
    /// Any number of callers get the same of the first two; what is owed, one of them gets.
    pub(crate) fn seal(&self) -> (Option<i64>, Option<i64>, i64) {
        let head = seal_word(self.head);
        let newest = epoch_of(head).get();
        let (mut total, mut used, mut owed) = (Some(amount_of(head)), Some(0), 0);
        for word in self.slots {
            let mut seen = word.load();
            let slot = loop {
                let slot = Slot::unpack(seen);
                if slot.state == State::Sealed {
                    break slot;
                }
                let live = slot.state == State::Open && self.is_live(slot.tag, newest);
                let kept = if live { slot } else { Slot { total: 0, used: 0, ..slot } };
                match word.cas(seen, Slot { state: State::Sealed, ..kept }.pack()) {
                    Ok(_) => {
                        owed += slot.total - kept.total;
                        break kept;
                    }
                    Err(found) => seen = found,
                }
            };
            if self.is_live(slot.tag, newest) {
                total = total.filter(|_| slot.total < SLOT_MAX);
                used = used.filter(|_| slot.used < SLOT_MAX).map(|used| used + slot.used);
            }
        }
        (total, used, owed)
    }

    /// A slot that was never used.
    pub(crate) const EMPTY_SLOT: u128 = State::Empty as u128;

    /// Whether the head stands in the sub-window of `now`, or after it.
    #[inline(always)]
    pub(crate) fn is_current(&self, head: u128, now: Millis) -> bool {
        let newest = epoch_of(head).get();
        self.ring.index(newest, now) <= newest
    }

    /// Move to `now` and close what left, as a take would. What a sealed head owes.
    pub(crate) fn advance(&self, now: Millis) -> i64 {
        loop {
            let seen = self.head.load();
            let newest = epoch_of(seen).get();
            if flags_of(seen) & SEALED != 0 {
                return 0;
            }
            let index = self.ring.index(newest, now).max(newest);
            if index == newest {
                return self.close_left(index).1;
            }
            // Not moved, because somebody took in the old sub-window meanwhile: nothing has left it yet.
            if let Some(owed) = self.turn(seen, index) {
                return owed;
            }
        }
    }

    /// Give an unseeded counter its first count, all of it in one sub-window. Equal seeds of several helpers land once.
    /// True for the one that did.
    pub(crate) fn seed(&self, epoch: Epoch, total: Option<i64>, used: Option<i64>) -> bool {
        let index = epoch.get();
        let word = self.slot(index);
        let fitting = |count: Option<i64>| count.map_or(SLOT_MAX, |count| count.min(SLOT_MAX));
        let total = fitting(total);
        let _ = word.cas(EMPTY.pack(), Slot::open(index, total, fitting(used).min(total)).pack());
        super::fixed::seed_word(self.head, epoch, Some(total))
    }
}
