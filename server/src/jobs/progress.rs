//! How far a search is.

use parking_lot::Mutex;

/// Hears how far a search is. `()` does not listen.
pub trait Progress: Send + Sync {
    /// `done` of `total` pages are there.
    fn pages(&self, done: usize, total: usize);
}

impl Progress for () {
    fn pages(&self, _: usize, _: usize) {}
}

/// The progress of several searches at the same time, as one.
pub(super) struct Together<'a> {
    listener: &'a dyn Progress,
    /// Pages that are there, and all, of each.
    parts: Mutex<Vec<(usize, usize)>>,
}

/// One of them.
pub(super) struct Part<'a> {
    together: &'a Together<'a>,
    number: usize,
}

impl<'a> Together<'a> {
    pub(super) fn new(listener: &'a dyn Progress, parts: usize) -> Self {
        Self {
            listener,
            parts: Mutex::new(vec![(0, 0); parts]),
        }
    }

    pub(super) fn part(&'a self, number: usize) -> Part<'a> {
        Part {
            together: self,
            number,
        }
    }
}

impl Progress for Part<'_> {
    fn pages(&self, done: usize, total: usize) {
        let mut parts = self.together.parts.lock();
        if let Some(part) = parts.get_mut(self.number) {
            *part = (done, total);
        }
        let sum = |(done, total): (usize, usize), part: &(usize, usize)| (done + part.0, total + part.1);
        let (done, total) = parts.iter().fold((0, 0), sum);
        // In order, while others wait.
        self.together.listener.pages(done, total);
    }
}
