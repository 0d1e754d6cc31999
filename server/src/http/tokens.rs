//! The file of tokens, read again when it changes.
//!
//! One token a line: `NAME TOKEN`, or only `TOKEN`, whose name is then the first 8 hex digits of its SHA-256.
//! Blank lines and lines that begin with `#` are skipped. Several tokens of one name are one principal, so a
//! rotation adds the new one, waits until clients use it, and takes the old one away.

use std::{
    fmt::Write as _,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use ring::digest;
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

use super::principal::{self, Principal};
use crate::{
    fresh::{self, Fresh},
    keyring::KeyId,
};

/// Room for about a thousand tokens. Each request is compared with all of them, and a bigger file is
/// probably the wrong one.
const MAX_BYTES: u64 = 64 << 10;

/// Shorter ones can be guessed.
const MIN_TOKEN: usize = 16;

/// The longest name.
const MAX_NAME: usize = 64;

/// How many bad lines are named one by one.
const MAX_REPORTED: usize = 10;

type Digest = [u8; digest::SHA256_OUTPUT_LEN];

/// What is wrong with the file; it shows nothing of what is in it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system says why.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    /// More than [`MAX_BYTES`].
    #[error("is larger than {} KiB", MAX_BYTES >> 10)]
    TooLarge,
    /// One line is none; the others count.
    #[error("line {number}: {fault}")]
    Line {
        /// Counted from 1.
        number: usize,
        /// What it should be.
        fault: &'static str,
    },
}

impl Error {
    /// A bounded name for metrics and logs.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "unreadable",
            Self::TooLarge => "too_large",
            Self::Line { .. } => "line",
        }
    }
}

/// The tokens at this moment.
#[derive(Debug)]
pub struct Tokens {
    path: PathBuf,
    known: Fresh<Arc<Known>>,
}

/// What was read last.
#[derive(Debug, Default, Clone)]
struct Known {
    tokens: Vec<Token>,
    /// Of the content, to see whether it changed.
    content: Option<Digest>,
    /// Whether the last try failed, so that it is said once and not every three seconds.
    stale: bool,
}

/// Only what is needed to know it again.
#[derive(Clone)]
pub(crate) struct Token {
    digest: Digest,
    owner: Principal,
    /// Of one that the operator made. Those that people choose might be guessed from it.
    id: Option<KeyId>,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_tuple("Token").field(&self.owner).finish()
    }
}

impl Tokens {
    /// Those of this file, which counts as fresh for [`fresh::FILE`]. Reads it, so that bad lines are logged at
    /// the start and not when the first client comes.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        let tokens = Self::lasting(path, fresh::FILE);
        tokens.known();
        tokens
    }

    fn lasting(path: &Path, fresh: Duration) -> Self {
        Self {
            path: path.into(),
            known: Fresh::new(fresh),
        }
    }

    fn known(&self) -> Arc<Known> {
        self.known.get(|last| read_again(&self.path, last))
    }

    /// Whose token this is. Takes as long for every token of a length, whichever it is like: hashed first,
    /// that nobody can feel the way to one, then compared with all in constant time.
    #[must_use]
    pub fn owner(&self, token: &str) -> Option<Principal> {
        let known = self.known();
        let digest = sha256(token.as_bytes());
        let mut owner = [0; principal::BYTES];
        let mut found = Choice::from(0);
        for token in &known.tokens {
            let same = token.digest.ct_eq(&digest);
            for (byte, own) in owner.iter_mut().zip(token.owner.as_bytes()) {
                byte.conditional_assign(own, same);
            }
            found |= same;
        }
        bool::from(found).then_some(Principal::from_bytes(owner))
    }

    /// The ids of those that the operator made.
    #[must_use]
    pub fn generated_ids(&self) -> Vec<KeyId> {
        self.known().tokens.iter().filter_map(|token| token.id).collect()
    }
}

/// The first token in the file; `None` if there is none.
#[must_use]
pub fn first(path: &Path) -> Option<String> {
    let content = read(path).ok()?;
    let text = String::from_utf8_lossy(&content);
    let good = |line: &&str| matches!(parse_line(line.trim()), Some(Ok(_)));
    let line = text.lines().find(good)?;
    line.split_whitespace().last().map(str::to_owned)
}

/// Whether the operator made this token: `iam_` and 32 random bytes.
fn is_generated(token: &str) -> bool {
    let random = token.strip_prefix("iam_");
    random.is_some_and(|random| {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        random.len() == 43 && random.bytes().all(good)
    })
}

/// Whether a server can start with this file: it can be read, and holds a token.
///
/// # Errors
/// Why it cannot.
pub fn check(path: &Path) -> Result<(), String> {
    let (tokens, faults) = parse(&read(path).map_err(|error| error.to_string())?);
    if !tokens.is_empty() {
        return Ok(());
    }
    let mut advice = "holds no token: write one a line, NAME TOKEN".to_owned();
    for fault in faults.iter().take(MAX_REPORTED) {
        let _ = write!(advice, "; {fault}");
    }
    Err(advice)
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    let read = std::fs::File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut content)?;
    if read as u64 > MAX_BYTES {
        return Err(Error::TooLarge);
    }
    Ok(content)
}

/// What is in the file now; while it cannot be read, what was in it, lest everybody be locked out.
fn read_again(path: &Path, last: Option<Arc<Known>>) -> Arc<Known> {
    let last = last.unwrap_or_default();
    let content = match read(path) {
        Ok(content) => content,
        Err(_) if last.stale => return last,
        Err(error) => {
            let tokens = last.tokens.len();
            tracing::warn!(path = %path.display(), %error, tokens, "AUTH_TOKENS_FILE: its last content counts");
            return Arc::new(Known {
                stale: true,
                ..Known::clone(&last)
            });
        }
    };
    let digest = Some(sha256(&content));
    if last.content == digest && !last.stale {
        return last;
    }
    let (tokens, faults) = parse(&content);
    for fault in faults.iter().take(MAX_REPORTED) {
        tracing::warn!(path = %path.display(), "AUTH_TOKENS_FILE: {fault}");
    }
    if tokens.is_empty() {
        tracing::warn!(path = %path.display(), "AUTH_TOKENS_FILE: holds no token; every request is refused");
    }
    tracing::info!(tokens = tokens.len(), bad_lines = faults.len(), "tokens read");
    Arc::new(Known {
        tokens,
        content: digest,
        stale: false,
    })
}

pub(crate) fn parse(content: &[u8]) -> (Vec<Token>, Vec<Error>) {
    let (mut tokens, mut faults) = (Vec::<Token>::new(), Vec::new());
    // What is no UTF-8 becomes characters that no token has; comments may hold any.
    for (line, number) in String::from_utf8_lossy(content).lines().zip(1..) {
        match parse_line(line.trim()) {
            None => {}
            Some(Err(fault)) => faults.push(Error::Line { number, fault }),
            Some(Ok(token)) => match tokens.iter().find(|other| other.digest == token.digest) {
                None => tokens.push(token),
                Some(same) if same.owner == token.owner => {}
                Some(_) => faults.push(Error::Line {
                    number,
                    fault: "another name has this token already",
                }),
            },
        }
    }
    (tokens, faults)
}

fn parse_line(line: &str) -> Option<Result<Token, &'static str>> {
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let mut words = line.split_whitespace();
    let (first, second) = (words.next()?, words.next());
    if words.next().is_some() {
        return Some(Err("use NAME TOKEN, or only TOKEN"));
    }
    let (name, token) = second.map_or((None, first), |token| (Some(first), token));
    Some(named(name, token))
}

fn named(name: Option<&str>, token: &str) -> Result<Token, &'static str> {
    let visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    if !visible(token) || token.len() < MIN_TOKEN {
        return Err("a token is at least 16 visible ASCII characters");
    }
    let digest = sha256(token.as_bytes());
    let owner = match name {
        Some(name) if !visible(name) || name.len() > MAX_NAME => {
            return Err("a name is at most 64 visible ASCII characters");
        }
        Some(name) => Principal::named(name),
        None => {
            let [a, b, c, d, ..] = digest;
            Principal::named(&format!("{:08x}", u32::from_be_bytes([a, b, c, d])))
        }
    };
    let id = is_generated(token).then(|| KeyId::of(token.as_bytes()));
    Ok(Token { digest, owner, id })
}

fn sha256(bytes: &[u8]) -> Digest {
    let mut digest = Digest::default();
    digest.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "old-token-of-alice";
    const NEW: &str = "new-token-of-alice";

    fn write(content: impl AsRef<[u8]>) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        std::fs::write(file.path(), content).expect("written");
        file
    }

    fn always_reading(file: &tempfile::NamedTempFile) -> Tokens {
        Tokens::lasting(file.path(), Duration::ZERO)
    }

    #[test]
    fn names_comments_and_blank_lines() {
        let file = write(format!(
            "# alice's\n\n  alice\t{OLD}  \r\nalice {NEW}\r\n\n{NEW}-of-nobody\n#bob {OLD}-bob\nh#sh {OLD}#1\n"
        ));
        let tokens = always_reading(&file);
        let alice = Some(Principal::named("alice"));
        assert_eq!((tokens.owner(OLD), tokens.owner(NEW)), (alice, alice));
        // printf new-token-of-alice-of-nobody | sha256sum
        let unnamed = tokens.owner("new-token-of-alice-of-nobody");
        assert_eq!(unnamed, Some(Principal::named("72a093ab")));
        assert_eq!(
            tokens.owner("old-token-of-alice#1"),
            Some(Principal::named("h#sh"))
        );
        for unknown in ["", "alice", "#", "old-token-of-alice-bob", "old-token-of-alic"] {
            assert_eq!(tokens.owner(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_bad_line_is_named_by_number_and_the_others_count() {
        let long = "n".repeat(65);
        let file = write(
            [
                format!("alice {OLD}\nbob short\nbob {OLD}\ncarl {NEW} x\n{long} {NEW}\nalice {OLD}\n")
                    .as_bytes(),
                b"d\xe4ve 0123456789abcdef\n# \xe4\ndave 0123456789abcd\xe4f\n",
                format!("eve {NEW}").as_bytes(),
            ]
            .concat(),
        );
        let (tokens, faults) = parse(&read(file.path()).expect("read"));
        let owners: Vec<_> = tokens.iter().map(|token| token.owner).collect();
        assert_eq!(owners, [Principal::named("alice"), Principal::named("eve")]);
        let told: Vec<_> = faults.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(told.join("\n"), @r"
        line 2: a token is at least 16 visible ASCII characters
        line 3: another name has this token already
        line 4: use NAME TOKEN, or only TOKEN
        line 5: a name is at most 64 visible ASCII characters
        line 7: a name is at most 64 visible ASCII characters
        line 9: a token is at least 16 visible ASCII characters
        ");
    }

    #[test]
    fn a_rotation_loses_nobody() {
        let file = write(format!("alice {OLD}\n"));
        let tokens = always_reading(&file);
        let alice = Some(Principal::named("alice"));
        for (content, old, new) in [
            (format!("alice {OLD}"), alice, None),
            (format!("alice {OLD}\nalice {NEW}"), alice, alice),
            (format!("alice {NEW}"), None, alice),
            (String::new(), None, None),
        ] {
            std::fs::write(file.path(), &content).expect("written");
            assert_eq!((tokens.owner(OLD), tokens.owner(NEW)), (old, new), "{content}");
        }
    }

    #[test]
    fn while_the_file_cannot_be_read_its_last_content_counts() {
        let file = write(format!("alice {OLD}"));
        let tokens = always_reading(&file);
        assert!(tokens.owner(OLD).is_some());
        std::fs::write(file.path(), vec![b'x'; 65 << 10]).expect("written");
        assert!(tokens.owner(OLD).is_some(), "too large");
        std::fs::remove_file(file.path()).expect("removed");
        assert!(tokens.owner(OLD).is_some(), "gone");
        std::fs::write(file.path(), format!("alice {NEW}")).expect("written");
        assert_eq!(
            (tokens.owner(OLD).is_some(), tokens.owner(NEW).is_some()),
            (false, true)
        );
    }

    #[test]
    fn a_file_that_was_never_read_lets_nobody_in() {
        let tokens = Tokens::new(Path::new("/nonexistent/tokens"));
        assert_eq!(tokens.owner(OLD), None);
        assert_eq!(tokens.owner(""), None);
    }

    #[test]
    fn only_what_the_operator_made_has_an_id() {
        let made = format!("iam_{}", "BwcH".repeat(11).split_at(43).0);
        let file = write(format!("alice {OLD}\ngenerated {made}\nbob iam_{OLD}\n"));
        assert_eq!(
            always_reading(&file).generated_ids(),
            [KeyId::of(made.as_bytes())]
        );
    }

    #[test]
    fn the_first_good_token_is_not_on_a_bad_line() {
        let file = write(format!("# alice\n\nbob short\nalice {OLD}\n{NEW}\n"));
        assert_eq!(first(file.path()).as_deref(), Some(OLD));
        assert_eq!(first(write("bob short").path()), None);
        assert_eq!(first(Path::new("/nonexistent/tokens")), None);
    }

    #[test]
    fn debug_shows_no_token() {
        let file = write(format!("alice {OLD}"));
        let tokens = always_reading(&file);
        assert!(tokens.owner(OLD).is_some());
        assert!(!format!("{tokens:?}").contains(OLD));
    }
}
