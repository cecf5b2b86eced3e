//! Random policies and random traffic: the engine answers what the model answers, call by call. And what was flushed goes
//! on after a crash: as the model does that was copied at the flush, without what permits held that nobody had written.
//!
//! `PROPTEST_CASES=100000 cargo test -p limen-core --test oracle` tries many more than the continuous check does.
//! What fails is kept beside this file and tried first ever after.

mod common;
mod model;
mod twin;

use model::permits::Said;
use proptest::prelude::{Just, ProptestConfig, Strategy, prop, prop_oneof, proptest};
use proptest::test_runner::FileFailurePersistence;
use twin::rules::op_with_rules;
use twin::traffic::{op, start};
use twin::{Op, Twin};

/// Numbers that no counter overflows by: a counter that was full of what nobody had written down stays full.
fn modest(op: Op) -> Op {
    let less = |number: Option<i64>| number.map(|number| number % 100);
    let said = |said: Said| Said { tokens: less(said.tokens), nano: less(said.nano) };
    match op {
        Op::Ask { key, provider, model, text, amounts: (input, most, both), nano, id, peek } => {
            let (amounts, nano) = ((less(input), less(most), less(both)), less(nano));
            Op::Ask { key, provider, model, text, amounts, nano, id, peek }
        }
        Op::Settle { permit, said: what } => Op::Settle { permit, said: what.map(said) },
        Op::Update { permit, said: what } => Op::Update { permit, said: said(what) },
        op => op,
    }
}

/// The configuration is durable at once, usage is not: see the rows below.
fn is_edit(op: &Op) -> bool {
    matches!(
        op,
        Op::EditLimits { .. }
            | Op::EditKey { .. }
            | Op::DeleteKey(_)
            | Op::DeleteModelConfig(_)
            | Op::EditRule { .. }
    )
}

fn ops_with_crashes() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![12 => op().prop_map(modest), 4 => Just(Op::Flush), 2 => Just(Op::Crash)];
    prop::collection::vec(op, 1..80)
}

fn config() -> ProptestConfig {
    let given = std::env::var_os("PROPTEST_CASES").is_some();
    let usual = ProptestConfig::default();
    ProptestConfig {
        cases: if given { usual.cases } else { 20_000 },
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..usual
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_engine_answers_what_the_model_answers(start in start(), ops in prop::collection::vec(op(), 1..60)) {
        let mut twin = Twin::new(start);
        for op in ops {
            twin.play(op);
        }
    }

    #[test]
    fn rules_bind_as_the_model_says(start in start(), ops in prop::collection::vec(op_with_rules(), 1..60)) {
        let mut twin = Twin::new(start);
        for op in ops {
            twin.play(op);
        }
    }

    #[test]
    fn what_was_flushed_goes_on_after_a_crash(start in start(), ops in ops_with_crashes()) {
        let mut twin = Twin::new(start);
        twin.play(Op::Flush);
        for op in ops {
            let edit = is_edit(&op);
            twin.play(op);
            if edit {
                twin.play(Op::Flush);
            }
        }
    }
}
