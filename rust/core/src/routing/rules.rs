//! Which rule a request meets first: by scope, then by priority, time of making and id.
//!
//! The rules of a scope lie in their order, and beside them what each is about: a rule that says `model == "a"` stands
//! under that model, one that says `provider == "p"` under that provider, every other under neither. Of a thousand rules
//! those of the request's model, of its provider and of neither are visited, and nothing of the others is touched.

use std::sync::Arc;

use super::cel::{Expression, Facts, Refused, Text, Why};
use super::health::{Counters, Health};
use crate::policy::Map;
use crate::units::Millis;

/// Whose requests a rule is for. Narrow scopes come first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Those of one virtual key, by its id.
    VirtualKey(Box<str>),
    /// Those of one team's keys.
    Team(Box<str>),
    /// Those of one customer.
    Customer(Box<str>),
    /// All.
    Global,
}

/// Where a matching rule may send a request.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetRow {
    /// None: the request's own.
    pub provider: Option<Box<str>>,
    /// None: the request's own.
    pub model: Option<Box<str>>,
    /// The one key that may serve; None: any.
    pub key_id: Option<Box<str>>,
    /// Its share among the targets.
    pub weight: f64,
}

/// A rule as it is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleRow {
    /// Its id.
    pub id: Box<str>,
    /// Whose requests it is for.
    pub scope: Scope,
    /// Lower ones are asked first.
    pub priority: i64,
    /// When it was made.
    pub created: Millis,
    /// Whether it is asked at all.
    pub enabled: bool,
    /// Which requests it is for.
    pub expression: Box<str>,
    /// Where they go.
    pub targets: Vec<TargetRow>,
    /// Where they go where no target can serve: a provider, and a model where it is not the request's.
    pub fallbacks: Vec<(Box<str>, Option<Box<str>>)>,
}

/// A rule, ready to be asked.
#[derive(Debug)]
pub struct Rule {
    row: RuleRow,
    condition: Arc<Expression>,
    counters: Arc<Counters>,
}

impl Rule {
    /// What was wanted.
    #[must_use]
    pub fn row(&self) -> &RuleRow {
        &self.row
    }

    /// How it fares, since its expression was written.
    #[must_use]
    pub fn health(&self) -> Health {
        self.counters.read(&self.condition)
    }
}

/// Who asks: ids, and "" for what there is not.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asking<'a> {
    /// The virtual key.
    pub virtual_key: &'a str,
    /// Its team.
    pub team: &'a str,
    /// Its team's customer, or its own.
    pub customer: &'a str,
}

/// What became of one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It holds.
    Match,
    /// It does not hold.
    NoMatch,
    /// It is not asked.
    Disabled,
    /// It has no value; the reason.
    Error(String),
    /// It would cost too much; the reason.
    OverBudget(String),
}

/// The rules of one scope, in their order.
#[derive(Debug, Default)]
struct Ordered {
    rules: Box<[Arc<Rule>]>,
    models: Map<Box<str>, Vec<u32>>,
    providers: Map<Box<str>, Vec<u32>>,
    others: Vec<u32>,
}

impl Ordered {
    fn new(mut rules: Vec<Arc<Rule>>) -> Ordered {
        rules.sort_by(|a, b| {
            (a.row.priority, a.row.created, &a.row.id).cmp(&(b.row.priority, b.row.created, &b.row.id))
        });
        let mut ordered = Ordered::default();
        for (number, rule) in (0u32..).zip(&rules).filter(|(_, rule)| rule.row.enabled) {
            let (index, mut values) =
                match (rule.condition.only(Text::Model), rule.condition.only(Text::Provider)) {
                    (Some(models), _) => (&mut ordered.models, models),
                    (None, Some(providers)) => (&mut ordered.providers, providers),
                    (None, None) => {
                        ordered.others.push(number);
                        continue;
                    }
                };
            values.sort_unstable();
            values.dedup();
            for value in values {
                index.entry(value.into()).or_default().push(number);
            }
        }
        ordered.rules = rules.into();
        ordered
    }

    /// The rules that may hold, in their order.
    #[inline]
    fn about<'a>(&'a self, model: &str, provider: &str) -> About<'a> {
        let under =
            |index: &'a Map<Box<str>, Vec<u32>>, value: &str| index.get(value).map_or(&[][..], Vec::as_slice);
        let lists = [&self.others[..], under(&self.models, model), under(&self.providers, provider)];
        About { rules: &self.rules, lists }
    }
}

/// Three lists of rules' numbers, each of them rising, as one.
struct About<'a> {
    rules: &'a [Arc<Rule>],
    lists: [&'a [u32]; 3],
}

impl<'a> Iterator for About<'a> {
    type Item = &'a Arc<Rule>;

    #[inline]
    fn next(&mut self) -> Option<&'a Arc<Rule>> {
        let next = self.lists.iter_mut().filter(|list| !list.is_empty()).min_by_key(|list| list[0])?;
        let number = next[0];
        *next = &next[1..];
        self.rules.get(number as usize)
    }
}

/// Every rule. An edit makes the next set, which shares the scopes that it does not touch.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    virtual_keys: Map<Box<str>, Arc<Ordered>>,
    teams: Map<Box<str>, Arc<Ordered>>,
    customers: Map<Box<str>, Arc<Ordered>>,
    global: Arc<Ordered>,
    /// Where each rule is, by its id.
    scopes: Map<Box<str>, Scope>,
}

impl RuleSet {
    /// The set after an edit: rules without those that are gone, and with those that are new or changed. A rule whose
    /// expression stays keeps its health.
    ///
    /// # Errors
    /// The first expression that is faulty, by the number of its row.
    pub fn with(&self, rows: Vec<RuleRow>, gone: &[&str]) -> Result<RuleSet, (usize, Refused)> {
        let mut touched: Map<Scope, Map<Box<str>, Arc<Rule>>> = Map::default();
        let mut next = self.clone();
        for id in gone {
            if let Some(scope) = next.scopes.remove(*id) {
                self.open(&mut touched, &scope).remove(*id);
            }
        }
        for (number, row) in rows.into_iter().enumerate() {
            let (id, scope) = (row.id.clone(), row.scope.clone());
            let before = next.scopes.insert(id.clone(), scope.clone());
            let old = before.and_then(|before| self.open(&mut touched, &before).remove(&id));
            let rule = match old {
                Some(old) if old.row.expression == row.expression => {
                    Rule { row, condition: old.condition.clone(), counters: old.counters.clone() }
                }
                _ => {
                    let condition = Expression::new(&row.expression).map_err(|refused| (number, refused))?;
                    Rule { row, condition: Arc::new(condition), counters: Arc::default() }
                }
            };
            self.open(&mut touched, &scope).insert(id, Arc::new(rule));
        }
        for (scope, rules) in touched {
            next.put(scope, Ordered::new(rules.into_values().collect()));
        }
        Ok(next)
    }

    /// The rules of a scope that is being edited.
    fn open<'a>(
        &self,
        touched: &'a mut Map<Scope, Map<Box<str>, Arc<Rule>>>,
        scope: &Scope,
    ) -> &'a mut Map<Box<str>, Arc<Rule>> {
        touched.entry(scope.clone()).or_insert_with(|| {
            let rules = self.of(scope).map_or(&[][..], |ordered| &ordered.rules);
            rules.iter().map(|rule| (rule.row.id.clone(), rule.clone())).collect()
        })
    }

    fn put(&mut self, scope: Scope, ordered: Ordered) {
        let (scopes, id) = match scope {
            Scope::VirtualKey(id) => (&mut self.virtual_keys, id),
            Scope::Team(id) => (&mut self.teams, id),
            Scope::Customer(id) => (&mut self.customers, id),
            Scope::Global => {
                self.global = Arc::new(ordered);
                return;
            }
        };
        if ordered.rules.is_empty() {
            scopes.remove(&id);
        } else {
            scopes.insert(id, Arc::new(ordered));
        }
    }

    fn of(&self, scope: &Scope) -> Option<&Arc<Ordered>> {
        match scope {
            Scope::VirtualKey(id) => self.virtual_keys.get(id),
            Scope::Team(id) => self.teams.get(id),
            Scope::Customer(id) => self.customers.get(id),
            Scope::Global => Some(&self.global),
        }
    }

    /// The rules of everything that asks belongs to, narrow scopes first.
    #[inline]
    fn met<'a>(&'a self, asking: &Asking<'_>) -> impl Iterator<Item = &'a Arc<Ordered>> {
        let named = [
            self.virtual_keys.get(asking.virtual_key),
            self.teams.get(asking.team),
            self.customers.get(asking.customer),
        ];
        named.into_iter().flatten().chain([&self.global])
    }

    /// The first rule that holds; it and those that have no value are counted.
    #[inline]
    pub fn first<F: Facts + ?Sized>(
        &self,
        asking: &Asking<'_>,
        facts: &F,
        now: Millis,
    ) -> Option<&Arc<Rule>> {
        let (model, provider) = (facts.text(Text::Model), facts.text(Text::Provider));
        for rule in self.met(asking).flat_map(|ordered| ordered.about(model, provider)) {
            match rule.condition.holds(facts) {
                Ok(true) => {
                    rule.counters.matched(now);
                    return Some(rule);
                }
                Ok(false) => {}
                Err(failure) => rule.counters.failed(failure),
            }
        }
        None
    }

    /// Every rule up to the first that holds, with what became of it. Nothing is counted.
    pub fn trace<F: Facts + ?Sized>(&self, asking: &Asking<'_>, facts: &F) -> Vec<(&Arc<Rule>, Outcome)> {
        let mut found = Vec::new();
        for rule in self.met(asking).flat_map(|ordered| &ordered.rules) {
            let outcome = match rule.row.enabled.then(|| rule.condition.holds(facts)) {
                None => Outcome::Disabled,
                Some(Ok(true)) => Outcome::Match,
                Some(Ok(false)) => Outcome::NoMatch,
                Some(Err(failure)) => {
                    let said = rule.condition.said(failure);
                    if failure.why == Why::OverBudget {
                        Outcome::OverBudget(said)
                    } else {
                        Outcome::Error(said)
                    }
                }
            };
            let ends = outcome == Outcome::Match;
            found.push((rule, outcome));
            if ends {
                break;
            }
        }
        found
    }

    /// A rule by its id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<Rule>> {
        let ordered = self.of(self.scopes.get(id)?)?;
        ordered.rules.iter().find(|rule| *rule.row.id == *id)
    }
}
