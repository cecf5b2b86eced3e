//! Several limits at once, all or nothing.
//!
//! A decision reads every counter that applies, works out how much to ask for, and then takes from one after the
//! other in rank order, each take a compare-exchange that checks again. If one refuses (somebody else was faster),
//! what was taken is given back and the decision starts over. So no counter ever exceeds its limit, and a refusal rests
//! on one reading of every counter, not on the first that failed.

use smallvec::SmallVec;

use crate::answer::{Denial, HeldReason, Told, Violation};
use crate::arena::Counter;
use crate::engine::Engine;
use crate::period::Epoch;
use crate::permit::{Entry, Held, State};
use crate::policy::{Key, Kind, Level, Limit, Limits, Policy, Settings, UnknownPrice};
use crate::request::Asked;
use crate::sync::Ordering;
use crate::units::{Millis, NanoUsd};
use crate::window::{Reading, Take, admits};

/// One limit of a decision, with its counter's word as last read.
pub(crate) struct Line<'p> {
    pub(crate) limit: &'p Limit,
    seen: u128,
}

/// All limits of a decision, in rank order.
pub(crate) type Lines<'p> = SmallVec<[Line<'p>; 24]>;

/// What a reading of all lines says.
#[derive(Clone, Copy, Debug)]
struct Measure {
    /// Output tokens to ask for.
    output: i64,
    /// Output tokens that fit beside what is stated.
    room: i64,
    refused: bool,
    sealed: bool,
}

/// What became of an attempt to take.
pub(crate) enum Taken<'e> {
    /// The permit is made, its record still locked.
    Done(Amount, Option<Held<'e>>),
    /// A limit refuses.
    Refused,
    /// The policy is older than an edit: take the newer one.
    Sealed,
    /// No permit can be opened.
    TooMany,
}

/// What is asked of each counter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amount {
    pub(crate) tokens: i64,
    pub(crate) nano: i64,
    /// Output tokens that may be produced, where a stated maximum was cut.
    pub(crate) cut: Option<i64>,
    pub(crate) reason: HeldReason,
}

impl Amount {
    #[inline(always)]
    fn of(&self, kind: Kind) -> i64 {
        match kind {
            Kind::Tokens => self.tokens,
            Kind::Requests => 1,
            Kind::Budget => self.nano,
        }
    }
}

/// The limits that apply to a call by `key` of `model` on `provider`, in rank order.
#[inline(always)]
pub(crate) fn lines<'p>(
    policy: &'p Policy,
    key: Option<&'p Key>,
    provider: Option<u32>,
    model: Option<&str>,
) -> Lines<'p> {
    let mut lines = Lines::new();
    // Pushed one by one: `extend` reserves and counts anew for every owner.
    let mut add = |limits: &'p Limits| {
        for limit in &limits.0 {
            lines.push(Line { limit, seen: 0 });
        }
    };
    if let Some(key) = key {
        if let Some(provider) = provider {
            for config in key.configs.iter().filter(|config| config.provider == provider) {
                add(&config.limits);
            }
        }
        add(&key.limits);
        let mut customer = key.customer;
        if let Some(team) = key.team.and_then(|team| policy.teams.get(team)) {
            add(&team.limits);
            customer = customer.or(team.customer);
        }
        if let Some(customer) = customer.and_then(|customer| policy.customers.get(customer)) {
            add(&customer.limits);
        }
    }
    if let Some(model) = model
        && !policy.models.is_empty()
        && let Some(limits) = policy.models.get(model)
    {
        if let Some((_, limits)) = limits.on.iter().find(|(on, _)| Some(*on) == provider) {
            add(limits);
        }
        add(&limits.any);
    }
    if let Some(provider) = provider {
        add(&policy.providers.list[provider as usize].limits);
    }
    lines
}

/// Whether the cost of a request is unknown and that is a reason to refuse it.
#[inline(always)]
pub(crate) fn price_refuses(settings: &Settings, asked: &Asked, lines: &Lines<'_>) -> bool {
    asked.cost.is_none()
        && match settings.unknown_price {
            UnknownPrice::CountZero => false,
            UnknownPrice::Deny => true,
            UnknownPrice::DenyUnderBudget => lines.iter().any(|line| line.limit.kind == Kind::Budget),
        }
}

/// The least that must fit on a counter of this kind.
fn least(asked: &Asked, settings: &Settings, kind: Kind) -> i64 {
    match kind {
        Kind::Requests => 1,
        Kind::Budget => asked.cost.map_or(0, NanoUsd::get),
        Kind::Tokens => match asked.most {
            Some(most) if settings.fit_deny => asked.stated + most,
            Some(most) => asked.stated + most.min(1),
            None => asked.stated,
        },
    }
}

/// Whether every refusing limit is one that other targets meet as well.
pub(crate) fn only_shared(violations: &[Violation], model_is_shared: bool) -> bool {
    violations.iter().all(|violation| match violation.name.level {
        Level::VirtualKey | Level::Team | Level::Customer => true,
        Level::Model => model_is_shared,
        Level::ProviderConfig | Level::ModelProvider | Level::Provider => false,
    })
}

/// `share` parts per thousand million of `limit`, rounded down.
fn share_of(limit: i64, share_ppb: i64) -> i64 {
    (i128::from(limit) * i128::from(share_ppb) / 1_000_000_000) as i64
}

impl Engine {
    /// Read every line at `now`, and see what fits.
    #[inline(always)]
    fn measure(&self, lines: &mut Lines<'_>, asked: &Asked, settings: &Settings, now: Millis) -> Measure {
        let mut room = i64::MAX;
        let mut smallest: Option<i64> = None;
        let (mut refused, mut sealed) = (false, false);
        for line in lines.iter_mut() {
            let counter = self.arena.get(line.limit.slot);
            line.seen = counter.look();
            sealed |= Counter::is_sealed(line.seen);
            let cap = line.limit.limit.min(counter.ceiling());
            let total = counter.total(line.seen, now);
            let least = least(asked, settings, line.limit.kind);
            refused |= !admits(total, least, cap);
            if line.limit.kind == Kind::Tokens {
                room = room.min(cap.saturating_sub(total).saturating_sub(asked.stated));
                smallest = Some(smallest.map_or(line.limit.limit, |other| other.min(line.limit.limit)));
            }
        }
        let output = match (asked.most, smallest) {
            (Some(most), _) => most.min(room.max(0)),
            (None, Some(smallest)) if asked.guess => settings
                .estimate_output_tokens
                .min(share_of(smallest, settings.estimate_share_ppb))
                .min(room)
                .max(0),
            _ => 0,
        };
        Measure { output, room, refused, sealed }
    }

    fn amount(asked: &Asked, measure: &Measure, lines: &Lines<'_>) -> Amount {
        let counts = |kind: Kind| lines.iter().any(|line| line.limit.kind == kind);
        let cut = asked.most.filter(|most| measure.output < *most).map(|_| asked.expected + measure.output);
        Amount {
            tokens: if counts(Kind::Tokens) { asked.stated + measure.output } else { 0 },
            nano: asked.cost.filter(|_| counts(Kind::Budget)).map_or(0, NanoUsd::get),
            cut,
            reason: match (asked.most, measure.output) {
                (Some(_), _) => HeldReason::Capped,
                (None, 1..) => HeldReason::Guessed,
                _ => HeldReason::Stated,
            },
        }
    }

    /// Take what is asked from every line, or nothing. Without `take`, only look.
    #[inline(always)]
    pub(crate) fn take_all<'e>(
        &'e self,
        lines: &mut Lines<'_>,
        asked: &Asked,
        settings: &Settings,
        now: Millis,
        take: bool,
    ) -> Taken<'e> {
        for _ in 0..RETRIES {
            let measure = self.measure(lines, asked, settings, now);
            if measure.sealed {
                return Taken::Sealed;
            }
            if measure.refused {
                return Taken::Refused;
            }
            let amount = Engine::amount(asked, &measure, lines);
            if !take {
                return Taken::Done(amount, None);
            }
            let Some(held) = self.open_permit(now, settings) else { return Taken::TooMany };
            match self.take_each(lines, &amount, now, &held) {
                Take::Taken(_) => return Taken::Done(amount, Some(held)),
                Take::Sealed => return Taken::Sealed,
                Take::Refused => {}
            }
        }
        Taken::Refused
    }

    #[inline(always)]
    fn open_permit(&self, now: Millis, settings: &Settings) -> Option<Held<'_>> {
        if let Some(held) = self.permits.take(now, settings.permit_ttl_ms) {
            self.forget_id(&held);
            return Some(held);
        }
        // Overdue permits make room.
        self.sweep(now);
        let held = self.permits.take(now, settings.permit_ttl_ms)?;
        self.forget_id(&held);
        Some(held)
    }

    /// Take from every counter in rank order; on a refusal give back what was taken.
    #[inline(always)]
    fn take_each(&self, lines: &Lines<'_>, amount: &Amount, now: Millis, held: &Held<'_>) -> Take {
        for (place, line) in lines.iter().enumerate() {
            let limit = line.limit;
            let counter = self.arena.get(limit.slot);
            match counter.take(line.seen, now, amount.of(limit.kind), limit.limit) {
                Take::Taken(epoch) => {
                    held.push(place, Entry { slot: limit.slot, kind: limit.kind, epoch });
                }
                failed => {
                    self.undo(amount, now, held);
                    return failed;
                }
            }
        }
        Take::Taken(Epoch::default())
    }

    #[cold]
    fn undo(&self, amount: &Amount, now: Millis, held: &Held<'_>) {
        held.each(|entry, _| {
            self.arena.get(entry.slot).correct(entry.epoch, -amount.of(entry.kind), 0, 0, now);
        });
    }

    /// Every limit that refuses the least that is asked, in rank order, and the output tokens that would fit.
    pub(crate) fn violations(
        &self,
        lines: &mut Lines<'_>,
        asked: &Asked,
        settings: &Settings,
        now: Millis,
    ) -> (Vec<Violation>, Option<i64>) {
        let mut violations = Vec::new();
        for line in lines.iter() {
            let counter = self.arena.get(line.limit.slot);
            counter.tidy(now);
            let word = counter.look();
            let cap = line.limit.limit.min(counter.ceiling());
            let least = least(asked, settings, line.limit.kind);
            if !admits(counter.total(word, now), least, cap) {
                violations.push(self.violation(&counter, line.limit, least, now));
            }
        }
        let refused_tokens = violations.iter().any(|violation| violation.name.kind == Kind::Tokens);
        let fits = asked.most.filter(|_| settings.fit_deny && refused_tokens).and_then(|most| {
            let room = self.measure(lines, asked, settings, now).room;
            // Where what is stated does not fit by itself, or a counter is full, no maximum helps.
            let helps = lines.iter().filter(|line| line.limit.kind == Kind::Tokens).all(|line| {
                let counter = self.arena.get(line.limit.slot);
                let cap = line.limit.limit.min(counter.ceiling());
                admits(counter.total(line.seen, now), asked.stated, cap)
            });
            helps.then(|| asked.expected + room.clamp(0, most))
        });
        (violations, fits)
    }

    /// What every line would show if `amount` had been taken from it.
    pub(crate) fn told(&self, lines: &Lines<'_>, amount: &Amount, now: Millis) -> Box<[Told]> {
        let after = |line: &Line<'_>| {
            let kind = line.limit.kind;
            let reading = self.arena.get(line.limit.slot).read_as(kind, now);
            let taken = Reading { held: reading.held.saturating_add(amount.of(kind)), ..reading };
            (line.limit.name.clone(), taken)
        };
        lines.iter().map(after).collect()
    }

    /// Count a refusal whose reason is gone already: it met a reservation that was being undone.
    pub(crate) fn note_transient(&self, denial: &Denial) {
        if !denial.limits.is_empty() && denial.limits.iter().all(|limit| limit.wait_ms == Some(0)) {
            self.stats.transient_refusals.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn forget_id(&self, held: &Held<'_>) {
        let [high, low] = &held.record.id;
        let id = u128::from(high.get() as u64) << 64 | u128::from(low.get() as u64);
        if id != 0 {
            let index = held.handle.index;
            self.ids.forget(id, |grant| grant.handle.index == index);
            high.set(0);
            low.set(0);
        }
    }

    /// Whether a permit is open.
    pub(crate) fn is_open(&self, handle: crate::permit::Handle) -> bool {
        matches!(self.permits.state(handle), State::Open | State::Busy)
    }
}

/// Takes that may fail by somebody else's being faster before the request is refused.
const RETRIES: u32 = 16;
