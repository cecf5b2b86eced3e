//! Edits: from one policy to the next.
//!
//! A batch of edits is checked whole, then made on a copy that shares everything but what changes, then published
//! in one exchange. Counters are no part of a policy: a limit that keeps its shape keeps its counter, also with
//! another number; one that changes its shape gets a successor that takes the count over (see [`crate::arena`]).

use std::collections::VecDeque;
use std::sync::Arc;

use super::credentials::Known;
use super::{
    Credential, Customer, Key, KeyChoice, Kind, Level, Limit, LimitName, Limits, Map, McpConfig, Models,
    Policy, Provider, ProviderConfig, ProviderKey, Set, Settings, Team, Window,
};
use crate::arena::{Arena, BUCKETS, Readers, Shape, Slot};
use crate::error::{Code, Fault};
use crate::period::{Duration, Lattice};
use crate::routing::sampler::Sampler;
use crate::units::Millis;
use crate::window::sliding::{Ring, SLOT_MAX};

/// The end of time, for what does not end.
pub const NEVER: Millis = Millis::new(i64::MAX);

/// One limit as it is wanted. Known by its id and kind within its owner.
#[derive(Clone, Debug)]
pub struct LimitRow {
    /// The budget's or the rate limit's id.
    pub id: Box<str>,
    /// What it counts.
    pub kind: Kind,
    /// The most that a window may count: tokens, requests, nano-dollars.
    pub limit: i64,
    /// The window's length.
    pub per: Duration,
    /// How the windows lie.
    pub window: Window,
}

/// A provider config as it is wanted.
#[derive(Clone, Debug)]
pub struct ProviderConfigRow {
    /// Its integer id; configs come in the order of these.
    pub id: i64,
    /// The provider's name.
    pub provider: Box<str>,
    /// None: out of the draw.
    pub weight: Option<f64>,
    /// Model names, or `*`.
    pub allowed_models: Vec<Box<str>>,
    /// None: any key of the provider.
    pub key_ids: Option<Vec<Box<str>>>,
    /// Its limits.
    pub limits: Vec<LimitRow>,
}

/// What proves that a request comes from a key.
#[derive(Clone, Debug)]
pub struct CredentialRow {
    /// SHA-256 of the value.
    pub sha256: [u8; 32],
    /// Fingerprint of the value under the engine's seeds, where the value is at hand.
    pub fingerprint: Option<u128>,
    /// Valid before this instant.
    pub until: Millis,
}

/// A virtual key as it is wanted.
#[derive(Clone, Debug)]
pub struct KeyRow {
    /// Its id.
    pub id: Box<str>,
    /// Whether it may be used.
    pub active: bool,
    /// Refused as inactive from this instant on.
    pub expires_at: Millis,
    /// Its team's id.
    pub team: Option<Box<str>>,
    /// Its own customer's id.
    pub customer: Option<Box<str>>,
    /// None: as before.
    pub credentials: Option<Vec<CredentialRow>>,
    /// Its limits.
    pub limits: Vec<LimitRow>,
    /// What it may do with which provider, in the order of the ids.
    pub provider_configs: Vec<ProviderConfigRow>,
    /// Client name and tools.
    pub mcp_configs: Vec<(Box<str>, Vec<Box<str>>)>,
}

/// One change of the configuration.
#[derive(Clone, Debug)]
pub enum Edit {
    /// All settings.
    Settings(Settings),
    /// A customer and its limits.
    Customer {
        /// Its id.
        id: Box<str>,
        /// Its limits.
        limits: Vec<LimitRow>,
    },
    /// A team and its limits.
    Team {
        /// Its id.
        id: Box<str>,
        /// Its customer's id.
        customer: Option<Box<str>>,
        /// Its limits.
        limits: Vec<LimitRow>,
    },
    /// A virtual key with all that it owns.
    VirtualKey(Box<KeyRow>),
    /// A provider's name and limits.
    Provider {
        /// Its name.
        name: Box<str>,
        /// Its limits.
        limits: Vec<LimitRow>,
    },
    /// A key of a provider.
    ProviderKey {
        /// The provider's name.
        provider: Box<str>,
        /// The key's id.
        id: Box<str>,
        /// None: out of the draw.
        weight: Option<f64>,
        /// Whether it may serve.
        enabled: bool,
        /// Model names, or `*`.
        models: Vec<Box<str>>,
        /// Whether it may serve batch calls.
        batch: bool,
    },
    /// Limits of a model, on one provider or on any.
    ModelConfig {
        /// Its id.
        id: Box<str>,
        /// The model's name.
        model: Box<str>,
        /// None: on any provider.
        provider: Option<Box<str>>,
        /// Its limits.
        limits: Vec<LimitRow>,
    },
    /// The end of an entity.
    Delete {
        /// What it is.
        entity: Entity,
        /// Its id; a provider's name.
        id: Box<str>,
    },
}

/// A kind of entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Entity {
    /// A customer.
    Customer,
    /// A team.
    Team,
    /// A virtual key.
    VirtualKey,
    /// A provider.
    Provider,
    /// A key of a provider.
    ProviderKey,
    /// A model config.
    ModelConfig,
}

/// Whose a limit is, for finding it by its id.
#[derive(Clone, Debug)]
enum Holder {
    Key(u32),
    Team(u32),
    Customer(u32),
    Provider(u32),
    Model(Arc<str>),
}

#[derive(Clone, Debug)]
struct ModelConfigKey {
    model: Box<str>,
    provider: Option<u32>,
}

/// What only edits need: numbers of ids, names in use, counters on their way out.
#[derive(Debug, Default)]
pub(crate) struct Editor {
    keys: Map<Arc<str>, u32>,
    teams: Map<Arc<str>, u32>,
    customers: Map<Arc<str>, u32>,
    model_configs: Map<Arc<str>, ModelConfigKey>,
    provider_keys: Map<Arc<str>, u32>,
    free_keys: Vec<u32>,
    next_key: u32,
    next_team: u32,
    next_customer: u32,
    next_serial: u64,
    /// Rows that name each provider, and whether it has a row of its own.
    naming: Vec<(u32, bool)>,
    holders: Map<Arc<str>, Holder>,
    readers: Readers<Policy>,
    /// Sealed counters. From this instant on nobody is expected to follow them any more.
    superseded: VecDeque<(Millis, Slot)>,
    longest_ttl_ms: i64,
}

/// The next policy in the making.
pub(crate) struct Draft<'a> {
    editor: &'a mut Editor,
    arena: &'a Arena,
    policy: Policy,
    now: Millis,
    retired: Vec<Slot>,
    succeeded: Vec<(Slot, Slot)>,
}

impl Editor {
    /// Note a policy that readers may hold from now on.
    pub(crate) fn published(&mut self, policy: &Arc<Policy>) {
        self.longest_ttl_ms = self.longest_ttl_ms.max(policy.settings.permit_ttl_ms);
        self.readers.publish(policy.version, policy);
    }

    /// Sealed counters that can be let go if really nobody follows them.
    pub(crate) fn due(&self, now: Millis) -> Set<Slot> {
        self.superseded.iter().take_while(|(until, _)| *until <= now).map(|(_, slot)| *slot).collect()
    }

    /// The number of a key.
    pub(crate) fn key_number(&self, id: &str) -> Option<u32> {
        self.keys.get(id).copied()
    }

    /// Refuse a batch that cannot be made whole, before anything of it is made.
    fn check(&self, edits: &[Edit]) -> Result<(), Fault> {
        let unknown = |what: &str, id: &str| Fault {
            code: Code::NotFound,
            message: format!("there is no {what} {id:?}").into(),
            param: None,
        };
        let mut made: Map<(Entity, &str), bool> = Map::default();
        for edit in edits {
            let exists = |entity: Entity, id: &str| match made.get(&(entity, id)) {
                Some(there) => *there,
                None => match entity {
                    Entity::Customer => self.customers.contains_key(id),
                    Entity::Team => self.teams.contains_key(id),
                    Entity::VirtualKey => self.keys.contains_key(id),
                    Entity::ModelConfig => self.model_configs.contains_key(id),
                    Entity::ProviderKey => self.provider_keys.contains_key(id),
                    Entity::Provider => true,
                },
            };
            match edit {
                Edit::Team { customer: Some(customer), .. } if !exists(Entity::Customer, customer) => {
                    return Err(unknown("customer", customer));
                }
                Edit::VirtualKey(row) => {
                    if let Some(team) = &row.team
                        && !exists(Entity::Team, team)
                    {
                        return Err(unknown("team", team));
                    }
                    if let Some(customer) = &row.customer
                        && !exists(Entity::Customer, customer)
                    {
                        return Err(unknown("customer", customer));
                    }
                    draw_among(row.provider_configs.iter().map(|config| config.weight))?;
                }
                Edit::Delete { entity, id } if !exists(*entity, id) => {
                    return Err(unknown("entity", id));
                }
                _ => {}
            }
            let (entity, id, there): (Entity, &str, bool) = match edit {
                Edit::Settings(_) | Edit::Provider { .. } => continue,
                Edit::Customer { id, .. } => (Entity::Customer, id, true),
                Edit::Team { id, .. } => (Entity::Team, id, true),
                Edit::VirtualKey(row) => (Entity::VirtualKey, &row.id, true),
                Edit::ProviderKey { id, .. } => (Entity::ProviderKey, id, true),
                Edit::ModelConfig { id, .. } => (Entity::ModelConfig, id, true),
                Edit::Delete { entity, id } => (*entity, id, false),
            };
            made.insert((entity, id), there);
        }
        Ok(())
    }

    /// Make the next policy. Nothing is visible to anyone before [`Draft::publish`].
    pub(crate) fn draft<'a>(
        &'a mut self,
        arena: &'a Arena,
        policy: &Policy,
        edits: &[Edit],
        now: Millis,
    ) -> Result<Draft<'a>, Fault> {
        self.check(edits)?;
        let oldest = self.readers.oldest();
        arena.recycle(oldest);
        let mut policy = policy.clone();
        policy.version += 1;
        let mut draft =
            Draft { editor: self, arena, policy, now, retired: Vec::new(), succeeded: Vec::new() };
        for edit in edits {
            draft.make(edit);
        }
        Ok(draft)
    }

    /// The counter of a limit, by the id of its budget or rate limit.
    pub(crate) fn find_limit(&self, policy: &Policy, id: &str, kind: Kind) -> Option<Limit> {
        let search = |limits: &Limits| {
            limits.0.iter().find(|limit| limit.kind == kind && &*limit.name.limit_id == id).cloned()
        };
        match self.holders.get(id)? {
            Holder::Team(number) => search(&policy.teams.get(*number)?.limits),
            Holder::Customer(number) => search(&policy.customers.get(*number)?.limits),
            Holder::Provider(number) => search(&policy.providers.list[*number as usize].limits),
            Holder::Key(number) => {
                let key = policy.keys.get(*number)?;
                search(&key.limits).or_else(|| key.configs.iter().find_map(|config| search(&config.limits)))
            }
            Holder::Model(config) => {
                let at = self.model_configs.get(config)?;
                let limits = policy.models.get(&at.model)?;
                match at.provider {
                    None => search(&limits.any),
                    Some(provider) => limits
                        .on
                        .iter()
                        .find(|(on, _)| *on == provider)
                        .and_then(|(_, limits)| search(limits)),
                }
            }
        }
    }

    /// Every limit with its counter, and of a provider config's the id of the virtual key before it.
    pub(crate) fn each_limit(policy: &Policy, mut step: impl FnMut(Option<&Arc<str>>, &Limit)) {
        policy.keys.for_each(|key| {
            let of_configs = key.configs.iter().flat_map(|config| &config.limits.0);
            key.limits.0.iter().for_each(|limit| step(None, limit));
            of_configs.for_each(|limit| step(Some(&key.id), limit));
        });
        let mut all = |limits: &Limits| limits.0.iter().for_each(|limit| step(None, limit));
        policy.teams.for_each(|team| all(&team.limits));
        policy.customers.for_each(|customer| all(&customer.limits));
        policy.providers.list.iter().for_each(|provider| all(&provider.limits));
        for limits in policy.models.values() {
            all(&limits.any);
            limits.on.iter().for_each(|(_, limits)| all(limits));
        }
    }
}

/// A sampler over the weights; None where nothing can be drawn. An entry without a weight is never drawn.
fn draw_among(weights: impl Iterator<Item = Option<f64>>) -> Result<Option<Sampler>, Fault> {
    let weights: Vec<f64> = weights.map(|weight| weight.unwrap_or(0.0)).collect();
    if weights.iter().all(|weight| *weight == 0.0) {
        return Ok(None);
    }
    Sampler::new(&weights).map(Some).map_err(|fault| Fault::invalid("weight", fault.to_string()))
}

fn shape(row: &LimitRow, anchor: Millis) -> Shape {
    let length = row.per.rolling_ms();
    match row.window {
        Window::Sliding => Shape::Sliding(Ring::new(length, BUCKETS)),
        Window::Fixed => Shape::Fixed(Lattice::rolling(anchor, length)),
        // Alignment to a unit below a day has no meaning; such a row counts as rolling.
        Window::Calendar => {
            Shape::Fixed(Lattice::calendar(row.per).unwrap_or_else(|| Lattice::rolling(anchor, length)))
        }
    }
}

impl Draft<'_> {
    /// Hand the policy over with what has to follow its publication.
    /// Of the sealed counters that are due the `unfollowed` are let go and the others kept as long again; None where
    /// that is not known.
    pub(crate) fn finish(self, unfollowed: Option<&Set<Slot>>) -> (Arc<Policy>, Vec<Slot>) {
        let Draft { editor, arena, policy, now, mut retired, succeeded } = self;
        let kept_for = editor.longest_ttl_ms.max(policy.settings.permit_ttl_ms).saturating_mul(2);
        let until = Millis::new(now.get().saturating_add(kept_for));
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
            arena.retire(slot, policy.version);
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
            Edit::Customer { id, limits } => self.customer(id, limits),
            Edit::Team { id, customer, limits } => self.team(id, customer.as_deref(), limits),
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
            Edit::Delete { entity, id } => self.delete(*entity, id),
        }
    }

    /// The owner's limits as wanted: what keeps its shape keeps its counter, what is gone is retired.
    fn limits(
        &mut self,
        level: Level,
        owner_id: &Arc<str>,
        holder: &Holder,
        old: &Limits,
        rows: &[LimitRow],
    ) -> Limits {
        let mut kept = vec![false; old.0.len()];
        let mut last_id: Option<Arc<str>> = None;
        let made = rows
            .iter()
            .map(|row| {
                let limit = match row.window {
                    Window::Sliding => row.limit.min(SLOT_MAX),
                    Window::Fixed | Window::Calendar => row.limit,
                };
                let before =
                    old.0.iter().position(|limit| limit.kind == row.kind && *limit.name.limit_id == *row.id);
                if let Some(at) = before {
                    kept[at] = true;
                }
                let before = before.map(|at| &old.0[at]);
                let slot = self.counter(before, row);
                if let Some(before) = before
                    && before.name.level == level
                    && before.name.limit == limit
                    && before.name.per == row.per
                    && before.name.window == row.window
                {
                    last_id = Some(before.name.limit_id.clone());
                    return Limit { slot, ..before.clone() };
                }
                // The token and the request limit of one rate limit share its id's text.
                let limit_id = match last_id.take() {
                    Some(id) if *id == *row.id => id,
                    _ => before.map_or_else(|| Arc::from(&*row.id), |before| before.name.limit_id.clone()),
                };
                last_id = Some(limit_id.clone());
                if before.is_none() {
                    self.editor.holders.insert(limit_id.clone(), holder.clone());
                }
                let name = Arc::new(LimitName {
                    limit_id,
                    owner_id: owner_id.clone(),
                    level,
                    kind: row.kind,
                    per: row.per,
                    window: row.window,
                    limit,
                });
                self.arena.rename(slot, &name);
                Limit { slot, kind: row.kind, limit, name }
            })
            .collect();
        for (limit, kept) in old.0.iter().zip(kept) {
            if !kept {
                self.retire(limit, rows);
            }
        }
        Limits(made)
    }

    /// Let a limit count on another lattice: its counter gets a successor, as by an edit of its shape. The new counter.
    pub(crate) fn move_to(&mut self, limit: &Limit, lattice: Lattice) -> Slot {
        let slot = self.arena.succeed(limit.slot, Shape::Fixed(lattice), self.now, false);
        self.arena.rename(slot, &limit.name);
        self.succeeded.push((limit.slot, slot));
        let Some(holder) = self.editor.holders.get(&limit.name.limit_id).cloned() else { return slot };
        self.change_limits(&holder, |limits| {
            limits.0.iter_mut().filter(|other| other.slot == limit.slot).for_each(|other| other.slot = slot);
        });
        slot
    }

    fn change_limits(&mut self, holder: &Holder, mut change: impl FnMut(&mut Limits)) {
        match holder {
            Holder::Key(number) => {
                let Some(key) = self.policy.keys.get(*number) else { return };
                let mut key = (**key).clone();
                change(&mut key.limits);
                key.configs.iter_mut().for_each(|config| change(&mut config.limits));
                self.policy.keys.set(*number, Some(Arc::new(key)));
            }
            Holder::Team(number) => {
                let Some(team) = self.policy.teams.get(*number) else { return };
                let mut team = (**team).clone();
                change(&mut team.limits);
                self.policy.teams.set(*number, Some(Arc::new(team)));
            }
            Holder::Customer(number) => {
                let Some(customer) = self.policy.customers.get(*number) else { return };
                let mut customer = (**customer).clone();
                change(&mut customer.limits);
                self.policy.customers.set(*number, Some(Arc::new(customer)));
            }
            Holder::Provider(number) => {
                self.change_provider(*number, |provider| change(&mut provider.limits));
            }
            Holder::Model(config) => {
                let Some(at) = self.editor.model_configs.get(config) else { return };
                let models = Arc::make_mut(&mut self.policy.models);
                let Some(entry) = models.get_mut(&at.model) else { return };
                change(&mut entry.any);
                entry.on.iter_mut().for_each(|(_, limits)| change(limits));
            }
        }
    }

    fn retire(&mut self, limit: &Limit, staying: &[LimitRow]) {
        self.retired.push(limit.slot);
        if !staying.iter().any(|row| *row.id == *limit.name.limit_id) {
            self.editor.holders.remove(&limit.name.limit_id);
        }
    }

    fn retire_all(&mut self, limits: &Limits) {
        for limit in &limits.0 {
            self.retire(limit, &[]);
        }
    }

    fn counter(&mut self, before: Option<&Limit>, row: &LimitRow) -> Slot {
        let Some(before) = before else {
            return self.arena.create(shape(row, self.now), self.now);
        };
        if before.name.per == row.per && before.name.window == row.window {
            return before.slot;
        }
        // The new lattice is anchored where the current window began; a sliding one has no such instant.
        let anchor = match before.name.window {
            Window::Sliding => self.now,
            _ => self.arena.get(before.slot).window_start(self.now),
        };
        let afresh = row.window == Window::Calendar && before.name.window != Window::Calendar;
        let slot = self.arena.succeed(before.slot, shape(row, anchor), self.now, afresh);
        self.succeeded.push((before.slot, slot));
        slot
    }

    fn customer(&mut self, id: &str, rows: &[LimitRow]) {
        let (id, number) = match self.editor.customers.get_key_value(id) {
            Some((id, number)) => (id.clone(), *number),
            None => {
                let (id, number): (Arc<str>, u32) = (Arc::from(id), self.editor.next_customer);
                self.editor.next_customer += 1;
                self.editor.customers.insert(id.clone(), number);
                (id, number)
            }
        };
        let old = self.policy.customers.get(number).map(|old| old.limits.clone()).unwrap_or_default();
        let limits = self.limits(Level::Customer, &id, &Holder::Customer(number), &old, rows);
        self.policy.customers.set(number, Some(Arc::new(Customer { limits })));
    }

    fn team(&mut self, id: &str, customer: Option<&str>, rows: &[LimitRow]) {
        let (id, number) = match self.editor.teams.get_key_value(id) {
            Some((id, number)) => (id.clone(), *number),
            None => {
                let (id, number): (Arc<str>, u32) = (Arc::from(id), self.editor.next_team);
                self.editor.next_team += 1;
                self.editor.teams.insert(id.clone(), number);
                (id, number)
            }
        };
        let customer = customer.and_then(|id| self.editor.customers.get(id).copied());
        let old = self.policy.teams.get(number).map(|old| old.limits.clone()).unwrap_or_default();
        let limits = self.limits(Level::Team, &id, &Holder::Team(number), &old, rows);
        self.policy.teams.set(number, Some(Arc::new(Team { customer, limits })));
    }

    fn key(&mut self, row: &KeyRow) {
        let known = self.editor.keys.get(&*row.id).copied();
        let old = known.and_then(|number| self.policy.keys.get(number).cloned());
        let (id, number, serial) = match &old {
            Some(old) => (old.id.clone(), old.number, old.serial),
            None => {
                let id: Arc<str> = Arc::from(&*row.id);
                let number = self.editor.free_keys.pop().unwrap_or_else(|| {
                    self.editor.next_key += 1;
                    self.editor.next_key - 1
                });
                self.editor.next_serial += 1;
                self.editor.keys.insert(id.clone(), number);
                (id, number, self.editor.next_serial)
            }
        };
        let holder = Holder::Key(number);
        let none = Limits::default();
        let limits = self.limits(
            Level::VirtualKey,
            &id,
            &holder,
            old.as_ref().map_or(&none, |old| &old.limits),
            &row.limits,
        );
        let mut configs = Vec::with_capacity(row.provider_configs.len());
        for wanted in &row.provider_configs {
            let before = old.as_ref().and_then(|old| old.configs.iter().find(|old| old.id == wanted.id));
            let owner: Arc<str> = match before.and_then(|before| before.limits.0.first()) {
                Some(limit) => limit.name.owner_id.clone(),
                None => Arc::from(wanted.id.to_string()),
            };
            let limits = self.limits(
                Level::ProviderConfig,
                &owner,
                &holder,
                before.map_or(&none, |before| &before.limits),
                &wanted.limits,
            );
            configs.push(ProviderConfig {
                id: wanted.id,
                provider: self.name_provider(&wanted.provider),
                weight: wanted.weight,
                models: Models::new(wanted.allowed_models.clone()),
                keys: match &wanted.key_ids {
                    None => KeyChoice::Every,
                    Some(ids) => KeyChoice::These(ids.clone().into_boxed_slice()),
                },
                limits,
            });
        }
        if let Some(old) = &old {
            for before in &old.configs {
                if !row.provider_configs.iter().any(|wanted| wanted.id == before.id) {
                    self.retire_all(&before.limits);
                }
                self.unname_provider(before.provider);
            }
        }
        let credentials = self.credentials(number, old.as_deref(), row.credentials.as_deref());
        let find = |map: &Map<Arc<str>, u32>, id: &Option<Box<str>>| {
            id.as_ref().and_then(|id| map.get(&**id).copied())
        };
        // Weights were checked with the whole batch.
        let sampler = draw_among(configs.iter().map(|config| config.weight)).ok().flatten();
        let key = Key {
            number,
            serial,
            id,
            active: row.active,
            expires_at: row.expires_at,
            team: find(&self.editor.teams, &row.team),
            customer: find(&self.editor.customers, &row.customer),
            limits,
            configs: configs.into_boxed_slice(),
            sampler,
            mcp: row
                .mcp_configs
                .iter()
                .map(|(client, tools)| McpConfig {
                    client: client.clone(),
                    tools: Models::new(tools.clone()),
                })
                .collect(),
            credentials,
        };
        self.policy.keys.set(number, Some(Arc::new(key)));
    }

    fn credentials(
        &mut self,
        key: u32,
        old: Option<&Key>,
        rows: Option<&[CredentialRow]>,
    ) -> Box<[Credential]> {
        let before = old.map_or(&[][..], |old| &old.credentials);
        let Some(rows) = rows else { return before.into() };
        for credential in before {
            self.forget_credential(credential);
        }
        rows.iter()
            .map(|row| {
                let learned = before.iter().find(|old| old.sha256 == row.sha256);
                let fingerprint = row.fingerprint.or_else(|| learned.and_then(|old| old.fingerprint));
                let known = Known { fingerprint: fingerprint.unwrap_or(0), key, until: row.until };
                match fingerprint {
                    Some(_) => self.policy.credentials.insert(known),
                    None => {
                        Arc::make_mut(&mut self.policy.unlearned).insert(row.sha256, known);
                    }
                }
                Credential { sha256: row.sha256, fingerprint }
            })
            .collect()
    }

    fn forget_credential(&mut self, credential: &Credential) {
        match credential.fingerprint {
            Some(fingerprint) => self.policy.credentials.remove(fingerprint),
            None => {
                Arc::make_mut(&mut self.policy.unlearned).remove(&credential.sha256);
            }
        }
    }

    /// The value of a key that was known by its SHA-256 alone has been presented: find it by fingerprint from now on.
    pub(crate) fn learn(&mut self, sha256: &[u8; 32], fingerprint: u128) {
        let Some(known) = Arc::make_mut(&mut self.policy.unlearned).remove(sha256) else { return };
        self.policy.credentials.insert(Known { fingerprint, ..known });
        if let Some(key) = self.policy.keys.get(known.key) {
            let mut key = (**key).clone();
            for credential in &mut key.credentials {
                if credential.sha256 == *sha256 {
                    credential.fingerprint = Some(fingerprint);
                }
            }
            self.policy.keys.set(known.key, Some(Arc::new(key)));
        }
    }

    /// The number of a provider, new or old, with one more row that names it.
    fn name_provider(&mut self, name: &str) -> u32 {
        let number = match self.policy.providers.by_name.get(name) {
            Some(number) => *number,
            None => {
                let providers = Arc::make_mut(&mut self.policy.providers);
                let number = providers.list.len() as u32;
                let name: Arc<str> = Arc::from(name);
                providers.by_name.insert(name.clone(), number);
                providers.list.push(Arc::new(Provider {
                    name,
                    limits: Limits::default(),
                    keys: Box::default(),
                    named: false,
                }));
                self.editor.naming.push((0, false));
                number
            }
        };
        self.editor.naming[number as usize].0 += 1;
        self.show_provider(number);
        number
    }

    fn unname_provider(&mut self, number: u32) {
        self.editor.naming[number as usize].0 -= 1;
        self.show_provider(number);
    }

    /// Let the policy say whether a provider is named anywhere, where that has changed.
    fn show_provider(&mut self, number: u32) {
        let named = self.editor.naming[number as usize].0 > 0;
        if self.policy.providers.list[number as usize].named != named {
            self.change_provider(number, |provider| provider.named = named);
        }
    }

    fn change_provider(&mut self, number: u32, change: impl FnOnce(&mut Provider)) {
        let providers = Arc::make_mut(&mut self.policy.providers);
        change(Arc::make_mut(&mut providers.list[number as usize]));
    }

    fn provider_row(&mut self, name: &str, rows: &[LimitRow]) {
        let number = self.name_provider(name);
        if core::mem::replace(&mut self.editor.naming[number as usize].1, true) {
            self.unname_provider(number);
        }
        let provider = self.policy.providers.list[number as usize].clone();
        let limits =
            self.limits(Level::Provider, &provider.name, &Holder::Provider(number), &provider.limits, rows);
        self.change_provider(number, |provider| provider.limits = limits);
    }

    fn provider_key(&mut self, provider: &str, key: ProviderKey) {
        let number = self.name_provider(provider);
        if self.editor.provider_keys.insert(key.id.clone(), number).is_some() {
            self.unname_provider(number);
        }
        self.change_provider(number, |provider| {
            let mut keys = core::mem::take(&mut provider.keys).into_vec();
            match keys.iter_mut().find(|old| old.id == key.id) {
                Some(old) => *old = key,
                None => keys.push(key),
            }
            provider.keys = keys.into_boxed_slice();
        });
    }

    fn model_config(&mut self, id: &str, model: &str, provider: Option<&str>, rows: &[LimitRow]) {
        let provider = provider.map(|name| self.name_provider(name));
        let (id, mut old) = match self.editor.model_configs.remove_entry(id) {
            Some((id, at)) => {
                let limits = self.take_model_limits(&at);
                (id, limits)
            }
            None => (Arc::from(id), Limits::default()),
        };
        let limits = self.limits(
            if provider.is_some() { Level::ModelProvider } else { Level::Model },
            &id,
            &Holder::Model(id.clone()),
            &core::mem::take(&mut old),
            rows,
        );
        let models = Arc::make_mut(&mut self.policy.models);
        let entry = models.entry(model.into()).or_default();
        match provider {
            None => entry.any = limits,
            Some(provider) => entry.on.push((provider, limits)),
        }
        self.editor.model_configs.insert(id, ModelConfigKey { model: model.into(), provider });
    }

    /// Take a model config out of the policy, with its limits.
    fn take_model_limits(&mut self, at: &ModelConfigKey) -> Limits {
        let models = Arc::make_mut(&mut self.policy.models);
        let Some(entry) = models.get_mut(&at.model) else { return Limits::default() };
        let limits = match at.provider {
            None => core::mem::take(&mut entry.any),
            Some(provider) => {
                let place = entry.on.iter().position(|(on, _)| *on == provider);
                place.map(|place| entry.on.remove(place).1).unwrap_or_default()
            }
        };
        if entry.on.is_empty() && entry.any.0.is_empty() {
            models.remove(&at.model);
        }
        if let Some(provider) = at.provider {
            self.unname_provider(provider);
        }
        limits
    }

    fn delete(&mut self, entity: Entity, id: &str) {
        match entity {
            Entity::Customer => {
                let Some(number) = self.editor.customers.remove(id) else { return };
                if let Some(customer) = self.policy.customers.get(number).cloned() {
                    self.retire_all(&customer.limits);
                }
                self.policy.customers.set(number, None);
            }
            Entity::Team => {
                let Some(number) = self.editor.teams.remove(id) else { return };
                if let Some(team) = self.policy.teams.get(number).cloned() {
                    self.retire_all(&team.limits);
                }
                self.policy.teams.set(number, None);
            }
            Entity::VirtualKey => {
                let Some(number) = self.editor.keys.remove(id) else { return };
                if let Some(key) = self.policy.keys.get(number).cloned() {
                    self.retire_all(&key.limits);
                    for config in &key.configs {
                        self.retire_all(&config.limits);
                        self.unname_provider(config.provider);
                    }
                    for credential in &key.credentials {
                        self.forget_credential(credential);
                    }
                }
                self.policy.keys.set(number, None);
                self.editor.free_keys.push(number);
            }
            Entity::Provider => {
                let Some(number) = self.policy.providers.by_name.get(id).copied() else { return };
                let provider = self.policy.providers.list[number as usize].clone();
                self.retire_all(&provider.limits);
                for key in &provider.keys {
                    self.editor.provider_keys.remove(&key.id);
                    self.unname_provider(number);
                }
                self.change_provider(number, |provider| {
                    provider.limits = Limits::default();
                    provider.keys = Box::default();
                });
                if core::mem::replace(&mut self.editor.naming[number as usize].1, false) {
                    self.unname_provider(number);
                }
            }
            Entity::ProviderKey => {
                let Some(number) = self.editor.provider_keys.remove(id) else { return };
                self.change_provider(number, |provider| {
                    let keys = core::mem::take(&mut provider.keys).into_vec();
                    provider.keys = keys.into_iter().filter(|key| *key.id != *id).collect();
                });
                self.unname_provider(number);
            }
            Entity::ModelConfig => {
                let Some(at) = self.editor.model_configs.remove(id) else { return };
                let limits = self.take_model_limits(&at);
                self.retire_all(&limits);
            }
        }
    }
}
