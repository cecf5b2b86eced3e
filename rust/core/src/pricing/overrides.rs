//! Which override a request falls under: the narrowest scope first, in it the most particular pattern.
//!
//! A scope and its ids are found by their hash; in what hangs there, the exact name by its own, and the longest prefix
//! by one binary search: every prefix of a name stands before it in the order of texts, and so does nothing between
//! them that does not begin with that prefix as well. So the last pattern before the name either begins it, or is
//! longer than one that does, and each pattern knows the longest other one that begins it.
//!
//! With `gpt-*` and `gpt-4o-mini*` on a provider, and `*` for everybody: `gpt-4o` on that provider falls under `gpt-*`
//! (from `gpt-4o-mini`, the last before it is `gpt-`), a key of another provider under `*`.

use hashbrown::Equivalent;

use super::patch::PricingPatch;
use crate::policy::Map;
use crate::request::RequestType;
use crate::units::Millis;

/// Whose requests an override is for, from the narrowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Scope {
    /// A virtual key on one provider key.
    VirtualKeyProviderKey,
    /// A virtual key on a provider.
    VirtualKeyProvider,
    /// A virtual key.
    VirtualKey,
    /// A provider key.
    ProviderKey,
    /// A provider.
    Provider,
    /// Everybody.
    Global,
}

impl Scope {
    /// Every scope, from the narrowest.
    pub const ALL: [Scope; 6] = [
        Scope::VirtualKeyProviderKey,
        Scope::VirtualKeyProvider,
        Scope::VirtualKey,
        Scope::ProviderKey,
        Scope::Provider,
        Scope::Global,
    ];
}

/// Which models an override is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// One name.
    Exact(Box<str>),
    /// Every name that begins with this.
    Prefix(Box<str>),
}

/// What an override does to a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Other prices in some cells. None: the card stays as it is, and wider scopes are hidden.
    Patch(PricingPatch),
    /// Everything is free.
    Free,
}

/// The ids that a request has, or that an override asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ids<'a> {
    /// The virtual key's id.
    pub virtual_key: Option<&'a str>,
    /// The provider's name.
    pub provider: Option<&'a str>,
    /// The provider key's `key_id`.
    pub provider_key: Option<&'a str>,
}

/// One override.
#[derive(Clone, Debug)]
pub struct OverrideRow {
    /// Its id.
    pub id: Box<str>,
    /// When it was made: of two that say the same the earlier counts.
    pub created_at: Millis,
    /// Whose requests.
    pub scope: Scope,
    /// The id of the virtual key, where the scope has one.
    pub virtual_key: Option<Box<str>>,
    /// The name of the provider, where the scope has one.
    pub provider: Option<Box<str>>,
    /// The id of the provider key, where the scope has one.
    pub provider_key: Option<Box<str>>,
    /// Which models.
    pub pattern: Pattern,
    /// Which requests.
    pub request_types: Vec<RequestType>,
    /// What it does.
    pub effect: Effect,
}

impl AsRef<OverrideRow> for OverrideRow {
    fn as_ref(&self) -> &OverrideRow {
        self
    }
}

impl OverrideRow {
    /// Whether it is for requests of this type.
    #[must_use]
    pub fn is_for(&self, request_type: RequestType) -> bool {
        self.request_types.contains(&request_type)
    }
}

/// A scope with the ids that it asks for; the second is empty where it asks for one, both are for everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Holder<T> {
    scope: Scope,
    ids: [T; 2],
}

impl Equivalent<Holder<Box<str>>> for Holder<&str> {
    fn equivalent(&self, other: &Holder<Box<str>>) -> bool {
        self.scope == other.scope && self.ids[0] == &*other.ids[0] && self.ids[1] == &*other.ids[1]
    }
}

/// The holder of a scope; none where the ids lack one that it needs. The provider of a provider key is the key's own:
/// it is not asked for beside it.
fn holder<'a>(scope: Scope, ids: &Ids<'a>) -> Option<Holder<&'a str>> {
    let ids = match scope {
        Scope::VirtualKeyProviderKey => [ids.virtual_key?, ids.provider_key?],
        Scope::VirtualKeyProvider => [ids.virtual_key?, ids.provider?],
        Scope::VirtualKey => [ids.virtual_key?, ""],
        Scope::ProviderKey => [ids.provider_key?, ""],
        Scope::Provider => [ids.provider?, ""],
        Scope::Global => ["", ""],
    };
    Some(Holder { scope, ids })
}

/// All overrides, to be asked for the one that applies.
#[derive(Debug)]
pub struct Overrides<R = OverrideRow> {
    rows: Vec<R>,
    holders: Map<Holder<Box<str>>, Patterns>,
    /// A bit for each scope that any row has: the others need no look.
    scopes: u8,
}

/// The overrides of one holder: numbers of rows, for each pattern in the order in which they count.
#[derive(Debug, Default)]
struct Patterns {
    exact: Map<Box<str>, Vec<u32>>,
    /// In the order of texts.
    prefixes: Vec<Prefix>,
}

#[derive(Debug)]
struct Prefix {
    text: Box<str>,
    rows: Vec<u32>,
    /// The longest other prefix that begins this one.
    parent: Option<u32>,
}

impl<R> Default for Overrides<R> {
    fn default() -> Self {
        Overrides { rows: Vec::new(), holders: Map::default(), scopes: 0 }
    }
}

impl<R: AsRef<OverrideRow>> Overrides<R> {
    /// An index over these rows. A row without an id that its scope needs applies to nothing.
    #[must_use]
    pub fn new(mut rows: Vec<R>) -> Self {
        let age = |row: &R| (row.as_ref().created_at, row.as_ref().id.clone());
        rows.sort_by_cached_key(age);
        let mut overrides = Overrides::<R>::default();
        for (number, row) in (0u32..).zip(rows.iter().map(AsRef::as_ref)) {
            let ids = Ids {
                virtual_key: row.virtual_key.as_deref(),
                provider: row.provider.as_deref(),
                provider_key: row.provider_key.as_deref(),
            };
            let Some(Holder { scope, ids }) = holder(row.scope, &ids) else { continue };
            overrides.scopes |= 1 << scope as u8;
            let holder = Holder { scope, ids: ids.map(Into::into) };
            overrides.holders.entry(holder).or_default().add(&row.pattern, number);
        }
        overrides.holders.values_mut().for_each(Patterns::link);
        Overrides { rows, ..overrides }
    }

    /// The override that applies to a call of this model (its name without the provider), if any.
    #[must_use]
    pub fn resolve(&self, ids: &Ids<'_>, model: &str, request_type: RequestType) -> Option<&R> {
        self.met(ids, model).find(|row| row.as_ref().is_for(request_type))
    }

    /// Every override whose scope and pattern a call of this model meets, for whatever types, in the order of looking.
    pub fn met<'s>(&'s self, ids: &Ids<'_>, model: &str) -> impl Iterator<Item = &'s R> {
        let scopes = Scope::ALL.into_iter().filter(move |scope| self.scopes >> *scope as u8 & 1 == 1);
        let holders = scopes.filter_map(move |scope| self.holders.get(&holder(scope, ids)?));
        holders.flat_map(move |patterns| {
            let rows = patterns.exact.get(model).into_iter().chain(patterns.prefixes_of(model)).flatten();
            rows.map(|number| &self.rows[*number as usize])
        })
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl Patterns {
    fn add(&mut self, pattern: &Pattern, row: u32) {
        match pattern {
            Pattern::Exact(name) => self.exact.entry(name.clone()).or_default().push(row),
            Pattern::Prefix(text) => {
                self.prefixes.push(Prefix { text: text.clone(), rows: vec![row], parent: None });
            }
        }
    }

    /// Sort the prefixes, join what is the same, and let each know its parent.
    fn link(&mut self) {
        self.prefixes.sort_by(|one, other| one.text.cmp(&other.text));
        self.prefixes.dedup_by(|later, earlier| {
            let same = later.text == earlier.text;
            if same {
                earlier.rows.append(&mut later.rows);
            }
            same
        });
        for place in 1..self.prefixes.len() {
            let parent = self.longest(Some(place as u32 - 1), &self.prefixes[place].text);
            self.prefixes[place].parent = parent;
        }
    }

    /// From one prefix up to the first that begins `text`.
    fn longest(&self, mut at: Option<u32>, text: &str) -> Option<u32> {
        while let Some(place) = at
            && !text.starts_with(&*self.prefixes[place as usize].text)
        {
            at = self.prefixes[place as usize].parent;
        }
        at
    }

    /// The rows of every prefix that begins a name, the longest first.
    fn prefixes_of<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Vec<u32>> {
        let after = self.prefixes.partition_point(|prefix| &*prefix.text <= name);
        let last = self.longest(after.checked_sub(1).map(|place| place as u32), name);
        std::iter::successors(last, |place| self.prefixes[*place as usize].parent)
            .map(|place| &self.prefixes[place as usize].rows)
    }
}
