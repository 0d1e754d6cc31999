//! Signatures, checked by ring: it is in the process for TLS, and no second cryptography library need be.

use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind,
    crypto::{CryptoProvider, JwtVerifier, KeyUtils},
    errors::{Error, ErrorKind, new_error},
    signature::{Error as SignatureError, Verifier},
};
use ring::signature::{
    self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};

/// Has `jsonwebtoken` check signatures here, in the whole process.
pub(super) fn install() {
    static RING: CryptoProvider = CryptoProvider {
        signer_factory: |_, _| Err(new_error(ErrorKind::UnsupportedAlgorithm)),
        verifier_factory: |algorithm, key| verifier(*algorithm, key),
        key_utils: KeyUtils::new_unimplemented(),
    };
    // An error means that another part of the process was first, with this same one.
    let _ = RING.install_default();
}

/// The algorithm called `name`, if it is one whose keys the issuer can publish. Whoever can check a shared
/// secret's signatures can make them too, and `none` is none.
pub(super) fn algorithm(name: &str) -> Option<Algorithm> {
    ASYMMETRIC
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, algorithm)| *algorithm)
}

const ASYMMETRIC: [(&str, Algorithm); 9] = [
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
];

enum Key {
    /// Of at least 2048 bits; ring takes no less.
    Rsa(&'static RsaParameters, RsaPublicKeyComponents<Vec<u8>>),
    Point(UnparsedPublicKey<Vec<u8>>),
}

struct RingVerifier {
    algorithm: Algorithm,
    key: Key,
}

fn verifier(algorithm: Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let rsa = |parameters| match key.kind() {
        DecodingKeyKind::RsaModulusExponent { n, e } => {
            let (n, e) = (unpadded(n), unpadded(e));
            Ok(Key::Rsa(parameters, RsaPublicKeyComponents { n, e }))
        }
        DecodingKeyKind::SecretOrDer(_) => Err(new_error(ErrorKind::InvalidKeyFormat)),
    };
    let point = |curve: &'static dyn VerificationAlgorithm| {
        Ok::<_, Error>(Key::Point(UnparsedPublicKey::new(
            curve,
            key.try_get_as_bytes()?.to_vec(),
        )))
    };
    // A key of one family must not be taken for one of another: the library leaves that to the provider.
    if key.family() != algorithm.family() {
        return Err(new_error(ErrorKind::InvalidAlgorithm));
    }
    let key = match algorithm {
        Algorithm::RS256 => rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => rsa(&signature::RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => rsa(&signature::RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => rsa(&signature::RSA_PSS_2048_8192_SHA512),
        Algorithm::ES256 => point(&signature::ECDSA_P256_SHA256_FIXED),
        Algorithm::ES384 => point(&signature::ECDSA_P384_SHA384_FIXED),
        Algorithm::EdDSA => point(&signature::ED25519),
        _ => Err(new_error(ErrorKind::UnsupportedAlgorithm)),
    }?;
    Ok(Box::new(RingVerifier { algorithm, key }))
}

/// Some issuers write numbers with zeros in front, which ring does not take.
fn unpadded(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number[zeros..].to_vec()
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        match &self.key {
            Key::Rsa(parameters, key) => key.verify(parameters, message, signature),
            Key::Point(key) => key.verify(message, signature),
        }
        .map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_a_public_key_is_taken() {
        for name in [
            "none", "None", "NONE", "HS256", "HS384", "HS512", "", "rs256", "RSA-OAEP",
        ] {
            assert_eq!(algorithm(name), None, "{name}");
        }
        assert_eq!(algorithm("EdDSA"), Some(Algorithm::EdDSA));
    }

    #[test]
    fn a_key_of_another_family_makes_no_verifier() {
        let secret = DecodingKey::from_secret(&[4; 65]);
        let point = DecodingKey::from_ec_der(&[4; 65]);
        for (algorithm, key) in [
            (Algorithm::ES256, &secret),
            (Algorithm::RS256, &secret),
            (Algorithm::HS256, &secret),
            (Algorithm::EdDSA, &point),
            (Algorithm::HS256, &point),
        ] {
            assert!(verifier(algorithm, key).is_err(), "{algorithm:?}");
        }
        assert!(verifier(Algorithm::ES256, &point).is_ok());
    }
}
