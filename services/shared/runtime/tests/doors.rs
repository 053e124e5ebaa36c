//! Who gets in: certificates, tokens, and nobody else.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use sidetone_model::ids::TenantId;
use sidetone_proto::push::v1::push_client::PushClient;
use sidetone_proto::push::v1::push_server::{Push, PushServer};
use sidetone_proto::push::v1::*;
use sidetone_runtime::grpc::caller::TokenVerifier;
use sidetone_runtime::grpc::{BoundGrpc, GrpcConfig, TlsConfig, channel, make_certificates};
use sidetone_runtime::{Caller, Lifecycle};
use tonic::service::RoutesBuilder;
use tonic::{Code, Request, Response, Status};

/// Answers who asked, as the tenant of a target.
struct WhoAsks;

#[tonic::async_trait]
impl Push for WhoAsks {
    async fn list_targets(
        &self,
        request: Request<ListTargetsRequest>,
    ) -> Result<Response<ListTargetsResponse>, Status> {
        let caller = Caller::of(&request);
        let tenant = TenantId::new(&request.get_ref().tenant).unwrap();
        caller.may(&tenant)?;
        let tenant = match caller {
            Caller::Operator => "(operator)".to_owned(),
            Caller::Tenant(tenant) => tenant.to_string(),
        };
        Ok(Response::new(ListTargetsResponse { targets: vec![Target { tenant, ..Target::default() }] }))
    }
    async fn wake(&self, _: Request<WakeRequest>) -> Result<Response<WakeResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn cancel(&self, _: Request<CancelRequest>) -> Result<Response<CancelResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn get_wake_up(&self, _: Request<GetWakeUpRequest>) -> Result<Response<WakeUp>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn list_dead_letters(
        &self,
        _: Request<ListDeadLettersRequest>,
    ) -> Result<Response<ListDeadLettersResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn replay(&self, _: Request<ReplayRequest>) -> Result<Response<WakeResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn put_target(&self, _: Request<PutTargetRequest>) -> Result<Response<Target>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn delete_target(
        &self,
        _: Request<DeleteTargetRequest>,
    ) -> Result<Response<DeleteTargetResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

struct OneToken;

#[tonic::async_trait]
impl TokenVerifier for OneToken {
    async fn verify(&self, secret: &str) -> Result<Option<TenantId>, Status> {
        Ok((secret == "right").then(|| TenantId::new("acme").unwrap()))
    }
}

async fn server(tls: &TlsConfig, tokens: bool, lifecycle: &Lifecycle) -> String {
    let config = GrpcConfig { bind: "127.0.0.1:0".parse().unwrap(), advertised: None };
    let bound = BoundGrpc::bind(&config).await.unwrap();
    let address = bound.advertised().to_owned();
    let mut routes = RoutesBuilder::default();
    routes.add_service(PushServer::new(WhoAsks));
    let verifier = tokens.then(|| Arc::new(OneToken) as Arc<dyn TokenVerifier>);
    bound.serve(tls, routes, verifier, lifecycle).await.unwrap();
    address
}

async fn ask(address: &str, tls: &TlsConfig, token: Option<&str>, tenant: &str) -> Result<String, Code> {
    let mut tries = 0..5;
    loop {
        let mut request = Request::new(ListTargetsRequest { tenant: tenant.to_owned() });
        if let Some(token) = token {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let answer = PushClient::new(channel(address, tls).unwrap()).list_targets(request).await;
        match answer.map(|r| r.into_inner().targets[0].tenant.clone()).map_err(|status| status.code()) {
            // A connection is to be there within a second, with TLS, on a machine that stalls.
            Err(Code::Unavailable) if tries.next().is_some() => {}
            answer => return answer,
        }
    }
}

#[tokio::test]
async fn a_certificate_is_the_operator_and_a_token_is_its_tenant() {
    let folder = tempfile::tempdir().unwrap();
    let ours = make_certificates(&folder.path().join("ours"), &[]).unwrap();
    let strangers = make_certificates(&folder.path().join("strangers"), &[]).unwrap();
    let lifecycle = Lifecycle::new();
    let address = server(&ours, true, &lifecycle).await;
    let nameless = TlsConfig { ca: ours.ca.clone(), cert: None, key: None };
    let disguised = TlsConfig { ca: ours.ca.clone(), ..strangers.clone() };

    assert_eq!(ask(&address, &ours, None, "acme").await.as_deref(), Ok("(operator)"));
    assert_eq!(ask(&address, &nameless, Some("right"), "acme").await.as_deref(), Ok("acme"));
    assert_eq!(ask(&address, &nameless, Some("right"), "other").await, Err(Code::PermissionDenied));
    assert_eq!(ask(&address, &nameless, Some("wrong"), "acme").await, Err(Code::Unauthenticated));
    assert_eq!(ask(&address, &nameless, None, "acme").await, Err(Code::Unauthenticated));
    assert!(ask(&address, &disguised, None, "acme").await.is_err(), "a stranger's certificate was taken");
    assert!(ask(&address, &TlsConfig::default(), None, "acme").await.is_err(), "plaintext was taken");
    lifecycle.stop();
}

#[tokio::test]
async fn between_services_a_certificate_is_the_only_way() {
    let folder = tempfile::tempdir().unwrap();
    let ours = make_certificates(&folder.path().join("ours"), &[]).unwrap();
    let lifecycle = Lifecycle::new();
    let address = server(&ours, false, &lifecycle).await;
    let nameless = TlsConfig { ca: ours.ca.clone(), cert: None, key: None };

    assert_eq!(ask(&address, &ours, None, "acme").await.as_deref(), Ok("(operator)"));
    assert!(ask(&address, &nameless, Some("right"), "acme").await.is_err(), "no certificate was needed");
    lifecycle.stop();
}

#[tokio::test]
async fn loopback_without_tls_is_the_operator() {
    let lifecycle = Lifecycle::new();
    let address = server(&TlsConfig::default(), true, &lifecycle).await;
    assert_eq!(ask(&address, &TlsConfig::default(), None, "acme").await.as_deref(), Ok("(operator)"));
    assert_eq!(ask(&address, &TlsConfig::default(), Some("right"), "acme").await.as_deref(), Ok("acme"));
    lifecycle.stop();
}

#[test]
fn plaintext_beyond_loopback_is_a_mistake() {
    let mut errors = Vec::new();
    let config = GrpcConfig { bind: "192.0.2.1:50051".parse().unwrap(), advertised: None };
    config.check(&TlsConfig::default(), &mut errors);
    assert_eq!(errors[0].key, "grpc.bind");
}

#[tokio::test]
async fn every_server_tells_its_health_and_describes_itself() {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::health_client::HealthClient;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

    let lifecycle = Lifecycle::new();
    let address = server(&TlsConfig::default(), false, &lifecycle).await;
    let to_server = channel(&address, &TlsConfig::default()).unwrap();
    let health = HealthClient::new(to_server.clone()).check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(health.into_inner().status(), ServingStatus::Serving);

    let ask = |symbol: &str| ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::FileContainingSymbol(symbol.to_owned())),
    };
    let asked = tokio_stream::iter([ask("sidetone.push.v1.Push"), ask("sidetone.media.v1.Media")]);
    let mut answers =
        ServerReflectionClient::new(to_server).server_reflection_info(asked).await.unwrap().into_inner();
    for _ in 0..2 {
        let ServerReflectionResponse { message_response, .. } = answers.message().await.unwrap().unwrap();
        assert!(
            matches!(message_response, Some(MessageResponse::FileDescriptorResponse(_))),
            "{message_response:?}"
        );
    }
    lifecycle.stop();
}
