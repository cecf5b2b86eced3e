//! What do rules cost a whole decision, admit and settle, beside the same one without any?

use limen_core::engine::Engine;
use limen_core::policy::edit::Edit;
use limen_core::request::Caller;
use limen_core::routing::rules::{RuleRow, Scope, TargetRow};
use limen_core::units::Millis;

use crate::policy::{Call, handles, now, roomy};
use crate::timing::{Effort, in_turn, print_ratio, side};
use crate::workloads::Workloads;

/// A rule that leaves a request where it is going.
fn rule(priority: i64, expression: String) -> Edit {
    Edit::Rule(Box::new(RuleRow {
        id: priority.to_string().into(),
        scope: Scope::Global,
        priority,
        created: Millis::new(0),
        enabled: true,
        expression: expression.into(),
        targets: vec![TargetRow { provider: None, model: None, key_id: None, weight: 1.0 }],
        fallbacks: Vec::new(),
    }))
}

pub(crate) fn run(workloads: &Workloads, effort: Effort) {
    let keys = workloads.keys.hot;
    let order = workloads.order(keys, effort.calls);
    let limit = |kind, _| workloads.roomy(kind);
    let call = Call::new(workloads);
    let model = &workloads.model;
    let with = |rules: Vec<Edit>| {
        let engine = roomy(workloads, &workloads.levels.typical, &limit).build(keys);
        engine.apply(&rules, now()).expect("good rules");
        engine
    };
    let other_team = format!("model == '{model}' && team_name == 'another'");
    let binding = format!("model == '{model}' && request_type == 'chat_completion'");
    let many = (0..1_000).map(|n| match n % 100 {
        99 if n == 999 => rule(n, binding.clone()),
        99 => rule(n, other_team.clone()),
        _ => rule(n, format!("model == 'other-{n}' && budget_used > 80.0")),
    });
    let engines: [Engine; 5] = [
        with(Vec::new()),
        with(vec![rule(0, binding.clone())]),
        with(vec![rule(0, format!("model == '{model}' && budget_used < 101.0"))]),
        with((0..9).map(|n| rule(n, other_team.clone())).chain([rule(9, binding.clone())]).collect()),
        with(many.collect()),
    ];
    let handles = engines.each_ref().map(|engine| handles(engine, keys));
    let sides = [0, 1, 2, 3, 4].map(|place| {
        let (engine, handles, call) = (&engines[place], &handles[place], &call);
        side(&order, move |key| call.pair(engine, Caller::Handle(handles[key])))
    });
    let [plain, one, reading, ten, thousand] = in_turn(effort, sides);
    for (engine, last) in engines.iter().zip([None, Some("0"), Some("0"), Some("9"), Some("999")]) {
        let matches = last.map(|id| engine.rule_health(id).expect("the rule is there").matches);
        assert_ne!(matches, Some(0), "the last one binds");
    }
    print_ratio("ruled_one", one, plain);
    print_ratio("ruled_reading", reading, plain);
    print_ratio("ruled_ten", ten, plain);
    print_ratio("ruled_thousand", thousand, plain);
}
