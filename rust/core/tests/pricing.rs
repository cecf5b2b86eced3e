//! Prices: the rows of `tests/vectors/pricing.json`, which the Python tests read as well, and random cards, patches and
//! usage against the oracle.

mod prices;

use limen_core::pricing::{Cell, Component, FIELDS, PricingPatch, RateCard, Rates, cost, most, price};
use limen_core::request::RequestType;
use limen_core::units::{FemtoUsd, NanoUsd};
use limen_core::usage::{Form, Usage, Word, texts};
use proptest::prelude::*;
use proptest::sample::{Index, subsequence};
use serde_json::{Map, Value};

const TYPES: [&str; 12] = [
    "chat_completion",
    "text_completion",
    "responses",
    "embedding",
    "rerank",
    "speech",
    "transcription",
    "image_generation",
    "image_variation",
    "image_edit",
    "video_generation",
    "video_remix",
];

fn femto(text: &str) -> FemtoUsd {
    FemtoUsd::from_decimal(text).expect("a price").0
}

fn cells(field: &str) -> Vec<Cell> {
    Cell::of_field(field).unwrap_or_else(|| panic!("{field} is a field")).collect()
}

fn card<'a>(prices: impl IntoIterator<Item = (&'a str, FemtoUsd)>) -> RateCard {
    let each = |(field, rate)| cells(field).into_iter().map(move |cell| (cell, rate));
    RateCard::new(prices.into_iter().flat_map(each)).expect("few columns")
}

fn patch(prices: &Map<String, Value>) -> PricingPatch {
    let mut patch = PricingPatch::default();
    for (field, rate) in prices {
        patch.set(field, femto(rate.as_str().expect("text"))).expect("a field");
    }
    patch
}

fn usage(words: &Map<String, Value>) -> Usage {
    let mut usage = Usage::default();
    for (name, value) in words {
        let word = Word::from_text(name).expect("a usage word");
        let value = match word.form() {
            Form::Count => value.as_i64().expect("a count"),
            Form::Seconds => {
                let nano = NanoUsd::from_decimal(&value.to_string(), limen_core::units::Rounding::Exact);
                nano.expect("seconds").get() / 1_000
            }
            Form::Flag => i64::from(value.as_bool().expect("a flag")),
            Form::Text => {
                let place = texts(word).iter().position(|text| Some(*text) == value.as_str());
                place.expect("one of the texts") as i64
            }
            Form::Dollars => panic!("{name} is no quantity"),
        };
        usage.set(word, value).expect("not negative");
    }
    usage
}

fn request_type(name: &str) -> RequestType {
    RequestType::from_text(name).expect("a type")
}

#[test]
fn every_row_costs_what_was_worked_out_by_hand() {
    let file: Value =
        serde_json::from_str(include_str!("../../../tests/vectors/pricing.json")).expect("JSON");
    let rows = file["rows"].as_array().expect("rows");
    assert!(rows.len() > 120);
    for row in rows {
        let says = row["says"].as_str().expect("what it says");
        let prices = file["cards"][row["card"].as_str().expect("a card")].as_object().expect("a card");
        let mut card =
            card(prices.iter().map(|(field, rate)| (&**field, femto(rate.as_str().expect("text")))));
        if let Some(fields) = row["patch"].as_object() {
            card = card.patched(&patch(fields)).expect("few columns");
        }
        let usage = usage(row["usage"].as_object().expect("usage"));
        let request_type = request_type(row["type"].as_str().expect("a type"));
        let cost = cost(&card, &usage, request_type);
        assert_eq!(cost.price.exact.to_string(), row["exact"].as_str().expect("text"), "{says}");
        assert_eq!(cost.price.unknown.map(Component::as_str), row["unknown"].as_str(), "{says}");
        assert_eq!(price(&card, &usage, request_type), cost.price, "{says}");
        if let Some(nano) = row["nano"].as_i64() {
            assert_eq!(cost.price.exact.round_up().get(), nano, "{says}");
        }
        if let Some(tier) = row["tier"].as_str() {
            assert_eq!(cost.tier(), tier, "{says}");
        }
    }
}

#[test]
fn every_field_of_a_patch_is_a_cell_of_its_own() {
    let mut seen: Vec<Cell> = FIELDS.iter().flat_map(|field| cells(field)).collect();
    assert_eq!(seen.len(), FIELDS.len() + 2, "a search has three contexts");
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), FIELDS.len() + 2);
    assert_eq!(PricingPatch::default().set("input_cost_per_tokn", FemtoUsd::new(1)).ok(), None);
}

#[test]
fn a_field_has_the_name_of_its_cell() {
    for (field, threshold) in [
        ("input_cost_per_token", -1),
        ("cache_creation_input_token_cost_above_1hr", -1),
        ("cache_creation_input_token_cost_above_1hr_above_200k_tokens", 200_000),
        ("cache_read_input_token_cost_above_272k_tokens_batches", 272_000),
        ("input_cost_per_token_above_512_tokens_flex", 512),
        ("input_cost_per_token_above_0_tokens_priority", 0),
        ("output_cost_per_image_above_512_and_512_pixels", -1),
        ("output_cost_per_image_above_512_and_512_pixels_above_128k_tokens", 128_000),
    ] {
        let [cell] = cells(field)[..] else { panic!("{field}") };
        assert_eq!((cell.to_string().as_str(), cell.threshold), (field, threshold));
    }
    assert_eq!(cells("input_cost_per_token_above_1m_tokens")[0].threshold, 1_000_000);
    for field in [
        "",
        "input_cost_per_token_",
        "input_cost_per_token_ultrafast",
        "input_cost_per_token_batches_above_272k_tokens",
        "input_cost_per_token_above_k_tokens",
        "input_cost_per_token_above_-1k_tokens",
        "input_cost_per_token_above_9999999999999999k_tokens",
        "input_cost_per_token_above_99999999999999999999_tokens",
        "cache_creation_input_token_cost_above_12hr",
        "output_cost_per_image_1K",
        "search_context_cost_per_query.search_context_size_huge",
    ] {
        assert!(Cell::of_field(field).is_none(), "{field}");
    }
}

#[test]
fn a_price_is_read_to_the_femto_dollar_and_rounded_half_to_even_beyond() {
    for (text, femto, rounded) in [
        ("0.0000025", 2_500_000_000, false),
        ("2.5e-6", 2_500_000_000, false),
        ("1e-15", 1, false),
        ("0.0000000000000005", 0, true),
        ("0.0000000000000015", 2, true),
        ("0.0000000000000025", 2, true),
        ("0.00000000000000250000000001", 3, true),
        ("0.0000000000000024999999999", 2, true),
        ("1e-400", 0, true),
        ("-0", 0, false),
        ("9223", 9_223_000_000_000_000_000, false),
        ("9222.9999999999999999", 9_223_000_000_000_000_000, true),
    ] {
        assert_eq!(FemtoUsd::from_decimal(text), Ok((FemtoUsd::new(femto), rounded)), "{text}");
    }
    for text in ["9223.0000000000000001", "9224", "1e400", "-1e-30", "nan", "Infinity", "", "1,5", "0x1"] {
        assert!(FemtoUsd::from_decimal(text).is_err(), "{text}");
    }
    assert_eq!(FemtoUsd::from_f64(2.5e-6), Ok((FemtoUsd::new(2_500_000_000), false)));
    assert_eq!(FemtoUsd::from_f64(0.1 + 0.2), Ok((FemtoUsd::new(300_000_000_000_000), true)));
    assert!(FemtoUsd::from_f64(f64::NAN).is_err() && FemtoUsd::from_f64(f64::INFINITY).is_err());
}

#[test]
fn more_columns_than_a_card_may_have_are_refused() {
    let prices = |columns| {
        (0..columns).map(|size| {
            let [cell] = cells(&format!("input_cost_per_token_above_{size}k_tokens"))[..] else { panic!() };
            (cell, FemtoUsd::new(1))
        })
    };
    assert!(RateCard::new(prices(64)).is_ok());
    assert!(RateCard::new(prices(65)).is_err());
    assert!(RateCard::new(prices(100_000)).is_err());
}

/// A hold: the stated part at its own tier, each token of output at the dearest price that it may have.
#[test]
fn the_most_is_what_is_stated_and_the_dearest_output() {
    let card = card([
        ("input_cost_per_token", femto("0.000003")),
        ("output_cost_per_token", femto("0.000015")),
        ("output_cost_per_reasoning_token", femto("0.00002")),
        ("input_cost_per_token_above_200k_tokens", femto("0.000006")),
    ]);
    let mut usage = Usage::default();
    usage.set(Word::PromptTokens, 200_001).expect("not negative");
    let held = most(&card, &usage, RequestType::ChatCompletion);
    let held_nano = |tokens| held.with_output(tokens).exact.round_up().get();
    assert_eq!(held_nano(0), 1_200_006_000);
    assert_eq!(held_nano(100), 1_202_006_000);
    for (left, fits) in [
        (1_200_005_999, None),
        (1_200_006_000, Some(0)),
        (1_202_005_999, Some(99)),
        (1_202_006_000, Some(100)),
    ] {
        assert_eq!(held.fits(NanoUsd::new(left)), fits);
    }
    // What is stated may be less than money can say, and is not nothing.
    for (word, kind) in [(Word::PromptTokens, "embedding"), (Word::InputSeconds, "transcription")] {
        let tiny = ["input_cost_per_token", "input_cost_per_second"].map(|field| (field, FemtoUsd::new(1)));
        let mut usage = Usage::default();
        usage.set(word, 1).expect("not negative");
        let held = most(&self::card(tiny), &usage, request_type(kind));
        assert_eq!((held.fits(NanoUsd::new(0)), held.fits(NanoUsd::new(1))), (None, Some(i64::MAX)));
    }
    let nothing = most(&RateCard::default(), &Usage::default(), RequestType::ChatCompletion);
    assert_eq!(nothing.with_output(0).unknown, None);
    assert_eq!(nothing.with_output(1).unknown, Some(Component::Output));
    assert_eq!(nothing.fits(NanoUsd::new(0)), Some(i64::MAX));
}

/// Fields that a card of a random test may have: those of the patch, and what base rows have beside them.
fn fields() -> Vec<String> {
    let mut fields: Vec<String> = FIELDS.iter().map(|field| (*field).into()).collect();
    for base in ["input_cost_per_token", "output_cost_per_token", "cache_read_input_token_cost"] {
        for tier in ["", "_above_1k_tokens", "_above_128k_tokens", "_above_272k_tokens"] {
            for suffix in ["", "_batches", "_priority", "_flex"] {
                fields.push(format!("{base}{tier}{suffix}"));
            }
        }
    }
    for field in [
        "cache_creation_input_token_cost_above_1hr",
        "cache_creation_input_token_cost_above_1hr_above_200k_tokens",
        "cache_read_input_audio_token_cost",
        "output_cost_per_reasoning_token",
        "output_cost_per_reasoning_token_flex",
        "input_cost_per_audio_token_above_1k_tokens_batches",
        "output_cost_per_image_token_batches",
        "input_cost_per_query",
        "search_context_cost_per_query.search_context_size_high",
        "output_cost_per_second_above_1k_tokens",
    ] {
        fields.push(field.into());
    }
    fields.sort();
    fields.dedup();
    fields
}

/// From nothing to the dearest, with many that are small, and zero.
fn rate() -> impl Strategy<Value = i64> {
    prop_oneof![
        Just(0),
        1..100i64,
        1_000_000..100_000_000_000i64,
        1..FemtoUsd::MAX.get(),
        Just(FemtoUsd::MAX.get())
    ]
}

fn quantity() -> impl Strategy<Value = i64> {
    prop_oneof![0..20i64, 900..1_100i64, 127_990..300_000i64, 0..1_000_000_000i64]
}

type Priced = Vec<(Index, i64)>;

fn prices(most: usize) -> impl Strategy<Value = Priced> {
    prop::collection::vec((any::<Index>(), rate()), 0..most)
}

const COUNTS: [&str; 23] = [
    "prompt_tokens",
    "completion_tokens",
    "cached_read_tokens",
    "cached_write_tokens",
    "cached_write_1h_tokens",
    "reasoning_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
    "input_image_tokens",
    "output_image_tokens",
    "cached_read_image_tokens",
    "cached_read_audio_tokens",
    "cached_write_audio_tokens",
    "characters",
    "input_seconds",
    "output_seconds",
    "images",
    "input_images",
    "input_pixels",
    "searches",
    "queries",
    "sessions",
    "tokens",
];

/// Texts as (word, text, name in the oracle).
const HOW: [(Word, &str, &str); 12] = [
    (Word::ServiceTier, "priority", "priority"),
    (Word::ServiceTier, "flex", "flex"),
    (Word::ServiceTier, "batch", "batch"),
    (Word::ImageQuality, "low", "quality_low"),
    (Word::ImageQuality, "medium", "quality_medium"),
    (Word::ImageQuality, "high", "quality_high"),
    (Word::ImageQuality, "auto", "quality_auto"),
    (Word::ImageQuality, "premium", "quality_premium"),
    (Word::ImageQuality, "hd", "quality_hd"),
    (Word::ImageQuality, "standard", "quality_standard"),
    (Word::SearchContext, "low", "low"),
    (Word::SearchContext, "high", "high"),
];

proptest! {
    // PROPTEST_CASES asks for more.
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(1_000_000),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_random_call_costs_what_the_oracle_says(
        base in prices(24),
        over in prices(6),
        words in subsequence(&COUNTS[..], 0..10).prop_flat_map(|words| {
            let count = words.len();
            (Just(words), prop::collection::vec(quantity(), count))
        }),
        sides in prop::option::of((0..5_000i64, 0..5_000i64)),
        how in prop::collection::vec(any::<Index>(), 0..3),
        batch in any::<bool>(),
        kind in any::<Index>(),
    ) {
        let all = fields();
        let mut oracle = prices::Prices::new();
        let mut note = |field: &str, rate: i64| {
            for cell in cells(field) {
                oracle.insert(cell.to_string(), i128::from(rate));
            }
        };
        let base: Vec<(&str, i64)> = base.iter().map(|(at, rate)| (&**at.get(&all), *rate)).collect();
        let over: Vec<(&str, i64)> = over.iter().map(|(at, rate)| (*at.get(&FIELDS), *rate)).collect();
        base.iter().for_each(|(field, rate)| note(field, *rate));
        let mut patch = PricingPatch::default();
        for (field, rate) in &over {
            patch.set(field, FemtoUsd::new(*rate)).expect("a field");
        }
        // Of a field that is given twice the last counts, as zero too, which is not applied.
        for field in FIELDS {
            if let Some((_, rate)) = over.iter().rfind(|(given, rate)| *given == field && *rate > 0)
                && over.iter().rfind(|(given, _)| *given == field).is_some_and(|(_, last)| last == rate)
            {
                note(field, *rate);
            }
        }
        let base = card(base.iter().map(|(field, rate)| (*field, FemtoUsd::new(*rate))));
        let (card, over) = (base.patched(&patch).expect("few columns"), patch.card().expect("few columns"));
        let laid_over = Rates { base: Some(&base), over: Some(&over), ..Rates::default() };

        let mut usage = Usage::default();
        let mut told = prices::Usage::new();
        let (words, quantities) = words;
        let mut tell = |word: &'static str, value: i64| {
            usage.set(Word::from_text(word).expect("a word"), value).expect("not negative");
            told.insert(word, value);
        };
        for (word, value) in words.iter().zip(&quantities) {
            // Pixels of a billion large images are more than the oracle's sum holds.
            tell(word, if *word == "images" { value % 1_000 } else { *value });
        }
        if let Some((width, height)) = sides {
            tell("image_width", width);
            tell("image_height", height);
        }
        let mut batch = batch;
        let mut last: Vec<(Word, &str, &str)> = Vec::new();
        for at in how {
            let (word, text, name) = *at.get(&HOW);
            last.retain(|(given, _, _)| *given != word);
            last.push((word, text, name));
        }
        for (word, text, name) in last {
            let place = texts(word).iter().position(|known| *known == text).expect("a text");
            usage.set(word, place as i64).expect("not negative");
            batch |= name == "batch";
            if name != "batch" {
                told.insert(name, 1);
            }
        }
        if batch {
            usage.set(Word::Batch, 1).expect("not negative");
            told.insert("batch", 1);
        }

        let kind = *kind.get(&TYPES);
        let (sum, lacks) = prices::cost(&oracle, &told, kind);
        let found = cost(&card, &usage, request_type(kind));
        let (whole, part) = found.price.exact.parts();
        prop_assert_eq!(whole * 1_000_000 + i128::from(part), sum);
        prop_assert_eq!(found.price.exact.round_up().get() as i128, ((sum + 999_999_999_999) / 1_000_000_000_000).min(i64::MAX.into()));
        prop_assert_eq!(found.price.unknown.map(|component| component.as_str().to_owned()), lacks);
        prop_assert_eq!(price(&card, &usage, request_type(kind)), found.price);
        // An override over a row is the row with the override's prices written into it.
        prop_assert_eq!(&cost(laid_over, &usage, request_type(kind)), &found);
        prop_assert_eq!(
            most(laid_over, &usage, request_type(kind)).with_output(1_000),
            most(&card, &usage, request_type(kind)).with_output(1_000)
        );
        let of_lines: i128 = found.lines.iter().map(|line| {
            let (whole, part) = line.amount().parts();
            whole * 1_000_000 + i128::from(part)
        }).sum();
        prop_assert_eq!(of_lines, sum);
    }
}
