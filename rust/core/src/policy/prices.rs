//! The prices in force, and those that permits still settle by.
//!
//! A permit settles by the prices of its admission, whatever was edited since. It keeps numbers ([`Tariff`]): of the
//! catalogue, of the row in it, of the override. No number is another's later, and what has left force keeps its number for as
//! long as a permit may be settled by it. Two million permits can share one row, and none of them counts references.

use std::sync::Arc;

use super::UnknownPrice;
use super::hashed::{Entry, Hashed};
use crate::pricing::{BaseRow, Catalogue, Effect, FoundBy, Ids, OverrideRow, Overrides, RateCard, Rates};
use crate::request::RequestType;
use crate::usage::{Usage, Word};

/// An override with its number, and its patch as a card.
#[derive(Debug)]
pub(crate) struct InForce {
    pub(crate) row: OverrideRow,
    pub(crate) number: u32,
    pub(crate) over: Arc<Over>,
}

/// What is laid over a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Over {
    Card(RateCard),
    Free,
}

impl InForce {
    pub(crate) fn new(row: OverrideRow, number: u32) -> InForce {
        let over = match &row.effect {
            Effect::Free => Over::Free,
            Effect::Patch(patch) => Over::Card(patch.card().unwrap_or_default()),
        };
        InForce { row, number, over: Arc::new(over) }
    }
}

impl AsRef<OverrideRow> for Arc<InForce> {
    fn as_ref(&self) -> &OverrideRow {
        &self.row
    }
}

/// All prices of one configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prices {
    /// Above that of all prices before.
    pub(crate) generation: u64,
    /// By number; the last one is in force.
    pub(crate) catalogues: Vec<(u32, Arc<Catalogue>)>,
    pub(crate) overrides: Overrides<Arc<InForce>>,
    /// What every override lays over a row that is in force or was.
    pub(crate) known: Hashed<Numbered>,
}

/// What an override lays over a row, by its number.
#[derive(Clone, Debug)]
pub(crate) struct Numbered(pub(crate) u32, pub(crate) Arc<Over>);

/// Numbers follow each other: their last bits part them evenly.
impl Entry for Numbered {
    #[inline(always)]
    fn hash(&self) -> u64 {
        u64::from(self.0)
    }
}

/// What applies to a call.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Applies<'p> {
    pub(crate) row: Option<(&'p BaseRow, FoundBy)>,
    pub(crate) over: Option<&'p InForce>,
    pub(crate) tariff: Tariff,
}

/// How a call is made, as far as its price depends on it and its usage need not say so again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manner {
    pub(crate) request_type: RequestType,
    pub(crate) batch: bool,
    /// The service tier's place in its list of texts.
    pub(crate) tier: Option<u8>,
}

/// By what a permit is settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tariff {
    pub(crate) catalogue: u32,
    /// Numbers, counted from 1; 0 for none.
    pub(crate) row: u32,
    pub(crate) over: u32,
    pub(crate) manner: Manner,
}

impl Prices {
    /// Whether nothing has a price.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.catalogues.is_empty() && self.overrides.is_empty()
    }

    /// What applies to a call of a provider's model.
    #[inline]
    pub(crate) fn resolve(&self, ids: &Ids<'_>, model: &str, manner: Manner) -> Applies<'_> {
        let mut applies = Applies { tariff: Tariff { manner, ..Tariff::default() }, ..Applies::default() };
        if let Some((number, catalogue)) = self.catalogues.last()
            && let Some((row, by)) = catalogue.find(ids.provider.unwrap_or(""), model)
        {
            applies.row = Some((&catalogue.rows()[row as usize], by));
            applies.tariff.catalogue = *number;
            applies.tariff.row = row + 1;
        }
        if !self.overrides.is_empty()
            && let Some(over) = self.overrides.resolve(ids, model, manner.request_type)
        {
            applies.over = Some(over);
            applies.tariff.over = over.number + 1;
        }
        applies
    }

    /// The prices of a tariff.
    #[inline]
    pub(crate) fn rates(&self, tariff: Tariff) -> Rates<'_> {
        let row = tariff.row.checked_sub(1).and_then(|row| {
            let of = |(number, _): &&(u32, _)| *number == tariff.catalogue;
            self.catalogues.iter().rev().find(of)?.1.rows().get(row as usize)
        });
        let known = |number: u32| self.known.get(u64::from(number), |other| other.0 == number);
        rates(row, tariff.over.checked_sub(1).and_then(known).map(|known| &*known.1))
    }
}

#[inline]
fn rates<'p>(row: Option<&'p BaseRow>, over: Option<&'p Over>) -> Rates<'p> {
    let (card, free) = match over {
        None => (None, false),
        Some(Over::Card(card)) => (Some(card), false),
        Some(Over::Free) => (None, true),
    };
    Rates { base: row.map(|row| &row.card), over: card, instead: None, free }
}

impl<'p> Applies<'p> {
    /// Its prices.
    #[inline]
    pub(crate) fn rates(&self) -> Rates<'p> {
        rates(self.row.map(|(row, _)| row), self.over.map(|over| &*over.over))
    }
}

impl super::Settings {
    /// These prices, with what the settings say of unknown ones.
    #[inline]
    pub(crate) fn rates<'p>(&'p self, rates: Rates<'p>) -> Rates<'p> {
        let instead =
            self.default_price.as_ref().filter(|_| self.unknown_price == UnknownPrice::DefaultPrice);
        Rates { instead, ..rates }
    }
}

impl Manner {
    /// That of a request of this type with this expected usage.
    #[inline]
    pub(crate) fn new(request_type: RequestType, expected: Option<&Usage>) -> Manner {
        let get = |word| expected.and_then(|usage| usage.get(word));
        Manner {
            request_type,
            batch: get(Word::Batch) == Some(1),
            tier: get(Word::ServiceTier).map(|tier| tier as u8),
        }
    }

    /// The usage with what it does not say again.
    pub(crate) fn complete(self, usage: &Usage) -> Option<Usage> {
        let batch = self.batch && usage.get(Word::Batch).is_none();
        let tier = self.tier.filter(|_| usage.get(Word::ServiceTier).is_none());
        if !batch && tier.is_none() {
            return None;
        }
        let mut whole = usage.clone();
        let words = [(Word::Batch, batch.then_some(1)), (Word::ServiceTier, tier.map(i64::from))];
        for (word, value) in words {
            if let Some(value) = value {
                // No value of these is negative.
                let _ = whole.set(word, value);
            }
        }
        Some(whole)
    }

    /// As one word.
    pub(crate) fn bits(self) -> u32 {
        let tier = self.tier.map_or(0, |tier| u32::from(tier) + 1);
        self.request_type as u32 | u32::from(self.batch) << 8 | tier << 16
    }

    /// From that word.
    pub(crate) fn of(bits: u32) -> Manner {
        let place = (bits & 0xff) as usize;
        Manner {
            request_type: RequestType::ALL.get(place).copied().unwrap_or_default(),
            batch: bits >> 8 & 1 == 1,
            tier: ((bits >> 16) as u8).checked_sub(1),
        }
    }
}

impl Tariff {
    /// As two words.
    #[inline(always)]
    pub(crate) fn words(self) -> [i64; 2] {
        let pair = |high: u32, low: u32| (u64::from(high) << 32 | u64::from(low)) as i64;
        [pair(self.row, self.over), pair(self.catalogue, self.manner.bits())]
    }

    #[inline(always)]
    pub(crate) fn of(words: [i64; 2]) -> Tariff {
        let [rows, rest] = words.map(|word| ((word as u64 >> 32) as u32, word as u32));
        Tariff { row: rows.0, over: rows.1, catalogue: rest.0, manner: Manner::of(rest.1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tariff_is_what_its_words_say() {
        for &request_type in RequestType::ALL {
            for (batch, tier) in [(false, None), (true, Some(0)), (false, Some(7))] {
                let manner = Manner { request_type, batch, tier };
                let tariff = Tariff { catalogue: 3, row: u32::MAX, over: 7, manner };
                assert_eq!(Tariff::of(tariff.words()), tariff);
            }
        }
    }
}
