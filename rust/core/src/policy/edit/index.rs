//! Numbers by text, where the texts themselves stand elsewhere: in the policy, whose entities have them anyway.
//!
//! A text is known by 32 bits of its hash, and whoever asks looks whether what is found has it. So an entry is a few
//! bytes, and the table grows without a look at any text.

use core::hash::BuildHasher;

use hashbrown::HashTable;

/// Values by text. Equal entries may stand in it more than once.
#[derive(Debug)]
pub(super) struct Index<V> {
    hasher: rapidhash::fast::RandomState,
    entries: HashTable<(u32, V)>,
}

impl<V> Default for Index<V> {
    fn default() -> Index<V> {
        Index { hasher: rapidhash::fast::RandomState::default(), entries: HashTable::new() }
    }
}

/// The table looks at the uppermost bits and at the lowest ones.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl<V: Copy + PartialEq> Index<V> {
    fn hash(&self, text: &str) -> u32 {
        (self.hasher.hash_one(text) >> 32) as u32
    }

    /// What `look` gives for the first of the text's values for which it gives anything.
    pub(super) fn find<T>(&self, text: &str, mut look: impl FnMut(V) -> Option<T>) -> Option<T> {
        let hash = self.hash(text);
        let mut found = None;
        self.entries.find(spread(hash), |(other, value)| {
            if *other == hash {
                found = look(*value);
            }
            found.is_some()
        });
        found
    }

    pub(super) fn insert(&mut self, text: &str, value: V) {
        let hash = self.hash(text);
        self.entries.insert_unique(spread(hash), (hash, value), |(hash, _)| spread(*hash));
    }

    /// Take out one entry.
    pub(super) fn remove(&mut self, text: &str, value: V) {
        let entry = (self.hash(text), value);
        if let Ok(found) = self.entries.find_entry(spread(entry.0), |other| *other == entry) {
            found.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Index;

    #[test]
    fn a_text_leads_to_its_values_and_equal_ones_go_one_by_one() {
        let texts: Vec<String> = (0..10_000).map(|number| format!("text {number}")).collect();
        let mut index = Index::default();
        for (number, text) in texts.iter().enumerate() {
            index.insert(text, number);
        }
        let find = |index: &Index<usize>, text: &str| {
            index.find(text, |number| (texts.get(number)? == text).then_some(number))
        };
        for (number, text) in texts.iter().enumerate() {
            assert_eq!(find(&index, text), Some(number));
        }
        assert_eq!(find(&index, "nobody's"), None);
        index.insert(&texts[7], 7);
        index.remove(&texts[7], 8);
        index.remove(&texts[7], 7);
        assert_eq!(find(&index, &texts[7]), Some(7));
        index.remove(&texts[7], 7);
        assert_eq!((find(&index, &texts[7]), find(&index, &texts[8])), (None, Some(8)));
    }
}
