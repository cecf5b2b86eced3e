//! Random policies and random traffic, for whoever plays it.

use limen_core::policy::{Settings, UnknownPrice, Window};
use limen_core::units::NanoUsd;
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use proptest::sample::select;

use super::{ConfigSpec, KeySpec, LimitSpec, Op, OwnerSpec, Start};
use crate::model::counter::Shape;
use crate::model::permits::Said;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const ALLOWED: &[&[&str]] = &[&["*"], &["*"], &["m"], &["n", "x/m"], &[]];
const MODELS: [&str; 3] = ["m", "n", "x/m"];

fn rolling(windows: &'static [Window]) -> impl Strategy<Value = Shape> {
    let lengths = select(&[(1, 's'), (7, 's'), (1, 'm'), (90, 's'), (1, 'h')][..]);
    (lengths, select(windows)).prop_map(|((count, unit), window)| Shape { count, unit, window })
}

fn calendar() -> impl Strategy<Value = Shape> {
    let lengths = select(&[(1, 'd'), (2, 'w'), (1, 'M'), (3, 'M'), (1, 'Y')][..]);
    let windows = select(&[Window::Calendar, Window::Calendar, Window::Fixed][..]);
    (lengths, windows).prop_map(|((count, unit), window)| Shape { count, unit, window })
}

fn limits() -> impl Strategy<Value = OwnerSpec> {
    const BOTH: &[Window] = &[Window::Fixed, Window::Sliding];
    let limit = |numbers: &'static [i64]| {
        prop::option::of((select(numbers), rolling(BOTH)).prop_map(|(limit, shape)| match shape.window {
            Window::Sliding => LimitSpec { limit: limit.min((1 << 46) - 2), shape },
            _ => LimitSpec { limit, shape },
        }))
    };
    let budget = (
        select(&[0, 1, 5, 20, 40, 40, 1_000_000, i64::MAX][..]),
        prop_oneof![rolling(&[Window::Fixed]), calendar()],
    );
    let budgets = prop::collection::vec(budget.prop_map(|(limit, shape)| LimitSpec { limit, shape }), 0..=2);
    let some = (
        limit(&[0, 2, 5, 30, 30, 100, 100, 1_000, 1_000, i64::MAX]),
        limit(&[0, 1, 1, 2, 2, 3, 3, 5, 8, i64::MAX]),
        budgets,
    )
        .prop_map(|(tokens, requests, budgets)| OwnerSpec { tokens, requests, budgets });
    prop_oneof![2 => Just(OwnerSpec::default()), 1 => some]
}

fn key() -> impl Strategy<Value = KeySpec> {
    let weights = select(&[None, Some(0.0), Some(1.0), Some(1.0), Some(2.5), Some(2.5)][..]);
    let models = select(ALLOWED);
    let config = (0..3usize, weights, models, limits())
        .prop_map(|(provider, weight, models, limits)| ConfigSpec { provider, weight, models, limits });
    let belongs = (prop::option::of(0..2usize), prop::option::of(0..2usize));
    (prop::bool::weighted(0.95), belongs, limits(), prop::collection::vec(config, 0..=4)).prop_map(
        |(active, (team, customer), limits, configs)| KeySpec { active, team, customer, limits, configs },
    )
}

/// Up to `usual`, and sometimes so much that a counter overflows by it, or by a second one of it.
fn much(usual: i64) -> impl Strategy<Value = i64> {
    let most = NanoUsd::MAX_STATED.get();
    prop_oneof![15 => 0..usual, 1 => select(vec![most / 2, most - 3, most, 1 << 45, (1 << 46) - 1])]
}

fn said() -> impl Strategy<Value = Said> {
    let nano = prop::option::of(much(30));
    prop_oneof![
        (much(90), nano).prop_map(|(tokens, nano)| Said { tokens: Some(tokens), nano }),
        much(30).prop_map(|nano| Said { tokens: None, nano: Some(nano) }),
    ]
}

pub fn op() -> impl Strategy<Value = Op> {
    let amounts = prop_oneof![
        3 => (0..60i64, prop::option::of(0..200i64)).prop_map(|(input, most)| (Some(input), most, None)),
        1 => much(60).prop_map(|tokens| (None, None, Some(tokens))),
    ];
    let id = prop_oneof![3 => Just(None), 1 => (0..2u8).prop_map(Some)];
    let ask =
        (0..9usize, 0..5usize, select(&MODELS[..]), any::<bool>(), amounts, prop::option::of(much(20)), id)
            .prop_flat_map(|(key, provider, model, text, amounts, nano, id)| {
                any::<bool>().prop_map(move |peek| Op::Ask {
                    key,
                    provider,
                    model,
                    text,
                    amounts,
                    nano,
                    id,
                    peek,
                })
            });
    let steps = select(&[1, 999, 1_000, 4_999, 5_000, 59_999, 60_000, HOUR, DAY, 31 * DAY][..]);
    let back = select(&[1, 1_000, 30_000, 60_000, HOUR, DAY][..]);
    let which = any::<prop::sample::Index>;
    prop_oneof![
        10 => ask,
        4 => (which(), prop::option::weighted(0.8, said())).prop_map(|(permit, said)| Op::Settle { permit, said }),
        2 => (which(), said()).prop_map(|(permit, said)| Op::Update { permit, said }),
        2 => (which(), any::<bool>()).prop_map(|(permit, request)| Op::Release { permit, request }),
        3 => steps.prop_map(Op::Advance),
        2 => (which(), 0..=1i64).prop_map(|(which, early)| Op::AdvanceToReset { which, early }),
        1 => back.prop_map(Op::SetBack),
        2 => (0..9usize, limits()).prop_map(|(owner, limits)| Op::EditLimits { owner, limits }),
        1 => (0..3usize, key()).prop_map(|(key, spec)| Op::EditKey { key, spec }),
        1 => (0..3usize).prop_map(Op::DeleteKey),
        1 => (0..3usize).prop_map(Op::DeleteModelConfig),
        1 => which().prop_map(Op::Reset),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    let prices =
        [UnknownPrice::DenyUnderBudget, UnknownPrice::CountZero, UnknownPrice::CountZero, UnknownPrice::Deny];
    let estimates =
        (select(&[0, 1, 20, 1_024][..]), select(&[0, 100_000_000, 250_000_000, 1_000_000_000][..]));
    let flags = (any::<bool>(), prop::bool::weighted(0.3), any::<bool>());
    (estimates, flags, select(prices.to_vec()), select(&[5_000, 600_000][..])).prop_map(
        |((output, share), (required, fit_deny, give_back), unknown_price, ttl)| Settings {
            require_virtual_key: required,
            estimate_output_tokens: output,
            estimate_share_ppb: share,
            fit_deny,
            unknown_price,
            permit_ttl_ms: ttl,
            give_back_on_expiry: give_back,
            ..Settings::default()
        },
    )
}

pub fn start() -> impl Strategy<Value = Start> {
    let owners = prop::collection::vec(limits(), 9);
    (settings(), owners, prop::collection::vec(key(), 1..=3), 0..DAY).prop_map(
        |(settings, owners, keys, offset)| Start { settings, owners, keys, now: 1_704_067_200_000 + offset },
    )
}
