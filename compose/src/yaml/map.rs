//! The entries of a mapping: in the order of the text, and found by key.
//!
//! Nearly all mappings of a Compose file have a handful of keys, and a stack of thousands of services
//! has tens of thousands of such mappings: up to [`FEW`] entries are simply searched. Above that an
//! index is kept, ordered by a hash that nobody finds many equal ones of, so that no file can make a
//! search slow. Most keys that are asked for are not there: a mark for each key that is ([`mark`])
//! answers that without a search.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hasher};
use std::ops::Index;

use super::{Entry, Text};
use crate::source::to_u32;

/// Entries that are searched one by one.
const FEW: usize = 16;

/// A mapping. Equal when the same keys have the same entries, in whatever order.
#[derive(Clone, Debug, Default)]
pub struct Map {
    entries: Vec<(Text, Entry)>,
    /// The marks of all keys; of some more after entries were taken out.
    marks: u64,
    /// Hash and place of each key; none while there are few. Boxed: nearly every mapping is without one.
    #[allow(clippy::box_collection)]
    index: Option<Box<BTreeSet<(u64, u32)>>>,
}

/// Of the index: always the same for the same key.
fn hash(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(key.as_bytes());
    hasher.finish()
}

/// One of 64 bits: different keys mostly have different ones.
#[inline]
fn mark(key: &str) -> u64 {
    let bytes = key.as_bytes();
    let at = |n: usize| bytes.get(n).copied().map_or(0, usize::from);
    let middle = at(bytes.len() / 2);
    let mixed = bytes.len() * 7 + at(0) * 5 + middle * 3 + at(bytes.len().wrapping_sub(1));
    1 << (mixed % 64)
}

impl Map {
    /// An empty mapping.
    #[must_use]
    pub fn new() -> Map {
        Map::default()
    }

    /// An empty mapping with room for so many entries.
    #[must_use]
    pub fn with_capacity(entries: usize) -> Map {
        Map { entries: Vec::with_capacity(entries), ..Map::default() }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    #[must_use]
    #[inline]
    pub fn contains_key(&self, key: &str) -> bool {
        self.place(key).is_some()
    }

    #[must_use]
    #[inline]
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.place(key).map(|at| &self.entries[at].1)
    }

    #[inline]
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Entry> {
        self.place(key).map(|at| &mut self.entries[at].1)
    }

    /// The first entry in the order of the text.
    #[must_use]
    pub fn first(&self) -> Option<(&Text, &Entry)> {
        self.entries.first().map(|(key, entry)| (key, entry))
    }

    /// Puts an entry in; one that was there gives its place to it and is returned.
    pub fn insert(&mut self, key: impl Into<Text>, entry: Entry) -> Option<Entry> {
        let key = key.into();
        if let Some(at) = self.place(&key) {
            return Some(std::mem::replace(&mut self.entries[at].1, entry));
        }
        self.push(key, entry);
        None
    }

    /// The entry of `key`, made when there is none.
    pub fn get_or_insert_with(&mut self, key: &str, make: impl FnOnce() -> Entry) -> &mut Entry {
        let at = match self.place(key) {
            Some(at) => at,
            None => {
                self.push(key.into(), make());
                self.entries.len() - 1
            }
        };
        &mut self.entries[at].1
    }

    /// Takes an entry out; those behind it move up.
    pub fn shift_remove(&mut self, key: &str) -> Option<Entry> {
        let at = self.place(key)?;
        let (_, entry) = self.entries.remove(at);
        self.index_anew();
        Some(entry)
    }

    /// Takes out every entry for which `keep` is false.
    pub fn retain(&mut self, mut keep: impl FnMut(&Text, &mut Entry) -> bool) {
        let before = self.entries.len();
        self.entries.retain_mut(|(key, entry)| keep(key, entry));
        if self.entries.len() != before {
            self.index_anew();
        }
    }

    /// Moves everything into a mapping without room for more; this one is empty then and keeps its
    /// room.
    pub(super) fn take_fitting(&mut self) -> Map {
        Map {
            entries: Vec::from_iter(self.entries.drain(..)),
            marks: std::mem::take(&mut self.marks),
            index: self.index.take(),
        }
    }

    /// Puts the entries into the order of their keys.
    pub fn sort_keys(&mut self) {
        self.entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.index_anew();
    }

    pub fn iter(&self) -> Iter<'_> {
        self.entries.iter().map(|(key, entry)| (key, entry))
    }

    pub fn iter_mut(&mut self) -> IterMut<'_> {
        self.entries.iter_mut().map(|(key, entry)| (&*key, entry))
    }

    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(key, _)| key.as_str())
    }

    pub fn values(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().map(|(_, entry)| entry)
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries.iter_mut().map(|(_, entry)| entry)
    }

    #[inline]
    fn place(&self, key: &str) -> Option<usize> {
        if self.marks & mark(key) == 0 { None } else { self.search(key) }
    }

    fn search(&self, key: &str) -> Option<usize> {
        match &self.index {
            Some(index) => {
                let hash = hash(key);
                let mut places = index.range((hash, 0)..=(hash, u32::MAX));
                places.find(|(_, at)| self.key_at(*at) == Some(key)).map(|(_, at)| *at as usize)
            }
            None => self.entries.iter().position(|(own, _)| own == key),
        }
    }

    fn key_at(&self, at: u32) -> Option<&str> {
        self.entries.get(at as usize).map(|(key, _)| key.as_str())
    }

    /// Puts an entry in behind the others; its key is not there, as the caller has seen.
    pub(crate) fn push(&mut self, key: Text, entry: Entry) {
        self.marks |= mark(&key);
        if let Some(index) = &mut self.index {
            index.insert((hash(&key), to_u32(self.entries.len())));
        }
        self.entries.push((key, entry));
        if self.index.is_none() && self.entries.len() > FEW {
            self.index_anew();
        }
    }

    fn index_anew(&mut self) {
        self.index = (self.entries.len() > FEW).then(|| {
            let keys = self.entries.iter().enumerate();
            Box::new(keys.map(|(at, (key, _))| (hash(key), to_u32(at))).collect())
        });
    }
}

impl PartialEq for Map {
    fn eq(&self, other: &Map) -> bool {
        self.len() == other.len() && self.iter().all(|(key, entry)| other.get(key) == Some(entry))
    }
}

impl Index<&str> for Map {
    type Output = Entry;

    /// # Panics
    /// When the key is not there.
    fn index(&self, key: &str) -> &Entry {
        self.get(key).expect("the caller has seen the key")
    }
}

impl<K: Into<Text>> FromIterator<(K, Entry)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, Entry)>>(entries: I) -> Map {
        let mut map = Map::new();
        map.extend(entries);
        map
    }
}

impl<K: Into<Text>> Extend<(K, Entry)> for Map {
    fn extend<I: IntoIterator<Item = (K, Entry)>>(&mut self, entries: I) {
        for (key, entry) in entries {
            self.insert(key, entry);
        }
    }
}

/// Entries in the order of the text.
pub type Iter<'m> = std::iter::Map<
    std::slice::Iter<'m, (Text, Entry)>,
    fn(&'m (Text, Entry)) -> (&'m Text, &'m Entry),
>;

/// The same, to be changed.
pub type IterMut<'m> = std::iter::Map<
    std::slice::IterMut<'m, (Text, Entry)>,
    fn(&'m mut (Text, Entry)) -> (&'m Text, &'m mut Entry),
>;

impl IntoIterator for Map {
    type Item = (Text, Entry);
    type IntoIter = std::vec::IntoIter<(Text, Entry)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl<'m> IntoIterator for &'m Map {
    type Item = (&'m Text, &'m Entry);
    type IntoIter = Iter<'m>;

    fn into_iter(self) -> Iter<'m> {
        self.iter()
    }
}

impl<'m> IntoIterator for &'m mut Map {
    type Item = (&'m Text, &'m mut Entry);
    type IntoIter = IterMut<'m>;

    fn into_iter(self) -> IterMut<'m> {
        self.iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Span;
    use crate::yaml::Node;

    fn entry(text: &str) -> Entry {
        Entry { key: Span::default(), node: Node::text(text, Span::default()) }
    }

    #[test]
    fn few_and_many_entries_are_found_replaced_and_taken_out_alike() {
        for count in [0, 1, FEW, FEW + 1, FEW + 2, 500] {
            let name = |n: usize| format!("k{}", (n * 7) % count.max(1));
            let mut map: Map = (0..count).map(|n| (name(n), entry("old"))).collect();
            assert_eq!(map.len(), count);
            for n in 0..count {
                assert_eq!(map.get(&name(n)), Some(&entry("old")), "{n} of {count}");
                assert_eq!(map.insert(name(n), entry("new")), Some(entry("old")));
            }
            let order: Vec<String> = map.keys().map(ToString::to_string).collect();
            assert_eq!(order, (0..count).map(name).collect::<Vec<_>>(), "the order stays");
            map.sort_keys();
            assert!(map.keys().is_sorted());
            for n in 0..count {
                assert_eq!(map.shift_remove(&name(n)), Some(entry("new")), "{n} of {count}");
                assert!(!map.contains_key(&name(n)));
                assert_eq!(map.len(), count - n - 1);
            }
        }
    }

    #[test]
    fn the_order_of_entries_is_no_difference() {
        let forth: Map = (0..40).map(|n| (n.to_string(), entry("x"))).collect();
        let mut back: Map = (0..40).rev().map(|n| (n.to_string(), entry("x"))).collect();
        assert_eq!(forth, back);
        back.retain(|key, _| key != "3");
        assert_ne!(forth, back);
        assert_eq!(back.get("4"), Some(&entry("x")));
        back.get_or_insert_with("3", || entry("x"));
        assert_eq!(forth, back);
    }
}
