//! One question put to the engine, and its answer held against what the model says it may be.

use limen_core::answer::{self, Answer, Denial, Exclusion, Grant, ProviderText, Reason};
use limen_core::engine::Engine;
use limen_core::error::Code;
use limen_core::request::{Amounts, Asked, Caller, Request, RequestType};
use limen_core::units::{Millis, NanoUsd};

use super::rules::{one_target, same_rule};
use crate::common::Still;
use crate::model::decision::{Allowed, Refused, Verdict, Violation};
use crate::model::{self, Ask, Model};

/// Ask, or only look.
pub(super) fn put(engine: &Engine, ask: &Ask, at: i64, peek: bool, world: &Still) -> Result<Answer, Code> {
    let amounts = Amounts {
        input_tokens: ask.input_tokens,
        max_output_tokens: ask.max_output_tokens,
        tokens: ask.tokens,
        cost: ask.nano.map(NanoUsd::new),
        usage: None,
    };
    let request_type = if ask.text { RequestType::ChatCompletion } else { RequestType::Embedding };
    let caller = match &ask.key {
        None => Caller::Nobody,
        Some(name) => {
            engine.handle_of_id(name).map_or(Caller::Value("nobody's"), |(key, _)| Caller::Handle(key))
        }
    };
    let request = Request {
        caller,
        provider: &ask.provider,
        model: Some(&ask.model),
        request_type,
        asked: Asked::new(&amounts, request_type).expect("good amounts"),
        mcp_tool: None,
        headers: &[],
        params: &[],
        fallbacks: None,
        sticky: None,
        id: ask.id.as_deref(),
    };
    let now = Millis::new(at);
    // The world's fine clock must not run ahead of the question.
    let world = if world.now == now { world } else { &Still::at(at) };
    let answer = if peek { engine.peek(&request, now, world) } else { engine.admit(&request, now, world) };
    answer.map_err(|fault| fault.code)
}

pub(super) fn violations(limits: &[answer::Violation]) -> Vec<Violation> {
    let one = |limit: &answer::Violation| Violation {
        kind: limit.name.kind,
        level: limit.name.level,
        owner_id: limit.name.owner_id.to_string(),
        limit_id: limit.name.limit_id.to_string(),
        limit: limit.limit,
        used: limit.used,
        held: limit.held,
        asked: limit.asked,
        reset_at: limit.reset_at.get(),
        wait_ms: limit.wait_ms,
    };
    limits.iter().map(one).collect()
}

/// The answer is one that the model can give; what is to be taken, where it is a permit.
pub(super) fn compare(
    engine: &Engine,
    model: &Model,
    ask: &Ask,
    now: i64,
    answer: &Answer,
) -> Option<Allowed> {
    let ruled = if model.passes_identity(ask) { model.ruled(ask, now) } else { None };
    let (asked, rule) = match &ruled {
        Some((asked, place)) => (asked, Some((*place, model.rules[place]))),
        None => (ask, None),
    };
    if let Answer::Permit(grant) = answer {
        same_rule(grant, rule);
    }
    let ask = asked;
    match (answer, model.decide(ask, now)) {
        (Answer::Permit(grant), Verdict::Sure(Ok(given))) => Some(same_grant(engine, ask, grant, given)),
        (Answer::Denial(denial), Verdict::Sure(Err(refused))) => {
            same_refusal(denial, &refused);
            one_target(denial, &ask.provider, &ask.model, rule.is_some());
            None
        }
        (Answer::Permit(grant), Verdict::Drawn { drawn, standby, .. }) => {
            let name = provider_of(engine, ask, grant);
            let nobody_drawn =
                drawn.iter().all(|(_, answer)| matches!(answer, Err(refused) if !refused.final_for_all));
            let first = standby.into_iter().find(|(_, answer)| answer.is_ok()).filter(|_| nobody_drawn);
            let served = drawn.into_iter().filter(|(_, answer)| answer.is_ok()).chain(first);
            let given =
                served.into_iter().find_map(|(provider, answer)| answer.ok().filter(|_| provider == name));
            Some(same_grant(
                engine,
                ask,
                grant,
                given.unwrap_or_else(|| panic!("{name} cannot serve {ask:?}")),
            ))
        }
        (Answer::Denial(denial), Verdict::Drawn { drawn, standby, left_out }) => {
            nobody_serves(denial, &drawn, &standby, &left_out);
            None
        }
        (answer, Verdict::Sure(expected)) => {
            panic!("{answer:#?} instead of {expected:#?} for {ask:?} at {now}")
        }
    }
}

fn provider_of(engine: &Engine, ask: &Ask, grant: &Grant) -> String {
    match grant.provider {
        ProviderText::Known(number) => engine.view().provider_name(number).to_string(),
        _ => ask.provider.clone(),
    }
}

fn same_grant(engine: &Engine, ask: &Ask, grant: &Grant, given: Allowed) -> Allowed {
    let told = Allowed {
        provider: provider_of(engine, ask, grant),
        tokens: grant.held_tokens,
        nano: grant.held_nano_usd,
        requests: grant.held_requests,
        max_output_tokens: grant.max_output_tokens,
        reason: grant.held_reason,
        expires_at: grant.expires_at.get(),
        chain: given.chain.clone(),
    };
    assert_eq!(told, given, "for {ask:?}");
    given
}

fn same_refusal(denial: &Denial, refused: &Refused) {
    assert_eq!(
        (denial.code, violations(&denial.limits), denial.fits, denial.wait_ms),
        (refused.code, refused.limits.clone(), refused.fits, refused.wait_ms())
    );
}

type Target = (String, Result<Allowed, Refused>);

/// Every target that could have been drawn or stood by is refused, each for its own reason.
fn nobody_serves(denial: &Denial, drawn: &[Target], standby: &[Target], left_out: &[(String, Reason)]) {
    let refusal = |target: &Target| match &target.1 {
        Err(refused) => (target.0.clone(), refused.clone()),
        Ok(_) => panic!("refused, although {} can serve: {denial:?}", target.0),
    };
    let drawn: Vec<(String, Refused)> = drawn.iter().map(refusal).collect();
    let (finals, mut tried): (Vec<_>, Vec<_>) =
        drawn.into_iter().partition(|(_, refused)| refused.final_for_all);
    let mut end = finals.into_iter().next();
    let all_drawn = end.is_none();
    if all_drawn {
        for target in standby.iter().map(refusal) {
            if target.1.final_for_all {
                end = Some(target);
                break;
            }
            tried.push(target);
        }
    }
    let told =
        denial.excluded.iter().map(|one| (one.provider.to_string(), one.reason, violations(&one.limits)));
    let mut told: Vec<_> = told.collect();
    let known = |(name, refused): &(String, Refused)| {
        (name.clone(), refused.reason.expect("a reason"), refused.limits.clone())
    };
    let mut expected: Vec<_> = tried.iter().map(known).collect();
    if let Some((_, refused)) = end {
        // Others were met before, as many as were drawn.
        assert!(told.iter().all(|one| expected.contains(one)), "{told:#?} beyond {expected:#?}");
        assert!(!all_drawn || told.len() == expected.len(), "all of them were tried");
        return same_refusal(denial, &Refused { final_for_all: true, ..refused });
    }
    expected.extend(left_out.iter().map(|(name, reason)| (name.clone(), *reason, Vec::new())));
    let key = |one: &(String, Reason, Vec<Violation>)| (one.0.clone(), one.1.as_str());
    told.sort_by_key(key);
    expected.sort_by_key(key);
    assert_eq!(told, expected, "who was left out, and why");
    headline(denial, &tried);
}

/// What the whole denial says is what the first of those in its list says that tells most.
fn headline(denial: &Denial, tried: &[(String, Refused)]) {
    let limited: Vec<&Exclusion> =
        denial.excluded.iter().filter(|one| one.reason == Reason::Limits).collect();
    let code = match limited.first() {
        Some(first) => model::decision::code_of(&violations(&first.limits)),
        None => {
            let any = |reason: Reason| denial.excluded.iter().any(|one| one.reason == reason);
            match () {
                () if any(Reason::PriceUnknown) => Code::PriceUnknown,
                () if any(Reason::NoWeight) => Code::ProviderBlocked,
                () if any(Reason::ModelBlocked) => Code::ModelBlocked,
                () => Code::ProviderBlocked,
            }
        }
    };
    let refused =
        |name: &str| tried.iter().find(|(provider, _)| provider == name).map(|(_, refused)| refused);
    let of_each = limited.iter().filter_map(|one| refused(&one.provider));
    let fits = of_each.clone().find_map(|refused| refused.fits);
    let wait = of_each.filter_map(Refused::wait_ms).min();
    let limits = limited.first().map(|first| violations(&first.limits)).unwrap_or_default();
    assert_eq!(
        (denial.code, violations(&denial.limits), denial.fits, denial.wait_ms),
        (code, limits, fits, wait)
    );
}
