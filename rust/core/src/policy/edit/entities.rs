//! Customers, teams and model configs; and the end of an entity of any kind.

use std::sync::Arc;

use super::{Draft, Entity, Holder, LimitRow, ModelConfigKey};
use crate::policy::{Customer, Level, Limits, Team};

impl Draft<'_> {
    pub(super) fn customer(&mut self, id: &str, name: &str, rows: &[LimitRow]) {
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
        let limits = self.limits(Level::Customer, &id, Holder::Customer(number), &old, rows);
        self.policy.customers.set(number, Some(Arc::new(Customer { id, name: name.into(), limits })));
    }

    pub(super) fn team(&mut self, id: &str, name: &str, customer: Option<&str>, rows: &[LimitRow]) {
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
        let limits = self.limits(Level::Team, &id, Holder::Team(number), &old, rows);
        let team = Team { id, name: name.into(), customer, limits };
        self.policy.teams.set(number, Some(Arc::new(team)));
    }

    pub(super) fn model_config(&mut self, id: &str, model: &str, provider: Option<&str>, rows: &[LimitRow]) {
        let provider = provider.map(|name| self.name_provider(name));
        let (id, number) = match self.editor.model_configs.get_key_value(id) {
            Some((id, number)) => (id.clone(), *number),
            None => {
                let (id, number): (Arc<str>, u32) = (Arc::from(id), self.editor.next_model);
                self.editor.next_model += 1;
                self.editor.model_configs.insert(id.clone(), number);
                (id, number)
            }
        };
        let old = self.take_model_limits(number);
        let limits = self.limits(
            if provider.is_some() { Level::ModelProvider } else { Level::Model },
            &id,
            Holder::Model(number),
            &old,
            rows,
        );
        let models = Arc::make_mut(&mut self.policy.models);
        let entry = models.entry(model.into()).or_default();
        match provider {
            None => entry.any = limits,
            Some(provider) => entry.on.push((provider, limits)),
        }
        self.editor.models.insert(number, ModelConfigKey { model: model.into(), provider });
    }

    /// Take a model config out of the policy, with its limits; a new one has none.
    fn take_model_limits(&mut self, number: u32) -> Limits {
        let Some(at) = self.editor.models.remove(&number) else { return Limits::default() };
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

    pub(super) fn delete(&mut self, entity: Entity, id: &str) {
        match entity {
            Entity::Customer => {
                let Some(number) = self.editor.customers.remove(id) else { return };
                if let Some(customer) = self.policy.customers.get(number).cloned() {
                    self.retire_all(Holder::Customer(number), &customer.limits);
                }
                self.policy.customers.set(number, None);
            }
            Entity::Team => {
                let Some(number) = self.editor.teams.remove(id) else { return };
                if let Some(team) = self.policy.teams.get(number).cloned() {
                    self.retire_all(Holder::Team(number), &team.limits);
                }
                self.policy.teams.set(number, None);
            }
            Entity::VirtualKey => {
                let Some(key) = self.editor.key(&self.policy, id).cloned() else { return };
                let (number, holder) = (key.number, Holder::Key(key.number));
                self.editor.keys.remove(id, number);
                self.retire_all(holder, &key.limits);
                for config in &key.configs {
                    self.retire_all(holder, &config.limits);
                    self.unname_provider(config.provider);
                }
                for credential in &key.credentials {
                    self.forget_credential(credential);
                }
                self.policy.keys.set(number, None);
                self.editor.free_keys.push(number);
            }
            Entity::Provider => {
                let Some(number) = self.policy.providers.by_name.get(id).copied() else { return };
                let provider = self.policy.providers.list[number as usize].clone();
                self.retire_all(Holder::Provider(number), &provider.limits);
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
            Entity::PricingOverride => self.delete_override(id),
            Entity::ModelConfig => {
                let Some(number) = self.editor.model_configs.remove(id) else { return };
                let limits = self.take_model_limits(number);
                self.retire_all(Holder::Model(number), &limits);
            }
            // With all that the batch does to rules.
            Entity::Rule => {}
        }
    }
}
