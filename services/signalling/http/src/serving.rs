//! Connections: taken up to a bound, of one address up to another, and closed when they ask for nothing.
//!
//! `axum::serve` bounds neither their number nor the time for the head of a request: a few thousand clients that connect and
//! say nothing would take every descriptor of the process, its SIP included.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use sidetone_dialects::Source;
use sidetone_model::cidr::Cidr;
use sidetone_telemetry::Telemetry;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::config::Config;

/// The port, and what is bounded there.
pub(crate) struct Serving {
    pub(crate) router: Router,
    pub(crate) bounds: Bounds,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) stopping: CancellationToken,
}

/// Bounds of connections.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    connections_max: usize,
    of_source_max: usize,
    head: Duration,
    /// Whose `X-Forwarded-For` is believed.
    proxies: Arc<[Cidr]>,
}

impl Bounds {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            connections_max: config.connections_max,
            of_source_max: config.connections_per_source_max,
            head: Duration::from_secs(config.head_timeout_s),
            proxies: config.proxies.clone().into(),
        }
    }

    fn is_proxy(&self, address: IpAddr) -> bool {
        self.proxies.iter().any(|network| network.contains(address))
    }

    /// Who asks: the far end, or whom a proxy of ours names. Of several names the last that no proxy of ours has is taken: what
    /// stands before it anybody may have written.
    fn source(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.is_proxy(peer) {
            return peer;
        }
        let lines = headers.get_all("x-forwarded-for").into_iter().filter_map(|line| line.to_str().ok());
        let named: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
        let mut source = peer;
        for name in named.into_iter().rev() {
            let Ok(address) = name.parse::<IpAddr>() else { break };
            source = address.to_canonical();
            if !self.is_proxy(source) {
                break;
            }
        }
        source
    }
}

/// How many connections there are, and from where.
#[derive(Debug, Default)]
struct Open {
    all: usize,
    of: HashMap<IpAddr, usize>,
}

/// A connection's place; given back when it is dropped. Every request has it among its extensions, so that what goes on with
/// the connection when HTTP is done with it (a WebSocket) can keep it.
pub(crate) struct Place {
    open: Arc<Mutex<Open>>,
    source: IpAddr,
    telemetry: Arc<Telemetry>,
}

impl Place {
    /// A place, or which bound there is none under.
    fn take(
        open: &Arc<Mutex<Open>>,
        source: IpAddr,
        bounds: &Bounds,
        telemetry: &Arc<Telemetry>,
    ) -> Result<Self, &'static str> {
        let mut counts = lock(open);
        if counts.all >= bounds.connections_max {
            return Err("connections");
        }
        let own = counts.of.get(&source).copied().unwrap_or(0);
        if own >= bounds.of_source_max && !bounds.is_proxy(source) {
            return Err("connections_of_source");
        }
        counts.all += 1;
        counts.of.insert(source, own + 1);
        telemetry.http.connections.inc();
        Ok(Self { open: Arc::clone(open), source, telemetry: Arc::clone(telemetry) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = lock(&self.open);
        counts.all -= 1;
        if let Some(own) = counts.of.get_mut(&self.source) {
            *own -= 1;
            if *own == 0 {
                counts.of.remove(&self.source);
            }
        }
        self.telemetry.http.connections.dec();
    }
}

fn lock(open: &Mutex<Open>) -> MutexGuard<'_, Open> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Serving {
    /// Serves until the process stops, and then until what is open has ended, for [`CLOSE_MAX`] at most.
    pub(crate) async fn run(self, listener: TcpListener) {
        let this = Arc::new(self);
        let (open, connections) = (Arc::default(), TaskTracker::new());
        loop {
            let accepted = tokio::select! {
                () = this.stopping.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let source = peer.ip().to_canonical();
                    match Place::take(&open, source, &this.bounds, &this.telemetry) {
                        Ok(place) => {
                            connections.spawn(Arc::clone(&this).connection(stream, peer, Arc::new(place)));
                        }
                        // Closed at once: whoever waits would wait for those who do not go.
                        Err(bound) => this.telemetry.http.limited.with_label_values(&[bound]).inc(),
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection to the HTTP door could not be taken");
                    // As a rule there are no descriptors left; trying again at once would only spin.
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
        drop(listener);
        connections.close();
        connections.wait().await;
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, place: Arc<Place>) {
        // An event is worth nothing in a buffer of the kernel.
        let _ = stream.set_nodelay(true);
        let has_asked = Arc::new(AtomicBool::new(false));
        let service = {
            let (this, has_asked, place) = (Arc::clone(&self), Arc::clone(&has_asked), Arc::clone(&place));
            hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
                has_asked.store(true, Ordering::Relaxed);
                let mut request: Request = request.map(Body::new);
                let source = this.bounds.source(peer.ip().to_canonical(), request.headers());
                request.extensions_mut().insert(Source(source));
                request.extensions_mut().insert(Arc::clone(&place));
                let router = this.router.clone();
                async move {
                    Ok::<_, Infallible>(router.oneshot(request).await.unwrap_or_else(|never| match never {}))
                }
            })
        };
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(self.bounds.head);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(Some(KEEP_ALIVE))
            .max_concurrent_streams(STREAMS_MAX);
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        tokio::pin!(connection);
        // The builder reads as far as it must to tell HTTP/1 from HTTP/2 before any timer of its own runs.
        tokio::select! {
            _ = connection.as_mut() => return,
            () = tokio::time::sleep(self.bounds.head), if !has_asked.load(Ordering::Relaxed) => {
                if !has_asked.load(Ordering::Relaxed) {
                    self.telemetry.http.limited.with_label_values(&["head_time"]).inc();
                    return;
                }
            }
            () = self.stopping.cancelled() => {}
        }
        tokio::select! {
            _ = connection.as_mut() => return,
            () = self.stopping.cancelled() => {}
        }
        connection.as_mut().graceful_shutdown();
        // What is cut is an event channel, or a request that takes longer than a stop may.
        drop(tokio::time::timeout(CLOSE_MAX, connection).await);
        drop(place);
    }
}

/// How long open answers may go on when the process stops.
pub(crate) const CLOSE_MAX: Duration = Duration::from_secs(1);
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// A client by HTTP/2 that does not answer a ping in 20 s is gone (RFC 9113, section 6.7).
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Requests at a time on one connection by HTTP/2.
const STREAMS_MAX: u32 = 100;

#[cfg(test)]
#[path = "serving_tests.rs"]
mod tests;
