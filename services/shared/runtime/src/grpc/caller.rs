//! Who calls, found out once for every request and put into its extensions.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use sidetone_model::ids::TenantId;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use tonic::{Request, Status};

/// Who calls a gRPC service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Another service, or the operator: it showed a certificate, or is on the loopback of a server without TLS, or is
    /// in the same process.
    Operator,
    /// An application of one tenant: it showed a token.
    Tenant(TenantId),
}

impl Caller {
    /// Who sent a request. Requests that did not come over the network are the process's own.
    pub fn of<T>(request: &Request<T>) -> Self {
        request.extensions().get::<Self>().cloned().unwrap_or(Self::Operator)
    }

    /// Whether it may act for a tenant.
    pub fn may(&self, tenant: &TenantId) -> Result<(), Status> {
        match self {
            Self::Operator => Ok(()),
            Self::Tenant(own) if own == tenant => Ok(()),
            // The same answer whether that tenant exists or not.
            Self::Tenant(_) => Err(Status::permission_denied("this token belongs to another tenant")),
        }
    }

    /// Whether it may do what concerns the whole installation.
    pub fn must_be_operator(&self) -> Result<(), Status> {
        match self {
            Self::Operator => Ok(()),
            Self::Tenant(_) => {
                Err(Status::permission_denied("only the operator may do this; use the client certificate"))
            }
        }
    }
}

/// Tells whose a bearer token is.
#[async_trait::async_trait]
pub trait TokenVerifier: Send + Sync + 'static {
    /// The tenant of a token; none when the token is not known.
    async fn verify(&self, secret: &str) -> Result<Option<TenantId>, Status>;
}

/// Accepts no token at all: for services that only other services call.
#[derive(Debug, Clone, Copy)]
pub struct NoTokens;

#[async_trait::async_trait]
impl TokenVerifier for NoTokens {
    async fn verify(&self, _secret: &str) -> Result<Option<TenantId>, Status> {
        Ok(None)
    }
}

/// The layer that finds out the caller and refuses strangers.
#[derive(Clone)]
pub(crate) struct CallerLayer {
    pub(crate) verifier: Arc<dyn TokenVerifier>,
    /// Without TLS the server listens on loopback only, and everybody there is the operator.
    pub(crate) plaintext: bool,
}

impl<S> tower::Layer<S> for CallerLayer {
    type Service = CallerService<S>;
    fn layer(&self, inner: S) -> Self::Service {
        CallerService { inner, layer: self.clone() }
    }
}

/// See [`CallerLayer`].
#[derive(Clone)]
pub(crate) struct CallerService<S> {
    inner: S,
    layer: CallerLayer,
}

impl<S> tower::Service<http::Request<Body>> for CallerService<S>
where
    S: tower::Service<http::Request<Body>, Response = http::Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        // The clone that was polled ready is the one that must be called.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        let claim = self.layer.claim(&request);
        let verifier = Arc::clone(&self.layer.verifier);
        Box::pin(async move {
            match claim.check(&*verifier).await {
                Ok(caller) => {
                    request.extensions_mut().insert(caller);
                    inner.call(request).await
                }
                Err(status) => Ok(status.into_http()),
            }
        })
    }
}

/// What a request says about its sender.
enum Claim {
    Operator,
    Token(String),
    Nothing,
}

impl Claim {
    async fn check(self, verifier: &dyn TokenVerifier) -> Result<Caller, Status> {
        match self {
            Self::Operator => Ok(Caller::Operator),
            Self::Token(secret) => match verifier.verify(&secret).await? {
                Some(tenant) => Ok(Caller::Tenant(tenant)),
                None => Err(Status::unauthenticated("unknown token")),
            },
            Self::Nothing => Err(Status::unauthenticated(
                "show a client certificate, or a token as `authorization: Bearer …`",
            )),
        }
    }
}

impl CallerLayer {
    fn claim(&self, request: &http::Request<Body>) -> Claim {
        if self.shows_certificate(request) {
            return Claim::Operator;
        }
        let bearer = request
            .headers()
            .get(http::header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("bearer ")));
        match bearer {
            Some(secret) => Claim::Token(secret.trim().to_owned()),
            None if self.plaintext => Claim::Operator,
            None => Claim::Nothing,
        }
    }

    fn shows_certificate(&self, request: &http::Request<Body>) -> bool {
        request
            .extensions()
            .get::<TlsConnectInfo<TcpConnectInfo>>()
            .and_then(TlsConnectInfo::peer_certs)
            .is_some_and(|certificates| !certificates.is_empty())
    }
}
