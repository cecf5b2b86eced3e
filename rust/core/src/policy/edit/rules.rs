//! Routing rules: all that a batch does to them in one step, since a scope's rules are put in order together.

use std::sync::Arc;

use super::check::draw_among;
use super::{Draft, Edit, Entity};
use crate::error::Fault;
use crate::policy::Map;
use crate::routing::cel::Expression;
use crate::routing::rules::{RuleRow, Scope};

/// Whose rule it is; None for a rule of all.
pub(super) fn owner_of(row: &RuleRow) -> Option<(Entity, &str)> {
    match &row.scope {
        Scope::VirtualKey(id) => Some((Entity::VirtualKey, id)),
        Scope::Team(id) => Some((Entity::Team, id)),
        Scope::Customer(id) => Some((Entity::Customer, id)),
        Scope::Global => None,
    }
}

fn scope_of(owner: Entity, id: &str) -> Option<Scope> {
    match owner {
        Entity::VirtualKey => Some(Scope::VirtualKey(id.into())),
        Entity::Team => Some(Scope::Team(id.into())),
        Entity::Customer => Some(Scope::Customer(id.into())),
        _ => None,
    }
}

/// Refuse a rule that could not be asked, or has nowhere to send a request.
pub(super) fn check_rule(row: &RuleRow) -> Result<(), Fault> {
    Expression::new(&row.expression)
        .map_err(|refused| Fault::invalid("cel_expression", refused.to_string()))?;
    if row.targets.is_empty() {
        return Err(Fault::invalid("targets", "must have at least one entry"));
    }
    draw_among(row.targets.iter().map(|target| Some(target.weight)))?;
    Ok(())
}

/// Every provider that a rule names.
fn named(row: &RuleRow) -> impl Iterator<Item = &str> {
    let targets = row.targets.iter().filter_map(|target| target.provider.as_deref());
    targets.chain(row.fallbacks.iter().map(|(provider, _)| &**provider))
}

impl Draft<'_> {
    /// Make every edit of rules in the batch. The rules of an owner end with it.
    pub(super) fn rules(&mut self, edits: &[Edit]) {
        let before = self.editor.rules.clone().unwrap_or_default();
        // What becomes of each rule in the end: its row, or nothing.
        let mut wanted: Map<&str, Option<&RuleRow>> = Map::default();
        for edit in edits {
            match edit {
                Edit::Rule(row) => {
                    wanted.insert(&row.id, Some(row));
                }
                Edit::Delete { entity: Entity::Rule, id } => {
                    wanted.insert(id, None);
                }
                Edit::Delete { entity, id } => {
                    let Some(scope) = scope_of(*entity, id) else { continue };
                    let orphans = wanted.values_mut().filter(|row| row.is_some_and(|row| row.scope == scope));
                    orphans.for_each(|row| *row = None);
                    for rule in before.rules_of(&scope) {
                        wanted.entry(&rule.row().id).or_insert(None);
                    }
                }
                _ => {}
            }
        }
        if wanted.is_empty() {
            return;
        }
        let (mut rows, mut gone) = (Vec::new(), Vec::new());
        for (id, row) in &wanted {
            // Named anew before it is let go of: a provider that is named all the time stays what it is.
            row.iter().flat_map(|row| named(row)).for_each(|provider| {
                self.name_provider(provider);
            });
            if let Some(old) = before.get(id) {
                for provider in named(old.row()) {
                    let number = self.policy.providers.by_name[provider];
                    self.unname_provider(number);
                }
            }
            match row {
                Some(row) => rows.push((*row).clone()),
                None => gone.push(*id),
            }
        }
        // Expressions were checked with the whole batch.
        let Ok(next) = before.with(rows, &gone) else { return };
        self.editor.rules = (!next.is_empty()).then(|| Arc::new(next));
        self.policy.rules = self.editor.rules.clone();
    }
}
