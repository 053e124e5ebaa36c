//! `directory.v1` over gRPC, and the check of bearer tokens.

use std::sync::Arc;

use sidetone_model::classify::{Class, Classify};
use sidetone_model::ids::{DeviceId, RoomId, TenantId, UserId};
use sidetone_proto::directory::v1 as pb;
use sidetone_proto::directory::v1::directory_server::Directory as DirectoryV1;
use sidetone_proto::types::v1::destination::Kind;
use sidetone_runtime::grpc::caller::TokenVerifier;
use sidetone_runtime::{Caller, status};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Request, Response, Status};

use crate::directory::Directory;
use crate::error::DirectoryError;
use crate::secret::Password;

/// Serves a [`Directory`]. Tenants themselves are the operator's; everything in a tenant is also its applications'.
#[derive(Clone)]
pub struct DirectoryService {
    directory: Directory,
    prompts: Option<Arc<dyn Prompts>>,
    webhooks: Option<Arc<WebhookProblem>>,
}

/// Why nothing would be posted to a URL.
pub type WebhookProblem = dyn Fn(&str) -> Option<String> + Send + Sync;

/// In the answer's metadata: what was done all the same, and will not work as things are.
pub const WARNING: &str = "sidetone-warning";

/// Who knows which prompts there are.
#[async_trait::async_trait]
pub trait Prompts: Send + Sync {
    /// Why a prompt cannot be played; none when it can, or nobody can tell now.
    async fn problem(&self, prompt: &str) -> Option<String>;
}

/// A number at which nothing would be heard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "number.announcement: the prompt {prompt:?} cannot be played: {problem}; prompts are files in media.prompts_dir"
)]
struct Unplayable {
    prompt: String,
    problem: String,
}

impl Classify for Unplayable {
    fn class(&self) -> Class {
        Class::Invalid
    }

    fn reason(&self) -> &'static str {
        "no_such_prompt"
    }
}

impl std::fmt::Debug for DirectoryService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DirectoryService").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl DirectoryService {
    /// Serves `directory`.
    pub fn new(directory: Directory) -> Self {
        Self { directory, prompts: None, webhooks: None }
    }

    /// Refuses numbers whose announcement nobody could hear.
    pub fn with_prompts(self, prompts: Arc<dyn Prompts>) -> Self {
        Self { prompts: Some(prompts), ..self }
    }

    /// Warns who gives an application a URL to which nothing is posted.
    pub fn with_webhooks(self, webhooks: Arc<WebhookProblem>) -> Self {
        Self { webhooks: Some(webhooks), ..self }
    }

    /// Whose records are asked for. A name that nobody has is no tenant without any.
    async fn listed(&self, request: &Request<pb::ListRequest>) -> Result<(TenantId, Option<UserId>), Status> {
        let tenant = allowed(&Caller::of(request), &request.get_ref().tenant, "tenant")?;
        let there = self.directory.tenant(&tenant).await.map_err(|e| status(&e))?;
        there.ok_or_else(|| status(&DirectoryError::NotFound { what: "tenant" }))?;
        let user = &request.get_ref().user;
        let user = if user.is_empty() { None } else { Some(id(UserId::new(user), "user")?) };
        Ok((tenant, user))
    }

    fn webhook_warning(&self, application: &pb::Application) -> Option<MetadataValue<Ascii>> {
        let problem = self.webhooks.as_ref()?;
        let urls = [
            ("event_url", &application.event_url),
            ("answer_url", &application.answer_url),
            ("fallback_url", &application.fallback_url),
        ];
        let told = |(field, url): (&str, &String)| {
            let why = problem(url).filter(|_| !url.is_empty())?;
            Some(format!("application.{field}: nothing is posted there: {why}"))
        };
        let all: Vec<String> = urls.into_iter().filter_map(told).collect();
        all.join("; ").parse().ok().filter(|_| !all.is_empty())
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[async_trait::async_trait]
impl TokenVerifier for Directory {
    async fn verify(&self, secret: &str) -> Result<Option<TenantId>, Status> {
        self.verify_token(secret).await.map_err(|e| status(&e))
    }
}

#[async_trait::async_trait]
impl DirectoryV1 for DirectoryService {
    async fn put_tenant(&self, request: Request<pb::PutTenantRequest>) -> Answer<pb::Tenant> {
        Caller::of(&request).must_be_operator()?;
        let tenant = given(request.into_inner().tenant, "tenant")?;
        answer(self.directory.put_tenant(tenant).await)
    }

    async fn delete_tenant(&self, request: Request<pb::DeleteTenantRequest>) -> Answer<pb::DeleteResponse> {
        Caller::of(&request).must_be_operator()?;
        let tenant = id(TenantId::new(&request.get_ref().tenant), "tenant")?;
        deleted(self.directory.delete_tenant(&tenant).await)
    }

    async fn list_tenants(
        &self,
        request: Request<pb::ListTenantsRequest>,
    ) -> Answer<pb::ListTenantsResponse> {
        let caller = Caller::of(&request);
        let mut tenants = self.directory.list_tenants().await.map_err(|e| status(&e))?;
        if let Caller::Tenant(own) = caller {
            tenants.retain(|t| t.tenant == own.as_str());
        }
        Ok(Response::new(pb::ListTenantsResponse { tenants }))
    }

    async fn put_user(&self, request: Request<pb::PutUserRequest>) -> Answer<pb::User> {
        let caller = Caller::of(&request);
        let user = given(request.into_inner().user, "user")?;
        allowed(&caller, &user.tenant, "user.tenant")?;
        answer(self.directory.put_user(user).await)
    }

    async fn delete_user(&self, request: Request<pb::DeleteUserRequest>) -> Answer<pb::DeleteResponse> {
        let tenant = allowed(&Caller::of(&request), &request.get_ref().tenant, "tenant")?;
        let user = id(UserId::new(&request.get_ref().user), "user")?;
        deleted(self.directory.delete_user(&tenant, &user).await)
    }

    async fn list_users(&self, request: Request<pb::ListRequest>) -> Answer<pb::ListUsersResponse> {
        let (tenant, user) = self.listed(&request).await?;
        let mut users = self.directory.list_users(&tenant).await.map_err(|e| status(&e))?;
        users.retain(|u| user.as_ref().is_none_or(|user| u.user == user.as_str()));
        Ok(Response::new(pb::ListUsersResponse { users }))
    }

    async fn put_mailbox(&self, request: Request<pb::PutMailboxRequest>) -> Answer<pb::Mailbox> {
        allowed(&Caller::of(&request), &request.get_ref().tenant, "tenant")?;
        answer(self.directory.put_mailbox(request.into_inner()).await)
    }

    async fn get_mailbox(&self, request: Request<pb::GetMailboxRequest>) -> Answer<pb::Mailbox> {
        let tenant = allowed(&Caller::of(&request), &request.get_ref().tenant, "tenant")?;
        let user = id(UserId::new(&request.get_ref().user), "user")?;
        answer(self.directory.mailbox(&tenant, &user).await)
    }

    async fn put_device(&self, request: Request<pb::PutDeviceRequest>) -> Answer<pb::Device> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let device = given(request.device, "device")?;
        allowed(&caller, &device.tenant, "device.tenant")?;
        let password = request.password.map(Password::new);
        answer(self.directory.put_device(device, password.as_ref()).await)
    }

    async fn delete_device(&self, request: Request<pb::DeleteDeviceRequest>) -> Answer<pb::DeleteResponse> {
        let tenant = allowed(&Caller::of(&request), &request.get_ref().tenant, "tenant")?;
        let user = id(UserId::new(&request.get_ref().user), "user")?;
        let device = id(DeviceId::new(&request.get_ref().device), "device")?;
        deleted(self.directory.delete_device(&tenant, &user, &device).await)
    }

    async fn list_devices(&self, request: Request<pb::ListRequest>) -> Answer<pb::ListDevicesResponse> {
        let (tenant, user) = self.listed(&request).await?;
        let devices = self.directory.list_devices(&tenant, user.as_ref()).await;
        answer(devices.map(|devices| pb::ListDevicesResponse { devices }))
    }

    async fn put_number(&self, request: Request<pb::PutNumberRequest>) -> Answer<pb::Number> {
        let caller = Caller::of(&request);
        let number = given(request.into_inner().number, "number")?;
        allowed(&caller, &number.tenant, "number.tenant")?;
        let destination = number.destination.as_ref().and_then(|destination| destination.kind.as_ref());
        if let (Some(Kind::Announcement(it)), Some(prompts)) = (destination, &self.prompts)
            && let Some(problem) = prompts.problem(&it.prompt).await
        {
            return Err(status(&Unplayable { prompt: it.prompt.clone(), problem }));
        }
        answer(self.directory.put_number(number).await)
    }

    async fn delete_number(&self, request: Request<pb::DeleteNumberRequest>) -> Answer<pb::DeleteResponse> {
        let tenant = allowed(&Caller::of(&request), &request.get_ref().tenant, "tenant")?;
        deleted(self.directory.delete_number(&tenant, &request.get_ref().number).await)
    }

    async fn list_numbers(&self, request: Request<pb::ListRequest>) -> Answer<pb::ListNumbersResponse> {
        let (tenant, _) = self.listed(&request).await?;
        let numbers = self.directory.list_numbers(&tenant).await;
        answer(numbers.map(|numbers| pb::ListNumbersResponse { numbers }))
    }

    async fn put_room(&self, request: Request<pb::PutRoomRequest>) -> Answer<pb::Room> {
        let caller = Caller::of(&request);
        let room = given(request.into_inner().room, "room")?;
        allowed(&caller, &room.tenant, "room.tenant")?;
        answer(self.directory.put_room(room).await)
    }

    async fn delete_room(&self, request: Request<pb::DeleteRoomRequest>) -> Answer<pb::DeleteResponse> {
        let tenant = allowed(&Caller::of(&request), &request.get_ref().tenant, "tenant")?;
        let room = id(RoomId::new(&request.get_ref().room), "room")?;
        deleted(self.directory.delete_room(&tenant, &room).await)
    }

    async fn list_rooms(&self, request: Request<pb::ListRequest>) -> Answer<pb::ListRoomsResponse> {
        let (tenant, _) = self.listed(&request).await?;
        let rooms = self.directory.list_rooms(&tenant).await;
        answer(rooms.map(|rooms| pb::ListRoomsResponse { rooms }))
    }

    async fn list_registrations(
        &self,
        request: Request<pb::ListRequest>,
    ) -> Answer<pb::ListRegistrationsResponse> {
        let (tenant, user) = self.listed(&request).await?;
        let registrations = self.directory.list_registrations(&tenant, user.as_ref()).await;
        answer(
            registrations.map(|all| pb::ListRegistrationsResponse {
                registrations: all.iter().map(Into::into).collect(),
            }),
        )
    }

    async fn create_token(
        &self,
        request: Request<pb::CreateTokenRequest>,
    ) -> Answer<pb::CreateTokenResponse> {
        let tenant = allowed(&Caller::of(&request), &request.get_ref().tenant, "tenant")?;
        let made = self.directory.create_token(&tenant, &request.get_ref().name).await;
        answer(made.map(|new| pb::CreateTokenResponse { token: Some(new.token), secret: new.secret }))
    }

    async fn delete_token(&self, request: Request<pb::DeleteTokenRequest>) -> Answer<pb::DeleteResponse> {
        let tenant = allowed(&Caller::of(&request), &request.get_ref().tenant, "tenant")?;
        deleted(self.directory.delete_token(&tenant, &request.get_ref().token_id).await)
    }

    async fn list_tokens(&self, request: Request<pb::ListRequest>) -> Answer<pb::ListTokensResponse> {
        let (tenant, _) = self.listed(&request).await?;
        answer(self.directory.list_tokens(&tenant).await.map(|tokens| pb::ListTokensResponse { tokens }))
    }

    async fn put_application(&self, request: Request<pb::PutApplicationRequest>) -> Answer<pb::Application> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let application = given(request.application, "application")?;
        allowed(&caller, &application.tenant, "application.tenant")?;
        let secret = request.secret.map(Password::new);
        let warning = self.webhook_warning(&application);
        let mut put = answer(self.directory.put_application(application, secret.as_ref()).await)?;
        if let Some(warning) = warning {
            put.metadata_mut().insert(WARNING, warning);
        }
        Ok(put)
    }

    async fn delete_application(
        &self,
        request: Request<pb::DeleteApplicationRequest>,
    ) -> Answer<pb::DeleteResponse> {
        let tenant = allowed(&Caller::of(&request), &request.get_ref().tenant, "tenant")?;
        deleted(self.directory.delete_application(&tenant, &request.get_ref().application).await)
    }

    async fn list_applications(
        &self,
        request: Request<pb::ListRequest>,
    ) -> Answer<pb::ListApplicationsResponse> {
        let (tenant, _) = self.listed(&request).await?;
        let found = self.directory.list_applications(&tenant).await;
        answer(found.map(|applications| pb::ListApplicationsResponse { applications }))
    }

    async fn put_trunk(&self, request: Request<pb::PutTrunkRequest>) -> Answer<pb::Trunk> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let trunk = given(request.trunk, "trunk")?;
        allowed(&caller, &trunk.tenant, "trunk.tenant")?;
        let password = request.password.map(Password::new);
        answer(self.directory.put_trunk(trunk, password.as_ref()).await)
    }

    async fn delete_trunk(&self, request: Request<pb::DeleteTrunkRequest>) -> Answer<pb::DeleteResponse> {
        let tenant = allowed(&Caller::of(&request), &request.get_ref().tenant, "tenant")?;
        deleted(self.directory.delete_trunk(&tenant, &request.get_ref().trunk).await)
    }

    async fn list_trunks(&self, request: Request<pb::ListRequest>) -> Answer<pb::ListTrunksResponse> {
        let (tenant, _) = self.listed(&request).await?;
        let found = self.directory.list_trunks(Some(&tenant)).await;
        answer(found.map(|trunks| pb::ListTrunksResponse { trunks }))
    }

    async fn list_trunk_states(
        &self,
        request: Request<pb::ListRequest>,
    ) -> Answer<pb::ListTrunkStatesResponse> {
        let (tenant, _) = self.listed(&request).await?;
        let found = self.directory.trunk_states(&tenant).await;
        answer(found.map(|states| pb::ListTrunkStatesResponse { states }))
    }
}

fn answer<T>(result: Result<T, DirectoryError>) -> Answer<T> {
    result.map(Response::new).map_err(|e| status(&e))
}

fn deleted(result: Result<(), DirectoryError>) -> Answer<pb::DeleteResponse> {
    answer(result.map(|()| pb::DeleteResponse {}))
}

fn given<T>(record: Option<T>, field: &'static str) -> Result<T, Status> {
    record.ok_or_else(|| status(&DirectoryError::Invalid { field, reason: "it is missing" }))
}

fn id<T>(result: Result<T, sidetone_model::ids::IdError>, field: &'static str) -> Result<T, Status> {
    result.map_err(|e| status(&DirectoryError::id(field)(e)))
}

/// The tenant that a request names, if its caller may act for it.
fn allowed(caller: &Caller, tenant: &str, field: &'static str) -> Result<TenantId, Status> {
    let tenant = id(TenantId::new(tenant), field)?;
    caller.may(&tenant)?;
    Ok(tenant)
}
