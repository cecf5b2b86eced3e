//! A decision where there are rules: the first that holds binds, whoever can serve or not.

use std::sync::Arc;

use smallvec::SmallVec;

use super::facts::RequestFacts;
use super::order::Choice;
use super::refusal::{LeftOut, denial_by};
use super::{Decision, Incoming, Outcome, Tried};
use crate::admit::Others;
use crate::answer::{Fallbacks, ModelText, Ruling};
use crate::engine::Engine;
use crate::request::World;
use crate::routing::rules::{Rule, RuleSet};
use crate::routing::target::{Drawing, Target, pinned};

impl Engine {
    /// Ask the rules. What they came to is counted with the answer, since a decision may be made anew.
    #[inline(never)]
    pub(super) fn by_rules<W: World>(
        &self,
        decision: &mut Decision<'_, '_, W>,
        rules: &RuleSet,
        incoming: Incoming<'_>,
    ) -> Outcome {
        let facts = RequestFacts::new(self, decision, incoming);
        let met = rules.first(&facts.asking(), &facts);
        if facts.is_outdated() {
            return Outcome::Outdated;
        }
        let outcome = match met.rule {
            Some(rule) => self.bound(decision, rule, incoming),
            None => self.without_rule(decision, incoming),
        };
        if decision.take && !matches!(outcome, Outcome::Outdated) {
            met.count(decision.now);
        }
        outcome
    }

    /// Draw among the targets of a rule that can serve; where none can, try its fallbacks in order. Nobody else serves:
    /// neither the next rule nor the request's own fallbacks.
    pub(super) fn bound<W: World>(
        &self,
        decision: &mut Decision<'_, '_, W>,
        rule: &Rule,
        incoming: Incoming<'_>,
    ) -> Outcome {
        let mut left_out = LeftOut::default();
        // How many of those left out the first target accounts for: more than one where it names no provider.
        let mut of_first = None;
        let mut drawing = Drawing::new(rule, SmallVec::new());
        while let Some(place) = drawing.next(decision.request.sticky, decision.tape) {
            if let Some(trail) = decision.trail {
                trail.of_target(Some(place));
            }
            if let Some(outcome) = self.try_rule_target(decision, rule, place, incoming, &mut left_out) {
                decision.rule(rule.of_target(place), incoming);
                return outcome.with_excluded(left_out.excluded);
            }
            of_first = of_first.or(Some(left_out.excluded.len()));
            drawing.leave_out(place);
        }
        if let Some(trail) = decision.trail {
            trail.of_target(None);
        }
        for (place, (name, model)) in rule.row().fallbacks.iter().enumerate() {
            let (model, text) = match model {
                Some(model) => (&**model, ModelText::Ruled),
                None => (incoming.model, ModelText::Requested(incoming.from)),
            };
            let provider = decision.provider(name);
            let target = Target { provider, name, model, text, config: None, after: 0 };
            match self.try_target(decision, &target, Others::AnyModel) {
                Tried::CannotServe(found) => left_out.add(*found),
                other => {
                    decision.rule(rule.of_fallback(place), incoming);
                    return other.into_outcome().with_excluded(left_out.excluded);
                }
            }
        }
        Outcome::Denial(Box::new(denial_by(left_out, of_first.unwrap_or(0))))
    }

    /// None where the target cannot serve.
    fn try_rule_target<W: World>(
        &self,
        decision: &mut Decision<'_, '_, W>,
        rule: &Rule,
        place: usize,
        incoming: Incoming<'_>,
        left_out: &mut LeftOut,
    ) -> Option<Outcome> {
        let row = &rule.row().targets[place];
        let (model, text) = match &row.model {
            Some(model) => (&**model, ModelText::Ruled),
            None => (incoming.model, ModelText::Requested(incoming.from)),
        };
        let others = if rule.has_one_model() { Others::SameModel } else { Others::AnyModel };
        let name = row.provider.as_deref().unwrap_or(incoming.provider);
        if let (Some(key), "") = (decision.identity.key, name) {
            let stand_by = rule.row().fallbacks.is_empty() && decision.request.fallbacks.is_none();
            return self.choose(decision, key, Choice { model, text, others, stand_by }, left_out);
        }
        let provider = decision.provider(name);
        let target = Target { provider, name, model, text, config: None, after: 0 };
        let tried = match &row.key_id {
            None => self.try_target(decision, &target, others),
            Some(id) => {
                let key = decision.identity.key.map(|key| &**key);
                match pinned(decision.policy, key, &target, decision.request.asked.batch, id) {
                    Ok(key_id) => self.try_allowed(decision, &target, key_id, others),
                    Err(reason) => self.closed(decision, &target, Some(Arc::from(&**id)), reason),
                }
            }
        };
        match tried {
            Tried::CannotServe(found) => {
                left_out.add(*found);
                None
            }
            other => Some(other.into_outcome()),
        }
    }
}

impl<W: World> Decision<'_, '_, W> {
    /// Let the permit, where there is one, tell what the rule said.
    fn rule(&mut self, ruling: &Arc<Ruling>, incoming: Incoming<'_>) {
        if let Some(grant) = &mut self.grant {
            grant.beside.get_or_insert_default().ruling = Some(ruling.clone());
            // Where it has none, the request's stand.
            if !ruling.fallbacks.is_empty() {
                grant.fallbacks = Fallbacks::Ruled(incoming.from);
            }
        }
    }
}
