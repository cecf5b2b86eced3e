//! In which order targets are tried: the one that is stated or drawn, those that stand by, the request's fallbacks.

use super::refusal::{LeftOut, denial_by};
use super::{Decision, Incoming, Outcome, Tried};
use crate::admit::Others;
use crate::answer::{Exclusion, ModelText, Reason};
use crate::engine::Engine;
use crate::policy::{Key, ProviderConfig};
use crate::request::World;
use crate::routing::target::{Drawing, Target, closed_to, fallback, ranked};

/// A choice among the configs of a key.
#[derive(Clone, Copy)]
pub(super) struct Choice<'a> {
    pub(super) model: &'a str,
    pub(super) text: ModelText,
    /// Who else could be tried.
    pub(super) others: Others,
    /// Whether configs of weight 0, which are never drawn, stand by: for nobody who brings fallbacks along.
    pub(super) stand_by: bool,
}

/// Why a config of a key is neither drawn nor stands by; None where it is, or does.
pub(super) fn not_tried(config: &ProviderConfig, model: &str, stand_by: bool) -> Option<Reason> {
    match config.weight {
        _ if !config.models.allows(model) => Some(Reason::ModelBlocked),
        None => Some(Reason::NoWeight),
        Some(0.0) if !stand_by => Some(Reason::NoWeight),
        Some(_) => None,
    }
}

impl Engine {
    /// The provider is stated, or nobody has to be asked which: try it, then the request's own fallbacks.
    #[inline(always)]
    pub(super) fn by_name<W: World>(
        &self,
        decision: &mut Decision<'_, '_, W>,
        incoming: Incoming<'_>,
    ) -> Outcome {
        let target = Target {
            provider: decision.provider(incoming.provider),
            name: incoming.provider,
            model: incoming.model,
            text: ModelText::Requested(incoming.from),
            config: None,
            after: 0,
        };
        let own = decision.request.fallbacks.unwrap_or(&[]);
        let others = if own.is_empty() { Others::Nobody } else { Others::AnyModel };
        match self.try_target(decision, &target, others) {
            Tried::CannotServe(found) if !own.is_empty() => {
                let mut left_out = LeftOut::default();
                left_out.add(*found);
                self.fall_back(decision, incoming.from, left_out)
            }
            other => other.into_outcome(),
        }
    }

    /// No provider is stated: draw among the key's configs, then try the request's own fallbacks.
    #[inline(always)]
    pub(super) fn drawn<W: World>(
        &self,
        decision: &mut Decision<'_, '_, W>,
        key: &Key,
        model: &str,
    ) -> Outcome {
        let own = decision.request.fallbacks;
        let choice = Choice {
            model,
            text: ModelText::Requested(0),
            others: if own.is_none_or(<[&str]>::is_empty) { Others::SameModel } else { Others::AnyModel },
            stand_by: own.is_none(),
        };
        let mut left_out = LeftOut::default();
        if let Some(outcome) = self.choose(decision, key, choice, &mut left_out) {
            return outcome.with_excluded(left_out.excluded);
        }
        if own.is_some_and(|own| !own.is_empty()) {
            return self.fall_back(decision, 0, left_out);
        }
        let of = left_out.excluded.len();
        Outcome::Denial(Box::new(denial_by(left_out, of)))
    }

    /// Draw among the key's configs that can serve. None where none can: then they are among those left out.
    #[inline(always)]
    pub(super) fn choose<W: World>(
        &self,
        decision: &mut Decision<'_, '_, W>,
        key: &Key,
        choice: Choice<'_>,
        left_out: &mut LeftOut,
    ) -> Option<Outcome> {
        let policy = decision.policy;
        let Choice { model, text, others, stand_by } = choice;
        let target = |place: usize| {
            let provider = key.configs[place].provider;
            Target {
                provider: Some(provider),
                name: &policy.providers.list[provider as usize].name,
                model,
                text,
                config: Some(place),
                after: 0,
            }
        };
        let mut drawing = Drawing::new(key, closed_to(key, model));
        while let Some(place) = drawing.next(decision.request.sticky, decision.tape) {
            match self.try_target(decision, &target(place), others) {
                Tried::CannotServe(found) => left_out.add(*found),
                other => return Some(other.into_outcome()),
            }
            drawing.leave_out(place);
        }
        if stand_by {
            for standby in ranked(policy, key).into_iter().filter(|config| config.weight == Some(0.0)) {
                if !standby.models.allows(model) {
                    continue;
                }
                let place = key.configs.iter().position(|config| config.id == standby.id);
                match self.try_target(decision, &target(place.unwrap_or(0)), others) {
                    Tried::CannotServe(found) => left_out.add(*found),
                    other => return Some(other.into_outcome()),
                }
            }
        }
        for config in &key.configs {
            let Some(reason) = not_tried(config, model, stand_by) else { continue };
            left_out.excluded.push(Exclusion {
                provider: policy.providers.list[config.provider as usize].name.clone(),
                model: model.into(),
                key_id: None,
                reason,
                limits: Vec::new(),
            });
        }
        None
    }

    /// Try the request's own fallbacks in order.
    pub(super) fn fall_back<W: World>(
        &self,
        decision: &mut Decision<'_, '_, W>,
        from: usize,
        mut left_out: LeftOut,
    ) -> Outcome {
        for index in 0..decision.request.fallbacks.map_or(0, <[&str]>::len) {
            let target = fallback(decision.policy, decision.request, index, from);
            match self.try_target(decision, &target, Others::AnyModel) {
                Tried::CannotServe(found) => left_out.add(*found),
                other => return other.into_outcome().with_excluded(left_out.excluded),
            }
        }
        let of = left_out.excluded.len();
        Outcome::Denial(Box::new(denial_by(left_out, of)))
    }
}
