//! What a permit's usage costs: by the prices of its admission.

use super::Held;
use crate::answer::PriceSource;
use crate::policy::{Kind, Policy, UnknownPrice};
use crate::pricing::price;
use crate::usage::Usage;

/// The cost of a usage in nano-dollars, as far as it is known, and where it comes from: it is stated, or reported and
/// believed, or a price times what was used. `Held`: a price is missing, and unknown prices do not count as zero.
#[inline(always)]
pub(super) fn charge(held: &Held<'_>, usage: &Usage, policy: &Policy) -> (i64, PriceSource) {
    if let Some(cost) = usage.cost() {
        return (cost.get(), PriceSource::Stated);
    }
    let settings = &policy.settings;
    if let Some(cost) = usage.reported_cost().filter(|_| settings.trust_reported_cost) {
        return (cost.get(), PriceSource::Reported);
    }
    let tariff = held.body.tariff();
    let own = policy.prices.rates(tariff);
    let rates = settings.rates(own);
    if !rates.know_any() || !usage.says_quantity() {
        return (0, PriceSource::Held);
    }
    let whole = tariff.manner.complete(usage);
    let price = price(rates, whole.as_ref().unwrap_or(usage), tariff.manner.request_type);
    let cost = price.exact.round_up().get();
    match price.unknown {
        None if price.by_default || !own.know_any() => (cost, PriceSource::Default),
        None => (cost, PriceSource::Known),
        Some(_) if counts_as_zero(held, settings.unknown_price) => (cost, PriceSource::Zero),
        Some(_) => (cost, PriceSource::Held),
    }
}

/// Whether a price that is missing counts as zero: always, or where there is no budget.
#[cold]
fn counts_as_zero(held: &Held<'_>, policy: UnknownPrice) -> bool {
    match policy {
        UnknownPrice::CountZero => true,
        UnknownPrice::Deny => false,
        UnknownPrice::DenyUnderBudget | UnknownPrice::DefaultPrice => {
            let mut counted = false;
            held.each(|entry, _| counted |= entry.kind == Kind::Budget);
            !counted
        }
    }
}
