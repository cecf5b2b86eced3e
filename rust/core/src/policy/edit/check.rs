//! What a batch must be before anything of it is made.

use super::rules::{check_rule, owner_of};
use super::{Edit, Editor, Entity, LimitRow, ProviderConfigRow};
use crate::error::{Code, Fault};
use crate::policy::{Map, Policy, Window};
use crate::routing::sampler::Sampler;
use crate::window::sliding::check_limit;

impl Editor {
    /// Refuse a batch that cannot be made whole, before anything of it is made.
    pub(crate) fn check(&self, policy: &Policy, edits: &[Edit]) -> Result<(), Fault> {
        let unknown = |what: &str, id: &str| Fault {
            code: Code::NotFound,
            message: format!("there is no {what} {id:?}").into(),
            param: None,
        };
        let mut made: Map<(Entity, &str), bool> = Map::default();
        for edit in edits {
            limits_of(edit)
                .filter(|row| row.window == Window::Sliding)
                .try_for_each(|row| check_limit(row.limit))?;
            let exists = |entity: Entity, id: &str| match made.get(&(entity, id)) {
                Some(there) => *there,
                None => match entity {
                    Entity::Customer => self.customers.contains_key(id),
                    Entity::Team => self.teams.contains_key(id),
                    Entity::VirtualKey => self.key(policy, id).is_some(),
                    Entity::ModelConfig => self.model_configs.contains_key(id),
                    Entity::ProviderKey => self.provider_keys.contains_key(id),
                    Entity::Rule => self.rules.as_ref().is_some_and(|rules| rules.has(id)),
                    Entity::PricingOverride => self.overrides.contains_key(id),
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
                Edit::Rule(row) => {
                    if let Some((owner, id)) = owner_of(row)
                        && !exists(owner, id)
                    {
                        return Err(unknown("owner", id));
                    }
                    check_rule(row)?;
                }
                Edit::Delete { entity, id } if !exists(*entity, id) => {
                    return Err(unknown("entity", id));
                }
                _ => {}
            }
            let (entity, id, there): (Entity, &str, bool) = match edit {
                Edit::Settings(_) | Edit::Catalogue(_) | Edit::Provider { .. } => continue,
                Edit::PricingOverride(row) => (Entity::PricingOverride, &row.id, true),
                Edit::Customer { id, .. } => (Entity::Customer, id, true),
                Edit::Team { id, .. } => (Entity::Team, id, true),
                Edit::VirtualKey(row) => (Entity::VirtualKey, &row.id, true),
                Edit::ProviderKey { id, .. } => (Entity::ProviderKey, id, true),
                Edit::ModelConfig { id, .. } => (Entity::ModelConfig, id, true),
                Edit::Rule(row) => (Entity::Rule, &row.id, true),
                Edit::Delete { entity, id } => (*entity, id, false),
            };
            made.insert((entity, id), there);
        }
        Ok(())
    }
}

/// Every limit that an edit makes or keeps.
fn limits_of(edit: &Edit) -> impl Iterator<Item = &LimitRow> {
    let (own, configs): (&[LimitRow], &[ProviderConfigRow]) = match edit {
        Edit::Customer { limits, .. }
        | Edit::Team { limits, .. }
        | Edit::Provider { limits, .. }
        | Edit::ModelConfig { limits, .. } => (limits, &[]),
        Edit::VirtualKey(row) => (&row.limits, &row.provider_configs),
        Edit::Settings(_)
        | Edit::ProviderKey { .. }
        | Edit::Rule(_)
        | Edit::Catalogue(_)
        | Edit::PricingOverride(_)
        | Edit::Delete { .. } => (&[], &[]),
    };
    own.iter().chain(configs.iter().flat_map(|config| &config.limits))
}

/// A sampler over the weights; None where there is no choice. An entry without a weight is never drawn.
pub(super) fn draw_among(weights: impl Iterator<Item = Option<f64>>) -> Result<Option<Sampler>, Fault> {
    let weights: Vec<f64> = weights.map(|weight| weight.unwrap_or(0.0)).collect();
    if weights.iter().all(|weight| *weight == 0.0) {
        return Ok(None);
    }
    let sampler = Sampler::new(&weights).map_err(|fault| Fault::invalid("weight", fault.to_string()))?;
    let drawable = weights.iter().filter(|weight| **weight > 0.0).count();
    Ok((drawable > 1).then_some(sampler))
}
