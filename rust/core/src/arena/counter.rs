//! One counter, whatever its shape: what a decision and an administrator do with it.

use std::sync::Arc;

use super::{Counter, Shape, Slot};
use crate::history::{Period, Told};
use crate::period::Epoch;
use crate::policy::{Kind, LimitName};
use crate::sync::Ordering;
use crate::units::Millis;
use crate::window::fixed::{Fixed, total_at};
use crate::window::sliding::Sliding;
use crate::window::wait::{Ending, Leaving, fits_at};
use crate::window::{Reading, Refusal, SEALED, Take, UNSEEDED, admits, amount_of, epoch_of, flags_of};

impl<'a> Counter<'a> {
    #[inline(always)]
    pub(crate) fn slot(&self) -> Slot {
        // SeqCst: partner of the store in `retire`.
        let life = self.cell.life.load(Ordering::SeqCst);
        Slot { number: self.number, generation: (life >> 32) as u32 }
    }

    #[inline(always)]
    pub(super) fn is_sliding(&self) -> bool {
        self.cell.life.load(Ordering::Relaxed) & 1 == 1
    }

    #[inline(always)]
    pub(super) fn fixed(&self) -> Fixed<'a> {
        Fixed { word: &self.cell.word, used: &self.cell.used, shape: &self.cell.shape }
    }

    pub(super) fn sliding(&self) -> Sliding<'a> {
        let ring = self.cell.shape.ring();
        Sliding { head: &self.cell.word, slots: self.arena.ring(self.number), ring }
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
        flags_of(word) & (SEALED | UNSEEDED) != 0
    }

    /// The deciding word, seeded.
    #[inline(always)]
    pub(crate) fn look(&self) -> u128 {
        let word = self.cell.word.load();
        if flags_of(word) & UNSEEDED == 0 { word } else { self.seeded() }
    }

    #[cold]
    pub(super) fn seeded(&self) -> u128 {
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
        let take = if self.is_sliding() {
            let (take, owed) = self.sliding().take(seen, now, asked, cap);
            self.owe(owed, now);
            take
        } else {
            self.fixed().take(seen, now, asked, cap, |closed| self.tell_total(closed))
        };
        if let Take::Taken(_) = take {
            self.note();
        }
        take
    }

    /// What counts at `now`, by windows, oldest first.
    pub(crate) fn leaving(&self, now: Millis) -> Vec<Leaving> {
        let current = self.newest();
        current.look();
        if current.is_sliding() { current.sliding().leaving(now) } else { vec![current.fixed().leaving(now)] }
    }

    /// When `asked` fits if nothing else comes; None where it never does.
    pub(crate) fn fits_at(&self, now: Millis, asked: i64, limit: i64) -> Option<Millis> {
        let current = self.newest();
        current.look();
        if current.is_sliding() {
            current.sliding().fits_at(now, asked, limit)
        } else {
            current.fixed().fits_at(now, asked, limit)
        }
    }

    /// The same, where what the `endings` say is given back.
    pub(crate) fn fits_with(
        &self,
        now: Millis,
        asked: i64,
        limit: i64,
        endings: &[Ending],
    ) -> Option<Millis> {
        let leaving = self.leaving(now);
        if admits(leaving.iter().map(|window| window.total).sum(), asked, limit) {
            return Some(now);
        }
        fits_at(leaving, endings, asked, limit)
    }

    /// What it shows to whom it refuses; None where `asked` fits.
    #[inline(always)]
    pub(crate) fn refusal(&self, kind: Kind, now: Millis, asked: i64, limit: i64) -> Option<Refusal> {
        self.tidy(now);
        let word = self.look();
        if admits(self.total(word, now), asked, limit) {
            return None;
        }
        // As what counts now shows it: an edit may have closed this one.
        let current = self.newest();
        current.look();
        let refusal = if current.is_sliding() {
            current.sliding().refusal(now, asked, limit)
        } else {
            current.fixed().refusal(now, asked, limit)
        };
        Some(match kind {
            Kind::Requests => Refusal { used: refusal.used + refusal.held, held: 0, ..refusal },
            _ => refusal,
        })
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
    /// is beside it, since it may be given back: of requests nothing is. No edit comes in between.
    pub(crate) fn raise(&self, kind: Kind, pieces: &[(Millis, i64)], now: Millis) {
        self.look();
        if self.is_sliding() {
            let owed = self.sliding().raise(kind != Kind::Requests, pieces, now);
            self.owe(owed, now);
            return self.note();
        }
        for &(start, taken) in pieces {
            // The other counter may have been ahead of this clock.
            let now = now.max(start);
            let reading = self.read_as(kind, now);
            if reading.start == start {
                self.charge(taken.saturating_sub(reading.used), now);
            }
        }
    }

    /// A request counts as used at once, so nothing is held on a request counter.
    pub(crate) fn read_as(&self, kind: Kind, now: Millis) -> Reading {
        let reading = self.read(now);
        match kind {
            Kind::Requests => Reading { used: reading.total(), held: 0, ..reading },
            _ => reading,
        }
    }

    /// What the limit is called now; None where it was deleted after an edit of its shape.
    pub(crate) fn name(&self) -> Option<Arc<LimitName>> {
        let newest = self.follow().ok()?;
        self.arena.name(newest.number)
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
        counter.note();
    }

    /// Lower what is used in the current window, never below zero.
    pub(crate) fn lower_used(&self, amount: i64, now: Millis) {
        let counter = self.newest();
        counter.look();
        if !counter.is_sliding() {
            counter.fixed().lower_used(amount, now);
        }
        counter.note();
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
        counter.note();
    }

    /// It has changed: to be said after every change.
    #[inline(always)]
    pub(crate) fn note(&self) {
        self.mark.note();
    }

    /// Tell the history what a window came to, from the last word that it had: once it is noted that there is another.
    #[cold]
    pub(super) fn tell_total(&self, word: u128) {
        self.note();
        if amount_of(word) > 0 {
            self.tell(epoch_of(word), Told::Total(amount_of(word)));
        }
    }

    /// Tell the history what is to be added to a window that has passed.
    pub(super) fn tell_correction(&self, epoch: Epoch, amount: i64) {
        if amount != 0 && !self.is_sliding() {
            self.tell(epoch, Told::Correction(amount));
        }
    }

    pub(super) fn tell(&self, epoch: Epoch, told: Told) {
        if !self.arena.history.is_kept() {
            return;
        }
        let Some(name) = self.arena.name(self.number) else { return };
        let lattice = self.cell.shape.lattice();
        let (start, end) = (lattice.start(epoch), lattice.end(epoch));
        let (number, kind, limit) = (name.number, name.kind, name.limit);
        self.arena.history.tell(Period { number, kind, start, end, limit, told });
    }
}
