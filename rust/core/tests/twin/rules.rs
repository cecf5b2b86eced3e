//! Rules in the engine's words, and traffic in which they come and go.

use limen_core::answer::{Denial, Grant};
use limen_core::policy::Kind;
use limen_core::policy::edit::{Edit, Entity};
use limen_core::routing::rules::{RuleRow, Scope, TargetRow};
use limen_core::units::Millis;
use proptest::prelude::{Just, Strategy, prop, prop_oneof};
use proptest::sample::select;

use super::traffic::op;
use super::{Op, Twin};
use crate::model::rules::{Rule, When};

impl When {
    fn expression(self) -> String {
        match self {
            When::Always => String::new(),
            When::Model(model) => format!("model == '{model}'"),
            When::Full(Kind::Budget, percent) => format!("budget_used >= {percent}"),
            When::Full(Kind::Tokens, percent) => format!("tokens_used >= {percent}"),
            When::Full(Kind::Requests, percent) => format!("request >= {percent}"),
        }
    }
}

pub(super) fn id(place: usize) -> String {
    format!("r{place}")
}

impl Twin {
    /// The rule of this place, or none.
    pub(super) fn edit_rule(&mut self, place: usize, rule: Option<Rule>) {
        let Some(rule) = rule else {
            if self.model.rules.remove(&place).is_some() {
                self.apply(&[Edit::Delete { entity: Entity::Rule, id: id(place).into() }]);
            }
            return;
        };
        self.model.rules.insert(place, rule);
        let named = |text: &'static str| Some(Box::from(text)).filter(|_| !text.is_empty());
        let (provider, model) = (named(rule.provider), named(rule.model));
        self.apply(&[Edit::Rule(Box::new(RuleRow {
            id: id(place).into(),
            scope: Scope::Global,
            priority: place as i64,
            created: Millis::new(0),
            enabled: true,
            expression: rule.when.expression().into(),
            targets: vec![TargetRow { provider, model, key_id: None, weight: 1.0 }],
            fallbacks: Vec::new(),
        }))]);
    }
}

/// The permit names the rule, and the model where the rule does.
pub(super) fn same_rule(grant: &Grant, rule: Option<(usize, Rule)>) {
    let told = grant.ruling().map(|ruling| (ruling.rule_id.to_string(), ruling.model.as_deref()));
    let named = |rule: Rule| Some(rule.model).filter(|model| !model.is_empty());
    assert_eq!(told, rule.map(|(place, rule)| (id(place), named(rule))));
}

/// There was but one target: where a rule sent the request there, it is told about by its name.
pub(super) fn one_target(denial: &Denial, provider: &str, model: &str, bound: bool) {
    let told = denial.excluded.iter().map(|one| (&*one.provider, &*one.model));
    assert!(told.eq(Some((provider, model)).filter(|_| bound && !denial.excluded.is_empty())), "{denial:?}");
}

/// Percentages that no counts of many digits come close to without being there.
fn when() -> impl Strategy<Value = When> {
    let kind = select(&[Kind::Tokens, Kind::Requests, Kind::Budget][..]);
    prop_oneof![
        1 => Just(When::Always),
        2 => select(&["m", "n", "x/m"][..]).prop_map(When::Model),
        4 => (kind, select(&[1, 37, 61][..])).prop_map(|(kind, percent)| When::Full(kind, percent)),
    ]
}

pub fn op_with_rules() -> impl Strategy<Value = Op> {
    let to = (select(&["", "p", "q", "s", "nobody"][..]), select(&["", "", "m", "n"][..]));
    let rule = (when(), to).prop_map(|(when, (provider, model))| Rule { when, provider, model });
    let edit = (0..3usize, prop::option::weighted(0.7, rule));
    prop_oneof![9 => op(), 1 => edit.prop_map(|(place, rule)| Op::EditRule { place, rule })]
}
