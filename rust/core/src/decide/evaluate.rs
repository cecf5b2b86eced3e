//! Dry runs: which rule binds a request and why those before it do not; and all that takes part in its decision.

use core::cell::RefCell;
use std::sync::Arc;

use super::facts::RequestFacts;
use super::trail::{Trail, candidates};
use super::{Decision, Incoming, Outcome, Pass};
use crate::answer::{Answer, Candidate, Counted, Denial, Evaluation, Explanation, Fate, Step};
use crate::engine::Engine;
use crate::error::{Code, Fault};
use crate::request::{Request, World};
use crate::routing::cel::{Facts, Map, Percent, Text};
use crate::routing::rules::{self, Rule};
use crate::units::Millis;

/// The most characters of a text that a reason quotes.
const QUOTED: usize = 64;

impl Engine {
    /// Which rule would bind the request, and where it would go. Takes, draws and counts nothing.
    ///
    /// # Errors
    /// As [`Engine::peek`]; the code of the refusal where the caller is unknown, blocked, or missing.
    pub fn evaluate(
        &self,
        request: &Request<'_>,
        now: Millis,
        world: &impl World,
    ) -> Result<Evaluation, Fault> {
        match self.dry_run(request, now, world)? {
            (answer, Some(found)) => {
                Ok(Evaluation { answer: found.binds.then_some(answer), ..found.evaluation })
            }
            (Answer::Denial(denial), None) => Err(Fault::new(denial.code)),
            (Answer::Permit(_), None) => unreachable!("who is permitted was evaluated"),
        }
    }

    /// What [`Engine::peek`] answers, with every rule, every target and every counter that takes part. Takes, draws and
    /// counts nothing.
    ///
    /// # Errors
    /// As [`Engine::peek`].
    pub fn explain(
        &self,
        request: &Request<'_>,
        now: Millis,
        world: &impl World,
    ) -> Result<Explanation, Fault> {
        let (answer, found) = self.dry_run(request, now, world)?;
        let Found { evaluation, virtual_key, candidates, counters, .. } = found.unwrap_or_default();
        let chosen = candidates.iter().find(|one| one.fate == Fate::Chosen).or(candidates.first());
        let (provider, model, key_id) = match chosen {
            Some(target) => (target.provider.clone(), Some(target.model.clone()), target.key_id.clone()),
            None => {
                let policy = self.policy.load();
                let said = request.model.map(|model| Incoming::new(&policy, request, model));
                let provider = said.map_or(request.provider, |said| said.provider);
                (Arc::from(provider), said.map(|said| said.model.into()), None)
            }
        };
        let steps = evaluation.steps;
        Ok(Explanation { answer, virtual_key, provider, model, key_id, steps, candidates, counters })
    }

    fn dry_run(
        &self,
        request: &Request<'_>,
        now: Millis,
        world: &impl World,
    ) -> Result<(Answer, Option<Found>), Fault> {
        request.check()?;
        let _reader = self.policy.reader();
        let trail = Trail::default();
        let mut run = DryRun { trail: &trail, found: None };
        let answer = self.decide_by(request, now, world, false, Some(&trail), &mut run);
        Ok((answer, run.found))
    }
}

/// What the last pass found. There is none where it is not known who asks.
#[derive(Default)]
struct Found {
    evaluation: Evaluation,
    /// Whether a rule binds.
    binds: bool,
    virtual_key: Option<Arc<str>>,
    candidates: Vec<Candidate>,
    counters: Vec<Counted>,
}

struct DryRun<'t> {
    trail: &'t Trail,
    found: Option<Found>,
}

impl Pass for DryRun<'_> {
    fn once<W: World>(&mut self, engine: &Engine, decision: &mut Decision<'_, '_, W>) -> Outcome {
        self.trail.start();
        let (policy, request) = (decision.policy, decision.request);
        let incoming = Incoming::new(policy, request, request.model.unwrap_or(""));
        let facts = RequestFacts::new(engine, decision, incoming);
        let mut evaluation = Evaluation::of(&facts);
        let rules = policy.rules.as_ref().filter(|_| request.model.is_some());
        let noted = Noted { facts: &facts, read: RefCell::default() };
        let mut binding = None;
        let asking = facts.asking();
        for (rule, outcome) in rules.iter().flat_map(|rules| rules.trace(&asking, &noted)) {
            evaluation.steps.push(noted.step(rule, &outcome));
            if outcome == rules::Outcome::Match {
                binding = Some(&**rule);
            }
        }
        if facts.is_outdated() {
            return Outcome::Outdated;
        }
        let mut found = Found { evaluation, binds: binding.is_some(), ..Found::default() };
        found.virtual_key = decision.identity.key.map(|key| key.id.clone());
        let outcome = match (decision.is_tool_blocked(), request.model, binding) {
            (true, ..) => Outcome::Denial(Box::new(Denial::new(Code::McpToolBlocked))),
            (_, None, _) => engine.tool_alone(decision),
            (_, _, Some(rule)) => engine.bound(decision, rule, incoming),
            (_, _, None) => engine.without_rule(decision, incoming),
        };
        let permit = decision.grant.as_ref().filter(|_| matches!(outcome, Outcome::Permit));
        if request.model.is_some() && !decision.is_tool_blocked() {
            found.candidates = candidates(decision, self.trail, binding, incoming, permit);
        }
        found.counters = engine.counters(decision, self.trail, incoming);
        self.found = Some(found);
        outcome
    }
}

impl Evaluation {
    fn of(facts: &RequestFacts<'_>) -> Evaluation {
        let entries = |map: &Map| {
            let entry = |(name, value): &(&str, &str)| (name.to_ascii_lowercase(), (*value).to_owned());
            (map.name(), facts.map(*map).iter().map(entry).collect())
        };
        Evaluation {
            texts: Text::ALL.iter().map(|name| (name.name(), facts.text(*name).to_owned())).collect(),
            maps: Map::ALL.iter().map(entries).collect(),
            percents: Percent::ALL.iter().map(|of| (of.name(), facts.percent(*of))).collect(),
            ..Evaluation::default()
        }
    }
}

/// A request's facts, and what was read of them.
struct Noted<'a, 'f> {
    facts: &'a RequestFacts<'f>,
    read: RefCell<Vec<String>>,
}

fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}...", &text[..end]),
    }
}

impl Noted<'_, '_> {
    fn note(&self, said: String) {
        let mut read = self.read.borrow_mut();
        if !read.contains(&said) {
            read.push(said);
        }
    }

    /// One rule's turn is over.
    fn step(&self, rule: &Arc<Rule>, outcome: &rules::Outcome) -> Step {
        let read = self.read.take();
        let because = |said: &str| match &read[..] {
            [] => said.to_owned(),
            read => format!("{said}: {}", read.join(", ")),
        };
        let (result, reason) = match outcome {
            rules::Outcome::Match => ("match", because("it holds")),
            rules::Outcome::NoMatch => ("no_match", because("it does not hold")),
            rules::Outcome::Disabled => ("disabled", "it is switched off".to_owned()),
            rules::Outcome::Error(said) => ("error", said.clone()),
            rules::Outcome::OverBudget(said) => ("over_budget", said.clone()),
        };
        Step { rule: rule.clone(), result, reason }
    }
}

impl Facts for Noted<'_, '_> {
    fn text(&self, name: Text) -> &str {
        let value = self.facts.text(name);
        self.note(format!("{} is {}", name.name(), quoted(value)));
        value
    }

    fn entry(&self, map: Map, key: &str) -> Option<&str> {
        let (value, map) = (self.facts.entry(map, key), map.name());
        self.note(match value {
            Some(value) => format!("{map}[{}] is {}", quoted(key), quoted(value)),
            None => format!("{map} has no {}", quoted(key)),
        });
        value
    }

    fn entries(&self, map: Map) -> usize {
        let count = self.facts.entries(map);
        self.note(format!("{} has {count} entries", map.name()));
        count
    }

    fn percent(&self, percent: Percent) -> f64 {
        let value = self.facts.percent(percent);
        self.note(format!("{} is {value}", percent.name()));
        value
    }
}
