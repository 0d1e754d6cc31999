//! Uids, in the 16 bytes that they are: an operator keeps several for each child of each server.

use std::fmt;

/// The uid of an object.
#[derive(Clone, Eq, Hash, PartialEq)]
pub enum Uid {
    /// A UUID, which is what every API server gives.
    Uuid([u8; 16]),
    /// Anything else.
    Other(Box<str>),
}

impl Uid {
    /// Whether it is the one that is written `text`.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        *self == Self::from(text)
    }
}

impl Default for Uid {
    fn default() -> Self {
        Self::Other(Box::default())
    }
}

impl From<&str> for Uid {
    fn from(text: &str) -> Self {
        uuid(text).map_or_else(|| Self::Other(text.into()), Self::Uuid)
    }
}

/// The bytes of a UUID, if it is written as `Display` below writes it.
fn uuid(text: &str) -> Option<[u8; 16]> {
    let mut digits = [0; 32];
    let mut count = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'-' if matches!(at, 8 | 13 | 18 | 23) => continue,
            b'0'..=b'9' => *digits.get_mut(count)? = byte - b'0',
            b'a'..=b'f' => *digits.get_mut(count)? = byte - b'a' + 10,
            _ => return None,
        }
        count += 1;
    }
    if count != digits.len() || text.len() != 36 {
        return None;
    }
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = pair[0] << 4 | pair[1];
    }
    Some(bytes)
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(text) => f.write_str(text),
            Self::Uuid(bytes) => bytes.iter().enumerate().try_for_each(|(at, byte)| {
                let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
                write!(f, "{dash}{byte:02x}")
            }),
        }
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_as_it_was_read() {
        for text in [
            "0e7b5d7c-0000-4000-8000-00000000000f",
            "0E7B5D7C-0000-4000-8000-00000000000F",
            "0e7b5d7c00004000800000000000000f",
            "0e7b5d7c-0000-4000-8000-00000000000",
            "0e7b5d7c-0000-4000-8000-00000000000ff",
            "0e7b5d7c-0000-4000-8000-0000000000-0f",
            "uid-1",
            "",
        ] {
            let uid = Uid::from(text);
            assert_eq!(uid.to_string(), text);
            assert!(uid.is(text));
        }
    }

    #[test]
    fn a_uuid_takes_no_heap() {
        assert!(matches!(
            Uid::from("0e7b5d7c-0000-4000-8000-00000000000f"),
            Uid::Uuid(_)
        ));
        assert!(size_of::<Option<Uid>>() <= 24);
    }
}
