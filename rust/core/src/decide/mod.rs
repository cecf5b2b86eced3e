//! From a request to an answer: identity, rules, access, choice of a target, price, limits.

mod evaluate;
mod facts;
mod identity;
mod once;
mod order;
mod price;
mod refusal;
mod ruled;
mod trail;

use std::sync::Arc;

use crate::admit::{Amount, Lines, Opening, Others, Taken, Wanted};
use crate::answer::{Answer, Beside, Denial, Exclusion, Fallbacks, Grant, ModelText, ProviderText, Reason};
use crate::engine::Engine;
use crate::error::{Code, Fault};
use crate::permit::Handle;
use crate::policy::prices::Tariff;
use crate::policy::{Kind, Policy};
use crate::pricing::Quote;
use crate::request::{Asked, Request, World};
use crate::routing::target::{Tape, Target, access, others, stated};
use crate::units::Millis;
use identity::Identity;
use refusal::{LeftOut, denial_by, exclusion};
use trail::Trail;

/// Where a request says that it wants to go.
#[derive(Clone, Copy)]
struct Incoming<'a> {
    /// The provider; "" where the choice is ours.
    provider: &'a str,
    model: &'a str,
    /// Where the model begins in the text that the request gives.
    from: usize,
}

/// What one pass over the targets came to.
enum Outcome {
    /// `Decision::grant` has it.
    Permit,
    Denial(Box<Denial>),
    /// An edit has closed a counter of this policy, what was decided before a limit refused may be another at the second
    /// look, or what refused is gone already: decide anew.
    Outdated,
}

/// What became of one target.
enum Tried {
    /// `Decision::grant` has it.
    Permit,
    /// It cannot serve; the next may. With the output tokens that would fit there.
    CannotServe(Box<(Exclusion, Option<i64>)>),
    /// It could serve, but limits that any target meets refuse.
    Denial(Box<Denial>),
    Outdated,
}

/// One decision: what does not change while targets are tried.
struct Decision<'a, 'w, W> {
    policy: &'a Policy,
    request: &'a Request<'a>,
    identity: Identity<'a>,
    now: Millis,
    world: &'w W,
    tape: &'a mut Tape<'w, W>,
    take: bool,
    /// Whether a limit has refused: from then on `now` is read from the fine clock, and a limit that still refuses does so
    /// for good.
    looked_again: bool,
    /// Made in its place: handed from function to function it would be copied in each.
    grant: Option<Grant>,
    /// Of a dry run: what became of each target.
    trail: Option<&'a Trail>,
}

/// One pass over the targets. (No closure: whether one is inlined depends on how many there are.)
trait Pass {
    fn once<W: World>(&mut self, engine: &Engine, decision: &mut Decision<'_, '_, W>) -> Outcome;
}

/// What is answered is what is done.
struct InEarnest;

impl Pass for InEarnest {
    #[inline(always)]
    fn once<W: World>(&mut self, engine: &Engine, decision: &mut Decision<'_, '_, W>) -> Outcome {
        engine.attempt(decision)
    }
}

impl Engine {
    /// May this call be made, and where? What it may use is held on every counter that applies, or nothing is.
    ///
    /// # Errors
    /// `invalid_request` for a request that cannot be meant; `id_in_progress` and `id_conflict` for an idempotency
    /// id that is not free. A refusal is no error.
    #[inline]
    pub fn admit(&self, request: &Request<'_>, now: Millis, world: &impl World) -> Result<Answer, Fault> {
        request.check()?;
        let answer = match request.id {
            None => self.decide(request, now, world, true),
            Some(id) => self.decide_once(request, id, now, world)?,
        };
        match &answer {
            Answer::Permit(_) => self.stats.permitted(),
            Answer::Denial(denial) => {
                self.note_transient(denial);
                self.stats.denied(denial.code);
            }
        }
        Ok(answer)
    }

    /// What `admit` would answer now. Takes nothing.
    ///
    /// # Errors
    /// As [`Engine::admit`], without those of ids.
    pub fn peek(&self, request: &Request<'_>, now: Millis, world: &impl World) -> Result<Answer, Fault> {
        request.check()?;
        let _reader = self.policy.reader();
        Ok(self.decide(request, now, world, false))
    }

    #[inline(always)]
    fn decide<W: World>(&self, request: &Request<'_>, now: Millis, world: &W, take: bool) -> Answer {
        self.decide_by(request, now, world, take, None, &mut InEarnest)
    }

    #[inline(always)]
    fn decide_by<W: World>(
        &self,
        request: &Request<'_>,
        now: Millis,
        world: &W,
        take: bool,
        trail: Option<&Trail>,
        pass: &mut impl Pass,
    ) -> Answer {
        let mut tape = Tape::new(world);
        let mut now = now;
        let mut looked_again = false;
        loop {
            tape.rewind();
            let policy = self.policy.load();
            let identity = match self.identify(&policy, request, now, world) {
                Ok(identity) => identity,
                Err(code) => return Answer::Denial(Box::new(Denial::new(code))),
            };
            let tape = &mut tape;
            let mut decision = Decision {
                policy: &policy,
                request,
                identity,
                now,
                world,
                tape,
                take,
                looked_again,
                grant: None,
                trail,
            };
            match (pass.once(self, &mut decision), decision.grant.take()) {
                (Outcome::Permit, Some(grant)) => return Answer::Permit(grant),
                (Outcome::Denial(denial), _) => return Answer::Denial(denial),
                _ if decision.looked_again && !looked_again => {
                    (now, looked_again) = (decision.now, true);
                }
                (Outcome::Outdated | Outcome::Permit, _) => policy.give_up(),
            }
        }
    }

    #[inline(always)]
    fn attempt<W: World>(&self, decision: &mut Decision<'_, '_, W>) -> Outcome {
        let (policy, request) = (decision.policy, decision.request);
        if decision.is_tool_blocked() {
            return Outcome::Denial(Box::new(Denial::new(Code::McpToolBlocked)));
        }
        let Some(model) = request.model else { return self.tool_alone(decision) };
        let incoming = Incoming::new(policy, request, model);
        match &policy.rules {
            None => self.without_rule(decision, incoming),
            Some(rules) => self.by_rules(decision, rules, incoming),
        }
    }

    /// No rule holds, or there is none.
    #[inline(always)]
    fn without_rule<W: World>(&self, decision: &mut Decision<'_, '_, W>, incoming: Incoming<'_>) -> Outcome {
        match (decision.identity.key, incoming.provider) {
            (Some(key), "") => self.drawn(decision, key, incoming.model),
            _ => self.by_name(decision, incoming),
        }
    }

    /// A tool without a model: no provider and no model takes part, and so no rule.
    fn tool_alone<W: World>(&self, decision: &mut Decision<'_, '_, W>) -> Outcome {
        let asked = Asked { guess: false, ..decision.request.asked.clone() };
        let quote = asked.cost.map_or(Quote::NONE, Quote::stated);
        let target = Target {
            provider: None,
            name: "",
            model: "",
            text: ModelText::None,
            config: None,
            after: usize::MAX,
        };
        let mut lines = Lines::default();
        let key = decision.identity.key.map(|key| &**key);
        self.line_up(&mut lines, decision.policy, key, None, None);
        let wanted = Wanted { asked: &asked, quote, tariff: Tariff::default() };
        self.finish(decision, &target, None, &mut lines, &wanted, Others::Nobody).into_outcome()
    }

    /// Access, then price, then limits.
    #[inline(always)]
    fn try_target<W: World>(
        &self,
        decision: &mut Decision<'_, '_, W>,
        target: &Target<'_>,
        others: Others,
    ) -> Tried {
        let policy = decision.policy;
        let key = decision.identity.key.map(|key| &**key);
        let key_id = match key {
            None => None,
            Some(key) => match access(policy, key, target, decision.request, decision.tape) {
                Ok(key_id) => key_id,
                Err(reason) => return self.closed(decision, target, None, reason),
            },
        };
        self.try_allowed(decision, target, key_id, others)
    }

    /// Price, then limits.
    #[inline(always)]
    fn try_allowed<W: World>(
        &self,
        decision: &mut Decision<'_, '_, W>,
        target: &Target<'_>,
        key_id: Option<Arc<str>>,
        others: Others,
    ) -> Tried {
        let policy = decision.policy;
        let key = decision.identity.key.map(|key| &**key);
        let mut lines = Lines::default();
        self.line_up(&mut lines, policy, key, target.provider, Some(target.model));
        let applies = decision.prices(target, key_id.as_deref());
        let Some(quote) = decision.quote(&applies, &lines) else {
            return self.closed(decision, target, key_id, Reason::PriceUnknown);
        };
        let wanted = Wanted { asked: &decision.request.asked, quote, tariff: applies.tariff };
        self.finish(decision, target, key_id, &mut lines, &wanted, others)
    }

    /// Something other than a limit is in the way.
    #[cold]
    fn closed<W: World>(
        &self,
        decision: &Decision<'_, '_, W>,
        target: &Target<'_>,
        key_id: Option<Arc<str>>,
        reason: Reason,
    ) -> Tried {
        let exclusion = exclusion(target, key_id, reason);
        self.looked_at_closed(decision, target, &exclusion);
        cannot_serve(exclusion, None)
    }

    #[inline(always)]
    fn finish<W: World>(
        &self,
        decision: &mut Decision<'_, '_, W>,
        target: &Target<'_>,
        key_id: Option<Arc<str>>,
        lines: &mut Lines<'_>,
        wanted: &Wanted<'_>,
        others: Others,
    ) -> Tried {
        let settings = &decision.policy.settings;
        let version = decision.policy.version;
        let opening = Opening {
            version,
            now: decision.now,
            expires_at: Millis::new(decision.now.get().saturating_add(settings.permit_ttl_ms)),
            credential: decision.identity.credential(),
            take: decision.take,
        };
        match self.take_all(lines, wanted, settings, opening) {
            Taken::Done(handle, amount) => {
                let requests = i64::from(lines.count(Kind::Requests));
                let (expires_at, fallbacks) = (opening.expires_at, decision.fallbacks(target));
                let granted = grant(target, key_id, &amount, handle, requests, fallbacks, expires_at);
                let granted = decision.grant.insert(granted);
                granted.held_price = wanted.quote.source;
                if !decision.take {
                    let peeked = Engine::told(lines, &amount, decision.now);
                    if let Some(trail) = decision.trail {
                        trail.chosen(target, granted.key_id.clone(), &peeked, &amount);
                    }
                    granted.beside = Some(Box::new(Beside { peeked, ..Beside::default() }));
                }
                Tried::Permit
            }
            Taken::Sealed => Tried::Outdated,
            Taken::TooMany => Tried::Denial(Box::new(Denial::new(Code::TooManyPermits))),
            Taken::Refused => {
                if !decision.looked_again && !self.look_again(decision) {
                    return Tried::Outdated;
                }
                let _reader = self.policy.reader();
                if !self.policy.is(version) {
                    return Tried::Outdated;
                }
                let (violations, fits) = self.violations(lines, wanted, settings, decision.now);
                if violations.is_empty() {
                    // It met a reservation that has been undone since: there is room again.
                    return Tried::Outdated;
                }
                let left_out = || exclusion(target, key_id.clone(), Reason::Limits);
                if let Some(trail) = decision.trail {
                    let left_out = Exclusion { limits: violations.clone(), ..left_out() };
                    trail.limited(target, &left_out, Engine::counted(lines, wanted, settings, decision.now));
                }
                if others.meet(&violations) {
                    return Tried::Denial(Box::new(Denial::by_limits(violations, fits)));
                }
                cannot_serve(Exclusion { limits: violations, ..left_out() }, fits)
            }
        }
    }
    /// A refusal is looked at once more, on fresh reads and the fine clock, after overdue permits were swept. False where
    /// the decision is to be made anew for that: by then the key may be none any more, and a rule may read how full the
    /// limits are.
    #[cold]
    fn look_again<W: World>(&self, decision: &mut Decision<'_, '_, W>) -> bool {
        decision.looked_again = true;
        decision.now = decision.now.max(decision.world.fine_now());
        self.sweep_all(decision.now);
        decision.policy.rules.is_none() && decision.now < decision.identity.until
    }
}

impl<'a> Incoming<'a> {
    #[inline(always)]
    fn new(policy: &Policy, request: &Request<'a>, model: &'a str) -> Incoming<'a> {
        let (provider, from) = stated(policy, request, model);
        Incoming { provider, model: &model[from..], from }
    }
}

impl<W: World> Decision<'_, '_, W> {
    /// Whether the request calls a tool that its key may not use.
    #[inline(always)]
    fn is_tool_blocked(&self) -> bool {
        let (Some(tool), Some(key)) = (self.request.mcp_tool, self.identity.key) else { return false };
        let (client, tool) = tool.split_once('/').unwrap_or((tool, ""));
        !key.mcp.iter().any(|config| *config.client == *client && config.tools.allows(tool))
    }

    /// The number of a provider by its name. Those that the key may use are looked at first: they are few.
    #[inline(always)]
    fn provider(&self, name: &str) -> Option<u32> {
        let list = &self.policy.providers.list;
        let configs = self.identity.key.map_or(&[][..], |key| &key.configs);
        let own = configs.iter().find(|config| *list[config.provider as usize].name == *name);
        match own {
            Some(config) => Some(config.provider),
            None if name.is_empty() => None,
            None => self.policy.provider(name),
        }
    }

    /// Where a call may go if its target fails.
    #[inline(always)]
    fn fallbacks(&self, target: &Target<'_>) -> Fallbacks {
        match (self.request.fallbacks, self.identity.key, target.config) {
            (Some(_), _, _) => Fallbacks::Requested(target.after),
            (None, Some(key), Some(_)) => {
                others(self.policy, key, target.model, self.request.asked.batch, target.provider)
            }
            _ => Fallbacks::Requested(usize::MAX),
        }
    }
}

#[inline(always)]
fn grant(
    target: &Target<'_>,
    key_id: Option<Arc<str>>,
    amount: &Amount,
    handle: Handle,
    held_requests: i64,
    fallbacks: Fallbacks,
    expires_at: Millis,
) -> Grant {
    Grant {
        handle,
        provider: match target.provider {
            Some(number) => ProviderText::Known(number),
            None if target.name.is_empty() => ProviderText::None,
            None if target.after > 0 => ProviderText::Fallback(target.after - 1),
            None => ProviderText::Stated,
        },
        model: target.text,
        key_id,
        fallbacks,
        max_output_tokens: amount.cut,
        held_requests,
        held_tokens: amount.tokens,
        held_nano_usd: amount.nano,
        held_price: None,
        held_reason: amount.reason,
        expires_at,
        beside: None,
    }
}

#[cold]
fn cannot_serve(exclusion: Exclusion, fits: Option<i64>) -> Tried {
    Tried::CannotServe(Box::new((exclusion, fits)))
}

impl Tried {
    fn into_outcome(self) -> Outcome {
        match self {
            Tried::Permit => Outcome::Permit,
            Tried::Denial(denial) => Outcome::Denial(denial),
            Tried::CannotServe(found) => {
                // One that was stated is told about by the denial; but that a key is lacking only its exclusion says.
                let lacks_key = found.0.reason == Reason::NoKey;
                let mut left_out = LeftOut::default();
                left_out.add(*found);
                let denial = denial_by(left_out, 1);
                Outcome::Denial(Box::new(if lacks_key { denial } else { denial.plain() }))
            }
            Tried::Outdated => Outcome::Outdated,
        }
    }
}

impl Outcome {
    fn with_excluded(mut self, excluded: Vec<Exclusion>) -> Outcome {
        if let Outcome::Denial(denial) = &mut self {
            denial.excluded = excluded;
        }
        self
    }
}
