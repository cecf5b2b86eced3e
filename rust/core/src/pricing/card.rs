//! The prices of one model: a table of component x threshold x variant in which few cells have a price.
//!
//! A column is all prices of one threshold and variant, in the order of components, with a bit for each component
//! that has one: the price stands where the bits below it count to. Columns stand in the order of looking, the
//! highest threshold first, and of one threshold batch, priority, flex, plain. A model with prices per token alone
//! takes some 60 bytes.

use std::cmp::Reverse;

use super::component::{Cell, Component, Variant};
use crate::units::FemtoUsd;

/// The most columns of a card. Real ones have up to ten; a file that means harm could make every call look at
/// thousands.
pub const MAX_COLUMNS: usize = 64;

// A column has one bit for each component.
const _: () = assert!(Component::ALL.len() <= u64::BITS as usize);

/// The prices of one model, by themselves or under a patch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateCard {
    columns: Box<[Column]>,
    rates: Box<[FemtoUsd]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Column {
    threshold: i64,
    variant: Variant,
    /// Which components have a price here.
    has: u64,
    /// Where its prices begin.
    start: u16,
}

/// More than [`MAX_COLUMNS`] thresholds and variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyColumns;

/// A price, and where it was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) cell: Cell,
    pub(super) rate: FemtoUsd,
}

impl RateCard {
    /// A card of these prices. Of two for one cell the later counts.
    ///
    /// # Errors
    /// [`TooManyColumns`].
    pub fn new(prices: impl IntoIterator<Item = (Cell, FemtoUsd)>) -> Result<RateCard, TooManyColumns> {
        let mut prices: Vec<(Cell, FemtoUsd)> = prices.into_iter().collect();
        let place = |cell: &Cell| (Reverse(cell.threshold), cell.variant, cell.component);
        prices.sort_by_key(|(cell, _)| place(cell));
        let mut columns: Vec<Column> = Vec::new();
        let mut rates: Vec<FemtoUsd> = Vec::with_capacity(prices.len());
        for (at, (cell, rate)) in prices.iter().enumerate() {
            // The sort is stable: the last of equal cells is the one that was given last.
            if prices.get(at + 1).is_some_and(|(next, _)| next == cell) {
                continue;
            }
            let Cell { component, threshold, variant } = *cell;
            let here =
                columns.last().is_some_and(|last| (last.threshold, last.variant) == (threshold, variant));
            if !here {
                let start = u16::try_from(rates.len()).map_err(|_| TooManyColumns)?;
                columns.push(Column { threshold, variant, has: 0, start });
            }
            if let Some(column) = columns.last_mut() {
                column.has |= 1 << component as u8;
            }
            rates.push(*rate);
        }
        if columns.len() > MAX_COLUMNS {
            return Err(TooManyColumns);
        }
        Ok(RateCard { columns: columns.into(), rates: rates.into() })
    }

    /// This card with other prices in some cells.
    ///
    /// # Errors
    /// [`TooManyColumns`].
    pub fn with(
        &self,
        prices: impl IntoIterator<Item = (Cell, FemtoUsd)>,
    ) -> Result<RateCard, TooManyColumns> {
        RateCard::new(self.prices().chain(prices))
    }

    /// Every price.
    pub fn prices(&self) -> impl Iterator<Item = (Cell, FemtoUsd)> {
        self.columns.iter().flat_map(move |column| {
            let here =
                Component::ALL.iter().filter(move |&&component| column.has >> component as u8 & 1 == 1);
            here.enumerate().map(move |(place, &component)| {
                let cell = Cell { component, threshold: column.threshold, variant: column.variant };
                (cell, self.rates[usize::from(column.start) + place])
            })
        })
    }

    /// The price of a component for a prompt of so many tokens, called in these ways (a bit for each variant).
    #[inline(always)]
    pub(super) fn find(&self, component: Component, prompt: i64, ways: u8) -> Option<Found> {
        let bit = component as u8;
        for column in &self.columns {
            if column.has >> bit & 1 == 1
                && ways >> column.variant as u8 & 1 == 1
                && column.threshold < prompt
            {
                let below = (column.has & ((1 << bit) - 1)).count_ones();
                let rate = self.rates[usize::from(column.start) + below as usize];
                let cell = Cell { component, threshold: column.threshold, variant: column.variant };
                return Some(Found { cell, rate });
            }
        }
        None
    }
}
