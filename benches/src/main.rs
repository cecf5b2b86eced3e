//! Admit and settle beside a keyed limiter, in one interleaved run. See the README beside this crate.
#![expect(clippy::print_stdout, reason = "the table is what it is for")]

use std::num::NonZeroU32;
use std::time::Instant;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use limen_core::answer::Answer;
use limen_core::engine::Engine;
use limen_core::period::Duration;
use limen_core::permit::Closing;
use limen_core::policy::credentials::Seeds;
use limen_core::policy::edit::{CredentialRow, Edit, KeyRow, LimitRow, NEVER, ProviderConfigRow};
use limen_core::policy::{Kind, Settings, Window};
use limen_core::request::{Amounts, Asked, Caller, KeyHandle, Request, RequestType, World};
use limen_core::units::{Millis, NanoUsd};
use limen_core::usage::{Usage, Word};

const KEYS: usize = 1_000;
const CALLS: usize = 100_000;
const ROUNDS: usize = 11;

struct Here;

impl World for Here {
    fn fine_now(&self) -> Millis {
        now()
    }

    fn draw(&self) -> u64 {
        0
    }

    fn sha256(&self, _: &[u8]) -> [u8; 32] {
        [0; 32]
    }
}

/// The clock that an engine reads: the kernel's last tick.
fn now() -> Millis {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a whole timespec of ours, and the call writes nothing else.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &raw mut time) };
    Millis::new(time.tv_sec * 1_000 + time.tv_nsec / 1_000_000)
}

fn limits(owner: &str, kinds: &[Kind]) -> Vec<LimitRow> {
    let row = |kind: &Kind| {
        let (per, window) = match kind {
            Kind::Budget => ("1M", Window::Calendar),
            Kind::Tokens | Kind::Requests => ("1m", Window::Fixed),
        };
        LimitRow {
            id: format!("{owner}-{}", kind.as_str()).into(),
            kind: *kind,
            limit: 1 << 60,
            per: Duration::parse(per).expect("a duration"),
            window,
        }
    };
    kinds.iter().map(row).collect()
}

const ALL: &[Kind] = &[Kind::Tokens, Kind::Requests, Kind::Budget];
const RATE: &[Kind] = &[Kind::Tokens, Kind::Requests];
const MONEY: &[Kind] = &[Kind::Budget];

fn engine(full: bool, values: &[String]) -> (Engine, Vec<KeyHandle>) {
    let engine = Engine::new(Settings::default(), Seeds::new(1, 2));
    let shared = if full { ALL } else { MONEY };
    let mut edits = vec![
        Edit::Customer { id: "customer".into(), limits: limits("customer", shared) },
        Edit::Team { id: "team".into(), customer: Some("customer".into()), limits: limits("team", shared) },
        Edit::Provider { name: "openai".into(), limits: limits("provider", if full { ALL } else { RATE }) },
    ];
    for (id, provider) in [("any", None), ("one", Some("openai".into()))] {
        let limits = limits(id, if full { ALL } else { &[] });
        edits.push(Edit::ModelConfig { id: id.into(), model: "gpt-4o".into(), provider, limits });
    }
    for (number, value) in values.iter().enumerate() {
        let config = ProviderConfigRow {
            id: number as i64,
            provider: "openai".into(),
            weight: Some(1.0),
            allowed_models: vec!["*".into()],
            key_ids: None,
            limits: limits(&format!("config{number}"), if full { ALL } else { &[] }),
        };
        let mut sha256 = [0; 32];
        sha256[..8].copy_from_slice(&number.to_le_bytes());
        edits.push(Edit::VirtualKey(Box::new(KeyRow {
            id: format!("key{number}").into(),
            active: true,
            expires_at: NEVER,
            team: Some("team".into()),
            customer: None,
            credentials: Some(vec![CredentialRow {
                sha256,
                fingerprint: Some(engine.fingerprint(value)),
                until: NEVER,
            }]),
            limits: limits(&format!("key{number}"), ALL),
            provider_configs: vec![config],
            mcp_configs: Vec::new(),
        })));
    }
    engine.apply(&edits, now()).expect("a policy");
    let handle = |number| engine.handle_of_id(&format!("key{number}")).expect("a key").0;
    let handles = (0..values.len()).map(handle).collect();
    (engine, handles)
}

fn request(caller: Caller<'_>, asked: Asked) -> Request<'_> {
    Request {
        caller,
        provider: "openai",
        model: Some("gpt-4o"),
        request_type: RequestType::ChatCompletion,
        asked,
        mcp_tool: None,
        fallbacks: None,
        sticky: None,
        id: None,
    }
}

fn admit_and_settle(engine: &Engine, caller: Caller<'_>, asked: Asked) {
    let answer = engine.admit(&request(caller, asked), now(), &Here).expect("a request");
    let Answer::Permit(permit) = answer else { panic!("denied: {answer:?}") };
    let mut usage = Usage::default();
    for (word, value) in [(Word::PromptTokens, 812), (Word::CompletionTokens, 233), (Word::CostUsd, 900)] {
        usage.set(word, value).expect("a value");
    }
    let settled = engine.settle(permit.handle, &Closing::Used(usage), now()).expect("a permit");
    assert_eq!((settled.tokens, settled.cost_nano_usd), (1_045, 900));
}

/// Nanoseconds a call.
fn time(order: &[usize], mut call: impl FnMut(usize)) -> f64 {
    let start = Instant::now();
    for key in order {
        call(*key);
    }
    start.elapsed().as_nanos() as f64 / order.len() as f64
}

fn main() {
    let values: Vec<String> = (0..KEYS).map(|number| format!("sk-bf-{:036}", number * 7_919)).collect();
    let mut state = 1u64;
    let mut next = || {
        // Any generator will do for an order: Knuth's multiplicative one.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % KEYS
    };
    let order: Vec<usize> = (0..CALLS).map(|_| next()).collect();
    let governor: DefaultKeyedRateLimiter<String> = RateLimiter::keyed(Quota::per_second(NonZeroU32::MAX));
    let (typical, typical_handles) = engine(false, &values);
    let (full, full_handles) = engine(true, &values);
    let amounts = Amounts {
        input_tokens: Some(812),
        max_output_tokens: Some(400),
        cost: Some(NanoUsd::new(1_000)),
        ..Amounts::default()
    };
    let asked = Asked::new(&amounts, RequestType::ChatCompletion).expect("amounts");

    let rows = ["typical, string", "typical, handle", "full, string", "full, handle"];
    let targets = [2.4, 1.9, 6.0, 5.5];
    let mut ratios: [Vec<f64>; 4] = Default::default();
    for round in 0..ROUNDS {
        let mut places = [0, 1, 2, 3];
        if round % 2 == 1 {
            places.reverse();
        }
        for place in places {
            let peer = time(&order, |key| assert!(governor.check_key(&values[key]).is_ok()));
            let ours = match place {
                0 => time(&order, |key| admit_and_settle(&typical, Caller::Value(&values[key]), asked)),
                1 => time(&order, |key| {
                    admit_and_settle(&typical, Caller::Handle(typical_handles[key]), asked);
                }),
                2 => time(&order, |key| admit_and_settle(&full, Caller::Value(&values[key]), asked)),
                _ => time(&order, |key| admit_and_settle(&full, Caller::Handle(full_handles[key]), asked)),
            };
            ratios[place].push(ours / peer);
        }
    }
    println!("admit + settle, clock included, against governor's keyed check\n");
    println!("{:<18}{:>8}{:>8}{:>8}", "row", "median", "least", "target");
    for ((row, ratios), target) in rows.iter().zip(&mut ratios).zip(targets) {
        ratios.sort_by(f64::total_cmp);
        let (median, least) = (ratios[ratios.len() / 2], ratios[0]);
        let verdict = if median <= target { "" } else { "  missed" };
        println!("{row:<18}{median:>7.1}x{least:>7.1}x{target:>7.1}x{verdict}");
    }
}
