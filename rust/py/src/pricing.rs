//! Prices of a configuration: base rows, and the rows of overrides.

use std::sync::Arc;

use limen_core::policy::edit::Edit;
use limen_core::pricing::{self, BaseRow, Catalogue, Cell, Effect, OverrideRow, Pattern, Scope};
use limen_core::request::RequestType;
use limen_core::units::{FemtoUsd, Millis};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::convert;
use crate::edits::word;
use crate::primitives::RateCard;

/// The prices of many models, as decisions look them up: shared by every engine that has them.
///
/// `rows`: the model's name in a price file, its provider or None, its card.
#[pyclass(frozen, module = "limen._core")]
pub(crate) struct BasePrices(pub(crate) Arc<Catalogue>);

#[pymethods]
impl BasePrices {
    #[new]
    fn new(rows: Vec<(String, Option<String>, PyRef<'_, RateCard>)>) -> BasePrices {
        let row = |(name, provider, card): (String, Option<String>, PyRef<'_, RateCard>)| BaseRow {
            name: name.into(),
            provider: provider.map(Into::into),
            card: card.card().clone(),
            in_part: card.is_in_part(),
        };
        BasePrices(Arc::new(Catalogue::new(rows.into_iter().map(row).collect())))
    }

    fn __len__(&self) -> usize {
        self.0.rows().len()
    }

    /// (model, field) of the first rate that `patch`, femto-dollars by field, would move more than a thousandfold, of those
    /// models that `pattern` names; None where there is none. `provider` None: whoever's models they are.
    #[pyo3(signature = (pattern, wildcard, provider, patch))]
    fn strays(
        &self,
        pattern: &str,
        wildcard: bool,
        provider: Option<&str>,
        patch: &Bound<'_, PyDict>,
    ) -> PyResult<Option<(String, &'static str)>> {
        let strays = self.0.strays(&of_pattern(pattern, wildcard), provider, &of_patch(patch)?);
        Ok(strays.map(|(row, field)| (row.name.to_string(), field)))
    }
}

/// The edit that a row of base prices says.
pub(crate) fn catalogue(row: &Bound<'_, PyDict>) -> PyResult<Edit> {
    let prices =
        row.get_item("prices")?.ok_or_else(|| convert::fault("prices", "is missing from the row"))?;
    Ok(Edit::Catalogue(prices.cast::<BasePrices>()?.get().0.clone()))
}

#[derive(FromPyObject)]
struct OverrideItem<'py> {
    #[pyo3(item)]
    id: String,
    #[pyo3(item)]
    created_at_ms: i64,
    #[pyo3(item)]
    scope: String,
    #[pyo3(item)]
    virtual_key_id: Option<String>,
    #[pyo3(item)]
    provider_id: Option<String>,
    #[pyo3(item)]
    provider_key_id: Option<String>,
    #[pyo3(item)]
    pattern: String,
    #[pyo3(item)]
    wildcard: bool,
    #[pyo3(item)]
    request_types: Vec<String>,
    #[pyo3(item)]
    patch: Bound<'py, PyDict>,
    #[pyo3(item)]
    free: bool,
}

const SCOPES: [(&str, Scope); 6] = [
    ("virtual_key_provider_key", Scope::VirtualKeyProviderKey),
    ("virtual_key_provider", Scope::VirtualKeyProvider),
    ("virtual_key", Scope::VirtualKey),
    ("provider_key", Scope::ProviderKey),
    ("provider", Scope::Provider),
    ("global", Scope::Global),
];

/// The edit that a row of a pricing override says.
pub(crate) fn pricing_override(row: &Bound<'_, PyDict>) -> PyResult<Edit> {
    let item: OverrideItem<'_> = row.extract()?;
    let request_type = |name: &String| {
        RequestType::from_text(name)
            .ok_or_else(|| convert::fault("request_types", "must be types of requests"))
    };
    let effect = if item.free { Effect::Free } else { Effect::Patch(of_patch(&item.patch)?) };
    Ok(Edit::PricingOverride(Box::new(OverrideRow {
        id: item.id.into(),
        created_at: Millis::new(item.created_at_ms),
        scope: word("scope", &item.scope, &SCOPES)?,
        virtual_key: item.virtual_key_id.map(Into::into),
        provider: item.provider_id.map(Into::into),
        provider_key: item.provider_key_id.map(Into::into),
        pattern: of_pattern(&item.pattern, item.wildcard),
        request_types: item.request_types.iter().map(request_type).collect::<PyResult<_>>()?,
        effect,
    })))
}

fn of_pattern(text: &str, wildcard: bool) -> Pattern {
    match text.strip_suffix('*') {
        Some(prefix) if wildcard => Pattern::Prefix(prefix.into()),
        _ => Pattern::Exact(text.into()),
    }
}

fn of_patch(fields: &Bound<'_, PyDict>) -> PyResult<pricing::PricingPatch> {
    let mut patch = pricing::PricingPatch::default();
    for (name, femto) in fields.iter() {
        let (name, femto) = (convert::borrowed(&name, "patch")?, femto.extract::<i64>()?);
        patch.set(name, FemtoUsd::new(femto)).map_err(|unknown| convert::fault(name, unknown))?;
    }
    Ok(patch)
}

/// A card of these prices, femto-dollars by field.
pub(crate) fn card(fields: &Bound<'_, PyDict>) -> PyResult<pricing::RateCard> {
    let mut prices = Vec::with_capacity(fields.len());
    for (name, femto) in fields.iter() {
        let (name, femto) = (convert::borrowed(&name, "default_price")?, femto.extract::<i64>()?);
        let cells = Cell::of_field(name).ok_or_else(|| convert::fault(name, "is not a price"))?;
        prices.extend(cells.map(|cell| (cell, FemtoUsd::new(femto))));
    }
    pricing::RateCard::new(prices).map_err(|_| convert::fault("default_price", "has too many prices"))
}
