//! What does it cost to ask a rule, and to write one?

use std::hint::black_box;

use cel::{Context, Program, Value};
use limen_core::routing::cel::{Expression, Variables};
use limen_core::routing::rules::{Asking, RuleRow, RuleSet, Scope};
use limen_core::units::Millis;

use crate::timing::{Effort, Side, Stopwatch, in_turn, print_ratio};
use crate::workloads::Workloads;

const SIMPLE: &str = "model == 'gpt-4o' && budget_used > 80.0";
const LONGER: &str = "model.startsWith('gpt') && (headers['x-tier'] == 'pro' || team_name in ['a', 'b', 'c']) \
                      && budget_used < 90.0 && !(provider == 'azure')";
const REQUEST: Variables<'_> = Variables {
    model: "gpt-4o",
    provider: "openai",
    team_name: "team-9",
    headers: &[("x-tier", "pro")],
    params: &[],
    budget_used: 85.0,
    request_type: "chat_completion",
    virtual_key_id: "",
    virtual_key_name: "",
    team_id: "",
    customer_id: "",
    customer_name: "",
    tokens_used: 0.0,
    request: 0.0,
};

fn side<'a>(calls: usize, mut holds: impl FnMut() -> bool + 'a) -> Side<'a> {
    Box::new(move || {
        let watch = Stopwatch::start();
        for _ in 0..calls {
            assert!(holds());
        }
        watch.elapsed() / calls as f64
    })
}

fn context() -> Context<'static, 'static> {
    let mut context = Context::default();
    for (name, text) in
        [("model", REQUEST.model), ("provider", REQUEST.provider), ("team_name", REQUEST.team_name)]
    {
        context.add_variable_from_value(name, text.to_owned());
    }
    let headers: std::collections::HashMap<String, String> =
        REQUEST.headers.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    context.add_variable_from_value("headers", headers);
    context.add_variable_from_value("budget_used", REQUEST.budget_used);
    context
}

fn set(expressions: impl Iterator<Item = String>) -> RuleSet {
    let rows = (0..).zip(expressions).map(|(number, expression)| RuleRow {
        id: number.to_string().into(),
        scope: Scope::Global,
        priority: number,
        created: Millis::new(0),
        enabled: true,
        expression: expression.into(),
        targets: Vec::new(),
        fallbacks: Vec::new(),
    });
    RuleSet::default().with(rows.collect(), &[]).expect("valid rules")
}

/// The rule of this place is met first.
fn meets<'a>(rules: &'a RuleSet, priority: i64) -> impl FnMut() -> bool + 'a {
    move || {
        let met = rules.first(&Asking::default(), black_box(&REQUEST));
        met.count(Millis::new(1));
        met.rule.is_some_and(|rule| rule.row().priority == priority)
    }
}

pub(crate) fn run(_: &Workloads, effort: Effort) {
    let (context, calls) = (context(), effort.calls);
    for (row, text) in [("rule_simple", SIMPLE), ("rule_longer", LONGER)] {
        let (ours, theirs) = (Expression::new(text).expect("valid"), Program::compile(text).expect("valid"));
        let [ours, peer] = in_turn(
            effort,
            [
                side(calls, || ours.holds(black_box(&REQUEST)) == Ok(true)),
                side(calls, || matches!(theirs.execute(black_box(&context)), Ok(Value::Bool(true)))),
            ],
        );
        print_ratio(row, ours, peer);
    }

    let of_a_team = |n: usize| format!("team_name == 'team-{n}' && budget_used > 80.0");
    let ten = set((0..10).map(of_a_team));
    let one = Program::compile(&of_a_team(9)).expect("valid");
    let [ours, peer] = in_turn(
        effort,
        [
            side(calls, meets(&ten, 9)),
            side(calls, || matches!(one.execute(black_box(&context)), Ok(Value::Bool(true)))),
        ],
    );
    print_ratio("rules_ten", ours, peer);

    let of_the_model = |n: usize| format!("model == 'gpt-4o' && {}", of_a_team(n));
    let few = set((0..10).map(of_the_model));
    let many = set((0..1_000).map(|n| match n % 100 {
        99 => of_the_model(n / 100),
        _ => format!("model == 'other-{n}' && {}", of_a_team(9)),
    }));
    let [ours, peer] = in_turn(effort, [side(calls, meets(&many, 999)), side(calls, meets(&few, 9))]);
    print_ratio("rules_thousand", ours, peer);

    for (row, text) in [("rule_compile", SIMPLE), ("rule_compile_longer", LONGER)] {
        let [ours, peer] = in_turn(
            effort,
            [
                side(calls / 50, || Expression::new(black_box(text)).is_ok()),
                side(calls / 50, || Program::compile(black_box(text)).is_ok()),
            ],
        );
        print_ratio(row, ours, peer);
    }
}
