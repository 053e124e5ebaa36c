//! The certificate that a node shows in handshakes: made at its start, signed by itself, known by its fingerprint alone.

use std::sync::Arc;
use std::time::Duration;

use dimpl::{Config, DtlsCertificate};
use sidetone_model::media::Fingerprint;

use super::fingerprint::sha_256;

/// Who the node is in handshakes, and how it leads them.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(super) certificate: DtlsCertificate,
    pub(crate) fingerprint: Fingerprint,
    /// Where ICE has proved the address.
    pub(super) checked: Arc<Config>,
    /// Where an address is only a claim: it must first repeat a cookie, so that nobody is sent a flight unasked.
    pub(super) unchecked: Arc<Config>,
}

/// A handshake that is not over by then has failed.
pub(super) const HANDSHAKE_MAX: Duration = Duration::from_secs(30);
/// The first repetition of a flight.
const FIRST_REPEAT: Duration = Duration::from_millis(200);
/// Repetitions, each after twice the time: as many as there is time for.
const REPEATS: usize = 7;

impl Identity {
    /// Makes a key and a certificate.
    ///
    /// # Errors
    /// When the library cannot.
    pub(crate) fn new() -> Result<Self, &'static str> {
        let certificate = dimpl::certificate::generate_self_signed_certificate()
            .map_err(|_| "a certificate for DTLS could not be made")?;
        let config = |cookie| {
            let config = Config::builder()
                .use_server_cookie(cookie)
                .require_client_certificate(true)
                .handshake_timeout(HANDSHAKE_MAX)
                .flight_start_rto(FIRST_REPEAT)
                .flight_retries(REPEATS)
                .build();
            config.map(Arc::new).map_err(|_| "DTLS could not be set up")
        };
        Ok(Self {
            fingerprint: sha_256(&certificate.certificate),
            certificate,
            checked: config(false)?,
            unchecked: config(true)?,
        })
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}
