//! Every variable, prepared.

use super::{Facts, Map, Percent, Text};

/// The variables of a request, all of them at hand.
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "the variables of an expression, by their names there")]
pub struct Variables<'a> {
    pub model: &'a str,
    pub provider: &'a str,
    pub request_type: &'a str,
    pub virtual_key_id: &'a str,
    pub virtual_key_name: &'a str,
    pub team_id: &'a str,
    pub team_name: &'a str,
    pub customer_id: &'a str,
    pub customer_name: &'a str,
    /// Keys in lower case.
    pub headers: &'a [(&'a str, &'a str)],
    /// Keys in lower case.
    pub params: &'a [(&'a str, &'a str)],
    pub budget_used: f64,
    pub tokens_used: f64,
    pub request: f64,
}

impl Variables<'_> {
    fn map(&self, map: Map) -> &[(&str, &str)] {
        match map {
            Map::Headers => self.headers,
            Map::Params => self.params,
        }
    }
}

impl Facts for Variables<'_> {
    fn text(&self, name: Text) -> &str {
        match name {
            Text::Model => self.model,
            Text::Provider => self.provider,
            Text::RequestType => self.request_type,
            Text::VirtualKeyId => self.virtual_key_id,
            Text::VirtualKeyName => self.virtual_key_name,
            Text::TeamId => self.team_id,
            Text::TeamName => self.team_name,
            Text::CustomerId => self.customer_id,
            Text::CustomerName => self.customer_name,
        }
    }

    fn entry(&self, map: Map, key: &str) -> Option<&str> {
        self.map(map).iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
    }

    fn entries(&self, map: Map) -> usize {
        self.map(map).len()
    }

    fn percent(&self, percent: Percent) -> f64 {
        match percent {
            Percent::Budget => self.budget_used,
            Percent::Tokens => self.tokens_used,
            Percent::Requests => self.request,
        }
    }
}
