//! Values that are read again once they are old: files that change under us, without watching them.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long a file's content counts as fresh: a rotated Secret takes the kubelet a minute, so this is soon
/// enough, and a busy server does not read the file for each call.
pub const FILE: Duration = Duration::from_secs(3);

/// What was read last, and when.
#[derive(Debug)]
pub struct Fresh<T> {
    lasting: Duration,
    read: Mutex<Option<(Instant, T)>>,
}

impl<T: Clone> Fresh<T> {
    /// Nothing read yet; what will be read counts as fresh for so long.
    #[must_use]
    pub fn new(lasting: Duration) -> Self {
        Self {
            lasting,
            read: Mutex::default(),
        }
    }

    /// The value, if it is fresh; else what `read` makes of the last one. Others wait for it meanwhile, so
    /// `read` should take no longer than a few bytes from memory do, as Secret volumes are.
    pub fn get(&self, read: impl FnOnce(Option<T>) -> T) -> T {
        let mut last = self.read.lock();
        match last.take() {
            Some((at, value)) if at.elapsed() < self.lasting => {
                *last = Some((at, value.clone()));
                value
            }
            old => {
                let value = read(old.map(|(_, value)| value));
                *last = Some((Instant::now(), value.clone()));
                value
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_value_is_kept_and_an_old_one_is_read_again() {
        let kept = Fresh::new(Duration::from_hours(1));
        assert_eq!(kept.get(|last| last.unwrap_or(0) + 1), 1);
        assert_eq!(kept.get(|last| last.unwrap_or(0) + 1), 1);
        let never = Fresh::new(Duration::ZERO);
        assert_eq!(never.get(|last| last.unwrap_or(0) + 1), 1);
        assert_eq!(never.get(|last| last.unwrap_or(0) + 1), 2);
    }
}
