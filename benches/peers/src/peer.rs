//! Who is measured.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use crate::floor::Floor;
use crate::janus::Janus;
use crate::job::Job;
use crate::process::Process;
use crate::rtpengine::Rtpengine;
use crate::sidetone::Sidetone;

/// Which program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// A loop that sends each packet back: what the sockets alone cost.
    Floor,
    /// Ours.
    Sidetone,
    /// rtpengine, in user space.
    Rtpengine,
    /// Janus with its AudioBridge.
    Janus,
}

const ALL: [Kind; 4] = [Kind::Floor, Kind::Sidetone, Kind::Rtpengine, Kind::Janus];

impl Kind {
    /// Whether this program does such work. The floor stands beside every job.
    pub(crate) fn does(self, job: Job) -> bool {
        match self {
            Self::Floor | Self::Sidetone => true,
            Self::Rtpengine => job.group(4) == 2,
            Self::Janus => job.group(4) != 2,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Sidetone => "sidetone",
            Self::Rtpengine => "rtpengine",
            Self::Janus => "janus",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| format!("no peer {text}; there are {}", ALL.map(Kind::name).join(", ")))
    }
}

/// Where a leg of a peer is.
pub(crate) struct Place {
    pub(crate) address: SocketAddr,
    /// The master key and salt under which it sends; none without SRTP.
    pub(crate) key: Option<Vec<u8>>,
    /// From the request until the answer that says where it is, and that it is connected where that is asked for besides.
    pub(crate) took: Duration,
}

impl Place {
    /// Without SRTP, and not asked for.
    pub(crate) fn open(address: SocketAddr) -> Self {
        Self { address, key: None, took: Duration::ZERO }
    }
}

/// A program that runs.
pub(crate) enum Peer {
    Floor(Floor),
    Sidetone(Sidetone),
    Rtpengine(Rtpengine),
    Janus(Janus),
}

impl Peer {
    /// Starts it and waits until it answers.
    pub(crate) async fn start(
        kind: Kind,
        job: Job,
        sidetone: &Path,
        cpu: usize,
        legs: usize,
    ) -> anyhow::Result<Self> {
        Ok(match kind {
            Kind::Floor => Self::Floor(Floor::start(cpu, legs).await?),
            Kind::Sidetone => Self::Sidetone(Sidetone::start(sidetone, job, cpu, legs).await?),
            Kind::Rtpengine => Self::Rtpengine(Rtpengine::start(cpu).await?),
            Kind::Janus => Self::Janus(Janus::start(cpu).await?),
        })
    }

    /// Sets all legs up; `ours` is where the generator's legs are. Returns where each is to send.
    pub(crate) async fn set_up(&mut self, job: Job, ours: &[SocketAddr]) -> anyhow::Result<Vec<Place>> {
        match self {
            Self::Floor(peer) => Ok(peer.addresses(ours.len()).into_iter().map(Place::open).collect()),
            Self::Sidetone(peer) => peer.set_up(job, ours).await,
            Self::Rtpengine(peer) => peer.set_up(job, ours).await,
            Self::Janus(peer) => peer.set_up(job, ours).await,
        }
    }

    /// The process.
    pub(crate) fn process(&self) -> &Process {
        match self {
            Self::Floor(peer) => &peer.process,
            Self::Sidetone(peer) => &peer.process,
            Self::Rtpengine(peer) => &peer.process,
            Self::Janus(peer) => &peer.process,
        }
    }

    /// Ends it.
    pub(crate) fn stop(self) {}
}
