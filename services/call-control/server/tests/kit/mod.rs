//! Call control over a store in memory, with media nodes and a signalling replica played by the test.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "every test file uses a part; a test stops where something is wrong"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use prost::Message as _;
use sidetone_call_control::{CallControl, Config, Deps};
use sidetone_directory::{Directory, Registration, SeedConfig};
use sidetone_model::command::{LegCommand, LegCommandKind};
use sidetone_model::ids::{BootId, IdSource, LegId, ReplicaId, TenantId, UserId};
use sidetone_model::media::{Direction, Encoding, Format, Holder, MediaDescription};
use sidetone_model::party::{Binding, Flow, Party, Transport};
use sidetone_model::signal::{
    HeldLeg, Hello, LegSignal, LegSignalKind, Offered, OwnerMessage, ReplicaMessage,
};
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;
use sidetone_proto::callcontrol::v1 as api;
use sidetone_proto::callcontrol::v1::call_control_server::CallControl as _;
use sidetone_proto::media::v1::media_server::Media;
use sidetone_proto::media::v1::*;
use sidetone_runtime::Lifecycle;
use sidetone_runtime::link::{LinkError, MediaConnector, MediaService, OwnerConnector as _, ReplicaLink};
use sidetone_store::embedded::EmbeddedStore;
use sidetone_store::{Expect, Store};
use sidetone_telemetry::Telemetry;
use tokio::sync::{mpsc, watch};
use tonic::{Request, Response, Status};

/// Nothing takes longer than this on the slowest machine.
pub const DEADLINE: Duration = Duration::from_secs(20);

pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp::from_millis(since.as_millis() as u64)
}

pub fn days_ago(days: u64) -> Timestamp {
    Timestamp::from_millis(now().as_millis() - days * 24 * 3_600_000)
}

pub fn media() -> MediaDescription {
    MediaDescription {
        holder: Holder::Node,
        rtp: SocketAddr::from(([127, 0, 0, 1], 4000)),
        rtcp: None,
        rtcp_mux: false,
        formats: vec![Format::new(8, Encoding::Pcma, 8000)],
        direction: Direction::SendRecv,
        ptime_ms: 20,
        secured: false,
        crypto: Vec::new(),
        dtls: None,
        ice: None,
        wants_voip_metrics: false,
    }
}

/// Asks until the answer is there.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Legs of a media node.
const LEGS_MAX: u32 = 100;

/// A media node.
pub struct Node {
    pub name: String,
    pub boot: BootId,
    state: Mutex<NodeState>,
    /// It makes no legs for as long as this is true, and does not say so.
    stuck: watch::Sender<bool>,
}

#[derive(Default)]
struct NodeState {
    legs: BTreeMap<String, HeldLeg2>,
    asked: Vec<String>,
    created: usize,
    recordings: BTreeSet<String>,
    watchers: Vec<mpsc::UnboundedSender<Result<MediaEvent, Status>>>,
    gone: bool,
    refuses: Option<tonic::Code>,
    files: BTreeMap<String, Vec<u8>>,
}

type HeldLeg2 = sidetone_proto::media::v1::HeldLeg;

impl Node {
    fn state(&self) -> std::sync::MutexGuard<'_, NodeState> {
        self.state.lock().unwrap()
    }

    fn ask(&self, what: String) -> Result<(), Status> {
        let mut state = self.state();
        if state.gone {
            return Err(Status::unavailable("gone"));
        }
        state.asked.push(what);
        Ok(())
    }

    pub fn refuse(&self, code: tonic::Code) {
        self.state().refuses = Some(code);
    }

    /// Says that it takes so many legs.
    pub async fn has_room_for(&self, store: &dyn Store, legs: u32) {
        register(store, self, legs).await;
    }

    /// Lets whoever asks for a leg wait.
    pub fn stick(&self, stuck: bool) {
        self.stuck.send_replace(stuck);
    }

    pub fn asked(&self) -> Vec<String> {
        self.state().asked.clone()
    }

    /// Tells whoever watches something.
    pub fn tell(&self, kind: sidetone_proto::media::v1::media_event::Kind) {
        for watcher in &self.state().watchers {
            drop(watcher.send(Ok(MediaEvent { kind: Some(kind.clone()), ..Default::default() })));
        }
    }

    /// Has a file of a recording.
    pub fn keep(&self, file: &str, data: &[u8]) {
        self.state().files.insert(file.into(), data.into());
    }

    pub fn created(&self) -> usize {
        self.state().created
    }

    pub fn legs(&self) -> Vec<String> {
        self.state().legs.keys().cloned().collect()
    }

    /// Somebody's leg that call control knows nothing of.
    pub fn hold(&self, leg: LegId) {
        let held = HeldLeg2 { leg_id: leg.to_string(), local: Some((&media()).into()), ..Default::default() };
        self.state().legs.insert(leg.to_string(), held);
    }

    pub fn vanish(&self) {
        let mut state = self.state();
        state.gone = true;
        state.watchers.clear();
        state.legs.clear();
    }
}

#[tonic::async_trait]
impl Media for Node {
    type WatchStream = BoxStream<'static, Result<MediaEvent, Status>>;

    async fn create_leg(
        &self,
        request: Request<CreateLegRequest>,
    ) -> Result<Response<CreateLegResponse>, Status> {
        let request = request.into_inner();
        let _ = self.stuck.subscribe().wait_for(|stuck| !stuck).await;
        self.ask(format!("create {}", request.leg_id))?;
        let mut state = self.state();
        if let Some(code) = state.refuses {
            return Err(Status::new(code, "no"));
        }
        let local = Some((&media()).into());
        let held = HeldLeg2 { leg_id: request.leg_id.clone(), local, ..Default::default() };
        state.created += usize::from(state.legs.insert(request.leg_id, held).is_none());
        Ok(Response::new(CreateLegResponse {
            local: Some((&media()).into()),
            node_id: self.name.clone(),
            boot_id: self.boot.to_string(),
        }))
    }

    async fn update_leg(
        &self,
        request: Request<UpdateLegRequest>,
    ) -> Result<Response<UpdateLegResponse>, Status> {
        self.ask(format!("update {}", request.get_ref().leg_id))?;
        Ok(Response::new(UpdateLegResponse { local: Some((&media()).into()) }))
    }

    async fn offer_leg(
        &self,
        request: Request<OfferLegRequest>,
    ) -> Result<Response<OfferLegResponse>, Status> {
        self.ask(format!("offer {}", request.get_ref().leg_id))?;
        Ok(Response::new(OfferLegResponse { local: Some((&media()).into()) }))
    }

    async fn connect_leg(
        &self,
        request: Request<ConnectLegRequest>,
    ) -> Result<Response<ConnectLegResponse>, Status> {
        use connect_leg_request::To;
        let request = request.into_inner();
        let to = match &request.to {
            Some(To::PeerLegId(peer)) => format!("peer {peer}"),
            Some(To::MixId(mix)) => format!("mix {mix}"),
            Some(To::Echo(_)) => "echo".to_owned(),
            _ => "nothing".to_owned(),
        };
        self.ask(format!("connect {} {to}", request.leg_id))?;
        Ok(Response::new(ConnectLegResponse {}))
    }

    async fn export_leg(
        &self,
        _: Request<sidetone_proto::media::v1::ExportLegRequest>,
    ) -> Result<Response<sidetone_proto::media::v1::ExportLegResponse>, Status> {
        Err(Status::unimplemented("call control does not ask for it"))
    }

    async fn restore_leg(
        &self,
        _: Request<sidetone_proto::media::v1::RestoreLegRequest>,
    ) -> Result<Response<sidetone_proto::media::v1::RestoreLegResponse>, Status> {
        Err(Status::unimplemented("call control does not ask for it"))
    }

    async fn release_leg(
        &self,
        request: Request<ReleaseLegRequest>,
    ) -> Result<Response<ReleaseLegResponse>, Status> {
        self.ask(format!("release {}", request.get_ref().leg_id))?;
        self.state().legs.remove(&request.get_ref().leg_id);
        Ok(Response::new(ReleaseLegResponse { stats: None }))
    }

    async fn set_leg_audio(
        &self,
        request: Request<SetLegAudioRequest>,
    ) -> Result<Response<SetLegAudioResponse>, Status> {
        self.ask(format!("audio {}", request.get_ref().leg_id))?;
        Ok(Response::new(SetLegAudioResponse {}))
    }

    async fn send_digits(
        &self,
        request: Request<SendDigitsRequest>,
    ) -> Result<Response<SendDigitsResponse>, Status> {
        self.ask(format!("digits {}", request.get_ref().leg_id))?;
        Ok(Response::new(SendDigitsResponse {}))
    }

    async fn play(&self, request: Request<PlayRequest>) -> Result<Response<PlayResponse>, Status> {
        let sources = request.get_ref().sources.iter().filter_map(|source| source.source.as_ref());
        let names = sources.map(|source| match source {
            play_source::Source::Prompt(name) | play_source::Source::Url(name) => name.as_str(),
            play_source::Source::Data(_) => "data",
        });
        self.ask(format!("play {}", names.collect::<Vec<_>>().join(",")))?;
        Ok(Response::new(PlayResponse { duration_ms: 1000 }))
    }

    async fn prepare_play(
        &self,
        request: Request<PreparePlayRequest>,
    ) -> Result<Response<PreparePlayResponse>, Status> {
        let far = |source: &PlaySource| matches!(&source.source, Some(play_source::Source::Url(url)) if url.contains("/bad/"));
        if request.get_ref().sources.iter().any(far) {
            return Err(Status::failed_precondition("url: it is too large"));
        }
        Ok(Response::new(PreparePlayResponse { duration_ms: 1000 }))
    }

    async fn steer_play(&self, _: Request<SteerPlayRequest>) -> Result<Response<SteerPlayResponse>, Status> {
        Ok(Response::new(SteerPlayResponse {}))
    }

    async fn stop_play(&self, _: Request<StopPlayRequest>) -> Result<Response<StopPlayResponse>, Status> {
        Ok(Response::new(StopPlayResponse {}))
    }

    async fn start_recording(
        &self,
        request: Request<StartRecordingRequest>,
    ) -> Result<Response<StartRecordingResponse>, Status> {
        let request = request.into_inner();
        self.ask(format!("record {}", request.recording_id))?;
        self.state().recordings.insert(request.recording_id);
        Ok(Response::new(StartRecordingResponse {}))
    }

    async fn stop_recording(
        &self,
        request: Request<StopRecordingRequest>,
    ) -> Result<Response<StopRecordingResponse>, Status> {
        let id = request.into_inner().recording_id;
        self.ask(format!("stop {id}"))?;
        let recording = FinishedRecording {
            recording_id: id.clone(),
            file: "demo/f.wav".into(),
            duration_ms: 20,
            size_bytes: 44,
            failure: None,
            tracks: Vec::new(),
        };
        let kind = Some(media_event::Kind::RecordingFinished(recording.clone()));
        let mut state = self.state();
        state.recordings.remove(&id);
        state
            .watchers
            .retain(|watcher| watcher.send(Ok(MediaEvent { at_unix_ms: 0, kind: kind.clone() })).is_ok());
        Ok(Response::new(StopRecordingResponse { recording: Some(recording) }))
    }

    async fn pause_recording(
        &self,
        request: Request<PauseRecordingRequest>,
    ) -> Result<Response<PauseRecordingResponse>, Status> {
        self.ask(format!("pause {}", request.get_ref().recording_id))?;
        Ok(Response::new(PauseRecordingResponse {}))
    }

    async fn resume_recording(
        &self,
        request: Request<ResumeRecordingRequest>,
    ) -> Result<Response<ResumeRecordingResponse>, Status> {
        self.ask(format!("resume {}", request.get_ref().recording_id))?;
        Ok(Response::new(ResumeRecordingResponse {}))
    }

    type ReadRecordingStream = BoxStream<'static, Result<RecordingBytes, Status>>;

    async fn read_recording(
        &self,
        request: Request<ReadRecordingRequest>,
    ) -> Result<Response<Self::ReadRecordingStream>, Status> {
        self.ask(format!("read {}", request.get_ref().recording_id))?;
        let data = self.state().files.get(&request.get_ref().file).cloned();
        let data = data.ok_or_else(|| Status::not_found("no such file"))?;
        let bytes = RecordingBytes { data, content_type: "audio/wav".into(), ..Default::default() };
        Ok(Response::new(futures_util::stream::iter([Ok(bytes)]).boxed()))
    }

    async fn delete_recording(
        &self,
        request: Request<DeleteRecordingRequest>,
    ) -> Result<Response<DeleteRecordingResponse>, Status> {
        self.ask(format!("delete {}", request.get_ref().recording_id))?;
        Ok(Response::new(DeleteRecordingResponse {}))
    }

    async fn start_stream(
        &self,
        request: Request<StartStreamRequest>,
    ) -> Result<Response<StartStreamResponse>, Status> {
        self.ask(format!("stream {}", request.get_ref().stream_id))?;
        Ok(Response::new(StartStreamResponse { content_type: "audio/wav".into() }))
    }

    async fn stop_stream(
        &self,
        request: Request<StopStreamRequest>,
    ) -> Result<Response<StopStreamResponse>, Status> {
        self.ask(format!("stop stream {}", request.get_ref().stream_id))?;
        Ok(Response::new(StopStreamResponse {}))
    }

    async fn speak(&self, request: Request<SpeakRequest>) -> Result<Response<SpeakResponse>, Status> {
        self.ask(format!("speak into {}", request.get_ref().stream_id))?;
        Ok(Response::new(SpeakResponse::default()))
    }

    type ListenStream = BoxStream<'static, Result<StreamBytes, Status>>;

    async fn listen(&self, request: Request<ListenRequest>) -> Result<Response<Self::ListenStream>, Status> {
        self.ask(format!("listen {}", request.get_ref().stream_id))?;
        Ok(Response::new(futures_util::stream::empty().boxed()))
    }

    async fn refresh(&self, _: Request<RefreshRequest>) -> Result<Response<RefreshResponse>, Status> {
        self.ask("refresh".to_owned())?;
        Ok(Response::new(RefreshResponse::default()))
    }

    async fn list_legs(&self, _: Request<ListLegsRequest>) -> Result<Response<ListLegsResponse>, Status> {
        self.ask("list".to_owned())?;
        Ok(Response::new(ListLegsResponse {
            legs: self.state().legs.values().cloned().collect(),
            ..Default::default()
        }))
    }

    async fn get_node(
        &self,
        _: Request<GetNodeRequest>,
    ) -> Result<Response<sidetone_proto::media::v1::Node>, Status> {
        self.ask("node".to_owned())?;
        let boot_id = self.boot.to_string();
        Ok(Response::new(sidetone_proto::media::v1::Node { boot_id, ..Default::default() }))
    }

    async fn drain(
        &self,
        _: Request<DrainRequest>,
    ) -> Result<Response<sidetone_proto::media::v1::Node>, Status> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        self.ask("watch".to_owned())?;
        let (watcher, events) = mpsc::unbounded_channel();
        let attached = Attached {
            node_id: self.name.clone(),
            boot_id: self.boot.to_string(),
            unacknowledged: Vec::new(),
        };
        let kind = Some(media_event::Kind::Attached(attached));
        watcher.send(Ok(MediaEvent { at_unix_ms: 0, kind })).unwrap();
        self.state().watchers.push(watcher);
        Ok(Response::new(tokio_stream::wrappers::UnboundedReceiverStream::new(events).boxed()))
    }

    async fn finish_recording(
        &self,
        request: Request<FinishRecordingRequest>,
    ) -> Result<Response<FinishRecordingResponse>, Status> {
        let id = request.into_inner().recording_id;
        self.ask(format!("finish {id}"))?;
        let finished = FinishedRecording {
            recording_id: id,
            file: "demo/f.wav".into(),
            duration_ms: 700,
            size_bytes: 7,
            ..Default::default()
        };
        let kind = Some(media_event::Kind::RecordingFinished(finished));
        let mut state = self.state();
        state
            .watchers
            .retain(|watcher| watcher.send(Ok(MediaEvent { at_unix_ms: 0, kind: kind.clone() })).is_ok());
        Ok(Response::new(FinishRecordingResponse {}))
    }

    async fn ack_recording(
        &self,
        request: Request<AckRecordingRequest>,
    ) -> Result<Response<AckRecordingResponse>, Status> {
        self.ask(format!("ack {}", request.get_ref().recording_id))?;
        Ok(Response::new(AckRecordingResponse {}))
    }
}

struct Connector(Vec<Arc<Node>>);

#[async_trait::async_trait]
impl MediaConnector for Connector {
    async fn connect(&self, node: &NodeRegistration) -> Result<Arc<MediaService>, LinkError> {
        let found = self.0.iter().find(|known| known.name == node.node_id && !known.state().gone).cloned();
        match found {
            Some(found) => Ok(found),
            None => Err(LinkError { service: "media", problem: "gone".into() }),
        }
    }
}

/// Everything around call control, and the present life of it.
pub struct World {
    pub store: Arc<EmbeddedStore>,
    pub directory: Directory,
    pub nodes: Vec<Arc<Node>>,
    pub config: Config,
    pub control: CallControl,
    pub lifecycle: Lifecycle,
    pub telemetry: Arc<Telemetry>,
    pub ids: IdSource,
}

const SEED: &str = r#"
[[tenants]]
tenant = "demo"
users = [
    { user = "bob" },
    { user = "ann" },
    { user = "eve", on_busy = "600", on_no_answer = "600", on_unregistered = "600" },
]
rooms = [{ room = "r1" }]
numbers = [{ number = "600", echo = true }, { number = "700", room = "r1" }, { number = "800", wait = true }]
[[tenants]]
tenant = "other"
assistant = "600"
numbers = [{ number = "600", announcement = "welcome" }, { number = "800", wait = true }]
"#;

impl World {
    /// With a grace that is longer than anything a test does in it.
    pub async fn new(nodes: usize) -> Self {
        Self::with(nodes, Config { shards: 2, grace_s: 30, ..Config::default() }).await
    }

    pub async fn with(nodes: usize, config: Config) -> Self {
        let store = EmbeddedStore::in_memory().unwrap();
        let directory = Directory::new(store.clone());
        directory.seed(&toml::from_str::<SeedConfig>(SEED).unwrap()).await.unwrap();
        let mut ids = IdSource::seeded([8; 32]);
        let nodes: Vec<Arc<Node>> = (0..nodes)
            .map(|n| Node {
                name: format!("m{n}"),
                boot: ids.make(now()),
                state: Mutex::default(),
                stuck: watch::Sender::new(false),
            })
            .map(Arc::new)
            .collect();
        for node in &nodes {
            register(&*store, node, LEGS_MAX).await;
        }
        let (control, lifecycle, telemetry) = start(&store, &directory, &nodes, &config).await.unwrap();
        let world = Self { store, directory, nodes, config, control, lifecycle, telemetry, ids };
        world.nodes_are_there().await;
        world
    }

    async fn nodes_are_there(&self) {
        until("the nodes to be reachable", async || {
            let list = self.control.list_nodes(Request::new(api::ListNodesRequest {})).await.unwrap();
            let reachable = list.into_inner().media.iter().filter(|node| node.reachable).count();
            let living = self.nodes.iter().filter(|node| !node.state().gone).count();
            (reachable == living).then_some(())
        })
        .await;
    }

    pub async fn start_another(&self) -> (CallControl, Lifecycle) {
        let (control, lifecycle, _) =
            start(&self.store, &self.directory, &self.nodes, &self.config).await.unwrap();
        (control, lifecycle)
    }

    /// Stops this life and begins the next on the same store.
    pub async fn restart(&mut self) {
        self.stop().await;
        (self.control, self.lifecycle, self.telemetry) =
            start(&self.store, &self.directory, &self.nodes, &self.config).await.unwrap();
        self.nodes_are_there().await;
    }

    pub async fn stop(&self) {
        self.lifecycle.stop();
        tokio::time::timeout(DEADLINE, self.control.finished()).await.expect("call control has stopped");
    }

    pub async fn register_phone(&self, user: &str, replica: &str) {
        let address = SocketAddr::from(([127, 0, 0, 1], 5060));
        let registration = Registration {
            binding: Binding {
                user: UserId::new(user).unwrap(),
                device: "phone".parse().unwrap(),
                contact_uri: format!("sip:{user}@127.0.0.1").into(),
                replica: ReplicaId::new(replica).unwrap(),
                flow: Flow { transport: Transport::Udp, local: address, remote: address },
                path: Vec::new(),
            },
            expires_at: Timestamp::from_millis(now().as_millis() + 3_600_000),
            user_agent: "".into(),
            sip_call_id: "c".into(),
            cseq: 1,
            instance: "".into(),
            reg_id: 0,
            q_thousandths: 1000,
            revision: None,
        };
        let tenant = TenantId::new("demo").unwrap();
        self.directory.put_registration(&tenant, &registration, Expect::Any).await.unwrap();
    }

    pub async fn attach(&mut self) -> Replica {
        let boot = self.ids.make(now());
        let link = self.control.attach().await.unwrap();
        Replica::attach("s1", boot, link, &[]).await
    }

    pub async fn calls(&self, tenant: &str) -> Vec<api::Call> {
        let request = api::ListCallsRequest { tenant: tenant.into(), ..Default::default() };
        self.control.list_calls(Request::new(request)).await.unwrap().into_inner().calls
    }

    pub async fn no_calls(&self) {
        until("no call to be live", async || self.calls("demo").await.is_empty().then_some(())).await;
    }

    pub async fn cdrs(&self, tenant: &str) -> Vec<api::Cdr> {
        let request = api::QueryCdrsRequest { tenant: tenant.into(), ..Default::default() };
        let cdrs = self.control.query_cdrs(Request::new(request)).await.unwrap().into_inner();
        cdrs.map(|cdr| cdr.unwrap()).collect().await
    }
}

async fn start(
    store: &Arc<EmbeddedStore>,
    directory: &Directory,
    nodes: &[Arc<Node>],
    config: &Config,
) -> anyhow::Result<(CallControl, Lifecycle, Arc<Telemetry>)> {
    let lifecycle = Lifecycle::new();
    let telemetry = Telemetry::new().unwrap();
    let deps = Deps {
        store: store.clone(),
        directory: directory.clone(),
        media: Arc::new(Connector(nodes.to_vec())),
        push: None,
        telemetry: Arc::clone(&telemetry),
        lifecycle: lifecycle.clone(),
    };
    Ok((CallControl::start(config.clone(), deps).await?, lifecycle, telemetry))
}

async fn register(store: &dyn Store, node: &Node, legs_max: u32) {
    let registration = NodeRegistration {
        node_id: node.name.clone(),
        boot_id: node.boot.to_string(),
        grpc_address: "127.0.0.1:1".into(),
        legs_max,
        expires_unix_ms: now().as_millis() + 3_600_000,
        ..Default::default()
    };
    let key = format!("media-nodes/{}", node.name);
    store.put(&key, Bytes::from(registration.encode_to_vec()), None, Expect::Any).await.unwrap();
}

/// A signalling replica.
pub struct Replica {
    pub name: ReplicaId,
    pub boot: BootId,
    pub link: ReplicaLink,
    /// Commands that came, in order.
    pub commands: Vec<LegCommand>,
    pub acked: BTreeMap<LegId, u64>,
    pub released: Vec<LegId>,
    sent: BTreeMap<LegId, u64>,
    applies: bool,
}

impl Replica {
    pub async fn attach(name: &str, boot: BootId, link: ReplicaLink, legs: &[(LegId, u64)]) -> Self {
        let tenant = TenantId::new("demo").unwrap();
        let held =
            |(leg, n): &(LegId, u64)| HeldLeg { leg: *leg, tenant: tenant.clone(), last_command_n: *n };
        let name = ReplicaId::new(name).unwrap();
        let hello = Hello { replica: name.clone(), boot, legs: legs.iter().map(held).collect() };
        link.to_owner.send(ReplicaMessage::Hello(hello)).await.unwrap();
        let mut new = Self {
            name,
            boot,
            link,
            commands: Vec::new(),
            acked: BTreeMap::new(),
            released: Vec::new(),
            sent: BTreeMap::new(),
            applies: true,
        };
        let welcome = new.receive().await;
        assert!(matches!(welcome, OwnerMessage::Welcome { .. }), "{welcome:?}");
        new
    }

    /// The same replica on a new stream, holding these legs.
    pub async fn reattach(self, control: &CallControl, legs: &[(LegId, u64)]) -> Self {
        let link = control.attach().await.unwrap();
        let new = Self::attach(self.name.as_str(), self.boot, link, legs).await;
        Self { sent: self.sent, ..new }
    }

    pub async fn receive(&mut self) -> OwnerMessage {
        let message = tokio::time::timeout(DEADLINE, self.link.from_owner.recv()).await;
        message.expect("a message in time").expect("the stream stands")
    }

    pub async fn send(&mut self, leg: LegId, tenant: &str, n: u64, kind: LegSignalKind) {
        let tenant = TenantId::new(tenant).unwrap();
        let signal = LegSignal { boot: self.boot, leg, tenant, n, at: now(), trunk: None, kind };
        self.link.to_owner.send(ReplicaMessage::Signal(signal)).await.unwrap();
    }

    pub async fn signal(&mut self, leg: LegId, kind: LegSignalKind) {
        self.signal_of("demo", leg, kind).await;
    }

    async fn signal_of(&mut self, tenant: &str, leg: LegId, kind: LegSignalKind) {
        let n = self.sent.entry(leg).or_default();
        *n += 1;
        let n = *n;
        self.send(leg, tenant, n, kind).await;
    }

    /// Sends unless the owner has closed the stream.
    pub async fn try_signal(&mut self, leg: LegId, kind: LegSignalKind) -> bool {
        let n = self.sent.entry(leg).or_default();
        *n += 1;
        let tenant = TenantId::new("demo").unwrap();
        let signal = LegSignal { boot: self.boot, leg, tenant, n: *n, at: now(), trunk: None, kind };
        self.link.to_owner.send(ReplicaMessage::Signal(signal)).await.is_ok()
    }

    /// Whether the owner reads no more from this stream.
    pub fn is_cut_off(&self) -> bool {
        self.link.to_owner.is_closed()
    }

    pub async fn call(&mut self, ids: &mut IdSource, tenant: &str, number: &str) -> LegId {
        let leg = ids.make(now());
        self.signal_of(tenant, leg, offered(number)).await;
        leg
    }

    /// Takes messages until a command fits.
    pub async fn command(&mut self, fits: impl Fn(&LegCommand) -> bool) -> LegCommand {
        loop {
            match self.receive().await {
                OwnerMessage::Command(command) => {
                    self.commands.push(command.clone());
                    let applied = ReplicaMessage::Applied { leg: command.leg, n: command.n };
                    if self.applies {
                        self.link.to_owner.send(applied).await.unwrap();
                    }
                    if fits(&command) {
                        return command;
                    }
                }
                OwnerMessage::Ack { leg, n } => drop(self.acked.insert(leg, n)),
                OwnerMessage::Release { leg } => self.released.push(leg),
                OwnerMessage::MessagesWaiting(_)
                | OwnerMessage::Watched(_)
                | OwnerMessage::Repeated { .. } => {}
                OwnerMessage::Welcome { .. } => panic!("welcome twice"),
            }
        }
    }

    pub async fn released(&mut self) -> LegId {
        loop {
            if let OwnerMessage::Release { leg } = self.receive().await {
                return leg;
            }
        }
    }

    pub async fn acked(&mut self, leg: LegId, n: u64) {
        while self.acked.get(&leg).is_none_or(|acked| *acked < n) {
            if let OwnerMessage::Ack { leg, n } = self.receive().await {
                self.acked.insert(leg, n);
            }
        }
    }

    pub async fn answer(&mut self, leg: LegId) -> LegCommand {
        self.command(|command| command.leg == leg && matches!(command.kind, LegCommandKind::Answer { .. }))
            .await
    }

    pub async fn invite(&mut self) -> LegId {
        self.command(|command| matches!(command.kind, LegCommandKind::Invite(_))).await.leg
    }

    pub async fn end(&mut self, leg: LegId) -> Cause {
        let ends =
            |command: &LegCommand| command.leg == leg && matches!(command.kind, LegCommandKind::End(_));
        match self.command(ends).await.kind {
            LegCommandKind::End(termination) => termination.cause,
            other => panic!("{other:?}"),
        }
    }

    pub async fn bye(&mut self, leg: LegId) {
        self.signal(leg, LegSignalKind::Ended(Termination::new(Cause::Normal).with_sip_status(200))).await;
    }
}

pub fn offered(number: &str) -> LegSignalKind {
    LegSignalKind::Offered(Box::new(Offered {
        from: Party { number: "100".into(), ..Party::default() },
        dialled: number.into(),
        source: SocketAddr::from(([127, 0, 0, 1], 5060)),
        media: Some(media()),
        sip_call_id: "c1".into(),
        replaces: None,
        anonymous: false,
        headers: Vec::new(),
        max_forwards: None,
        invite: Default::default(),
    }))
}
