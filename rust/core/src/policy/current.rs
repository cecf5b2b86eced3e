//! The policy in force: published whole, and kept by each thread that used it.
//!
//! A decision needs the policy for as long as it takes, and taking and giving back a share of it costs two locked
//! steps on a line that every thread writes. So each thread keeps the policy that it used last, and goes on with it
//! while the version is still the published one.
//!
//! A thread that went idle may keep an old policy for long, with counters in it that an edit has let go. So nobody may
//! conclude from "no old policy is left" that no decision is under way on one. Instead: who takes from counters holds
//! a permit's record while it does, and looks at the version after it has the record ([`Published::is`]). An editor
//! publishes first and looks at the records afterwards. Of the two looks at least one sees the other's word: a decision
//! on the old policy gives up, or the editor finds its record and waits. What is rare and has no record (a refusal's
//! numbers, a peek, the first meeting with a successor) counts itself as a [`Reader`], which is looked at likewise.

use core::cell::Cell;
use core::ops::Deref;
use std::sync::Arc;

use super::Policy;
use crate::sync::{AtomicU64, Ordering, Swap, checked_fence, next_number};

thread_local! {
    static LAST: Cell<Option<(u64, Arc<Policy>)>> = const { Cell::new(None) };
}

/// The policy of one engine.
#[derive(Debug)]
pub(crate) struct Published {
    engine: u64,
    version: AtomicU64,
    readers: AtomicU64,
    policy: Swap<Policy>,
}

/// Who touches counters without having a permit's record.
#[derive(Debug)]
pub(crate) struct Reader<'a>(&'a AtomicU64);

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A policy while it is used.
#[derive(Debug)]
pub(crate) struct Current {
    engine: u64,
    /// None only while it is dropped.
    policy: Option<Arc<Policy>>,
}

impl Published {
    pub(crate) fn new(policy: Arc<Policy>) -> Published {
        let version = AtomicU64::new(policy.version);
        let readers = AtomicU64::new(0);
        Published { engine: next_number(), version, readers, policy: Swap::new(policy) }
    }

    /// The newest policy.
    #[inline(always)]
    pub(crate) fn load(&self) -> Current {
        let version = self.version.load(Ordering::SeqCst);
        let policy = match LAST.try_with(Cell::take).ok().flatten() {
            // A checker's threads share the real thread's value, and shall meet the published one.
            Some((engine, policy))
                if engine == self.engine && policy.version == version && cfg!(not(any(loom, shuttle))) =>
            {
                policy
            }
            _ => self.fetch(),
        };
        Current { engine: self.engine, policy: Some(policy) }
    }

    #[cold]
    fn fetch(&self) -> Arc<Policy> {
        self.policy.load()
    }

    /// From here until it is dropped no counter is given out anew that the policy loaded next, or one that [`is`] still
    /// in force, names.
    ///
    /// [`is`]: Published::is
    pub(crate) fn reader(&self) -> Reader<'_> {
        self.readers.fetch_add(1, Ordering::SeqCst);
        checked_fence();
        Reader(&self.readers)
    }

    /// Whether there is no reader at this moment.
    pub(crate) fn has_no_reader(&self) -> bool {
        checked_fence();
        self.readers.load(Ordering::SeqCst) == 0
    }

    /// Every decision that begins after this returned is made on the new policy.
    pub(crate) fn store(&self, policy: Arc<Policy>) {
        let version = policy.version;
        self.policy.store(policy);
        // SeqCst: partner of the load in `is`.
        self.version.store(version, Ordering::SeqCst);
        checked_fence();
    }

    /// Whether a policy is still in force. To be asked after the caller has a permit's record in hand.
    #[inline(always)]
    pub(crate) fn is(&self, version: u64) -> bool {
        checked_fence();
        // SeqCst: partner of the store above. The exchange that took the record comes before it in the one order of
        // all such steps, the editor's look at the records after that store.
        // A policy may be met before its version is: then it is newer, and nobody waits for the editor to say so.
        cfg!(canary = "version_not_looked_at") || self.version.load(Ordering::SeqCst) <= version
    }
}

impl Current {
    /// Give it up, and do not keep it: the next one that this thread loads is the newest. It may be met before its
    /// version is, and whoever went on with the old one until the editor has told that would wait for the editor.
    pub(crate) fn give_up(mut self) {
        self.policy = None;
    }
}

impl Deref for Current {
    type Target = Policy;

    #[inline(always)]
    fn deref(&self) -> &Policy {
        match &self.policy {
            Some(policy) => policy,
            None => unreachable!("a policy is there until it is dropped"),
        }
    }
}

impl Drop for Current {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(policy) = self.policy.take() {
            // Where the thread is ending there is nothing to keep it in.
            let _ = LAST.try_with(|last| last.set(Some((self.engine, policy))));
        }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn who_gave_up_an_outdated_policy_meets_the_next_before_its_version_is_told() {
        let policy = |version| Arc::new(Policy { version, ..Policy::default() });
        let published = Published::new(policy(1));
        drop(published.load());
        // Where an editor is between the two steps of `store`.
        published.policy.store(policy(2));
        let kept = published.load();
        assert_eq!(kept.version, 1);
        kept.give_up();
        assert_eq!(published.load().version, 2);
    }
}
