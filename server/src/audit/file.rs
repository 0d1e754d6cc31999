//! A file that lines are added to, and that may be moved away under us.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How often the path is looked at: a line a second may still go to a file that was moved, which is where it
/// belongs by its time.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Only the server's user may read who called what.
const MODE: u32 = 0o600;

/// The open file.
#[derive(Debug)]
pub(super) struct Appending {
    path: PathBuf,
    file: File,
    /// Which file it is, by device and number.
    identity: (u64, u64),
    looked: Instant,
    look_every: Duration,
}

impl Appending {
    /// Opens the file, and makes it if need be.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Self::looking_every(path, LOOK_EVERY)
    }

    fn looking_every(path: &Path, look_every: Duration) -> io::Result<Self> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(MODE)
            .open(path)?;
        let identity = identity(&file.metadata()?);
        Ok(Self {
            path: path.to_owned(),
            file,
            identity,
            looked: Instant::now(),
            look_every,
        })
    }

    /// Adds one line, in one write.
    pub(super) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.looked.elapsed() >= self.look_every {
            self.looked = Instant::now();
            let there = std::fs::metadata(&self.path).map(|metadata| identity(&metadata));
            if !there.is_ok_and(|there| there == self.identity) {
                // Where it cannot be made anew, the line is better off in the old one than lost.
                let _ = self.reopen();
            }
        }
        self.file.write_all(line)
    }

    /// Opens what is at the path now.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        *self = Self::looking_every(&self.path, self.look_every)?;
        Ok(())
    }
}

fn identity(metadata: &std::fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &Path) -> String {
        std::fs::read_to_string(path).expect("a file")
    }

    #[test]
    fn lines_are_added_to_what_is_there_and_a_new_file_is_private() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("audit.log");
        Appending::open(&path)
            .expect("opened")
            .append(b"1\n")
            .expect("added");
        assert_eq!(std::fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
        Appending::open(&path)
            .expect("opened")
            .append(b"2\n")
            .expect("added");
        assert_eq!(text(&path), "1\n2\n");
    }

    #[test]
    fn a_file_that_was_moved_or_removed_is_made_anew() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("audit.log");
        let moved = folder.path().join("audit.log.1");
        let mut log = Appending::looking_every(&path, Duration::ZERO).expect("opened");
        log.append(b"1\n").expect("added");
        std::fs::rename(&path, &moved).expect("moved");
        log.append(b"2\n").expect("added");
        assert_eq!((text(&moved).as_str(), text(&path).as_str()), ("1\n", "2\n"));
        std::fs::remove_file(&path).expect("removed");
        log.append(b"3\n").expect("added");
        assert_eq!(text(&path), "3\n");
    }

    #[test]
    fn between_two_looks_only_a_signal_opens_it_anew() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("audit.log");
        let moved = folder.path().join("audit.log.1");
        let mut log = Appending::looking_every(&path, Duration::from_hours(1)).expect("opened");
        std::fs::rename(&path, &moved).expect("moved");
        log.append(b"1\n").expect("added");
        assert_eq!(text(&moved), "1\n");
        log.reopen().expect("opened");
        log.append(b"2\n").expect("added");
        assert_eq!((text(&moved).as_str(), text(&path).as_str()), ("1\n", "2\n"));
    }

    #[test]
    fn where_no_new_file_can_be_made_the_old_one_takes_the_line() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("logs").join("audit.log");
        std::fs::create_dir(folder.path().join("logs")).expect("made");
        let mut log = Appending::looking_every(&path, Duration::ZERO).expect("opened");
        let moved = folder.path().join("moved");
        std::fs::rename(folder.path().join("logs"), &moved).expect("moved");
        log.append(b"1\n").expect("added");
        assert_eq!(text(&moved.join("audit.log")), "1\n");
    }
}
