//! A numbered table that shares everything but the changed path with its predecessor.
//!
//! An edit of one entry copies one node per level: 16 links each. Copying a link touches the counter of its target,
//! a cold line in a large table, so narrow nodes make an edit among a million entries cost about what it costs among
//! a hundred.

use std::sync::Arc;

const BITS: u32 = 4;
const WIDTH: usize = 1 << BITS;

#[derive(Debug)]
enum Node<T> {
    Inner([Option<Arc<Node<T>>>; WIDTH]),
    Leaf([Option<T>; WIDTH]),
}

impl<T: Clone> Clone for Node<T> {
    fn clone(&self) -> Node<T> {
        match self {
            Node::Inner(links) => Node::Inner(links.clone()),
            Node::Leaf(entries) => Node::Leaf(entries.clone()),
        }
    }
}

/// Entries numbered from 0 to `16^LEVELS - 1`, in a tree no higher than its largest number needs.
#[derive(Debug)]
pub(crate) struct Table<T, const LEVELS: u32> {
    root: Option<Arc<Node<T>>>,
    /// Levels below the root.
    height: u32,
}

impl<T, const LEVELS: u32> Default for Table<T, LEVELS> {
    fn default() -> Self {
        Table { root: None, height: 0 }
    }
}

impl<T, const LEVELS: u32> Clone for Table<T, LEVELS> {
    fn clone(&self) -> Self {
        Table { root: self.root.clone(), height: self.height }
    }
}

#[inline(always)]
fn digit(number: u32, level: u32) -> usize {
    (number >> (level * BITS)) as usize & (WIDTH - 1)
}

impl<T: Clone, const LEVELS: u32> Table<T, LEVELS> {
    #[inline(always)]
    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        if number >> (self.height * BITS) >= WIDTH as u32 {
            return None;
        }
        let mut node = self.root.as_ref()?;
        for level in (1..=self.height).rev() {
            let Node::Inner(links) = &**node else { return None };
            node = links[digit(number, level)].as_ref()?;
        }
        let Node::Leaf(entries) = &**node else { return None };
        entries[digit(number, 0)].as_ref()
    }

    /// Set or clear one entry. Readers of an earlier copy see nothing of it.
    pub(crate) fn set(&mut self, number: u32, entry: Option<T>) {
        while number >> (self.height * BITS) >= WIDTH as u32 && self.height + 1 < LEVELS {
            let mut links = [const { None }; WIDTH];
            links[0] = self.root.take();
            self.root = Some(Arc::new(Node::Inner(links)));
            self.height += 1;
        }
        let mut node = &mut self.root;
        for level in (1..=self.height).rev() {
            let inner = node.get_or_insert_with(|| Arc::new(Node::Inner([const { None }; WIDTH])));
            let Node::Inner(links) = Arc::make_mut(inner) else { return };
            node = &mut links[digit(number, level)];
        }
        let leaf = node.get_or_insert_with(|| Arc::new(Node::Leaf([const { None }; WIDTH])));
        if let Node::Leaf(entries) = Arc::make_mut(leaf) {
            entries[digit(number, 0)] = entry;
        }
    }

    /// Every entry, in the order of the numbers.
    pub(crate) fn for_each(&self, mut step: impl FnMut(&T)) {
        fn walk<T>(node: &Node<T>, step: &mut impl FnMut(&T)) {
            match node {
                Node::Inner(links) => links.iter().flatten().for_each(|link| walk(link, step)),
                Node::Leaf(entries) => entries.iter().flatten().for_each(step),
            }
        }
        if let Some(root) = &self.root {
            walk(root, &mut step);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn a_copy_sees_nothing_of_a_later_edit() {
        let mut table: Table<u32, 3> = Table::default();
        for number in 0..4096 {
            table.set(number, Some(number * 2));
        }
        assert_eq!((table.get(4_096), table.get(u32::MAX)), (None, None));
        let before = table.clone();
        table.set(17, Some(1));
        table.set(18, None);
        assert_eq!(table.get(17), Some(&1));
        assert_eq!(table.get(18), None);
        for number in 0..4096 {
            assert_eq!(before.get(number), Some(&(number * 2)));
        }
        let mut seen = 0;
        table.for_each(|_| seen += 1);
        assert_eq!(seen, 4095);
    }
}
