//! Resolved rows: from the dicts that the entities produce to the core's edits.

use limen_core::error::Fault;
use limen_core::period::Duration;
use limen_core::policy::edit::{CredentialRow, Edit, Entity, KeyRow, LimitRow, NEVER, ProviderConfigRow};
use limen_core::policy::{Kind, Settings, UnknownPrice, Window};
use limen_core::routing::rules::{RuleRow, Scope, TargetRow};
use limen_core::units::{Millis, NanoUsd, Rounding};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::convert;
use crate::core::{Core, sha256};
use crate::pricing;

#[derive(FromPyObject)]
struct LimitItem {
    #[pyo3(item)]
    id: String,
    #[pyo3(item)]
    number: i64,
    #[pyo3(item)]
    kind: String,
    #[pyo3(item)]
    limit: i64,
    #[pyo3(item)]
    per: String,
    #[pyo3(item)]
    window: String,
    #[pyo3(item)]
    anchor_ms: i64,
    #[pyo3(item)]
    since_ms: i64,
}

#[derive(FromPyObject)]
struct ConfigItem {
    #[pyo3(item)]
    id: i64,
    #[pyo3(item)]
    provider: String,
    #[pyo3(item)]
    weight: Option<f64>,
    #[pyo3(item)]
    allowed_models: Vec<String>,
    #[pyo3(item)]
    key_ids: Option<Vec<String>>,
    #[pyo3(item)]
    limits: Vec<LimitItem>,
}

#[derive(FromPyObject)]
struct McpItem {
    #[pyo3(item)]
    client: String,
    #[pyo3(item)]
    tools: Vec<String>,
}

#[derive(FromPyObject)]
struct CredentialItem {
    #[pyo3(item)]
    value: Option<String>,
    #[pyo3(item)]
    sha256: Option<[u8; 32]>,
    #[pyo3(item)]
    until_ms: Option<i64>,
}

#[derive(FromPyObject)]
struct KeyItem {
    #[pyo3(item)]
    id: String,
    #[pyo3(item)]
    name: String,
    #[pyo3(item)]
    number: u64,
    #[pyo3(item)]
    active: bool,
    #[pyo3(item)]
    expires_at_ms: Option<i64>,
    #[pyo3(item)]
    team_id: Option<String>,
    #[pyo3(item)]
    customer_id: Option<String>,
    #[pyo3(item)]
    credentials: Option<Vec<CredentialItem>>,
    #[pyo3(item)]
    limits: Vec<LimitItem>,
    #[pyo3(item)]
    provider_configs: Vec<ConfigItem>,
    #[pyo3(item)]
    mcp_configs: Vec<McpItem>,
}

#[derive(FromPyObject)]
struct TargetItem {
    #[pyo3(item)]
    provider: Option<String>,
    #[pyo3(item)]
    model: Option<String>,
    #[pyo3(item)]
    key_id: Option<String>,
    #[pyo3(item)]
    weight: f64,
}

#[derive(FromPyObject)]
struct SettingsItem<'py> {
    #[pyo3(item)]
    require_virtual_key: bool,
    #[pyo3(item)]
    estimate_output_tokens: i64,
    #[pyo3(item)]
    estimate_share: f64,
    #[pyo3(item)]
    fit: String,
    #[pyo3(item)]
    unknown_price: Option<String>,
    #[pyo3(item)]
    default_price: Option<Bound<'py, PyDict>>,
    #[pyo3(item)]
    permit_ttl_ms: i64,
    #[pyo3(item)]
    on_expiry: String,
    #[pyo3(item)]
    max_open_permits: i64,
    #[pyo3(item)]
    trust_reported_cost: bool,
}

/// One of a few words, or a fault that names them.
pub(crate) fn word<T: Copy>(param: &str, text: &str, words: &[(&str, T)]) -> PyResult<T> {
    words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        convert::fault(param, format!("must be one of: {}", known.join(", ")))
    })
}

fn boxes(texts: Vec<String>) -> Vec<Box<str>> {
    texts.into_iter().map(String::into_boxed_str).collect()
}

fn limit(item: LimitItem) -> PyResult<LimitRow> {
    let per =
        Duration::parse(&item.per).map_err(|error| convert::raise(Fault::invalid("per", error.message())))?;
    let kind = word(
        "kind",
        &item.kind,
        &[("tokens", Kind::Tokens), ("requests", Kind::Requests), ("budget", Kind::Budget)],
    )?;
    let window = word(
        "window",
        &item.window,
        &[("fixed", Window::Fixed), ("sliding", Window::Sliding), ("calendar", Window::Calendar)],
    )?;
    if item.limit < 0 {
        return Err(convert::fault("limit", "must not be negative"));
    }
    Ok(LimitRow {
        id: item.id.into(),
        number: item.number,
        kind,
        limit: item.limit,
        per,
        window,
        anchor: Millis::new(item.anchor_ms),
        since: Millis::new(item.since_ms),
    })
}

fn limits(items: Vec<LimitItem>) -> PyResult<Vec<LimitRow>> {
    items.into_iter().map(limit).collect()
}

/// The settings of an engine.
pub(crate) fn settings(row: &Bound<'_, PyDict>) -> PyResult<Settings> {
    let item: SettingsItem<'_> = row.extract()?;
    let share = NanoUsd::from_f64(item.estimate_share, Rounding::Up)
        .map_err(|error| convert::fault("estimate.share", error.message()))?;
    Ok(Settings {
        require_virtual_key: item.require_virtual_key,
        estimate_output_tokens: item.estimate_output_tokens,
        estimate_share_ppb: share.get(),
        fit_deny: word("estimate.fit", &item.fit, &[("shrink", false), ("deny", true)])?,
        unknown_price: match item.unknown_price {
            None => UnknownPrice::DenyUnderBudget,
            Some(text) => word(
                "unknown_price",
                &text,
                &[
                    ("deny", UnknownPrice::Deny),
                    ("default_price", UnknownPrice::DefaultPrice),
                    ("count_zero", UnknownPrice::CountZero),
                ],
            )?,
        },
        default_price: item.default_price.as_ref().map(pricing::card).transpose()?,
        permit_ttl_ms: item.permit_ttl_ms,
        give_back_on_expiry: word("on_expiry", &item.on_expiry, &[("charge", false), ("give_back", true)])?,
        max_open_permits: item.max_open_permits,
        trust_reported_cost: item.trust_reported_cost,
    })
}

fn key(core: &Core, item: KeyItem) -> PyResult<KeyRow> {
    let credential = |item: CredentialItem| {
        let digest = match (&item.value, item.sha256) {
            (_, Some(digest)) => digest,
            (Some(value), None) => sha256(value.as_bytes()),
            (None, None) => return Err(convert::fault("credentials", "needs a value or its SHA-256")),
        };
        Ok(CredentialRow {
            sha256: digest,
            fingerprint: item.value.as_deref().map(|value| core.engine.fingerprint(value)),
            until: item.until_ms.map_or(NEVER, Millis::new),
        })
    };
    let config = |item: ConfigItem| {
        Ok(ProviderConfigRow {
            id: item.id,
            provider: item.provider.into(),
            weight: item.weight,
            allowed_models: boxes(item.allowed_models),
            key_ids: item.key_ids.map(boxes),
            limits: limits(item.limits)?,
        })
    };
    Ok(KeyRow {
        id: item.id.into(),
        name: item.name.into(),
        number: item.number,
        active: item.active,
        expires_at: item.expires_at_ms.map_or(NEVER, Millis::new),
        team: item.team_id.map(Into::into),
        customer: item.customer_id.map(Into::into),
        credentials: item
            .credentials
            .map(|items| items.into_iter().map(credential).collect::<PyResult<_>>())
            .transpose()?,
        limits: limits(item.limits)?,
        provider_configs: item.provider_configs.into_iter().map(config).collect::<PyResult<_>>()?,
        mcp_configs: item.mcp_configs.into_iter().map(|mcp| (mcp.client.into(), boxes(mcp.tools))).collect(),
    })
}

fn field<'py, T>(row: &Bound<'py, PyDict>, name: &str) -> PyResult<T>
where
    T: for<'a> FromPyObject<'a, 'py, Error = PyErr>,
{
    row.get_item(name)?.ok_or_else(|| convert::fault(name, "is missing from the row"))?.extract()
}

fn text(row: &Bound<'_, PyDict>, name: &str) -> PyResult<Box<str>> {
    field::<String>(row, name).map(Into::into)
}

fn optional_text(row: &Bound<'_, PyDict>, name: &str) -> PyResult<Option<Box<str>>> {
    field::<Option<String>>(row, name).map(|text| text.map(Into::into))
}

fn rule(row: &Bound<'_, PyDict>) -> PyResult<RuleRow> {
    let id = || text(row, "scope_id");
    let target = |item: TargetItem| TargetRow {
        provider: item.provider.map(Into::into),
        model: item.model.map(Into::into),
        key_id: item.key_id.map(Into::into),
        weight: item.weight,
    };
    let fallback = |(provider, model): (String, Option<String>)| (provider.into(), model.map(Into::into));
    Ok(RuleRow {
        id: text(row, "id")?,
        scope: match &*field::<String>(row, "scope")? {
            "virtual_key" => Scope::VirtualKey(id()?),
            "team" => Scope::Team(id()?),
            "customer" => Scope::Customer(id()?),
            "global" => Scope::Global,
            _ => return Err(convert::fault("scope", "is not a scope")),
        },
        priority: field(row, "priority")?,
        created: Millis::new(field(row, "created_ms")?),
        enabled: field(row, "enabled")?,
        expression: text(row, "cel_expression")?,
        targets: field::<Vec<TargetItem>>(row, "targets")?.into_iter().map(target).collect(),
        fallbacks: field::<Vec<_>>(row, "fallbacks")?.into_iter().map(fallback).collect(),
    })
}

fn edit(core: &Core, row: &Bound<'_, PyDict>) -> PyResult<Edit> {
    let owned = || limits(field(row, "limits")?);
    Ok(match &*field::<String>(row, "op")? {
        "settings" => Edit::Settings(settings(row)?),
        "customer" => Edit::Customer { id: text(row, "id")?, name: text(row, "name")?, limits: owned()? },
        "team" => Edit::Team {
            id: text(row, "id")?,
            name: text(row, "name")?,
            customer: optional_text(row, "customer_id")?,
            limits: owned()?,
        },
        "virtual_key" => Edit::VirtualKey(Box::new(key(core, row.extract()?)?)),
        "provider" => Edit::Provider { name: text(row, "name")?, limits: owned()? },
        "provider_key" => Edit::ProviderKey {
            provider: text(row, "provider")?,
            id: text(row, "id")?,
            weight: field(row, "weight")?,
            enabled: field(row, "enabled")?,
            models: boxes(field(row, "models")?),
            batch: field(row, "batch")?,
        },
        "model_config" => Edit::ModelConfig {
            id: text(row, "id")?,
            model: text(row, "model")?,
            provider: optional_text(row, "provider")?,
            limits: owned()?,
        },
        "routing_rule" => Edit::Rule(Box::new(rule(row)?)),
        "price_catalog" => pricing::catalogue(row)?,
        "pricing_override" => pricing::pricing_override(row)?,
        "delete" => Edit::Delete {
            entity: word(
                "kind",
                &field::<String>(row, "kind")?,
                &[
                    ("customer", Entity::Customer),
                    ("team", Entity::Team),
                    ("virtual_key", Entity::VirtualKey),
                    ("provider", Entity::Provider),
                    ("provider_key", Entity::ProviderKey),
                    ("model_config", Entity::ModelConfig),
                    ("routing_rule", Entity::Rule),
                    ("pricing_override", Entity::PricingOverride),
                ],
            )?,
            id: text(row, "id")?,
        },
        _ => return Err(convert::fault("op", "is not a kind of edit")),
    })
}

/// Edits that `Engine.check` has read and found good, for the same engine: reading them again would cost as much again.
#[pyclass(frozen, module = "limen._core")]
pub(crate) struct Edits(pub(crate) Vec<Edit>);

#[pymethods]
impl Edits {
    fn __len__(&self) -> usize {
        self.0.len()
    }
}

/// A batch of rows.
pub(crate) fn read(core: &Core, rows: &Bound<'_, PyAny>) -> PyResult<Vec<Edit>> {
    let mut edits = Vec::new();
    for row in rows.try_iter()? {
        let row = row?;
        let row = row.cast::<PyDict>().map_err(|_| convert::fault("edits", "each edit is a dict"))?;
        edits.push(edit(core, row)?);
    }
    Ok(edits)
}
