//! A replica on loopback with a store in memory, an owner on channels, and phones that speak by raw text.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test uses its part, and may panic")]

pub(crate) mod carrier;
pub(crate) mod phone;
pub(crate) mod tls;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sidetone_directory::{Directory, SeedConfig};
use sidetone_model::command::{Invite, LegCommand, LegCommandKind};
use sidetone_model::ids::{BootId, IdSource, LegId, ReplicaId, TenantId};
use sidetone_model::media::{Direction, Encoding, Format, Holder, MediaDescription};
use sidetone_model::party::{Binding, Party, Transport};
use sidetone_model::signal::{Hello, LegSignal, LegSignalKind, OwnerMessage, ReplicaMessage};
use sidetone_model::time::Timestamp;
use sidetone_proto::signalling::v1::signalling_server::SignallingServer;
use sidetone_runtime::Lifecycle;
use sidetone_runtime::grpc::TlsConfig;
use sidetone_runtime::link::{LinkError, OwnerConnector, ReplicaLink};
use sidetone_signalling::{Config, Deps, ListenerConfig, REPLICAS_PREFIX, Signalling, TransportKind};
use sidetone_sip_core::message::Request;
use sidetone_store::Store;
use sidetone_store::embedded::EmbeddedStore;
use sidetone_telemetry::Telemetry;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;

/// What a test waits for at most; it fails then.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

const SEED: &str = r#"
[[tenants]]
tenant = "alpha"
domains = ["alpha.test"]
users = [
  { user = "ada", numbers = ["1001"], devices = [
    { device = "desk", auth_username = "1001", password = "pw-of-ada" },
    { device = "mobile", auth_username = "1001m", password = "pw-mobile" } ] },
  { user = "ben", numbers = ["1002"], devices = [{ device = "desk", auth_username = "1002", password = "pw-of-ben" }] },
]
numbers = [{ number = "9196", echo = true, open = true }, { number = "9198", wait = true }]

[[tenants]]
tenant = "beta"
domains = ["beta.test", "127.0.0.1"]
users = [
  { user = "ada", numbers = ["1001"], devices = [{ device = "desk", auth_username = "1001", password = "pw-of-beta" }] },
]
"#;

pub(crate) struct Rig {
    pub(crate) signalling: Signalling,
    pub(crate) directory: Directory,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) store: Arc<dyn Store>,
    config: Config,
    /// The file with the certificate that the replica shows.
    pub(crate) certificate: Option<PathBuf>,
    owner: Arc<FakeOwner>,
    /// Answers the other replicas.
    serving: JoinHandle<()>,
}

struct FakeOwner {
    present: AtomicBool,
    opened: mpsc::Sender<OwnerEnd>,
    ends: Mutex<mpsc::Receiver<OwnerEnd>>,
}

/// The owner's end of a stream.
pub(crate) struct OwnerEnd {
    pub(crate) hello: Option<Hello>,
    from_replica: mpsc::Receiver<ReplicaMessage>,
    to_replica: mpsc::Sender<OwnerMessage>,
}

#[async_trait::async_trait]
impl OwnerConnector for FakeOwner {
    async fn attach(&self) -> Result<ReplicaLink, LinkError> {
        if !self.present.load(Ordering::SeqCst) {
            return Err(LinkError { service: "call control", problem: "away".to_owned() });
        }
        let (to_owner, from_replica) = mpsc::channel(16);
        let (to_replica, from_owner) = mpsc::channel(16);
        self.opened.send(OwnerEnd { hello: None, from_replica, to_replica }).await.unwrap();
        Ok(ReplicaLink { to_owner, from_owner })
    }
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::with(Config::default()).await
    }

    /// Listens on free ports whatever the configuration says.
    pub(crate) async fn with(config: Config) -> Self {
        Self::at("127.0.0.1:0", &[TransportKind::Udp, TransportKind::Tcp], config).await
    }

    /// Listens on free ports of an address with the given transports, whatever the configuration says.
    pub(crate) async fn at(bind: &str, transports: &[TransportKind], config: Config) -> Self {
        let bind = bind.parse().unwrap();
        let listener =
            |transport: &TransportKind| ListenerConfig { transport: *transport, bind, advertised: None };
        let listeners = transports.iter().map(listener).collect();
        let certificate = config.tls.certificates.first().map(|pair| pair.cert.clone());
        let store: Arc<dyn Store> = EmbeddedStore::in_memory().unwrap();
        let directory = Directory::new(Arc::clone(&store));
        directory.seed(&toml::from_str::<SeedConfig>(SEED).unwrap()).await.unwrap();
        let config = Config { listeners, ..config };
        Self::live(config, store, directory, FakeOwner::new(), certificate).await
    }

    /// Another replica with the same store, at other ports, and with an owner of its own.
    pub(crate) async fn beside(&self, replica_id: &str) -> Self {
        // What it does not find at its start it learns a second later.
        within(async {
            let own = format!("{REPLICAS_PREFIX}{}", self.config.replica_id);
            while self.store.get(&own).await.unwrap().is_none() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
        let mut config = Config { replica_id: replica_id.to_owned(), ..self.config.clone() };
        config.listeners.iter_mut().for_each(|listener| listener.bind.set_port(0));
        let (store, directory) = (Arc::clone(&self.store), self.directory.clone());
        Self::live(config, store, directory, FakeOwner::new(), self.certificate.clone()).await
    }

    async fn live(
        mut config: Config,
        store: Arc<dyn Store>,
        directory: Directory,
        owner: Arc<FakeOwner>,
        certificate: Option<PathBuf>,
    ) -> Self {
        if config.behind_max_ms == Config::default().behind_max_ms {
            // Most tests do not care to acknowledge.
            config.behind_max_ms = 0;
        }
        let telemetry = Telemetry::new().unwrap();
        let lifecycle = Lifecycle::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let deps = Deps {
            store: Arc::clone(&store),
            directory: directory.clone(),
            owner: owner.clone(),
            telemetry: Arc::clone(&telemetry),
            lifecycle: lifecycle.clone(),
            grpc_address: listener.local_addr().unwrap().to_string(),
            tls: TlsConfig::default(),
        };
        let signalling = Signalling::start(config.clone(), deps).await.unwrap();
        for (listener, bound) in config.listeners.iter_mut().zip(signalling.listeners()) {
            listener.bind = bound.local;
        }
        let server = Server::builder().add_service(SignallingServer::new(signalling.service()));
        let serving = tokio::spawn(async move {
            server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
        });
        Self { signalling, directory, telemetry, lifecycle, store, config, certificate, owner, serving }
    }

    /// What was handed over or taken, of one kind.
    pub(crate) fn handed_over(&self, what: &str) -> u64 {
        self.telemetry.signalling.handed_over.with_label_values(&[what]).get()
    }

    /// Waits until no dialog is stored any more.
    pub(crate) async fn nothing_stored(&self) {
        within(async {
            while !self.store.list("signalling-dialogs/").await.unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// Waits until a subscription is stored.
    pub(crate) async fn subscription_stored(&self) {
        within(async {
            while self.store.list("signalling-subscriptions/").await.unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// Kills the replica for good.
    pub(crate) async fn kill(self) {
        self.signalling.kill().await;
        self.serving.abort();
    }

    /// Kills the replica and starts it again at the same addresses with the same store.
    pub(crate) async fn restart(self) -> Self {
        let Self { signalling, directory, store, config, certificate, owner, serving, .. } = self;
        signalling.kill().await;
        serving.abort();
        // The sockets close when their tasks have noticed.
        for listener in &config.listeners {
            let free = || {
                std::net::UdpSocket::bind(listener.bind).is_ok()
                    && std::net::TcpListener::bind(listener.bind).is_ok()
            };
            while !free() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        Self::live(config, store, directory, owner, certificate).await
    }

    pub(crate) fn address(&self, transport: Transport) -> std::net::SocketAddr {
        self.signalling.listeners().iter().find(|l| l.transport == transport).unwrap().local
    }

    pub(crate) fn set_owner_present(&self, present: bool) {
        self.owner.present.store(present, Ordering::SeqCst);
    }

    /// Takes the replica's next stream, hears Hello and says Welcome.
    pub(crate) async fn attach(&self) -> OwnerEnd {
        let mut ends = self.owner.ends.lock().await;
        let mut end = within(ends.recv()).await.unwrap();
        let ReplicaMessage::Hello(hello) = end.next().await else { panic!("Hello is first") };
        end.hello = Some(hello);
        let boot: BootId = IdSource::seeded([5; 32]).make(Timestamp::from_millis(1));
        end.say(OwnerMessage::Welcome { boot }).await;
        self.until("attached", || self.telemetry.signalling.owner_attached.get() == 1).await;
        end
    }

    pub(crate) async fn until(&self, what: &str, condition: impl Fn() -> bool) {
        let waiting = async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "not in time: {what}");
    }

    pub(crate) async fn bindings(&self, tenant: &str, user: &str) -> Vec<sidetone_directory::Registration> {
        let (tenant, user) = (TenantId::new(tenant).unwrap(), user.parse().unwrap());
        self.directory.bindings(&tenant, &user).await.unwrap()
    }
}

impl FakeOwner {
    fn new() -> Arc<Self> {
        let (opened, ends) = mpsc::channel(4);
        Arc::new(Self { present: AtomicBool::new(true), opened, ends: Mutex::new(ends) })
    }
}

impl OwnerEnd {
    pub(crate) async fn next(&mut self) -> ReplicaMessage {
        within(self.from_replica.recv()).await.expect("the stream stands")
    }

    /// The next signal; acknowledgements of commands are passed over.
    pub(crate) async fn signal(&mut self) -> LegSignal {
        loop {
            if let ReplicaMessage::Signal(signal) = self.next().await {
                return signal;
            }
        }
    }

    pub(crate) async fn ended(&mut self) -> (LegSignal, sidetone_model::termination::Termination) {
        let signal = self.signal().await;
        match signal.kind.clone() {
            LegSignalKind::Ended(termination) => (signal, termination),
            other => panic!("expected Ended, got {other:?}"),
        }
    }

    pub(crate) async fn say(&self, message: OwnerMessage) {
        self.to_replica.send(message).await.unwrap();
    }

    pub(crate) async fn ack(&self, signal: &LegSignal) {
        self.say(OwnerMessage::Ack { leg: signal.leg, n: signal.n }).await;
    }

    /// Tells the replica to call somebody.
    pub(crate) async fn calls(&self, seed: u8, invite: Invite) -> LegId {
        let leg = IdSource::seeded([seed; 32]).make(Timestamp::from_millis(7));
        self.command("alpha", leg, 1, LegCommandKind::Invite(Box::new(invite))).await;
        leg
    }

    pub(crate) async fn command(&self, tenant: &str, leg: LegId, n: u64, kind: LegCommandKind) {
        let (replica, tenant) = (ReplicaId::new("signalling-0").unwrap(), TenantId::new(tenant).unwrap());
        self.say(OwnerMessage::Command(LegCommand { replica, tenant, leg, n, kind })).await;
    }
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

/// What a request has in common with its repetitions, and with nothing else: branch and method.
pub(crate) fn transaction_of(request: &Request) -> (String, String) {
    let via = request.header("Via").unwrap();
    let branch = via.split(";branch=").nth(1).unwrap().split([';', ',']).next().unwrap();
    (branch.to_owned(), request.method().as_str().to_owned())
}

/// A call of 1001 to where a binding leads.
pub(crate) fn invite_to(number: &str, binding: Binding) -> Invite {
    Invite {
        from: Party { number: "1001".into(), ..Party::default() },
        to: number.into(),
        binding,
        media: media(),
        auto_answer: false,
        anonymous: false,
        diversions: Vec::new(),
        call: None,
        headers: Vec::new(),
        max_forwards: None,
    }
}

pub(crate) fn media() -> MediaDescription {
    MediaDescription {
        holder: Holder::Node,
        rtp: "127.0.0.1:20000".parse().unwrap(),
        rtcp: None,
        rtcp_mux: false,
        formats: vec![Format::new(8, Encoding::Pcma, 8000), Format::new(101, Encoding::TelephoneEvent, 8000)],
        direction: Direction::SendRecv,
        ptime_ms: 20,
        secured: false,
        crypto: Vec::new(),
        dtls: None,
        ice: None,
        wants_voip_metrics: false,
    }
}
