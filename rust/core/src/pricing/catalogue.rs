//! The base rows: the prices of many models, found by provider and model.
//!
//! A row `azure/gpt-4o` is the model `gpt-4o` of `azure`, and also a model whose name has a slash. So each row is known
//! by every name that may call it, and a name is looked up once: what hangs there tells whose it is.

use super::card::RateCard;
use super::component::Cell;
use super::overrides::Pattern;
use super::patch::PricingPatch;
use crate::policy::Map;
use crate::units::FemtoUsd;

/// The prices of one model.
#[derive(Clone, Debug)]
pub struct BaseRow {
    /// What the price file calls it.
    pub name: Box<str>,
    /// Whose model it is, where the file says so.
    pub provider: Option<Box<str>>,
    /// Its prices.
    pub card: RateCard,
    /// Whether the file says more about its prices than is taken: see [`super::is_about_prices`].
    pub in_part: bool,
}

/// How a row was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundBy {
    /// By its name, and it is this provider's.
    ProviderAndName,
    /// As `provider/name`.
    Both,
    /// By its name alone.
    Name,
}

impl FoundBy {
    /// The words for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            FoundBy::ProviderAndName => "provider and name",
            FoundBy::Both => "provider/name",
            FoundBy::Name => "name",
        }
    }
}

/// Every row, by the names that call it.
#[derive(Debug, Default)]
pub struct Catalogue {
    rows: Box<[BaseRow]>,
    names: Map<Box<str>, Named>,
}

/// The rows of one name, as numbers.
#[derive(Debug, Default)]
struct Named {
    /// The one that has this name.
    own: Option<u32>,
    /// Those that have it behind a provider's.
    of: Vec<(Box<str>, u32)>,
}

/// A rate that a patch would move more than this many times, up or down, is one that nobody means unless he says so.
const FARTHEST: i64 = 1_000;

impl Catalogue {
    /// Of these rows. Of two with one name the later counts.
    #[must_use]
    pub fn new(rows: Vec<BaseRow>) -> Catalogue {
        let mut names: Map<Box<str>, Named> = Map::default();
        for (number, row) in (0u32..).zip(&rows) {
            names.entry(row.name.clone()).or_default().own = Some(number);
            for (slash, _) in row.name.match_indices('/') {
                let (provider, model) = (&row.name[..slash], &row.name[slash + 1..]);
                names.entry(model.into()).or_default().of.push((provider.into(), number));
            }
        }
        Catalogue { rows: rows.into(), names }
    }

    /// The rows.
    #[must_use]
    pub fn rows(&self) -> &[BaseRow] {
        &self.rows
    }

    /// The number of the row of a provider's model, and how it was found: by both, as `provider/model`, or by the model's
    /// name alone. The provider may be empty.
    #[inline]
    #[must_use]
    pub fn find(&self, provider: &str, model: &str) -> Option<(u32, FoundBy)> {
        let named = self.names.get(model)?;
        let is_its = |row: u32| self.rows[row as usize].provider.as_deref() == Some(provider);
        if let Some(own) = named.own.filter(|own| is_its(*own)) {
            return Some((own, FoundBy::ProviderAndName));
        }
        if let Some((_, row)) = named.of.iter().rfind(|(of, _)| **of == *provider) {
            return Some((*row, FoundBy::Both));
        }
        named.own.map(|own| (own, FoundBy::Name))
    }

    /// The first field of a patch that is more than 1,000 times a rate of a model that the pattern names, or less than a
    /// thousandth of it: the model's row and the field. Of a patch for one provider the rows count that its calls find.
    #[must_use]
    pub fn strays(
        &self,
        pattern: &Pattern,
        provider: Option<&str>,
        patch: &PricingPatch,
    ) -> Option<(&BaseRow, &'static str)> {
        let rows = |name: &str| {
            let found = match provider {
                Some(provider) => self.find(provider, name).map(|(row, _)| vec![row]),
                None => self.names.get(name).map(|named| {
                    named.own.iter().copied().chain(named.of.iter().map(|(_, row)| *row)).collect()
                }),
            };
            let rows = found.into_iter().flatten().map(|row| &self.rows[row as usize]);
            rows.filter_map(|row| Some((row, strays(&row.card, patch)?))).next()
        };
        match pattern {
            Pattern::Exact(name) => rows(name),
            Pattern::Prefix(text) => {
                let mut names: Vec<_> = self.names.keys().filter(|name| name.starts_with(&**text)).collect();
                // The same one every time.
                names.sort_unstable();
                names.into_iter().find_map(|name| rows(name))
            }
        }
    }
}

fn strays(card: &RateCard, patch: &PricingPatch) -> Option<&'static str> {
    let far = |one: FemtoUsd, other: FemtoUsd| {
        i128::from(one.get()) > i128::from(other.get()) * i128::from(FARTHEST)
    };
    let rate = |cell: Cell| card.prices().find(|(at, _)| *at == cell).map(|(_, rate)| rate);
    let given = patch.fields().filter(|(_, given)| given.get() > 0);
    given.map(|(field, given)| (field, given, Cell::of_field(field))).find_map(|(field, given, cells)| {
        let mut old = cells.into_iter().flatten().filter_map(rate).filter(|old| old.get() > 0);
        old.any(|old| far(given, old) || far(old, given)).then_some(field)
    })
}
