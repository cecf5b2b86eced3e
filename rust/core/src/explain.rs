//! Why a call costs what it does: the row, every override that was looked at, the lines.

use crate::answer::PriceSource;
use crate::engine::Engine;
use crate::policy::prices::{InForce, Manner};
use crate::pricing::{Cost, FoundBy, Ids, cost};
use crate::request::RequestType;
use crate::usage::Usage;

/// What a call is priced by.
#[derive(Clone, Debug)]
pub struct PriceTrace {
    /// The row of the catalogue, how it was found, and whether its file says more of its prices than is taken.
    pub row: Option<(Box<str>, FoundBy, bool)>,
    /// The ids of every override whose scope and pattern are met, in the order of looking, and whether it is for requests of
    /// this type. The first that is applies.
    pub overrides: Vec<(Box<str>, bool)>,
    /// Whether the override that applies makes the call free.
    pub free: bool,
    /// The sum and its lines.
    pub cost: Cost,
    /// Where it comes from; none where a price is missing.
    pub source: Option<PriceSource>,
}

impl Engine {
    /// What a usage costs at a provider's model, by the prices in force.
    #[must_use]
    pub fn explain_price(
        &self,
        ids: &Ids<'_>,
        model: &str,
        request_type: RequestType,
        usage: &Usage,
    ) -> PriceTrace {
        let policy = self.policy.load();
        let applies = policy.prices.resolve(ids, model, Manner::new(request_type, Some(usage)));
        let met = policy.prices.overrides.met(ids, model);
        let told = |over: &std::sync::Arc<InForce>| (over.row.id.clone(), over.row.is_for(request_type));
        let own = applies.rates();
        let rates = policy.settings.rates(own);
        let cost = cost(rates, usage, request_type);
        let source = match cost.price.unknown {
            _ if !rates.know_any() => None,
            Some(_) => None,
            None if cost.price.by_default || !own.know_any() => Some(PriceSource::Default),
            None => Some(PriceSource::Known),
        };
        PriceTrace {
            row: applies.row.map(|(row, by)| (row.name.clone(), by, row.in_part)),
            overrides: met.map(told).collect(),
            free: own.free,
            cost,
            source,
        }
    }
}
