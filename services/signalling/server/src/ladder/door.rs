//! The ladder of a whole call: call control knows its legs, the replicas have their messages.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use sidetone_proto::callcontrol::v1::GetCallRequest;
use sidetone_proto::callcontrol::v1::call_control_server::CallControl;
use sidetone_proto::signalling::v1 as pb;
use sidetone_proto::signalling::v1::ladders_server::Ladders;
use sidetone_proto::signalling::v1::signalling_client::SignallingClient;
use sidetone_runtime::Caller;
use sidetone_runtime::grpc::{TlsConfig, channel};
use sidetone_store::Store;
use tonic::{Request, Response, Status};

use crate::replica::{ReplicaRegistration, registered};

/// Serves `Ladders`. It stands beside call control.
#[derive(Clone)]
pub struct LadderDoor<C> {
    /// Who knows the calls, and who may see them.
    pub calls: C,
    /// Where the replicas are registered.
    pub store: Arc<dyn Store>,
    /// How replicas are spoken to.
    pub tls: TlsConfig,
}

impl<C> std::fmt::Debug for LadderDoor<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LadderDoor")
    }
}

#[async_trait::async_trait]
impl<C: CallControl> Ladders for LadderDoor<C> {
    type ReadCallLadderStream = BoxStream<'static, Result<pb::LadderMessage, Status>>;

    async fn read_call_ladder(
        &self,
        request: Request<pb::ReadCallLadderRequest>,
    ) -> Result<Response<Self::ReadCallLadderStream>, Status> {
        let caller = Caller::of(&request);
        let pb::ReadCallLadderRequest { tenant, call_id, show_numbers } = request.into_inner();
        if show_numbers {
            caller.must_be_operator()?;
        }
        let mut call = Request::new(GetCallRequest { tenant: tenant.clone(), call_id });
        call.extensions_mut().insert(caller);
        let call = self.calls.get_call(call).await?.into_inner();
        let leg_ids = call.legs.into_iter().map(|leg| leg.leg_id).collect();
        let question = pb::ReadLadderRequest { tenant, leg_ids, show_numbers };
        let messages = self.ask_all(&question).await?;
        Ok(Response::new(futures_util::stream::iter(messages.into_iter().map(Ok)).boxed()))
    }
}

impl<C> LadderDoor<C> {
    /// Asks every replica: a leg may have moved. One that cannot be reached is left out; when none can, that is said.
    async fn ask_all(&self, question: &pb::ReadLadderRequest) -> Result<Vec<pb::LadderMessage>, Status> {
        let replicas = registered(&*self.store).await?;
        let answers = replicas.into_iter().map(|replica| self.ask(replica, question.clone()));
        let answers = futures_util::future::join_all(answers).await;
        if let Some(Err(_)) = answers.first()
            && answers.iter().all(Result::is_err)
        {
            return Err(Status::unavailable("no signalling replica answers"));
        }
        let mut messages: Vec<_> = answers.into_iter().flatten().flatten().collect();
        messages.sort_by_key(|message| message.at_unix_us);
        Ok(messages)
    }

    async fn ask(
        &self,
        replica: ReplicaRegistration,
        question: pb::ReadLadderRequest,
    ) -> Result<Vec<pb::LadderMessage>, Status> {
        let channel = channel(&replica.grpc_address, &self.tls)
            .map_err(|error| Status::unavailable(format!("a replica's address: {error}")))?;
        let asked = async {
            let answer = SignallingClient::new(channel).read_ladder(question).await?;
            answer.into_inner().try_collect().await
        };
        let answered = tokio::time::timeout(DEADLINE, asked).await;
        let answered =
            answered.unwrap_or_else(|_| Err(Status::deadline_exceeded("a replica does not answer")));
        if let Err(error) = &answered {
            tracing::warn!(replica = replica.replica_id, %error, "a replica does not tell its ladder");
        }
        answered
    }
}

/// What a replica may take to answer.
const DEADLINE: Duration = Duration::from_secs(5);
