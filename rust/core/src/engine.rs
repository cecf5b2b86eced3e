//! The engine: one policy, its counters, its permits.

use std::sync::Arc;

use crate::answer::{Grant, Told};
use crate::arena::{Arena, Slot};
use crate::error::{Code, Fault};
use crate::ids::Ids;
use crate::permit::{Handle, Slab, State};
use crate::policy::credentials::{Known, LONGEST_KEY, Seeds};
use crate::policy::current::{Current, Published};
use crate::policy::edit::{Edit, Editor};
use crate::policy::{Kind, Policy, Settings};
use crate::request::{KeyHandle, World};
use crate::routing::health::Health;
use crate::snapshot::Flush;
use crate::stats::Stats;
use crate::sync::{Mutex, lock};
use crate::units::Millis;
use crate::window::Reading;

/// Decisions over one configuration. Any number of threads may call it.
#[derive(Debug)]
pub struct Engine {
    pub(crate) policy: Published,
    pub(crate) arena: Arena,
    pub(crate) permits: Slab,
    pub(crate) ids: Ids,
    pub(crate) seeds: Seeds,
    pub(crate) stats: Stats,
    /// Taken before the editor's lock.
    pub(crate) flush: Mutex<Flush>,
    pub(crate) editor: Mutex<Editor>,
}

/// One configuration, for reading names out of it.
pub struct View(pub(crate) Current);

impl View {
    /// The name of a provider by the number in a grant.
    #[must_use]
    pub fn provider_name(&self, number: u32) -> &Arc<str> {
        &self.0.providers.list[number as usize].name
    }
}

impl Engine {
    /// An engine without any entity. The seeds come from the operating system's randomness.
    #[must_use]
    pub fn new(settings: Settings, seeds: Seeds) -> Engine {
        Engine::booted(settings, seeds, 0)
    }

    /// The engine of a store, with the seeds that were made for it and a `boot` above those of all engines that the store
    /// had before (below 2^24): so that no handle of a permit that was lost with one of them ever names another permit.
    #[must_use]
    pub fn booted(settings: Settings, seeds: Seeds, boot: u32) -> Engine {
        let permits = Slab::new(settings.max_open_permits, boot);
        let policy = Arc::new(Policy { version: 1, settings, ..Policy::default() });
        let mut editor = Editor::default();
        editor.published(&policy);
        Engine {
            policy: Published::new(policy),
            arena: Arena::default(),
            permits,
            ids: Ids::default(),
            seeds,
            stats: Stats::default(),
            flush: Mutex::new(Flush::default()),
            editor: Mutex::new(editor),
        }
    }

    /// Fingerprint of a virtual key's value under this engine's seeds.
    #[must_use]
    pub fn fingerprint(&self, value: &str) -> u128 {
        self.seeds.fingerprint(value.as_bytes())
    }

    /// The configuration as it is now.
    #[must_use]
    pub fn view(&self) -> View {
        View(self.policy.load())
    }

    /// Make a batch of edits and publish them as one new configuration. Every admission that begins afterwards sees it.
    ///
    /// # Errors
    /// `not_found` for a reference to an entity that does not exist, `invalid_request` for weights that cannot be
    /// drawn from. Then nothing has changed.
    pub fn apply(&self, edits: &[Edit], now: Millis) -> Result<(), Fault> {
        let mut flush = lock(&self.flush);
        let mut editor = lock(&self.editor);
        self.arena.recycle(1 + self.permits.length() / LOOKS, || self.is_quiet());
        let due = editor.due(now);
        let unfollowed = if due.is_empty() { None } else { self.unfollowed(due, now) };
        let old = self.policy.load();
        let draft = editor.draft(&self.arena, &old, edits, now)?;
        let (policy, successors) = draft.finish(unfollowed.as_ref());
        self.permits.change_bound(old.settings.max_open_permits, policy.settings.max_open_permits);
        if cfg!(canary = "edit_without_a_seal") {
            for slot in &successors {
                self.arena.get(*slot).copy_for_canary();
            }
        }
        flush.edited(core::mem::take(&mut editor.gone), &successors, self.arena.history.is_kept());
        self.publish(&mut editor, policy, successors);
        Ok(())
    }

    /// Whether [`Engine::apply`] would take these edits, as the configuration is now: asked before a change is written
    /// where it cannot be taken back silently.
    ///
    /// # Errors
    /// Those of `apply`.
    pub fn check(&self, edits: &[Edit]) -> Result<(), Fault> {
        let editor = lock(&self.editor);
        editor.check(&self.policy.load(), edits)
    }

    /// From here on every decision begins with this policy.
    pub(crate) fn publish(&self, editor: &mut Editor, policy: Arc<Policy>, successors: Vec<Slot>) {
        editor.published(&policy);
        self.policy.store(policy);
        // Seal what was succeeded: traffic that still comes with the old policy meets the seal and takes the new one.
        for slot in successors {
            self.arena.get(slot).look();
        }
    }

    /// Whether everything that began on an older policy has ended. Asked under the editor's lock, by which what has no
    /// record and is no reader (an administrator's reset, a snapshot) takes its turn.
    fn is_quiet(&self) -> bool {
        self.policy.has_no_reader() && (cfg!(canary = "records_not_looked_at") || self.permits.are_quiet())
    }

    /// A key by its value, with its id.
    ///
    /// # Errors
    /// `virtual_key_not_found`.
    pub fn handle_of_value(
        &self,
        value: &str,
        now: Millis,
        world: &impl World,
    ) -> Result<(KeyHandle, Arc<str>), Fault> {
        let policy = self.policy.load();
        // In the same policy: in a later one the number may be another key's.
        let key = self.find_value(&policy, value, now, world).and_then(|known| policy.keys.get(known.key));
        key.map(|key| (KeyHandle { number: key.number, serial: key.serial }, key.id.clone()))
            .ok_or_else(|| Fault::new(Code::VirtualKeyNotFound))
    }

    /// A key by its id, with the id.
    ///
    /// # Errors
    /// `virtual_key_not_found`.
    pub fn handle_of_id(&self, id: &str) -> Result<(KeyHandle, Arc<str>), Fault> {
        let policy = self.policy.load();
        let editor = lock(&self.editor);
        editor
            .key(&policy, id)
            .map(|key| (KeyHandle { number: key.number, serial: key.serial }, key.id.clone()))
            .ok_or_else(|| Fault::new(Code::VirtualKeyNotFound))
    }

    /// What a presented value stands for, with its fingerprint.
    #[inline(always)]
    pub(crate) fn find_value(
        &self,
        policy: &Policy,
        value: &str,
        now: Millis,
        world: &impl World,
    ) -> Option<Known> {
        if value.len() > LONGEST_KEY {
            return None;
        }
        let fingerprint = self.seeds.fingerprint(value.as_bytes());
        let known = match policy.credentials.get(fingerprint) {
            Some(known) => *known,
            None if policy.unlearned.is_empty() => return None,
            None => self.learn(policy, value, fingerprint, now, world)?,
        };
        (now < known.until).then_some(known)
    }

    /// The first presentation of a key that is known by its SHA-256 alone.
    #[cold]
    fn learn(
        &self,
        policy: &Policy,
        value: &str,
        fingerprint: u128,
        now: Millis,
        world: &impl World,
    ) -> Option<Known> {
        let sha256 = world.sha256(value.as_bytes());
        let known = *policy.unlearned.get(&sha256)?;
        let mut editor = lock(&self.editor);
        let old = self.policy.load();
        if let Ok(mut draft) = editor.draft(&self.arena, &old, &[], now) {
            draft.learn(&sha256, fingerprint);
            let (policy, _) = draft.finish(None);
            self.publish(&mut editor, policy, Vec::new());
        }
        Some(Known { fingerprint, ..known })
    }

    /// What a limit shows, by the id of its budget or rate limit.
    ///
    /// # Errors
    /// `not_found`.
    pub fn read(&self, limit_id: &str, kind: Kind, now: Millis) -> Result<Reading, Fault> {
        let editor = lock(&self.editor);
        let policy = self.policy.load();
        let limit = editor.find_limit(&policy, limit_id, kind).ok_or_else(|| Fault::new(Code::NotFound))?;
        Ok(self.arena.get(limit.slot).read_as(kind, now))
    }

    /// How a rule fares, since its expression was written.
    ///
    /// # Errors
    /// `not_found`.
    pub fn rule_health(&self, id: &str) -> Result<Health, Fault> {
        let policy = self.policy.load();
        let rule = policy.rules.as_ref().and_then(|rules| rules.get(id));
        rule.map(|rule| rule.health()).ok_or_else(|| Fault::new(Code::NotFound))
    }

    /// Usage to zero in the current window; what is held stays, and is settled as ever. What was used is gone with the reset:
    /// a correction that comes later (of what an expired permit was charged, of a request that is given back) takes
    /// nothing of what others have used since.
    ///
    /// Steps of permits that were taken from this counter wait until it is done: one that came in between would
    /// correct what is no longer there.
    ///
    /// # Errors
    /// `not_found`.
    pub fn reset(&self, limit_id: &str, kind: Kind, now: Millis) -> Result<(), Fault> {
        let editor = lock(&self.editor);
        let policy = self.policy.load();
        let limit = editor.find_limit(&policy, limit_id, kind).ok_or_else(|| Fault::new(Code::NotFound))?;
        let counter = self.arena.get(limit.slot);
        let _permits = self.parted_from(counter, &policy, now);
        match kind {
            Kind::Requests => counter.empty(now),
            _ => counter.reset_used(now),
        }
        Ok(())
    }

    /// Lower the usage of a budget in its current window by a correction, never below zero; a negative one raises it.
    ///
    /// # Errors
    /// `not_found`.
    pub fn credit(&self, limit_id: &str, nano_usd: i64, now: Millis) -> Result<(), Fault> {
        let editor = lock(&self.editor);
        let policy = self.policy.load();
        let limit =
            editor.find_limit(&policy, limit_id, Kind::Budget).ok_or_else(|| Fault::new(Code::NotFound))?;
        let counter = self.arena.get(limit.slot);
        if nano_usd < 0 {
            counter.charge(nano_usd.saturating_neg(), now);
        } else {
            counter.lower_used(nano_usd, now);
        }
        Ok(())
    }

    /// The limits that a permit was taken from, as they are now; of a peek, as they would be after the request.
    #[must_use]
    pub fn limits_of(&self, grant: &Grant, now: Millis) -> Vec<Told> {
        let mut limits = grant.peeked().to_vec();
        if let crate::permit::Found::Held(held) = self.permits.find(grant.handle) {
            held.each(|entry, _| {
                if let Some(counter) = self.arena.find(entry.slot)
                    && let Some(name) = counter.name()
                {
                    limits.push((name, counter.read_as(entry.kind, now)));
                }
            });
        }
        limits
    }

    /// Whether a presented value may act on a permit: it is the one that took it (good for that also when its key is
    /// gone), or any other of the same key.
    #[must_use]
    pub fn may_act(&self, handle: Handle, value: &str, world: &impl World) -> bool {
        if value.len() > LONGEST_KEY || self.permits.state(handle) == State::Free {
            return false;
        }
        let fingerprint = self.seeds.fingerprint(value.as_bytes());
        let [serial, taken_with] = &self.permits.record(handle).credential;
        if taken_with.get() == fingerprint as i64 {
            return true;
        }
        let policy = self.policy.load();
        let known = policy.credentials.get(fingerprint).copied().or_else(|| {
            let unlearned = Some(&policy.unlearned).filter(|unlearned| !unlearned.is_empty())?;
            unlearned.get(&world.sha256(value.as_bytes())).copied()
        });
        let key = known.and_then(|known| policy.keys.get(known.key));
        key.is_some_and(|key| key.serial as i64 == serial.get())
    }

    /// Whether a permit is known.
    #[must_use]
    pub fn knows(&self, handle: Handle) -> bool {
        !matches!(self.permits.state(handle), State::Free | State::Opening)
    }

    /// Counts of what was decided, as Prometheus text.
    #[must_use]
    pub fn metrics(&self) -> String {
        self.stats.render(self.permits.open(), self.arena.len(), self.arena.history.lost())
    }

    /// Open permits.
    #[must_use]
    pub fn open_permits(&self) -> i64 {
        self.permits.open()
    }

    /// What a store has granted of a limit so far: it admits up to the smaller of this and the limit.
    ///
    /// # Errors
    /// `not_found`.
    pub fn set_ceiling(&self, limit_id: &str, kind: Kind, ceiling: i64) -> Result<(), Fault> {
        let editor = lock(&self.editor);
        let policy = self.policy.load();
        let limit = editor.find_limit(&policy, limit_id, kind).ok_or_else(|| Fault::new(Code::NotFound))?;
        self.arena.get(limit.slot).set_ceiling(ceiling);
        Ok(())
    }
}

/// To look at every permit is worth while for one counter that was let go in as many permits.
const LOOKS: usize = 1_024;
