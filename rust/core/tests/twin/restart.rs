//! Flushes and crashes: what a store has, and what of the model it has in it.

use std::collections::{BTreeMap, BTreeSet};

use limen_core::engine::Engine;
use limen_core::policy::credentials::Seeds;
use limen_core::policy::edit::{Edit, Entity};
use limen_core::units::Millis;

use super::Twin;
use crate::model::Model;

/// What was written down, and the model as it was then.
#[derive(Default)]
pub struct Store {
    counters: BTreeMap<i64, Vec<u8>>,
    permits: BTreeMap<u32, Vec<u8>>,
    model: Option<Model>,
    boot: u32,
    /// Of the model's permits: with an idempotency id, written, and found open by the last flush.
    with_id: BTreeSet<usize>,
    written: BTreeSet<usize>,
    young: BTreeSet<usize>,
}

impl Store {
    pub fn open(&mut self, place: usize, with_id: bool) {
        if with_id {
            self.with_id.insert(place);
        }
    }
}

/// Keep every entity as it was sent last, in the order in which each names those before it.
pub fn keep(rows: &mut BTreeMap<(u8, String), Edit>, edits: &[Edit]) {
    for edit in edits {
        let (rank, id) = match edit {
            Edit::Customer { id, .. } => (0, id),
            Edit::Team { id, .. } => (1, id),
            Edit::Provider { name, .. } => (2, name),
            Edit::VirtualKey(row) => (3, &row.id),
            Edit::ModelConfig { id, .. } => (4, id),
            Edit::Rule(row) => (5, &row.id),
            Edit::Delete { entity, id } => {
                let rank = match entity {
                    Entity::VirtualKey => 3,
                    Entity::Rule => 5,
                    _ => 4,
                };
                rows.remove(&(rank, id.to_string()));
                continue;
            }
            _ => panic!("{edit:?} is not kept"),
        };
        rows.insert((rank, id.to_string()), edit.clone());
    }
}

impl Twin {
    pub(super) fn flush(&mut self) {
        let collected = self.engine.collect(Millis::new(self.now));
        let store = &mut self.store;
        for index in collected.gone {
            assert!(store.permits.remove(&index).is_some(), "only what has a row is gone");
        }
        for key in collected.gone_counters {
            store.counters.remove(&key);
        }
        store.permits.extend(collected.permits);
        store.counters.extend(collected.counters.into_iter().map(|row| (row.key, row.row)));
        let mut young = BTreeSet::new();
        for place in 0..self.model.permits.len() {
            if store.with_id.contains(&place) || store.young.contains(&place) {
                store.written.insert(place);
            } else if !store.written.contains(&place) && self.model.is_correctable(place) {
                young.insert(place);
            }
        }
        store.young = young;
        store.model = Some(self.model.clone());
    }

    /// What was written down goes on; of the rest, what was used of a kind that was collected, and no hold.
    pub(super) fn crash(&mut self) {
        let Some(model) = self.store.model.clone() else { return };
        let settings = self.model.settings.clone();
        self.store.boot += 1;
        self.engine = Engine::booted(settings, Seeds::new(3, 4), self.store.boot);
        self.engine.keep_history(true);
        let rows: Vec<Edit> = self.rows.values().cloned().collect();
        let now = Millis::new(self.now);
        self.engine.apply(&rows, now).expect("a good configuration");
        let counters: Vec<(i64, &[u8])> =
            self.store.counters.iter().map(|(key, row)| (*key, &row[..])).collect();
        let permits: Vec<(u32, &[u8])> =
            self.store.permits.iter().map(|(index, row)| (*index, &row[..])).collect();
        let back = self.engine.restore_usage(&counters, &permits, now).expect("good rows");
        for key in back.unknown {
            self.store.counters.remove(&key);
        }
        self.model = model;
        self.handles.truncate(self.model.permits.len());
        for place in 0..self.model.permits.len() {
            if !self.store.written.contains(&place) {
                self.model.lose(place);
            }
        }
        let opened = self.model.permits.len();
        self.store.with_id.retain(|place| *place < opened);
        self.store.young.clear();
        for counter in &mut self.model.counters {
            let number = self.numbers.get(&counter.limit_id).copied().unwrap_or(0);
            if !self.store.counters.contains_key(&(number * 4 + counter.kind as i64)) {
                counter.begin_again(self.now);
            }
        }
        self.unswept = true;
    }
}
