//! A gRPC server with health, reflection, deadlines and callers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::RoutesBuilder;
use tonic::transport::Server;

use super::caller::{CallerLayer, TokenVerifier};
use super::tls::TlsConfig;
use crate::config::ConfigError;
use crate::lifecycle::Lifecycle;

/// How long streams may go on after the process was told to stop.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// Where gRPC listens.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GrpcConfig {
    /// Address and port. Default `127.0.0.1:50051`; port 0 takes a free one. Beyond loopback `[tls]` must be set.
    pub bind: SocketAddr,
    /// What other services are to call, as host:port. Default: the address bound.
    pub advertised: Option<String>,
}

impl Default for GrpcConfig {
    fn default() -> Self {
        Self { bind: SocketAddr::from(([127, 0, 0, 1], 50_051)), advertised: None }
    }
}

impl GrpcConfig {
    /// Looks for mistakes that types cannot show.
    pub fn check(&self, tls: &TlsConfig, errors: &mut Vec<ConfigError>) {
        if !self.bind.ip().is_loopback() && !tls.is_set() {
            errors.push(ConfigError::new(
                "grpc.bind",
                "beyond loopback, tls.ca, tls.cert and tls.key must be set",
            ));
        }
        if self.bind.ip().is_unspecified() && self.advertised.is_none() {
            errors.push(ConfigError::new(
                "grpc.advertised",
                "must be set when grpc.bind is an unspecified address",
            ));
        }
    }
}

/// A port that is taken but not yet served, so that its number can be told to others first.
#[derive(Debug)]
pub struct BoundGrpc {
    listener: TcpListener,
    address: SocketAddr,
    advertised: String,
}

impl BoundGrpc {
    /// Takes the port.
    pub async fn bind(config: &GrpcConfig) -> std::io::Result<Self> {
        let listener = TcpListener::bind(config.bind).await?;
        let address = listener.local_addr()?;
        let advertised = config.advertised.clone().unwrap_or_else(|| address.to_string());
        Ok(Self { listener, address, advertised })
    }

    /// The real address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What other services are to call.
    pub fn advertised(&self) -> &str {
        &self.advertised
    }

    /// Serves until the process stops. Health and reflection are added to `routes`.
    pub async fn serve(
        self,
        tls: &TlsConfig,
        mut routes: RoutesBuilder,
        verifier: Option<Arc<dyn TokenVerifier>>,
        lifecycle: &Lifecycle,
    ) -> anyhow::Result<JoinHandle<()>> {
        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_service_status("", tonic_health::ServingStatus::Serving).await;
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(sidetone_proto::DESCRIPTORS)
            .build_v1()?;
        routes.add_service(health_service).add_service(reflection);

        let server_tls = tls.server(verifier.is_some())?;
        let layer = CallerLayer {
            plaintext: server_tls.is_none(),
            verifier: verifier.unwrap_or_else(|| Arc::new(super::caller::NoTokens)),
        };
        let mut server = Server::builder()
            .http2_keepalive_interval(Some(Duration::from_secs(2)))
            .http2_keepalive_timeout(Some(Duration::from_secs(3)))
            .tcp_nodelay(true);
        if let Some(server_tls) = server_tls {
            server = server.tls_config(server_tls)?;
        }
        let stopping = lifecycle.stopping();
        let draining = lifecycle.draining();
        tokio::spawn(async move {
            draining.cancelled().await;
            health.set_service_status("", tonic_health::ServingStatus::NotServing).await;
        });
        let serving = server.layer(layer).add_routes(routes.routes()).serve_with_incoming_shutdown(
            TcpListenerStream::new(self.listener),
            stopping.clone().cancelled_owned(),
        );
        Ok(tokio::spawn(async move {
            let grace = async {
                stopping.cancelled().await;
                tokio::time::sleep(STOP_GRACE).await;
            };
            tokio::select! {
                served = serving => if let Err(error) = served {
                    tracing::error!(%error, "the gRPC server failed");
                },
                () = grace => {}
            }
        }))
    }
}
