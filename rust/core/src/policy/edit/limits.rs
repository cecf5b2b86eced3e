//! Limits and their counters: kept, succeeded or let go.

use std::sync::Arc;

use super::{Draft, Editor, Holder, LimitRow};
use crate::arena::{BUCKETS, Shape, Slot};
use crate::period::Lattice;
use crate::policy::{Kind, Level, Limit, LimitName, Limits, Policy, Window};
use crate::window::sliding::Ring;

impl Editor {
    /// The counter of a limit, by the id of its budget or rate limit.
    pub(crate) fn find_limit(&self, policy: &Policy, id: &str, kind: Kind) -> Option<Limit> {
        self.held_limit(policy, id, kind).map(|(_, limit)| limit)
    }

    /// The same, with whose it is.
    fn held_limit(&self, policy: &Policy, id: &str, kind: Kind) -> Option<(Holder, Limit)> {
        self.holders.find(id, |holder| Some((holder, self.limit_of(policy, holder, id, kind)?)))
    }

    fn limit_of(&self, policy: &Policy, holder: Holder, id: &str, kind: Kind) -> Option<Limit> {
        let search = |limits: &Limits| {
            limits.0.iter().find(|limit| limit.kind == kind && &*limit.name.limit_id == id).cloned()
        };
        match holder {
            Holder::Team(number) => search(&policy.teams.get(number)?.limits),
            Holder::Customer(number) => search(&policy.customers.get(number)?.limits),
            Holder::Provider(number) => search(&policy.providers.list[number as usize].limits),
            Holder::Key(number) => {
                let key = policy.keys.get(number)?;
                search(&key.limits).or_else(|| key.configs.iter().find_map(|config| search(&config.limits)))
            }
            Holder::Model(number) => {
                let at = self.models.get(&number)?;
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

fn shape(row: &LimitRow) -> Shape {
    let (length, anchor) = (row.per.rolling_ms(), row.anchor);
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
    /// The owner's limits as wanted: what keeps its shape keeps its counter, what is gone is retired.
    pub(super) fn limits(
        &mut self,
        level: Level,
        owner_id: &Arc<str>,
        holder: Holder,
        old: &Limits,
        rows: &[LimitRow],
    ) -> Limits {
        let mut kept = vec![false; old.0.len()];
        let mut last_id: Option<Arc<str>> = None;
        let made = rows
            .iter()
            .map(|row| {
                let before =
                    old.0.iter().position(|limit| limit.kind == row.kind && *limit.name.limit_id == *row.id);
                if let Some(at) = before {
                    kept[at] = true;
                }
                let before = before.map(|at| &old.0[at]);
                let slot = self.counter(before, row);
                if let Some(before) = before
                    && before.name.level == level
                    && before.name.limit == row.limit
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
                    self.editor.holders.insert(&limit_id, holder);
                }
                let name = Arc::new(LimitName {
                    limit_id,
                    number: row.number,
                    owner_id: owner_id.clone(),
                    level,
                    kind: row.kind,
                    per: row.per,
                    window: row.window,
                    since: row.since,
                    limit: row.limit,
                });
                self.arena.rename(slot, &name);
                Limit { slot, kind: row.kind, limit: row.limit, name }
            })
            .collect();
        for (limit, kept) in old.0.iter().zip(kept) {
            if !kept {
                self.retire(holder, limit);
            }
        }
        Limits(made)
    }

    /// Let a limit count on another lattice: its counter gets a successor, as by an edit of its shape. The new counter.
    pub(crate) fn move_to(&mut self, limit: &Limit, lattice: Lattice) -> Slot {
        let slot = self.arena.succeed(limit.slot, Shape::Fixed(lattice), self.now, false);
        self.arena.rename(slot, &limit.name);
        self.succeeded.push((limit.slot, slot));
        let held = self.editor.held_limit(&self.policy, &limit.name.limit_id, limit.kind);
        let Some((holder, _)) = held else { return slot };
        self.change_limits(holder, |limits| {
            limits.0.iter_mut().filter(|other| other.slot == limit.slot).for_each(|other| other.slot = slot);
        });
        slot
    }

    pub(super) fn change_limits(&mut self, holder: Holder, mut change: impl FnMut(&mut Limits)) {
        match holder {
            Holder::Key(number) => {
                let Some(key) = self.policy.keys.get(number) else { return };
                let mut key = (**key).clone();
                change(&mut key.limits);
                key.configs.iter_mut().for_each(|config| change(&mut config.limits));
                self.policy.keys.set(number, Some(Arc::new(key)));
            }
            Holder::Team(number) => {
                let Some(team) = self.policy.teams.get(number) else { return };
                let mut team = (**team).clone();
                change(&mut team.limits);
                self.policy.teams.set(number, Some(Arc::new(team)));
            }
            Holder::Customer(number) => {
                let Some(customer) = self.policy.customers.get(number) else { return };
                let mut customer = (**customer).clone();
                change(&mut customer.limits);
                self.policy.customers.set(number, Some(Arc::new(customer)));
            }
            Holder::Provider(number) => {
                self.change_provider(number, |provider| change(&mut provider.limits));
            }
            Holder::Model(number) => {
                let Some(at) = self.editor.models.get(&number) else { return };
                let models = Arc::make_mut(&mut self.policy.models);
                let Some(entry) = models.get_mut(&at.model) else { return };
                change(&mut entry.any);
                entry.on.iter_mut().for_each(|(_, limits)| change(limits));
            }
        }
    }

    fn retire(&mut self, holder: Holder, limit: &Limit) {
        self.arena.get(limit.slot).tell_end();
        self.retired.push(limit.slot);
        self.editor.gone.push((limit.name.number, limit.kind));
        self.editor.holders.remove(&limit.name.limit_id, holder);
    }

    pub(super) fn retire_all(&mut self, holder: Holder, limits: &Limits) {
        for limit in &limits.0 {
            self.retire(holder, limit);
        }
    }

    pub(super) fn counter(&mut self, before: Option<&Limit>, row: &LimitRow) -> Slot {
        let Some(before) = before else {
            return self.arena.create(shape(row), self.now);
        };
        if before.name.per == row.per && before.name.window == row.window {
            return before.slot;
        }
        let afresh = row.window == Window::Calendar && before.name.window != Window::Calendar;
        let slot = self.arena.succeed(before.slot, shape(row), self.now, afresh);
        self.succeeded.push((before.slot, slot));
        slot
    }
}
