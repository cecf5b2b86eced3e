//! In which order targets are tried: the one that is stated or drawn, those that stand by, the request's fallbacks.

use super::refusal::denial_by;
use super::{Decision, Outcome, Tried};
use crate::answer::{Exclusion, ModelText, Reason};
use crate::engine::Engine;
use crate::policy::Key;
use crate::request::World;
use crate::routing::target::{Drawing, Target, fallback, ranked};

impl Engine {
    /// The provider is stated, or nobody has to be asked which: try it, then the request's own fallbacks.
    #[inline(always)]
    pub(super) fn by_name<W: World>(
        &self,
        decision: &mut Decision<'_, '_, W>,
        name: &str,
        model: &str,
        from: usize,
    ) -> Outcome {
        let target = Target {
            provider: decision.provider(name),
            name,
            model,
            text: ModelText::Requested(from),
            config: None,
            after: 0,
        };
        let own = decision.request.fallbacks.unwrap_or(&[]);
        match self.try_target(decision, &target, own.is_empty()) {
            Tried::CannotServe(found) if !own.is_empty() => {
                self.fall_back(decision, from, vec![found.0], found.1)
            }
            other => other.into_outcome(),
        }
    }

    /// No provider is stated: draw among the key's configs that can serve.
    #[inline(always)]
    pub(super) fn drawn<W: World>(
        &self,
        decision: &mut Decision<'_, '_, W>,
        key: &Key,
        model: &str,
    ) -> Outcome {
        let policy = decision.policy;
        let own = decision.request.fallbacks;
        let model_is_shared = own.is_none_or(<[&str]>::is_empty);
        let mut drawing = Drawing::new(key, model);
        let mut excluded = Vec::new();
        let mut fits = None;
        let target = |place: usize| {
            let provider = key.configs[place].provider;
            Target {
                provider: Some(provider),
                name: &policy.providers.list[provider as usize].name,
                model,
                text: ModelText::Requested(0),
                config: Some(place),
                after: 0,
            }
        };
        while let Some(place) = drawing.next(decision.request.sticky, decision.tape) {
            match self.try_target(decision, &target(place), model_is_shared) {
                Tried::CannotServe(found) => {
                    excluded.push(found.0);
                    fits = fits.or(found.1);
                }
                other => return other.into_outcome().with_excluded(excluded),
            }
            drawing.leave_out(place);
        }
        if own.is_none() {
            // Weight 0 is never drawn, and stands by.
            for standby in ranked(policy, key).into_iter().filter(|config| config.weight == Some(0.0)) {
                if !standby.models.allows(model) {
                    continue;
                }
                let place = key.configs.iter().position(|config| config.id == standby.id);
                match self.try_target(decision, &target(place.unwrap_or(0)), model_is_shared) {
                    Tried::CannotServe(found) => {
                        excluded.push(found.0);
                        fits = fits.or(found.1);
                    }
                    other => return other.into_outcome().with_excluded(excluded),
                }
            }
        }
        for config in &key.configs {
            let reason = match config.weight {
                _ if !config.models.allows(model) => Reason::ModelBlocked,
                None => Reason::NoWeight,
                // It stands by for nobody who brings fallbacks along.
                Some(0.0) if own.is_some() => Reason::NoWeight,
                Some(_) => continue,
            };
            excluded.push(Exclusion {
                provider: policy.providers.list[config.provider as usize].name.clone(),
                model: model.into(),
                key_id: None,
                reason,
                limits: Vec::new(),
            });
        }
        if own.is_some_and(|own| !own.is_empty()) {
            return self.fall_back(decision, 0, excluded, fits);
        }
        Outcome::Denial(Box::new(denial_by(excluded, fits)))
    }

    /// Try the request's own fallbacks in order.
    pub(super) fn fall_back<W: World>(
        &self,
        decision: &mut Decision<'_, '_, W>,
        from: usize,
        mut excluded: Vec<Exclusion>,
        mut fits: Option<i64>,
    ) -> Outcome {
        for index in 0..decision.request.fallbacks.map_or(0, <[&str]>::len) {
            let target = fallback(decision.policy, decision.request, index, from);
            match self.try_target(decision, &target, false) {
                Tried::CannotServe(found) => {
                    excluded.push(found.0);
                    fits = fits.or(found.1);
                }
                other => return other.into_outcome().with_excluded(excluded),
            }
        }
        Outcome::Denial(Box::new(denial_by(excluded, fits)))
    }
}
