//! The configuration as one immutable value, resolved: every limit has its counter, every name its number.
//!
//! A decision reads one [`Policy`] from beginning to end. An edit makes the next one, sharing all that did not
//! change, and publishes it whole; see [`edit`].

pub mod credentials;
pub(crate) mod current;
pub mod edit;
pub(crate) mod hashed;
pub(crate) mod names;
pub(crate) mod prices;
mod table;

use std::num::NonZero;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use crate::arena::Slot;
use crate::period::Duration;
use crate::pricing::RateCard;
use crate::routing::rules::RuleSet;
use crate::routing::sampler::Sampler;
use crate::units::Millis;
use credentials::{Credentials, Unpresented};
use table::Table;

/// The seeded hash that the rest of the core uses.
pub(crate) type Hasher = rapidhash::fast::RandomState;
pub(crate) type Map<K, V> = HashMap<K, V, Hasher>;
pub(crate) type Set<T> = HashSet<T, Hasher>;

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Tokens.
    Tokens = 0,
    /// Requests.
    Requests = 1,
    /// Nano-dollars.
    Budget = 2,
}

impl Kind {
    /// Every kind, in the order of its number.
    pub(crate) const ALL: [Kind; 3] = [Kind::Tokens, Kind::Requests, Kind::Budget];

    /// The kind with a number, from its lower two bits.
    #[inline(always)]
    pub(crate) fn of(number: i64) -> Kind {
        const KINDS: [Kind; 4] = [Kind::Tokens, Kind::Requests, Kind::Budget, Kind::Budget];
        KINDS[(number & 3) as usize]
    }

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Tokens => "tokens",
            Kind::Requests => "requests",
            Kind::Budget => "budget",
        }
    }
}

/// Who a limit belongs to, in rank order: the order in which limits are checked and reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// A provider config of a virtual key.
    ProviderConfig,
    /// A virtual key.
    VirtualKey,
    /// A team.
    Team,
    /// A customer: the team's, or the key's own.
    Customer,
    /// A model on one provider.
    ModelProvider,
    /// A model on any provider.
    Model,
    /// A provider.
    Provider,
}

impl Level {
    /// Every level, in rank order.
    pub(crate) const ALL: [Level; 7] = [
        Level::ProviderConfig,
        Level::VirtualKey,
        Level::Team,
        Level::Customer,
        Level::ModelProvider,
        Level::Model,
        Level::Provider,
    ];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Level::ProviderConfig => "provider_config",
            Level::VirtualKey => "virtual_key",
            Level::Team => "team",
            Level::Customer => "customer",
            Level::ModelProvider => "model_provider",
            Level::Model => "model",
            Level::Provider => "provider",
        }
    }
}

/// How a limit's windows lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Window {
    /// One after the other from the limit's creation on.
    Fixed,
    /// The last length of time, in sub-windows.
    Sliding,
    /// On the boundaries of the UTC calendar.
    Calendar,
}

impl Window {
    /// Every kind of window, in the order of its number.
    pub(crate) const ALL: [Window; 3] = [Window::Fixed, Window::Sliding, Window::Calendar];
}

/// What a limit is called, for those who are told about it.
#[derive(Debug)]
pub struct LimitName {
    /// The budget's or the rate limit's id.
    pub limit_id: Arc<str>,
    /// The limit's number.
    pub number: i64,
    /// The owner's id; at the level provider its name.
    pub owner_id: Arc<str>,
    /// Whose it is.
    pub level: Level,
    /// What it counts.
    pub kind: Kind,
    /// The length of its window.
    pub per: Duration,
    /// How its windows lie.
    pub window: Window,
    /// Since when they lie so.
    pub since: Millis,
    /// The most that a window may count.
    pub limit: i64,
}

/// One limit of one owner, with its counter.
#[derive(Clone, Debug)]
pub(crate) struct Limit {
    pub(crate) slot: Slot,
    pub(crate) kind: Kind,
    pub(crate) limit: i64,
    pub(crate) name: Arc<LimitName>,
}

/// The limits of one owner: a rate limit's tokens and requests, then its budgets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limits(pub(crate) Box<[Limit]>);

/// What the engine assumes and allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether a request without a virtual key is refused.
    pub require_virtual_key: bool,
    /// Output tokens held where no maximum is stated.
    pub estimate_output_tokens: i64,
    /// The most that such a guess may take of any limit, in parts per thousand million.
    pub estimate_share_ppb: i64,
    /// Whether a maximum that does not fit is refused rather than cut.
    pub fit_deny: bool,
    /// What happens where a cost is not known.
    pub unknown_price: UnknownPrice,
    /// What counts for an unknown price, where that is the policy.
    pub default_price: Option<RateCard>,
    /// How long a permit may stay open, and how long a closed one is remembered.
    pub permit_ttl_ms: i64,
    /// Whether what an expired permit held is given back rather than charged. Then a refused request may pass before the
    /// wait that it was told is over: which permits hold of a counter, and until when, only a walk over every open
    /// permit would tell, and a refusal must not cost more the more is open. It never passes later than told.
    pub give_back_on_expiry: bool,
    /// Permits that may be open, closed and remembered ones included.
    pub max_open_permits: i64,
    /// Whether a cost that the provider reports is believed.
    pub trust_reported_cost: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            require_virtual_key: true,
            estimate_output_tokens: 1_024,
            estimate_share_ppb: 100_000_000,
            fit_deny: false,
            unknown_price: UnknownPrice::DenyUnderBudget,
            default_price: None,
            permit_ttl_ms: 600_000,
            give_back_on_expiry: false,
            max_open_permits: 1_000_000,
            trust_reported_cost: false,
        }
    }
}

/// What happens where the cost of a request is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownPrice {
    /// Refused where any budget applies, counted as zero elsewhere.
    DenyUnderBudget,
    /// Always refused.
    Deny,
    /// The settings' own price instead; what that does not know either is as under `DenyUnderBudget`.
    DefaultPrice,
    /// Counted as zero.
    CountZero,
}

/// Which models a provider config or a provider key serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Models {
    Every,
    /// Sorted.
    These(Box<[Box<str>]>),
}

impl Models {
    pub(crate) fn new(names: Vec<Box<str>>) -> Models {
        if names.iter().any(|name| &**name == "*") {
            return Models::Every;
        }
        let mut names = names;
        names.sort_unstable();
        names.dedup();
        Models::These(names.into_boxed_slice())
    }

    #[inline(always)]
    pub(crate) fn allows(&self, model: &str) -> bool {
        match self {
            Models::Every => true,
            Models::These(names) => names.binary_search_by(|name| (**name).cmp(model)).is_ok(),
        }
    }
}

/// Which keys of a provider a provider config may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyChoice {
    Every,
    These(Box<[Box<str>]>),
}

/// What a virtual key may do with one provider.
#[derive(Clone, Debug)]
pub(crate) struct ProviderConfig {
    pub(crate) id: i64,
    pub(crate) provider: u32,
    /// None: not in the draw. Zero: never drawn.
    pub(crate) weight: Option<f64>,
    pub(crate) models: Models,
    pub(crate) keys: KeyChoice,
    pub(crate) limits: Limits,
}

/// Which tools of one MCP client a virtual key may call.
#[derive(Clone, Debug)]
pub(crate) struct McpConfig {
    pub(crate) client: Box<str>,
    pub(crate) tools: Models,
}

/// What proves that a request comes from a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credential {
    pub(crate) sha256: [u8; 32],
    /// None until it is first presented, where only the SHA-256 was given.
    pub(crate) fingerprint: Option<NonZero<u128>>,
}

/// A virtual key, resolved.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) number: u32,
    /// The number of its row: tells this key from another that gets its place, or its id, later.
    pub(crate) serial: u64,
    pub(crate) id: Arc<str>,
    /// For rules.
    pub(crate) name: Box<str>,
    pub(crate) active: bool,
    /// The end of time where it does not expire.
    pub(crate) expires_at: Millis,
    pub(crate) team: Option<u32>,
    pub(crate) customer: Option<u32>,
    pub(crate) limits: Limits,
    /// In the order of their ids.
    pub(crate) configs: Box<[ProviderConfig]>,
    /// Draws among the configs that have a weight above zero; None where fewer than two have.
    pub(crate) sampler: Option<Box<Sampler>>,
    pub(crate) mcp: Box<[McpConfig]>,
    pub(crate) credentials: Box<[Credential]>,
    /// The lower half of the first credential's fingerprint (zero where there is none), in the key itself: the list is
    /// a line of memory of its own, which a decision by handle would fetch for it.
    pub(crate) fingerprint: i64,
}

impl Key {
    pub(crate) fn fingerprint_of(credentials: &[Credential]) -> i64 {
        credentials.first().and_then(|first| first.fingerprint).map_or(0, |found| found.get() as i64)
    }
}

/// A team, resolved.
#[derive(Clone, Debug)]
pub(crate) struct Team {
    pub(crate) id: Arc<str>,
    /// For rules.
    pub(crate) name: Box<str>,
    pub(crate) customer: Option<u32>,
    pub(crate) limits: Limits,
}

/// A customer, resolved.
#[derive(Clone, Debug)]
pub(crate) struct Customer {
    pub(crate) id: Arc<str>,
    /// For rules.
    pub(crate) name: Box<str>,
    pub(crate) limits: Limits,
}

/// A provider's own key.
#[derive(Clone, Debug)]
pub(crate) struct ProviderKey {
    pub(crate) id: Arc<str>,
    pub(crate) weight: Option<f64>,
    pub(crate) enabled: bool,
    pub(crate) models: Models,
    pub(crate) batch: bool,
}

/// A provider that the configuration names anywhere. Its number is never another's.
#[derive(Clone, Debug)]
pub(crate) struct Provider {
    pub(crate) name: Arc<str>,
    pub(crate) limits: Limits,
    pub(crate) keys: Box<[ProviderKey]>,
    /// Whether any row names it: while one does, `name/model` means this provider.
    pub(crate) named: bool,
}

/// Every provider by name and by number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Providers {
    pub(crate) by_name: Map<Arc<str>, u32>,
    pub(crate) list: Vec<Arc<Provider>>,
}

/// The limits of one model name.
#[derive(Clone, Debug, Default)]
pub(crate) struct ModelLimits {
    /// On any provider.
    pub(crate) any: Limits,
    /// On one provider.
    pub(crate) on: Vec<(u32, Limits)>,
}

/// One whole configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policy {
    pub(crate) version: u64,
    pub(crate) settings: Settings,
    pub(crate) credentials: Credentials,
    /// Keys known by their SHA-256 alone.
    pub(crate) unlearned: Unpresented,
    pub(crate) keys: Table<Arc<Key>, 6>,
    pub(crate) teams: Table<Arc<Team>, 6>,
    pub(crate) customers: Table<Arc<Customer>, 6>,
    pub(crate) providers: Arc<Providers>,
    pub(crate) models: Arc<Map<Box<str>, ModelLimits>>,
    /// None where there is no rule.
    pub(crate) rules: Option<Arc<RuleSet>>,
    pub(crate) prices: Arc<prices::Prices>,
}

impl Policy {
    /// The number of a provider that the configuration names.
    #[inline(always)]
    pub(crate) fn provider(&self, name: &str) -> Option<u32> {
        let number = *self.providers.by_name.get(name)?;
        (self.providers.list[number as usize].named).then_some(number)
    }

    /// The team of a key, and the customer: its own, or the team's.
    pub(crate) fn above(&self, key: &Key) -> (Option<&Team>, Option<&Customer>) {
        let team = key.team.and_then(|team| self.teams.get(team));
        let customer = key.customer.or_else(|| team.and_then(|team| team.customer));
        let customer = customer.and_then(|customer| self.customers.get(customer));
        (team.map(|team| &**team), customer.map(|customer| &**customer))
    }
}
