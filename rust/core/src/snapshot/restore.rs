//! From what a store has to an engine that goes on where it stopped.

use super::counters::{self, key};
use super::permits::{self, Read, Taken};
use crate::answer::{Fallbacks, ProviderText};
use crate::arena::{Slot, Standing};
use crate::engine::Engine;
use crate::error::Fault;
use crate::period::Epoch;
use crate::permit::{Entry, Kept, State};
use crate::policy::edit::Editor;
use crate::policy::prices::Over;
use crate::policy::{Kind, Limit, Map, Window};
use crate::sync::lock;
use crate::units::Millis;
use crate::window::BEFORE_ALL;

/// What was put back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoredUsage {
    /// Counters that go on.
    pub counters: u64,
    /// Permits that go on, closed ones that are remembered among them.
    pub permits: u64,
    /// Keys of counters whose limits are gone: their rows may go.
    pub unknown: Vec<i64>,
}

/// A counter's row and the counter that it is for.
struct Place {
    slot: Slot,
    /// When the edit came, if there was one.
    at: Millis,
    standing: Standing,
    /// The limit has another shape by now, in which what counted then counts in this window; or nothing of it does.
    moved: Option<Option<Epoch>>,
    /// What open permits hold, by window.
    held: Map<Epoch, i64>,
}

impl Place {
    /// The window that goes on with a window of the row.
    fn now(&self, epoch: Epoch) -> Option<Epoch> {
        match self.moved {
            None => Some(epoch),
            Some(to) => to.filter(|_| self.standing.counts(epoch, self.at)),
        }
    }
}

fn damaged(param: &'static str, key: i64) -> Fault {
    Fault::invalid(param, format!("row {key} is not what this program writes: the store is damaged"))
}

impl Engine {
    /// Put back what a store has of counters and permits: the rows of [`super::Collected`], newest of each key. To be called
    /// once, when the configuration is there and nobody has asked for anything yet.
    ///
    /// Windows that have passed are put back as they were: they roll, and are told to the history, as they would have. What
    /// is held is what the open permits hold. A permit that is overdue expires by its rule at the next sweep.
    ///
    /// # Errors
    /// `invalid_request` for a row that is none, or where there are permits already. Then nothing has changed.
    pub fn restore_usage(
        &self,
        counters: &[(i64, &[u8])],
        permits: &[(u32, &[u8])],
        now: Millis,
    ) -> Result<RestoredUsage, Fault> {
        let mut flush = lock(&self.flush);
        let mut editor = lock(&self.editor);
        if self.permits.length() > 0 {
            return Err(Fault::invalid("permits", "usage is put back before anybody asks for anything"));
        }
        let mut policy = self.policy.load();
        let mut limits: Map<i64, Limit> = Map::default();
        Editor::each_limit(&policy, |_, limit| {
            limits.insert(key(limit.name.number, limit.kind), limit.clone());
        });
        let mut answer = RestoredUsage::default();
        let mut places: Map<i64, Place> = Map::default();
        for (key, row) in counters {
            let read = counters::read(row).ok_or_else(|| damaged("counters", *key))?;
            match limits.get(key) {
                None => answer.unknown.push(*key),
                Some(limit) => _ = places.insert(*key, self.place(limit, read)),
            }
        }
        let mut names: Vec<Box<str>> = Vec::new();
        let mut known: Map<Box<str>, u32> = Map::default();
        let mut read = Vec::with_capacity(permits.len());
        for (index, row) in permits {
            let place = |name: &str| {
                *known.entry(name.into()).or_insert_with(|| {
                    names.push(name.into());
                    names.len() as u32 - 1
                })
            };
            let found = permits::read(*index, row, place)
                .filter(|found| *index < MOST && self.permits.gave_before(found.kept.generation));
            read.push((*index, found.ok_or_else(|| damaged("permits", (*index).into()))?));
        }
        // Nothing can fail from here on.
        let prices = Former::of(&mut read);
        if (!names.is_empty() || !prices.list.is_empty())
            && let Ok(mut draft) = editor.draft(&self.arena, &policy, &[], now)
        {
            let numbers: Vec<u32> = names.iter().map(|name| draft.provider_number(name)).collect();
            // As long as the last of these permits is remembered, and some more.
            let until = prices.until.saturating_add(policy.settings.permit_ttl_ms.saturating_mul(2));
            let overs = draft.former_prices(prices.list, Millis::new(until));
            let (next, successors) = draft.finish(None);
            self.publish(&mut editor, next, successors);
            policy = self.policy.load();
            read.iter_mut().for_each(|(_, found)| number_providers(found, &numbers));
            for ((_, found), place) in read.iter_mut().zip(prices.places) {
                found.kept.tariff.over = place.map_or(0, |place| overs[place] + 1);
            }
        }
        let ttl = policy.settings.permit_ttl_ms;
        for (index, found) in read {
            let forgotten =
                found.kept.state != State::Open && found.kept.ends.saturating_add(ttl) <= now.get();
            if forgotten {
                flush.gone.push(index);
                continue;
            }
            flush.written.insert(index, found.kept.generation);
            let entries = entries(&found.kept, &found.taken, &mut places, &limits);
            self.permits.put_back(index, &found.kept, &entries);
            if let Some((id, known)) = found.id {
                flush.ids.insert(index, (found.kept.generation, id));
                self.ids.put_back(id, known);
            }
            answer.permits += 1;
        }
        // Counters that have moved are written anew by the next flush: with them the windows that permits name.
        flush.reshaped |= places.values().any(|place| place.moved.is_some());
        answer.counters = places.len() as u64;
        for place in places.into_values() {
            self.put_back_counter(place);
        }
        Ok(answer)
    }

    /// Where the counts of a row belong. The row is older than an edit that gave the limit another shape where no flush
    /// came after that: then what counted at the edit counts in the window that contains it, as the edit would have
    /// carried it; under alignment that was switched on, nowhere.
    fn place(&self, limit: &Limit, read: counters::Read) -> Place {
        let (shape, standing) = (self.arena.get(limit.slot).shape(), read.standing);
        // Time does not run backwards for a counter.
        let at = limit.name.since.max(standing.shape.start(standing.newest));
        let afresh = limit.name.window == Window::Calendar && read.window != Window::Calendar;
        let moved =
            if afresh { Some(None) } else { (shape != standing.shape).then(|| Some(shape.epoch_at(at))) };
        Place { slot: limit.slot, at, standing, moved, held: Map::default() }
    }

    fn put_back_counter(&self, place: Place) {
        let held = |epoch: Epoch| place.held.get(&epoch).copied().unwrap_or(0);
        let piece = |epoch: Epoch, used: i64| (epoch, used.saturating_add(held(epoch)), used);
        // One that is full stays full until its window ends, whatever is given back.
        let stood = |(epoch, total, used): &(Epoch, i64, i64)| match piece(*epoch, *used) {
            (epoch, _, used) if *total >= place.standing.shape.most() => (epoch, *total, used),
            piece => piece,
        };
        match place.moved {
            None => {
                let standing = &place.standing;
                let mut pieces: Vec<_> = standing.pieces.iter().map(stood).collect();
                // A permit that is kept as open may have been settled to nothing before its counter was read.
                let missing = place.held.keys().filter(|epoch| {
                    standing.has_not_left(**epoch) && pieces.iter().all(|(there, ..)| there != *epoch)
                });
                let missing: Vec<_> = missing.map(|epoch| piece(*epoch, 0)).collect();
                pieces.extend(missing);
                self.arena.put_back(place.slot, standing.newest, &pieces, false);
            }
            Some(Some(epoch)) => {
                let pieces = [piece(epoch, place.standing.used_at(place.at))];
                self.arena.put_back(place.slot, epoch, &pieces, true);
            }
            Some(None) => self.arena.get(place.slot).note(),
        }
    }
}

/// The prices that permits are settled by, each once, and the place of each permit's.
struct Former {
    list: Vec<Over>,
    places: Vec<Option<usize>>,
    /// When the last of the permits ends.
    until: i64,
}

impl Former {
    fn of(read: &mut [(u32, Read)]) -> Former {
        let mut former = Former { list: Vec::new(), places: Vec::with_capacity(read.len()), until: 0 };
        let mut known: Map<Over, usize> = Map::default();
        for (_, found) in read {
            former.until = former.until.max(found.kept.ends);
            let place = found.over.take().map(|over| {
                *known.entry(over.clone()).or_insert_with(|| {
                    former.list.push(over);
                    former.list.len() - 1
                })
            });
            former.places.push(place);
        }
        former
    }
}

/// What a permit was taken from; what it holds there is noted beside.
fn entries(
    kept: &Kept,
    taken: &[Taken],
    places: &mut Map<i64, Place>,
    limits: &Map<i64, Limit>,
) -> Vec<(Entry, i64)> {
    let mut entries = Vec::with_capacity(taken.len());
    for one in taken {
        let slot = limits.get(&one.key).map_or(Slot::NOWHERE, |limit| limit.slot);
        let kind = Kind::of(one.key);
        let mut epoch = None;
        if let Some(place) = places.get_mut(&one.key) {
            epoch = one.epoch.and_then(|epoch| place.now(epoch));
            // A request is used, and not held.
            if let (Some(epoch), true) = (epoch, kept.state == State::Open && kind != Kind::Requests) {
                let held = place.held.entry(epoch).or_default();
                let hold = if kind == Kind::Tokens { kept.tokens } else { kept.nano };
                *held = held.saturating_add(hold.saturating_sub(one.charged));
            }
        }
        entries.push((Entry { slot, kind, epoch: epoch.unwrap_or(BEFORE_ALL) }, one.charged));
    }
    entries
}

fn number_providers(found: &mut Read, numbers: &[u32]) {
    let Some((_, known)) = &mut found.id else { return };
    let number = |place: &mut u32| *place = numbers[*place as usize];
    if let ProviderText::Known(place) = &mut known.grant.provider {
        number(place);
    }
    if let Fallbacks::Others(others) = &mut known.grant.fallbacks {
        others.iter_mut().for_each(number);
    }
}

/// No engine has so many permits.
const MOST: u32 = 1 << 28;
