//! Ten million mixed operations on several threads, with edits going on: every nano-dollar is where it belongs.
//!
//! Nothing here ever leaves a window, so at the end every counter must show exactly what the permits of its chain
//! came to: what each was settled for, nothing for what was released, what it held where it was left to expire.

mod common;

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread;

use common::{Still, amounts, customer, key_row, limit, provider, request, splitmix, team, used};
use limen_core::answer::Answer;
use limen_core::engine::Engine;
use limen_core::error::Code;
use limen_core::permit::{Closing, Handle};
use limen_core::policy::edit::{Edit, Entity, LimitRow};
use limen_core::policy::{Kind, Settings, Window};
use limen_core::request::KeyHandle;
use limen_core::units::Millis;

const OPERATIONS: u64 = 10_000_000;
const THREADS: u64 = 3;
const TTL: i64 = 1_000;
const DAY: i64 = 86_400_000;
const START: i64 = 20_000 * DAY;

/// Who is charged: key, team, customer and provider, and for each tokens, requests and money.
const OWNERS: [&str; 5] = ["key 0", "key 1", "team", "customer", "p"];
const KINDS: [Kind; 3] = [Kind::Tokens, Kind::Requests, Kind::Budget];
/// The key without a team, the key in the team, the key that comes and goes.
const CHAINS: [&[usize]; 3] = [&[0, 4], &[1, 2, 3, 4], &[2, 3, 4]];

#[derive(Clone)]
struct Permit {
    handle: Handle,
    chain: usize,
    tokens: i64,
    nano: i64,
    /// Shared with another thread, which may close it as well: its number in the list of outcomes.
    shared: Option<usize>,
}

/// How a permit ended, as far as one thread was told.
#[derive(Clone, Copy)]
enum End {
    Charged(i64, i64),
    Returned {
        request: bool,
    },
    /// Gone before anyone closed it: it has expired, and was charged as held.
    Expired(i64, i64),
}

/// What every chain has come to: tokens, requests, nano-dollars.
type Ledger = [[i64; 3]; 3];

fn book(ledger: &mut Ledger, chain: usize, end: End) {
    let (tokens, requests, nano) = match end {
        End::Charged(tokens, nano) | End::Expired(tokens, nano) => (tokens, 0, nano),
        End::Returned { request } => (0, -i64::from(request), 0),
    };
    for (sum, more) in ledger[chain].iter_mut().zip([tokens, requests, nano]) {
        *sum += more;
    }
}

/// The limits of one owner in one of their shapes. The windows are long, and begin long before the test: what is counted
/// stays.
fn limits(owner: &str, chance: u64) -> Vec<LimitRow> {
    let row = |(place, kind): (usize, &Kind)| {
        let chance = chance >> (8 * place);
        let per = ["5000d", "6000d", "7000d", "8000d"][chance as usize % 4];
        let window = if chance & 4 == 0 { Window::Fixed } else { Window::Sliding };
        // Now and then there is no room at all.
        let most = if chance & 0x78 == 0 { 1 } else { 1 << 45 };
        let row = limit(&format!("{owner} {}", kind.as_str()), *kind, most, per, window);
        LimitRow { anchor: Millis::new(START - 1_000 * DAY), ..row }
    };
    KINDS.iter().enumerate().map(row).collect()
}

fn key(id: &str, in_team: bool, rows: Vec<LimitRow>) -> Edit {
    let mut row = key_row(id, &["p"], rows);
    row.team = in_team.then(|| "team".into());
    Edit::VirtualKey(Box::new(row))
}

fn owner(place: usize, chance: u64) -> Edit {
    let rows = limits(OWNERS[place], chance);
    match place {
        0 => key("key 0", false, rows),
        1 => key("key 1", true, rows),
        2 => team("team", Some("customer"), rows),
        3 => customer("customer", rows),
        _ => provider("p", rows),
    }
}

struct Site {
    engine: Engine,
    now: AtomicI64,
    operations: AtomicU64,
    /// Permits that two threads may close, and what came of them.
    shared: Mutex<Vec<Permit>>,
    ends: Mutex<Vec<(usize, usize, Option<End>)>>,
    next_shared: AtomicU64,
}

impl Site {
    fn now(&self) -> Millis {
        Millis::new(self.now.load(Ordering::Relaxed))
    }

    fn edit(&self, edits: &[Edit]) {
        self.engine.apply(edits, self.now()).expect("a good edit");
    }

    fn admit(&self, key: KeyHandle, chain: usize, chance: u64) -> Option<Permit> {
        let asked = amounts(Some((chance % 50) as i64), Some((chance >> 8) as i64 % 1_000_000));
        let now = self.now();
        let request = request(key, "p", "m", asked);
        match self.engine.admit(&request, now, &Still::at(now.get())).expect("a good request") {
            Answer::Denial(_) => None,
            Answer::Permit(grant) => Some(Permit {
                handle: grant.handle,
                chain,
                tokens: grant.held_tokens,
                nano: grant.held_nano_usd,
                shared: None,
            }),
        }
    }

    /// Tell larger totals; whether the permit is still open.
    fn update(&self, permit: &mut Permit, chance: u64) {
        let (tokens, nano) = (permit.tokens + (chance % 9) as i64, permit.nano + (chance % 9_999) as i64);
        match self.engine.update(permit.handle, &used(tokens, nano), self.now()) {
            Ok(_) => (permit.tokens, permit.nano) = (tokens, nano),
            Err(fault) => {
                assert!(matches!(fault.code, Code::PermitClosed | Code::PermitNotFound), "{fault:?}");
            }
        }
    }

    /// Settle or release; None where another thread has closed it.
    fn close(&self, permit: &Permit, chance: u64) -> Option<End> {
        let (tokens, nano) = ((chance % 70) as i64, (chance >> 8) as i64 % 1_300_000);
        let (done, end) = match chance >> 60 {
            0..=3 => {
                let request = chance & 64 == 0;
                (self.engine.release(permit.handle, request, self.now()), End::Returned { request })
            }
            4 => {
                let settled = self.engine.settle(permit.handle, &Closing::AsHeld, self.now());
                let end = settled.as_ref().map_or(End::Expired(0, 0), |settled| {
                    End::Charged(settled.tokens, settled.cost_nano_usd)
                });
                (settled.map(|_| ()), end)
            }
            _ => {
                let usage = Closing::Used(used(tokens, nano));
                let settled = self.engine.settle(permit.handle, &usage, self.now());
                (settled.map(|_| ()), End::Charged(tokens, nano))
            }
        };
        match done {
            Ok(()) => Some(end),
            Err(fault) if fault.code == Code::PermitNotFound => {
                Some(End::Expired(permit.tokens, permit.nano))
            }
            Err(fault) => {
                let closed = matches!(fault.code, Code::PermitClosed | Code::SettleConflict);
                assert!(closed && permit.shared.is_some(), "{fault:?} of a permit of one's own");
                None
            }
        }
    }

    fn read(&self, chance: u64) {
        let (owner, kind) = (OWNERS[chance as usize % 5], KINDS[(chance >> 8) as usize % 3]);
        let id = format!("{owner} {}", kind.as_str());
        let count = self.engine.read(&id, kind, self.now()).expect("the limit exists");
        assert!(count.used >= 0 && count.held >= 0, "{id}: {count:?}");
    }

    /// One thread's part of the traffic.
    fn work(&self, thread: u64) -> Ledger {
        let keys = ["key 0", "key 1"].map(|id| common::handle(&self.engine, id));
        let mut ledger = Ledger::default();
        let mut open: Vec<Permit> = Vec::new();
        for turn in 0.. {
            let chance = splitmix(turn * THREADS + thread);
            if self.operations.fetch_add(1, Ordering::Relaxed) >= OPERATIONS {
                break;
            }
            if turn % 64 == 0 {
                self.now.fetch_add(1, Ordering::Relaxed);
            }
            match turn % 100_000 {
                10_000 => _ = self.now.fetch_add(TTL / 2 - 3 * TTL, Ordering::Relaxed),
                30_000 => _ = self.now.fetch_add(DAY, Ordering::Relaxed),
                place if place % 5_000 == 77 => self.edit(&[owner((chance >> 40) as usize % 5, chance)]),
                place if place % 1_000 == 13 => self.read(chance),
                place if place % 10_000 == 99 => {
                    let id = format!("comes and goes {thread}");
                    self.edit(&[key(&id, true, Vec::new())]);
                    let key = common::handle(&self.engine, &id);
                    if let Some(permit) = self.admit(key, 2, chance) {
                        ledger[2][1] += 1;
                        open.push(permit);
                    }
                    self.edit(&[Edit::Delete { entity: Entity::VirtualKey, id: id.into() }]);
                }
                place if place % 2_000 == 50 => _ = self.engine.sweep(self.now()),
                _ => match chance >> 50 & 15 {
                    0..=6 => {
                        let chain = (chance >> 20) as usize % 2;
                        let Some(mut permit) = self.admit(keys[chain], chain, chance) else { continue };
                        ledger[chain][1] += 1;
                        if chance >> 30 & 15 == 0 {
                            let number = self.next_shared.fetch_add(1, Ordering::Relaxed);
                            permit.shared = Some(number as usize);
                            let mut shared = self.shared.lock().expect("no panic");
                            shared.extend([permit.clone(), permit]);
                        } else {
                            open.push(permit);
                        }
                    }
                    7 | 8 if !open.is_empty() => {
                        let place = chance as usize % open.len();
                        self.update(&mut open[place], chance >> 10);
                    }
                    9 => {
                        let mut shared = self.shared.lock().expect("no panic");
                        if shared.is_empty() {
                            continue;
                        }
                        let place = chance as usize % shared.len();
                        let permit = shared.swap_remove(place);
                        drop(shared);
                        let end = self.close(&permit, splitmix(chance));
                        let number = permit.shared.expect("it is shared");
                        self.ends.lock().expect("no panic").push((number, permit.chain, end));
                    }
                    // Left to expire.
                    10 if open.len() > 20 => {
                        let permit = open.swap_remove(chance as usize % open.len());
                        book(&mut ledger, permit.chain, End::Expired(permit.tokens, permit.nano));
                    }
                    _ if !open.is_empty() => {
                        let permit = open.swap_remove(chance as usize % open.len());
                        let end = self.close(&permit, splitmix(chance)).expect("nobody else closes it");
                        book(&mut ledger, permit.chain, end);
                    }
                    _ => {}
                },
            }
        }
        for permit in open {
            book(&mut ledger, permit.chain, End::Expired(permit.tokens, permit.nano));
        }
        ledger
    }

    /// Of the permits that two threads had, each was closed once.
    fn book_shared(&self, ledger: &mut Ledger) {
        let left = std::mem::take(&mut *self.shared.lock().expect("no panic"));
        let mut ends = std::mem::take(&mut *self.ends.lock().expect("no panic"));
        for permit in left {
            let end = Some(End::Expired(permit.tokens, permit.nano));
            ends.push((permit.shared.expect("it is shared"), permit.chain, end));
        }
        // Told by two, it is what the one came to who closed it; who came after it was forgotten knows no better.
        ends.sort_by_key(|(number, _, end)| {
            (*number, !matches!(end, Some(End::Charged(..) | End::Returned { .. })))
        });
        ends.dedup_by_key(|(number, ..)| *number);
        for (_, chain, end) in ends {
            book(ledger, chain, end.expect("one of two closed it"));
        }
    }
}

#[test]
fn of_ten_million_operations_every_nano_dollar_is_counted_once() {
    let settings = Settings { permit_ttl_ms: TTL, ..common::settings() };
    let engine = Engine::new(settings, limen_core::policy::credentials::Seeds::new(1, 2));
    let rows: Vec<Edit> = [3, 2, 0, 1, 4].into_iter().map(|place| owner(place, u64::MAX)).collect();
    engine.apply(&rows, Millis::new(START)).expect("a good configuration");
    let site = Site {
        engine,
        now: AtomicI64::new(START),
        operations: AtomicU64::new(0),
        shared: Mutex::default(),
        ends: Mutex::default(),
        next_shared: AtomicU64::new(0),
    };
    let mut ledger = thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn({
                    let site = &site;
                    move || site.work(thread)
                })
            })
            .collect();
        workers.into_iter().fold(Ledger::default(), |mut sum, worker| {
            let part = worker.join().expect("no panic");
            for (sum, more) in sum.iter_mut().flatten().zip(part.iter().flatten()) {
                *sum += more;
            }
            sum
        })
    });
    site.book_shared(&mut ledger);
    site.now.fetch_add(10 * TTL, Ordering::Relaxed);
    // Each looks at a bounded number of permits.
    for _ in 0..10_000 {
        site.engine.sweep(site.now());
    }
    assert_eq!(site.engine.open_permits(), 0, "what nobody closed has expired");
    for (place, owner) in OWNERS.iter().enumerate() {
        for (column, kind) in KINDS.iter().enumerate() {
            let sum = |(chain, members): (usize, &&[usize])| {
                if members.contains(&place) { ledger[chain][column] } else { 0 }
            };
            let expected: i64 = CHAINS.iter().enumerate().map(sum).sum();
            let id = format!("{owner} {}", kind.as_str());
            let count = site.engine.read(&id, *kind, site.now()).expect("the limit exists");
            assert_eq!((count.used, count.held), (expected, 0), "{id}");
            assert!(expected > 0, "{id} was in use");
        }
    }
}
