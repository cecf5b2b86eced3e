//! Several limits at once, all or nothing.
//!
//! A decision reads every counter that applies, works out how much to ask for, and then takes from one after the
//! other in rank order, each take a compare-exchange that checks again. If one refuses (somebody else was faster),
//! what was taken is given back and the decision starts over. So no counter ever exceeds its limit, and a refusal rests
//! on one reading of every counter, not on the first that failed.

use smallvec::SmallVec;

use crate::answer::{Counted, Denial, HeldReason, Told, Violation};
use crate::arena::{Arena, Counter, Slot};
use crate::engine::Engine;
use crate::permit::{Entry, Handle, Held, State};
use crate::policy::prices::Tariff;
use crate::policy::{Key, Kind, Level, Limit, Limits, Policy, Settings};
use crate::pricing::Quote;
use crate::request::Asked;
use crate::sync::Ordering;
use crate::units::Millis;
use crate::window::{Reading, Take, admits};

/// One limit of a decision, with its counter and that counter's word as last read.
pub(crate) struct Line<'p> {
    pub(crate) limit: &'p Limit,
    counter: Counter<'p>,
    seen: u128,
}

/// All limits of a decision, in rank order.
#[derive(Default)]
pub(crate) struct Lines<'p> {
    list: SmallVec<[Line<'p>; 24]>,
    /// The kinds among them, a bit each.
    kinds: u8,
}

/// What a reading of all lines says.
#[derive(Clone, Copy, Debug)]
struct Measure {
    /// Output tokens to ask for.
    output: i64,
    /// Output tokens that fit beside what is stated.
    room: i64,
    /// Nano-dollars that every budget has left.
    left: i64,
    refused: bool,
    /// A counter is sealed, or has not taken over its predecessor's count yet.
    closed: bool,
}

/// What became of an attempt to take.
pub(crate) enum Taken {
    /// The permit is open.
    Done(Handle, Amount),
    /// A limit refuses.
    Refused,
    /// The policy is older than an edit: take the newer one.
    Sealed,
    /// No permit can be opened.
    TooMany,
}

/// What a permit is made of beside its amounts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    /// The policy's version.
    pub(crate) version: u64,
    pub(crate) now: Millis,
    pub(crate) expires_at: Millis,
    /// The serial of the virtual key, and the lower half of the fingerprint of the value that it came by.
    pub(crate) credential: [i64; 2],
    /// False: only look.
    pub(crate) take: bool,
}

/// What a request asks for at one target.
pub(crate) struct Wanted<'a> {
    pub(crate) asked: &'a Asked,
    /// What it may cost there.
    pub(crate) quote: Quote,
    /// By what it will be settled.
    pub(crate) tariff: Tariff,
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
    /// By kind.
    #[inline(always)]
    pub(crate) fn by_kind(&self) -> [i64; 3] {
        [self.tokens, 1, self.nano]
    }
}

impl<'p> Lines<'p> {
    #[inline(always)]
    fn add(&mut self, arena: &'p Arena, limits: &'p Limits) {
        for limit in &limits.0 {
            self.kinds |= 1 << limit.kind as u8;
            self.list.push(Line { limit, counter: arena.get(limit.slot), seen: 0 });
        }
    }

    /// Whether any of them counts this kind.
    #[inline(always)]
    pub(crate) fn count(&self, kind: Kind) -> bool {
        self.kinds & 1 << kind as u8 != 0
    }

    /// What each of them shows.
    pub(crate) fn read(&self, now: Millis) -> impl Iterator<Item = Told> {
        self.list
            .iter()
            .map(move |line| (line.limit.name.clone(), line.counter.read_as(line.limit.kind, now)))
    }

    /// By kind, what is used and held of the fullest of them, in percent. What nothing fits into is full.
    pub(crate) fn fullest(&self, now: Millis) -> [f64; 3] {
        let mut fullest = [0.0f64; 3];
        for line in &self.list {
            let total = line.counter.read_as(line.limit.kind, now).total();
            // Multiplied first: 80 of 100 is 80.0, and not the double above it.
            let percent =
                if line.limit.limit == 0 { 100.0 } else { total as f64 * 100.0 / line.limit.limit as f64 };
            let highest = &mut fullest[line.limit.kind as usize];
            *highest = highest.max(percent);
        }
        fullest
    }
}

impl Wanted<'_> {
    /// What is stated and so much output, by kind.
    #[inline(always)]
    fn with_output(&self, output: i64) -> [i64; 3] {
        [self.asked.stated + output, 1, self.quote.nano(output)]
    }

    /// The least that must fit on a counter, by its kind.
    #[inline(always)]
    fn least(&self, settings: &Settings) -> [i64; 3] {
        self.with_output(match self.asked.most {
            Some(most) if settings.fit_deny => most,
            Some(most) => most.min(1),
            None => 0,
        })
    }
}

/// Who is tried where one target cannot serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Others {
    Nobody,
    /// Other providers, all for the same model.
    SameModel,
    AnyModel,
}

impl Others {
    /// Whether every refusing limit is one that the others meet as well.
    pub(crate) fn meet(self, violations: &[Violation]) -> bool {
        self == Others::Nobody
            || violations.iter().all(|violation| match violation.name.level {
                Level::VirtualKey | Level::Team | Level::Customer => true,
                Level::Model => self == Others::SameModel,
                Level::ProviderConfig | Level::ModelProvider | Level::Provider => false,
            })
    }
}

/// `share` parts per thousand million of `limit`, rounded down.
fn share_of(limit: i64, share_ppb: i64) -> i64 {
    const WHOLE: i64 = 1_000_000_000;
    // Neither product can overflow: a share is at most the whole.
    limit / WHOLE * share_ppb + limit % WHOLE * share_ppb / WHOLE
}

impl Engine {
    /// Put the limits that apply to a call by `key` of `model` on `provider` into `lines`, in rank order. (Not returned:
    /// the list is long, and would be copied.)
    #[inline(always)]
    pub(crate) fn line_up<'p>(
        &'p self,
        lines: &mut Lines<'p>,
        policy: &'p Policy,
        key: Option<&'p Key>,
        provider: Option<u32>,
        model: Option<&str>,
    ) {
        let arena = &self.arena;
        if let Some(key) = key {
            if let Some(provider) = provider {
                for config in key.configs.iter().filter(|config| config.provider == provider) {
                    lines.add(arena, &config.limits);
                }
            }
            lines.add(arena, &key.limits);
            let mut customer = key.customer;
            if let Some(team) = key.team.and_then(|team| policy.teams.get(team)) {
                lines.add(arena, &team.limits);
                customer = customer.or(team.customer);
            }
            if let Some(customer) = customer.and_then(|customer| policy.customers.get(customer)) {
                lines.add(arena, &customer.limits);
            }
        }
        if let Some(model) = model
            && !policy.models.is_empty()
            && let Some(limits) = policy.models.get(model)
        {
            if let Some((_, limits)) = limits.on.iter().find(|(on, _)| Some(*on) == provider) {
                lines.add(arena, limits);
            }
            lines.add(arena, &limits.any);
        }
        if let Some(provider) = provider {
            lines.add(arena, &policy.providers.list[provider as usize].limits);
        }
    }

    /// Read every line at `now`, and see what fits.
    #[inline(always)]
    fn measure(lines: &mut Lines<'_>, wanted: &Wanted<'_>, settings: &Settings, now: Millis) -> Measure {
        let (asked, least) = (wanted.asked, wanted.least(settings));
        let (mut room, mut smallest) = (i64::MAX, i64::MAX);
        let (mut refused, mut closed) = (false, false);
        for line in &mut lines.list {
            line.seen = line.counter.word();
            closed |= Counter::is_closed(line.seen);
            let cap = line.limit.limit.min(line.counter.ceiling());
            let total = line.counter.total(line.seen, now);
            refused |= !admits(total, least[line.limit.kind as usize], cap);
            if line.limit.kind == Kind::Tokens {
                room = room.min(cap.saturating_sub(total).saturating_sub(asked.stated));
                smallest = smallest.min(line.limit.limit);
            }
        }
        let share = |limit| share_of(limit, settings.estimate_share_ppb);
        let is_priced = wanted.quote.is_priced();
        let mut output = match asked.most {
            Some(most) => most.min(room.max(0)),
            None if asked.guess && (is_priced || lines.count(Kind::Tokens)) => {
                settings.estimate_output_tokens.min(share(smallest)).min(room).max(0)
            }
            None => 0,
        };
        let mut left = i64::MAX;
        if is_priced {
            // Apart, since most requests state what they cost: then there is nothing to find out.
            let mut smallest = i64::MAX;
            for line in lines.list.iter().filter(|line| line.limit.kind == Kind::Budget) {
                let cap = line.limit.limit.min(line.counter.ceiling());
                left = left.min(cap.saturating_sub(line.counter.total(line.seen, now)));
                smallest = smallest.min(line.limit.limit);
            }
            let guessed = asked.most.is_none().then(|| share(smallest));
            output = wanted.quote.cut(output, left, guessed);
        }
        Measure { output, room, left, refused, closed }
    }

    #[inline(always)]
    fn amount(wanted: &Wanted<'_>, measure: &Measure, lines: &Lines<'_>) -> Amount {
        let (asked, output) = (wanted.asked, measure.output);
        let cut = asked.most.filter(|most| output < *most).map(|_| asked.expected + output);
        Amount {
            tokens: if lines.count(Kind::Tokens) { asked.stated + output } else { 0 },
            nano: if lines.count(Kind::Budget) { wanted.quote.nano(output) } else { 0 },
            cut,
            reason: match (asked.most, output) {
                (Some(_), _) => HeldReason::Capped,
                (None, 1..) => HeldReason::Guessed,
                _ => HeldReason::Stated,
            },
        }
    }

    /// Take what is asked from every line and open a permit for it, or nothing.
    pub(crate) fn take_all(
        &self,
        lines: &mut Lines<'_>,
        wanted: &Wanted<'_>,
        settings: &Settings,
        opening: Opening,
    ) -> Taken {
        let now = opening.now;
        for _ in 0..RETRIES {
            let measure = Engine::measure(lines, wanted, settings, now);
            if measure.closed {
                if self.has_sealed(lines, opening.version) {
                    return Taken::Sealed;
                }
                continue;
            }
            if measure.refused {
                return Taken::Refused;
            }
            let amount = Engine::amount(wanted, &measure, lines);
            if !opening.take {
                return Taken::Done(Handle { index: 0, generation: 0 }, amount);
            }
            let Some(held) = self.permits.take(now, settings.permit_ttl_ms).or_else(|| {
                // Overdue permits make room.
                self.sweep(now);
                self.permits.take(now, settings.permit_ttl_ms)
            }) else {
                return Taken::TooMany;
            };
            if !self.policy.is(opening.version) {
                // An edit may have let go of a counter before it could see that this decision is under way.
                return Taken::Sealed;
            }
            match self.take_each(lines, &amount, now, &held) {
                None => {
                    let handle = held.handle;
                    held.ends_at(opening.expires_at);
                    held.record.tokens.set(amount.tokens);
                    held.record.nano.set(amount.nano);
                    held.record.credential[0].set(opening.credential[0]);
                    held.record.credential[1].set(opening.credential[1]);
                    held.body.settle_by(wanted.tariff);
                    held.leave(State::Open);
                    return Taken::Done(handle, amount);
                }
                Some(Take::Sealed) => return Taken::Sealed,
                Some(_) => {}
            }
        }
        Taken::Refused
    }

    /// Whether the policy is older than an edit. Counters that are not are made to take over their predecessors' counts.
    #[cold]
    fn has_sealed(&self, lines: &Lines<'_>, version: u64) -> bool {
        let _reader = self.policy.reader();
        !self.policy.is(version) || lines.list.iter().any(|line| Counter::is_sealed(line.counter.look()))
    }

    /// Take from every counter in rank order; where one does not give, give back what was taken and tell why.
    #[inline(always)]
    fn take_each(&self, lines: &Lines<'_>, amount: &Amount, now: Millis, held: &Held<'_>) -> Option<Take> {
        let amounts = amount.by_kind();
        let mut entries = held.entries();
        for line in &lines.list {
            let limit = line.limit;
            match line.counter.take(line.seen, now, amounts[limit.kind as usize], limit.limit) {
                Take::Taken(epoch) => {
                    entries.push(Entry { slot: limit.slot, kind: limit.kind, epoch });
                }
                failed => {
                    self.undo(amounts, now, held);
                    return Some(failed);
                }
            }
        }
        None
    }

    #[cold]
    fn undo(&self, amounts: [i64; 3], now: Millis, held: &Held<'_>) {
        held.each(|entry, _| {
            self.arena.get(entry.slot).correct(entry.epoch, -amounts[entry.kind as usize], 0, 0, now);
        });
    }

    /// Every limit that refuses the least that is asked, in rank order, and the output tokens that would fit.
    #[cold]
    pub(crate) fn violations(
        &self,
        lines: &mut Lines<'_>,
        wanted: &Wanted<'_>,
        settings: &Settings,
        now: Millis,
    ) -> (Vec<Violation>, Option<i64>) {
        let (asked, least) = (wanted.asked, wanted.least(settings));
        let mut violations = Vec::with_capacity(lines.list.len());
        // What permits give back may help these: what only the end of the window helps has its wait already.
        let mut helped = Vec::new();
        for Line { limit, counter, .. } in &lines.list {
            let cap = limit.limit.min(counter.ceiling());
            let asked = least[limit.kind as usize];
            let Some(refusal) = counter.refusal(limit.kind, now, asked, cap) else { continue };
            if settings.give_back_on_expiry
                && limit.kind != Kind::Requests
                && admits(refusal.used, asked, cap)
            {
                helped.push((violations.len(), counter.newest(), cap));
            }
            violations.push(Violation {
                name: limit.name.clone(),
                limit: limit.limit,
                used: refusal.used,
                held: refusal.held,
                asked,
                reset_at: refusal.reset,
                wait_ms: refusal.fits_at.map(|at| at.get().saturating_sub(now.get()).max(0)),
            });
        }
        if !helped.is_empty() {
            self.shorten_waits(&mut violations, &helped, now);
        }
        let of_output = |kind| kind == Kind::Tokens || kind == Kind::Budget && wanted.quote.is_priced();
        let refused_output = || violations.iter().any(|violation| of_output(violation.name.kind));
        let fits = asked.most.filter(|_| settings.fit_deny && refused_output()).and_then(|most| {
            let Measure { room, left, .. } = Engine::measure(lines, wanted, settings, now);
            // Where what is stated does not fit by itself, or a counter is full, no maximum helps.
            let stated = wanted.with_output(0);
            let helps = lines.list.iter().filter(|line| of_output(line.limit.kind)).all(|line| {
                let cap = line.limit.limit.min(line.counter.ceiling());
                admits(line.counter.total(line.seen, now), stated[line.limit.kind as usize], cap)
            });
            helps.then(|| asked.expected + wanted.quote.cut(room.clamp(0, most), left, None))
        });
        (violations, fits)
    }

    /// Waits that end before the window does, where open permits come to their end and give back what they hold.
    ///
    /// Where more records than are looked at may hold something, the wait ends when the first of the others may: who asks
    /// again then is told more. So it may be too short there, and is never too long.
    fn shorten_waits(&self, violations: &mut [Violation], helped: &[(usize, Counter<'_>, i64)], now: Millis) {
        let longest = helped.iter().filter_map(|(place, ..)| violations[*place].wait_ms).max();
        let Some(longest) = longest.filter(|longest| *longest > 0) else { return };
        let counters: Vec<Slot> = helped.iter().map(|(_, counter, _)| counter.slot()).collect();
        let (endings, known_until) = self.endings(&counters, Millis::new(now.get().saturating_add(longest)));
        let known_until = known_until.max(Millis::new(now.get() + 1));
        for ((place, counter, cap), endings) in helped.iter().zip(endings) {
            let violation = &mut violations[*place];
            let at = counter.fits_with(now, violation.asked, *cap, &endings);
            violation.wait_ms = at.map(|at| at.min(known_until).get().saturating_sub(now.get()).max(0));
        }
    }

    /// What every line would show if `amount` had been taken from it.
    #[cold]
    pub(crate) fn told(lines: &Lines<'_>, amount: &Amount, now: Millis) -> Box<[Told]> {
        let amounts = amount.by_kind();
        let after = |(name, reading): Told| {
            let held = reading.held.saturating_add(amounts[name.kind as usize]);
            (name, Reading { held, ..reading })
        };
        lines.read(now).map(after).collect()
    }

    /// What every line shows, and what the least that is asked comes to there.
    #[cold]
    pub(crate) fn counted(
        lines: &Lines<'_>,
        wanted: &Wanted<'_>,
        settings: &Settings,
        now: Millis,
    ) -> Vec<Counted> {
        let least = wanted.least(settings);
        let counted = |(name, reading): Told| Counted::new(&name, reading, least[name.kind as usize]);
        lines.read(now).map(counted).collect()
    }

    /// Count a refusal whose reason is gone already: it met a reservation that was being undone.
    pub(crate) fn note_transient(&self, denial: &Denial) {
        if !denial.limits.is_empty() && denial.limits.iter().all(|limit| limit.wait_ms == Some(0)) {
            self.stats.transient_refusals.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether a permit is open.
    pub(crate) fn is_open(&self, handle: Handle) -> bool {
        matches!(self.permits.state(handle), State::Open | State::Busy)
    }
}

/// Takes that may fail by somebody else's being faster before the request is refused.
const RETRIES: u32 = 16;
