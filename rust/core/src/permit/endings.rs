//! What open permits will give back when their time has passed.

use super::steps::held_on;
use crate::arena::Slot;
use crate::engine::Engine;
use crate::policy::Kind;
use crate::units::Millis;
use crate::window::wait::Ending;

impl Engine {
    /// What permits that end before `until` hold on each of these counters. From the instant told beside it there may be
    /// more: no more than [`super::slab::LOOKED_AT`] blocks of records are looked at, those that end first.
    pub(crate) fn endings(&self, counters: &[Slot], until: Millis) -> (Vec<Vec<Ending>>, Millis) {
        let mut endings = vec![Vec::new(); counters.len()];
        let known_until = self.permits.ending(until, |held| {
            let at = Millis::new(held.record.ends.get());
            held.each(|entry, charged| {
                // A request is used, and nothing gives it back.
                if entry.kind == Kind::Requests {
                    return;
                }
                let counter = self.arena.find(entry.slot);
                let Some((slot, epoch)) = counter.and_then(|counter| counter.whereabouts(entry.epoch)) else {
                    return;
                };
                if let Some(of) = counters.iter().position(|counter| *counter == slot) {
                    let amount = held_on(held.record, entry.kind) - charged.get();
                    endings[of].push(Ending { epoch, amount, at });
                }
            });
        });
        (endings, known_until)
    }
}
