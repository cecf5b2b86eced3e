//! Which override a request falls under: the narrowest scope first, in it the most particular pattern.
//!
//! A scope and its ids are found by their hash, those for one name by its hash together with it; in what hangs there the
//! longest prefix by one binary search: every prefix of a name stands before it in the order of texts, and so does
//! nothing between them that does not begin with that prefix as well. So the last pattern before the name either begins
//! it, or is longer than one that does, and each pattern knows the longest other one that begins it.
//!
//! With `gpt-*` and `gpt-4o-mini*` on a provider, and `*` for everybody: `gpt-4o` on that provider falls under `gpt-*`
//! (from `gpt-4o-mini`, the last before it is `gpt-`), a key of another provider under `*`.

use std::hash::BuildHasher;
use std::sync::Arc;

use super::patch::PricingPatch;
use crate::policy::hashed::{Entry, Hashed};
use crate::policy::{Hasher, Map, Set};
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

/// Where rows hang: a scope with the ids that it asks for (the second is empty where it asks for one, both are for
/// everybody), and the name that they are for; None for those with prefixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Place<'a> {
    scope: Scope,
    ids: [&'a str; 2],
    name: Option<&'a str>,
}

impl<'a> Place<'a> {
    /// None where the ids lack one that the scope needs. The provider of a provider key is the key's own: it is not
    /// asked for beside it.
    fn new(scope: Scope, ids: &Ids<'a>, name: Option<&'a str>) -> Option<Place<'a>> {
        let ids = match scope {
            Scope::VirtualKeyProviderKey => [ids.virtual_key?, ids.provider_key?],
            Scope::VirtualKeyProvider => [ids.virtual_key?, ids.provider?],
            Scope::VirtualKey => [ids.virtual_key?, ""],
            Scope::ProviderKey => [ids.provider_key?, ""],
            Scope::Provider => [ids.provider?, ""],
            Scope::Global => ["", ""],
        };
        Some(Place { scope, ids, name })
    }

    fn of(row: &'a OverrideRow) -> Option<Place<'a>> {
        let ids = Ids {
            virtual_key: row.virtual_key.as_deref(),
            provider: row.provider.as_deref(),
            provider_key: row.provider_key.as_deref(),
        };
        let name = match &row.pattern {
            Pattern::Exact(name) => Some(&**name),
            Pattern::Prefix(_) => None,
        };
        Place::new(row.scope, &ids, name)
    }
}

/// All overrides, to be asked for the one that applies.
#[derive(Clone, Debug)]
pub struct Overrides<R = OverrideRow> {
    buckets: Hashed<Bucket<R>>,
    /// Rows of each scope: those that have none need no look.
    counts: [usize; Scope::ALL.len()],
    hasher: Hasher,
}

/// The rows of one place.
#[derive(Debug)]
struct Bucket<R> {
    hash: u64,
    /// In the order of texts. Those of a name have one, which is empty and begins any name.
    prefixes: Arc<[Prefix<R>]>,
}

#[derive(Debug)]
struct Prefix<R> {
    /// Those that say it, in the order in which they count. There is one.
    rows: Vec<R>,
    /// The longest other prefix that begins this one.
    parent: Option<u32>,
}

impl<R> Default for Overrides<R> {
    fn default() -> Self {
        Overrides { buckets: Hashed::default(), counts: [0; Scope::ALL.len()], hasher: Hasher::default() }
    }
}

impl<R> Clone for Bucket<R> {
    fn clone(&self) -> Bucket<R> {
        Bucket { hash: self.hash, prefixes: self.prefixes.clone() }
    }
}

impl<R> Entry for Bucket<R> {
    #[inline]
    fn hash(&self) -> u64 {
        self.hash
    }
}

impl<R: AsRef<OverrideRow> + Clone> Overrides<R> {
    /// An index over these rows. A row without an id that its scope needs applies to nothing.
    #[must_use]
    pub fn new(rows: Vec<R>) -> Self {
        Overrides::default().with(&[], rows)
    }

    /// The index after an edit: without rows that are gone, and with those that are new. Whatever hangs at other places
    /// than theirs is shared.
    pub(crate) fn with(&self, gone: &[R], new: Vec<R>) -> Self {
        let mut next = self.clone();
        let mut touched: Map<Place<'_>, (Set<&str>, Vec<R>)> = Map::default();
        for row in gone.iter().map(AsRef::as_ref) {
            if let Some(place) = Place::of(row) {
                next.counts[place.scope as usize] -= 1;
                touched.entry(place).or_default().0.insert(&row.id);
            }
        }
        for row in &new {
            if let Some(place) = Place::of(row.as_ref()) {
                next.counts[place.scope as usize] += 1;
                touched.entry(place).or_default().1.push(row.clone());
            }
        }
        for (place, (gone, new)) in touched {
            let old = self.bucket(&place).into_iter().flat_map(|bucket| bucket.prefixes.iter());
            let stay = old.flat_map(|prefix| &prefix.rows).filter(|row| !gone.contains(&*row.as_ref().id));
            let bucket = Bucket::new(self.hasher.hash_one(place), stay.cloned().chain(new).collect());
            if bucket.prefixes.is_empty() {
                next.buckets.remove(bucket.hash, |other| other.is_at(bucket.hash, &place));
            } else {
                let hash = bucket.hash;
                next.buckets.insert(bucket, |other| other.is_at(hash, &place));
            }
        }
        next
    }

    #[inline]
    fn bucket(&self, place: &Place<'_>) -> Option<&Bucket<R>> {
        let hash = self.hasher.hash_one(place);
        self.buckets.get(hash, |bucket| bucket.is_at(hash, place))
    }

    /// The override that applies to a call of this model (its name without the provider), if any.
    #[must_use]
    pub fn resolve(&self, ids: &Ids<'_>, model: &str, request_type: RequestType) -> Option<&R> {
        self.met(ids, model).find(|row| row.as_ref().is_for(request_type))
    }

    /// Every override whose scope and pattern a call of this model meets, for whatever types, in the order of looking.
    pub fn met<'s, 'n>(&'s self, ids: &'n Ids<'n>, model: &'n str) -> impl Iterator<Item = &'s R> {
        let scopes = Scope::ALL.into_iter().filter(move |scope| self.counts[*scope as usize] > 0);
        let places = scopes.flat_map(move |scope| {
            [Some(model), None].into_iter().filter_map(move |name| Place::new(scope, ids, name))
        });
        let buckets = places.filter_map(move |place| self.bucket(&place));
        buckets.flat_map(move |bucket| bucket.prefixes_of(model)).flatten()
    }

    /// Whether there is none that applies to anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }
}

/// What a name has to begin with. Of rows for one name that is nothing: their place says the name.
fn text<R: AsRef<OverrideRow>>(row: &R) -> &str {
    match &row.as_ref().pattern {
        Pattern::Exact(_) => "",
        Pattern::Prefix(text) => text,
    }
}

/// By text; of two that say the same the earlier counts.
fn order<R: AsRef<OverrideRow>>(row: &R) -> (&str, Millis, &str) {
    (text(row), row.as_ref().created_at, &row.as_ref().id)
}

impl<R: AsRef<OverrideRow>> Prefix<R> {
    fn text(&self) -> &str {
        self.rows.first().map_or("", text)
    }
}

impl<R: AsRef<OverrideRow>> Bucket<R> {
    /// Rows of the same place.
    fn new(hash: u64, mut rows: Vec<R>) -> Bucket<R> {
        rows.sort_by(|one, other| order(one).cmp(&order(other)));
        let mut prefixes: Vec<Prefix<R>> = Vec::new();
        for row in rows {
            match prefixes.last_mut().filter(|last| last.text() == text(&row)) {
                Some(last) => last.rows.push(row),
                None => {
                    let parent = longest(&prefixes, prefixes.len(), text(&row));
                    prefixes.push(Prefix { rows: vec![row], parent });
                }
            }
        }
        Bucket { hash, prefixes: prefixes.into() }
    }

    fn is_at(&self, hash: u64, place: &Place<'_>) -> bool {
        let first = || self.prefixes.first()?.rows.first();
        self.hash == hash && first().and_then(|row| Place::of(row.as_ref())).as_ref() == Some(place)
    }

    /// The rows of every prefix that begins a name, the longest first.
    fn prefixes_of<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Vec<R>> {
        let after = self.prefixes.partition_point(|prefix| prefix.text() <= name);
        let last = longest(&self.prefixes, after, name);
        std::iter::successors(last, |place| self.prefixes[*place as usize].parent)
            .map(|place| &self.prefixes[place as usize].rows)
    }
}

/// Of the prefixes before a place in their order the longest that begins `text`.
fn longest<R: AsRef<OverrideRow>>(prefixes: &[Prefix<R>], before: usize, text: &str) -> Option<u32> {
    let mut at = before.checked_sub(1).map(|place| place as u32);
    while let Some(place) = at
        && !text.starts_with(prefixes[place as usize].text())
    {
        at = prefixes[place as usize].parent;
    }
    at
}
