//! What a key takes of the heap that nobody uses: with its limits, their counters, its ids and what finds it.
//!
//! The thread that makes the engine counts alone.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use limen_core::engine::Engine;
use limen_core::period::Duration;
use limen_core::policy::credentials::Seeds;
use limen_core::policy::edit::{CredentialRow, Edit, Entity, KeyRow, LimitRow, NEVER, ProviderConfigRow};
use limen_core::policy::{Kind, Settings, Window};
use limen_core::units::Millis;

thread_local! {
    static TAKEN: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        TAKEN.set(TAKEN.get() + layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        TAKEN.set(TAKEN.get().saturating_sub(layout.size()));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static HEAP: Counting = Counting;

const KEYS: usize = 28_000;
/// Bytes of one, without what the allocator adds to each block.
const MOST: usize = 1_300;

fn key(engine: &Engine, number: usize) -> Edit {
    let id = format!("key{number}");
    let limit = |kind: Kind| LimitRow {
        id: format!("{id}-{}", kind.as_str()).into(),
        number: (number * 3 + kind as usize) as i64,
        kind,
        limit: 1_000_000,
        per: Duration::parse("1m").expect("a duration"),
        window: Window::Fixed,
        anchor: Millis::new(0),
        since: Millis::new(0),
    };
    let mut sha256 = [0; 32];
    sha256[..8].copy_from_slice(&number.to_le_bytes());
    let value = format!("sk-bf-{number:036}");
    Edit::VirtualKey(Box::new(KeyRow {
        name: id.as_str().into(),
        number: number as u64,
        active: true,
        expires_at: NEVER,
        team: None,
        customer: None,
        credentials: Some(vec![CredentialRow {
            sha256,
            fingerprint: Some(engine.fingerprint(&value)),
            until: NEVER,
        }]),
        limits: [Kind::Tokens, Kind::Requests, Kind::Budget].map(limit).into(),
        provider_configs: vec![ProviderConfigRow {
            id: number as i64,
            provider: "openai".into(),
            weight: Some(1.0),
            allowed_models: vec!["*".into()],
            key_ids: None,
            limits: Vec::new(),
        }],
        mcp_configs: Vec::new(),
        id: id.into(),
    }))
}

#[test]
fn a_key_takes_little_and_gives_it_back() {
    let engine = Engine::new(Settings::default(), Seeds::new(1, 2));
    let numbers: Vec<usize> = (0..KEYS).collect();
    let apply = |edit: &dyn Fn(usize) -> Edit| {
        for numbers in numbers.chunks(1_000) {
            let edits: Vec<Edit> = numbers.iter().map(|number| edit(*number)).collect();
            engine.apply(&edits, Millis::new(0)).expect("keys");
        }
        TAKEN.get()
    };
    let before = TAKEN.get();
    let made = apply(&|number| key(&engine, number)) - before;
    assert!(made / KEYS <= MOST, "{} bytes a key", made / KEYS);
    // An edit that says the same again leaves nothing behind; nor does the end of all and another beginning.
    let again = apply(&|number| key(&engine, number)) - before;
    assert!(again <= made + made / 100, "{} bytes a key after an edit", again / KEYS);
    let ended =
        apply(&|number| Edit::Delete { entity: Entity::VirtualKey, id: format!("key{number}").into() });
    assert!(
        ended - before < made / 2,
        "{} bytes a key are left of those that ended",
        (ended - before) / KEYS
    );
    let anew = apply(&|number| key(&engine, number)) - before;
    assert!(anew <= made + made / 10, "{} bytes a key where others were", anew / KEYS);
}
