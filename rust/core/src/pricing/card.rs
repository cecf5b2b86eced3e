//! The prices of one model: a table of component x threshold x variant in which few cells have a price.
//!
//! A column is all prices of one threshold and variant, one after the other, and a byte for each component that says
//! where its price is. Columns stand in the order of looking, the highest threshold first, and of one threshold batch,
//! priority, flex, plain. A model with prices per token alone takes some 100 bytes.

use std::cmp::Reverse;

use super::component::{ANY_PROMPT, Cell, Component, Variant};
use crate::units::FemtoUsd;

/// The most columns of a card. Real ones have up to ten; a file that means harm could make every call look at
/// thousands.
pub const MAX_COLUMNS: usize = 64;

/// The ways of a plain call.
pub(super) const PLAIN: u8 = 1 << Variant::Plain as u8;

const COMPONENTS: usize = Component::ALL.len();

/// The prices of one model, by themselves or under a patch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RateCard {
    columns: Box<[Column]>,
    rates: Box<[FemtoUsd]>,
    /// The lowest threshold that a prompt can be below; below every prompt where the last column is not for any call.
    least: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Column {
    threshold: i64,
    variant: Variant,
    /// Where its prices begin.
    start: u16,
    /// Which of them is a component's, counted from 1; 0 where it has none here.
    places: [u8; COMPONENTS],
}

/// More than [`MAX_COLUMNS`] thresholds and variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyColumns;

/// A price, and where it was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) cell: Cell,
    pub(super) rate: FemtoUsd,
    /// Whether it stands in for one that is not known.
    pub(super) by_default: bool,
}

/// Without any price.
impl Default for RateCard {
    fn default() -> RateCard {
        RateCard { columns: Box::default(), rates: Box::default(), least: ANY_PROMPT }
    }
}

impl RateCard {
    /// A card of these prices. Of two for one cell the later counts.
    ///
    /// # Errors
    /// [`TooManyColumns`].
    pub fn new(prices: impl IntoIterator<Item = (Cell, FemtoUsd)>) -> Result<RateCard, TooManyColumns> {
        let card = RateCard::of(prices)?;
        if card.columns.len() > MAX_COLUMNS { Err(TooManyColumns) } else { Ok(card) }
    }

    /// The same, of prices that are known to be those of a card and a patch.
    pub(crate) fn of(prices: impl IntoIterator<Item = (Cell, FemtoUsd)>) -> Result<RateCard, TooManyColumns> {
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
                columns.push(Column { threshold, variant, start, places: [0; COMPONENTS] });
            }
            rates.push(*rate);
            if let Some(column) = columns.last_mut() {
                column.places[component as usize] = (rates.len() - usize::from(column.start)) as u8;
            }
        }
        let thresholds = columns.iter().map(|column| column.threshold);
        let last = columns.last().map(|column| (column.threshold, column.variant));
        let least = match last {
            Some((ANY_PROMPT, Variant::Plain)) => {
                thresholds.filter(|threshold| *threshold != ANY_PROMPT).min().unwrap_or(i64::MAX)
            }
            _ => ANY_PROMPT,
        };
        Ok(RateCard { columns: columns.into(), rates: rates.into(), least })
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

    /// Whether it has no price at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rates.is_empty()
    }

    /// Every price.
    pub fn prices(&self) -> impl Iterator<Item = (Cell, FemtoUsd)> {
        self.columns.iter().flat_map(move |column| {
            Component::ALL.iter().filter_map(move |&component| {
                let found = self.at(column, component)?;
                Some((found.cell, found.rate))
            })
        })
    }

    #[inline(always)]
    fn at(&self, column: &Column, component: Component) -> Option<Found> {
        let place = usize::from(column.places[component as usize]).checked_sub(1)?;
        let rate = *self.rates.get(usize::from(column.start) + place)?;
        let cell = Cell { component, threshold: column.threshold, variant: column.variant };
        Some(Found { cell, rate, by_default: false })
    }

    /// The columns that may have prices for a prompt of so many tokens, called in these ways (a bit for each variant).
    /// Nearly every call is plain, and below every threshold: then it is the last one alone, if that is plain.
    #[inline(always)]
    pub(super) fn columns_for(&self, prompt: i64, ways: u8) -> Columns<'_> {
        let skipped = if ways == PLAIN && prompt <= self.least {
            self.columns.len() - 1
        } else {
            self.columns.iter().take_while(|column| column.threshold >= prompt).count()
        };
        Columns { card: self, columns: &self.columns[skipped..], ways }
    }

    /// The last column by itself, where it is all that a plain call with a prompt of so many tokens may find.
    #[inline(always)]
    pub(super) fn plain_for(&self, prompt: i64) -> Option<Plain<'_>> {
        let column = self.columns.last().filter(|_| prompt <= self.least)?;
        Some(Plain { places: &column.places, rates: self.rates.get(usize::from(column.start)..)? })
    }
}

/// The plain prices of a card, below every threshold.
#[derive(Clone, Copy)]
pub(super) struct Plain<'a> {
    places: &'a [u8; COMPONENTS],
    rates: &'a [FemtoUsd],
}

impl Plain<'_> {
    /// The first price of a chain of components.
    #[inline(always)]
    pub(super) fn first(&self, chain: &[Component]) -> Option<Found> {
        chain.iter().find_map(|&component| {
            let place = usize::from(self.places[component as usize]).checked_sub(1)?;
            let rate = *self.rates.get(place)?;
            Some(Found { cell: Cell::plain(component), rate, by_default: false })
        })
    }
}

/// What of a card is looked at for a call.
#[derive(Clone, Copy)]
pub(super) struct Columns<'a> {
    card: &'a RateCard,
    columns: &'a [Column],
    ways: u8,
}

impl Columns<'_> {
    /// The price of a component.
    #[inline(always)]
    pub(super) fn find(&self, component: Component) -> Option<Found> {
        for column in self.columns {
            if self.ways >> column.variant as u8 & 1 == 1
                && let Some(found) = self.card.at(column, component)
            {
                return Some(found);
            }
        }
        None
    }
}
