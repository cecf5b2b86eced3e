//! What a grant and a settlement say: texts that are not built before they are read, and the JSON of the HTTP face. None of
//! it needs the interpreter.

use limen_core::answer::{Fallbacks, Grant, ModelText, ProviderText, Settlement};

use crate::core::Core;
use crate::json::Json;

/// What a request says that its answer may refer to.
pub(crate) struct Said {
    pub(crate) provider: String,
    pub(crate) fallbacks: Vec<String>,
}

/// A grant, with what it refers to.
pub(crate) struct Granted<'a> {
    pub(crate) core: &'a Core,
    pub(crate) grant: &'a Grant,
    /// The model as the request names it; empty where it names none.
    pub(crate) model: &'a str,
    pub(crate) said: Option<&'a Said>,
}

impl<'a> Granted<'a> {
    fn fallback(&self, index: usize) -> &'a str {
        self.said.and_then(|said| said.fallbacks.get(index)).map_or("", |text| text)
    }

    /// The model as the request names it, from this byte on.
    fn requested(&self, from: usize) -> &'a str {
        self.model.get(from..).unwrap_or("")
    }

    /// The model to call.
    pub(crate) fn model(&self) -> &'a str {
        match self.grant.model {
            ModelText::Requested(from) => self.requested(from),
            ModelText::Fallback { index, from } => self.fallback(index).get(from..).unwrap_or(""),
            ModelText::Ruled => self.grant.ruling().and_then(|ruling| ruling.model.as_deref()).unwrap_or(""),
            ModelText::None => "",
        }
    }

    /// Read the provider to call.
    pub(crate) fn with_provider<T>(&self, read: impl FnOnce(&str) -> T) -> T {
        match self.grant.provider {
            ProviderText::Known(number) => read(self.core.engine.view().provider_name(number)),
            ProviderText::Stated => read(self.said.map_or("", |said| &said.provider)),
            ProviderText::Fallback(index) => {
                read(self.fallback(index).split_once('/').map_or("", |(provider, _)| provider))
            }
            ProviderText::None => read(""),
        }
    }

    /// Where to go if the target fails.
    pub(crate) fn fallbacks(&self) -> Vec<String> {
        match &self.grant.fallbacks {
            Fallbacks::Requested(from) => {
                let own = self.said.into_iter().flat_map(|said| &said.fallbacks);
                own.skip(*from).cloned().collect()
            }
            Fallbacks::Others(others) => {
                let (view, model) = (self.core.engine.view(), self.model());
                others.iter().map(|number| format!("{}/{model}", view.provider_name(*number))).collect()
            }
            Fallbacks::Ruled(from) => {
                let requested = self.requested(*from);
                let text = |(provider, model): &(Box<str>, Option<Box<str>>)| {
                    format!("{provider}/{}", model.as_deref().unwrap_or(requested))
                };
                let ruling = self.grant.ruling().into_iter();
                ruling.flat_map(|ruling| ruling.fallbacks.iter().skip(ruling.next)).map(text).collect()
            }
        }
    }

    /// The fields of its JSON, the brace at their end left open.
    pub(crate) fn write(&self, json: &mut Json) {
        let grant = self.grant;
        json.raw("{\"allowed\":true,\"permit\":\"");
        json.raw(self.core.text_of(grant.handle).as_str());
        json.raw("\",\"provider\":");
        self.with_provider(|provider| json.text(provider));
        json.raw(",\"model\":");
        json.text(self.model());
        json.raw(",\"key_id\":");
        json.text_or_null(grant.key_id.as_deref());
        json.raw(",\"fallbacks\":[");
        for (place, fallback) in self.fallbacks().iter().enumerate() {
            json.raw(if place > 0 { "," } else { "" });
            json.text(fallback);
        }
        json.raw("],\"rule_id\":");
        json.text_or_null(grant.ruling().map(|ruling| &*ruling.rule_id));
        json.raw(",\"max_output_tokens\":");
        match grant.max_output_tokens {
            Some(most) => json.number(most),
            None => json.raw("null"),
        }
        json.raw(",\"held\":{\"requests\":");
        json.number(grant.held_requests);
        json.raw(",\"tokens\":");
        json.number(grant.held_tokens);
        json.raw(",\"cost_usd\":");
        json.dollars(grant.held_nano_usd);
        json.raw("},\"expires_at\":");
        json.instant(grant.expires_at);
    }
}

/// The fields of a settlement's JSON, the brace at their end left open.
pub(crate) fn write_settlement(told: &Settlement, json: &mut Json) {
    json.raw("{\"settled\":true,\"cost_usd\":");
    json.dollars(told.cost_nano_usd);
    json.raw(",\"tokens\":");
    json.number(told.tokens);
    json.raw(",\"overrun\":");
    json.flag(told.overrun);
    json.raw(",\"repeated\":");
    json.flag(told.repeated);
    json.raw(",\"expired\":");
    json.flag(told.expired);
    json.raw(",\"price\":");
    json.text(told.price.as_str());
}
