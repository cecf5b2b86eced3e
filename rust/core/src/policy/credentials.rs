//! From a presented virtual key to its number, without keeping or hashing the secret on the way.
//!
//! At rest a key is its SHA-256. In memory it is found by a fingerprint of 128 bits: two passes of a fast hash under
//! two secret seeds of this process. Nobody who does not know the seeds can aim for another key's fingerprint, and no
//! two of a billion keys share one by chance (2^-68). A key that is known by its SHA-256 alone is looked up by that
//! once, at its first presentation, and by its fingerprint ever after.

use rapidhash::v3::{RapidSecrets, rapidhash_v3_inline};

use super::hashed::{Entry, Hashed};
use crate::units::Millis;

/// The longest text that can be a virtual key, in bytes.
pub const LONGEST_KEY: usize = 512;

/// Two secrets, made once per engine from the operating system's randomness.
#[derive(Clone)]
pub struct Seeds(RapidSecrets, RapidSecrets);

impl core::fmt::Debug for Seeds {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Seeds(hidden)")
    }
}

impl Seeds {
    /// From two independent random numbers.
    #[must_use]
    pub fn new(first: u64, second: u64) -> Seeds {
        Seeds(RapidSecrets::seed(first), RapidSecrets::seed(second))
    }

    /// The fingerprint of a text under these seeds. Never zero.
    #[inline(always)]
    #[must_use]
    pub fn fingerprint(&self, text: &[u8]) -> u128 {
        let high = rapidhash_v3_inline::<true, false, true>(text, &self.0);
        let low = rapidhash_v3_inline::<true, false, true>(text, &self.1);
        (u128::from(high) << 64 | u128::from(low)).max(1)
    }
}

/// What a presented text stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) fingerprint: u128,
    pub(crate) key: u32,
    /// Not valid any more from this instant on (a rotated value's grace).
    pub(crate) until: Millis,
}

impl Entry for Known {
    #[inline(always)]
    fn hash(&self) -> u64 {
        self.fingerprint as u64
    }
}

/// What each fingerprint stands for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Credentials(Hashed<Known>);

impl Credentials {
    #[inline(always)]
    pub(crate) fn get(&self, fingerprint: u128) -> Option<&Known> {
        self.0.get(fingerprint as u64, |known| known.fingerprint == fingerprint)
    }

    /// Nothing is copied where it is there already.
    pub(crate) fn insert(&mut self, known: Known) {
        if self.get(known.fingerprint) != Some(&known) {
            self.0.insert(known, |other| other.fingerprint == known.fingerprint);
        }
    }

    pub(crate) fn remove(&mut self, fingerprint: u128) {
        self.0.remove(fingerprint as u64, |known| known.fingerprint == fingerprint);
    }
}

/// A key that is known by its SHA-256 alone.
#[derive(Clone, Debug)]
struct Unlearned {
    sha256: [u8; 32],
    known: Known,
}

impl Entry for Unlearned {
    fn hash(&self) -> u64 {
        first_bytes(&self.sha256)
    }
}

fn first_bytes(sha256: &[u8; 32]) -> u64 {
    sha256.iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte))
}

/// What each SHA-256 stands for that has not been presented yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unpresented(Hashed<Unlearned>);

impl Unpresented {
    pub(crate) fn get(&self, sha256: &[u8; 32]) -> Option<&Known> {
        self.0.get(first_bytes(sha256), |other| other.sha256 == *sha256).map(|found| &found.known)
    }

    /// Nothing is copied where it is there already.
    pub(crate) fn insert(&mut self, sha256: [u8; 32], known: Known) {
        if self.get(&sha256) != Some(&known) {
            self.0.insert(Unlearned { sha256, known }, |other| other.sha256 == sha256);
        }
    }

    pub(crate) fn remove(&mut self, sha256: &[u8; 32]) -> Option<Known> {
        self.0.remove(first_bytes(sha256), |other| other.sha256 == *sha256).map(|found| found.known)
    }

    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
