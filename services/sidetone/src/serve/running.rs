//! Services that run.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sidetone_call_control::CallControl;
use sidetone_http::HttpDoor;
use sidetone_media::MediaNode;
use sidetone_outbox::Outbox;
use sidetone_push::Push;
use sidetone_runtime::Lifecycle;
use sidetone_signalling::Signalling;
use sidetone_store::embedded::EmbeddedStore;
use tokio::task::JoinHandle;

/// How long services may take to put everything away after they were told to stop.
const STOP_MAX: Duration = Duration::from_secs(5);

/// What runs in this process.
pub(crate) struct Running {
    pub(crate) lifecycle: Lifecycle,
    pub(crate) grpc: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) sip: Vec<SocketAddr>,
    pub(super) signalling: Option<Signalling>,
    pub(super) call_control: Option<CallControl>,
    pub(super) http: Option<HttpDoor>,
    pub(super) outbox: Option<Outbox>,
    pub(super) media: Option<MediaNode>,
    pub(super) push: Option<Push>,
    pub(super) store: Option<Arc<EmbeddedStore>>,
    pub(super) serving: Option<JoinHandle<()>>,
}

impl Running {
    pub(super) fn new(lifecycle: Lifecycle, grpc: SocketAddr, admin: SocketAddr) -> Self {
        Self {
            lifecycle,
            grpc,
            admin,
            sip: Vec::new(),
            signalling: None,
            call_control: None,
            http: None,
            outbox: None,
            media: None,
            push: None,
            store: None,
            serving: None,
        }
    }

    /// Where SIP is spoken, and over what.
    pub(super) fn listening(&self) -> String {
        let listeners = self.signalling.iter().flat_map(Signalling::listeners);
        let shown = listeners.map(|listener| {
            format!("{} {}", format!("{:?}", listener.transport).to_lowercase(), listener.local)
        });
        shown.collect::<Vec<_>>().join(", ")
    }

    /// Resolves when what a drain waits for is over: no call runs here any more.
    pub(crate) async fn drained(&self) {
        if let Some(signalling) = &self.signalling {
            signalling.drained().await;
        }
        // With signalling in the same process no leg is left by now. Call control alone waits for nobody: calls go on
        // without it, and its successor folds the log.
        if let (Some(media), None) = (&self.media, &self.signalling) {
            media.drained().await;
        }
    }

    /// Ends the calls that still run here. With everything in one process nobody else has them, and their ends are to be in the
    /// log and in the CDRs; otherwise the others go on with them, or tell their ends.
    pub(crate) async fn end_calls(&self) {
        if let (Some(call_control), Some(_), Some(_)) = (&self.call_control, &self.signalling, &self.media) {
            call_control.end_calls().await;
        }
    }

    /// Waits until everything has been put away, in the order in which one needs the other.
    pub(crate) async fn stopped(self) {
        let all = async {
            if let Some(signalling) = self.signalling {
                signalling.finished().await;
            }
            if let Some(media) = self.media {
                media.finished().await;
            }
            if let Some(push) = self.push {
                push.finished().await;
            }
            if let Some(http) = self.http {
                http.finished().await;
            }
            if let Some(outbox) = self.outbox {
                outbox.finished().await;
            }
            if let Some(call_control) = self.call_control {
                call_control.finished().await;
            }
            if let Some(serving) = self.serving {
                drop(serving.await);
            }
            if let Some(store) = self.store {
                store.close().await;
            }
        };
        if tokio::time::timeout(STOP_MAX, all).await.is_err() {
            tracing::warn!("something did not end in time");
        }
    }
}
