//! On whose behalf a request comes.

/// Who sent a request: a short, stable digest of a name, or nobody in particular.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Principal([u8; Self::LEN]);

impl Principal {
    /// Bytes of a principal.
    pub const LEN: usize = 16;

    /// Everybody, where nobody has to say who they are.
    pub const ANONYMOUS: Self = Self([0; Self::LEN]);

    /// The principal of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}
