//! From a request to an answer: identity, access, choice of a target, price, limits.

use std::sync::Arc;

use crate::admit::{Amount, Lines, Opening, Taken, only_shared, price_refuses};
use crate::answer::{
    Answer, Denial, Exclusion, Fallbacks, Grant, ModelText, ProviderText, Reason, code_of, longest_wait,
};
use crate::engine::Engine;
use crate::error::{Code, Fault};
use crate::ids::Claim;
use crate::permit::{Handle, State};
use crate::policy::{Key, Kind, Policy};
use crate::request::{Asked, Caller, Request, World};
use crate::routing::target::{Drawing, Tape, Target, access, fallback, others, ranked, stated};
use crate::units::{Millis, NanoUsd};

/// Who was found to be calling.
struct Identity<'p> {
    key: Option<&'p Arc<Key>>,
    /// Fingerprint of the value that was presented; of a key that came by handle, of its first.
    /// The lower half of the fingerprint of what it came by.
    credential: i64,
}

impl Identity<'_> {
    /// What a permit keeps of it: see `Engine::may_act`.
    #[inline(always)]
    fn credential(&self) -> [i64; 2] {
        [self.key.map_or(0, |key| key.serial as i64), self.credential]
    }
}

/// What one pass over the targets came to.
enum Outcome {
    /// `Decision::grant` has it.
    Permit,
    Denial(Box<Denial>),
    /// An edit has closed a counter of this policy, or what refused is gone already: decide anew.
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
    tape: &'a mut Tape<'w, W>,
    take: bool,
    /// Made in its place: handed from function to function it would be copied in each.
    grant: Option<Grant>,
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

    /// A request with an idempotency id takes once, however often it is sent while its permit is open.
    fn decide_once(
        &self,
        request: &Request<'_>,
        id: &str,
        now: Millis,
        world: &impl World,
    ) -> Result<Answer, Fault> {
        let policy = self.policy.load();
        let identity = match self.identify(&policy, request, now, world) {
            Ok(identity) => identity,
            Err(code) => return Ok(Answer::Denial(Box::new(Denial::new(code)))),
        };
        let mut text = Vec::with_capacity(8 + id.len());
        text.extend_from_slice(&identity.key.map_or(0, |key| key.serial).to_le_bytes());
        text.extend_from_slice(id.as_bytes());
        let id = self.seeds.fingerprint(&text);
        let digest = digest(request);
        // Overdue permits are closed ones, whether or not a sweep has been by.
        let closed = |grant: &Grant| !self.is_open(grant.handle) || grant.expires_at <= now;
        match self.ids.claim(id, |grant| self.remembers(grant, &policy, now)) {
            Claim::Deciding => return Err(Fault::new(Code::IdInProgress)),
            Claim::Taken { digest: taken, grant } if taken != digest || closed(&grant) => {
                return Err(Fault::new(Code::IdConflict));
            }
            Claim::Taken { grant, .. } => return Ok(Answer::Permit(*grant)),
            Claim::Ours => {}
        }
        let answer = self.decide(request, now, world, true);
        match &answer {
            Answer::Permit(grant) => self.ids.settle_claim(id, Some((digest, grant))),
            Answer::Denial(_) => self.ids.settle_claim(id, None),
        }
        Ok(answer)
    }

    /// Whether a permit is open, or closed no longer than one time to live ago.
    fn remembers(&self, grant: &Grant, policy: &Policy, now: Millis) -> bool {
        let ttl = policy.settings.permit_ttl_ms;
        match self.permits.state(grant.handle) {
            State::Free | State::Opening => false,
            State::Open | State::Busy => grant.expires_at.get().saturating_add(ttl) > now.get(),
            _ => self.permits.record(grant.handle).ends.get().saturating_add(ttl) > now.get(),
        }
    }

    /// A refusal by limits is looked at once more, on fresh reads and the fine clock, after overdue permits were swept.
    #[inline(always)]
    fn decide(&self, request: &Request<'_>, now: Millis, world: &impl World, take: bool) -> Answer {
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
            let mut decision = Decision { policy: &policy, request, identity, now, tape, take, grant: None };
            match (self.attempt(&mut decision), decision.grant) {
                (Outcome::Permit, Some(grant)) => return Answer::Permit(grant),
                (Outcome::Denial(denial), _) if looked_again || !rests_on_limits(&denial) => {
                    return Answer::Denial(denial);
                }
                (Outcome::Denial(_), _) => {
                    looked_again = true;
                    if policy.settings.give_back_on_expiry {
                        self.sweep(now);
                    }
                    now = now.max(world.fine_now());
                }
                (Outcome::Outdated | Outcome::Permit, _) => {}
            }
        }
    }

    #[inline(always)]
    fn identify<'p>(
        &self,
        policy: &'p Policy,
        request: &Request<'_>,
        now: Millis,
        world: &impl World,
    ) -> Result<Identity<'p>, Code> {
        let mut presented = None;
        let key = match request.caller {
            Caller::Nobody | Caller::Value("") => {
                return if policy.settings.require_virtual_key {
                    Err(Code::VirtualKeyRequired)
                } else {
                    Ok(Identity { key: None, credential: 0 })
                };
            }
            Caller::Value(value) => {
                self.find_value(policy, value, now, world).and_then(|(number, fingerprint)| {
                    presented = Some(fingerprint);
                    policy.keys.get(number)
                })
            }
            Caller::Handle(handle) => {
                policy.keys.get(handle.number).filter(|key| key.serial == handle.serial)
            }
        };
        let key = key.ok_or(Code::VirtualKeyNotFound)?;
        if !key.active || now >= key.expires_at {
            return Err(Code::VirtualKeyBlocked);
        }
        let credential = presented.map_or(key.fingerprint, |presented| presented as i64);
        Ok(Identity { key: Some(key), credential })
    }

    #[inline(always)]
    fn attempt<W: World>(&self, decision: &mut Decision<'_, '_, W>) -> Outcome {
        let (policy, request) = (decision.policy, decision.request);
        if let (Some(tool), Some(key)) = (request.mcp_tool, decision.identity.key) {
            let (client, tool) = tool.split_once('/').unwrap_or((tool, ""));
            if !key.mcp.iter().any(|config| *config.client == *client && config.tools.allows(tool)) {
                return Outcome::Denial(Box::new(Denial::new(Code::McpToolBlocked)));
            }
        }
        let Some(model) = request.model else { return self.tool_alone(decision) };
        let (name, from) = stated(policy, request, model);
        match (decision.identity.key, name) {
            (Some(key), "") => self.drawn(decision, key, model),
            _ => self.by_name(decision, name, &model[from..], from),
        }
    }

    /// A tool without a model: no provider and no model takes part.
    fn tool_alone<W: World>(&self, decision: &mut Decision<'_, '_, W>) -> Outcome {
        let asked = Asked { guess: false, ..decision.request.asked };
        let target = Target {
            provider: None,
            name: "",
            model: "",
            text: ModelText::None,
            config: None,
            after: usize::MAX,
        };
        let mut lines = self.lines(decision.policy, decision.identity.key.map(|key| &**key), None, None);
        self.finish(decision, &target, None, &mut lines, &asked, true).into_outcome()
    }

    /// The provider is stated, or nobody has to be asked which: try it, then the request's own fallbacks.
    #[inline(always)]
    fn by_name<W: World>(
        &self,
        decision: &mut Decision<'_, '_, W>,
        name: &str,
        model: &str,
        from: usize,
    ) -> Outcome {
        let target = Target {
            provider: decision.provider(name),
            name,
            model,
            text: ModelText::Requested(from),
            config: None,
            after: 0,
        };
        let own = decision.request.fallbacks.unwrap_or(&[]);
        match self.try_target(decision, &target, own.is_empty()) {
            Tried::CannotServe(found) if !own.is_empty() => {
                self.fall_back(decision, from, vec![found.0], found.1)
            }
            other => other.into_outcome(),
        }
    }

    /// No provider is stated: draw among the key's configs that can serve.
    #[inline(always)]
    fn drawn<W: World>(&self, decision: &mut Decision<'_, '_, W>, key: &Key, model: &str) -> Outcome {
        let policy = decision.policy;
        let own = decision.request.fallbacks;
        let model_is_shared = own.is_none_or(<[&str]>::is_empty);
        let mut drawing = Drawing::new(key, model);
        let mut excluded = Vec::new();
        let mut fits = None;
        let target = |place: usize| {
            let provider = key.configs[place].provider;
            Target {
                provider: Some(provider),
                name: &policy.providers.list[provider as usize].name,
                model,
                text: ModelText::Requested(0),
                config: Some(place),
                after: 0,
            }
        };
        while let Some(place) = drawing.next(decision.request.sticky, decision.tape) {
            match self.try_target(decision, &target(place), model_is_shared) {
                Tried::CannotServe(found) => {
                    excluded.push(found.0);
                    fits = fits.or(found.1);
                }
                other => return other.into_outcome().with_excluded(excluded),
            }
            drawing.leave_out(place);
        }
        if own.is_none() {
            // Weight 0 is never drawn, and stands by.
            for standby in ranked(policy, key).into_iter().filter(|config| config.weight == Some(0.0)) {
                if !standby.models.allows(model) {
                    continue;
                }
                let place = key.configs.iter().position(|config| config.id == standby.id);
                match self.try_target(decision, &target(place.unwrap_or(0)), model_is_shared) {
                    Tried::CannotServe(found) => {
                        excluded.push(found.0);
                        fits = fits.or(found.1);
                    }
                    other => return other.into_outcome().with_excluded(excluded),
                }
            }
        }
        for config in &key.configs {
            let reason = match config.weight {
                _ if !config.models.allows(model) => Reason::ModelBlocked,
                None => Reason::NoWeight,
                Some(_) => continue,
            };
            excluded.push(Exclusion {
                provider: policy.providers.list[config.provider as usize].name.clone(),
                model: model.into(),
                key_id: None,
                reason,
                limits: Vec::new(),
            });
        }
        if own.is_some_and(|own| !own.is_empty()) {
            return self.fall_back(decision, 0, excluded, fits);
        }
        Outcome::Denial(Box::new(denial_by(excluded, fits)))
    }

    /// Try the request's own fallbacks in order.
    fn fall_back<W: World>(
        &self,
        decision: &mut Decision<'_, '_, W>,
        from: usize,
        mut excluded: Vec<Exclusion>,
        mut fits: Option<i64>,
    ) -> Outcome {
        for index in 0..decision.request.fallbacks.map_or(0, <[&str]>::len) {
            let target = fallback(decision.policy, decision.request, index, from);
            match self.try_target(decision, &target, false) {
                Tried::CannotServe(found) => {
                    excluded.push(found.0);
                    fits = fits.or(found.1);
                }
                other => return other.into_outcome().with_excluded(excluded),
            }
        }
        Outcome::Denial(Box::new(denial_by(excluded, fits)))
    }

    /// Access, then price, then limits.
    #[inline(always)]
    fn try_target<W: World>(
        &self,
        decision: &mut Decision<'_, '_, W>,
        target: &Target<'_>,
        model_is_shared: bool,
    ) -> Tried {
        let policy = decision.policy;
        let key = decision.identity.key.map(|key| &**key);
        let key_id = match key {
            None => None,
            Some(key) => match access(policy, key, target, decision.request, decision.tape) {
                Ok(key_id) => key_id,
                Err(reason) => return cannot_serve(exclusion(target, None, reason), None),
            },
        };
        let mut lines = self.lines(policy, key, target.provider, Some(target.model));
        let asked = &decision.request.asked;
        if price_refuses(&policy.settings, asked, &lines) {
            return cannot_serve(exclusion(target, key_id, Reason::PriceUnknown), None);
        }
        self.finish(decision, target, key_id, &mut lines, asked, model_is_shared)
    }

    #[inline(always)]
    fn finish<W: World>(
        &self,
        decision: &mut Decision<'_, '_, W>,
        target: &Target<'_>,
        key_id: Option<Arc<str>>,
        lines: &mut Lines<'_>,
        asked: &Asked,
        model_is_shared: bool,
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
        match self.take_all(lines, asked, settings, opening) {
            Taken::Done(handle, amount) => {
                let requests = i64::from(lines.count(Kind::Requests));
                let (expires_at, fallbacks) = (opening.expires_at, decision.fallbacks(target));
                let peeked =
                    if decision.take { Box::default() } else { Engine::told(lines, &amount, decision.now) };
                let granted = grant(target, key_id, &amount, handle, requests, fallbacks, expires_at);
                decision.grant = Some(Grant { peeked, ..granted });
                Tried::Permit
            }
            Taken::Sealed => Tried::Outdated,
            Taken::TooMany => Tried::Denial(Box::new(Denial::new(Code::TooManyPermits))),
            Taken::Refused => {
                let _reader = self.policy.reader();
                if !self.policy.is(version) {
                    return Tried::Outdated;
                }
                let (violations, fits) = self.violations(lines, asked, settings, decision.now);
                if violations.is_empty() {
                    // It met a reservation that has been undone since: there is room again.
                    return Tried::Outdated;
                }
                if only_shared(&violations, model_is_shared) {
                    return Tried::Denial(Box::new(Denial::by_limits(violations, fits)));
                }
                let left_out = exclusion(target, key_id, Reason::Limits);
                cannot_serve(Exclusion { limits: violations, ..left_out }, fits)
            }
        }
    }
}

impl<W: World> Decision<'_, '_, W> {
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
        held_reason: amount.reason,
        expires_at,
        peeked: Box::default(),
    }
}

#[cold]
fn cannot_serve(exclusion: Exclusion, fits: Option<i64>) -> Tried {
    Tried::CannotServe(Box::new((exclusion, fits)))
}

fn exclusion(target: &Target<'_>, key_id: Option<Arc<str>>, reason: Reason) -> Exclusion {
    Exclusion {
        provider: Arc::from(target.name),
        model: target.model.into(),
        key_id,
        reason,
        limits: Vec::new(),
    }
}

fn rests_on_limits(denial: &Denial) -> bool {
    !denial.limits.is_empty() || denial.excluded.iter().any(|target| target.reason == Reason::Limits)
}

/// Nobody could serve: what the first target that limits refuse says; where limits refuse none, what says most about
/// why.
fn denial_by(excluded: Vec<Exclusion>, fits: Option<i64>) -> Denial {
    const TELLING: [Reason; 6] = [
        Reason::Limits,
        Reason::PriceUnknown,
        Reason::NoKey,
        Reason::NoWeight,
        Reason::ModelBlocked,
        Reason::ProviderBlocked,
    ];
    let first =
        TELLING.iter().find_map(|reason| excluded.iter().find(|exclusion| exclusion.reason == *reason));
    let Some(first) = first else { return Denial::new(Code::ProviderBlocked) };
    let code = if first.reason == Reason::Limits { code_of(&first.limits) } else { first.reason.code() };
    // The first target to have room again serves.
    let limited = excluded.iter().filter(|target| target.reason == Reason::Limits);
    let wait_ms = limited.filter_map(|target| longest_wait(&target.limits)).min();
    let limits = first.limits.clone();
    Denial { code, limits, fits, excluded, wait_ms }
}

/// One number for what makes two requests the same: provider, model, type and amounts as given.
fn digest(request: &Request<'_>) -> u64 {
    let asked = &request.asked;
    let mut bytes = Vec::with_capacity(128);
    for text in [request.provider, request.model.unwrap_or("\0"), request.request_type.as_str()] {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0xff);
    }
    for number in [
        asked.stated,
        asked.most.unwrap_or(-1),
        asked.expected,
        i64::from(asked.guess),
        asked.cost.map_or(-1, NanoUsd::get),
        asked.wording,
    ] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(request.mcp_tool.unwrap_or("").as_bytes());
    rapidhash::v3::rapidhash_v3(&bytes)
}

impl Tried {
    fn into_outcome(self) -> Outcome {
        match self {
            Tried::Permit => Outcome::Permit,
            Tried::Denial(denial) => Outcome::Denial(denial),
            Tried::CannotServe(found) => Outcome::Denial(Box::new(denial_by(vec![found.0], found.1).plain())),
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
