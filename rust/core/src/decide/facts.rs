//! What rules may know of a request. Only what one of them reads is prepared, and once.

use core::cell::{Cell, OnceCell};

use smallvec::SmallVec;

use super::{Decision, Incoming};
use crate::admit::Lines;
use crate::engine::Engine;
use crate::policy::{Customer, Key, Kind, Policy, Team};
use crate::request::{Request, World};
use crate::routing::cel::{Facts, Map, Percent, Text};
use crate::routing::rules::Asking;
use crate::units::Millis;

/// Names in the order of their small letters, each once, with their values.
type Sorted<'a> = SmallVec<[(&'a str, &'a str); 16]>;

/// One request of one decision.
pub(super) struct RequestFacts<'a> {
    engine: &'a Engine,
    policy: &'a Policy,
    request: &'a Request<'a>,
    incoming: Incoming<'a>,
    /// The stated provider's number.
    provider: Option<u32>,
    key: Option<&'a Key>,
    team: Option<&'a Team>,
    customer: Option<&'a Customer>,
    now: Millis,
    maps: [OnceCell<Sorted<'a>>; 2],
    percents: OnceCell<[f64; 3]>,
    is_outdated: Cell<bool>,
}

impl<'a> RequestFacts<'a> {
    pub(super) fn new<W: World>(
        engine: &'a Engine,
        decision: &Decision<'a, '_, W>,
        incoming: Incoming<'a>,
    ) -> RequestFacts<'a> {
        let policy = decision.policy;
        let key = decision.identity.key.map(|key| &**key);
        let (team, customer) = key.map_or((None, None), |key| policy.above(key));
        RequestFacts {
            engine,
            policy,
            request: decision.request,
            incoming,
            provider: decision.provider(incoming.provider),
            key,
            team,
            customer,
            now: decision.now,
            maps: [const { OnceCell::new() }; 2],
            percents: OnceCell::new(),
            is_outdated: Cell::new(false),
        }
    }

    pub(super) fn asking(&self) -> Asking<'a> {
        Asking {
            virtual_key: self.key.map_or("", |key| &key.id),
            team: self.team.map_or("", |team| &team.id),
            customer: self.customer.map_or("", |customer| &customer.id),
        }
    }

    /// Whether counters were to be read of a policy that is no longer in force: they may be others' by now.
    pub(super) fn is_outdated(&self) -> bool {
        self.is_outdated.get()
    }

    pub(super) fn map(&self, map: Map) -> &Sorted<'a> {
        let (place, given) = match map {
            Map::Headers => (0, self.request.headers),
            Map::Params => (1, self.request.params),
        };
        self.maps[place].get_or_init(|| {
            let mut sorted: Sorted<'a> = given.iter().rev().copied().collect();
            // Of names that are the same the last one given stays first: this sort keeps the order of equals.
            sorted.sort_by(|(a, _), (b, _)| small(a).cmp(small(b)));
            sorted.dedup_by(|(later, _), (first, _)| later.eq_ignore_ascii_case(first));
            sorted
        })
    }

    fn percents(&self) -> &[f64; 3] {
        self.percents.get_or_init(|| {
            let _reader = self.engine.policy.reader();
            if !self.engine.policy.is(self.policy.version) {
                self.is_outdated.set(true);
                return [0.0; 3];
            }
            let mut lines = Lines::default();
            self.engine.line_up(&mut lines, self.policy, self.key, self.provider, Some(self.incoming.model));
            lines.fullest(self.now)
        })
    }
}

/// The bytes of a name in small letters.
fn small(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().map(|byte| byte.to_ascii_lowercase())
}

impl Facts for RequestFacts<'_> {
    fn text(&self, name: Text) -> &str {
        match name {
            Text::Model => self.incoming.model,
            Text::Provider => self.incoming.provider,
            Text::RequestType => self.request.request_type.as_str(),
            Text::VirtualKeyId => self.key.map_or("", |key| &key.id),
            Text::VirtualKeyName => self.key.map_or("", |key| &key.name),
            Text::TeamId => self.team.map_or("", |team| &team.id),
            Text::TeamName => self.team.map_or("", |team| &team.name),
            Text::CustomerId => self.customer.map_or("", |customer| &customer.id),
            Text::CustomerName => self.customer.map_or("", |customer| &customer.name),
        }
    }

    fn entry(&self, map: Map, key: &str) -> Option<&str> {
        let sorted = self.map(map);
        let place = sorted.binary_search_by(|(name, _)| small(name).cmp(key.bytes())).ok()?;
        Some(sorted[place].1)
    }

    fn entries(&self, map: Map) -> usize {
        self.map(map).len()
    }

    fn percent(&self, percent: Percent) -> f64 {
        self.percents()[match percent {
            Percent::Budget => Kind::Budget,
            Percent::Tokens => Kind::Tokens,
            Percent::Requests => Kind::Requests,
        } as usize]
    }
}
