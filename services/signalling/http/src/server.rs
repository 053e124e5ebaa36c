//! Starting the door.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use sidetone_dialects::{Behind, Dialect, Doorway, People};
use sidetone_directory::Directory;
use sidetone_model::classify::{Classify as _, RETRY_AFTER_S};
use sidetone_model::ids::ShardId;
use sidetone_runtime::Lifecycle;
use sidetone_runtime::link::{CommandPort, FactFeed};
use sidetone_store::{Expect, Store, StoreError};
use sidetone_telemetry::Telemetry;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::book::Book;
use crate::config::Config;
use crate::count::counted;
use crate::door::{Door, now};
use crate::follower::{Follower, Shard};
use crate::media::{self, MediaSource, MediaUrls, Tickets};
use crate::outlet::Outlet;
use crate::ring::Ring;
use crate::serving::{Bounds, CLOSE_MAX, Serving};
use crate::speaking::Speaking;

/// What the door needs of its process.
pub struct Deps {
    /// Where secrets are kept, and whose changes of the directory are watched.
    pub store: Arc<dyn Store>,
    /// Who there is.
    pub directory: Directory,
    /// The facts.
    pub feed: Arc<dyn FactFeed>,
    /// Who carries out commands.
    pub commands: Arc<dyn CommandPort>,
    /// Who has recordings and streams; without it there is nothing at their URLs.
    pub media: Option<Arc<dyn MediaSource>>,
    /// Who delivers to applications; without it they are told nothing.
    pub outlet: Option<Arc<dyn Outlet>>,
    /// What is spoken.
    pub dialects: Vec<Arc<dyn Dialect>>,
    /// What is counted.
    pub telemetry: Arc<Telemetry>,
    /// The process.
    pub lifecycle: Lifecycle,
}

/// The door, open.
#[derive(Debug)]
pub struct HttpDoor {
    address: SocketAddr,
    urls: MediaUrls,
    task: JoinHandle<()>,
}

/// The secret of tickets, in the store: every replica reads what another has written.
const SECRET: &str = "http/ticket-secret";

impl HttpDoor {
    /// Binds the port, follows the facts and serves.
    ///
    /// # Errors
    /// When the port cannot be bound or the store cannot be asked.
    pub async fn start(config: Config, deps: Deps) -> anyhow::Result<Self> {
        let listener =
            TcpListener::bind(config.bind).await.with_context(|| format!("http.bind {}", config.bind))?;
        let address = listener.local_addr()?;
        let base = config.public_url.clone().unwrap_or_else(|| format!("http://{address}"));
        let secret = secret(&*deps.store).await.context("the secret of URLs cannot be had from the store")?;
        let url_life = Duration::from_secs(config.media_url_s);
        let base = base.trim_end_matches('/');
        let tickets = Arc::new(Tickets::new(&secret, base.to_owned(), url_life));
        let book = Arc::new(Book::new(base));
        book.read(&deps.directory).await.context("the directory cannot be read")?;
        let stopping = deps.lifecycle.stopping();
        let fresh = Arc::clone(&book).keep_fresh(deps.store, deps.directory.clone(), stopping.clone());
        tokio::spawn(fresh);
        let dialects: Arc<[Arc<dyn Dialect>]> = deps.dialects.into();
        let ring = || Ring::new(config.events_kept, now().as_millis() << 20, Arc::clone(&deps.telemetry));
        let shards: Vec<Arc<Shard>> = (0..deps.feed.shards()).map(|_| Arc::new(Shard::new(ring()))).collect();
        for (id, shard) in (0..).map(ShardId).zip(&shards) {
            let follower = Follower {
                id,
                shard: Arc::clone(shard),
                dialects: Arc::clone(&dialects),
                people: Arc::clone(&book) as Arc<dyn People>,
                feed: Arc::clone(&deps.feed),
                outlet: deps.outlet.clone(),
                telemetry: Arc::clone(&deps.telemetry),
            };
            tokio::spawn(follower.run(stopping.clone()));
        }
        if let Some(outlet) = deps.outlet.clone().filter(|_| config.speaking) {
            let speaking = Speaking {
                shards: shards.clone(),
                dialects: Arc::clone(&dialects),
                outlet,
                telemetry: Arc::clone(&deps.telemetry),
                last: Default::default(),
            };
            tokio::spawn(speaking.run(deps.feed.speakers(), stopping.clone()));
        }
        let known = shards.clone();
        let door: Arc<dyn Doorway> = Arc::new(Door {
            shards,
            feed: deps.feed,
            commands: deps.commands,
            directory: deps.directory,
            book,
            tickets: Arc::clone(&tickets),
            subscriptions_max: config.subscriptions_max,
            session_idle: Duration::from_secs(config.session_idle_s),
            telemetry: Arc::clone(&deps.telemetry),
        });
        let count = |name: &'static str, routes: Router| counted(routes, name, Arc::clone(&deps.telemetry));
        let media = deps.media.map(|source| count("media", media::routes(Arc::clone(&tickets), source)));
        let mut router = media.unwrap_or_default();
        for dialect in dialects.iter() {
            router = router.merge(count(dialect.name(), dialect.routes(Arc::clone(&door))));
        }
        let current = Arc::new(AtomicBool::new(false));
        let router = bounded(router, &config).layer(from_fn_with_state(Arc::clone(&current), when_current));
        let component = deps.lifecycle.component("http");
        tokio::spawn(async move {
            for shard in known {
                shard.current().await;
            }
            current.store(true, Ordering::Release);
            component.set_ready(true);
        });
        let serving = Serving { router, bounds: Bounds::of(&config), telemetry: deps.telemetry, stopping };
        Ok(Self { address, urls: MediaUrls::new(tickets), task: tokio::spawn(serving.run(listener)) })
    }

    /// Makes URLs of this door.
    pub fn media_urls(&self) -> MediaUrls {
        self.urls.clone()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Resolves when it has closed; event channels that stay open are cut.
    pub async fn finished(mut self) {
        if tokio::time::timeout(2 * CLOSE_MAX, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

/// Until the door knows what had happened before it began, it cannot tell a call that there is from one that there is not.
async fn when_current(State(current): State<Arc<AtomicBool>>, request: Request, next: Next) -> Response {
    if current.load(Ordering::Acquire) {
        return next.run(request).await;
    }
    let status =
        StatusCode::from_u16(Behind.class().http_status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    (status, [(RETRY_AFTER, RETRY_AFTER_S)], Behind.to_string()).into_response()
}

/// The bounds of every request.
fn bounded(router: Router, config: &Config) -> Router {
    let timeout = Duration::from_secs(config.request_timeout_s);
    // It is about the handler; a body that streams, an event channel or a live stream, may take as long as it likes.
    let status = axum::http::StatusCode::GATEWAY_TIMEOUT;
    router
        .layer(DefaultBodyLimit::max(config.body_bytes_max))
        .layer(tower_http::timeout::TimeoutLayer::with_status_code(status, timeout))
}

async fn secret(store: &dyn Store) -> Result<Vec<u8>, StoreError> {
    loop {
        if let Some(entry) = store.get(SECRET).await? {
            return Ok(entry.value.to_vec());
        }
        let mut bytes = [0u8; 32];
        rand::fill(&mut bytes);
        match store.put(SECRET, bytes.to_vec().into(), None, Expect::Absent).await {
            Ok(_) => return Ok(bytes.to_vec()),
            // Somebody else was first: theirs is the secret.
            Err(StoreError::RevisionMismatch { .. }) => {}
            Err(error) => return Err(error),
        }
    }
}
