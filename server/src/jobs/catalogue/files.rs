//! A user's own postings: `IAM_DATA_ROOT/catalogue/*.jsonl`, a JSON object a line.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::line;
use crate::jobs::{
    index::{self, Builder, Index},
    key_of,
};

/// The longest line, in bytes.
const MAX_LINE: u64 = 64 << 10;

/// The most postings that are kept.
const MAX_POSTINGS: usize = 500_000;

/// The most files that are read.
const MAX_FILES: usize = 1_000;

/// How many bad lines are logged one by one.
const LOGGED: u64 = 10;

/// Memory for postings on their way into the index, in bytes. More of it means fewer parts to merge.
const WRITER_BYTES: usize = 64 << 20;

/// The files as they were at some moment. Equal ones have the same content, as far as names, sizes and times tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Files(Vec<(PathBuf, u64, Option<SystemTime>)>);

/// What the files hold.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) index: Index,
    /// Lines that are no postings.
    pub(super) bad_lines: u64,
}

impl Files {
    /// The files in `folder` now, in the order of their names; none, if it is not there.
    pub(super) fn list(folder: &Path) -> io::Result<Self> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let is_postings = path.extension().is_some_and(|extension| extension == "jsonl");
            // Not the entry's own metadata: mounted ConfigMaps are links.
            let Ok(metadata) = fs::metadata(&path) else {
                continue;
            };
            if is_postings && metadata.is_file() {
                files.push((path, metadata.len(), metadata.modified().ok()));
            }
        }
        files.sort_unstable();
        if files.len() > MAX_FILES {
            tracing::warn!(folder = %folder.display(), "more than {MAX_FILES} files of postings; the rest is left out");
            files.truncate(MAX_FILES);
        }
        Ok(Self(files))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads all of them. What cannot be read is logged by file and line, and the rest kept.
    pub(super) fn read(&self) -> Result<Own, index::Error> {
        let mut reading = Reading {
            builder: Builder::new(WRITER_BYTES)?,
            ids: HashSet::new(),
            bad_lines: 0,
            buffer: Vec::new(),
        };
        for (path, ..) in &self.0 {
            if let Err(error) = reading.file(path)? {
                tracing::warn!(file = %path.display(), %error, "a file of postings cannot be read to its end");
                reading.bad_lines += 1;
            }
            if reading.ids.len() >= MAX_POSTINGS {
                tracing::warn!(file = %path.display(), "there are {MAX_POSTINGS} postings; the rest is left out");
                break;
            }
        }
        if reading.bad_lines > LOGGED {
            tracing::warn!(
                bad_lines = reading.bad_lines,
                "{LOGGED} bad lines were told; there are more"
            );
        }
        Ok(Own {
            index: reading.builder.finish()?,
            bad_lines: reading.bad_lines,
        })
    }
}

struct Reading {
    builder: Builder,
    /// Digests of the ids that are taken.
    ids: HashSet<u64>,
    bad_lines: u64,
    buffer: Vec<u8>,
}

impl Reading {
    /// Reads a file; the inner error is the file's, the outer one the index's.
    fn file(&mut self, path: &Path) -> Result<io::Result<()>, index::Error> {
        let mut file = match File::open(path) {
            Ok(file) => BufReader::with_capacity(128 << 10, file),
            Err(error) => return Ok(Err(error)),
        };
        for number in 1_u64.. {
            match self.next(&mut file) {
                Err(error) => return Ok(Err(error)),
                Ok(Some(Length::End)) => break,
                Ok(Some(Length::Long)) => self.bad(path, number, &format!("longer than {MAX_LINE} bytes")),
                Ok(None) => match line::parse(&self.buffer) {
                    Ok(entry) if !self.ids.insert(key_of(&[&entry.job.job_id])) => {
                        self.bad(path, number, "its job_id, or the same posting, was there before");
                    }
                    Ok(entry) => self.builder.add(&entry)?,
                    Err(_) if self.buffer.trim_ascii().is_empty() => {}
                    Err(error) => self.bad(path, number, &error.to_string()),
                },
            }
            if self.ids.len() >= MAX_POSTINGS {
                break;
            }
        }
        Ok(Ok(()))
    }

    /// Fills the buffer with the next line, unless there is something about its length.
    fn next(&mut self, file: &mut BufReader<File>) -> io::Result<Option<Length>> {
        self.buffer.clear();
        let read = file
            .by_ref()
            .take(MAX_LINE + 1)
            .read_until(b'\n', &mut self.buffer)?;
        if read == 0 {
            return Ok(Some(Length::End));
        }
        if self.buffer.last() == Some(&b'\n') || read as u64 <= MAX_LINE {
            return Ok(None);
        }
        // To the end of it, without keeping it.
        while !self.buffer.is_empty() && self.buffer.last() != Some(&b'\n') {
            self.buffer.clear();
            file.by_ref().take(MAX_LINE).read_until(b'\n', &mut self.buffer)?;
        }
        Ok(Some(Length::Long))
    }

    fn bad(&mut self, path: &Path, number: u64, error: &str) {
        self.bad_lines += 1;
        if self.bad_lines <= LOGGED {
            tracing::warn!(file = %path.display(), line = number, error, "a line is no posting and is left out");
        }
    }
}

/// What is special about a line's length.
enum Length {
    End,
    Long,
}
