//! The policy of both: the same rows in the engine's words and in the model's.

use std::collections::BTreeMap;

use limen_core::engine::Engine;
use limen_core::period::Duration;
use limen_core::policy::credentials::Seeds;
use limen_core::policy::edit::{Edit, KeyRow, LimitRow, NEVER, ProviderConfigRow};
use limen_core::policy::{Kind, Level, Window};
use limen_core::units::Millis;

use super::restart::Store;
use super::{KeySpec, OwnerSpec, Start, Twin};
use crate::common::new_number;
use crate::model::{Config, Key, Model, Owner, Row};

const PROVIDERS: [&str; 3] = ["p", "q", "s"];
/// The limits of models: on any provider, and on one.
const MODEL_CONFIGS: [(&str, Option<&str>); 3] = [("m", None), ("m", Some("p")), ("n", Some("q"))];

fn rows(owner: &str, spec: &OwnerSpec) -> Vec<Row> {
    let rate = [(Kind::Tokens, spec.tokens), (Kind::Requests, spec.requests)];
    let rate = rate.into_iter().filter_map(|(kind, limit)| {
        limit.map(|limit| Row { id: format!("{owner}/rate"), kind, limit: limit.limit, shape: limit.shape })
    });
    let budgets = spec.budgets.iter().enumerate().map(|(place, limit)| Row {
        id: format!("{owner}/budget {place}"),
        kind: Kind::Budget,
        limit: limit.limit,
        shape: limit.shape,
    });
    rate.chain(budgets).collect()
}

impl Twin {
    /// The rows in the engine's words, numbered and anchored by what is there: to be called before the model has them.
    fn resolved(&mut self, rows: &[Row]) -> Vec<LimitRow> {
        for row in rows.iter().filter(|row| self.model.live().all(|old| old.limit_id != row.id)) {
            self.numbers.remove(&row.id);
        }
        for row in rows {
            self.numbers.entry(row.id.clone()).or_insert_with(new_number);
        }
        rows.iter().map(|row| self.resolve(row)).collect()
    }

    fn resolve(&self, row: &Row) -> LimitRow {
        let now = Millis::new(self.now);
        let old = self.model.live().find(|old| old.limit_id == row.id && old.kind == row.kind);
        let kept = old.filter(|old| old.shape == row.shape).map(|old| old.since);
        let since = Millis::new(kept.unwrap_or(self.now));
        let rolled = old.filter(|old| old.shape.window != Window::Sliding);
        let anchor =
            rolled.map_or(now, |_| self.engine.read(&row.id, row.kind, now).expect("the limit exists").start);
        LimitRow {
            id: row.id.as_str().into(),
            number: self.numbers[&row.id],
            kind: row.kind,
            limit: row.limit,
            per: Duration::parse(&row.shape.text()).expect("a duration"),
            window: row.shape.window,
            anchor,
            since,
        }
    }

    pub fn new(start: Start) -> Twin {
        let Start { settings, owners, keys, now } = start;
        let mut twin = Twin {
            engine: Engine::new(settings.clone(), Seeds::new(3, 4)),
            model: Model::new(settings),
            now,
            handles: Vec::new(),
            rows: BTreeMap::new(),
            store: Store::default(),
            numbers: BTreeMap::new(),
            unswept: false,
        };
        twin.engine.keep_history(true);
        for (place, spec) in owners.iter().enumerate() {
            twin.edit_limits(place, spec);
        }
        for (place, spec) in keys.iter().enumerate() {
            twin.edit_key(place, spec);
        }
        twin
    }

    /// Owners in turn: two customers, two teams, two providers, three model configs.
    pub(super) fn edit_limits(&mut self, place: usize, spec: &OwnerSpec) {
        let (owner, level, id, edit) = match place {
            0 | 1 => {
                let id = format!("c{place}");
                let rows = rows(&id, spec);
                let edit = Edit::Customer {
                    id: id.as_str().into(),
                    name: id.as_str().into(),
                    limits: self.resolved(&rows),
                };
                (Owner::Customer(id.clone()), Level::Customer, id, edit)
            }
            2 | 3 => {
                let id = format!("t{}", place - 2);
                // The first is a customer's.
                let customer = (place == 2).then(|| "c0".to_owned());
                self.model.teams.insert(id.clone(), customer.clone());
                let limits = self.resolved(&rows(&id, spec));
                let customer = customer.map(|customer| customer.as_str().into());
                let edit = Edit::Team { id: id.as_str().into(), name: id.as_str().into(), customer, limits };
                (Owner::Team(id.clone()), Level::Team, id, edit)
            }
            4 | 5 => {
                let name = PROVIDERS[place - 4].to_owned();
                let edit =
                    Edit::Provider { name: name.as_str().into(), limits: self.resolved(&rows(&name, spec)) };
                (Owner::Provider(name.clone()), Level::Provider, name, edit)
            }
            _ => {
                let id = format!("mc{}", place - 6);
                let (model, provider) = MODEL_CONFIGS[place - 6];
                self.model.model_configs.insert(id.clone(), (model.into(), provider.map(Into::into)));
                let edit = Edit::ModelConfig {
                    id: id.as_str().into(),
                    model: model.into(),
                    provider: provider.map(Into::into),
                    limits: self.resolved(&rows(&id, spec)),
                };
                let level = if provider.is_some() { Level::ModelProvider } else { Level::Model };
                (Owner::ModelConfig(id.clone()), level, id, edit)
            }
        };
        self.model.set_limits(&owner, level, &id, &rows(&id, spec), self.now);
        self.apply(&[edit]);
    }

    pub(super) fn edit_key(&mut self, place: usize, spec: &KeySpec) {
        let name = format!("k{place}");
        let own = rows(&name, &spec.limits);
        let resolved = self.resolved(&own);
        let mut configs: Vec<Config> = Vec::new();
        let mut limits = Vec::new();
        for (at, wanted) in spec.configs.iter().enumerate() {
            let provider = PROVIDERS[wanted.provider];
            let id = (place * 10 + at) as i64;
            // A second config for a provider takes no part in the draw.
            let weight = wanted.weight.filter(|_| configs.iter().all(|config| config.provider != provider));
            let models = wanted.models.iter().map(|model| (*model).to_owned()).collect();
            configs.push(Config { id, provider: provider.into(), weight, models });
            let rows = rows(&format!("config {id}"), &wanted.limits);
            limits.push((self.resolved(&rows), rows));
        }
        if let Some(old) = self.model.keys.get(&name).cloned() {
            for gone in old.configs.iter().filter(|old| configs.iter().all(|config| config.id != old.id)) {
                self.model.remove(&Owner::Config(gone.id));
            }
        }
        for (config, (_, rows)) in configs.iter().zip(&limits) {
            let owner = Owner::Config(config.id);
            self.model.set_limits(&owner, Level::ProviderConfig, &config.id.to_string(), rows, self.now);
        }
        self.model.set_limits(&Owner::Key(name.clone()), Level::VirtualKey, &name, &own, self.now);
        let team = spec.team.map(|team| format!("t{team}"));
        let customer = spec.customer.filter(|_| team.is_none()).map(|customer| format!("c{customer}"));
        let row = KeyRow {
            id: name.as_str().into(),
            name: name.as_str().into(),
            number: *self.numbers.entry(name.clone()).or_insert_with(new_number) as u64,
            active: spec.active,
            expires_at: NEVER,
            team: team.as_deref().map(Into::into),
            customer: customer.as_deref().map(Into::into),
            credentials: None,
            limits: resolved,
            provider_configs: configs
                .iter()
                .zip(limits)
                .map(|(config, (limits, _))| ProviderConfigRow {
                    id: config.id,
                    provider: config.provider.as_str().into(),
                    weight: config.weight,
                    allowed_models: config.models.iter().map(|model| model.as_str().into()).collect(),
                    key_ids: None,
                    limits,
                })
                .collect(),
            mcp_configs: Vec::new(),
        };
        self.model.keys.insert(name, Key { active: spec.active, team, customer, configs });
        let edit = Edit::VirtualKey(Box::new(row));
        self.apply(&[edit]);
    }
}
