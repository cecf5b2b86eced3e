//! Which pricing override applies: rows by hand, and random ones against a scan of all.

use std::cmp::Reverse;

use limen_core::pricing::{Effect, Ids, OverrideRow, Overrides, Pattern, Scope};
use limen_core::request::RequestType;
use limen_core::units::Millis;
use proptest::prelude::*;
use proptest::sample::select;

const CHAT: RequestType = RequestType::ChatCompletion;
const TYPES: [RequestType; 3] = [CHAT, RequestType::Embedding, RequestType::ImageVariation];

fn pattern(text: &str) -> Pattern {
    match text.strip_suffix('*') {
        Some(prefix) => Pattern::Prefix(prefix.into()),
        None => Pattern::Exact(text.into()),
    }
}

fn row(id: &str, scope: Scope, ids: &Ids<'_>, text: &str) -> OverrideRow {
    OverrideRow {
        id: id.into(),
        created_at: Millis::new(0),
        scope,
        virtual_key: ids.virtual_key.map(Into::into),
        provider: ids.provider.map(Into::into),
        provider_key: ids.provider_key.map(Into::into),
        pattern: pattern(text),
        request_types: vec![CHAT],
        effect: Effect::Free,
    }
}

const HERE: Ids<'_> = Ids { virtual_key: Some("vk"), provider: Some("openai"), provider_key: Some("pk") };

fn all_scopes() -> Vec<OverrideRow> {
    let id = |scope: Scope| format!("{scope:?}");
    Scope::ALL.iter().map(|scope| row(&id(*scope), *scope, &HERE, "*")).collect()
}

#[test]
fn the_narrowest_scope_wins_whose_ids_the_request_has() {
    let overrides = Overrides::new(all_scopes());
    let wins = |ids: Ids<'_>| overrides.resolve(&ids, "gpt-4o", CHAT).expect("one").scope;
    assert_eq!(wins(HERE), Scope::VirtualKeyProviderKey);
    assert_eq!(wins(Ids { provider_key: None, ..HERE }), Scope::VirtualKeyProvider);
    assert_eq!(wins(Ids { provider_key: None, provider: Some("azure"), ..HERE }), Scope::VirtualKey);
    assert_eq!(wins(Ids { virtual_key: None, ..HERE }), Scope::ProviderKey);
    assert_eq!(wins(Ids { virtual_key: Some("another"), provider_key: None, ..HERE }), Scope::Provider);
    assert_eq!(wins(Ids::default()), Scope::Global);
}

#[test]
fn in_one_scope_the_most_particular_pattern_wins() {
    let patterns = ["*", "gpt-*", "gpt-4o*", "gpt-4o", "gpt-4o-mini*", "gpt-4o-mini-2*", "o1*"];
    let overrides = Overrides::new(patterns.map(|text| row(text, Scope::Global, &HERE, text)).into());
    for (model, wins) in [
        ("gpt-4o", "gpt-4o"),
        ("gpt-4o-", "gpt-4o*"),
        ("gpt-4o-mini", "gpt-4o-mini*"),
        ("gpt-4o-mini-3", "gpt-4o-mini*"),
        ("gpt-4o-mini-2024", "gpt-4o-mini-2*"),
        ("gpt-5", "gpt-*"),
        ("gpt-", "gpt-*"),
        ("gpt", "*"),
        ("GPT-4o", "*"),
        ("", "*"),
        ("zebra", "*"),
    ] {
        assert_eq!(&*overrides.resolve(&HERE, model, CHAT).expect("one").id, wins, "{model}");
    }
}

#[test]
fn of_the_same_the_earlier_wins_then_the_lower_id() {
    let mut rows: Vec<OverrideRow> = ["c", "b", "a"].map(|id| row(id, Scope::Global, &HERE, "gpt-*")).into();
    let wins = |rows: &[OverrideRow]| {
        Overrides::new(rows.to_vec()).resolve(&HERE, "gpt-4o", CHAT).expect("one").id.to_string()
    };
    assert_eq!(wins(&rows), "a");
    rows[1].created_at = Millis::new(-1);
    assert_eq!(wins(&rows), "b");
}

#[test]
fn an_override_for_other_types_is_skipped_and_the_search_goes_on() {
    let mut rows = all_scopes();
    rows[0].request_types = vec![RequestType::ImageGeneration];
    let overrides = Overrides::new(rows);
    assert_eq!(overrides.resolve(&HERE, "gpt-4o", CHAT).expect("one").scope, Scope::VirtualKeyProvider);
    let images = overrides.resolve(&HERE, "gpt-image-1", RequestType::ImageGeneration);
    assert_eq!(images.expect("one").scope, Scope::VirtualKeyProviderKey);
    assert!(overrides.resolve(&HERE, "gpt-image-1", RequestType::ImageVariation).is_none());
}

/// The one that applies, by looking at every row.
fn scan<'a>(
    rows: &'a [OverrideRow],
    ids: &Ids<'_>,
    model: &str,
    kind: RequestType,
) -> Option<&'a OverrideRow> {
    let same = |asked: &Option<Box<str>>, given: Option<&str>| given.is_some() && asked.as_deref() == given;
    let holds = |row: &OverrideRow| match row.scope {
        Scope::VirtualKeyProviderKey => {
            same(&row.virtual_key, ids.virtual_key) && same(&row.provider_key, ids.provider_key)
        }
        Scope::VirtualKeyProvider => {
            same(&row.virtual_key, ids.virtual_key) && same(&row.provider, ids.provider)
        }
        Scope::VirtualKey => same(&row.virtual_key, ids.virtual_key),
        Scope::ProviderKey => same(&row.provider_key, ids.provider_key),
        Scope::Provider => same(&row.provider, ids.provider),
        Scope::Global => true,
    };
    let matches = |row: &OverrideRow| match &row.pattern {
        Pattern::Exact(name) => **name == *model,
        Pattern::Prefix(prefix) => model.starts_with(&**prefix),
    };
    let length = |row: &OverrideRow| match &row.pattern {
        Pattern::Exact(_) => usize::MAX,
        Pattern::Prefix(prefix) => prefix.len(),
    };
    rows.iter()
        .filter(|row| holds(row) && matches(row) && row.is_for(kind))
        .min_by_key(|row| (row.scope, Reverse(length(row)), row.created_at, row.id.clone()))
}

/// Names of few letters, so that one begins another more often than not; one of more than a byte.
fn name() -> impl Strategy<Value = String> {
    "[abé]{0,5}"
}

fn id() -> impl Strategy<Value = Option<&'static str>> {
    prop::option::weighted(0.8, select(&["1", "2"][..]))
}

fn random_row() -> impl Strategy<Value = OverrideRow> {
    let holders = (select(&Scope::ALL[..]), id(), id(), id());
    let types = prop::sample::subsequence(&TYPES[..], 1..=3);
    (holders, name(), any::<bool>(), -1..2i64, "[a-z]{4}", types).prop_map(
        |((scope, virtual_key, provider, provider_key), name, exact, created, id, types)| OverrideRow {
            created_at: Millis::new(created),
            pattern: if exact { Pattern::Exact(name.into()) } else { Pattern::Prefix(name.into()) },
            request_types: types,
            ..row(&id, scope, &Ids { virtual_key, provider, provider_key }, "")
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(10_000),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_index_finds_what_a_scan_finds(
        mut rows in prop::collection::vec(random_row(), 0..40),
        asks in prop::collection::vec((id(), id(), id(), name(), select(&TYPES[..])), 1..20),
    ) {
        // Ids are unique: rows of the same id could not be told apart.
        rows.sort_by(|one, other| one.id.cmp(&other.id));
        rows.dedup_by(|one, other| one.id == other.id);
        let overrides = Overrides::new(rows.clone());
        for (virtual_key, provider, provider_key, model, kind) in asks {
            let ids = Ids { virtual_key, provider, provider_key };
            let found = overrides.resolve(&ids, &model, kind).map(|row| &row.id);
            prop_assert_eq!(found, scan(&rows, &ids, &model, kind).map(|row| &row.id));
        }
    }
}
