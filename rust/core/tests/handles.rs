//! A handle acts for the key that it was made of, and a value for the permits of its key: for no other, whatever
//! numbers are given out again.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};

use common::{Still, amounts, apply, engine, key, key_row, request, settings};
use limen_core::answer::Answer;
use limen_core::engine::Engine;
use limen_core::error::Code;
use limen_core::permit::Handle;
use limen_core::policy::edit::{CredentialRow, Edit, Entity, NEVER};
use limen_core::request::{Caller, Request, World};
use limen_core::units::Millis;

const NOW: Millis = Millis::new(1);

fn delete(id: &str) -> Edit {
    Edit::Delete { entity: Entity::VirtualKey, id: id.into() }
}

/// A world in which, at the first hash, one key is deleted and another gets its number.
struct Meanwhile<'a> {
    engine: &'a Engine,
    done: AtomicBool,
}

impl World for Meanwhile<'_> {
    fn fine_now(&self) -> Millis {
        NOW
    }

    fn draw(&self) -> u64 {
        0
    }

    fn sha256(&self, text: &[u8]) -> [u8; 32] {
        if !self.done.swap(true, Ordering::Relaxed) {
            apply(self.engine, &[delete("old"), key("new", vec![])], 1);
        }
        Still::at(1).sha256(text)
    }
}

/// A key with these values, each with the instant from which it is no longer good; known by SHA-256 alone or not.
fn valued(engine: &Engine, id: &str, values: &[(&str, Millis)], known: bool) -> Edit {
    let row = |(value, until): &(&str, Millis)| CredentialRow {
        sha256: Still::at(1).sha256(value.as_bytes()),
        fingerprint: known.then(|| engine.fingerprint(value)),
        until: *until,
    };
    let mut key = key_row(id, &["p"], vec![]);
    key.credentials = Some(values.iter().map(row).collect());
    Edit::VirtualKey(Box::new(key))
}

#[test]
fn a_handle_is_never_made_of_the_key_that_got_the_number_meanwhile() {
    let engine = engine(settings(), &[]);
    apply(&engine, &[valued(&engine, "old", &[("v", NEVER)], false)], 0);
    let world = Meanwhile { engine: &engine, done: AtomicBool::new(false) };
    let (handle, id) = engine.handle_of_value("v", NOW, &world).expect("it was known when it was asked for");
    assert_eq!(&*id, "old");
    let answer = engine.admit(&request(handle, "p", "m", amounts(None, None)), NOW, &Still::at(1));
    let Ok(Answer::Denial(denial)) = answer else { panic!("it acts for another key: {answer:?}") };
    assert_eq!(denial.code, Code::VirtualKeyNotFound);
}

#[test]
fn a_handle_ends_with_its_key_also_where_the_same_id_comes_again() {
    let engine = engine(settings(), &[key("k", vec![])]);
    let handle = common::handle(&engine, "k");
    apply(&engine, &[delete("k")], 1);
    apply(&engine, &[key("k", vec![])], 2);
    let answer = engine.admit(&request(handle, "p", "m", amounts(None, None)), NOW, &Still::at(1));
    assert!(matches!(answer, Ok(Answer::Denial(denial)) if denial.code == Code::VirtualKeyNotFound));
}

fn permit(engine: &Engine, caller: Caller<'_>, now: i64) -> Handle {
    let wanted = Request { caller, ..request(common::handle(engine, "k"), "p", "m", amounts(None, None)) };
    common::admit(engine, &wanted, now).expect("it may").handle
}

fn acts(engine: &Engine, permit: Handle, value: &str) -> bool {
    engine.may_act(permit, value, &Still::at(1))
}

#[test]
fn every_value_of_a_key_acts_on_its_permits_and_no_other_does() {
    for known in [true, false] {
        let engine = engine(settings(), &[]);
        let mine = valued(&engine, "k", &[("now", NEVER), ("before", Millis::new(100))], known);
        apply(&engine, &[mine, valued(&engine, "other", &[("theirs", NEVER)], known)], 0);
        let by_handle = permit(&engine, Caller::Handle(common::handle(&engine, "k")), 1);
        for value in ["now", "before"] {
            assert!(acts(&engine, by_handle, value), "by handle, {value}, known: {known}");
        }
        for taken_with in ["now", "before"] {
            let permit = permit(&engine, Caller::Value(taken_with), 1);
            for value in ["now", "before"] {
                assert!(acts(&engine, permit, value), "taken with {taken_with}, {value}, known: {known}");
            }
            for stranger in ["theirs", "nobody's", "", &"x".repeat(10_000)] {
                assert!(!acts(&engine, permit, stranger), "taken with {taken_with}, {stranger:.9}");
            }
        }
        assert!(!acts(&engine, by_handle, "theirs"));
    }
}

#[test]
fn a_rotated_value_acts_on_the_permits_that_its_predecessor_took() {
    let engine = engine(settings(), &[]);
    apply(&engine, &[valued(&engine, "k", &[("before", NEVER)], true)], 0);
    let permit = permit(&engine, Caller::Value("before"), 1);
    apply(&engine, &[valued(&engine, "k", &[("after", NEVER)], true)], 2);
    assert!(acts(&engine, permit, "after"));
    assert!(acts(&engine, permit, "before"), "it is the value that took the permit");
}

#[test]
fn a_value_outlives_its_key_for_the_permits_that_it_took_and_for_no_others() {
    let engine = engine(settings(), &[]);
    let values = [("now", NEVER), ("before", NEVER)];
    apply(&engine, &[valued(&engine, "k", &values, true)], 0);
    let permit = permit(&engine, Caller::Value("before"), 1);
    apply(&engine, &[delete("k"), valued(&engine, "new", &[("theirs", NEVER)], true)], 2);
    assert!(acts(&engine, permit, "before"));
    assert!(!acts(&engine, permit, "theirs"), "the key that got the number has no business with it");
}
