//! Rules of all requests, of one target each: what binds, looked at one after the other.

use limen_core::policy::Kind;

use super::{Ask, Model};

/// When a rule holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Always,
    Model(&'static str),
    /// A limit of this kind is as full as that, in percent.
    Full(Kind, i64),
}

/// Where it sends a request: "" is the request's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    pub when: When,
    pub provider: &'static str,
    pub model: &'static str,
}

impl Model {
    /// What is asked in truth, and the place of the rule that says so.
    pub fn ruled(&self, ask: &Ask, now: i64) -> Option<(Ask, usize)> {
        let (place, rule) = self.rules.iter().find(|(_, rule)| self.holds(rule.when, ask, now))?;
        let own = |text: &str, own: &String| if text.is_empty() { own.clone() } else { text.to_owned() };
        let (provider, model) = (own(rule.provider, &ask.provider), own(rule.model, &ask.model));
        Some((Ask { provider, model, ..ask.clone() }, *place))
    }

    fn holds(&self, when: When, ask: &Ask, now: i64) -> bool {
        match when {
            When::Always => true,
            When::Model(model) => ask.model == model,
            When::Full(kind, percent) => {
                let key = ask.key.as_ref().and_then(|name| Some((name, self.keys.get(name)?)));
                let mut met = self.chain(ask, key, &ask.provider).into_iter();
                met.any(|number| {
                    let counter = &self.counters[number];
                    let (total, limit) = (i128::from(counter.total(now)), i128::from(counter.limit));
                    counter.kind == kind && (limit == 0 || total * 100 >= limit * i128::from(percent))
                })
            }
        }
    }
}
