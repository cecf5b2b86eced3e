//! Virtual keys, with all that they own and all that proves them.

use std::num::NonZero;
use std::sync::Arc;

use super::check::draw_among;
use super::{CredentialRow, Draft, Holder, KeyRow};
use crate::policy::credentials::Known;
use crate::policy::{Credential, Key, KeyChoice, Level, Limits, Map, McpConfig, Models, ProviderConfig};

impl Draft<'_> {
    pub(super) fn key(&mut self, row: &KeyRow) {
        let old = self.editor.key(&self.policy, &row.id).cloned();
        let (id, number, serial) = match &old {
            Some(old) => (old.id.clone(), old.number, old.serial),
            None => {
                let id: Arc<str> = Arc::from(&*row.id);
                let number = self.editor.free_keys.pop().unwrap_or_else(|| {
                    self.editor.next_key += 1;
                    self.editor.next_key - 1
                });
                self.editor.keys.insert(&id, number);
                (id, number, row.number)
            }
        };
        let holder = Holder::Key(number);
        let none = Limits::default();
        let limits = self.limits(
            Level::VirtualKey,
            &id,
            holder,
            old.as_ref().map_or(&none, |old| &old.limits),
            &row.limits,
        );
        let mut configs = Vec::with_capacity(row.provider_configs.len());
        for wanted in &row.provider_configs {
            let before = old.as_ref().and_then(|old| old.configs.iter().find(|old| old.id == wanted.id));
            let owner: Arc<str> = match before.and_then(|before| before.limits.0.first()) {
                Some(limit) => limit.name.owner_id.clone(),
                None => Arc::from(wanted.id.to_string()),
            };
            let limits = self.limits(
                Level::ProviderConfig,
                &owner,
                holder,
                before.map_or(&none, |before| &before.limits),
                &wanted.limits,
            );
            configs.push(ProviderConfig {
                id: wanted.id,
                provider: self.name_provider(&wanted.provider),
                weight: wanted.weight,
                models: Models::new(wanted.allowed_models.clone()),
                keys: match &wanted.key_ids {
                    None => KeyChoice::Every,
                    Some(ids) => KeyChoice::These(ids.clone().into_boxed_slice()),
                },
                limits,
            });
        }
        if let Some(old) = &old {
            for before in &old.configs {
                if !row.provider_configs.iter().any(|wanted| wanted.id == before.id) {
                    self.retire_all(holder, &before.limits);
                }
                self.unname_provider(before.provider);
            }
        }
        let credentials = self.credentials(number, old.as_deref(), row.credentials.as_deref());
        let find = |map: &Map<Arc<str>, u32>, id: &Option<Box<str>>| {
            id.as_ref().and_then(|id| map.get(&**id).copied())
        };
        // Weights were checked with the whole batch.
        let sampler = draw_among(configs.iter().map(|config| config.weight)).ok().flatten().map(Box::new);
        let key = Key {
            number,
            serial,
            id,
            name: row.name.clone(),
            active: row.active,
            expires_at: row.expires_at,
            team: find(&self.editor.teams, &row.team),
            customer: find(&self.editor.customers, &row.customer),
            limits,
            configs: configs.into_boxed_slice(),
            sampler,
            mcp: row
                .mcp_configs
                .iter()
                .map(|(client, tools)| McpConfig {
                    client: client.clone(),
                    tools: Models::new(tools.clone()),
                })
                .collect(),
            fingerprint: Key::fingerprint_of(&credentials),
            credentials,
        };
        self.policy.keys.set(number, Some(Arc::new(key)));
    }

    pub(super) fn credentials(
        &mut self,
        key: u32,
        old: Option<&Key>,
        rows: Option<&[CredentialRow]>,
    ) -> Box<[Credential]> {
        let before = old.map_or(&[][..], |old| &old.credentials);
        let Some(rows) = rows else { return before.into() };
        let credential = |row: &CredentialRow| {
            let learned = before.iter().find(|old| old.sha256 == row.sha256);
            let stated = row.fingerprint.and_then(NonZero::new);
            let fingerprint = stated.or_else(|| learned.and_then(|old| old.fingerprint));
            Credential { sha256: row.sha256, fingerprint }
        };
        let credentials: Box<[Credential]> = rows.iter().map(credential).collect();
        for gone in before.iter().filter(|old| !credentials.contains(old)) {
            self.forget_credential(gone);
        }
        for (Credential { sha256, fingerprint }, row) in credentials.iter().zip(rows) {
            let known = Known { fingerprint: fingerprint.map_or(0, NonZero::get), key, until: row.until };
            match fingerprint {
                Some(_) => self.policy.credentials.insert(known),
                None => self.policy.unlearned.insert(*sha256, known),
            }
        }
        credentials
    }

    pub(super) fn forget_credential(&mut self, credential: &Credential) {
        match credential.fingerprint {
            Some(fingerprint) => self.policy.credentials.remove(fingerprint.get()),
            None => {
                self.policy.unlearned.remove(&credential.sha256);
            }
        }
    }

    /// The value of a key that was known by its SHA-256 alone has been presented: find it by fingerprint from now on.
    pub(crate) fn learn(&mut self, sha256: &[u8; 32], fingerprint: u128) {
        let Some(known) = self.policy.unlearned.remove(sha256) else { return };
        self.policy.credentials.insert(Known { fingerprint, ..known });
        if let Some(key) = self.policy.keys.get(known.key) {
            let mut key = (**key).clone();
            for credential in &mut key.credentials {
                if credential.sha256 == *sha256 {
                    credential.fingerprint = NonZero::new(fingerprint);
                }
            }
            key.fingerprint = Key::fingerprint_of(&key.credentials);
            self.policy.keys.set(known.key, Some(Arc::new(key)));
        }
    }
}
