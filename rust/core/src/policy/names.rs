//! A map by texts that shares all but one of its parts with its predecessor.
//!
//! The parts are small maps, each of the texts whose hash says so: an edit copies one of 4,096.

use std::sync::Arc;

use super::Map;
use super::table::Table;

const PART_LEVELS: u32 = 3;
const PARTS: u64 = 1 << (4 * PART_LEVELS);

/// Values by text.
#[derive(Clone, Debug)]
pub(crate) struct Names<V> {
    parts: Table<Arc<Map<Box<str>, V>>, PART_LEVELS>,
    count: usize,
}

impl<V> Default for Names<V> {
    fn default() -> Names<V> {
        Names { parts: Table::default(), count: 0 }
    }
}

fn part_of(name: &str) -> u32 {
    (rapidhash::v3::rapidhash_v3(name.as_bytes()) % PARTS) as u32
}

impl<V: Clone> Names<V> {
    #[inline]
    pub(crate) fn get(&self, name: &str) -> Option<&V> {
        if self.count == 0 {
            return None;
        }
        self.parts.get(part_of(name))?.get(name)
    }

    /// Set or clear one; what was there.
    pub(crate) fn set(&mut self, name: &str, value: Option<V>) -> Option<V> {
        let number = part_of(name);
        let mut part = self.parts.get(number).map_or_else(Map::default, |part| (**part).clone());
        self.count += usize::from(value.is_some());
        let before = match value {
            Some(value) => part.insert(name.into(), value),
            None => part.remove(name),
        };
        self.count -= usize::from(before.is_some());
        self.parts.set(number, (!part.is_empty()).then(|| Arc::new(part)));
        before
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
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
