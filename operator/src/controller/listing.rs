//! What a list had, so that what it lacked can be forgotten.

use std::{collections::HashSet, hash::Hash};

/// The names in a list that is being read.
///
/// Of the first one nothing is kept, since nothing was known before it: at a start with thousands of servers
/// it would be as much again as all that is known of them.
#[derive(Debug)]
pub(super) struct Listing<T> {
    names: HashSet<T>,
    lists: u32,
}

impl<T> Default for Listing<T> {
    fn default() -> Self {
        Self {
            names: HashSet::new(),
            lists: 0,
        }
    }
}

impl<T: Eq + Hash> Listing<T> {
    /// A list begins. If the one before did not end, what it had is known by now, and may be gone.
    pub(super) fn begin(&mut self) {
        self.names.clear();
        self.lists = self.lists.saturating_add(1);
    }

    /// An item of it.
    pub(super) fn add(&mut self, name: impl FnOnce() -> T) {
        if self.lists > 1 {
            self.names.insert(name());
        }
    }

    /// It is complete: what it had, if anything was known before.
    pub(super) fn end(&mut self) -> Option<HashSet<T>> {
        (self.lists > 1).then(|| std::mem::take(&mut self.names))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_list_has_nothing_to_forget() {
        let mut listing = Listing::default();
        listing.begin();
        listing.add(|| 1);
        assert_eq!(listing.end(), None);
        listing.begin();
        listing.add(|| 2);
        assert_eq!(listing.end(), Some(HashSet::from([2])));
    }

    #[test]
    fn a_first_list_that_broke_off_may_have_named_what_is_gone() {
        let mut listing = Listing::default();
        listing.begin();
        listing.add(|| 1);
        listing.begin();
        listing.add(|| 2);
        assert_eq!(listing.end(), Some(HashSet::from([2])));
    }
}
