//! Idempotency ids: claimed before anything is taken, so that a request sent twice takes once.
//!
//! An id belongs to a virtual key. It is kept as long as its permit is remembered: the entry names the permit's
//! handle, and a handle whose record has been given to another permit makes the entry void. Void entries are dropped
//! whenever as many ids have come as were left the last time, so that they never outnumber the others for long.

use crate::answer::Grant;
use crate::policy::Map;
use crate::sync::{Mutex, lock};

const SHARDS: usize = 16;

/// What is known of an id.
#[derive(Clone, Debug)]
enum Entry {
    /// Its request is being decided.
    Deciding,
    /// Its request, by digest, and the permit it got.
    Granted { digest: u64, grant: Box<Grant> },
}

#[derive(Debug)]
struct Shard {
    entries: Map<u128, Entry>,
    /// How many entries there may be before void ones are dropped.
    full_at: usize,
}

#[derive(Debug)]
pub(crate) struct Ids {
    shards: [Mutex<Shard>; SHARDS],
}

const LEAST_FULL: usize = 64;

/// How an id was met.
pub(crate) enum Claim {
    /// Nobody has it: it is ours until `settle_claim`.
    Ours,
    Deciding,
    /// A permit has it.
    Taken {
        digest: u64,
        grant: Box<Grant>,
    },
}

impl Default for Ids {
    fn default() -> Ids {
        let shard = |_| Mutex::new(Shard { entries: Map::default(), full_at: LEAST_FULL });
        Ids { shards: std::array::from_fn(shard) }
    }
}

impl Ids {
    fn shard(&self, id: u128) -> impl core::ops::DerefMut<Target = Shard> + '_ {
        lock(&self.shards[id as usize % SHARDS])
    }

    /// Claim an id. `remembered` tells whether the permit of an entry is still known.
    pub(crate) fn claim(&self, id: u128, remembered: impl Fn(&Grant) -> bool) -> Claim {
        let mut shard = self.shard(id);
        match shard.entries.get(&id) {
            Some(Entry::Deciding) => return Claim::Deciding,
            Some(Entry::Granted { digest, grant }) if remembered(grant) => {
                return Claim::Taken { digest: *digest, grant: grant.clone() };
            }
            _ => {}
        }
        if shard.entries.len() >= shard.full_at {
            shard.entries.retain(|_, entry| match entry {
                Entry::Deciding => true,
                Entry::Granted { grant, .. } => remembered(grant),
            });
            shard.full_at = LEAST_FULL.max(2 * shard.entries.len());
        }
        shard.entries.insert(id, Entry::Deciding);
        Claim::Ours
    }

    /// End a claim of ours: with the permit that it got, or with nothing.
    pub(crate) fn settle_claim(&self, id: u128, granted: Option<(u64, &Grant)>) {
        let mut shard = self.shard(id);
        match granted {
            Some((digest, grant)) => {
                shard.entries.insert(id, Entry::Granted { digest, grant: Box::new(grant.clone()) });
            }
            None => {
                shard.entries.remove(&id);
            }
        }
    }
}
