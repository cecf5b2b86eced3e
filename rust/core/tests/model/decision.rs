//! From a request to an answer, looking at everything anew.

use limen_core::answer::{HeldReason, Reason};
use limen_core::error::Code;
use limen_core::policy::{Kind, Level, UnknownPrice};

use super::counter::Counter;
use super::{Ask, Key, Model, Number, Owner};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub kind: Kind,
    pub level: Level,
    pub owner_id: String,
    pub limit_id: String,
    pub limit: i64,
    pub used: i64,
    pub held: i64,
    pub asked: i64,
    pub reset_at: i64,
    pub wait_ms: Option<i64>,
}

impl Violation {
    pub fn of(counter: &Counter, asked: i64, now: i64, ending: &[(usize, i64)]) -> Violation {
        let shown = counter.shown(now);
        Violation {
            kind: counter.kind,
            level: counter.level,
            owner_id: counter.owner_id.clone(),
            limit_id: counter.limit_id.clone(),
            limit: counter.limit,
            used: shown.used,
            held: shown.held,
            asked,
            reset_at: shown.reset_at,
            wait_ms: counter.passes_at(now, asked, ending).map(|at| at - now),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    pub provider: String,
    pub tokens: i64,
    pub nano: i64,
    pub requests: i64,
    pub max_output_tokens: Option<i64>,
    pub reason: HeldReason,
    pub expires_at: i64,
    pub chain: Vec<Number>,
}

/// The refusal of one target, or of the whole request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub code: Code,
    pub reason: Option<Reason>,
    pub limits: Vec<Violation>,
    pub fits: Option<i64>,
    /// No target would do better.
    pub final_for_all: bool,
}

impl Refused {
    fn plain(code: Code, reason: Option<Reason>) -> Refused {
        Refused { code, reason, limits: Vec::new(), fits: None, final_for_all: reason.is_none() }
    }

    /// Every limit has room again after the longest wait.
    pub fn wait_ms(&self) -> Option<i64> {
        let waits: Option<Vec<i64>> = self.limits.iter().map(|limit| limit.wait_ms).collect();
        waits?.into_iter().max()
    }
}

pub type Answer = Result<Allowed, Refused>;

/// What the whole request may come to.
pub enum Verdict {
    /// One target, or none has a say.
    Sure(Answer),
    /// A provider is drawn among these, each with its answer; where none serves, `standby` is tried in order.
    Drawn { drawn: Vec<(String, Answer)>, standby: Vec<(String, Answer)>, left_out: Vec<(String, Reason)> },
}

impl Model {
    pub fn decide(&self, ask: &Ask, now: i64) -> Verdict {
        let refused = |code| Verdict::Sure(Err(Refused::plain(code, None)));
        let Some(name) = &ask.key else {
            if self.settings.require_virtual_key {
                return refused(Code::VirtualKeyRequired);
            }
            return Verdict::Sure(self.serve(ask, None, &ask.provider, now));
        };
        let Some(key) = self.keys.get(name) else { return refused(Code::VirtualKeyNotFound) };
        if !key.active {
            return refused(Code::VirtualKeyBlocked);
        }
        if !ask.provider.is_empty() {
            return Verdict::Sure(self.serve(ask, Some((name, key)), &ask.provider, now));
        }
        let (mut drawn, mut standby, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
        for config in &key.configs {
            let answer =
                || (config.provider.clone(), self.serve(ask, Some((name, key)), &config.provider, now));
            match config.weight {
                _ if !config.allows(&ask.model) => {
                    left_out.push((config.provider.clone(), Reason::ModelBlocked));
                }
                None => left_out.push((config.provider.clone(), Reason::NoWeight)),
                Some(0.0) => standby.push(answer()),
                Some(_) => drawn.push(answer()),
            }
        }
        standby.sort_by(|(one, _), (other, _)| one.cmp(other));
        Verdict::Drawn { drawn, standby, left_out }
    }

    /// Every limit that applies, in rank order.
    pub(super) fn chain(&self, ask: &Ask, key: Option<(&String, &Key)>, provider: &str) -> Vec<Number> {
        let mut owners = Vec::new();
        if let Some((name, key)) = key {
            let configs = key.configs.iter().filter(|config| config.provider == provider);
            owners.extend(configs.map(|config| Owner::Config(config.id)));
            owners.push(Owner::Key(name.clone()));
            let mut customer = key.customer.clone();
            if let Some(team) = &key.team {
                owners.push(Owner::Team(team.clone()));
                customer = customer.or(self.teams[team].clone());
            }
            owners.extend(customer.map(Owner::Customer));
        }
        let on_this = Some(provider.to_owned()).filter(|name| !name.is_empty());
        for wanted in on_this.iter().map(Some).chain([None]) {
            let configs = self.model_configs.iter();
            let configs = configs.filter(|(_, (model, on))| *model == ask.model && on.as_ref() == wanted);
            owners.extend(configs.map(|(id, _)| Owner::ModelConfig(id.clone())));
        }
        owners.push(Owner::Provider(provider.into()));
        owners.iter().flat_map(|owner| self.limits.get(owner).into_iter().flatten().copied()).collect()
    }

    /// Access, price and limits of one target.
    fn serve(&self, ask: &Ask, key: Option<(&String, &Key)>, provider: &str, now: i64) -> Answer {
        if let Some((_, key)) = key {
            let mut configs = key.configs.iter().filter(|config| config.provider == provider).peekable();
            if configs.peek().is_none() {
                return Err(Refused::plain(Code::ProviderBlocked, Some(Reason::ProviderBlocked)));
            }
            if !configs.any(|config| config.allows(&ask.model)) {
                return Err(Refused::plain(Code::ModelBlocked, Some(Reason::ModelBlocked)));
            }
        }
        let chain = self.chain(ask, key, provider);
        let counters = || chain.iter().map(|number| &self.counters[*number]);
        let any = |kind: Kind| counters().any(|counter| counter.kind == kind);
        let unknown = match self.settings.unknown_price {
            UnknownPrice::CountZero => false,
            UnknownPrice::Deny => true,
            UnknownPrice::DenyUnderBudget | UnknownPrice::DefaultPrice => any(Kind::Budget),
        };
        if ask.nano.is_none() && unknown {
            return Err(Refused::plain(Code::PriceUnknown, Some(Reason::PriceUnknown)));
        }
        let stated = ask.stated();
        let most = ask.max_output_tokens;
        let needed = most.map_or(0, |most| if self.settings.fit_deny { most } else { most.min(1) });
        let least = |kind: Kind| match kind {
            Kind::Tokens => stated.saturating_add(needed),
            Kind::Requests => 1,
            Kind::Budget => ask.nano.unwrap_or(0),
        };
        let tokens = || counters().filter(|counter| counter.kind == Kind::Tokens);
        let room = tokens().map(|counter| (counter.limit - counter.total(now)).saturating_sub(stated)).min();
        let violated = chain.iter().filter_map(|number| {
            let counter = &self.counters[*number];
            let least = least(counter.kind);
            (!counter.fits(now, least)).then(|| Violation::of(counter, least, now, &self.ending(*number)))
        });
        let limits: Vec<Violation> = violated.collect();
        if !limits.is_empty() {
            let on_tokens = limits.iter().any(|limit| limit.kind == Kind::Tokens);
            // A number fits where what is stated does.
            let helps =
                self.settings.fit_deny && on_tokens && tokens().all(|counter| counter.fits(now, stated));
            let fits = most.filter(|_| helps).zip(room);
            // Everything but what belongs to the provider is met by every target.
            let final_for_all = limits.iter().all(|limit| {
                matches!(limit.level, Level::VirtualKey | Level::Team | Level::Customer | Level::Model)
            });
            return Err(Refused {
                code: code_of(&limits),
                reason: Some(Reason::Limits),
                fits: fits.map(|(most, room)| room.clamp(0, most)),
                limits,
                final_for_all,
            });
        }
        let output = match (room, most) {
            (None, most) => most.unwrap_or(0),
            (Some(room), Some(most)) => most.min(room),
            (Some(room), None) if ask.guesses() => {
                let share = |limit: i64| {
                    (i128::from(limit) * i128::from(self.settings.estimate_share_ppb) / 1_000_000_000) as i64
                };
                let shares = tokens().map(|counter| share(counter.limit)).min().unwrap_or(0);
                self.settings.estimate_output_tokens.min(shares).min(room).max(0)
            }
            _ => 0,
        };
        Ok(Allowed {
            provider: provider.into(),
            tokens: if room.is_some() { stated + output } else { 0 },
            nano: ask.nano.filter(|_| any(Kind::Budget)).unwrap_or(0),
            requests: i64::from(any(Kind::Requests)),
            max_output_tokens: most.filter(|most| output < *most).map(|_| output),
            reason: match most {
                Some(_) => HeldReason::Capped,
                None if output > 0 => HeldReason::Guessed,
                None => HeldReason::Stated,
            },
            expires_at: now + self.settings.permit_ttl_ms,
            chain,
        })
    }
}

/// That of the first limit, or of a rate limit that is violated in both of its kinds.
pub fn code_of(limits: &[Violation]) -> Code {
    let first = &limits[0];
    let twin = limits[1..].iter().any(|limit| limit.limit_id == first.limit_id);
    match first.kind {
        Kind::Budget => Code::BudgetExceeded,
        Kind::Tokens if twin => Code::RateLimited,
        Kind::Tokens => Code::TokenLimited,
        Kind::Requests => Code::RequestLimited,
    }
}

impl Model {
    /// Whether the caller is known and may call.
    pub fn passes_identity(&self, ask: &Ask) -> bool {
        match &ask.key {
            None => !self.settings.require_virtual_key,
            Some(name) => self.keys.get(name).is_some_and(|key| key.active),
        }
    }
}
