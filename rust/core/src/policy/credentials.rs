//! From a presented virtual key to its number, without keeping or hashing the secret on the way.
//!
//! At rest a key is its SHA-256. In memory it is found by a fingerprint of 128 bits: two passes of a fast hash under
//! two secret seeds of this process. Nobody who does not know the seeds can aim for another key's fingerprint, and no
//! two of a billion keys share one by chance (2^-68). A key that is known by its SHA-256 alone is looked up by that
//! once, at its first presentation, and by its fingerprint ever after.

use std::sync::Arc;

use hashbrown::HashTable;
use rapidhash::v3::{RapidSecrets, rapidhash_v3_inline};

use super::table::Table;
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

const SHARD_LEVELS: u32 = 3;
const SHARDS: u32 = 1 << (4 * SHARD_LEVELS);

/// Fingerprints in shards: an edit copies one of 4,096.
#[derive(Clone, Debug, Default)]
pub(crate) struct Credentials {
    shards: Table<Arc<HashTable<Known>>, SHARD_LEVELS>,
}

#[inline(always)]
fn shard_of(fingerprint: u128) -> u32 {
    (fingerprint >> 64) as u32 % SHARDS
}

impl Credentials {
    #[inline(always)]
    pub(crate) fn get(&self, fingerprint: u128) -> Option<&Known> {
        let shard = self.shards.get(shard_of(fingerprint))?;
        shard.find(fingerprint as u64, |known| known.fingerprint == fingerprint)
    }

    pub(crate) fn insert(&mut self, known: Known) {
        let number = shard_of(known.fingerprint);
        let mut shard = self.shards.get(number).map_or_else(HashTable::new, |shard| (**shard).clone());
        if let Ok(entry) =
            shard.find_entry(known.fingerprint as u64, |other| other.fingerprint == known.fingerprint)
        {
            entry.remove();
        }
        shard.insert_unique(known.fingerprint as u64, known, |other| other.fingerprint as u64);
        self.shards.set(number, Some(Arc::new(shard)));
    }

    pub(crate) fn remove(&mut self, fingerprint: u128) {
        let number = shard_of(fingerprint);
        let Some(shard) = self.shards.get(number) else { return };
        let mut shard = (**shard).clone();
        if let Ok(entry) = shard.find_entry(fingerprint as u64, |known| known.fingerprint == fingerprint) {
            entry.remove();
        }
        self.shards.set(number, (!shard.is_empty()).then(|| Arc::new(shard)));
    }
}
