//! Bans for people: who is banned, and an end of it.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::Defence;
use crate::transport::network;

/// One ban.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ban {
    /// An IPv4 address, or the first of an IPv6 /64 network.
    pub(crate) source: IpAddr,
    /// Until it ends.
    pub(crate) left: Duration,
    /// How often the source was banned, this time counted.
    pub(crate) times: u32,
}

/// What an operator wants of the agent.
#[derive(Debug)]
pub(crate) enum Asked {
    /// Who is banned.
    Bans(oneshot::Sender<Vec<Ban>>),
    /// A ban ends; whether there was one.
    EndBan(IpAddr, oneshot::Sender<bool>),
}

impl Defence {
    /// Does what an operator wants. Whoever has gone away meanwhile needs no answer.
    pub(crate) fn answer(&mut self, asked: Asked, now: Instant) {
        let _gone = match asked {
            Asked::Bans(reply) => reply.send(self.bans(now)).is_err(),
            Asked::EndBan(source, reply) => reply.send(self.end_ban(source, now)).is_err(),
        };
    }

    /// By source.
    fn bans(&self, now: Instant) -> Vec<Ban> {
        let ban = |(source, until, times): (&IpAddr, Instant, u32)| Ban {
            source: *source,
            left: until.saturating_duration_since(now),
            times,
        };
        let mut bans: Vec<Ban> = self.networks.banned(now).map(ban).collect();
        bans.sort_unstable_by_key(|ban| ban.source);
        bans
    }

    fn end_ban(&mut self, source: IpAddr, now: Instant) -> bool {
        let network = network(source);
        self.known.end_ban(network);
        let ended = self.networks.forget(&network, now);
        if ended {
            self.telemetry.signalling.bans_lifted.inc();
            tracing::info!("an operator has ended a ban");
        }
        ended
    }
}
