//! Does an edit of one key, or of one pricing override, cost more where there are many? Publication alone: no HTTP, no
//! disk.

use limen_core::answer::Answer;
use limen_core::engine::Engine;
use limen_core::policy::Kind;
use limen_core::policy::edit::{Edit, Entity};
use limen_core::pricing::{Effect, OverrideRow, Pattern, Scope};
use limen_core::request::{Caller, RequestType};

use crate::policy::{Call, Plan, now, roomy};
use crate::timing::{Effort, Side, Stopwatch, in_turn, print_ratio};
use crate::workloads::Workloads;

/// Edits in one sample.
const EDITS: usize = 200;

/// Edits of keys of a full table, each published, for a tool that counts instructions.
pub(crate) fn count(workloads: &Workloads, keys: usize, times: usize) {
    let limit = |kind, _| workloads.roomy(kind);
    let plan = roomy(workloads, &workloads.levels.typical, &limit);
    let engine = plan.build(keys);
    for number in workloads.order(keys, times) {
        engine.apply(&[plan.key(&engine, number)], now()).expect("an edit");
    }
}

pub(crate) fn run(workloads: &Workloads, effort: Effort) {
    let unreached = |kind, _| workloads.roomy(kind);
    let nothing = |kind, _| if kind == Kind::Requests { 0 } else { workloads.roomy(kind) };
    let plan = roomy(workloads, &workloads.levels.typical, &unreached);
    let shut = roomy(workloads, &workloads.levels.typical, &nothing);
    let call = Call::new(workloads);
    let sizes = [workloads.keys.few, workloads.keys.many];
    let engines = sizes.map(|keys| (plan.build(keys), workloads.order(keys, EDITS), keys));
    let admits = |engine: &Engine, number: usize| {
        matches!(call.admit(engine, Caller::Value(&workloads.value(number))), Answer::Permit(_))
    };

    // Every edit is its own batch, so each is published.
    let publish = |engine: &Engine, edits: &[[Edit; 1]]| {
        let watch = Stopwatch::start();
        for edit in edits {
            engine.apply(edit, now()).expect("an edit");
        }
        watch.elapsed() / edits.len() as f64
    };

    let edit = |(engine, order, _): &(Engine, Vec<usize>, usize)| {
        let mut each = 0.0;
        for (plan, admitted) in [(&shut, false), (&plan, true)] {
            let edits: Vec<[Edit; 1]> = order.iter().map(|number| [plan.key(engine, *number)]).collect();
            each += publish(engine, &edits) / 2.0;
            assert!(order.iter().all(|number| admits(engine, *number) == admitted));
        }
        each
    };
    let create = |(engine, order, keys): &(Engine, Vec<usize>, usize)| {
        let numbers = *keys..keys + order.len();
        let new: Vec<[Edit; 1]> = numbers.clone().map(|number| [plan.key(engine, number)]).collect();
        let each = publish(engine, &new);
        let gone = numbers.map(|number| {
            assert!(admits(engine, number));
            Edit::Delete { entity: Entity::VirtualKey, id: format!("key{number}").into() }
        });
        engine.apply(&gone.collect::<Vec<_>>(), now()).expect("their end");
        each
    };
    let overridden = sizes.map(|overrides| (overridden(&plan, overrides), overrides));
    let create_override = |(engine, overrides): &(Engine, usize)| {
        let numbers = *overrides..overrides + EDITS;
        let new: Vec<[Edit; 1]> =
            numbers.clone().map(|number| [pricing_override(number, *overrides)]).collect();
        let each = publish(engine, &new);
        let gone = numbers.map(|number| {
            assert!(is_free(engine, workloads, number, *overrides));
            Edit::Delete { entity: Entity::PricingOverride, id: format!("override{number}").into() }
        });
        engine.apply(&gone.collect::<Vec<_>>(), now()).expect("their end");
        assert!(!is_free(engine, workloads, *overrides, *overrides));
        each
    };
    let [few, many] = &engines;
    let [few_overrides, many_overrides] = &overridden;
    let sides: [Side<'_>; 6] = [
        Box::new(|| edit(few)),
        Box::new(|| edit(many)),
        Box::new(|| create(few)),
        Box::new(|| create(many)),
        Box::new(|| create_override(few_overrides)),
        Box::new(|| create_override(many_overrides)),
    ];
    let [edit_few, edit_many, create_few, create_many, override_few, override_many] = in_turn(effort, sides);
    print_ratio("edit_key", edit_many, edit_few);
    print_ratio("create_key", create_many, create_few);
    print_ratio("create_override", override_many, override_few);
}

/// An override that makes a model free: every other one for everybody by the model's name, else for a key by a prefix.
fn pricing_override(number: usize, keys: usize) -> Edit {
    let model = model(number).into();
    let (scope, virtual_key, pattern) = if number.is_multiple_of(2) {
        (Scope::Global, None, Pattern::Exact(model))
    } else {
        (Scope::VirtualKey, Some(format!("key{}", number % keys).into()), Pattern::Prefix(model))
    };
    Edit::PricingOverride(Box::new(OverrideRow {
        id: format!("override{number}").into(),
        created_at: now(),
        scope,
        virtual_key,
        provider: None,
        provider_key: None,
        pattern,
        request_types: vec![RequestType::ChatCompletion],
        effect: Effect::Free,
    }))
}

fn model(number: usize) -> String {
    format!("model-{number}-")
}

/// An engine with this many overrides, and as many keys.
fn overridden(plan: &Plan<'_>, overrides: usize) -> Engine {
    let engine = plan.build(overrides);
    let all: Vec<Edit> = (0..overrides).map(|number| pricing_override(number, overrides)).collect();
    engine.apply(&all, now()).expect("overrides");
    engine
}

/// Whether a call costs nothing: what has no price is denied.
fn is_free(engine: &Engine, workloads: &Workloads, number: usize, keys: usize) -> bool {
    let (call, model) = (Call::priced(workloads, 0), model(number));
    let value = workloads.value(number % keys);
    matches!(call.of(&model).admit(engine, Caller::Value(&value)), Answer::Permit(_))
}
