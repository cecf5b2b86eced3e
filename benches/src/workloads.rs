//! What the benches work on: one file that the Python benches read too.

use std::collections::BTreeMap;

use limen_core::policy::Kind;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Workloads {
    pub(crate) seed: u64,
    pub(crate) keys: Keys,
    key_prefix: String,
    key_length: usize,
    pub(crate) provider: String,
    pub(crate) model: String,
    pub(crate) asked: Asked,
    pub(crate) used: Used,
    pub(crate) roomy: Roomy,
    pub(crate) per: Per,
    pub(crate) levels: Chains,
    pub(crate) sliding: Sliding,
    pub(crate) weights: Weights,
    pub(crate) priced: Priced,
    #[serde(rename = "batch")]
    _batch: serde_json::Value,
    #[serde(rename = "administered")]
    _administered: serde_json::Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keys {
    pub(crate) hot: usize,
    pub(crate) cold: usize,
    pub(crate) few: usize,
    pub(crate) many: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    pub(crate) input_tokens: i64,
    pub(crate) max_output_tokens: i64,
    pub(crate) cost_nano_usd: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Used {
    pub(crate) prompt_tokens: i64,
    pub(crate) completion_tokens: i64,
    pub(crate) cost_nano_usd: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Roomy {
    tokens: i64,
    requests: i64,
    budget_usd: i64,
}

/// Lengths of windows. The still one does not roll while a bench runs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Per {
    pub(crate) rate: String,
    pub(crate) budget: String,
    pub(crate) still: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Chains {
    pub(crate) typical: Levels,
    pub(crate) full: Levels,
}

/// Which counters each level has.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub(crate) struct Levels {
    pub(crate) provider_config: Vec<Counted>,
    pub(crate) virtual_key: Vec<Counted>,
    pub(crate) team: Vec<Counted>,
    pub(crate) customer: Vec<Counted>,
    pub(crate) model_provider: Vec<Counted>,
    pub(crate) model: Vec<Counted>,
    pub(crate) provider: Vec<Counted>,
}

impl Levels {
    pub(crate) fn counters(&self) -> usize {
        [
            &self.provider_config,
            &self.virtual_key,
            &self.team,
            &self.customer,
            &self.model_provider,
            &self.model,
            &self.provider,
        ]
        .iter()
        .map(|level| level.len())
        .sum()
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Counted {
    Tokens,
    Requests,
    Budget,
}

impl Counted {
    pub(crate) const fn kind(self) -> Kind {
        match self {
            Counted::Tokens => Kind::Tokens,
            Counted::Requests => Kind::Requests,
            Counted::Budget => Kind::Budget,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sliding {
    pub(crate) limit: i64,
    pub(crate) per_ms: i64,
    pub(crate) buckets: i64,
}

/// A call to be priced: `calls` of them, each of one more of everything.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Priced {
    pub(crate) usage: BTreeMap<String, i64>,
    pub(crate) rates: BTreeMap<String, String>,
    /// What every other field of a patch is set to.
    pub(crate) other_rates: String,
    pub(crate) calls: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Weights {
    pub(crate) four: Vec<f64>,
    pub(crate) ten: Vec<f64>,
}

impl Workloads {
    pub(crate) fn read() -> Workloads {
        serde_json::from_str(include_str!("../workloads.json"))
            .expect("workloads.json is as the benches know it")
    }

    /// The value of a virtual key, spread so that neighbours share no digits but the leading zeros.
    pub(crate) fn value(&self, number: usize) -> String {
        let width = self.key_length - self.key_prefix.len();
        format!("{}{:0width$}", self.key_prefix, number as u64 * 7_919)
    }

    pub(crate) fn values(&self, count: usize) -> Vec<String> {
        (0..count).map(|number| self.value(number)).collect()
    }

    /// A limit that is never reached.
    pub(crate) fn roomy(&self, kind: Kind) -> i64 {
        match kind {
            Kind::Tokens => self.roomy.tokens,
            Kind::Requests => self.roomy.requests,
            Kind::Budget => self.roomy.budget_usd * 1_000_000_000,
        }
    }

    /// Keys in random order, the same in every run.
    pub(crate) fn order(&self, keys: usize, calls: usize) -> Vec<usize> {
        let mut state = self.seed;
        let mut next = || {
            // Knuth's multiplicative generator will do for an order.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % keys
        };
        (0..calls).map(|_| next()).collect()
    }
}
