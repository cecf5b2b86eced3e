//! Which rule a request meets first: by scope, then by priority, time of making and id.
//!
//! The rules of a scope lie in their order, and beside them what each is about: a rule that says `model == "a"` stands
//! under that model, one that says `provider == "p"` under that provider, every other under neither. Of a thousand rules
//! those of the request's model, of its provider and of neither are visited, and nothing of the others is touched.

use std::sync::Arc;

use smallvec::SmallVec;

use super::cel::{Expression, Facts, Failure, Refused, Text, Why};
use super::health::{Counters, Health};
use super::sampler::Sampler;
use super::target::Lots;
use crate::answer::Ruling;
use crate::policy::Map;
use crate::policy::names::Names;
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

/// A provider, and a model where it is not the request's.
pub type Fallback = (Box<str>, Option<Box<str>>);

impl TargetRow {
    fn identity(&self) -> u64 {
        let parts = [&self.provider, &self.model, &self.key_id];
        // No name holds a control character: the parts cannot run into each other.
        let text = parts.map(|part| part.as_deref().unwrap_or_default()).join("\n");
        rapidhash::v3::rapidhash_v3(text.as_bytes())
    }
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
    /// Where they go where no target can serve, in order.
    pub fallbacks: Vec<Fallback>,
}

/// A rule, ready to be asked.
#[derive(Debug)]
pub struct Rule {
    row: RuleRow,
    condition: Arc<Expression>,
    counters: Arc<Counters>,
    /// Draws among the targets; None where there is no choice.
    sampler: Option<Sampler>,
    /// What each target is to sticky keys, wherever it stands and whatever it weighs.
    identities: Box<[u64]>,
    /// Whether it sends every request that it matches to one and the same model.
    one_model: bool,
    /// What it says by each of its targets, then by each of its fallbacks.
    rulings: Box<[Arc<Ruling>]>,
}

impl Rule {
    fn new(row: RuleRow, condition: Arc<Expression>, counters: Arc<Counters>) -> Rule {
        let weights: Vec<f64> = row.targets.iter().map(|target| target.weight).collect();
        let model = row.targets.first().and_then(|target| target.model.as_ref());
        let one_model =
            row.fallbacks.is_empty() && row.targets.iter().all(|target| target.model.as_ref() == model);
        let (rule_id, fallbacks): (Arc<str>, Arc<[_]>) = (Arc::from(&*row.id), Arc::from(&row.fallbacks[..]));
        let ruling = |model: &Option<Box<str>>, next| {
            let (rule_id, fallbacks) = (rule_id.clone(), fallbacks.clone());
            Arc::new(Ruling { rule_id, model: model.clone(), fallbacks, next })
        };
        let of_targets = row.targets.iter().map(|target| ruling(&target.model, 0));
        let of_fallbacks = row.fallbacks.iter().zip(1..).map(|((_, model), next)| ruling(model, next));
        Rule {
            rulings: of_targets.chain(of_fallbacks).collect(),
            // Weights were checked with the whole batch.
            sampler: if weights.len() > 1 { Sampler::new(&weights).ok() } else { None },
            identities: row.targets.iter().map(TargetRow::identity).collect(),
            one_model,
            row,
            condition,
            counters,
        }
    }

    pub(crate) fn of_target(&self, place: usize) -> &Arc<Ruling> {
        &self.rulings[place]
    }

    pub(crate) fn of_fallback(&self, place: usize) -> &Arc<Ruling> {
        &self.rulings[self.row.targets.len() + place]
    }

    pub(crate) fn has_one_model(&self) -> bool {
        self.one_model
    }

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

impl Lots for Rule {
    fn count(&self) -> usize {
        self.row.targets.len()
    }

    fn is_drawable(&self, _: usize) -> bool {
        true
    }

    fn identity(&self, place: usize) -> u64 {
        self.identities[place]
    }

    fn sampler(&self) -> Option<&Sampler> {
        self.sampler.as_ref()
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

/// What asking the rules came to. Nothing is counted before [`Met::count`]: a decision may be made twice before it is
/// answered once.
#[derive(Debug)]
pub struct Met<'a> {
    /// The rule that binds.
    pub rule: Option<&'a Arc<Rule>>,
    /// Those before it that have no value.
    failed: SmallVec<[(&'a Arc<Rule>, Failure); 4]>,
}

impl Met<'_> {
    /// Let it show in the health of the rules.
    #[inline]
    pub fn count(&self, now: Millis) {
        for (rule, failure) in &self.failed {
            rule.counters.failed(*failure);
        }
        if let Some(rule) = self.rule {
            rule.counters.matched(now);
        }
    }
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
    virtual_keys: Names<Arc<Ordered>>,
    teams: Names<Arc<Ordered>>,
    customers: Names<Arc<Ordered>>,
    global: Arc<Ordered>,
    /// Where each rule is, by its id.
    scopes: Names<Scope>,
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
            if let Some(scope) = next.scopes.set(id, None) {
                self.open(&mut touched, &scope).remove(*id);
            }
        }
        for (number, row) in rows.into_iter().enumerate() {
            let (id, scope) = (row.id.clone(), row.scope.clone());
            let before = next.scopes.set(&id, Some(scope.clone()));
            let old = before.and_then(|before| self.open(&mut touched, &before).remove(&id));
            let rule = match old {
                Some(old) if old.row.expression == row.expression => {
                    Rule::new(row, old.condition.clone(), old.counters.clone())
                }
                _ => {
                    let condition = Expression::new(&row.expression).map_err(|refused| (number, refused))?;
                    Rule::new(row, Arc::new(condition), Arc::default())
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
            self.rules_of(scope).iter().map(|rule| (rule.row.id.clone(), rule.clone())).collect()
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
        scopes.set(&id, (!ordered.rules.is_empty()).then(|| Arc::new(ordered)));
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

    /// The first rule that holds.
    #[inline]
    pub fn first<F: Facts + ?Sized>(&self, asking: &Asking<'_>, facts: &F) -> Met<'_> {
        let (model, provider) = (facts.text(Text::Model), facts.text(Text::Provider));
        let mut met = Met { rule: None, failed: SmallVec::new() };
        for rule in self.met(asking).flat_map(|ordered| ordered.about(model, provider)) {
            match rule.condition.holds(facts) {
                Ok(true) => {
                    met.rule = Some(rule);
                    break;
                }
                Ok(false) => {}
                Err(failure) => met.failed.push((rule, failure)),
            }
        }
        met
    }

    /// Every rule up to the first that holds, whatever the index says of it, with what becomes of it in its turn. Nothing
    /// is counted.
    pub fn trace<'a, F: Facts + ?Sized>(
        &'a self,
        asking: &Asking<'_>,
        facts: &'a F,
    ) -> impl Iterator<Item = (&'a Arc<Rule>, Outcome)> {
        let mut is_over = false;
        self.met(asking).flat_map(|ordered| &ordered.rules).map_while(move |rule| {
            if is_over {
                return None;
            }
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
            is_over = outcome == Outcome::Match;
            Some((rule, outcome))
        })
    }

    /// The rules of a scope, in their order.
    pub(crate) fn rules_of(&self, scope: &Scope) -> &[Arc<Rule>] {
        self.of(scope).map_or(&[], |ordered| &ordered.rules)
    }

    /// Whether there is a rule of this id.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.scopes.get(id).is_some()
    }

    /// Whether there is no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scopes.is_empty()
    }

    /// A rule by its id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<Rule>> {
        let ordered = self.of(self.scopes.get(id)?)?;
        ordered.rules.iter().find(|rule| *rule.row.id == *id)
    }
}
