//! The prices that a call is charged by: a model's own, those of an override over them, and what stands in for both.
//!
//! Laying one card over another makes no third: both are asked, and the answer that is more particular counts; of two
//! for the same cell the override's. That is what a table with the override's prices written into it would answer
//! (`RateCard::patched`), without a table for each pair of an override and a model.

use std::cmp::Reverse;

use super::call::Call;
use super::card::{Columns, Found, PLAIN, Plain, RateCard};
use super::component::{Cell, Component};
use crate::units::FemtoUsd;

/// The prices that a call is charged by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates<'a> {
    /// The model's own.
    pub base: Option<&'a RateCard>,
    /// An override's.
    pub over: Option<&'a RateCard>,
    /// What counts where neither has a price.
    pub instead: Option<&'a RateCard>,
    /// Everything costs nothing, whatever the others say.
    pub free: bool,
}

impl<'a> From<&'a RateCard> for Rates<'a> {
    #[inline]
    fn from(card: &'a RateCard) -> Rates<'a> {
        Rates { base: Some(card), ..Rates::default() }
    }
}

/// What of some prices is looked at for a call.
#[derive(Clone, Copy)]
pub(super) struct Look<'a> {
    /// What nearly every call is priced by: a model's plain prices, with nothing over them, to be looked at first.
    pub(super) plain: Option<Plain<'a>>,
    rates: Rates<'a>,
    prompt: i64,
    ways: u8,
    /// Whether the price of the input is the dearer of input and output.
    unsplit: bool,
}

impl<'a> Rates<'a> {
    /// Whether anything has a price. (A model that a price file lists has one, be it that of nothing.)
    #[must_use]
    pub fn know_any(&self) -> bool {
        self.free
            || self.base.is_some()
            || self.over.is_some_and(|over| !over.is_empty())
            || self.instead.is_some()
    }

    /// Every price of a model and of an override over it: of two for one cell the later counts.
    pub(crate) fn prices(self) -> impl Iterator<Item = (Cell, FemtoUsd)> {
        self.base.into_iter().chain(self.over).flat_map(RateCard::prices)
    }

    #[inline(always)]
    pub(super) fn look(self, call: &Call) -> Look<'a> {
        let &Call { prompt, ways, unsplit, .. } = call;
        let alone = self.over.is_none() && !self.free && ways == PLAIN && !unsplit;
        let plain = self.base.filter(|_| alone).and_then(|base| base.plain_for(prompt));
        Look { plain, rates: self, prompt, ways, unsplit }
    }
}

impl<'a> Look<'a> {
    /// The first price of a chain of components.
    #[inline(always)]
    pub(super) fn find(&self, chain: &[Component]) -> Option<Found> {
        let Some(plain) = &self.plain else { return self.first(chain) };
        match plain.first(chain) {
            None if self.rates.instead.is_some() => self.first(chain),
            found => found,
        }
    }

    /// The same, whatever the call and the prices.
    #[inline(never)]
    pub(super) fn first(&self, chain: &[Component]) -> Option<Found> {
        let Rates { base, over, instead, free } = self.rates;
        if free {
            return chain.first().map(|&component| Found {
                cell: Cell::plain(component),
                rate: FemtoUsd::new(0),
                by_default: false,
            });
        }
        let [base, over] = [base, over].map(|card| card.map(|card| self.columns(card)));
        if let Some(found) = self.first_by(chain, |component| laid_over(over, base, component)) {
            return Some(found);
        }
        let instead = self.columns(instead?);
        let found = self.first_by(chain, |component| instead.find(component))?;
        Some(Found { by_default: true, ..found })
    }

    fn columns(&self, card: &'a RateCard) -> Columns<'a> {
        card.columns_for(self.prompt, self.ways)
    }

    #[inline(always)]
    fn first_by(&self, chain: &[Component], find: impl Fn(Component) -> Option<Found>) -> Option<Found> {
        for &component in chain {
            let found = find(component);
            if component == Component::Input && self.unsplit {
                return found.into_iter().chain(find(Component::Output)).max_by_key(|found| found.rate);
            }
            if found.is_some() {
                return found;
            }
        }
        None
    }
}

/// The price of a component under an override.
#[inline(always)]
fn laid_over(over: Option<Columns<'_>>, base: Option<Columns<'_>>, component: Component) -> Option<Found> {
    let base = base.and_then(|base| base.find(component));
    let Some(over) = over else { return base };
    let place = |found: &Found| (Reverse(found.cell.threshold), found.cell.variant);
    match (over.find(component), base) {
        (Some(over), Some(base)) if place(&base) < place(&over) => Some(base),
        (Some(over), _) => Some(over),
        (None, base) => base,
    }
}
