//! Providers and their keys. A provider is known as long as any row names it; its number is never another's.

use std::sync::Arc;

use super::{Draft, Holder, LimitRow};
use crate::policy::{Level, Limits, Provider, ProviderKey};

impl Draft<'_> {
    /// The number of a provider, new or old.
    pub(crate) fn provider_number(&mut self, name: &str) -> u32 {
        match self.policy.providers.by_name.get(name) {
            Some(number) => *number,
            None => {
                let providers = Arc::make_mut(&mut self.policy.providers);
                let number = providers.list.len() as u32;
                let name: Arc<str> = Arc::from(name);
                providers.by_name.insert(name.clone(), number);
                providers.list.push(Arc::new(Provider {
                    name,
                    limits: Limits::default(),
                    keys: Box::default(),
                    named: false,
                }));
                self.editor.naming.push((0, false));
                number
            }
        }
    }

    /// The number of a provider, with one more row that names it.
    pub(super) fn name_provider(&mut self, name: &str) -> u32 {
        let number = self.provider_number(name);
        self.editor.naming[number as usize].0 += 1;
        self.show_provider(number);
        number
    }

    pub(super) fn unname_provider(&mut self, number: u32) {
        self.editor.naming[number as usize].0 -= 1;
        self.show_provider(number);
    }

    /// Let the policy say whether a provider is named anywhere, where that has changed.
    pub(super) fn show_provider(&mut self, number: u32) {
        let named = self.editor.naming[number as usize].0 > 0;
        if self.policy.providers.list[number as usize].named != named {
            self.change_provider(number, |provider| provider.named = named);
        }
    }

    pub(super) fn change_provider(&mut self, number: u32, change: impl FnOnce(&mut Provider)) {
        let providers = Arc::make_mut(&mut self.policy.providers);
        change(Arc::make_mut(&mut providers.list[number as usize]));
    }

    pub(super) fn provider_row(&mut self, name: &str, rows: &[LimitRow]) {
        let number = self.name_provider(name);
        if core::mem::replace(&mut self.editor.naming[number as usize].1, true) {
            self.unname_provider(number);
        }
        let provider = self.policy.providers.list[number as usize].clone();
        let limits =
            self.limits(Level::Provider, &provider.name, Holder::Provider(number), &provider.limits, rows);
        self.change_provider(number, |provider| provider.limits = limits);
    }

    pub(super) fn provider_key(&mut self, provider: &str, key: ProviderKey) {
        let number = self.name_provider(provider);
        if self.editor.provider_keys.insert(key.id.clone(), number).is_some() {
            self.unname_provider(number);
        }
        self.change_provider(number, |provider| {
            let mut keys = core::mem::take(&mut provider.keys).into_vec();
            match keys.iter_mut().find(|old| old.id == key.id) {
                Some(old) => *old = key,
                None => keys.push(key),
            }
            provider.keys = keys.into_boxed_slice();
        });
    }
}
