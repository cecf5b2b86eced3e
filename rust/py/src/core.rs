//! What an engine is on this side of the border: the core's engine with a clock, chance and a secret of its own.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use hmac::{Hmac, KeyInit, Mac};
use limen_core::error::{Code, Fault};
use limen_core::permit::Handle;
use limen_core::policy::credentials::Seeds;
use limen_core::request::World;
use limen_core::units::Millis;
use sha2::{Digest, Sha256};

use crate::clock::Clock;

/// Raised by one in every child of a fork: an engine of another generation belongs to the parent.
static GENERATION: AtomicU64 = AtomicU64::new(0);
/// The generation of an engine that was closed.
const CLOSED: u64 = u64::MAX;
static NEXT_ENGINE: AtomicU64 = AtomicU64::new(1);

/// The child of a fork has no business with its parent's engines.
pub(crate) fn forked() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// Where draws come from.
#[derive(Debug)]
pub(crate) enum Chance {
    /// The thread's own generator.
    Random,
    /// A sequence that can be replayed: the state of a counter that is mixed.
    Seeded(AtomicU64),
}

pub(crate) const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's output function (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
pub(crate) fn mix(state: u64) -> u64 {
    let mut z = state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

pub(crate) struct Core {
    pub(crate) engine: limen_core::engine::Engine,
    pub(crate) clock: Clock,
    pub(crate) number: u64,
    chance: Chance,
    generation: AtomicU64,
    /// Held for reading by who works without the GIL.
    working: RwLock<()>,
    secrets: Secrets,
}

/// The core's world: this engine's clock and chance.
pub(crate) struct Here<'a> {
    core: &'a Core,
    /// A peek draws from a copy and spends nothing.
    copy: Option<Cell<u64>>,
    /// The caller's own instant, where the engine's clock is a manual one.
    now: Option<Millis>,
}

impl World for Here<'_> {
    fn fine_now(&self) -> Millis {
        self.now.unwrap_or_else(|| self.core.clock.fine_now())
    }

    fn draw(&self) -> u64 {
        match (&self.core.chance, &self.copy) {
            (Chance::Random, _) => fastrand::u64(..),
            (Chance::Seeded(state), None) => mix(state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP)),
            (Chance::Seeded(_), Some(copy)) => {
                copy.set(copy.get().wrapping_add(STEP));
                mix(copy.get())
            }
        }
    }

    fn sha256(&self, text: &[u8]) -> [u8; 32] {
        sha256(text)
    }
}

pub(crate) fn sha256(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// Bytes from the operating system's randomness.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Fault> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Fault::invalid("engine", format!("no randomness from the system: {error}")))?;
    Ok(bytes)
}

const PREFIX: &str = "pmt_";
const DIGITS: [u8; 16] = *b"0123456789abcdef";
/// Bytes of a permit's text: the handle, and the first half of its authentication code.
const BYTES: usize = 12 + 16;

/// A permit as text.
pub(crate) struct PermitText([u8; PREFIX.len() + 2 * BYTES]);

impl PermitText {
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// What proves a permit's text, and what texts are hashed with. Two engines of one secret know each other's permits.
pub(crate) struct Secrets {
    texts: Hmac<Sha256>,
    hashes: [u8; 32],
}

impl Secrets {
    /// Two independent ones from one.
    pub(crate) fn of(secret: &[u8; 32]) -> Result<Secrets, Fault> {
        let keyed = |key: &[u8]| {
            <Hmac<Sha256> as KeyInit>::new_from_slice(key)
                .map_err(|_| Fault::invalid("secret", "is no key of an authentication code"))
        };
        let derived = |name: &[u8]| -> Result<[u8; 32], Fault> {
            let mut mac = keyed(secret)?;
            mac.update(name);
            Ok(mac.finalize().into_bytes().into())
        };
        Ok(Secrets { texts: keyed(&derived(b"limen permit texts")?)?, hashes: derived(b"limen hashes")? })
    }

    /// The seeds of fingerprints.
    pub(crate) fn seeds(&self) -> Seeds {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = self.hashes;
        Seeds::new(u64::from_le_bytes([a, b, c, d, e, f, g, h]), u64::from_le_bytes([i, j, k, l, m, n, o, p]))
    }
}

impl Core {
    pub(crate) fn new(
        engine: limen_core::engine::Engine,
        clock: Clock,
        seed: Option<u64>,
        secrets: Secrets,
    ) -> Core {
        Core {
            engine,
            clock,
            number: NEXT_ENGINE.fetch_add(1, Ordering::Relaxed),
            chance: seed.map_or(Chance::Random, |seed| Chance::Seeded(AtomicU64::new(mix(seed)))),
            generation: AtomicU64::new(GENERATION.load(Ordering::Relaxed)),
            working: RwLock::new(()),
            secrets,
        }
    }

    /// Refuse to work in a forked child, and after `close`.
    #[inline(always)]
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let generation = self.generation.load(Ordering::Relaxed);
        if generation == GENERATION.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(Fault::new(if generation == CLOSED { Code::EngineClosed } else { Code::EngineForked }))
    }

    /// Refuse to work in a forked child alone: what was used until `close` is still to be told.
    pub(crate) fn check_fork(&self) -> Result<(), Fault> {
        self.check().or_else(|fault| if fault.code == Code::EngineClosed { Ok(()) } else { Err(fault) })
    }

    /// Work of calls that have let go of the GIL, and with it of the order in which `close` comes.
    pub(crate) fn work<T>(&self, calls: impl FnOnce() -> T) -> Result<T, Fault> {
        let _working = self.working.read().unwrap_or_else(PoisonError::into_inner);
        self.check()?;
        Ok(calls())
    }

    /// Nothing is answered any more. What is under way ends first: it will be told by the last `collect`.
    pub(crate) fn close(&self) {
        self.generation.store(CLOSED, Ordering::Relaxed);
        drop(self.working.write().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn here(&self, take: bool, now: Option<Millis>) -> Here<'_> {
        let copy = match &self.chance {
            Chance::Seeded(state) if !take => Some(Cell::new(state.load(Ordering::Relaxed))),
            _ => None,
        };
        Here { core: self, copy, now }
    }

    fn code(&self, handle: [u8; 12]) -> Hmac<Sha256> {
        let mut mac = self.secrets.texts.clone();
        mac.update(&handle);
        mac
    }

    /// A permit's text: its number and the proof that this engine gave it out.
    pub(crate) fn text_of(&self, handle: Handle) -> PermitText {
        let bytes = handle.to_bytes();
        let code = self.code(bytes).finalize().into_bytes();
        let mut text = [0; PREFIX.len() + 2 * BYTES];
        let (prefix, digits) = text.split_at_mut(PREFIX.len());
        prefix.copy_from_slice(PREFIX.as_bytes());
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes.iter().chain(&code[..16])) {
            pair.copy_from_slice(&[byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]));
        }
        PermitText(text)
    }

    /// The permit that a text names. A text that is no permit of this engine is not found, whatever it is.
    pub(crate) fn permit_of(&self, text: &str) -> Result<Handle, Fault> {
        let not_found = || Fault::new(Code::PermitNotFound);
        let digits = text.strip_prefix(PREFIX).ok_or_else(not_found)?.as_bytes();
        if digits.len() != 2 * BYTES {
            return Err(not_found());
        }
        let mut bytes = [0u8; BYTES];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |digit: u8| match digit {
                b'0'..=b'9' => Ok(digit - b'0'),
                b'a'..=b'f' => Ok(digit - b'a' + 10),
                _ => Err(not_found()),
            };
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        let (handle, code) = bytes.split_at(12);
        let handle: [u8; 12] = handle.try_into().map_err(|_| not_found())?;
        self.code(handle).verify_truncated_left(code).map_err(|_| not_found())?;
        Ok(Handle::from_bytes(handle))
    }
}
