//! The bans of all replicas. Each bans by itself, by the wrong passwords that it has heard; so each is asked.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use sidetone_proto::signalling::v1 as pb;
use sidetone_proto::signalling::v1::bans_server::Bans;
use sidetone_proto::signalling::v1::signalling_client::SignallingClient;
use sidetone_runtime::Caller;
use sidetone_runtime::grpc::{TlsConfig, channel};
use sidetone_store::Store;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use crate::replica::{ReplicaRegistration, registered};
use crate::service::source_of;

/// Serves `Bans`. It stands beside call control.
#[derive(Clone)]
pub struct BanDoor {
    /// Where the replicas are registered.
    pub store: Arc<dyn Store>,
    /// How replicas are spoken to.
    pub tls: TlsConfig,
}

impl std::fmt::Debug for BanDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BanDoor")
    }
}

#[async_trait::async_trait]
impl Bans for BanDoor {
    async fn list_bans(
        &self,
        request: Request<pb::ListBansRequest>,
    ) -> Result<Response<pb::ListBansResponse>, Status> {
        Caller::of(&request).must_be_operator()?;
        let mut found = pb::ListBansResponse::default();
        let asked = self
            .ask_all(|mut replica| async move { replica.read_bans(pb::ReadBansRequest {}).await })
            .await?;
        for (replica, answer) in asked {
            match answer {
                Ok(answer) => found.bans.extend(answer.into_inner().bans),
                Err(_) => found.silent_replica_ids.push(replica),
            }
        }
        let address = |ban: &pb::Ban| source_of(&ban.source).ok();
        found.bans.sort_by(|a, b| (address(a), &a.replica_id).cmp(&(address(b), &b.replica_id)));
        Ok(Response::new(found))
    }

    async fn lift_ban(
        &self,
        request: Request<pb::LiftBanRequest>,
    ) -> Result<Response<pb::LiftBanResponse>, Status> {
        Caller::of(&request).must_be_operator()?;
        let source: IpAddr = source_of(&request.into_inner().source)?;
        let end = pb::EndBanRequest { source: source.to_string() };
        let end = |mut replica: SignallingClient<Channel>| {
            let end = end.clone();
            async move { replica.end_ban(end).await }
        };
        let asked = self.ask_all(end).await?;
        let mut lifted = pb::LiftBanResponse::default();
        for (replica, answer) in asked {
            match answer {
                Ok(_) => lifted.replica_ids.push(replica),
                Err(none) if none.code() == Code::NotFound => {}
                Err(_) => lifted.silent_replica_ids.push(replica),
            }
        }
        if lifted.replica_ids.is_empty() && lifted.silent_replica_ids.is_empty() {
            return Err(Status::not_found(
                "no replica bans the address; `sidetone bans list` shows whom they ban",
            ));
        }
        Ok(Response::new(lifted))
    }
}

type Answer<T> = Result<Response<T>, Status>;

impl BanDoor {
    /// Asks every replica at once; by name, with what each says.
    async fn ask_all<T, F>(
        &self,
        ask: impl Fn(SignallingClient<Channel>) -> F + Sync,
    ) -> Result<Vec<(String, Answer<T>)>, Status>
    where
        F: Future<Output = Answer<T>> + Send,
    {
        let replicas = registered(&*self.store).await?;
        let asked = replicas.into_iter().map(|replica| {
            let asked = self.client(&replica).map(&ask);
            async move {
                let answer = match asked {
                    Ok(asked) => tokio::time::timeout(DEADLINE, asked).await,
                    Err(error) => Ok(Err(error)),
                };
                let late = |_| Err(Status::deadline_exceeded("a replica does not answer"));
                let answer = answer.unwrap_or_else(late);
                if let Err(error) = &answer
                    && error.code() != Code::NotFound
                {
                    tracing::warn!(replica = replica.replica_id, %error, "a replica does not tell of its bans");
                }
                (replica.replica_id, answer)
            }
        });
        Ok(futures_util::future::join_all(asked).await)
    }

    fn client(&self, replica: &ReplicaRegistration) -> Result<SignallingClient<Channel>, Status> {
        let channel = channel(&replica.grpc_address, &self.tls);
        let channel =
            channel.map_err(|error| Status::unavailable(format!("a replica's address: {error}")))?;
        Ok(SignallingClient::new(channel))
    }
}

/// What a replica may take to answer.
const DEADLINE: Duration = Duration::from_secs(5);
