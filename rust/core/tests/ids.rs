//! An idempotency id is for one request: the same key, model, provider, type and amounts as given.

mod common;

use common::{engine, handle, key, request, settings};
use limen_core::answer::Answer;
use limen_core::engine::Engine;
use limen_core::error::Code;
use limen_core::request::{Amounts, Asked, Request, RequestType, World};
use limen_core::units::{Millis, NanoUsd};
use limen_core::usage::{Usage, Word};

fn usage(words: &[(Word, i64)]) -> Amounts {
    let mut usage = Usage::default();
    for (word, value) in words {
        usage.set(*word, *value).expect("a good value");
    }
    Amounts { usage: Some(usage), ..Amounts::default() }
}

fn outcome(engine: &Engine, request: &Request<'_>) -> Result<(), Code> {
    match engine.admit(request, Millis::new(1), &common::Still::at(1)) {
        Ok(Answer::Permit(_)) => Ok(()),
        Ok(Answer::Denial(denial)) => panic!("refused: {denial:?}"),
        Err(fault) => Err(fault.code),
    }
}

#[test]
fn other_amounts_under_the_same_id_are_a_conflict_however_they_are_told_apart() {
    let all = Amounts::default;
    let ways: Vec<Amounts> = vec![
        all(),
        Amounts { input_tokens: Some(5), ..all() },
        Amounts { tokens: Some(5), ..all() },
        Amounts { input_tokens: Some(5), max_output_tokens: Some(3), ..all() },
        Amounts { input_tokens: Some(5), cost: Some(NanoUsd::new(3)), ..all() },
        usage(&[(Word::PromptTokens, 5)]),
        usage(&[(Word::Tokens, 5)]),
        usage(&[(Word::PromptTokens, 5), (Word::Batch, 0)]),
        usage(&[(Word::PromptTokens, 5), (Word::ServiceTier, 5)]),
        usage(&[(Word::PromptTokens, 2), (Word::CompletionTokens, 3)]),
        usage(&[(Word::PromptTokens, 3), (Word::CompletionTokens, 2)]),
        usage(&[(Word::Images, 1)]),
        usage(&[(Word::Images, 2)]),
        usage(&[(Word::Images, 1), (Word::ImageQuality, 1)]),
        Amounts { max_output_tokens: Some(1), ..usage(&[(Word::CompletionTokens, 9)]) },
        Amounts { max_output_tokens: Some(2), ..usage(&[(Word::CompletionTokens, 9)]) },
    ];
    for request_type in [RequestType::ChatCompletion, RequestType::Embedding] {
        let engine = engine(settings(), &[key("k", vec![])]);
        let key = handle(&engine, "k");
        let asked: Vec<Asked> =
            ways.iter().map(|way| Asked::new(way, request_type).expect("good amounts")).collect();
        for (first, amounts) in asked.iter().enumerate() {
            let id = format!("id {first}");
            let with = |asked| Request { id: Some(&id), request_type, ..request(key, "p", "m", asked) };
            assert_eq!(outcome(&engine, &with(amounts.clone())), Ok(()));
            for (second, other) in asked.iter().enumerate() {
                let expected = if first == second { Ok(()) } else { Err(Code::IdConflict) };
                assert_eq!(
                    outcome(&engine, &with(other.clone())),
                    expected,
                    "{request_type:?} {first} {second}"
                );
            }
        }
    }
}

#[test]
fn another_model_provider_type_tool_or_fallback_under_the_same_id_is_a_conflict() {
    let engine = engine(settings(), &[key("k", vec![])]);
    let amounts = common::amounts(Some(1), None);
    let first = Request { id: Some("i"), ..request(handle(&engine, "k"), "p", "m", amounts) };
    assert_eq!(outcome(&engine, &first), Ok(()));
    assert_eq!(outcome(&engine, &first.clone()), Ok(()));
    for other in [
        Request { model: Some("n"), ..first.clone() },
        Request { model: Some("p/m"), ..first.clone() },
        Request { provider: "", model: Some("p/m"), ..first.clone() },
        Request { request_type: RequestType::Rerank, ..first.clone() },
        Request { fallbacks: Some(&[]), ..first.clone() },
        Request { fallbacks: Some(&["q/m"]), ..first.clone() },
    ] {
        assert_eq!(outcome(&engine, &other), Err(Code::IdConflict), "{other:?}");
    }
}

#[test]
fn an_id_of_128_bytes_is_the_longest() {
    let engine = engine(settings(), &[key("k", vec![])]);
    let ask = |id: &str| {
        let amounts = common::amounts(Some(1), None);
        outcome(&engine, &Request { id: Some(id), ..request(handle(&engine, "k"), "p", "m", amounts) })
    };
    assert_eq!(ask(&"x".repeat(128)), Ok(()));
    assert_eq!(ask(&"x".repeat(129)), Err(Code::InvalidRequest));
    assert_eq!(ask(&"é".repeat(65)), Err(Code::InvalidRequest));
}

/// A world in which, while a request is being decided, the same request comes once more.
struct Again<'a> {
    engine: &'a Engine,
    request: &'a Request<'a>,
    told: std::cell::Cell<Option<Code>>,
}

impl World for Again<'_> {
    fn fine_now(&self) -> Millis {
        self.told.set(outcome(self.engine, self.request).err());
        Millis::new(1)
    }

    fn draw(&self) -> u64 {
        0
    }

    fn sha256(&self, _: &[u8]) -> [u8; 32] {
        [0; 32]
    }
}

#[test]
fn while_the_first_is_being_decided_the_second_is_told_so_and_a_refusal_frees_the_id() {
    let engine = engine(settings(), &[key("k", vec![common::money("b", 5, "1d")])]);
    let amounts = common::amounts(Some(0), Some(6));
    let request = Request { id: Some("i"), ..request(handle(&engine, "k"), "p", "m", amounts) };
    for _ in 0..2 {
        let world = Again { engine: &engine, request: &request, told: std::cell::Cell::new(None) };
        let answer = engine.admit(&request, Millis::new(1), &world);
        assert!(matches!(answer, Ok(Answer::Denial(_))));
        assert_eq!(world.told.get(), Some(Code::IdInProgress));
    }
    assert_eq!(common::budget(&engine, "b", 1), (0, 0));
}
