//! Entries found by their hash, in a tree that shares everything but the changed path with its predecessor.
//!
//! A link leads to a few entries side by side, or to 16 links by the next four bits of the hash. So an edit copies a few
//! links and a few entries, and a look-up in a small tree is one step, however large it may become.

use std::sync::Arc;

const BITS: u32 = 4;
const WIDTH: usize = 1 << BITS;
/// Links from the root on, after which a hash has no more bits.
const DEEPEST: u32 = u64::BITS / BITS;
/// Entries side by side. One more, and they part.
const MOST: usize = 16;

#[derive(Debug)]
enum Link<T> {
    Nothing,
    Entries(Arc<[T]>),
    Links(Arc<[Link<T>; WIDTH]>),
}

impl<T> Clone for Link<T> {
    fn clone(&self) -> Link<T> {
        match self {
            Link::Nothing => Link::Nothing,
            Link::Entries(entries) => Link::Entries(entries.clone()),
            Link::Links(links) => Link::Links(links.clone()),
        }
    }
}

/// Entries, each of which knows its hash.
#[derive(Debug)]
pub(crate) struct Hashed<T> {
    root: Link<T>,
    count: usize,
}

/// What finds an entry: by its hash, then by itself.
pub(crate) trait Entry: Clone {
    fn hash(&self) -> u64;
}

impl<T> Default for Hashed<T> {
    fn default() -> Self {
        Hashed { root: Link::Nothing, count: 0 }
    }
}

impl<T> Clone for Hashed<T> {
    fn clone(&self) -> Self {
        Hashed { root: self.root.clone(), count: self.count }
    }
}

impl<T: Entry> Hashed<T> {
    #[inline(always)]
    pub(crate) fn get(&self, hash: u64, same: impl Fn(&T) -> bool) -> Option<&T> {
        let (mut link, mut rest) = (&self.root, hash);
        while let Link::Links(links) = link {
            link = &links[rest as usize % WIDTH];
            rest >>= BITS;
        }
        let Link::Entries(entries) = link else { return None };
        entries.iter().find(|entry| same(entry))
    }

    /// Put an entry in the place of the same one, or beside the others; what was there.
    pub(crate) fn insert(&mut self, entry: T, same: impl Fn(&T) -> bool) -> Option<T> {
        let (link, depth) = self.end(entry.hash());
        let before = match link {
            Link::Entries(entries) => entries.iter().position(same).map(|at| (entries, at)),
            _ => None,
        };
        if let Some((entries, at)) = before {
            return Some(std::mem::replace(&mut Arc::make_mut(entries)[at], entry));
        }
        add(link, depth, entry);
        self.count += 1;
        None
    }

    /// Take an entry out. Links that lead nowhere stay: there are never more than the most entries needed.
    pub(crate) fn remove(&mut self, hash: u64, same: impl Fn(&T) -> bool) -> Option<T> {
        self.get(hash, &same)?;
        let (link, _) = self.end(hash);
        let Link::Entries(entries) = link else { return None };
        let gone = entries.iter().find(|entry| same(entry)).cloned()?;
        let rest: Arc<[T]> = entries.iter().filter(|entry| !same(entry)).cloned().collect();
        *link = if rest.is_empty() { Link::Nothing } else { Link::Entries(rest) };
        self.count -= 1;
        Some(gone)
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the entries of a hash are, on a path that no other tree shares.
    fn end(&mut self, hash: u64) -> (&mut Link<T>, u32) {
        let (mut link, mut depth) = (&mut self.root, 0);
        while let Link::Links(links) = link {
            link = &mut Arc::make_mut(links)[digit(hash, depth)];
            depth += 1;
        }
        (link, depth)
    }
}

fn digit(hash: u64, depth: u32) -> usize {
    (hash >> (depth * BITS)) as usize % WIDTH
}

/// Add an entry to those at a link, which is `depth` links below the root.
fn add<T: Entry>(link: &mut Link<T>, depth: u32, entry: T) {
    match link {
        Link::Nothing => *link = Link::Entries(Arc::new([entry])),
        Link::Entries(entries) if entries.len() < MOST || depth == DEEPEST => {
            *entries = entries.iter().cloned().chain([entry]).collect();
        }
        Link::Entries(entries) => {
            let mut links = [const { Link::Nothing }; WIDTH];
            for entry in entries.iter().cloned().chain([entry]) {
                add(&mut links[digit(entry.hash(), depth)], depth + 1, entry);
            }
            *link = Link::Links(Arc::new(links));
        }
        Link::Links(links) => add(&mut Arc::make_mut(links)[digit(entry.hash(), depth)], depth + 1, entry),
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, Hashed};

    /// A number under a hash, and what is said of it.
    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Said(u64, u64, &'static str);

    impl Entry for Said {
        fn hash(&self) -> u64 {
            self.0
        }
    }

    fn get(tree: &Hashed<Said>, hash: u64, number: u64) -> Option<&'static str> {
        tree.get(hash, |said| said.1 == number).map(|said| said.2)
    }

    #[test]
    fn a_copy_sees_nothing_of_a_later_edit() {
        let mut tree = Hashed::default();
        // Hashes that differ in their last bits, in their first, and not at all.
        let hashes: [fn(u64) -> u64; 3] = [|number| number, |number| number << 54, |_| 7];
        let all: Vec<(u64, u64)> =
            (0..3_000).map(|number| (hashes[number as usize % 3](number), number)).collect();
        for &(hash, number) in &all {
            assert_eq!(tree.insert(Said(hash, number, "new"), |said| said.1 == number), None);
        }
        let before = tree.clone();
        for &(hash, number) in &all {
            let same = |said: &Said| said.1 == number;
            if number % 2 == 0 {
                assert_eq!(tree.insert(Said(hash, number, "other"), same), Some(Said(hash, number, "new")));
            } else {
                assert_eq!(tree.remove(hash, same), Some(Said(hash, number, "new")));
                assert_eq!(tree.remove(hash, same), None);
            }
        }
        for &(hash, number) in &all {
            assert_eq!(get(&before, hash, number), Some("new"));
            assert_eq!(get(&tree, hash, number), (number % 2 == 0).then_some("other"));
            assert_eq!(get(&tree, hash, 3_000), None);
        }
        for &(hash, number) in &all {
            tree.remove(hash, |said| said.1 == number);
        }
        assert!(tree.is_empty() && !before.is_empty());
    }
}
