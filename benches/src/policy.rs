//! Engines under the workloads' policies, and the pair of calls that most rows are about.

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

use crate::workloads::{Counted, Levels, Workloads};

pub(crate) struct Here;

impl World for Here {
    fn fine_now(&self) -> Millis {
        clock(libc::CLOCK_REALTIME)
    }

    fn draw(&self) -> u64 {
        0
    }

    fn sha256(&self, _: &[u8]) -> [u8; 32] {
        [0; 32]
    }
}

/// The clock that an engine reads: the kernel's last tick.
#[inline]
pub(crate) fn now() -> Millis {
    clock(libc::CLOCK_REALTIME_COARSE)
}

#[inline]
fn clock(id: libc::clockid_t) -> Millis {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a whole timespec of ours, and the call writes nothing else.
    unsafe { libc::clock_gettime(id, &raw mut time) };
    Millis::new(time.tv_sec * 1_000 + time.tv_nsec / 1_000_000)
}

/// How many owners a row has of each sort.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owners {
    /// One team, customer and provider for all keys.
    Shared,
    /// A team for each key, one customer and provider for all.
    OwnTeams,
    /// A team, customer and provider for each key.
    Apart,
}

/// A policy to build.
pub(crate) struct Plan<'a> {
    pub(crate) workloads: &'a Workloads,
    pub(crate) levels: &'a Levels,
    pub(crate) owners: Owners,
    /// Windows that do not roll while the bench runs, instead of the usual ones.
    pub(crate) still: bool,
    /// What a limit admits, by its kind and whether many keys share it.
    pub(crate) limit: &'a dyn Fn(Kind, bool) -> i64,
}

impl Plan<'_> {
    fn limits(&self, owner: &str, counters: &[Counted], shared: bool) -> Vec<LimitRow> {
        let row = |counted: &Counted| {
            let kind = counted.kind();
            let per = &self.workloads.per;
            let (per, window) = match kind {
                _ if self.still => (&per.still, Window::Fixed),
                Kind::Budget => (&per.budget, Window::Calendar),
                Kind::Tokens | Kind::Requests => (&per.rate, Window::Fixed),
            };
            LimitRow {
                id: format!("{owner}-{}", kind.as_str()).into(),
                number: 0,
                kind,
                limit: (self.limit)(kind, shared),
                per: Duration::parse(per).expect("a duration"),
                window,
                anchor: Millis::new(0),
                since: Millis::new(0),
            }
        };
        counters.iter().map(row).collect()
    }

    /// The name of an owner above key `number`.
    pub(crate) fn name(&self, owner: &str, number: usize) -> String {
        let own = match self.owners {
            Owners::Shared => false,
            Owners::OwnTeams => owner == "team",
            Owners::Apart => true,
        };
        let name = if owner == "provider" { self.workloads.provider.as_str() } else { owner };
        if own { format!("{name}{number}") } else { name.to_owned() }
    }

    /// The owners above key `number`, as edits.
    fn above(&self, number: usize) -> Vec<Edit> {
        let [customer, team, provider] =
            ["customer", "team", "provider"].map(|owner| self.name(owner, number));
        let mut edits = vec![
            Edit::Customer {
                limits: self.limits(&customer, &self.levels.customer, true),
                id: customer.clone().into(),
                name: customer.clone().into(),
            },
            Edit::Team {
                limits: self.limits(&team, &self.levels.team, true),
                id: team.clone().into(),
                name: team.into(),
                customer: Some(customer.into()),
            },
            Edit::Provider {
                limits: self.limits(&provider, &self.levels.provider, true),
                name: provider.clone().into(),
            },
        ];
        for (id, on, counters) in [
            ("model", None, &self.levels.model),
            ("model_provider", Some(provider.into()), &self.levels.model_provider),
        ] {
            if !counters.is_empty() {
                let limits = self.limits(id, counters, true);
                let model = self.workloads.model.as_str().into();
                edits.push(Edit::ModelConfig { id: id.into(), model, provider: on, limits });
            }
        }
        edits
    }

    /// Key `number` with all that it owns.
    pub(crate) fn key(&self, engine: &Engine, number: usize) -> Edit {
        let mut sha256 = [0; 32];
        sha256[..8].copy_from_slice(&number.to_le_bytes());
        let id = format!("key{number}");
        Edit::VirtualKey(Box::new(KeyRow {
            name: id.as_str().into(),
            number: number as u64 + 1,
            active: true,
            expires_at: NEVER,
            team: Some(self.name("team", number).into()),
            customer: None,
            credentials: Some(vec![CredentialRow {
                sha256,
                fingerprint: Some(engine.fingerprint(&self.workloads.value(number))),
                until: NEVER,
            }]),
            limits: self.limits(&id, &self.levels.virtual_key, false),
            provider_configs: vec![ProviderConfigRow {
                id: number as i64,
                provider: self.name("provider", number).into(),
                weight: Some(1.0),
                allowed_models: vec!["*".into()],
                key_ids: None,
                limits: self.limits(&format!("config{number}"), &self.levels.provider_config, false),
            }],
            mcp_configs: Vec::new(),
            id: id.into(),
        }))
    }

    /// An engine with this many keys.
    pub(crate) fn build(&self, keys: usize) -> Engine {
        let engine = Engine::new(Settings::default(), Seeds::new(1, 2));
        let owners = if self.owners == Owners::Shared { 1 } else { keys };
        let above: Vec<Edit> = (0..owners).flat_map(|number| self.above(number)).collect();
        engine.apply(&above, now()).expect("owners");
        let numbers: Vec<usize> = (0..keys).collect();
        for numbers in numbers.chunks(10_000) {
            let edits: Vec<Edit> = numbers.iter().map(|number| self.key(&engine, *number)).collect();
            engine.apply(&edits, now()).expect("keys");
        }
        engine
    }
}

/// A plan whose limits are never reached, under windows of the usual lengths.
pub(crate) fn roomy<'a>(
    workloads: &'a Workloads,
    levels: &'a Levels,
    limit: &'a dyn Fn(Kind, bool) -> i64,
) -> Plan<'a> {
    Plan { workloads, levels, owners: Owners::Shared, still: false, limit }
}

/// Handles of the first keys.
pub(crate) fn handles(engine: &Engine, keys: usize) -> Vec<KeyHandle> {
    (0..keys).map(|number| engine.handle_of_id(&format!("key{number}")).expect("a key").0).collect()
}

/// The call that is admitted and settled over and over.
#[derive(Clone)]
pub(crate) struct Call<'a> {
    provider: &'a str,
    model: &'a str,
    asked: Asked,
    used: [(Word, i64); 3],
    settled: (i64, i64),
}

impl<'a> Call<'a> {
    pub(crate) fn new(workloads: &'a Workloads) -> Call<'a> {
        let (asked, used) = (&workloads.asked, &workloads.used);
        let amounts = Amounts {
            input_tokens: Some(asked.input_tokens),
            max_output_tokens: Some(asked.max_output_tokens),
            cost: Some(NanoUsd::new(asked.cost_nano_usd)),
            ..Amounts::default()
        };
        Call {
            provider: &workloads.provider,
            model: &workloads.model,
            asked: Asked::new(&amounts, RequestType::ChatCompletion).expect("amounts"),
            used: [
                (Word::PromptTokens, used.prompt_tokens),
                (Word::CompletionTokens, used.completion_tokens),
                (Word::CostUsd, used.cost_nano_usd),
            ],
            settled: (used.prompt_tokens + used.completion_tokens, used.cost_nano_usd),
        }
    }

    /// The call without a word of what it costs: that comes of prices, and is so much.
    pub(crate) fn priced(workloads: &'a Workloads, cost_nano_usd: i64) -> Call<'a> {
        let call = Call::new(workloads);
        let amounts = Amounts {
            input_tokens: Some(workloads.asked.input_tokens),
            max_output_tokens: Some(workloads.asked.max_output_tokens),
            ..Amounts::default()
        };
        let [prompt, completion, _] = call.used;
        Call {
            asked: Asked::new(&amounts, RequestType::ChatCompletion).expect("amounts"),
            used: [prompt, completion, (Word::CachedReadTokens, 0)],
            settled: (call.settled.0, cost_nano_usd),
            ..call
        }
    }

    /// The same call of another model.
    pub(crate) fn of(&self, model: &'a str) -> Call<'a> {
        Call { model, ..self.clone() }
    }

    /// The same call on another provider.
    pub(crate) fn on(&self, provider: &'a str) -> Call<'a> {
        Call { provider, ..self.clone() }
    }

    #[inline]
    pub(crate) fn admit(&self, engine: &Engine, caller: Caller<'_>) -> Answer {
        let request = Request {
            caller,
            provider: self.provider,
            model: Some(self.model),
            request_type: RequestType::ChatCompletion,
            asked: self.asked.clone(),
            mcp_tool: None,
            headers: &[],
            params: &[],
            fallbacks: None,
            sticky: None,
            id: None,
        };
        engine.admit(&request, now(), &Here).expect("a request")
    }

    /// Admit, and settle with what was used; the answer of both is looked at.
    #[inline]
    pub(crate) fn pair(&self, engine: &Engine, caller: Caller<'_>) {
        let answer = self.admit(engine, caller);
        let Answer::Permit(permit) = answer else { panic!("denied: {answer:?}") };
        let mut usage = Usage::default();
        for (word, value) in self.used {
            usage.set(word, value).expect("a value");
        }
        let settled = engine.settle(permit.handle, &Closing::Used(usage), now()).expect("a permit");
        assert_eq!((settled.tokens, settled.cost_nano_usd), self.settled);
    }
}
