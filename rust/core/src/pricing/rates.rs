//! The prices that a call is charged by: a model's own, those of an override over them, and what stands in for both.
//!
//! Laying one card over another makes no third: both are asked, and the answer that is more particular counts; of two
//! for the same cell the override's. That is what a table with the override's prices written into it would answer
//! (`RateCard::patched`), without a table for each pair of an override and a model.

use std::cmp::Reverse;

use super::card::{Columns, Found, RateCard};
use super::component::{ANY_PROMPT, Cell, Component, Variant};
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
    fn from(card: &'a RateCard) -> Rates<'a> {
        Rates { base: Some(card), ..Rates::default() }
    }
}

/// What of some prices is looked at for a call.
#[derive(Clone, Copy)]
pub(super) struct Look<'a> {
    base: Option<Columns<'a>>,
    over: Option<Columns<'a>>,
    instead: Option<Columns<'a>>,
    free: bool,
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
    pub(super) fn look(self, prompt: i64, ways: u8) -> Look<'a> {
        let columns = |card: Option<&'a RateCard>| card.map(|card| card.columns_for(prompt, ways));
        Look {
            base: columns(self.base),
            over: columns(self.over),
            instead: columns(self.instead),
            free: self.free,
        }
    }
}

impl Look<'_> {
    /// The first price of a chain of components. `unsplit`: the price of the input is the dearer of input and output.
    #[inline(always)]
    pub(super) fn first(&self, chain: &[Component], unsplit: bool) -> Option<Found> {
        if self.free {
            return chain.first().map(|&component| Found {
                cell: Cell { component, threshold: ANY_PROMPT, variant: Variant::Plain },
                rate: FemtoUsd::new(0),
                by_default: false,
            });
        }
        if let Some(found) = first_of(chain, unsplit, |component| self.find(component)) {
            return Some(found);
        }
        let instead = self.instead.as_ref()?;
        let found = first_of(chain, unsplit, |component| instead.find(component))?;
        Some(Found { by_default: true, ..found })
    }

    #[inline(always)]
    fn find(&self, component: Component) -> Option<Found> {
        let base = self.base.as_ref().and_then(|base| base.find(component));
        let Some(over) = &self.over else { return base };
        let place = |found: &Found| (Reverse(found.cell.threshold), found.cell.variant);
        match (over.find(component), base) {
            (Some(over), Some(base)) if place(&base) < place(&over) => Some(base),
            (Some(over), _) => Some(over),
            (None, base) => base,
        }
    }
}

#[inline(always)]
fn first_of(chain: &[Component], unsplit: bool, find: impl Fn(Component) -> Option<Found>) -> Option<Found> {
    for &component in chain {
        let found = find(component);
        if component == Component::Input && unsplit {
            return found.into_iter().chain(find(Component::Output)).max_by_key(|found| found.rate);
        }
        if found.is_some() {
            return found;
        }
    }
    None
}
