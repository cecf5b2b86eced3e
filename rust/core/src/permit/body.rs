//! What a permit needs while it can still be corrected: the counters that it was taken from.

use super::record::Plain;
use super::ring::Stripe;
use crate::arena::Slot;
use crate::period::Epoch;
use crate::policy::Kind;
use crate::policy::prices::Tariff;
use crate::sync::{AtomicU32, AtomicU64, Ordering, sized};
use crate::window::BEFORE_ALL;

/// Counters in one body; a longer list goes on in another.
const ENTRIES: usize = sized(24, 2) as usize;

/// One counter that a permit was taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) slot: Slot,
    pub(crate) kind: Kind,
    /// The window of the hold.
    pub(crate) epoch: Epoch,
}

#[derive(Debug, Default)]
pub(super) struct StoredEntry {
    pub(super) slot: AtomicU64,
    pub(super) epoch: Plain,
}

/// What a permit needs while it can still be corrected.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Body {
    /// While free: the next one on the stack. In use: where the list of counters goes on. As number + 1.
    pub(super) next: AtomicU32,
    /// Free bodies from here down to the bottom of the stack.
    pub(super) depth: AtomicU32,
    pub(super) count: AtomicU32,
    /// 1 where any of `charged` is not zero.
    pub(super) grown: AtomicU32,
    /// The largest totals that an update told.
    pub(crate) seen_tokens: Plain,
    pub(crate) seen_nano: Plain,
    tariff: [Plain; 2],
    pub(super) entries: [StoredEntry; ENTRIES],
    /// Growth that came after the window had rolled: used there, and no longer part of the hold.
    pub(super) charged: [Plain; ENTRIES],
}

impl Body {
    /// By what prices it will be settled.
    #[inline(always)]
    pub(crate) fn settle_by(&self, tariff: Tariff) {
        let words = tariff.words();
        self.tariff[0].set(words[0]);
        self.tariff[1].set(words[1]);
    }

    /// By what prices it is settled.
    #[inline(always)]
    pub(crate) fn tariff(&self) -> Tariff {
        Tariff::of([self.tariff[0].get(), self.tariff[1].get()])
    }
}

/// The list of a new permit's counters, in the making.
pub(crate) struct Entries<'a> {
    pub(super) stripe: &'a Stripe,
    pub(super) body: &'a Body,
    pub(super) at: usize,
}

impl Entries<'_> {
    /// Remember a counter that was taken from.
    #[inline(always)]
    pub(crate) fn push(&mut self, entry: Entry) {
        if self.at == ENTRIES {
            self.go_on();
        }
        let stored = &self.body.entries[self.at];
        let slot = u64::from(entry.slot.number) << 32 | u64::from(entry.slot.generation);
        stored.slot.store(slot, Ordering::Relaxed);
        stored.epoch.set(entry.epoch.get() << 2 | entry.kind as i64);
        self.at += 1;
        self.body.count.store(self.at as u32, Ordering::Relaxed);
    }

    /// What was charged outside the hold of the counter that was remembered last.
    pub(super) fn charge_last(&mut self, amount: i64) {
        if amount != 0 {
            let (at, body) = (self.at - 1, self.body);
            Charged { amount: &body.charged[at], body, epoch: &body.entries[at].epoch }.add(amount);
        }
    }

    #[cold]
    pub(super) fn go_on(&mut self) {
        let more = self.stripe.take_body();
        self.stripe.continuing.fetch_add(1, Ordering::Relaxed);
        self.body.next.store(more + 1, Ordering::Relaxed);
        self.body = self.stripe.body(more);
        self.body.next.store(0, Ordering::Relaxed);
        self.body.count.store(0, Ordering::Relaxed);
        self.at = 0;
    }
}

/// What a permit put into one of its counters outside of its hold.
pub(crate) struct Charged<'a> {
    pub(super) amount: &'a Plain,
    pub(super) body: &'a Body,
    pub(super) epoch: &'a Plain,
}

impl Charged<'_> {
    #[inline(always)]
    pub(crate) fn get(&self) -> i64 {
        self.amount.get()
    }

    /// What the permit has put there is gone: from here on its window has passed.
    pub(crate) fn is_gone(&self, kind: Kind) {
        self.epoch.set(BEFORE_ALL.get() << 2 | kind as i64);
    }

    pub(crate) fn add(&self, amount: i64) {
        self.body.grown.store(1, Ordering::Relaxed);
        self.amount.set(self.amount.get().saturating_add(amount));
    }
}
