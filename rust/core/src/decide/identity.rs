//! Who calls: the virtual key of a request, and whether it may be used now.

use std::sync::Arc;

use crate::engine::Engine;
use crate::error::Code;
use crate::policy::edit::NEVER;
use crate::policy::{Key, Policy};
use crate::request::{Caller, Request, World};
use crate::units::Millis;

/// Who was found to be calling.
pub(super) struct Identity<'p> {
    pub(super) key: Option<&'p Arc<Key>>,
    /// The lower half of the fingerprint of the value that was presented; of a key that came by handle, of its first.
    credential: i64,
    /// From this instant on the key, or the value, is not good any more.
    pub(super) until: Millis,
}

impl Identity<'_> {
    /// What a permit keeps of it: see `Engine::may_act`.
    #[inline(always)]
    pub(super) fn credential(&self) -> [i64; 2] {
        [self.key.map_or(0, |key| key.serial as i64), self.credential]
    }
}

impl Engine {
    /// The key that a request comes with.
    #[inline(always)]
    pub(super) fn identify<'p>(
        &self,
        policy: &'p Policy,
        request: &Request<'_>,
        now: Millis,
        world: &impl World,
    ) -> Result<Identity<'p>, Code> {
        let (mut presented, mut until) = (None, NEVER);
        let key = match request.caller {
            Caller::Nobody | Caller::Value("") => {
                return if policy.settings.require_virtual_key {
                    Err(Code::VirtualKeyRequired)
                } else {
                    Ok(Identity { key: None, credential: 0, until })
                };
            }
            Caller::Value(value) => self.find_value(policy, value, now, world).and_then(|known| {
                (presented, until) = (Some(known.fingerprint), known.until);
                policy.keys.get(known.key)
            }),
            Caller::Handle(handle) => {
                policy.keys.get(handle.number).filter(|key| key.serial == handle.serial)
            }
        };
        let key = key.ok_or(Code::VirtualKeyNotFound)?;
        if !key.active || now >= key.expires_at {
            return Err(Code::VirtualKeyBlocked);
        }
        let credential = presented.map_or(key.fingerprint, |presented| presented as i64);
        Ok(Identity { key: Some(key), credential, until: until.min(key.expires_at) })
    }
}
