//! Rules in decisions: what binds, who serves, and that neither edits nor other threads get in between.

mod common;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::{Still, amounts, apply, engine, handle, key, key_row, limit, request, settings, team};
use limen_core::answer::{Answer, Denial, Grant, ProviderText, Reason};
use limen_core::engine::Engine;
use limen_core::error::Code;
use limen_core::policy::edit::{Edit, Entity, KeyRow};
use limen_core::policy::{Kind, Window};
use limen_core::request::Request;
use limen_core::routing::rules::{RuleRow, Scope, TargetRow};
use limen_core::units::Millis;

fn target(provider: &str, model: &str, weight: f64) -> TargetRow {
    let named = |text: &str| Some(Box::from(text)).filter(|_| !text.is_empty());
    TargetRow { provider: named(provider), model: named(model), key_id: None, weight }
}

fn row(id: &str, scope: Scope, expression: &str, targets: Vec<TargetRow>) -> RuleRow {
    RuleRow {
        id: id.into(),
        scope,
        priority: 0,
        created: Millis::new(0),
        enabled: true,
        expression: expression.into(),
        targets,
        fallbacks: Vec::new(),
    }
}

fn rule(id: &str, scope: Scope, expression: &str, targets: Vec<TargetRow>) -> Edit {
    Edit::Rule(Box::new(row(id, scope, expression, targets)))
}

fn delete(entity: Entity, id: &str) -> Edit {
    Edit::Delete { entity, id: id.into() }
}

fn whole(row: KeyRow) -> Edit {
    Edit::VirtualKey(Box::new(row))
}

fn ask(engine: &Engine, request: &Request<'_>) -> Result<Grant, Box<Denial>> {
    common::admit(engine, request, 1)
}

fn rule_of(grant: &Grant) -> Option<&str> {
    grant.ruling().map(|ruling| &*ruling.rule_id)
}

fn model_of(grant: &Grant) -> Option<&str> {
    grant.ruling().and_then(|ruling| ruling.model.as_deref())
}

fn provider_of(engine: &Engine, grant: &Grant) -> String {
    let ProviderText::Known(number) = grant.provider else { panic!("a provider of the configuration") };
    engine.view().provider_name(number).to_string()
}

#[test]
fn the_rules_of_an_owner_end_with_it_and_come_back_with_nobody_of_its_id() {
    let of = |id: &str| Scope::Team(id.into());
    let mut member = key_row("k", &["p"], vec![]);
    member.team = Some("t".into());
    let there = [team("t", None, vec![]), whole(member.clone())];
    let engine = engine(settings(), &there);
    let wanted = || request(handle(&engine, "k"), "p", "m", amounts(None, None));
    let bound = |wanted: &Request<'_>| ask(&engine, wanted).expect("allowed").ruling().is_some();
    assert!(!bound(&wanted()));
    apply(&engine, &[rule("r", of("t"), "", vec![target("", "n", 1.0)])], 1);
    assert!(bound(&wanted()));
    let detached = whole(KeyRow { team: None, ..member });
    apply(&engine, &[detached, delete(Entity::Team, "t")], 1);
    assert!(!bound(&wanted()));
    assert_eq!(engine.rule_health("r").expect_err("it is gone").code, Code::NotFound);
    apply(&engine, &there, 1);
    assert!(!bound(&wanted()));
    let nobody = engine.apply(&[rule("r", of("u"), "", vec![target("", "n", 1.0)])], Millis::new(1));
    assert_eq!(nobody.expect_err("no such team").code, Code::NotFound);
    let twice = engine.apply(&[delete(Entity::Rule, "r")], Millis::new(1));
    assert_eq!(twice.expect_err("no such rule").code, Code::NotFound);
}

#[test]
fn a_batch_with_a_faulty_rule_changes_nothing() {
    let good = || rule("r", Scope::Global, "", vec![target("", "n", 1.0)]);
    let engine = engine(settings(), &[key("k", vec![]), good()]);
    for (faulty, param) in [
        (rule("s", Scope::Global, "model = 1", vec![target("", "n", 1.0)]), "cel_expression"),
        (rule("s", Scope::Global, "", vec![]), "targets"),
        (rule("s", Scope::Global, "", vec![target("", "n", f64::NAN), target("", "o", 1.0)]), "weight"),
    ] {
        let batch = [delete(Entity::Rule, "r"), faulty];
        assert_eq!(engine.check(&batch).expect_err("faulty").param.as_deref(), Some(param));
        assert_eq!(engine.apply(&batch, Millis::new(1)).expect_err("faulty").param.as_deref(), Some(param));
    }
    let wanted = request(handle(&engine, "k"), "p", "m", amounts(None, None));
    assert_eq!(rule_of(&ask(&engine, &wanted).expect("allowed")), Some("r"));
}

#[test]
fn a_provider_that_only_a_rule_names_is_one_while_the_rule_is_there() {
    let engine = engine(settings(), &[key("k", vec![])]);
    let wanted = || request(handle(&engine, "k"), "", "late/m", amounts(None, None));
    // A model's name with a slash, on provider p.
    assert_eq!(provider_of(&engine, &ask(&engine, &wanted()).expect("allowed")), "p");
    let other = |id: &str| rule(id, Scope::Global, "false", vec![target("late", "", 1.0)]);
    apply(&engine, &[other("r"), other("s")], 1);
    let blocked = |reason: &str| ask(&engine, &wanted()).expect_err(reason).code;
    assert_eq!(blocked("late is a provider that the key may not use"), Code::ProviderBlocked);
    apply(&engine, &[delete(Entity::Rule, "r")], 1);
    assert_eq!(blocked("the other rule names it still"), Code::ProviderBlocked);
    apply(&engine, &[other("s"), delete(Entity::Rule, "s")], 1);
    assert_eq!(provider_of(&engine, &ask(&engine, &wanted()).expect("allowed")), "p");
}

#[test]
fn two_threads_at_the_last_unit_of_a_targets_limit_get_it_once_and_the_other_target_once() {
    let mut row_of_key = key_row("k", &["p", "q"], vec![]);
    row_of_key.provider_configs[0].limits = vec![limit("last", Kind::Requests, 1, "1h", Window::Fixed)];
    for round in 0..200 {
        let targets = vec![target("p", "", 1.0 - 1e-12), target("q", "", 1e-12)];
        let engine = engine(settings(), &[whole(row_of_key.clone()), rule("r", Scope::Global, "", targets)]);
        let served = thread::scope(|scope| {
            let admit = || {
                let wanted = request(handle(&engine, "k"), "", "m", amounts(None, None));
                let granted = common::admit(&engine, &wanted, 1 + round).expect("one of them serves");
                provider_of(&engine, &granted)
            };
            let threads = [scope.spawn(admit), scope.spawn(admit)];
            threads.map(|thread| thread.join().expect("no panic"))
        });
        let served: HashSet<String> = served.into();
        assert_eq!(served.len(), 2, "{served:?}");
        assert_eq!(engine.rule_health("r").expect("it is there").matches, 2);
    }
}

/// Two rules of one generation: whichever holds, provider and model are that generation's.
fn generation(number: u32) -> Vec<Edit> {
    let of = |id: &str, expression: &str| {
        let model = format!("{id} of {number}");
        let provider = if number.is_multiple_of(2) { "p" } else { "q" };
        rule(id, Scope::Global, expression, vec![target(provider, &model, 1.0)])
    };
    vec![of("even", "model == 'even'"), of("odd", "model == 'odd' && request >= 0.0")]
}

#[test]
fn rules_edited_under_traffic_answer_by_one_generation_and_never_by_an_older_one_than_before() {
    let engine = engine(settings(), &[whole(key_row("k", &["p", "q"], vec![]))]);
    apply(&engine, &generation(0), 1);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let traffic = |model: &'static str| {
            let (engine, is_over) = (&engine, &is_over);
            move || {
                let mut newest = 0;
                while !is_over.load(Ordering::Relaxed) {
                    let wanted = request(handle(engine, "k"), "", model, amounts(None, None));
                    let granted = ask(engine, &wanted).expect("every generation serves");
                    let told = model_of(&granted).expect("a rule's model").to_owned();
                    let (id, number) = told.split_once(" of ").expect("as it was made");
                    let number: u32 = number.parse().expect("a number");
                    assert_eq!((id, rule_of(&granted)), (model, Some(model)));
                    assert_eq!(
                        provider_of(engine, &granted),
                        if number.is_multiple_of(2) { "p" } else { "q" }
                    );
                    assert!(number >= newest, "{number} after {newest}");
                    newest = number;
                }
            }
        };
        scope.spawn(traffic("even"));
        scope.spawn(traffic("odd"));
        for number in 1..2_000 {
            apply(&engine, &generation(number), 1);
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_weight_that_changes_moves_at_most_its_share_of_the_sticky_keys() {
    const KEYS: usize = 20_000;
    let engine = engine(settings(), &[whole(key_row("k", &["p", "q", "r"], vec![]))]);
    let place = |weights: [f64; 3], turn: usize| -> Vec<String> {
        let mut targets: Vec<TargetRow> =
            ["p", "q", "r"].iter().zip(weights).map(|(p, w)| target(p, "", w)).collect();
        targets.rotate_left(turn);
        apply(&engine, &[rule("r", Scope::Global, "", targets)], 1);
        let at = |number: usize| {
            let sticky = format!("user {number}");
            let wanted = request(handle(&engine, "k"), "", "m", amounts(None, None));
            let granted = ask(&engine, &Request { sticky: Some(&sticky), ..wanted }).expect("allowed");
            provider_of(&engine, &granted)
        };
        (0..KEYS).map(at).collect()
    };
    let before = place([0.5, 0.3, 0.2], 0);
    assert_eq!(place([0.5, 0.3, 0.2], 1), before, "the order of the list makes no difference");
    let share = |of: &[String], name: &str| of.iter().filter(|one| *one == name).count() as f64 / KEYS as f64;
    for (name, wanted) in [("p", 0.5), ("q", 0.3), ("r", 0.2)] {
        assert!((share(&before, name) - wanted).abs() < 0.02, "{name}: {}", share(&before, name));
    }
    // p gains a tenth, the others lose it in proportion: keys move to p and nowhere else.
    let after = place([0.6, 0.24, 0.16], 2);
    let moved: HashMap<(&str, &str), usize> =
        before.iter().zip(&after).filter(|(a, b)| a != b).fold(HashMap::new(), |mut moved, (from, to)| {
            *moved.entry((&**from, &**to)).or_default() += 1;
            moved
        });
    assert!(moved.keys().all(|(_, to)| *to == "p"), "{moved:?}");
    let share_moved = moved.values().sum::<usize>() as f64 / KEYS as f64;
    assert!((0.08..0.12).contains(&share_moved), "{share_moved}");
}

#[test]
fn a_rule_that_is_written_to_hurt_costs_its_bound_and_refuses_nobody() {
    let part = "headers['a'].contains('zz')";
    let hurting = [part; 128].join(" || ");
    assert!((3_500..4_096).contains(&hurting.len()));
    let rules = (0..100).map(|n| rule(&format!("r{n}"), Scope::Global, &hurting, vec![target("", "n", 1.0)]));
    let edits: Vec<Edit> = [key("k", vec![])].into_iter().chain(rules).collect();
    let engine = engine(settings(), &edits);
    let long = "z-".repeat(500_000);
    let names: Vec<String> = (0..20_000).map(|number| format!("Name-{number}")).collect();
    let mut headers: Vec<(&str, &str)> = names.iter().map(|name| (&**name, "v")).collect();
    headers.push(("A", &long));
    let wanted = request(handle(&engine, "k"), "p", "m", amounts(None, None));
    let wanted = Request { headers: &headers, ..wanted };
    let granted = ask(&engine, &wanted).expect("a fault of a rule refuses nobody");
    assert_eq!(rule_of(&granted), None);
    let health = engine.rule_health("r99").expect("it is there");
    assert_eq!((health.matches, health.errors, health.over_budget), (0, 0, 1));
    let told = engine.evaluate(&wanted, Millis::new(1), &Still::at(1)).expect("a good request");
    assert!(told.steps.iter().all(|step| step.result == "over_budget") && told.steps.len() == 100);
    assert_eq!(engine.rule_health("r99").expect("it is there").over_budget, 1, "a dry run counts nothing");
}

#[test]
fn names_of_headers_are_met_in_small_letters_and_the_last_of_the_same_counts() {
    let told = |expression: &str, headers: &[(&str, &str)]| {
        let binding = rule("r", Scope::Global, expression, vec![target("", "n", 1.0)]);
        let engine = engine(settings(), &[key("k", vec![]), binding]);
        let wanted = request(handle(&engine, "k"), "p", "m", amounts(None, None));
        let granted = ask(&engine, &Request { headers, params: headers, ..wanted }).expect("allowed");
        granted.ruling().is_some()
    };
    let given = [("X-A", "1"), ("b", "2"), ("x-a", "3"), ("X-a", "4")];
    for (expression, holds) in [
        ("headers['x-a'] == '4'", true),
        ("params['x-a'] == '4' && params.b == '2'", true),
        ("headers['X-A'] == '4'", false),
        ("'X-a' in headers", false),
        ("'x-a' in headers && !('c' in headers)", true),
        ("headers.size() == 2", true),
    ] {
        assert_eq!(told(expression, &given), holds, "{expression}");
    }
}

#[test]
fn a_refusal_lists_everybody_who_was_left_out_and_says_what_the_first_target_says() {
    let mut row_of_key = key_row("k", &["p", "q"], vec![]);
    row_of_key.provider_configs[0].limits = vec![limit("none", Kind::Requests, 0, "1h", Window::Fixed)];
    row_of_key.provider_configs[1].allowed_models = vec!["other".into()];
    let targets = vec![target("q", "", 1.0 - 1e-12), target("p", "", 1e-12)];
    let mut binding = row("r", Scope::Global, "", targets);
    binding.fallbacks = vec![("nobody".into(), None), ("q".into(), Some("n".into()))];
    // It would hold, and serve; but the first that holds binds.
    let mut after = row("after", Scope::Global, "", vec![target("q", "other", 1.0)]);
    after.priority = 1;
    let edits = [whole(row_of_key), Edit::Rule(Box::new(binding)), Edit::Rule(Box::new(after))];
    let engine = engine(settings(), &edits);
    let wanted = request(handle(&engine, "k"), "", "m", amounts(None, None));
    let denial = ask(&engine, &Request { fallbacks: Some(&["q/other"]), ..wanted }).expect_err("nobody");
    let told: Vec<_> = denial.excluded.iter().map(|one| (&*one.provider, &*one.model, one.reason)).collect();
    assert_eq!(
        told,
        [
            ("q", "m", Reason::ModelBlocked),
            ("p", "m", Reason::Limits),
            ("nobody", "m", Reason::ProviderBlocked),
            ("q", "n", Reason::ModelBlocked),
        ]
    );
    assert_eq!((denial.code, denial.limits.len()), (Code::ModelBlocked, 0));
    assert_eq!(engine.rule_health("r").expect("it is there").matches, 1);
    assert_eq!(engine.rule_health("after").expect("it is there").matches, 0);
}

#[test]
fn a_peek_and_a_dry_run_spend_no_draw_and_count_nothing() {
    let targets = vec![target("p", "", 0.5), target("q", "", 0.5)];
    let binding = rule("r", Scope::Global, "", targets);
    let engine = engine(settings(), &[whole(key_row("k", &["p", "q"], vec![])), binding]);
    let wanted = request(handle(&engine, "k"), "", "m", amounts(None, None));
    for number in 0..100 {
        // The same world is handed to both, as the binding hands a copy: they draw alike.
        let at = Millis::new(number);
        let told = [
            engine.peek(&wanted, at, &Still::at(number)).expect("a good request"),
            engine
                .evaluate(&wanted, at, &Still::at(number))
                .expect("a good request")
                .answer
                .expect("it binds"),
            engine.admit(&wanted, at, &Still::at(number)).expect("a good request"),
        ]
        .map(|answer| match answer {
            Answer::Permit(grant) => provider_of(&engine, &grant),
            Answer::Denial(denial) => panic!("refused: {denial:?}"),
        });
        assert!(told.iter().all(|provider| *provider == told[0]), "{told:?}");
    }
    assert_eq!(engine.rule_health("r").expect("it is there").matches, 100);
}
