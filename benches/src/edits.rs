//! Does an edit of one key cost more where there are many? Publication alone: no HTTP, no disk.

use limen_core::answer::Answer;
use limen_core::engine::Engine;
use limen_core::policy::Kind;
use limen_core::policy::edit::{Edit, Entity};
use limen_core::request::Caller;

use crate::policy::{Call, now, roomy};
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
    let [few, many] = &engines;
    let sides: [Side<'_>; 4] = [
        Box::new(|| edit(few)),
        Box::new(|| edit(many)),
        Box::new(|| create(few)),
        Box::new(|| create(many)),
    ];
    let [edit_few, edit_many, create_few, create_many] = in_turn(effort, sides);
    print_ratio("edit_key", edit_many, edit_few);
    print_ratio("create_key", create_many, create_few);
}
