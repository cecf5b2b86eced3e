//! Answers: a permit or a denial. A refusal is data.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::error::Code;
use crate::permit::Handle;
use crate::policy::LimitName;
use crate::routing::rules::{Fallback, Rule};
use crate::units::Millis;
use crate::window::Reading;

/// A limit that a request did not fit under, with its numbers as they were read.
#[derive(Clone, Debug)]
pub struct Violation {
    /// What it is called.
    pub name: Arc<LimitName>,
    /// The most that a window may count: tokens, requests, nano-dollars.
    pub limit: i64,
    /// Used in the current window.
    pub used: i64,
    /// Held in the current window by open permits.
    pub held: i64,
    /// The least that must fit.
    pub asked: i64,
    /// When what counts now will all be gone.
    pub reset_at: Millis,
    /// How long until the same request passes if nothing else comes; None where it never does. That open permits will
    /// expire before, and give back, is not foreseen: see [`crate::policy::Settings::give_back_on_expiry`].
    pub wait_ms: Option<i64>,
}

/// Why a target could not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The key may not use the provider.
    ProviderBlocked,
    /// The key may not use the model there.
    ModelBlocked,
    /// The provider has registered keys and none of them can serve.
    NoKey,
    /// It has no weight, so it is in no draw.
    NoWeight,
    /// A budget applies and the cost is not known.
    PriceUnknown,
    /// A limit that only this target meets.
    Limits,
}

impl Reason {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::ProviderBlocked => "provider_blocked",
            Reason::ModelBlocked => "model_blocked",
            Reason::NoKey => "no_key",
            Reason::NoWeight => "no_weight",
            Reason::PriceUnknown => "price_unknown",
            Reason::Limits => "limits",
        }
    }

    pub(crate) const fn code(self) -> Code {
        match self {
            Reason::ProviderBlocked | Reason::NoKey | Reason::NoWeight => Code::ProviderBlocked,
            Reason::ModelBlocked => Code::ModelBlocked,
            Reason::PriceUnknown => Code::PriceUnknown,
            Reason::Limits => Code::BudgetExceeded,
        }
    }
}

/// A target that was left out.
#[derive(Clone, Debug)]
pub struct Exclusion {
    /// The provider.
    pub provider: Arc<str>,
    /// The model.
    pub model: Box<str>,
    /// The provider key, where one had been drawn.
    pub key_id: Option<Arc<str>>,
    /// Why.
    pub reason: Reason,
    /// The limits, where they are the reason.
    pub limits: Vec<Violation>,
}

/// A refusal.
#[derive(Clone, Debug)]
pub struct Denial {
    /// Why.
    pub code: Code,
    /// Every limit that is violated, in rank order.
    pub limits: Vec<Violation>,
    /// Output tokens that would fit, where a maximum was refused.
    pub fits: Option<i64>,
    /// Targets that were left out, in the order in which they were tried.
    pub excluded: Vec<Exclusion>,
    /// How long until the same request passes if nothing else comes; None where waiting does not help.
    pub wait_ms: Option<i64>,
}

impl Denial {
    pub(crate) fn new(code: Code) -> Denial {
        Denial { code, limits: Vec::new(), fits: None, excluded: Vec::new(), wait_ms: None }
    }

    /// The same, without the list: the one target that was stated is told about by the denial itself.
    pub(crate) fn plain(self) -> Denial {
        Denial { excluded: Vec::new(), ..self }
    }

    /// A denial by limits: the code is that of the first in rank.
    pub(crate) fn by_limits(limits: Vec<Violation>, fits: Option<i64>) -> Denial {
        Denial { code: code_of(&limits), wait_ms: longest_wait(&limits), limits, fits, excluded: Vec::new() }
    }
}

/// Every limit of a target has room again only after the longest wait.
pub(crate) fn longest_wait(limits: &[Violation]) -> Option<i64> {
    if limits.is_empty() {
        return None;
    }
    limits.iter().try_fold(0, |longest, limit| Some(limit.wait_ms?.max(longest)))
}

pub(crate) fn code_of(limits: &[Violation]) -> Code {
    use crate::policy::Kind;
    let Some(first) = limits.first() else { return Code::RateLimited };
    let both = || limits.iter().skip(1).any(|other| other.name.limit_id == first.name.limit_id);
    match first.name.kind {
        Kind::Budget => Code::BudgetExceeded,
        Kind::Tokens if both() => Code::RateLimited,
        Kind::Tokens => Code::TokenLimited,
        Kind::Requests => Code::RequestLimited,
    }
}

/// A limit as it is called, and what its counter shows.
pub type Told = (Arc<LimitName>, Reading);

/// Which model text a permit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelText {
    /// None: a call of a tool alone.
    None,
    /// The request's, from this byte on (a provider's prefix is cut).
    Requested(usize),
    /// That of one of the request's fallbacks, from this byte on.
    Fallback {
        /// Which.
        index: usize,
        /// Where its model begins; at its end where it names none and the request's is meant.
        from: usize,
    },
    /// That of the grant's ruling.
    Ruled,
}

/// What a rule said: all that its answers name, since they outlive it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// The rule's id.
    pub rule_id: Arc<str>,
    /// The model that the target, or the fallback, names.
    pub model: Option<Box<str>>,
    /// The rule's fallbacks.
    pub fallbacks: Arc<[Fallback]>,
    /// The first of them that was not tried.
    pub next: usize,
}

/// Where to go if the permit's target fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fallbacks {
    /// The request's own, from this one on.
    Requested(usize),
    /// The other candidates, best first, with the same model.
    Others(SmallVec<[u32; 4]>),
    /// Those of the grant's ruling; for those that name no model it is the request's, from this byte on.
    Ruled(usize),
}

/// How the held tokens came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldReason {
    /// All of it was stated.
    Stated,
    /// A stated maximum is in it.
    Capped,
    /// Output was guessed.
    Guessed,
}

impl HeldReason {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            HeldReason::Stated => "stated",
            HeldReason::Capped => "capped",
            HeldReason::Guessed => "guessed",
        }
    }
}

/// What a permit's provider is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderText {
    /// Nobody was asked for one.
    None,
    /// The number of one that the configuration names.
    Known(u32),
    /// The one that the request states; the configuration does not name it.
    Stated,
    /// The one that this fallback of the request names; the configuration does not.
    Fallback(usize),
}

/// A permission: what to call, and what is held for it.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The permit; meaningless in the answer of a peek.
    pub handle: Handle,
    /// The provider to call.
    pub provider: ProviderText,
    /// Which model text it is for.
    pub model: ModelText,
    /// The provider key to call with; None where the gateway uses its own.
    pub key_id: Option<Arc<str>>,
    /// Where to go if the target fails.
    pub fallbacks: Fallbacks,
    /// How many output tokens may be produced, where the stated maximum was cut.
    pub max_output_tokens: Option<i64>,
    /// Held on request counters.
    pub held_requests: i64,
    /// Held on token counters.
    pub held_tokens: i64,
    /// Held on budgets, in nano-dollars.
    pub held_nano_usd: i64,
    /// Where what is held on budgets comes from; None where none applies.
    pub held_price: Option<PriceSource>,
    /// How the held tokens came about.
    pub held_reason: HeldReason,
    /// When it expires.
    pub expires_at: Millis,
    /// What most grants have nothing of: apart, since a grant is handed on by value.
    pub beside: Option<Box<Beside>>,
}

/// What few grants have.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// What the rule said that chose the target, where one did.
    pub ruling: Option<Arc<Ruling>>,
    /// Of a peek: the limits as they would be after the request. A permit's own are read from its counters.
    pub peeked: Box<[Told]>,
}

impl Grant {
    /// What the rule said that chose the target, where one did.
    #[must_use]
    pub fn ruling(&self) -> Option<&Ruling> {
        self.beside.as_ref().and_then(|beside| beside.ruling.as_deref())
    }

    /// Of a peek: the limits as they would be after the request.
    #[must_use]
    pub fn peeked(&self) -> &[Told] {
        self.beside.as_ref().map_or(&[], |beside| &beside.peeked)
    }
}

/// What `admit` and `peek` answer.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Go ahead.
    Permit(Grant),
    /// Do not.
    Denial(Box<Denial>),
}

/// What became of one rule, with the reason.
#[derive(Clone, Debug)]
pub struct Step {
    /// The rule.
    pub rule: Arc<Rule>,
    /// match, no_match, disabled, error or over_budget.
    pub result: &'static str,
    /// What a person reads.
    pub reason: String,
}

/// What a dry run found.
#[derive(Clone, Debug, Default)]
pub struct Evaluation {
    /// Variables that are texts.
    pub texts: Vec<(&'static str, String)>,
    /// Variables that are maps; names in small letters.
    pub maps: Vec<(&'static str, Vec<(String, String)>)>,
    /// Variables that are percentages.
    pub percents: Vec<(&'static str, f64)>,
    /// Every rule that was looked at, in its turn.
    pub steps: Vec<Step>,
    /// Where the rule that binds would send the request, or why it would refuse it; None where none binds.
    pub answer: Option<Answer>,
}

/// One counter that a dry run met.
#[derive(Clone, Debug)]
pub struct Counted {
    /// The limit's name.
    pub name: Arc<LimitName>,
    /// What it shows; of a target that serves, after the request.
    pub reading: Reading,
    /// What is asked of it; None where something else was in the way before limits were asked.
    pub asked: Option<i64>,
    /// Where it refuses.
    pub refusal: Option<Violation>,
}

impl Counted {
    pub(crate) fn new(name: &Arc<LimitName>, reading: Reading, asked: i64) -> Counted {
        Counted { name: name.clone(), reading, asked: Some(asked), refusal: None }
    }

    pub(crate) fn unasked(name: Arc<LimitName>, reading: Reading) -> Counted {
        Counted { name, reading, asked: None, refusal: None }
    }
}

/// What became of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It serves.
    Chosen,
    /// It stands by, should the one that serves fail.
    Fallback,
    /// Nobody had to try it.
    NotTried,
    /// It cannot serve.
    LeftOut(Reason),
}

impl Fate {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Fate::Chosen => "chosen",
            Fate::Fallback => "fallback",
            Fate::NotTried => "not_tried",
            Fate::LeftOut(reason) => reason.as_str(),
        }
    }
}

/// A target that took part in a decision.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The provider; empty where a rule's target leaves it to the key.
    pub provider: Arc<str>,
    /// The model.
    pub model: Box<str>,
    /// The provider key that is pinned, or had been drawn.
    pub key_id: Option<Arc<str>>,
    /// Its weight in the draw; None where it is in none.
    pub weight: Option<f64>,
    /// What became of it.
    pub fate: Fate,
    /// The counters that refuse it.
    pub limits: Vec<Counted>,
}

/// All that takes part in a decision.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// What `peek` answers.
    pub answer: Answer,
    /// The virtual key's id, where it is known who asks.
    pub virtual_key: Option<Arc<str>>,
    /// The provider to call; of a refusal, of the first target. Empty where none is named.
    pub provider: Arc<str>,
    /// The model, likewise; None for a tool alone.
    pub model: Option<Box<str>>,
    /// The provider key, likewise.
    pub key_id: Option<Arc<str>>,
    /// Every rule that was looked at, in its turn.
    pub steps: Vec<Step>,
    /// Every target: those that were looked at, in turn, then those that were not.
    pub candidates: Vec<Candidate>,
    /// Every counter of the targets that were looked at.
    pub counters: Vec<Counted>,
}

/// Where the cost of a settlement comes from. The numbers are kept in stores, among other flags: see `permit::steps`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum PriceSource {
    /// The caller stated it.
    Stated = 0,
    /// The provider reported it.
    Reported = 1,
    /// Not known: what was held is charged.
    Held = 2,
    /// Not known, and what is missing counts as zero.
    Zero = 3,
    /// What was used has a price.
    Known = 32,
    /// The price that stands in for an unknown one.
    Default = 33,
}

impl PriceSource {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            PriceSource::Stated => "stated",
            PriceSource::Reported => "reported",
            PriceSource::Held => "held",
            PriceSource::Zero => "zero",
            PriceSource::Known => "known",
            PriceSource::Default => "default",
        }
    }

    pub(crate) fn of(bits: u32) -> PriceSource {
        match bits & 35 {
            0 => PriceSource::Stated,
            1 => PriceSource::Reported,
            2 => PriceSource::Held,
            3 => PriceSource::Zero,
            32 => PriceSource::Known,
            _ => PriceSource::Default,
        }
    }
}

/// What was charged in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The cost.
    pub cost_nano_usd: i64,
    /// The tokens.
    pub tokens: i64,
    /// More was used than was held.
    pub overrun: bool,
    /// The same usage had been settled before: nothing was charged again.
    pub repeated: bool,
    /// The permit had expired.
    pub expired: bool,
    /// Where the cost comes from.
    pub price: PriceSource,
}
