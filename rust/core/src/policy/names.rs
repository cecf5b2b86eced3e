//! A map by texts that shares all but a few of them with its predecessor.

use super::hashed::{Entry, Hashed};

/// Values by text.
#[derive(Clone, Debug)]
pub(crate) struct Names<V>(Hashed<(Box<str>, V)>);

impl<V> Default for Names<V> {
    fn default() -> Names<V> {
        Names(Hashed::default())
    }
}

fn hash(name: &str) -> u64 {
    rapidhash::v3::rapidhash_v3(name.as_bytes())
}

impl<V: Clone> Entry for (Box<str>, V) {
    fn hash(&self) -> u64 {
        hash(&self.0)
    }
}

impl<V: Clone> Names<V> {
    #[inline]
    pub(crate) fn get(&self, name: &str) -> Option<&V> {
        if self.is_empty() {
            return None;
        }
        self.0.get(hash(name), |(other, _)| **other == *name).map(|(_, value)| value)
    }

    /// Set or clear one; what was there.
    pub(crate) fn set(&mut self, name: &str, value: Option<V>) -> Option<V> {
        let same = |(other, _): &(Box<str>, V)| **other == *name;
        let before = match value {
            Some(value) => self.0.insert((name.into(), value), same),
            None => self.0.remove(hash(name), same),
        };
        before.map(|(_, before)| before)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::Names;

    #[test]
    fn a_copy_sees_nothing_of_a_later_edit() {
        let mut names: Names<usize> = Names::default();
        let name = |number: usize| format!("name {number}");
        for number in 0..10_000 {
            assert_eq!(names.set(&name(number), Some(number)), None);
        }
        let before = names.clone();
        assert_eq!(names.set("name 17", Some(1)), Some(17));
        assert_eq!(names.set("name 18", None), Some(18));
        assert_eq!(names.set("nobody", None), None);
        assert_eq!((names.get("name 17"), names.get("name 18"), names.get("")), (Some(&1), None, None));
        for number in 0..10_000 {
            assert_eq!(before.get(&name(number)), Some(&number));
            names.set(&name(number), None);
        }
        assert!(names.is_empty() && !before.is_empty());
    }
}
