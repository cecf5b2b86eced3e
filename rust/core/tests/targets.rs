//! Where a request may go: which text names a provider, and which others are offered beside the one that was chosen.

mod common;

use common::{Still, amounts, engine, handle, key, key_row, request, settings};
use limen_core::answer::{Answer, Fallbacks, Grant, ModelText};
use limen_core::engine::Engine;
use limen_core::policy::edit::{Edit, KeyRow, ProviderConfigRow};
use limen_core::request::{Amounts, Asked, Request, RequestType};
use limen_core::units::Millis;
use limen_core::usage::{Usage, Word};

fn grant(engine: &Engine, request: &Request<'_>) -> Grant {
    match engine.admit(request, Millis::new(1), &Still::at(1)).expect("a good request") {
        Answer::Permit(grant) => grant,
        Answer::Denial(denial) => panic!("refused: {denial:?}"),
    }
}

fn offered(engine: &Engine, request: &Request<'_>) -> Vec<String> {
    let Fallbacks::Others(others) = grant(engine, request).fallbacks else { panic!("not our own choice") };
    others.iter().map(|number| engine.view().provider_name(*number).to_string()).collect()
}

fn provider_key(provider: &str, enabled: bool, models: &[&str], batch: bool) -> Edit {
    Edit::ProviderKey {
        provider: provider.into(),
        id: format!("key of {provider}").into(),
        weight: Some(1.0),
        enabled,
        models: models.iter().map(|model| (*model).into()).collect(),
        batch,
    }
}

/// A key whose heavy provider is drawn, as the others weigh nothing and stand by.
fn standing_by(others: &[&str]) -> KeyRow {
    let names: Vec<&str> = ["chosen"].iter().chain(others).copied().collect();
    let mut row = key_row("k", &names, vec![]);
    for config in &mut row.provider_configs[1..] {
        config.weight = Some(0.0);
    }
    row
}

#[test]
fn a_provider_that_is_closed_to_the_key_is_not_offered_as_a_fallback() {
    let mut row = standing_by(&["open", "empty", "disabled", "foreign", "other"]);
    row.provider_configs[2].key_ids = Some(vec![]);
    row.provider_configs[5].key_ids = Some(vec!["nobody's".into()]);
    let edits = [
        Edit::VirtualKey(Box::new(row)),
        provider_key("open", true, &["*"], false),
        provider_key("disabled", false, &["*"], true),
        provider_key("foreign", true, &["another"], true),
        provider_key("other", true, &["*"], true),
    ];
    let engine = engine(settings(), &edits);
    let wanted = request(handle(&engine, "k"), "", "m", amounts(Some(1), None));
    assert_eq!(offered(&engine, &wanted), ["open"]);
}

#[test]
fn a_batch_call_is_offered_only_providers_with_a_key_for_batches() {
    let edits = [
        Edit::VirtualKey(Box::new(standing_by(&["yes", "no", "unregistered"]))),
        provider_key("yes", true, &["*"], true),
        provider_key("no", true, &["*"], false),
    ];
    let engine = engine(settings(), &edits);
    let mut usage = Usage::default();
    usage.set(Word::Batch, 1).expect("a flag");
    usage.set(Word::PromptTokens, 1).expect("a count");
    let expected = Amounts { usage: Some(usage), ..Amounts::default() };
    let batch = Asked::new(&expected, RequestType::Embedding).expect("good amounts");
    let key = handle(&engine, "k");
    assert_eq!(offered(&engine, &request(key, "", "m", batch)), ["unregistered", "yes"]);
    let single = amounts(Some(1), None);
    assert_eq!(offered(&engine, &request(key, "", "m", single)), ["no", "unregistered", "yes"]);
}

#[test]
fn one_open_config_of_several_is_enough_for_an_offer() {
    let mut row = standing_by(&["twice", "twice"]);
    row.provider_configs[1].key_ids = Some(vec![]);
    let engine = engine(settings(), &[Edit::VirtualKey(Box::new(row))]);
    let wanted = request(handle(&engine, "k"), "", "m", amounts(Some(1), None));
    assert_eq!(offered(&engine, &wanted), ["twice"]);
}

#[test]
fn a_prefix_without_a_model_behind_it_is_a_model_name_with_a_slash() {
    let engine = engine(settings(), &[key("k", vec![])]);
    let key = handle(&engine, "k");
    let model = |provider, text| grant(&engine, &request(key, provider, text, amounts(None, None))).model;
    for provider in ["", "p"] {
        assert_eq!(model(provider, "p/"), ModelText::Requested(0), "stated: {provider:?}");
        assert_eq!(model(provider, "p/m"), ModelText::Requested(2), "stated: {provider:?}");
        assert_eq!(model(provider, "q/"), ModelText::Requested(0), "stated: {provider:?}");
    }
}

#[test]
fn a_config_may_allow_a_model_name_that_ends_with_a_slash_and_then_allows_it_alone() {
    let config = ProviderConfigRow {
        allowed_models: vec!["p/".into()],
        ..key_row("k", &["p"], vec![]).provider_configs[0].clone()
    };
    let row = KeyRow { provider_configs: vec![config], ..key_row("k", &[], vec![]) };
    let engine = engine(settings(), &[Edit::VirtualKey(Box::new(row))]);
    let key = handle(&engine, "k");
    for provider in ["", "p"] {
        let ask = |model| {
            engine.admit(&request(key, provider, model, amounts(None, None)), Millis::new(1), &Still::at(1))
        };
        assert!(matches!(ask("p/"), Ok(Answer::Permit(_))), "stated: {provider:?}");
        assert!(matches!(ask("p/m"), Ok(Answer::Denial(_))), "stated: {provider:?}");
    }
}
