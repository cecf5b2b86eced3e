//! What changed since the last flush.
//!
//! Permits are read **first** and counters after. So a settle in between is in its counter while its permit is kept as
//! open: after a crash right then, what it charged counts and its hold counts too, until the permit is settled again or
//! expires. The other order would keep the permit as settled and its charge nowhere. What is held is not kept at all: it
//! is what the open permits that are kept hold. So no hold can be left behind by a permit that nobody knows.
//!
//! A permit is written from the second flush on that finds it, so that short calls cost no disk at all: one with an
//! idempotency id at once, since a caller who asks again after a crash must not be charged twice.

use std::sync::Arc;

use super::counters::{self, CounterRow, key};
use super::permits::{self, Taken};
use crate::arena::Slot;
use crate::engine::Engine;
use crate::history::Period;
use crate::ids::Known;
use crate::permit::{Handle, Held, Kept, Look};
use crate::policy::{Kind, Map, Policy, Set};
use crate::sync::lock;
use crate::units::Millis;

/// What a store has and what the next flush must look at; its lock is held by a flush, and by an edit, so that no counter
/// changes its shape while they are read.
#[derive(Debug, Default)]
pub(crate) struct Flush {
    /// Index and generation of every permit that has a row.
    pub(super) written: Map<u32, u64>,
    /// Open permits that the last flush found for the first time.
    young: Set<(u32, u64)>,
    /// Index of every permit with an idempotency id, its generation and the id.
    pub(super) ids: Map<u32, (u64, u128)>,
    /// Rows that a restart found, of permits that nobody remembers.
    pub(super) gone: Vec<u32>,
    /// Counters whose limits are gone.
    gone_counters: Vec<i64>,
    /// An edit has given a counter another shape: rows name windows of the old one.
    pub(super) reshaped: bool,
}

impl Flush {
    /// An edit has ended limits, and given some another shape. `kept`: somebody will ask.
    pub(crate) fn edited(&mut self, gone: Vec<(i64, Kind)>, reshaped: &[Slot], kept: bool) {
        self.reshaped |= !reshaped.is_empty();
        if kept {
            self.gone_counters.extend(gone.into_iter().map(|(number, kind)| key(number, kind)));
        }
    }
}

/// What a flush found. Nothing of it is told again, so a store that could not write it keeps it and lays the next one over
/// it: a row replaces a row of the same key and takes its key out of what was gone, what is gone takes out a row, and
/// periods are added. In one flush, what is gone comes before the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Permits that are new or have changed, each under its index.
    pub permits: Vec<(u32, Vec<u8>)>,
    /// Indices of permits that shall have no row any more.
    pub gone: Vec<u32>,
    /// Keys of counters that shall have no row any more: a limit that is there again later begins anew.
    pub gone_counters: Vec<i64>,
    /// Periods that have ended, and corrections of such: see [`crate::history`].
    pub periods: Vec<Period>,
    /// Counters that have changed.
    pub counters: Vec<CounterRow>,
}

/// A permit as it is read: its row is made where it shall have one.
struct Found<'a> {
    handle: Handle,
    kept: Kept,
    taken: Vec<Taken>,
    policy: &'a Policy,
}

impl Engine {
    /// Whether periods that end are told, and idempotency ids are kept, for the next flush.
    pub fn keep_history(&self, on: bool) {
        self.arena.history.keep(on);
        self.ids.keep(on);
    }

    /// What has changed since this was last asked. No decision waits for it; an edit does.
    #[must_use]
    pub fn collect(&self, now: Millis) -> Collected {
        let mut flush = lock(&self.flush);
        let policy = self.policy.load();
        let mut collected = Collected {
            gone: core::mem::take(&mut flush.gone),
            gone_counters: core::mem::take(&mut flush.gone_counters),
            periods: self.arena.history.take(false),
            ..Collected::default()
        };
        let aged = core::mem::take(&mut flush.young);
        let mut looks: Vec<u32> = aged.iter().map(|(index, _)| *index).collect();
        for (handle, id) in self.ids.fresh() {
            // In no order: of two permits that had the record one after the other, the later one has it.
            let last = flush.ids.entry(handle.index).or_insert((handle.generation, id));
            *last = (handle.generation, id).max(*last);
            looks.push(handle.index);
        }
        if core::mem::take(&mut flush.reshaped) {
            looks.extend(flush.written.keys());
        }
        looks.extend(self.permits.changed());
        looks.sort_unstable();
        looks.dedup();
        for index in looks {
            self.look_at(index, &aged, &policy, &mut flush, &mut collected);
        }
        collected.periods.extend(self.arena.history.take(true));
        self.arena.each_changed(|counter| collected.counters.extend(counters::write(&counter, now)));
        self.take_late_totals(&mut collected);
        collected
    }

    /// Windows that ended while counters were read. A total goes with the row that says the next window: without the row a
    /// counter that is put back would come to the end of its window again, and tell it twice; without the total nobody
    /// would. Who rolls a window notes that before he tells, so the row that is missing comes with the next flush.
    fn take_late_totals(&self, collected: &mut Collected) {
        let late = self.arena.history.take(true);
        if late.is_empty() {
            return;
        }
        let standing: Map<i64, Millis> = collected.counters.iter().map(|row| (row.key, row.start)).collect();
        for period in late {
            match standing.get(&key(period.number, period.kind)) {
                Some(start) if *start > period.start => collected.periods.push(period),
                _ => self.arena.history.tell(period),
            }
        }
    }

    fn look_at(
        &self,
        index: u32,
        aged: &Set<(u32, u64)>,
        policy: &Policy,
        flush: &mut Flush,
        collected: &mut Collected,
    ) {
        let forget = |flush: &mut Flush, collected: &mut Collected| {
            if flush.written.remove(&index).is_some() {
                collected.gone.push(index);
            }
        };
        let found = match self.permits.look(index) {
            Look::Empty => {
                flush.ids.remove(&index);
                return forget(flush, collected);
            }
            Look::Busy(generation) => {
                // The row that there is says open, if any does.
                if flush.written.get(&index) != Some(&generation) {
                    forget(flush, collected);
                }
                flush.young.extend(aged.get(&(index, generation)));
                return self.permits.look_again(index);
            }
            Look::Held(held) => {
                let mut kept = Kept::of(held.record, held.handle, held.was);
                kept.seen = [held.body.seen_tokens.get(), held.body.seen_nano.get()];
                kept.tariff = held.body.tariff();
                Found { handle: held.handle, kept, taken: self.taken(&held), policy }
            }
            Look::Closed(record, handle, state) => {
                let kept = Kept::of(record, handle, state);
                if !self.permits.still(handle, state) {
                    return self.permits.look_again(index);
                }
                Found { handle, kept, taken: Vec::new(), policy }
            }
        };
        let generation = found.handle.generation;
        let id = flush.ids.get(&index).copied().filter(|(of, _)| *of == generation);
        if id.is_some()
            || aged.contains(&(index, generation))
            || flush.written.get(&index) == Some(&generation)
        {
            let known = id.and_then(|(_, id)| Some((id, self.ids.known(id, found.handle)?)));
            collected.permits.push((index, found.row(known)));
            flush.written.insert(index, generation);
            return;
        }
        flush.ids.remove(&index);
        forget(flush, collected);
        if found.kept.is_correctable() {
            flush.young.insert((index, generation));
        }
    }

    /// The counters of a permit, by their limits. Those that are gone are among them: whether more was used than held is
    /// told by them too.
    fn taken(&self, held: &Held<'_>) -> Vec<Taken> {
        let mut taken = Vec::new();
        held.each(|entry, charged| {
            let heir = self.arena.find(entry.slot).and_then(|counter| counter.heir(entry.epoch));
            let named = heir.and_then(|(counter, epoch)| Some((counter.name()?.number, epoch)));
            let (number, epoch) = named.unwrap_or((NOBODY, None));
            taken.push(Taken { key: key(number, entry.kind), epoch, charged: charged.get() });
        });
        taken
    }
}

/// The number of no limit.
const NOBODY: i64 = -1;

impl Found<'_> {
    fn row(&self, known: Option<(u128, Known)>) -> Vec<u8> {
        let name = |number: u32| Arc::clone(&self.policy.providers.list[number as usize].name);
        // No edit comes between: it would wait for the flush.
        let rates = self.policy.prices.rates(self.kept.tariff);
        permits::write(&self.kept, rates, &self.taken, known, name)
    }
}
