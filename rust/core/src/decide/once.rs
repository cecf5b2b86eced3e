//! A request with an idempotency id: decided once, told again while its permit is open.

use crate::answer::{Answer, Denial, Grant};
use crate::engine::Engine;
use crate::error::{Code, Fault};
use crate::ids::Claim;
use crate::permit::State;
use crate::policy::Policy;
use crate::request::{Request, World};
use crate::units::{Millis, NanoUsd};

impl Engine {
    /// A request with an idempotency id takes once, however often it is sent while its permit is open.
    pub(super) fn decide_once(
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
            Claim::Taken(known) if known.digest != digest || closed(&known.grant) => {
                return Err(Fault::new(Code::IdConflict));
            }
            Claim::Taken(known) => return Ok(Answer::Permit(*known.grant)),
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
    pub(super) fn remembers(&self, grant: &Grant, policy: &Policy, now: Millis) -> bool {
        let ttl = policy.settings.permit_ttl_ms;
        match self.permits.state(grant.handle) {
            State::Free | State::Opening => false,
            State::Open | State::Busy => grant.expires_at.get().saturating_add(ttl) > now.get(),
            _ => self.permits.record(grant.handle).ends.get().saturating_add(ttl) > now.get(),
        }
    }
}

/// One number for what makes two requests the same: provider, model, type and amounts as given; and the fallbacks, into
/// which the permit's answer points. Headers and params, which rules read, are no part of it: who sends a request again
/// sends it with another date and another trace, and gets the permit that it has.
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
    for fallback in request.fallbacks.unwrap_or(&["\0"]) {
        bytes.push(0xff);
        bytes.extend_from_slice(fallback.as_bytes());
    }
    rapidhash::v3::rapidhash_v3(&bytes)
}
