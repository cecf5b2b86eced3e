//! What a stream has used so far, told in words that may come alone.

mod common;

use common::{budget, engine, handle, key, limit, money, reading, request, settings};
use limen_core::policy::{Kind, Window};
use limen_core::units::Millis;
use limen_core::usage::{Usage, Word};

fn words(given: &[(Word, i64)]) -> Usage {
    let mut usage = Usage::default();
    for (word, value) in given {
        usage.set(*word, *value).expect("a good value");
    }
    usage
}

#[test]
fn an_update_that_tells_the_cost_alone_leaves_the_tokens_as_they_were_told() {
    let limits = vec![limit("t", Kind::Tokens, 1_000, "1h", Window::Fixed), money("b", 1_000, "1h")];
    let engine = engine(settings(), &[key("k", limits)]);
    let wanted = request(handle(&engine, "k"), "p", "m", common::amounts(Some(5), Some(5)));
    let permit = common::admit(&engine, &wanted, 1).expect("room").handle;
    let update = |usage: &Usage| engine.update(permit, usage, Millis::new(2)).map(|over| over.len());
    assert_eq!(update(&words(&[(Word::PromptTokens, 7), (Word::CompletionTokens, 3)])).ok(), Some(0));
    assert_eq!(update(&words(&[(Word::CostUsd, 40)])).ok(), Some(0));
    assert_eq!(update(&words(&[(Word::Images, 1)])).ok(), Some(0));
    assert_eq!(reading(&engine, "t", Kind::Tokens, 2).held, 10);
    assert_eq!(budget(&engine, "b", 2), (0, 40));
    let fallen = update(&words(&[(Word::PromptTokens, 9)])).expect_err("a total that falls");
    assert_eq!(fallen.param.as_deref(), Some("prompt_tokens"));
}
