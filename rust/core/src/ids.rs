//! Idempotency ids: claimed before anything is taken, so that a request sent twice takes once.
//!
//! An id belongs to a virtual key. It is kept as long as its permit is remembered: the entry names the permit's
//! handle, and a handle whose record has been given to another permit makes the entry void. Void entries are dropped
//! whenever as many ids have come as were left the last time, so that they never outnumber the others for long.

use crate::answer::Grant;
use crate::permit::Handle;
use crate::policy::Map;
use crate::sync::{AtomicU32, Mutex, Ordering, lock};

const SHARDS: usize = 16;

/// A request, by its digest, and the permit it got.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) digest: u64,
    pub(crate) grant: Box<Grant>,
}

/// What is known of an id.
#[derive(Clone, Debug)]
enum Entry {
    /// Its request is being decided.
    Deciding,
    Granted(Known),
}

#[derive(Debug)]
struct Shard {
    entries: Map<u128, Entry>,
    /// How many entries there may be before void ones are dropped.
    full_at: usize,
    /// Permits that got an id since a flush asked.
    fresh: Vec<(Handle, u128)>,
}

#[derive(Debug)]
pub(crate) struct Ids {
    /// Whether there is somebody who asks for those that are fresh.
    kept: AtomicU32,
    shards: [Mutex<Shard>; SHARDS],
}

const LEAST_FULL: usize = 64;

/// How an id was met.
pub(crate) enum Claim {
    /// Nobody has it: it is ours until `settle_claim`.
    Ours,
    Deciding,
    /// A permit has it.
    Taken(Known),
}

impl Default for Ids {
    fn default() -> Ids {
        let shard = |_| Mutex::new(Shard { entries: Map::default(), full_at: LEAST_FULL, fresh: Vec::new() });
        Ids { kept: AtomicU32::new(0), shards: std::array::from_fn(shard) }
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
            Some(Entry::Granted(known)) if remembered(&known.grant) => return Claim::Taken(known.clone()),
            _ => {}
        }
        if shard.entries.len() >= shard.full_at {
            shard.entries.retain(|_, entry| match entry {
                Entry::Deciding => true,
                Entry::Granted(known) => remembered(&known.grant),
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
                if self.kept.load(Ordering::Relaxed) != 0 {
                    shard.fresh.push((grant.handle, id));
                }
                let grant = Box::new(grant.clone());
                shard.entries.insert(id, Entry::Granted(Known { digest, grant }));
            }
            None => {
                shard.entries.remove(&id);
            }
        }
    }

    /// Whether a flush will ask for those that are fresh.
    pub(crate) fn keep(&self, on: bool) {
        self.kept.store(u32::from(on), Ordering::Relaxed);
    }

    /// The permits that got an id since this was last asked.
    pub(crate) fn fresh(&self) -> Vec<(Handle, u128)> {
        self.shards.iter().flat_map(|shard| core::mem::take(&mut lock(shard).fresh)).collect()
    }

    /// What an id answers, where it is this permit's.
    pub(crate) fn known(&self, id: u128, handle: Handle) -> Option<Known> {
        match self.shard(id).entries.get(&id)? {
            Entry::Granted(known) if known.grant.handle == handle => Some(known.clone()),
            _ => None,
        }
    }

    /// An id of before.
    pub(crate) fn put_back(&self, id: u128, known: Known) {
        self.shard(id).entries.insert(id, Entry::Granted(known));
    }
}
