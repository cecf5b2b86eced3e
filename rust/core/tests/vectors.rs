//! The rows of `tests/vectors/admission.json`, which the Python tests read as well: figures worked out by hand.

mod common;

use std::collections::HashMap;

use common::{Still, apply, new_number};
use limen_core::answer::{Answer, Denial};
use limen_core::engine::Engine;
use limen_core::period::Duration;
use limen_core::permit::{Closing, Handle};
use limen_core::policy::credentials::Seeds;
use limen_core::policy::edit::{CredentialRow, Edit, Entity, KeyRow, LimitRow, NEVER, ProviderConfigRow};
use limen_core::policy::{Kind, Settings, UnknownPrice, Window};
use limen_core::request::{Amounts, Asked, Caller, Request, RequestType, World};
use limen_core::units::{Millis, NanoUsd};
use limen_core::usage::{Usage, Word};
use serde_json::{Map, Value, json};

/// What stands in a row, or in the defaults beneath it.
struct Row<'a> {
    given: &'a Value,
    default: &'a Value,
}

impl<'a> Row<'a> {
    fn get(&self, name: &str) -> &'a Value {
        self.given.get(name).or_else(|| self.default.get(name)).unwrap_or(&Value::Null)
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.get(name).as_str()
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.get(name).as_i64()
    }

    fn list(&self, name: &str) -> &'a [Value] {
        self.get(name).as_array().map_or(&[], Vec::as_slice)
    }

    fn needed(&self, name: &str) -> Box<str> {
        self.text(name).unwrap_or_else(|| panic!("{name} of {}", self.given)).into()
    }
}

fn kind(text: &str) -> Kind {
    let kinds = [Kind::Tokens, Kind::Requests, Kind::Budget];
    kinds.into_iter().find(|kind| kind.as_str() == text).expect("a kind")
}

fn limits(rows: &[Value]) -> Vec<LimitRow> {
    let limit = |row: &Value| LimitRow {
        id: row["id"].as_str().expect("an id").into(),
        number: new_number(),
        kind: kind(row["kind"].as_str().expect("a kind")),
        limit: row["limit"].as_i64().expect("a number"),
        per: Duration::parse(row["per"].as_str().expect("a duration")).expect("a duration"),
        window: match row["window"].as_str() {
            Some("sliding") => Window::Sliding,
            Some("calendar") => Window::Calendar,
            _ => Window::Fixed,
        },
        anchor: Millis::new(0),
        since: Millis::new(0),
    };
    rows.iter().map(limit).collect()
}

fn texts(list: &[Value]) -> Vec<Box<str>> {
    list.iter().map(|text| text.as_str().expect("a text").into()).collect()
}

fn settings(row: &Row<'_>) -> Settings {
    let share = row.get("estimate_share").as_f64().expect("a share");
    Settings {
        require_virtual_key: row.get("require_virtual_key") == true,
        estimate_output_tokens: row.number("estimate_output_tokens").expect("a number"),
        estimate_share_ppb: (share * 1e9).round() as i64,
        fit_deny: row.text("fit") == Some("deny"),
        unknown_price: match row.text("unknown_price") {
            Some("deny") => UnknownPrice::Deny,
            Some("count_zero") => UnknownPrice::CountZero,
            _ => UnknownPrice::DenyUnderBudget,
        },
        permit_ttl_ms: row.number("permit_ttl_ms").expect("a number"),
        give_back_on_expiry: row.text("on_expiry") == Some("give_back"),
        max_open_permits: row.number("max_open_permits").expect("a number"),
        trust_reported_cost: row.get("trust_reported_cost") == true,
        default_price: None,
    }
}

struct Player<'a> {
    file: &'a Value,
    engine: Engine,
    start: i64,
    now: i64,
    permits: HashMap<&'a str, Handle>,
}

impl<'a> Player<'a> {
    fn edit(&self, given: &'a Value) -> Edit {
        let op = given["op"].as_str().expect("an operation");
        let row = Row { given, default: &self.file["defaults"][op] };
        let limits = limits(row.list("limits"));
        match op {
            "customer" => Edit::Customer { id: row.needed("id"), name: row.needed("name"), limits },
            "team" => {
                let customer = row.text("customer_id").map(Into::into);
                Edit::Team { id: row.needed("id"), name: row.needed("name"), customer, limits }
            }
            "provider" => Edit::Provider { name: row.needed("name"), limits },
            "model_config" => {
                let provider = row.text("provider").map(Into::into);
                Edit::ModelConfig { id: row.needed("id"), model: row.needed("model"), provider, limits }
            }
            "delete" => {
                assert_eq!(row.text("kind"), Some("virtual_key"), "the file deletes nothing else");
                Edit::Delete { entity: Entity::VirtualKey, id: row.needed("id") }
            }
            "virtual_key" => Edit::VirtualKey(Box::new(self.key(&row, limits))),
            op => panic!("{op} is no edit"),
        }
    }

    fn key(&self, row: &Row<'a>, limits: Vec<LimitRow>) -> KeyRow {
        let credential = |given: &Value| {
            let value = given["value"].as_str().expect("a value");
            let sha256 = Still::at(0).sha256(value.as_bytes());
            CredentialRow { sha256, fingerprint: Some(self.engine.fingerprint(value)), until: NEVER }
        };
        let config = |given: &Value| ProviderConfigRow {
            id: given["id"].as_i64().expect("an id"),
            provider: given["provider"].as_str().expect("a provider").into(),
            weight: given["weight"].as_f64(),
            allowed_models: texts(given["allowed_models"].as_array().expect("a list")),
            key_ids: given["key_ids"].as_array().map(|ids| texts(ids)),
            limits: crate::limits(given["limits"].as_array().expect("a list")),
        };
        KeyRow {
            id: row.needed("id"),
            name: row.needed("name"),
            number: new_number() as u64,
            active: row.get("active") == true,
            expires_at: row.number("expires_at_ms").map_or(NEVER, Millis::new),
            team: row.text("team_id").map(Into::into),
            customer: row.text("customer_id").map(Into::into),
            credentials: row.get("credentials").as_array().map(|rows| rows.iter().map(credential).collect()),
            limits,
            provider_configs: row.list("provider_configs").iter().map(config).collect(),
            mcp_configs: Vec::new(),
        }
    }

    fn apply(&self, edits: &'a Value) {
        let edits = edits.as_array().expect("a list").iter().map(|edit| self.edit(edit));
        apply(&self.engine, &edits.collect::<Vec<_>>(), self.now);
    }

    fn admit(&mut self, given: &'a Value) -> Result<Value, limen_core::error::Fault> {
        let row = Row { given, default: &self.file["defaults"]["admit"] };
        let amounts = Amounts {
            input_tokens: row.number("input_tokens"),
            max_output_tokens: row.number("max_output_tokens"),
            tokens: row.number("tokens"),
            cost: row.number("cost_nano_usd").map(NanoUsd::new),
            usage: None,
        };
        let request_type = row.text("request_type").map_or(RequestType::ChatCompletion, |text| {
            RequestType::from_text(text).expect("a request type")
        });
        let request = Request {
            caller: row.text("key").map_or(Caller::Nobody, Caller::Value),
            provider: row.text("provider").unwrap_or(""),
            model: row.text("model"),
            request_type,
            asked: Asked::new(&amounts, request_type)?,
            mcp_tool: None,
            headers: &[],
            params: &[],
            fallbacks: None,
            sticky: None,
            id: row.text("id"),
        };
        Ok(match self.engine.admit(&request, Millis::new(self.now), &Still::at(self.now))? {
            Answer::Permit(grant) => {
                if let Some(name) = row.text("as") {
                    self.permits.insert(name, grant.handle);
                }
                json!({
                    "allowed": true,
                    "tokens": grant.held_tokens,
                    "cost_nano_usd": grant.held_nano_usd,
                    "max_output_tokens": grant.max_output_tokens,
                    "expires_at": grant.expires_at.get() - self.start,
                })
            }
            Answer::Denial(denial) => self.denial(&denial),
        })
    }

    fn denial(&self, denial: &Denial) -> Value {
        let limit = |limit: &limen_core::answer::Violation| {
            json!([
                limit.name.level.as_str(),
                limit.name.kind.as_str(),
                limit.limit,
                limit.used,
                limit.held,
                limit.asked,
                limit.reset_at.get() - self.start,
                limit.wait_ms,
            ])
        };
        json!({
            "allowed": false,
            "code": denial.code.as_str(),
            "fits": denial.fits,
            "retry_after_ms": denial.wait_ms,
            "limits": denial.limits.iter().map(limit).collect::<Vec<_>>(),
        })
    }

    fn answer(&mut self, call: &'a Value) -> Result<Value, limen_core::error::Fault> {
        let row = Row { given: call, default: &Value::Null };
        let (now, permit) = (Millis::new(self.now), row.text("permit").map(|name| self.permits[name]));
        let permit = || permit.expect("a permit");
        let usage = || {
            let mut usage = Usage::default();
            for (word, name) in [(Word::Tokens, "tokens"), (Word::CostUsd, "cost_nano_usd")] {
                if let Some(value) = row.number(name) {
                    usage.set(word, value).expect("a good number");
                }
            }
            usage
        };
        Ok(match row.text("op").expect("an operation") {
            "admit" => self.admit(call)?,
            "settle" => {
                let as_held = row.get("as_held") == true;
                let closing = if as_held { Closing::AsHeld } else { Closing::Used(usage()) };
                let settled = self.engine.settle(permit(), &closing, now)?;
                json!({
                    "tokens": settled.tokens,
                    "cost_nano_usd": settled.cost_nano_usd,
                    "overrun": settled.overrun,
                    "repeated": settled.repeated,
                    "expired": settled.expired,
                })
            }
            "update" => {
                let over = self.engine.update(permit(), &usage(), now)?;
                let name = |limit: &limen_core::answer::Violation| {
                    json!([limit.name.level.as_str(), limit.name.kind.as_str()])
                };
                json!({ "over": over.iter().map(name).collect::<Vec<_>>() })
            }
            "release" => {
                self.engine.release(permit(), row.get("request") == true, now)?;
                json!({})
            }
            "sweep" => json!({ "expired": self.engine.sweep(now) }),
            "read" => {
                let kind = kind(row.text("kind").expect("a kind"));
                let reading = self.engine.read(row.text("limit").expect("a limit"), kind, now)?;
                json!({ "used": reading.used, "held": reading.held })
            }
            op => panic!("{op} is no operation"),
        })
    }
}

#[test]
fn every_row_of_the_admission_vectors_comes_out_as_it_was_worked_out() {
    let file = include_str!("../../../tests/vectors/admission.json");
    let file: Value = serde_json::from_str(file).expect("the file is JSON");
    let start = file["start_ms"].as_i64().expect("an instant");
    for vector in file["vectors"].as_array().expect("a list") {
        let row = Row { given: &vector["settings"], default: &file["defaults"]["settings"] };
        let engine = Engine::new(settings(&row), Seeds::new(5, 6));
        let mut player = Player { file: &file, engine, start, now: start, permits: HashMap::new() };
        player.apply(&vector["edits"]);
        for (number, call) in vector["calls"].as_array().expect("a list").iter().enumerate() {
            player.now = start + call["at_ms"].as_i64().expect("an instant");
            if call["op"] == "apply" {
                player.apply(&call["edits"]);
                continue;
            }
            let expected = call["expect"].as_object().expect("what is expected");
            let shown = match player.answer(call) {
                Ok(shown) => shown,
                Err(fault) => json!({ "fault": fault.code.as_str() }),
            };
            // What is expected is compared, and nothing but what it names.
            let shown: Map<String, Value> =
                expected.keys().map(|word| (word.clone(), shown[word].clone())).collect();
            assert_eq!(shown, *expected, "{}: call {}, {}", vector["name"], number + 1, call["op"]);
        }
    }
}
