//! What a call may cost at a target, and whether that is known well enough.

use super::Decision;
use crate::admit::Lines;
use crate::answer::PriceSource;
use crate::policy::prices::{Applies, Manner};
use crate::policy::{Kind, UnknownPrice};
use crate::pricing::{Ids, Quote, most};
use crate::routing::target::Target;

impl<W> Decision<'_, '_, W> {
    /// The prices that apply at a target. Nothing is looked up where nothing has a price.
    #[inline(always)]
    pub(super) fn prices(&self, target: &Target<'_>, key_id: Option<&str>) -> Applies<'_> {
        let prices = &self.policy.prices;
        if prices.is_empty() {
            return Applies::default();
        }
        let manner = Manner::new(self.request.request_type, self.request.asked.usage.as_deref());
        let ids = Ids {
            virtual_key: self.identity.key.map(|key| &*key.id),
            provider: Some(target.name).filter(|name| !name.is_empty()),
            provider_key: key_id,
        };
        prices.resolve(&ids, target.model, manner)
    }

    /// What the call may cost; None where that is not known and policy refuses what is not.
    #[inline(always)]
    pub(super) fn quote(&self, applies: &Applies<'_>, lines: &Lines<'_>) -> Option<Quote> {
        let (settings, asked) = (&self.policy.settings, &self.request.asked);
        if let Some(cost) = asked.cost {
            return Some(Quote::stated(cost));
        }
        let counted = lines.count(Kind::Budget);
        let refuses = match settings.unknown_price {
            UnknownPrice::CountZero => false,
            UnknownPrice::Deny => true,
            UnknownPrice::DenyUnderBudget | UnknownPrice::DefaultPrice => counted,
        };
        if !counted && !refuses {
            return Some(Quote::NONE);
        }
        let own = applies.rates();
        let rates = settings.rates(own);
        if !rates.know_any() {
            return (!refuses).then_some(Quote::ZERO);
        }
        let most = asked.with_usage(|usage| most(rates, usage, self.request.request_type));
        let may_have_output = asked.guess || asked.most.is_some_and(|most| most > 0);
        let price = most.with_output(i64::from(may_have_output));
        let source = match price.unknown {
            Some(_) if refuses => return None,
            Some(_) => PriceSource::Zero,
            None if price.by_default || !own.know_any() => PriceSource::Default,
            None => PriceSource::Known,
        };
        Some(Quote::priced(most, source))
    }
}
