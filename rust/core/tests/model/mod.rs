//! A naive model of the engine, in exact integers, written from what it promises and not from how it does it.
//!
//! A counter is a log of what was put into it and when; a permit knows its entries; every decision looks anew at
//! everything. One thread, nothing clever: where the engine and the model differ, one of them is wrong.
#![allow(dead_code, unreachable_pub, reason = "every test file uses a part of it")]

pub mod calendar;
pub mod counter;
pub mod decision;
pub mod permits;
pub mod rules;

use std::collections::BTreeMap;

use counter::{Counter, Shape};
use limen_core::policy::{Kind, Level, Settings};
use permits::Permit;
use rules::Rule;

/// Who has limits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// A provider config, by its id.
    Config(i64),
    Key(String),
    Team(String),
    Customer(String),
    /// A model on one provider, or on any; by the config's id.
    ModelConfig(String),
    Provider(String),
}

/// A limit as it is wanted: id, kind, number, shape.
#[derive(Clone, Debug)]
pub struct Row {
    pub id: String,
    pub kind: Kind,
    pub limit: i64,
    pub shape: Shape,
}

#[derive(Clone, Debug)]
pub struct Config {
    pub id: i64,
    pub provider: String,
    pub weight: Option<f64>,
    pub models: Vec<String>,
}

impl Config {
    pub fn allows(&self, model: &str) -> bool {
        self.models.iter().any(|name| name == "*" || name == model)
    }
}

#[derive(Clone, Debug)]
pub struct Key {
    pub active: bool,
    pub team: Option<String>,
    pub customer: Option<String>,
    pub configs: Vec<Config>,
}

/// What is asked, as a caller gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// None: nobody says who calls.
    pub key: Option<String>,
    /// Empty: to be chosen.
    pub provider: String,
    pub model: String,
    pub text: bool,
    pub input_tokens: Option<i64>,
    pub max_output_tokens: Option<i64>,
    pub tokens: Option<i64>,
    pub nano: Option<i64>,
    pub id: Option<String>,
}

impl Ask {
    pub fn stated(&self) -> i64 {
        self.tokens.or(self.input_tokens).unwrap_or(0)
    }

    pub fn guesses(&self) -> bool {
        self.text && self.max_output_tokens.is_none() && self.tokens.is_none()
    }

    /// Whether two requests with one id are the same request.
    pub fn is_same(&self, other: &Ask) -> bool {
        let of = |ask: &Ask| {
            let amounts = (ask.stated(), ask.max_output_tokens, ask.guesses(), ask.nano);
            (ask.provider.clone(), ask.model.clone(), ask.text, amounts)
        };
        of(self) == of(other)
    }
}

/// A counter's place in the model: it stays when the limit is gone.
pub type Number = usize;

#[derive(Clone)]
pub struct Model {
    pub settings: Settings,
    pub keys: BTreeMap<String, Key>,
    /// The customer of each team.
    pub teams: BTreeMap<String, Option<String>>,
    /// Model and provider of each model config.
    pub model_configs: BTreeMap<String, (String, Option<String>)>,
    pub counters: Vec<Counter>,
    /// The limits that exist, in the order of their kinds.
    pub limits: BTreeMap<Owner, Vec<Number>>,
    pub permits: Vec<Permit>,
    /// In the order in which they are asked.
    pub rules: BTreeMap<usize, Rule>,
}

impl Model {
    pub fn new(settings: Settings) -> Model {
        Model {
            settings,
            keys: BTreeMap::new(),
            teams: BTreeMap::new(),
            model_configs: BTreeMap::new(),
            counters: Vec::new(),
            limits: BTreeMap::new(),
            permits: Vec::new(),
            rules: BTreeMap::new(),
        }
    }

    /// The limits of an owner from now on: known ones keep what they count, others are gone or begin.
    pub fn set_limits(&mut self, owner: &Owner, level: Level, owner_id: &str, rows: &[Row], now: i64) {
        let old = self.limits.remove(owner).unwrap_or_default();
        let mut made = Vec::new();
        for row in rows {
            let known = old.iter().find(|number| {
                let counter = &self.counters[**number];
                counter.limit_id == row.id && counter.kind == row.kind
            });
            let number = if let Some(number) = known {
                let counter = &mut self.counters[*number];
                counter.limit = row.limit;
                counter.reshape(row.shape, now);
                *number
            } else {
                self.counters.push(Counter::new(row, level, owner_id, now));
                self.counters.len() - 1
            };
            made.push(number);
        }
        self.limits.insert(owner.clone(), made);
    }

    pub fn remove(&mut self, owner: &Owner) {
        self.limits.remove(owner);
    }

    pub fn exists(&self, number: Number) -> bool {
        self.limits.values().any(|numbers| numbers.contains(&number))
    }

    pub fn live(&self) -> impl Iterator<Item = &Counter> {
        self.limits.values().flatten().map(|number| &self.counters[*number])
    }
}
