//! The engine and the model side by side: each operation goes to both, and their answers are compared.

#![expect(unreachable_pub, reason = "a test has no outside")]

mod answers;
mod policy;
mod restart;
pub mod rules;
pub mod traffic;

use std::collections::BTreeMap;

use limen_core::engine::Engine;
use limen_core::error::Code;
use limen_core::permit::{Closing, Handle};
use limen_core::policy::Settings;
use limen_core::policy::edit::{Edit, Entity};
use limen_core::units::Millis;
use limen_core::usage::{Usage, Word};
use proptest::sample::Index;

use crate::common::Still;
use crate::model::counter::Shape;
use crate::model::permits::{Said, Settled};
use crate::model::rules::Rule;
use crate::model::{Ask, Model, Owner};

#[derive(Clone, Copy, Debug)]
pub struct LimitSpec {
    pub limit: i64,
    pub shape: Shape,
}

/// The limits of an owner, as they are wanted.
#[derive(Clone, Debug, Default)]
pub struct OwnerSpec {
    pub tokens: Option<LimitSpec>,
    pub requests: Option<LimitSpec>,
    pub budgets: Vec<LimitSpec>,
}

#[derive(Clone, Debug)]
pub struct ConfigSpec {
    pub provider: usize,
    pub weight: Option<f64>,
    pub models: &'static [&'static str],
    pub limits: OwnerSpec,
}

#[derive(Clone, Debug)]
pub struct KeySpec {
    pub active: bool,
    pub team: Option<usize>,
    pub customer: Option<usize>,
    pub limits: OwnerSpec,
    pub configs: Vec<ConfigSpec>,
}

#[derive(Clone, Debug)]
pub struct Start {
    pub settings: Settings,
    pub owners: Vec<OwnerSpec>,
    pub keys: Vec<KeySpec>,
    pub now: i64,
}

#[derive(Clone, Debug)]
pub enum Op {
    Ask {
        key: usize,
        provider: usize,
        model: &'static str,
        text: bool,
        /// Input, maximum of the output, both together.
        amounts: (Option<i64>, Option<i64>, Option<i64>),
        nano: Option<i64>,
        id: Option<u8>,
        peek: bool,
    },
    /// `said` None: as held.
    Settle {
        permit: Index,
        said: Option<Said>,
    },
    Update {
        permit: Index,
        said: Said,
    },
    Release {
        permit: Index,
        request: bool,
    },
    Advance(i64),
    AdvanceToReset {
        which: Index,
        early: i64,
    },
    SetBack(i64),
    EditLimits {
        owner: usize,
        limits: OwnerSpec,
    },
    EditKey {
        key: usize,
        spec: KeySpec,
    },
    DeleteKey(usize),
    DeleteModelConfig(usize),
    EditRule {
        place: usize,
        rule: Option<Rule>,
    },
    Reset(Index),
    /// Write down what changed.
    Flush,
    /// The process ends, and another one begins with what was written down.
    Crash,
}

pub struct Twin {
    engine: Engine,
    model: Model,
    now: i64,
    /// The engine's handle of each of the model's permits.
    handles: Vec<Handle>,
    /// Every entity as it was sent last, and what was flushed.
    rows: BTreeMap<(u8, String), Edit>,
    store: restart::Store,
    /// The number of each limit and of each key, by its id.
    numbers: BTreeMap<String, i64>,
    /// The clock was moved, and nobody has swept since.
    unswept: bool,
}

fn usage(said: Said) -> Usage {
    let mut usage = Usage::default();
    for (word, value) in [(Word::Tokens, said.tokens), (Word::CostUsd, said.nano)] {
        if let Some(value) = value {
            usage.set(word, value).expect("a good number");
        }
    }
    usage
}

impl Twin {
    pub fn play(&mut self, op: Op) {
        let steps_of_a_permit = matches!(op, Op::Settle { .. } | Op::Update { .. } | Op::Release { .. });
        // A permit past its time is so whether or not a sweep has been by.
        if self.unswept && !steps_of_a_permit {
            self.sweep();
        }
        match op {
            Op::Ask { key, provider, model, text, amounts, nano, id, peek } => {
                let keys = ["k0", "k1", "k2"];
                let ask = Ask {
                    key: match key {
                        7 => None,
                        8 => Some("nobody".into()),
                        key => Some(keys[key % 3].into()),
                    },
                    provider: ["", "", "p", "q", "r"][provider].into(),
                    model: model.into(),
                    text,
                    input_tokens: amounts.0,
                    max_output_tokens: amounts.1,
                    tokens: amounts.2,
                    nano,
                    id: id.map(|id| id.to_string()),
                };
                self.ask(&ask, peek);
            }
            Op::Settle { permit, said } => {
                let Some(place) = self.pick(permit) else { return };
                let closing = said.map_or(Closing::AsHeld, |said| Closing::Used(usage(said)));
                let answer = self.engine.settle(self.handles[place], &closing, Millis::new(self.now));
                let answer = answer.map(Settled::from).map_err(|fault| fault.code);
                assert_eq!(answer, self.model.settle(place, said, self.now), "settle of permit {place}");
            }
            Op::Update { permit, said } => {
                let Some(place) = self.pick(permit) else { return };
                let answer = self.engine.update(self.handles[place], &usage(said), Millis::new(self.now));
                let answer = answer.map(|over| answers::violations(&over)).map_err(|fault| fault.code);
                assert_eq!(answer, self.model.update(place, said, self.now), "update of permit {place}");
            }
            Op::Release { permit, request } => {
                let Some(place) = self.pick(permit) else { return };
                let answer = self.engine.release(self.handles[place], request, Millis::new(self.now));
                let answer = answer.map_err(|fault| fault.code);
                assert_eq!(answer, self.model.release(place, request, self.now), "release of permit {place}");
            }
            Op::Advance(step) => self.move_clock(step),
            Op::AdvanceToReset { which, early } => {
                let resets: Vec<i64> =
                    self.model.live().map(|counter| counter.shown(self.now).reset_at).collect();
                if !resets.is_empty() {
                    self.move_clock((which.get(&resets) - early - self.now).max(0));
                }
            }
            Op::SetBack(step) => self.move_clock(-step),
            Op::EditLimits { owner, limits } => self.edit_limits(owner, &limits),
            Op::EditKey { key, spec } => self.edit_key(key, &spec),
            Op::DeleteKey(key) => self.delete_key(key),
            Op::DeleteModelConfig(config) => self.delete_model_config(config),
            Op::EditRule { place, rule } => self.edit_rule(place, rule),
            Op::Reset(which) => self.reset(which),
            Op::Flush => self.flush(),
            Op::Crash => self.crash(),
        }
        if self.unswept && steps_of_a_permit {
            self.sweep();
        }
        if !self.unswept {
            self.compare_counters();
        }
    }

    fn sweep(&mut self) {
        self.model.pass_time(self.now);
        self.engine.sweep(Millis::new(self.now));
        self.unswept = false;
    }

    fn move_clock(&mut self, step: i64) {
        self.now += step;
        self.unswept = true;
    }

    /// One of the permits there have been, if both can know what is to be said of it.
    fn pick(&mut self, which: Index) -> Option<usize> {
        let place = which.index(self.handles.len().max(1));
        let known = place < self.handles.len() && !self.model.is_unsure(place, self.now);
        known.then_some(place)
    }

    fn reset(&mut self, which: Index) {
        let live: Vec<usize> = self.model.limits.values().flatten().copied().collect();
        if live.is_empty() {
            return;
        }
        let counter = &mut self.model.counters[*which.get(&live)];
        counter.reset(self.now);
        let reset = self.engine.reset(&counter.limit_id, counter.kind, Millis::new(self.now));
        reset.expect("the limit exists");
    }

    fn compare_counters(&self) {
        for counter in self.model.live() {
            let reading = self.engine.read(&counter.limit_id, counter.kind, Millis::new(self.now));
            let reading = reading.expect("the limit exists");
            let shown = counter.shown(self.now);
            assert_eq!(
                (reading.used, reading.held, reading.reset.get()),
                (shown.used, shown.held, shown.reset_at),
                "{} {:?} at {}",
                counter.limit_id,
                counter.kind,
                self.now
            );
        }
    }

    fn apply(&mut self, edits: &[Edit]) {
        restart::keep(&mut self.rows, edits);
        self.engine.apply(edits, Millis::new(self.now)).expect("a good edit");
    }

    fn delete_key(&mut self, key: usize) {
        let name = format!("k{key}");
        let Some(gone) = self.model.keys.remove(&name) else { return };
        self.numbers.remove(&name);
        self.model.remove(&Owner::Key(name.clone()));
        for config in gone.configs {
            self.model.remove(&Owner::Config(config.id));
        }
        self.model.end_ids(&name);
        self.apply(&[Edit::Delete { entity: Entity::VirtualKey, id: name.into() }]);
    }

    fn delete_model_config(&mut self, config: usize) {
        let id = format!("mc{config}");
        if self.model.model_configs.remove(&id).is_some() {
            self.model.remove(&Owner::ModelConfig(id.clone()));
            self.apply(&[Edit::Delete { entity: Entity::ModelConfig, id: id.into() }]);
        }
    }

    fn world(&self) -> Still {
        Still::at(self.now)
    }

    fn ask(&mut self, ask: &Ask, peek: bool) {
        let mut ask = ask.clone();
        let unsure = |(place, permit): (usize, &crate::model::permits::Permit)| {
            self.model.is_unsure(place, self.now) && permit.ask.id == ask.id
        };
        if peek || self.model.permits.iter().enumerate().any(unsure) {
            ask.id = None;
        }
        if peek {
            let answer = self.put(&ask, self.now, true).expect("no id, no conflict");
            answers::compare(&self.engine, &self.model, &ask, self.now, &answer);
            self.compare_counters();
        }
        let taken =
            if ask.id.is_some() && self.model.passes_identity(&ask) { self.model.by_id(&ask) } else { None };
        match (self.put(&ask, self.now, false), taken) {
            (Err(code), Some(Err(expected))) => assert_eq!(code, expected),
            (Ok(limen_core::answer::Answer::Permit(grant)), Some(Ok(place))) => {
                assert_eq!(grant.handle, self.handles[place], "the same request has the same permit");
            }
            (Ok(answer), None) => {
                let given = answers::compare(&self.engine, &self.model, &ask, self.now, &answer);
                match (answer, given) {
                    (limen_core::answer::Answer::Permit(grant), Some(given)) => {
                        let place = self.model.open(&ask, given, self.now);
                        self.store.open(place, ask.id.is_some());
                        self.handles.push(grant.handle);
                    }
                    (limen_core::answer::Answer::Denial(denial), _) => self.check_wait(&ask, denial.wait_ms),
                    (answer, None) => panic!("{answer:?}"),
                }
            }
            (answer, taken) => panic!("{answer:?} where the id has {taken:?}"),
        }
    }

    /// One millisecond earlier the same request is refused, at the instant it passes.
    fn check_wait(&mut self, ask: &Ask, wait: Option<i64>) {
        let Some(wait) = wait else { return };
        // By then limits are as full as other rules want them.
        if !self.model.rules.is_empty() {
            return;
        }
        assert!(wait > 0, "it was refused, and now it would pass");
        let instant = self.now + wait;
        let something_else_comes = self.model.next_expiry().is_some_and(|expiry| expiry <= instant);
        let refused_at = self.now;
        for (at, passes) in [(instant - 1, false), (instant, true)] {
            if something_else_comes {
                // A refusal charges what is overdue, so nobody can look so far ahead and come back. Every other time
                // the wait is waited for.
                if self.handles.len().is_multiple_of(2) {
                    return;
                }
                self.move_clock(at - self.now);
                self.sweep();
            }
            let answer = self.put(&Ask { id: None, ..ask.clone() }, at, true).expect("no id, no conflict");
            let passed = matches!(answer, limen_core::answer::Answer::Permit(_));
            assert_eq!(passed, passes, "refused at {refused_at} until {instant}, and asked again at {at}");
        }
    }

    fn put(&self, ask: &Ask, at: i64, peek: bool) -> Result<limen_core::answer::Answer, Code> {
        answers::put(&self.engine, ask, at, peek, &self.world())
    }
}
