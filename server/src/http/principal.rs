//! Whose a request is.

use ring::digest;

/// How many bytes tell principals apart.
pub const BYTES: usize = 16;

/// Who sent a request: what sessions are bound to and limits are counted by. The token check puts it among a
/// request's extensions. It holds nothing of the token, so it may travel to other replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Principal([u8; BYTES]);

impl Principal {
    /// Everybody, where nobody is asked for a token.
    pub const ANONYMOUS: Self = Self([0; BYTES]);

    /// The one of this name, the same in every replica and after every rotation.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"iam-mcp principal");
        context.update(name.as_bytes());
        Self::first_of(context)
    }

    /// Whom `issuer` calls `subject`; another issuer's of that name is somebody else, and so is a name of ours.
    #[must_use]
    pub fn of_issuer(issuer: &str, subject: &str) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"iam-mcp oidc principal");
        // With its length in front, so that no issuer and subject run into each other as two others do.
        context.update(&u64::try_from(issuer.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(issuer.as_bytes());
        context.update(subject.as_bytes());
        Self::first_of(context)
    }

    fn first_of(context: digest::Context) -> Self {
        let mut first = [0; BYTES];
        first.copy_from_slice(&context.finish().as_ref()[..BYTES]);
        Self(first)
    }

    /// As [`as_bytes`](Self::as_bytes) gave it.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; BYTES] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_principal_and_nobody_else() {
        let alice = Principal::named("alice");
        assert_eq!(alice, Principal::named("alice"));
        assert_ne!(alice, Principal::named("Alice"));
        assert_ne!(Principal::named(""), Principal::ANONYMOUS);
        assert_eq!(Principal::from_bytes(*alice.as_bytes()), alice);
        // Replicas of different versions must agree: printf 'iam-mcp principalalice' | sha256sum
        assert_eq!(u128::from_be_bytes(*alice.as_bytes()), ALICE);
    }

    #[test]
    fn users_of_two_issuers_are_two() {
        let alice = Principal::of_issuer("https://a", "alice");
        assert_eq!(alice, Principal::of_issuer("https://a", "alice"));
        for other in [
            Principal::of_issuer("https://b", "alice"),
            Principal::of_issuer("https://a", "bob"),
            Principal::of_issuer("https://aa", "lice"),
            Principal::named("alice"),
        ] {
            assert_ne!(alice, other);
        }
    }

    const ALICE: u128 = 0x881f_4d6b_caa5_1c57_ff8f_b187_d8a5_892b;
}
