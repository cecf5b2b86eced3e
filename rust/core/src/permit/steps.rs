//! Settle, update, release, expire.

use core::cell::LazyCell;

use super::body::Charged;
use super::charge::charge;
use super::record::Record;
use super::slab::Found;
use super::{Entry, Handle, Held, State};
use crate::answer::{PriceSource, Settlement, Violation};
use crate::arena::{Arena, Counter, Slot};
use crate::engine::Engine;
use crate::error::{Code, Fault};
use crate::policy::{Kind, Policy, Set};
use crate::sync::Ordering;
use crate::units::Millis;
use crate::usage::Usage;

/// How a settle says what was used.
#[derive(Clone, Debug)]
pub enum Closing {
    /// Charge what was held.
    AsHeld,
    /// Charge this.
    Used(Usage),
}

/// The digest of "as held": no usage has it but by a chance of 2^-64.
const AS_HELD: i64 = i64::MIN + 7;

/// Beside the bits of where the price comes from: 1, 2 and 32.
const OVERRUN: u32 = 4;
const EXPIRED: u32 = 8;
const REQUEST_RETURNED: u32 = 16;

impl Record {
    fn settlement(&self, repeated: bool) -> Settlement {
        let flags = self.flags.load(Ordering::Relaxed);
        Settlement {
            cost_nano_usd: self.nano.get(),
            tokens: self.tokens.get(),
            overrun: flags & OVERRUN != 0,
            repeated,
            expired: flags & EXPIRED != 0,
            price: PriceSource::of(flags),
        }
    }
}

/// What a permit holds on a counter of this kind.
#[inline(always)]
pub(super) fn held_on(record: &Record, kind: Kind) -> i64 {
    match kind {
        Kind::Tokens => record.tokens.get(),
        Kind::Requests => 1,
        Kind::Budget => record.nano.get(),
    }
}

/// A closed permit is remembered for one time to live.
fn forgotten(record: &Record, policy: &Policy, now: Millis) -> bool {
    record.ends.get().saturating_add(policy.settings.permit_ttl_ms) <= now.get()
}

fn not_found() -> Fault {
    Fault::new(Code::PermitNotFound)
}

impl Engine {
    /// Replace what a permit holds by what was really used, once.
    ///
    /// # Errors
    /// `permit_not_found`, `permit_closed` after a release, `settle_conflict` after a settle with other usage,
    /// `invalid_request` for no usage at all.
    pub fn settle(&self, handle: Handle, closing: &Closing, now: Millis) -> Result<Settlement, Fault> {
        // The guard keeps counters that this permit names from being given out anew meanwhile.
        let policy = self.policy.load();
        let digest = match closing {
            Closing::AsHeld => AS_HELD,
            Closing::Used(usage) if !usage.says_how_much() => {
                return Err(Fault::invalid(
                    "prompt_tokens",
                    "state what was used, or as_held=true to charge what was held",
                ));
            }
            Closing::Used(usage) => usage.digest(),
        };
        let tokens = match closing {
            Closing::AsHeld => None,
            Closing::Used(usage) => Some(usage.tokens()?),
        };
        let mut held = match self.permits.find(handle) {
            Found::Unknown => return Err(not_found()),
            Found::Held(held) => held,
            Found::Closed(record, state) => {
                let (settled_with, answer) = (record.digest.get(), record.settlement(true));
                if forgotten(record, &policy, now) || !self.permits.still(handle, state) {
                    return Err(not_found());
                }
                if state == State::Released {
                    return Err(Fault::new(Code::PermitClosed));
                }
                if settled_with != digest {
                    return Err(Fault::new(Code::SettleConflict));
                }
                return Ok(answer);
            }
        };
        let expired = self.expire_if_overdue(&mut held, &policy, now).ok_or_else(not_found)?;
        let record = held.record;
        let (held_tokens, held_nano) = (record.tokens.get(), record.nano.get());
        let (cost, price) = match closing {
            Closing::AsHeld => (held_nano, PriceSource::Held),
            Closing::Used(usage) => match charge(&held, usage, &policy) {
                // What is not known was held, or the part that is known where that is more.
                (known, PriceSource::Held) if known.max(held_nano) > 0 => {
                    (known.max(held_nano), PriceSource::Held)
                }
                (_, PriceSource::Held) => (0, PriceSource::Zero),
                known => known,
            },
        };
        let tokens = tokens.unwrap_or(held_tokens);
        let mut overrun = false;
        held.each(|entry, charged| {
            let (real, hold) = match entry.kind {
                Kind::Tokens => (tokens, held_tokens),
                Kind::Requests => return,
                Kind::Budget => (cost, held_nano),
            };
            overrun |= real > hold;
            correct_to(&self.arena, entry, charged, held.was, real, hold, now);
        });
        record.digest.set(digest);
        record.tokens.set(tokens);
        record.nano.set(cost);
        let flags = price as u32 | if overrun { OVERRUN } else { 0 } | if expired { EXPIRED } else { 0 };
        record.flags.store(flags, Ordering::Relaxed);
        record.ends.set(now.get());
        let answer = record.settlement(false);
        held.leave(State::Settled);
        Ok(answer)
    }

    /// Tell what a stream has used so far: what is held becomes the larger of held and total. The limits that are over
    /// now.
    ///
    /// # Errors
    /// `invalid_request` where a total falls, `permit_closed` after settle, release or expiry, `permit_not_found`.
    pub fn update(&self, handle: Handle, totals: &Usage, now: Millis) -> Result<Vec<Violation>, Fault> {
        let policy = self.policy.load();
        if !totals.says_how_much() {
            return Err(Fault::invalid("prompt_tokens", "state what was used so far"));
        }
        let tokens = totals.tokens()?;
        let mut held = match self.permits.find(handle) {
            Found::Unknown => return Err(not_found()),
            Found::Closed(record, state) => {
                let unknown = forgotten(record, &policy, now) || !self.permits.still(handle, state);
                return Err(if unknown { not_found() } else { Fault::new(Code::PermitClosed) });
            }
            Found::Held(held) => held,
        };
        let expired = self.expire_if_overdue(&mut held, &policy, now).ok_or_else(not_found)?;
        if expired {
            return Err(Fault::new(Code::PermitClosed));
        }
        let record = held.record;
        // What is not told is as it was.
        let tokens = if totals.says_tokens() { tokens } else { held.body.seen_tokens.get() };
        let (cost, source) = charge(&held, totals, &policy);
        let stated = matches!(source, PriceSource::Stated | PriceSource::Reported);
        // A cost that comes of a price may fall: tokens of a prompt turn out to have been in a cache.
        let nano = if stated { cost } else { held.body.seen_nano.get() };
        if tokens < held.body.seen_tokens.get() {
            let param = totals.first().map_or("prompt_tokens", |word| word.as_str());
            return Err(Fault::invalid(param, "totals never fall: state all that was used so far"));
        }
        if nano < held.body.seen_nano.get() {
            return Err(Fault::invalid("cost_usd", "totals never fall: state all that was spent so far"));
        }
        held.body.seen_tokens.set(tokens);
        held.body.seen_nano.set(nano);
        let more_tokens = (tokens - record.tokens.get()).max(0);
        let more_nano = (cost.max(nano) - record.nano.get()).max(0);
        let mut over = Vec::new();
        // Nothing is held of a kind that no counter counts.
        let (mut held_tokens, mut held_nano) = (0, 0);
        held.each(|entry, charged| {
            match entry.kind {
                Kind::Tokens => held_tokens = more_tokens,
                Kind::Requests => {}
                Kind::Budget => held_nano = more_nano,
            }
            let growth = match entry.kind {
                Kind::Tokens => more_tokens,
                Kind::Requests => 0,
                Kind::Budget => more_nano,
            };
            let Some(counter) = self.arena.find(entry.slot) else { return };
            if growth > 0 && !counter.correct(entry.epoch, growth, 0, growth, now) {
                charged.add(growth);
            }
            let reading = counter.read_as(entry.kind, now);
            if let Some(name) = counter.name().filter(|name| reading.total() > name.limit) {
                over.push(Violation {
                    limit: name.limit,
                    used: reading.used,
                    held: reading.held,
                    asked: 0,
                    reset_at: reading.reset,
                    wait_ms: counter
                        .fits_at(now, 0, name.limit)
                        .map(|at| at.get().saturating_sub(now.get()).max(0)),
                    name,
                });
            }
        });
        record.tokens.set(record.tokens.get().saturating_add(held_tokens));
        record.nano.set(record.nano.get().saturating_add(held_nano));
        held.leave(State::Open);
        Ok(over)
    }

    /// Give back what a permit holds; with `request`, the request as well.
    ///
    /// # Errors
    /// `permit_closed` after a settle, or after a release with the other flag; `permit_not_found`.
    pub fn release(&self, handle: Handle, request: bool, now: Millis) -> Result<(), Fault> {
        let policy = self.policy.load();
        let mut held = match self.permits.find(handle) {
            Found::Unknown => return Err(not_found()),
            Found::Held(held) => held,
            Found::Closed(record, state) => {
                let same = (record.flags.load(Ordering::Relaxed) & REQUEST_RETURNED != 0) == request;
                if forgotten(record, &policy, now) || !self.permits.still(handle, state) {
                    return Err(not_found());
                }
                return if state == State::Released && same {
                    Ok(())
                } else {
                    Err(Fault::new(Code::PermitClosed))
                };
            }
        };
        let expired = self.expire_if_overdue(&mut held, &policy, now).ok_or_else(not_found)?;
        let record = held.record;
        held.each(|entry, charged| match entry.kind {
            Kind::Requests if !request => {}
            Kind::Requests => {
                if let Some(counter) = self.arena.find(entry.slot) {
                    counter.correct(entry.epoch, -1, 0, 0, now);
                }
            }
            kind => {
                let hold = held_on(record, kind);
                correct_to(&self.arena, entry, charged, held.was, 0, hold, now);
            }
        });
        let flags = if request { REQUEST_RETURNED } else { 0 } | if expired { EXPIRED } else { 0 };
        record.flags.store(flags, Ordering::Relaxed);
        record.ends.set(now.get());
        held.leave(State::Released);
        Ok(())
    }

    /// Expire permits that are past their time, looking at no more than a bounded number of records per call, and
    /// going on where the last call ended. How many there were.
    pub fn sweep(&self, now: Millis) -> u64 {
        let policy = self.policy.load();
        self.permits.overdue(now, SWEEP, |mut held| self.expire(&mut held, &policy, now))
    }

    /// Expire every permit that is past its time: what is refused after that is not refused for what is overdue.
    ///
    /// The call has no bound of its own, all calls together have one: a permit that is opened brings about one look at the
    /// 256 records of its block, once its time has passed, and one expiry. Where nothing has come to its end since the
    /// last call, there is one word of each ring to read, so a flood of refusals pays for nothing twice.
    #[cold]
    pub(crate) fn sweep_all(&self, now: Millis) {
        // Seldom is anything overdue, and who asks has a policy in hand already.
        let policy = LazyCell::new(|| self.policy.load());
        self.permits.overdue(now, usize::MAX, |mut held| self.expire(&mut held, &policy, now));
    }

    /// Those of these sealed counters that no permit follows any more, after overdue permits have expired. None where
    /// a permit is in the middle of a step: the step may be on its way to any of them.
    pub(crate) fn unfollowed(&self, sealed: Set<Slot>, now: Millis) -> Option<Set<Slot>> {
        let policy = self.policy.load();
        let mut unfollowed = sealed;
        let seen_all = self.permits.each_correctable(|mut held| {
            if held.was == State::Open && held.record.ends.get() <= now.get() {
                self.expire(&mut held, &policy, now);
            }
            if held.was != State::Open && forgotten(held.record, &policy, now) {
                held.note();
                held.leave(State::Free);
                return;
            }
            held.each(|entry, _| {
                for slot in self.arena.way_of(entry.slot) {
                    unfollowed.remove(&slot);
                }
            });
        });
        seen_all.then_some(unfollowed)
    }

    /// The permits that were taken from a counter, locked, and parted from what they have used there: what they still
    /// hold is theirs.
    pub(crate) fn parted_from(&self, counter: Counter<'_>, policy: &Policy, now: Millis) -> Vec<Held<'_>> {
        let slot = counter.newest().slot();
        let counting = counter.leaving(now);
        let counts = |(at, epoch)| at == slot && counting.iter().any(|window| window.epoch == epoch);
        loop {
            let mut permits = Vec::new();
            let seen_all = self.permits.each_correctable(|mut held| {
                if held.was == State::Open && held.record.ends.get() <= now.get() {
                    self.expire(&mut held, policy, now);
                }
                let mut is_taken_from = false;
                held.each(|entry, charged| {
                    let at = self.arena.find(entry.slot).and_then(|counter| counter.whereabouts(entry.epoch));
                    if at.is_some_and(counts) {
                        is_taken_from = true;
                        if entry.kind == Kind::Requests || held.was == State::Charged {
                            charged.is_gone(entry.kind);
                        }
                    }
                });
                if is_taken_from {
                    held.note();
                    permits.push(held);
                }
            });
            // One was in the middle of a step for long: let the others go on, and try again.
            if seen_all {
                return permits;
            }
        }
    }

    /// Whether a permit has expired: an open one that is past its time expires here, whether or not a sweep has been by.
    /// None once it is forgotten.
    #[inline(always)]
    fn expire_if_overdue(&self, held: &mut Held<'_>, policy: &Policy, now: Millis) -> Option<bool> {
        if held.was == State::Open && held.record.ends.get() > now.get() {
            return Some(false);
        }
        self.expired(held, policy, now)
    }

    #[cold]
    fn expired(&self, held: &mut Held<'_>, policy: &Policy, now: Millis) -> Option<bool> {
        if held.was == State::Open {
            self.expire(held, policy, now);
        }
        (!forgotten(held.record, policy, now)).then_some(true)
    }

    fn expire(&self, held: &mut Held<'_>, policy: &Policy, now: Millis) {
        let give_back = policy.settings.give_back_on_expiry;
        let record = held.record;
        held.each(|entry, charged| {
            if entry.kind == Kind::Requests {
                return;
            }
            let Some(counter) = self.arena.find(entry.slot) else { return };
            let hold = held_on(record, entry.kind) - charged.get();
            let (total, used) = if give_back { (-hold, 0) } else { (0, hold) };
            counter.correct(entry.epoch, total, used, 0, now);
        });
        self.stats.expired.fetch_add(1, Ordering::Relaxed);
        // Remembered from the instant at which it was due, not from the sweep that found it.
        held.become_expired(if give_back { State::GivenBack } else { State::Charged });
    }
}

/// How many blocks of records one bounded sweep looks at in each ring.
const SWEEP: usize = 16;

/// Bring a counter from what a permit in state `was` has put there to `real`.
///
/// What was charged outside the hold (growth after its window had rolled) is final, so the hold's own window answers
/// for the rest. What exceeds the whole hold goes to the current window if the hold's has rolled.
#[inline(always)]
fn correct_to(
    arena: &Arena,
    entry: Entry,
    charged: Charged<'_>,
    was: State,
    real: i64,
    hold: i64,
    now: Millis,
) {
    let Some(counter) = arena.find(entry.slot) else { return };
    let outside = charged.get();
    let (in_hold, here) = (hold - outside, (real - outside).max(0));
    let (total, used) = match was {
        State::Charged if cfg!(canary = "expiry_and_settle_both_charge") => (here, here),
        State::Charged => (here - in_hold, here - in_hold),
        State::GivenBack => (here, here),
        _ => (here - in_hold, here),
    };
    counter.correct(entry.epoch, total, used, (real - hold).max(0), now);
}
