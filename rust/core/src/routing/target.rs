//! Which provider, model and provider key a request may be served by, and in which order they are tried.

use std::sync::Arc;

use smallvec::SmallVec;

use super::sampler::Sampler;
use crate::answer::{Fallbacks, ModelText, Reason};
use crate::policy::{Key, KeyChoice, Policy, ProviderConfig, ProviderKey};
use crate::request::{Request, World};

/// Draws, kept so that a decision that is made again is made with the same ones.
pub(crate) struct Tape<'w, W> {
    world: &'w W,
    drawn: SmallVec<[u64; 4]>,
    place: usize,
}

impl<'w, W: World> Tape<'w, W> {
    pub(crate) fn new(world: &'w W) -> Tape<'w, W> {
        Tape { world, drawn: SmallVec::new(), place: 0 }
    }

    pub(crate) fn rewind(&mut self) {
        self.place = 0;
    }

    fn draw(&mut self) -> u64 {
        if self.place == self.drawn.len() {
            self.drawn.push(self.world.draw());
        }
        self.place += 1;
        self.drawn[self.place - 1]
    }
}

/// One place that a call may go to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    /// None where the name is not one of the configuration's.
    pub(crate) provider: Option<u32>,
    pub(crate) name: &'a str,
    pub(crate) model: &'a str,
    pub(crate) text: ModelText,
    /// The config that was drawn, as its place in the key's list.
    pub(crate) config: Option<usize>,
    /// How many of the request's fallbacks have been tried when this one is.
    pub(crate) after: usize,
}

/// The provider that a request states, by its field or in its model's text, and where the model begins. A prefix is one
/// only where a model follows it: `p/` is a model name with a slash, whoever states the provider.
#[inline(always)]
pub(crate) fn stated<'a>(policy: &Policy, request: &Request<'a>, model: &'a str) -> (&'a str, usize) {
    if !request.provider.is_empty() {
        let rest = model.strip_prefix(request.provider).and_then(|rest| rest.strip_prefix('/'));
        let named = rest.filter(|rest| !rest.is_empty());
        return (request.provider, named.map_or(0, |rest| model.len() - rest.len()));
    }
    match model.split_once('/') {
        Some((provider, rest)) if !rest.is_empty() && policy.provider(provider).is_some() => {
            (provider, provider.len() + 1)
        }
        _ => ("", 0),
    }
}

/// The target that one of the request's fallbacks names.
pub(crate) fn fallback<'a>(policy: &Policy, request: &Request<'a>, index: usize, from: usize) -> Target<'a> {
    let text = request.fallbacks.unwrap_or(&[])[index];
    let (name, model) = text.split_once('/').unwrap_or((text, ""));
    let (model, text) = if model.is_empty() {
        (&request.model.unwrap_or("")[from..], ModelText::Requested(from))
    } else {
        (model, ModelText::Fallback { index, from: name.len() + 1 })
    };
    Target { provider: policy.provider(name), name, model, text, config: None, after: index + 1 }
}

/// Whether a key may call a target, and with which of the provider's keys.
pub(crate) fn access<W: World>(
    policy: &Policy,
    key: &Key,
    target: &Target<'_>,
    request: &Request<'_>,
    tape: &mut Tape<'_, W>,
) -> Result<Option<Arc<str>>, Reason> {
    let provider = target.provider.ok_or(Reason::ProviderBlocked)?;
    let mut reason = Reason::ProviderBlocked;
    // The one that was drawn; else, in the order of their ids, each that allows the model.
    let drawn = target.config.map(|place| &key.configs[place]);
    let named = key.configs.iter().filter(|config| drawn.is_none() && config.provider == provider);
    for config in drawn.into_iter().chain(named) {
        if !config.models.allows(target.model) {
            reason = if reason == Reason::ProviderBlocked { Reason::ModelBlocked } else { reason };
            continue;
        }
        match provider_key(policy, config, target.model, request, tape) {
            Ok(key_id) => return Ok(key_id),
            Err(closed) => reason = closed,
        }
    }
    Err(reason)
}

/// As [`access`], with the one key of the provider that a rule names: whatever it weighs, since it is in no draw. Who has
/// no virtual key may use any.
pub(crate) fn pinned(
    policy: &Policy,
    key: Option<&Key>,
    target: &Target<'_>,
    batch: bool,
    id: &str,
) -> Result<Option<Arc<str>>, Reason> {
    let provider = target.provider.ok_or(Reason::ProviderBlocked)?;
    let keys = &policy.providers.list[provider as usize].keys;
    let of = |choice: &KeyChoice| {
        let pinned = keys.iter().find(|key| *key.id == *id && serves(key, choice, target.model, batch));
        pinned.map(|key| Some(key.id.clone())).ok_or(Reason::NoKey)
    };
    let Some(key) = key else { return of(&KeyChoice::Every) };
    let mut reason = Reason::ProviderBlocked;
    for config in key.configs.iter().filter(|config| config.provider == provider) {
        if config.models.allows(target.model) {
            match of(&config.keys) {
                Ok(key_id) => return Ok(key_id),
                Err(closed) => reason = closed,
            }
        } else if reason == Reason::ProviderBlocked {
            reason = Reason::ModelBlocked;
        }
    }
    Err(reason)
}

/// Whether one of the provider's keys may be used for a call.
#[inline(always)]
fn serves(key: &ProviderKey, choice: &KeyChoice, model: &str, batch: bool) -> bool {
    key.enabled
        && key.models.allows(model)
        && (key.batch || !batch)
        && match choice {
            KeyChoice::Every => true,
            KeyChoice::These(ids) => ids.iter().any(|wanted| **wanted == *key.id),
        }
}

/// Why a config leaves its provider closed. It is open where no key of it is registered, or one that may be used serves
/// the call.
pub(crate) fn closed(policy: &Policy, config: &ProviderConfig, model: &str, batch: bool) -> Option<Reason> {
    let keys = &policy.providers.list[config.provider as usize].keys;
    match &config.keys {
        KeyChoice::These(ids) if ids.is_empty() => Some(Reason::ProviderBlocked),
        KeyChoice::Every if keys.is_empty() => None,
        choice => {
            let draws = |key: &ProviderKey| key.weight > Some(0.0) && serves(key, choice, model, batch);
            (!keys.iter().any(draws)).then_some(Reason::NoKey)
        }
    }
}

/// One of the provider's keys that the config may use, by weight; none where the provider has none registered.
#[inline(always)]
fn provider_key<W: World>(
    policy: &Policy,
    config: &ProviderConfig,
    model: &str,
    request: &Request<'_>,
    tape: &mut Tape<'_, W>,
) -> Result<Option<Arc<str>>, Reason> {
    let keys = &policy.providers.list[config.provider as usize].keys;
    match &config.keys {
        KeyChoice::These(ids) if ids.is_empty() => return Err(Reason::ProviderBlocked),
        KeyChoice::Every if keys.is_empty() => return Ok(None),
        _ => {}
    }
    let weight = |key: &ProviderKey| {
        let serves = serves(key, &config.keys, model, request.asked.batch);
        key.weight.filter(|_| serves).unwrap_or(0.0)
    };
    let weights: SmallVec<[f64; 8]> = keys.iter().map(weight).collect();
    let mut drawable = weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0);
    let place = match (drawable.next(), drawable.next()) {
        (None, _) => return Err(Reason::NoKey),
        (Some((only, _)), None) => only,
        _ => {
            let sampler = Sampler::new(&weights).map_err(|_| Reason::NoKey)?;
            pick(&sampler, request.sticky, tape, |place| text_hash(&keys[place].id))
        }
    };
    Ok(Some(keys[place].id.clone()))
}

fn text_hash(text: &str) -> u64 {
    rapidhash::v3::rapidhash_v3(text.as_bytes())
}

/// Draw once; with a sticky key, always the same.
fn pick<W: World>(
    sampler: &Sampler,
    sticky: Option<&str>,
    tape: &mut Tape<'_, W>,
    identity: impl Fn(usize) -> u64,
) -> usize {
    match sticky {
        Some(sticky) => sampler.pick_sticky(text_hash(sticky), identity),
        None => sampler.pick(tape.draw()),
    }
}

/// What is drawn from: the configs of a key, the targets of a rule.
pub(crate) trait Lots {
    /// How many there are.
    fn count(&self) -> usize;
    /// Whether this one has a weight above zero.
    fn is_drawable(&self, place: usize) -> bool;
    /// What it is to sticky keys.
    fn identity(&self, place: usize) -> u64;
    /// Draws among them; None where there is no choice.
    fn sampler(&self) -> Option<&Sampler>;
}

impl Lots for Key {
    #[inline(always)]
    fn count(&self) -> usize {
        self.configs.len()
    }

    #[inline(always)]
    fn is_drawable(&self, place: usize) -> bool {
        self.configs[place].weight > Some(0.0)
    }

    #[inline(always)]
    fn identity(&self, place: usize) -> u64 {
        self.configs[place].id as u64
    }

    #[inline(always)]
    fn sampler(&self) -> Option<&Sampler> {
        self.sampler.as_deref()
    }
}

/// The order in which lots are tried: drawn by weight, without return.
pub(crate) struct Drawing<'k, L> {
    lots: &'k L,
    /// Those out of the draw: tried before, or not for this model.
    out: SmallVec<[usize; 8]>,
    left: Option<std::borrow::Cow<'k, Sampler>>,
}

impl<'k, L: Lots> Drawing<'k, L> {
    pub(crate) fn new(lots: &'k L, out: SmallVec<[usize; 8]>) -> Drawing<'k, L> {
        let mut drawing = Drawing { lots, out, left: lots.sampler().map(std::borrow::Cow::Borrowed) };
        if !drawing.out.is_empty() {
            drawing.shrink();
        }
        drawing
    }

    fn shrink(&mut self) {
        self.left =
            self.left.as_ref().and_then(|left| left.without(&self.out).ok()).map(std::borrow::Cow::Owned);
    }

    /// The next one to try.
    pub(crate) fn next<W: World>(&mut self, sticky: Option<&str>, tape: &mut Tape<'_, W>) -> Option<usize> {
        let lots = self.lots;
        let mut drawable =
            (0..lots.count()).filter(|place| lots.is_drawable(*place) && !self.out.contains(place));
        let place = match (drawable.next(), drawable.next()) {
            (None, _) => return None,
            (Some(only), None) => only,
            _ => pick(self.left.as_ref()?, sticky, tape, |place| lots.identity(place)),
        };
        Some(place)
    }

    /// Leave one out of further draws.
    pub(crate) fn leave_out(&mut self, place: usize) {
        self.out.push(place);
        self.shrink();
    }
}

/// Providers other than `chosen` that are open to the key for this call, best first.
pub(crate) fn others(policy: &Policy, key: &Key, model: &str, batch: bool, chosen: Option<u32>) -> Fallbacks {
    let mut others: SmallVec<[u32; 4]> = SmallVec::new();
    if key.configs.len() > 1 {
        for config in ranked(policy, key) {
            if Some(config.provider) != chosen
                && config.models.allows(model)
                && closed(policy, config, model, batch).is_none()
                && !others.contains(&config.provider)
            {
                others.push(config.provider);
            }
        }
    }
    Fallbacks::Others(others)
}

/// The configs of a key that are in no draw for a model.
pub(crate) fn closed_to(key: &Key, model: &str) -> SmallVec<[usize; 8]> {
    (0..key.configs.len()).filter(|place| !key.configs[*place].models.allows(model)).collect()
}

/// Configs that have a weight, by weight descending, then by the provider's name.
pub(crate) fn ranked<'p>(policy: &Policy, key: &'p Key) -> SmallVec<[&'p ProviderConfig; 8]> {
    let mut ranked: SmallVec<[&ProviderConfig; 8]> =
        key.configs.iter().filter(|config| config.weight.is_some()).collect();
    let name = |config: &ProviderConfig| &policy.providers.list[config.provider as usize].name;
    ranked.sort_by(|a, b| {
        let weights = b.weight.unwrap_or(0.0).total_cmp(&a.weight.unwrap_or(0.0));
        weights.then_with(|| name(a).cmp(name(b)))
    });
    ranked
}
