//! Which rule is met first: the order, the index over it against a walk over all, and health over edits.

use std::cell::Cell;

use limen_core::routing::cel::{Facts, Map, Percent, Text, Variables};
use limen_core::routing::rules::{Asking, Outcome, RuleRow, RuleSet, Scope};
use limen_core::units::Millis;

const NOW: Millis = Millis::new(5_000);

fn rule(id: &str, scope: &Scope, priority: i64, created: i64, expression: &str) -> RuleRow {
    RuleRow {
        id: id.into(),
        scope: scope.clone(),
        priority,
        created: Millis::new(created),
        enabled: true,
        expression: expression.into(),
        targets: Vec::new(),
        fallbacks: Vec::new(),
    }
}

fn set(rows: Vec<RuleRow>) -> RuleSet {
    RuleSet::default().with(rows, &[]).expect("valid rules")
}

const ASKING: Asking<'_> = Asking { virtual_key: "k", team: "t", customer: "c" };

fn first(rules: &RuleSet, asking: &Asking<'_>, facts: &Variables<'_>) -> Option<String> {
    rules.first(asking, facts).rule.map(|rule| rule.row().id.to_string())
}

#[test]
fn narrow_scopes_come_first_then_priority_time_and_id() {
    let (key, team, customer) =
        (Scope::VirtualKey("k".into()), Scope::Team("t".into()), Scope::Customer("c".into()));
    let mut rows = vec![
        rule("h", &Scope::Global, -9, 0, ""),
        rule("g", &customer, -5, 0, ""),
        rule("f", &team, 0, 0, ""),
        rule("e", &key, 2, 0, ""),
        rule("d", &key, 1, 9, ""),
        rule("c", &key, 1, 8, ""),
        rule("b", &key, 1, 7, ""),
        rule("a", &key, 1, 7, ""),
        rule("x", &Scope::VirtualKey("other".into()), -99, 0, ""),
        rule("y", &Scope::Team("k".into()), -99, 0, ""),
    ];
    // Whatever the order in which they come, and as one after the other is switched off.
    for turn in 0..8 {
        rows.rotate_left(3);
        let rules = set(rows.clone());
        let left: Vec<_> = ["a", "b", "c", "d", "e", "f", "g", "h"][turn..].to_vec();
        assert_eq!(first(&rules, &ASKING, &Variables::default()).as_deref(), Some(left[0]));
        let off = rows.iter_mut().find(|row| *row.id == *left[0]).expect("it is there");
        off.enabled = false;
    }
    assert_eq!(first(&set(rows.clone()), &ASKING, &Variables::default()), None);
    let other = Asking { virtual_key: "other", ..Asking::default() };
    assert_eq!(first(&set(rows), &other, &Variables::default()).as_deref(), Some("x"));
}

/// A request that counts what it is asked.
struct Counting<'a>(Variables<'a>, Cell<u32>);

impl Facts for Counting<'_> {
    fn text(&self, name: Text) -> &str {
        self.1.set(self.1.get() + 1);
        self.0.text(name)
    }

    fn entry(&self, map: Map, key: &str) -> Option<&str> {
        self.0.entry(map, key)
    }

    fn entries(&self, map: Map) -> usize {
        self.0.entries(map)
    }

    fn percent(&self, _: Percent) -> f64 {
        panic!("no rule that is visited reads a percentage")
    }
}

#[test]
fn rules_about_other_models_and_providers_are_not_visited_nor_what_they_read_prepared() {
    let mut rows: Vec<RuleRow> = (0..1_000)
        .map(|n| {
            let expression = match n % 4 {
                0 => format!("model == 'other-{n}' && budget_used > 80"),
                1 => format!("budget_used > 80 && model in ['m-{n}', 'n-{n}']"),
                2 => format!("(provider == 'p-{n}' || provider == 'q-{n}') && tokens_used > 1"),
                _ => format!("request > 1 && 'm-{n}' == model && provider == 'p'"),
            };
            rule(&format!("r{n}"), &Scope::Global, n, 0, &expression)
        })
        .collect();
    rows.push(rule("last", &Scope::Global, 2_000, 0, "model in ['mine', 'm-1'] && provider == 'p'"));
    let rules = set(rows);
    let request = Counting(Variables { model: "mine", provider: "p", ..Variables::default() }, Cell::new(0));
    assert_eq!(rules.first(&ASKING, &request).rule.map(|rule| &*rule.row().id), Some("last"));
    // Two for the index, two for the one rule.
    assert_eq!(request.1.get(), 4);
}

#[test]
fn the_index_finds_what_a_walk_over_all_rules_finds() {
    let mut state = 7u64;
    let mut below = |end: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % end
    };
    let mut found = 0;
    for _ in 0..2_000 {
        let scopes = [
            Scope::VirtualKey("k".into()),
            Scope::Team("t".into()),
            Scope::Customer("c".into()),
            Scope::Customer("d".into()),
            Scope::Global,
        ];
        let rows: Vec<RuleRow> = (0..below(20))
            .map(|n| {
                let (model, other, provider) = (below(4), below(4), below(3));
                let expression = match below(9) {
                    0 => format!("model == 'm{model}'"),
                    1 => format!("model in ['m{model}', 'm{other}']"),
                    2 => format!("model == 'm{model}' || model == 'm{other}'"),
                    3 => format!("provider == 'p{provider}' && model != 'm{model}'"),
                    4 => format!("model == 'm{model}' || provider == 'p{provider}'"),
                    5 => format!("headers.none == '' || model == 'm{model}'"),
                    6 => format!("headers.none == '' && provider in ['p{provider}']"),
                    7 => format!("!(model in ['m{model}'])"),
                    _ => format!("budget_used > {}", below(100)),
                };
                let scope = &scopes[below(5) as usize];
                let mut row = rule(&format!("r{n}"), scope, below(3) as i64, below(3) as i64, &expression);
                row.enabled = below(6) > 0;
                row
            })
            .collect();
        let (model, provider) = (format!("m{}", below(4)), format!("p{}", below(3)));
        let request = Variables {
            model: &model,
            provider: if below(3) == 0 { "" } else { &provider },
            budget_used: below(100) as f64,
            ..Variables::default()
        };
        let rules = set(rows);
        let traced: Vec<_> = rules.trace(&ASKING, &request).collect();
        let last = traced.last().filter(|(_, outcome)| *outcome == Outcome::Match);
        assert!(traced.iter().rev().skip(1).all(|(_, outcome)| *outcome != Outcome::Match));
        let walked = last.map(|(rule, _)| rule.row().id.to_string());
        assert_eq!(first(&rules, &ASKING, &request), walked);
        found += u32::from(walked.is_some());
    }
    assert!((1_000..2_000).contains(&found), "{found}");
}

#[test]
fn health_counts_matches_and_failures_and_outlives_edits_that_leave_the_expression() {
    let global = |id: &str, priority, expression: &str| rule(id, &Scope::Global, priority, 0, expression);
    let rules = set(vec![
        global("missing", 1, "headers.x == 'a'"),
        global("dear", 2, "headers.long.contains('x') || headers.long.contains('y')"),
        global("hit", 3, "true"),
        global("never", 4, "true"),
    ]);
    let long = "-".repeat(100_000);
    let request = Variables { headers: &[("long", &long)], ..Variables::default() };
    for at in [7, 9, 8] {
        let met = rules.first(&ASKING, &request);
        assert!(met.rule.is_some());
        met.count(Millis::new(at));
    }
    let health = |rules: &RuleSet, id: &str| rules.get(id).expect("it is there").health();
    let missing = health(&rules, "missing");
    assert_eq!(
        (missing.matches, missing.errors, missing.over_budget, missing.last_match_at),
        (0, 3, 0, None)
    );
    assert_eq!(missing.last_error.as_deref(), Some("line 1, column 8 (offset 7): headers has no \"x\""));
    let dear = health(&rules, "dear");
    assert_eq!((dear.matches, dear.errors, dear.over_budget), (0, 0, 3));
    let hit = health(&rules, "hit");
    assert_eq!((hit.matches, hit.last_error, hit.last_match_at), (3, None, Some(Millis::new(9))));
    assert_eq!(health(&rules, "never").matches, 0);
    // A trace counts nothing, and tells the reasons.
    let traced: Vec<_> = rules.trace(&ASKING, &request).map(|(_, outcome)| outcome).collect();
    assert!(matches!(&traced[..], [Outcome::Error(_), Outcome::OverBudget(_), Outcome::Match]), "{traced:?}");
    assert_eq!(health(&rules, "hit").matches, 3);
    // Another place, another priority, another rule changed: kept. Another expression: begun anew.
    let edited = rules.with(vec![global("never", 4, "false"), global("hit", 9, "true")], &[]).expect("valid");
    assert_eq!((health(&edited, "hit").matches, health(&edited, "missing").errors), (3, 3));
    edited.first(&ASKING, &request).count(NOW);
    assert_eq!((health(&edited, "hit").matches, health(&rules, "hit").matches), (4, 4));
    let moved = RuleRow { scope: Scope::Team("t".into()), ..global("hit", 1, "true") };
    let edited = edited.with(vec![moved], &["dear"]).expect("valid");
    assert_eq!((health(&edited, "hit").matches, edited.get("dear").is_none()), (4, true));
    let edited = edited.with(vec![global("hit", 1, "true && true")], &[]).expect("valid");
    assert_eq!(
        (health(&edited, "hit").matches, first(&edited, &ASKING, &request).as_deref()),
        (0, Some("hit"))
    );
    assert_eq!(health(&rules, "hit").matches, 4);
}

#[test]
fn a_faulty_rule_leaves_the_set_as_it_is() {
    let rules = set(vec![rule("a", &Scope::Global, 1, 0, "")]);
    let rows = vec![rule("b", &Scope::Global, 0, 0, ""), rule("c", &Scope::Global, 0, 0, "model = 1")];
    let (number, refused) = rules.with(rows, &["a"]).expect_err("c is faulty");
    assert_eq!((number, refused.at.offset), (1, 6));
    assert_eq!(first(&rules, &ASKING, &Variables::default()).as_deref(), Some("a"));
}
