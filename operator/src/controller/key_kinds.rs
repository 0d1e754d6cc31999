//! The kinds of keys that the operator makes: where they stand in which Secret, and what is noted beside them.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    build::{KEYS_SUFFIX, SESSION_KEY, TOKENS},
    rotation::Material,
};

/// Length of a key in bytes: 256 bits.
pub(super) const KEY_BYTES: usize = 32;
/// How a token begins that the operator made, so that people and scanners know it. The server shows ids of such
/// tokens, and of no others: those that people choose might be guessed from an id.
const TOKEN_PREFIX: &str = "iam_";
/// The principal that a generated token names.
const PRINCIPAL: &str = "generated";

/// What follows from all keys of a kind.
pub type Derive = fn(&[&[u8]]) -> Vec<u8>;

/// One kind of keys.
#[derive(Debug)]
pub struct KeyKind {
    /// What its Secret's name ends with, after the server's.
    pub suffix: &'static str,
    /// What it is called.
    pub called: &'static str,
    /// Where the key in use stands.
    pub current: &'static str,
    /// Where the key stands that is to be used next.
    pub next: &'static str,
    /// Where the key stands that was used before.
    pub previous: &'static str,
    /// Annotation on a McpServer: any new value asks for a new key. On the Secret: the value that was last acted on.
    pub rotate: &'static str,
    /// Annotation on the Secret: when the last step of a rotation under way was taken.
    pub since: &'static str,
    /// Annotation on the Secret: when the key in use came into use, if that is not when the Secret was made.
    pub made: &'static str,
    /// Who has to know a key before it is used, and how long it is needed after.
    pub material: Material,
    /// What else stands in the Secret and follows from the keys: where, and what.
    pub derived: Option<(&'static str, Derive)>,
    /// Makes a key of random bytes.
    pub make: fn(&[u8; KEY_BYTES]) -> Vec<u8>,
    /// What events say of each step.
    pub told: Told,
}

/// What events say.
#[derive(Debug)]
pub struct Told {
    /// There is a next one.
    pub started: &'static str,
    /// It is the one in use.
    pub promoted: &'static str,
    /// The one before is gone.
    pub retired: &'static str,
}

/// The keys that seal session ids.
pub static SESSION: KeyKind = KeyKind {
    suffix: KEYS_SUFFIX,
    called: "session key",
    current: SESSION_KEY,
    next: "session-key-next",
    previous: "session-key-previous",
    rotate: "iam-mcp.dev/rotate-session-key",
    since: "iam-mcp.dev/session-key-since",
    made: "iam-mcp.dev/session-key-made",
    material: Material::SessionKey,
    derived: None,
    make: |random| random.to_vec(),
    told: Told {
        started: "a new session key was added; it seals when every running pod accepts it",
        promoted: "every running pod accepts the new session key, so it seals from now on; the old one is accepted until the pods that sealed with it are gone, for 7 days at most",
        retired: "no session is left that the old session key sealed; it is accepted no longer",
    },
};

/// The token of `auth.bearer.generated`.
pub static TOKEN: KeyKind = KeyKind {
    suffix: "-token",
    called: "token",
    current: "token",
    next: "token-next",
    previous: "token-previous",
    rotate: "iam-mcp.dev/rotate-token",
    since: "iam-mcp.dev/token-since",
    made: "iam-mcp.dev/token-made",
    material: Material::Token,
    derived: Some((TOKENS, token_file)),
    make: |random| [TOKEN_PREFIX.as_bytes(), URL_SAFE_NO_PAD.encode(random).as_bytes()].concat(),
    told: Told {
        started: "a new token was made; it is published as \"token\" when every running pod accepts it",
        promoted: "every running pod accepts the new token, which is \"token\" in the Secret from now on; the old one is accepted for 7 days: give clients the new one",
        retired: "the old token is accepted no longer",
    },
};

impl KeyKind {
    /// Whether this is a key of the kind: servers refuse others, or never say that they know it.
    #[must_use]
    pub fn is_valid(&self, key: &[u8]) -> bool {
        match self.material {
            Material::SessionKey => key.len() == KEY_BYTES,
            Material::Token => {
                let random = key.strip_prefix(TOKEN_PREFIX.as_bytes());
                random.is_some_and(|random| {
                    let good = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
                    random.len() == 43 && random.iter().all(good)
                })
            }
        }
    }
}

/// The file that a server reads: a line a token, all of one principal, so that what it saved stays its own.
fn token_file(tokens: &[&[u8]]) -> Vec<u8> {
    tokens
        .iter()
        .fold(String::new(), |mut text, token| {
            let _ = writeln!(text, "{PRINCIPAL} {}", String::from_utf8_lossy(token));
            text
        })
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_form() {
        let token = (TOKEN.make)(&[7; KEY_BYTES]);
        assert_eq!(token, b"iam_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc");
        assert!(TOKEN.is_valid(&token) && !SESSION.is_valid(&token));
        for other in [
            "",
            "iam_",
            "iam_short",
            &"a".repeat(47),
            &format!("iam_{}", " ".repeat(43)),
        ] {
            assert!(!TOKEN.is_valid(other.as_bytes()), "{other:?}");
        }
        assert!(SESSION.is_valid(&(SESSION.make)(&[7; KEY_BYTES])));
    }

    #[test]
    fn all_tokens_are_one_principal() {
        assert_eq!(token_file(&[b"one", b"two"]), b"generated one\ngenerated two\n");
    }
}
