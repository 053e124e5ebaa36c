//! Signing.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;

use crate::certificate::Chain;
use crate::passport::{ES256, Passport};

/// A key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is no private key in it.
    #[error("expected a private key in PEM")]
    NotPem,
    /// It is of another kind.
    #[error("expected a private key of the curve P-256")]
    NotP256,
    /// The library could not sign.
    #[error("signing failed")]
    Signing,
}

/// The key of a certificate for telephone numbers. `Debug` shows nothing of it.
pub struct SigningKey(EcdsaKeyPair);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

impl SigningKey {
    /// Reads a PEM file's bytes: PKCS #8 or SEC 1.
    ///
    /// # Errors
    /// When there is none, or it is not of P-256.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| KeyError::NotPem)?;
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = match &key {
            PrivateKeyDer::Pkcs8(key) => EcdsaKeyPair::from_pkcs8(algorithm, key.secret_pkcs8_der()),
            PrivateKeyDer::Sec1(key) => EcdsaKeyPair::from_private_key_der(algorithm, key.secret_sec1_der()),
            _ => return Err(KeyError::NotP256),
        };
        pair.map(Self).map_err(|_| KeyError::NotP256)
    }

    /// Whether it is the key of a certificate.
    pub fn is_of(&self, chain: &Chain) -> bool {
        chain.public_key() == self.0.public_key().as_ref()
    }

    /// The value of an Identity header field in its full form. The signature's randomness is the library's own.
    ///
    /// # Errors
    /// [`KeyError::Signing`].
    pub fn sign(&self, passport: &Passport) -> Result<String, KeyError> {
        let input = passport.signing_input();
        let signature = self.0.sign(&SystemRandom::new(), input.as_bytes()).map_err(|_| KeyError::Signing)?;
        let signature = URL_SAFE_NO_PAD.encode(signature.as_ref());
        let ppt = passport.ppt.name().map(|name| format!(";ppt={name}")).unwrap_or_default();
        Ok(format!("{input}.{signature};info=<{}>;alg={ES256}{ppt}", passport.x5u))
    }
}
