//! The gRPC service, and the handle by which a process holds it.

use std::sync::{Arc, Mutex};

use sidetone_model::classify::Classify as _;
use sidetone_model::ids::{DeviceId, TenantId, UserId};
use sidetone_model::time::Timestamp;
use sidetone_model::wire::{WireError, id};
use sidetone_proto::push::v1 as pb;
use sidetone_push_core::{Admission, CancelReason, Key, State, WakeUps};
use sidetone_runtime::{Caller, Lifecycle, status};

use sidetone_store::{Clock, Expect, Store};
use sidetone_telemetry::Telemetry;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status};

use crate::config::Config;
use crate::engine::{Engine, Shared};
use crate::error::{PushError, StartError};
use crate::ledger;
use crate::providers::Providers;
use crate::registry::{Registry, Secrets, Target};

/// What the push service needs.
pub struct Deps {
    /// Holds the ledger and the targets.
    pub store: Arc<dyn Store>,
    /// Where it counts.
    pub telemetry: Arc<Telemetry>,
    /// When it refuses new work and when it ends.
    pub lifecycle: Lifecycle,
}

/// The running push service: the generated server trait for callers in this process and over the network.
#[derive(Clone)]
pub struct Push {
    engine: Arc<Engine>,
}

impl std::fmt::Debug for Push {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Push").finish_non_exhaustive()
    }
}

impl Push {
    /// Reads the ledger, takes up what is unfinished, and serves until the life cycle says stop.
    pub async fn start(config: Config, deps: Deps) -> Result<Self, StartError> {
        let mut seed = [0; 32];
        aws_lc_rs::rand::fill(&mut seed).map_err(|_| StartError::Random)?;
        let ready = deps.lifecycle.component("push");
        let wake_ups = WakeUps::new(config.limits(), config.backoff(), seed);
        let engine = Arc::new(Engine {
            providers: Providers::new(&config).map_err(StartError::Providers)?,
            registry: Registry::new(Arc::clone(&deps.store)),
            store: deps.store,
            telemetry: deps.telemetry,
            lifecycle: deps.lifecycle,
            clock: Clock::system(),
            state: Mutex::new(Shared::new(wake_ups)),
            changed: Notify::new(),
            tasks: TaskTracker::new(),
            config,
        });
        engine.recover().await.map_err(StartError::Ledger)?;
        engine.tasks.spawn(Arc::clone(&engine).run());
        ready.set_ready(true);
        Ok(Self { engine })
    }

    /// Resolves when everything has ended after the life cycle said stop.
    pub async fn finished(&self) {
        self.engine.lifecycle.stopping().cancelled().await;
        self.engine.tasks.close();
        self.engine.tasks.wait().await;
    }

    /// How many wake-ups have something left to be sent.
    pub fn open(&self) -> usize {
        self.engine.shared().wake_ups.open()
    }

    fn answer<T>(&self, result: Result<T, PushError>) -> Result<Response<T>, Status> {
        result.map(Response::new).map_err(|error| {
            self.engine.telemetry.push.refused.with_label_values(&[error.reason()]).inc();
            status(&error)
        })
    }

    async fn accept(&self, request: pb::WakeRequest) -> Result<pb::WakeResponse, PushError> {
        let engine = &self.engine;
        if engine.lifecycle.draining().is_cancelled() {
            return Err(PushError::Draining);
        }
        let request = ledger::request_from_wire(request)?;
        let key = request.key.clone();
        if !engine.load(&key).await?
            && engine.registry.active(&key.tenant, &request.user, &request.device).await?.is_none()
        {
            return Err(PushError::NoTarget);
        }
        let admission = engine.shared().wake_ups.handle_wake(request, engine.clock.now());
        match admission {
            Ok(Admission::Store) => {
                if let Err(error) = engine.persist(&key).await {
                    engine.withdraw(&key);
                    return Err(error.into());
                }
            }
            Ok(Admission::Known) => engine.shared().forget(&key),
            Err(refusal) => {
                engine.shared().forget(&key);
                return Err(refusal.into());
            }
        }
        Ok(pb::WakeResponse { push_id: key.push.to_string() })
    }

    async fn call_off(&self, key: Key, reason: CancelReason) -> Result<pb::CancelResponse, PushError> {
        let engine = &self.engine;
        engine.load(&key).await?;
        let now = engine.clock.now();
        let cancelled = {
            let mut shared = engine.shared();
            let was_pending = shared.wake_ups.get(&key).is_some_and(|it| it.state == State::Pending);
            shared.wake_ups.handle_cancel(&key, reason, now)?;
            shared.wake_ups.get(&key).filter(|_| was_pending).cloned()
        };
        if let Some(wake_up) = cancelled {
            engine.count_cancelled(&wake_up, now);
        }
        engine.changed.notify_one();
        engine.persist(&key).await?;
        Ok(pb::CancelResponse {})
    }

    async fn read(&self, key: Key) -> Result<pb::WakeUp, PushError> {
        if let Some(wake_up) = self.engine.shared().wake_ups.get(&key) {
            return Ok(ledger::to_wire(wake_up));
        }
        let entry = self.engine.store.get(&ledger::place_of(&key)).await?;
        let entry = entry.ok_or(sidetone_push_core::Refusal::Unknown)?;
        Ok(ledger::to_wire(&Engine::read(&entry)?))
    }

    async fn dead_letters(&self, tenant: &TenantId, limit: u32) -> Result<Vec<pb::WakeUp>, PushError> {
        let limit = match limit {
            0 => DEAD_LETTERS_DEFAULT,
            given @ 1..=DEAD_LETTERS_MAX => given,
            _ => {
                let field = "ListDeadLettersRequest.limit";
                return Err(WireError::Invalid { field, reason: "must be 1 to 1000" }.into());
            }
        };
        let entries = self.engine.store.list(&ledger::prefix_of(tenant)).await?;
        let mut dead: Vec<_> = entries
            .iter()
            .filter_map(|entry| Engine::read(entry).ok())
            .filter(|wake_up| matches!(wake_up.state, State::Dead(_)))
            .collect();
        dead.sort_by_key(|wake_up| std::cmp::Reverse(wake_up.accepted_at));
        dead.truncate(limit as usize);
        Ok(dead.iter().map(ledger::to_wire).collect())
    }

    async fn try_again(&self, key: Key, deadline: Timestamp) -> Result<pb::WakeResponse, PushError> {
        let engine = &self.engine;
        if engine.lifecycle.draining().is_cancelled() {
            return Err(PushError::Draining);
        }
        engine.load(&key).await?;
        let replayed = engine.shared().wake_ups.handle_replay(&key, deadline, engine.clock.now());
        if let Err(refusal) = replayed {
            engine.shared().forget(&key);
            return Err(refusal.into());
        }
        engine.persist(&key).await?;
        Ok(pb::WakeResponse { push_id: key.push.to_string() })
    }

    async fn register(&self, target: Option<pb::Target>) -> Result<pb::Target, PushError> {
        let target = target.ok_or(WireError::Missing { field: "PutTargetRequest.target" })?;
        let target = Target::parse(target)?;
        self.engine.registry.put(&target, Expect::Any).await?;
        Ok(target.to_wire(Secrets::Hidden))
    }
}

#[tonic::async_trait]
impl pb::push_server::Push for Push {
    async fn wake(&self, request: Request<pb::WakeRequest>) -> Result<Response<pb::WakeResponse>, Status> {
        allowed(&request, "WakeRequest.tenant", &request.get_ref().tenant)?;
        self.answer(self.accept(request.into_inner()).await)
    }

    async fn cancel(
        &self,
        request: Request<pb::CancelRequest>,
    ) -> Result<Response<pb::CancelResponse>, Status> {
        let tenant = allowed(&request, "CancelRequest.tenant", &request.get_ref().tenant)?;
        let request = request.into_inner();
        let reason = match request.reason() {
            pb::cancel_request::Reason::AnsweredElsewhere => CancelReason::AnsweredElsewhere,
            _ => CancelReason::Cancelled,
        };
        let key = key("CancelRequest.push_id", tenant, &request.push_id)?;
        self.answer(self.call_off(key, reason).await)
    }

    async fn get_wake_up(
        &self,
        request: Request<pb::GetWakeUpRequest>,
    ) -> Result<Response<pb::WakeUp>, Status> {
        let tenant = allowed(&request, "GetWakeUpRequest.tenant", &request.get_ref().tenant)?;
        let key = key("GetWakeUpRequest.push_id", tenant, &request.get_ref().push_id)?;
        self.answer(self.read(key).await)
    }

    async fn list_dead_letters(
        &self,
        request: Request<pb::ListDeadLettersRequest>,
    ) -> Result<Response<pb::ListDeadLettersResponse>, Status> {
        let tenant = allowed(&request, "ListDeadLettersRequest.tenant", &request.get_ref().tenant)?;
        let dead = self.dead_letters(&tenant, request.get_ref().limit).await;
        self.answer(dead.map(|wake_ups| pb::ListDeadLettersResponse { wake_ups }))
    }

    async fn replay(
        &self,
        request: Request<pb::ReplayRequest>,
    ) -> Result<Response<pb::WakeResponse>, Status> {
        let tenant = allowed(&request, "ReplayRequest.tenant", &request.get_ref().tenant)?;
        let key = key("ReplayRequest.push_id", tenant, &request.get_ref().push_id)?;
        let deadline = Timestamp::from_millis(request.get_ref().deadline_unix_ms);
        self.answer(self.try_again(key, deadline).await)
    }

    async fn put_target(
        &self,
        request: Request<pb::PutTargetRequest>,
    ) -> Result<Response<pb::Target>, Status> {
        let named = request.get_ref().target.as_ref().map(|target| target.tenant.as_str());
        allowed(&request, "Target.tenant", named.unwrap_or_default())?;
        self.answer(self.register(request.into_inner().target).await)
    }

    async fn delete_target(
        &self,
        request: Request<pb::DeleteTargetRequest>,
    ) -> Result<Response<pb::DeleteTargetResponse>, Status> {
        let tenant = allowed(&request, "DeleteTargetRequest.tenant", &request.get_ref().tenant)?;
        let request = request.into_inner();
        let user: UserId = id("DeleteTargetRequest.user", &request.user).map_err(|e| status(&e))?;
        let device: DeviceId = id("DeleteTargetRequest.device", &request.device).map_err(|e| status(&e))?;
        let deleted = self.engine.registry.delete(&tenant, &user, &device).await;
        self.answer(deleted.map(|()| pb::DeleteTargetResponse {}).map_err(Into::into))
    }

    async fn list_targets(
        &self,
        request: Request<pb::ListTargetsRequest>,
    ) -> Result<Response<pb::ListTargetsResponse>, Status> {
        let tenant = allowed(&request, "ListTargetsRequest.tenant", &request.get_ref().tenant)?;
        let targets = self.engine.registry.list(&tenant).await.map(|targets| pb::ListTargetsResponse {
            targets: targets.iter().map(|target| target.to_wire(Secrets::Hidden)).collect(),
        });
        self.answer(targets)
    }
}

/// The tenant that a request names, if its sender may act for it.
#[allow(clippy::result_large_err, reason = "the generated trait's own error type")]
fn allowed<T>(request: &Request<T>, field: &'static str, tenant: &str) -> Result<TenantId, Status> {
    let tenant = id(field, tenant).map_err(|error| status(&error))?;
    Caller::of(request).may(&tenant)?;
    Ok(tenant)
}

#[allow(clippy::result_large_err, reason = "the generated trait's own error type")]
fn key(field: &'static str, tenant: TenantId, push: &str) -> Result<Key, Status> {
    let push = id(field, push).map_err(|error| status(&error))?;
    Ok(Key { tenant, push })
}

const DEAD_LETTERS_DEFAULT: u32 = 100;
const DEAD_LETTERS_MAX: u32 = 1000;
