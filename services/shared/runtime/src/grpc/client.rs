//! Calling another service.

use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

use super::tls::TlsConfig;

/// A channel to `address` (host:port) that connects when first used and again when it broke.
///
/// A peer that vanishes without a word is noticed within 3 s by pings, also while nothing else is sent.
pub fn channel(address: &str, tls: &TlsConfig) -> anyhow::Result<Channel> {
    let client_tls = tls.client()?;
    let scheme = if client_tls.is_some() { "https" } else { "http" };
    let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))?
        .connect_timeout(Duration::from_secs(1))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(1))
        .keep_alive_timeout(Duration::from_secs(2))
        .keep_alive_while_idle(true);
    if let Some(client_tls) = client_tls {
        endpoint = endpoint.tls_config(client_tls)?;
    }
    Ok(endpoint.connect_lazy())
}
