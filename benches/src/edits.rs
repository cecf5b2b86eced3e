//! Does an edit of one key cost more where there are many? Publication alone: no HTTP, no disk.

use std::cell::Cell;
use std::time::{Duration, Instant};

use limen_core::answer::Answer;
use limen_core::engine::Engine;
use limen_core::policy::Kind;
use limen_core::policy::edit::{Edit, Entity};
use limen_core::request::Caller;

use crate::policy::{Call, Here, now, roomy};
use crate::timing::{Effort, Side, in_turn, print_ratio};
use crate::workloads::Workloads;

/// Edits in one sample.
const EDITS: usize = 200;

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

    let edit = |(engine, order, _): &(Engine, Vec<usize>, usize)| {
        let mut elapsed = Duration::ZERO;
        for number in order {
            for (plan, admitted) in [(&shut, false), (&plan, true)] {
                let edit = [plan.key(engine, *number)];
                let start = Instant::now();
                engine.apply(&edit, now()).expect("an edit");
                elapsed += start.elapsed();
                assert_eq!(admits(engine, *number), admitted);
            }
        }
        elapsed.as_nanos() as f64 / (2 * order.len()) as f64
    };
    let create = |(engine, order, keys): &(Engine, Vec<usize>, usize), next: &Cell<usize>| {
        let mut elapsed = Duration::ZERO;
        for _ in order {
            let number = keys + next.replace(next.get() + 1);
            let edit = [plan.key(engine, number)];
            let start = Instant::now();
            engine.apply(&edit, now()).expect("a new key");
            elapsed += start.elapsed();
            let value = workloads.value(number);
            let (_, id) = engine.handle_of_value(&value, now(), &Here).expect("the new key");
            assert_eq!(*id, *format!("key{number}"));
            let gone = Edit::Delete { entity: Entity::VirtualKey, id: (*id).into() };
            engine.apply(&[gone], now()).expect("its end");
        }
        elapsed.as_nanos() as f64 / order.len() as f64
    };
    let [few, many] = &engines;
    let (new, newer) = (Cell::new(0), Cell::new(0));
    let sides: [Side<'_>; 4] = [
        Box::new(|| edit(few)),
        Box::new(|| edit(many)),
        Box::new(|| create(few, &new)),
        Box::new(|| create(many, &newer)),
    ];
    let [edit_few, edit_many, create_few, create_many] = in_turn(effort, sides);
    print_ratio("edit_key", edit_many, edit_few);
    print_ratio("create_key", create_many, create_few);
}
