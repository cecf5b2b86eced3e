//! What a dry run keeps of every target that it looked at, so that a decision can be told from beginning to end.
//!
//! A decision ends with the first target that can serve, and forgets those before it. Told with a trail it leaves them
//! all, each with its counters; from these, and from what was not looked at, come the candidates.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use super::order::not_tried;
use super::{Decision, Incoming};
use crate::admit::{Amount, Lines};
use crate::answer::{Candidate, Counted, Exclusion, Fallbacks, Fate, Grant, Told};
use crate::engine::Engine;
use crate::policy::Key;
use crate::request::World;
use crate::routing::rules::Rule;
use crate::routing::target::{Target, closed, fallback};

/// One target that was looked at.
#[derive(Debug)]
pub(super) struct Look {
    /// The rule's target that it comes of, as its place in the rule's list.
    of_target: Option<usize>,
    /// The config that it was drawn by, as its place in the key's list.
    config: Option<usize>,
    /// How many of the request's own fallbacks had been tried then, itself among them.
    after: usize,
    candidate: Candidate,
    counters: Vec<Counted>,
}

/// Every target that was looked at, in turn.
#[derive(Debug, Default)]
pub(super) struct Trail {
    of_target: Cell<Option<usize>>,
    looks: RefCell<Vec<Look>>,
}

impl Trail {
    /// A decision is made anew.
    pub(super) fn start(&self) {
        self.of_target.take();
        self.looks.take();
    }

    /// What is looked at from here on comes of this target of the rule.
    #[cold]
    pub(super) fn of_target(&self, place: Option<usize>) {
        self.of_target.set(place);
    }

    /// It serves; `after` is what its limits show then.
    #[cold]
    pub(super) fn chosen(
        &self,
        target: &Target<'_>,
        key_id: Option<Arc<str>>,
        after: &[Told],
        amount: &Amount,
    ) {
        let taken = amount.by_kind();
        let counted = |(name, reading): &Told| Counted::new(name, *reading, taken[name.kind as usize]);
        let candidate = candidate(target.name, target.model, key_id, Fate::Chosen);
        self.look(target, candidate, after.iter().map(counted).collect());
    }

    /// Limits refuse it.
    #[cold]
    pub(super) fn limited(&self, target: &Target<'_>, by: &Exclusion, mut counters: Vec<Counted>) {
        for counted in &mut counters {
            counted.refusal = by.limits.iter().find(|limit| Arc::ptr_eq(&limit.name, &counted.name)).cloned();
        }
        self.look(target, left_out(by), counters);
    }

    fn look(&self, target: &Target<'_>, candidate: Candidate, counters: Vec<Counted>) {
        let (of_target, config, after) = (self.of_target.get(), target.config, target.after);
        self.looks.borrow_mut().push(Look { of_target, config, after, candidate, counters });
    }
}

impl Engine {
    /// Something other than a limit is in the way of a target: its counters were not asked.
    pub(super) fn looked_at_closed<W: World>(
        &self,
        decision: &Decision<'_, '_, W>,
        target: &Target<'_>,
        by: &Exclusion,
    ) {
        if let Some(trail) = decision.trail {
            let counters = self.unasked(decision, target.provider, target.model);
            trail.look(target, left_out(by), counters);
        }
    }

    fn unasked<W>(&self, decision: &Decision<'_, '_, W>, provider: Option<u32>, model: &str) -> Vec<Counted> {
        let mut lines = Lines::default();
        let key = decision.identity.key.map(|key| &**key);
        self.line_up(&mut lines, decision.policy, key, provider, Some(model));
        lines.read(decision.now).map(|(name, reading)| Counted::unasked(name, reading)).collect()
    }

    /// Every counter of the targets that were looked at, each once: of the one that serves first, else of the first in turn.
    pub(super) fn counters<W: World>(
        &self,
        decision: &Decision<'_, '_, W>,
        trail: &Trail,
        incoming: Incoming<'_>,
    ) -> Vec<Counted> {
        let mut looks = trail.looks.borrow_mut();
        looks.sort_by_key(|look| look.candidate.fate != Fate::Chosen);
        if looks.is_empty() {
            return self.unasked(decision, decision.provider(incoming.provider), incoming.model);
        }
        let mut counters: Vec<Counted> = Vec::new();
        for counted in looks.iter_mut().flat_map(|look| look.counters.drain(..)) {
            if !counters.iter().any(|known| Arc::ptr_eq(&known.name, &counted.name)) {
                counters.push(counted);
            }
        }
        counters
    }
}

/// Every target that took part: those that were looked at, in turn, then those that were not.
pub(super) fn candidates<W: World>(
    decision: &Decision<'_, '_, W>,
    trail: &Trail,
    rule: Option<&Rule>,
    incoming: Incoming<'_>,
    permit: Option<&Grant>,
) -> Vec<Candidate> {
    let looks = trail.looks.borrow();
    let key = decision.identity.key.map(|key| &**key);
    let told = |look: &Look| {
        let weight = match (look.config, look.of_target) {
            (Some(place), _) => key.and_then(|key| key.configs[place].weight),
            (None, Some(place)) => rule.map(|rule| rule.row().targets[place].weight),
            (None, None) => None,
        };
        let limits = look.counters.iter().filter(|counted| counted.refusal.is_some()).cloned().collect();
        Candidate { weight, limits, ..look.candidate.clone() }
    };
    let mut found: Vec<Candidate> = looks.iter().map(told).collect();
    let rest = Rest { decision, looks: &looks, incoming, permit };
    match (rule, key) {
        (Some(rule), _) => rest.of_rule(rule, &mut found),
        (None, Some(key)) if incoming.provider.is_empty() => {
            rest.of_key(key, incoming.model, decision.request.fallbacks.is_none(), None, &mut found);
        }
        _ => {}
    }
    // Under a rule they stand by a permit, where it has none of its own, and nobody tries them.
    if rule.is_none_or(|rule| rule.row().fallbacks.is_empty() && permit.is_some()) {
        rest.of_request(&mut found);
    }
    found
}

/// What was not looked at, and why.
struct Rest<'d, 'a, 'w, W> {
    decision: &'d Decision<'a, 'w, W>,
    looks: &'d [Look],
    incoming: Incoming<'d>,
    permit: Option<&'d Grant>,
}

impl<W: World> Rest<'_, '_, '_, W> {
    /// What becomes of a fallback that nobody had to try.
    fn standing_by(&self) -> Fate {
        if self.permit.is_some() { Fate::Fallback } else { Fate::NotTried }
    }

    /// The configs of a key that were not drawn for a model.
    fn of_key(
        &self,
        key: &Key,
        model: &str,
        stand_by: bool,
        of_target: Option<usize>,
        found: &mut Vec<Candidate>,
    ) {
        let policy = self.decision.policy;
        let batch = self.decision.request.asked.batch;
        for (place, config) in key.configs.iter().enumerate() {
            let is_it = |look: &Look| look.config == Some(place) && look.of_target == of_target;
            if self.looks.iter().any(is_it) {
                continue;
            }
            let stands_by = self.permit.is_some_and(|grant| match &grant.fallbacks {
                Fallbacks::Others(others) => others.contains(&config.provider),
                _ => false,
            });
            let reason = not_tried(config, model, stand_by).or_else(|| closed(policy, config, model, batch));
            let fate = match reason {
                Some(reason) => Fate::LeftOut(reason),
                None if stands_by => Fate::Fallback,
                None => Fate::NotTried,
            };
            let name = &policy.providers.list[config.provider as usize].name;
            found.push(Candidate { weight: config.weight, ..candidate(name, model, None, fate) });
        }
    }

    /// The targets of a rule that were not drawn, and its fallbacks.
    fn of_rule(&self, rule: &Rule, found: &mut Vec<Candidate>) {
        let (row, incoming) = (rule.row(), self.incoming);
        let key = self.decision.identity.key.map(|key| &**key);
        for (place, target) in row.targets.iter().enumerate() {
            let model = target.model.as_deref().unwrap_or(incoming.model);
            let provider = target.provider.as_deref().unwrap_or(incoming.provider);
            let looked_at = self.looks.iter().any(|look| look.of_target == Some(place));
            match key.filter(|_| provider.is_empty() && looked_at) {
                Some(key) => {
                    let stand_by = row.fallbacks.is_empty() && self.decision.request.fallbacks.is_none();
                    self.of_key(key, model, stand_by, Some(place), found);
                }
                None if looked_at => {}
                None => {
                    let key_id = target.key_id.as_deref().map(Arc::from);
                    let untried = candidate(provider, model, key_id, Fate::NotTried);
                    found.push(Candidate { weight: Some(target.weight), ..untried });
                }
            }
        }
        let tried = self.looks.iter().filter(|look| look.of_target.is_none()).count();
        for (name, model) in row.fallbacks.iter().skip(tried) {
            let model = model.as_deref().unwrap_or(incoming.model);
            found.push(candidate(name, model, None, self.standing_by()));
        }
    }

    /// The request's own fallbacks that nobody had to try.
    fn of_request(&self, found: &mut Vec<Candidate>) {
        let own = self.decision.request.fallbacks.map_or(0, <[&str]>::len);
        let tried = self.looks.iter().map(|look| look.after).max().unwrap_or(0);
        for index in tried..own {
            let target = fallback(self.decision.policy, self.decision.request, index, self.incoming.from);
            found.push(candidate(target.name, target.model, None, self.standing_by()));
        }
    }
}

fn candidate(provider: &str, model: &str, key_id: Option<Arc<str>>, fate: Fate) -> Candidate {
    Candidate {
        provider: provider.into(),
        model: model.into(),
        key_id,
        weight: None,
        fate,
        limits: Vec::new(),
    }
}

fn left_out(by: &Exclusion) -> Candidate {
    candidate(&by.provider, &by.model, by.key_id.clone(), Fate::LeftOut(by.reason))
}
