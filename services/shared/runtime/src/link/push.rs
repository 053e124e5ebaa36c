//! The push service over the network, as the trait its server implements.

use std::time::Duration;

use sidetone_proto::push::v1::push_client::PushClient;
use sidetone_proto::push::v1::push_server::Push;
use sidetone_proto::push::v1::*;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

/// The push service, wherever it is.
pub type PushService = dyn Push;

/// What the push service may take to answer.
const DEADLINE: Duration = Duration::from_secs(2);

/// The push service over gRPC.
#[derive(Debug, Clone)]
pub struct RemotePush {
    client: PushClient<Channel>,
}

impl RemotePush {
    /// The service at the far end of a channel.
    pub fn new(channel: Channel) -> Self {
        Self { client: PushClient::new(channel) }
    }
}

macro_rules! forward {
    ($($method:ident($request:ty) -> $response:ty;)*) => {
        #[async_trait::async_trait]
        impl Push for RemotePush {
            $(async fn $method(&self, mut request: Request<$request>) -> Result<Response<$response>, Status> {
                request.set_timeout(DEADLINE);
                self.client.clone().$method(request).await
            })*
        }
    };
}

forward! {
    wake(WakeRequest) -> WakeResponse;
    cancel(CancelRequest) -> CancelResponse;
    get_wake_up(GetWakeUpRequest) -> WakeUp;
    list_dead_letters(ListDeadLettersRequest) -> ListDeadLettersResponse;
    replay(ReplayRequest) -> WakeResponse;
    put_target(PutTargetRequest) -> Target;
    delete_target(DeleteTargetRequest) -> DeleteTargetResponse;
    list_targets(ListTargetsRequest) -> ListTargetsResponse;
}
