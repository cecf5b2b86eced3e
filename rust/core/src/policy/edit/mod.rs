//! Edits: from one policy to the next.
//!
//! A batch of edits is checked whole, then made on a copy that shares everything but what changes, then published
//! in one exchange. Counters are no part of a policy: a limit that keeps its shape keeps its counter, also with
//! another number; one that changes its shape gets a successor that takes the count over (see [`crate::arena`]).

mod check;
mod entities;
mod index;
mod keys;
mod limits;
mod prices;
mod providers;
mod rows;
mod rules;

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Key, Kind, Map, Models, Policy, ProviderKey, Set};
use crate::arena::{Arena, Slot};
use crate::error::Fault;
use crate::policy::prices::InForce;
use crate::routing::rules::RuleSet;
use crate::units::Millis;
use index::Index;
use prices::Former;
pub use rows::{CredentialRow, Edit, Entity, KeyRow, LimitRow, NEVER, ProviderConfigRow};

/// Whose a limit is, for finding it by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    Key(u32),
    Team(u32),
    Customer(u32),
    Provider(u32),
    Model(u32),
}

#[derive(Clone, Debug)]
struct ModelConfigKey {
    model: Box<str>,
    provider: Option<u32>,
}

/// What only edits need: numbers of ids, names in use, counters on their way out.
#[derive(Debug, Default)]
pub(crate) struct Editor {
    keys: Index<u32>,
    teams: Map<Arc<str>, u32>,
    customers: Map<Arc<str>, u32>,
    model_configs: Map<Arc<str>, u32>,
    models: Map<u32, ModelConfigKey>,
    provider_keys: Map<Arc<str>, u32>,
    /// Those of the newest policy.
    rules: Option<Arc<RuleSet>>,
    free_keys: Vec<u32>,
    next_key: u32,
    next_team: u32,
    next_customer: u32,
    next_model: u32,
    /// Rows that name each provider, and whether it has a row of its own.
    naming: Vec<(u32, bool)>,
    /// An entry for each limit: two of one id have two.
    holders: Index<Holder>,
    /// Sealed counters. From this instant on nobody is expected to follow them any more.
    superseded: VecDeque<(Millis, Slot)>,
    longest_ttl_ms: i64,
    /// Limits that are gone, by number and kind: taken by whoever has asked for the edits.
    pub(crate) gone: Vec<(i64, Kind)>,
    overrides: Map<Box<str>, Arc<InForce>>,
    next_override: u32,
    next_catalogue: u32,
    /// Prices that left force. From this instant on no permit settles by them any more.
    former: VecDeque<(Millis, Former)>,
}

/// The next policy in the making.
pub(crate) struct Draft<'a> {
    editor: &'a mut Editor,
    arena: &'a Arena,
    policy: Policy,
    now: Millis,
    retired: Vec<Slot>,
    succeeded: Vec<(Slot, Slot)>,
    former: Vec<Former>,
    /// The overrides that edits are about, as they were before.
    overrides: Map<Box<str>, Option<Arc<InForce>>>,
    /// Whether any edit is about prices.
    reprice: bool,
}

impl Editor {
    /// Note a policy that permits may be opened on from now on.
    pub(crate) fn published(&mut self, policy: &Policy) {
        self.longest_ttl_ms = self.longest_ttl_ms.max(policy.settings.permit_ttl_ms);
    }

    /// Sealed counters that can be let go if really nobody follows them.
    pub(crate) fn due(&self, now: Millis) -> Set<Slot> {
        self.superseded.iter().take_while(|(until, _)| *until <= now).map(|(_, slot)| *slot).collect()
    }

    /// A key of the newest policy.
    pub(crate) fn key<'a>(&self, policy: &'a Policy, id: &str) -> Option<&'a Arc<Key>> {
        self.keys.find(id, |number| policy.keys.get(number).filter(|key| *key.id == *id))
    }

    /// Make the next policy. Nothing is visible to anyone before it is published.
    pub(crate) fn draft<'a>(
        &'a mut self,
        arena: &'a Arena,
        policy: &Policy,
        edits: &[Edit],
        now: Millis,
    ) -> Result<Draft<'a>, Fault> {
        self.check(policy, edits)?;
        let mut policy = policy.clone();
        policy.version += 1;
        let mut draft = Draft {
            editor: self,
            arena,
            policy,
            now,
            retired: Vec::new(),
            succeeded: Vec::new(),
            former: Vec::new(),
            overrides: Map::default(),
            reprice: false,
        };
        for edit in edits {
            draft.make(edit);
        }
        draft.rules(edits);
        Ok(draft)
    }
}

impl Draft<'_> {
    /// Hand the policy over with what has to follow its publication.
    /// Of the sealed counters that are due the `unfollowed` are let go and the others kept as long again; None where
    /// that is not known.
    pub(crate) fn finish(mut self, unfollowed: Option<&Set<Slot>>) -> (Arc<Policy>, Vec<Slot>) {
        let kept_for = self.editor.longest_ttl_ms.max(self.policy.settings.permit_ttl_ms).saturating_mul(2);
        let until = Millis::new(self.now.get().saturating_add(kept_for));
        self.reprice(until);
        let Draft { editor, arena, policy, now, mut retired, succeeded, .. } = self;
        if let Some(unfollowed) = unfollowed {
            for _ in 0..editor.due(now).len() {
                let Some((_, slot)) = editor.superseded.pop_front() else { break };
                if unfollowed.contains(&slot) {
                    retired.push(slot);
                } else {
                    editor.superseded.push_back((until, slot));
                }
            }
        }
        for slot in retired {
            arena.retire(slot);
        }
        let mut successors = Vec::with_capacity(succeeded.len());
        for (old, new) in succeeded {
            editor.superseded.push_back((until, old));
            successors.push(new);
        }
        (Arc::new(policy), successors)
    }

    fn make(&mut self, edit: &Edit) {
        match edit {
            Edit::Settings(settings) => self.policy.settings = settings.clone(),
            Edit::Customer { id, name, limits } => self.customer(id, name, limits),
            Edit::Team { id, name, customer, limits } => self.team(id, name, customer.as_deref(), limits),
            Edit::VirtualKey(row) => self.key(row),
            Edit::Provider { name, limits } => self.provider_row(name, limits),
            Edit::ProviderKey { provider, id, weight, enabled, models, batch } => {
                let key = ProviderKey {
                    id: Arc::from(&**id),
                    weight: *weight,
                    enabled: *enabled,
                    models: Models::new(models.clone()),
                    batch: *batch,
                };
                self.provider_key(provider, key);
            }
            Edit::ModelConfig { id, model, provider, limits } => {
                self.model_config(id, model, provider.as_deref(), limits);
            }
            Edit::Rule(_) => {}
            Edit::Catalogue(catalogue) => self.catalogue(catalogue),
            Edit::PricingOverride(row) => self.price_override(row),
            Edit::Delete { entity, id } => self.delete(*entity, id),
        }
    }
}
