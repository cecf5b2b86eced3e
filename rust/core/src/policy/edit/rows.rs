//! What an edit says: entities and their limits as they are wanted.

use std::sync::Arc;

use crate::period::Duration;
use crate::policy::{Kind, Settings, Window};
use crate::pricing::{Catalogue, OverrideRow};
use crate::routing::rules::RuleRow;
use crate::units::Millis;

/// The end of time, for what does not end.
pub const NEVER: Millis = Millis::new(i64::MAX);

/// One limit as it is wanted. Known by its id and kind within its owner.
#[derive(Clone, Debug)]
pub struct LimitRow {
    /// The budget's or the rate limit's id.
    pub id: Box<str>,
    /// Its number, which no other limit ever has: what it is called where its counts are kept.
    pub number: i64,
    /// What it counts.
    pub kind: Kind,
    /// The most that a window may count: tokens, requests, nano-dollars.
    pub limit: i64,
    /// The window's length.
    pub per: Duration,
    /// How the windows lie.
    pub window: Window,
    /// Where a rolling window begins, and so all of them. Read where a counter is made: for a new limit, or one whose
    /// duration or kind of window is another.
    pub anchor: Millis,
    /// Since when its windows lie so: its creation, or the edit of its duration or kind of window.
    pub since: Millis,
}

/// A provider config as it is wanted.
#[derive(Clone, Debug)]
pub struct ProviderConfigRow {
    /// Its integer id; configs come in the order of these.
    pub id: i64,
    /// The provider's name.
    pub provider: Box<str>,
    /// None: out of the draw.
    pub weight: Option<f64>,
    /// Model names, or `*`.
    pub allowed_models: Vec<Box<str>>,
    /// None: any key of the provider.
    pub key_ids: Option<Vec<Box<str>>>,
    /// Its limits.
    pub limits: Vec<LimitRow>,
}

/// What proves that a request comes from a key.
#[derive(Clone, Debug)]
pub struct CredentialRow {
    /// SHA-256 of the value.
    pub sha256: [u8; 32],
    /// Fingerprint of the value under the engine's seeds, where the value is at hand.
    pub fingerprint: Option<u128>,
    /// Valid before this instant.
    pub until: Millis,
}

/// A virtual key as it is wanted.
#[derive(Clone, Debug)]
pub struct KeyRow {
    /// Its id.
    pub id: Box<str>,
    /// Its name, for rules.
    pub name: Box<str>,
    /// Its number, which no other key ever has, also none with the same id.
    pub number: u64,
    /// Whether it may be used.
    pub active: bool,
    /// Refused as inactive from this instant on.
    pub expires_at: Millis,
    /// Its team's id.
    pub team: Option<Box<str>>,
    /// Its own customer's id.
    pub customer: Option<Box<str>>,
    /// None: as before.
    pub credentials: Option<Vec<CredentialRow>>,
    /// Its limits.
    pub limits: Vec<LimitRow>,
    /// What it may do with which provider, in the order of the ids.
    pub provider_configs: Vec<ProviderConfigRow>,
    /// Client name and tools.
    pub mcp_configs: Vec<(Box<str>, Vec<Box<str>>)>,
}

/// One change of the configuration.
#[derive(Clone, Debug)]
pub enum Edit {
    /// All settings.
    Settings(Settings),
    /// A customer and its limits.
    Customer {
        /// Its id.
        id: Box<str>,
        /// Its name, for rules.
        name: Box<str>,
        /// Its limits.
        limits: Vec<LimitRow>,
    },
    /// A team and its limits.
    Team {
        /// Its id.
        id: Box<str>,
        /// Its name, for rules.
        name: Box<str>,
        /// Its customer's id.
        customer: Option<Box<str>>,
        /// Its limits.
        limits: Vec<LimitRow>,
    },
    /// A virtual key with all that it owns.
    VirtualKey(Box<KeyRow>),
    /// A provider's name and limits.
    Provider {
        /// Its name.
        name: Box<str>,
        /// Its limits.
        limits: Vec<LimitRow>,
    },
    /// A key of a provider.
    ProviderKey {
        /// The provider's name.
        provider: Box<str>,
        /// The key's id.
        id: Box<str>,
        /// None: out of the draw.
        weight: Option<f64>,
        /// Whether it may serve.
        enabled: bool,
        /// Model names, or `*`.
        models: Vec<Box<str>>,
        /// Whether it may serve batch calls.
        batch: bool,
    },
    /// Limits of a model, on one provider or on any.
    ModelConfig {
        /// Its id.
        id: Box<str>,
        /// The model's name.
        model: Box<str>,
        /// None: on any provider.
        provider: Option<Box<str>>,
        /// Its limits.
        limits: Vec<LimitRow>,
    },
    /// A routing rule.
    Rule(Box<RuleRow>),
    /// All base rows of prices, in the place of those before.
    Catalogue(Arc<Catalogue>),
    /// Other prices for some calls.
    PricingOverride(Box<OverrideRow>),
    /// The end of an entity.
    Delete {
        /// What it is.
        entity: Entity,
        /// Its id; a provider's name.
        id: Box<str>,
    },
}

/// A kind of entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Entity {
    /// A customer.
    Customer,
    /// A team.
    Team,
    /// A virtual key.
    VirtualKey,
    /// A provider.
    Provider,
    /// A key of a provider.
    ProviderKey,
    /// A model config.
    ModelConfig,
    /// A routing rule.
    Rule,
    /// A pricing override.
    PricingOverride,
}
