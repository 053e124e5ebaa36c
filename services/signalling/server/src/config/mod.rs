//! The section `[signalling]` of the configuration.

mod check;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use sidetone_model::cidr::Cidr;
use sidetone_model::party::Transport;
use sidetone_sip_core::identity::Bounds;
use sidetone_sip_core::registrar::RegistrarPolicy;

use crate::stir::StirConfig;
use crate::subscriptions::SubscriptionsConfig;

/// How a signalling replica works.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// This replica's name, unique among the replicas and the same after a restart. Default `signalling-0`.
    pub replica_id: String,
    /// What hostile requests meet.
    pub defence: DefenceConfig,
    /// Certificates for listeners `tls` and `wss`, and whom we trust when we open a connection under TLS ourselves.
    pub tls: TlsConfig,
    /// Names of carriers that are not asked of the domain name system, as lines of a zone: `name A 192.0.2.1`,
    /// `name SRV priority weight port host`, `name NAPTR order preference service replacement`. Default none.
    pub dns_records: Vec<String>,
    /// The web pages (`https://phone.example.net`) that may open a WebSocket; empty for all. Default empty.
    pub websocket_origins: Vec<String>,
    /// A request of ours with more bytes goes by TCP instead of UDP, and by UDP if the phone takes no TCP (RFC 3261, section
    /// 18.1.1); 0 for never. Default 1300.
    pub udp_request_bytes_max: usize,
    /// After how many seconds without a refresh a session is over (RFC 4028), as we ask for it: 90 to 86400; 0 to ask for
    /// nothing. Default 1800.
    pub session_interval_s: u32,
    /// Where phones reach it. Default: UDP and TCP on `127.0.0.1:5060`.
    pub listeners: Vec<ListenerConfig>,
    /// Legs held at a time, 1 to 1000000; beyond it a new call is refused with 503 and Retry-After. Default 20000.
    pub legs_max: usize,
    /// When call control has not taken up a call for so many milliseconds, it has more to do than it can: new ones are refused with
    /// 503 and Retry-After until it has caught up, 100 to 30000; 0 for never. Default 2000.
    pub behind_max_ms: u64,
    /// Requests outside of dialogs that one source (an IPv4 address or an IPv6 /64 network) may send a second; twice as
    /// many at once. Beyond it they get 503 and Retry-After, or nothing over UDP from who has proved nothing. 0 for no limit.
    /// Default 1000.
    pub source_requests_per_s: u32,
    /// TCP connections at a time over all listeners; a further one is closed at once. Default 20000.
    pub connections_max: usize,
    /// TCP connections at a time from one source; a further one is closed at once. Default 1000.
    pub connections_per_source_max: usize,
    /// A TCP connection over which nothing comes for that many seconds is closed, 30 to 86400. It must be longer than
    /// `register_expires_max_s`, or registered phones without keep-alives could not be reached. Default 7200.
    pub connection_idle_s: u64,
    /// Shortest registration in seconds; less is refused with 423. Default 60.
    pub register_expires_min_s: u32,
    /// Longest registration in seconds, also granted when the phone does not ask for a time. Default 3600.
    pub register_expires_max_s: u32,
    /// Contacts of one device at a time. Default 10.
    pub contacts_max: usize,
    /// Lifetime of a digest nonce in seconds, 10 to 86400. Default 300.
    pub nonce_lifetime_s: u64,
    /// Digest algorithms that phones are offered, best first: `SHA-256`, `SHA-512-256`, `MD5`. Phones take the first they know (RFC 8760);
    /// some old ones (Debian 12's baresip among them) give up when any of the challenges names one they do not know:
    /// for those offer `MD5` alone. Default both, `SHA-256` first.
    pub digest_algorithms: Vec<String>,
    /// Timer T1 of RFC 3261 in milliseconds, 10 to 10000: the estimate of a round trip. Default 500.
    pub t1_ms: u64,
    /// A carrier that has said nothing to an INVITE for that many seconds is left for the next way, if there is one, 1 to 32; 0
    /// waits as long as RFC 3261 does, which is 32 s over UDP. Default 4.
    pub carrier_silence_s: u64,
    /// A caller whose connection closes while it rings has so many seconds to register over another; then its call ends as if it
    /// had been cancelled, 1 to 60. Default 4.
    pub caller_gone_s: u64,
    /// Header fields of one INVITE that are handed on to applications and phones (X-, P- and a few more), 0 to 64. Default 20.
    pub headers_max: usize,
    /// Bytes of all of them, 0 to 16384. Default 2048.
    pub headers_bytes_max: usize,
    /// The messages of calls that are kept to be read back.
    pub ladder: LadderConfig,
    /// The HOMER server that gets every message.
    pub hep: HepConfig,
    /// What phones may subscribe to, and how much of it.
    pub subscriptions: SubscriptionsConfig,
    /// Signatures of callers' numbers.
    pub stir: StirConfig,
}

/// The messages of calls that are kept to be read back (`sidetone calls ladder`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LadderConfig {
    /// Megabytes in memory, 0 to 16384; the oldest messages fall out. 0 keeps none. Default 64.
    pub memory_mb: usize,
    /// A folder of this replica alone in which more are kept, also over a restart. Default none.
    pub directory: Option<PathBuf>,
    /// Megabytes in that folder, 8 to 1048576. Default 512.
    pub files_mb: usize,
}

/// The HOMER server that gets every message of calls and registrations as HEPv3 over UDP.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HepConfig {
    /// Its address, host:port. Default none, and nothing is sent.
    pub address: Option<String>,
    /// By which number it knows this replica. Default 1.
    pub capture_id: u32,
    /// What it asks for as authentication key. Default none.
    pub password: Option<String>,
    /// Whether it gets telephone numbers, names and bodies; otherwise pseudonyms. Default false.
    pub show_numbers: bool,
}

impl Default for LadderConfig {
    fn default() -> Self {
        Self { memory_mb: 64, directory: None, files_mb: 512 }
    }
}

impl Default for HepConfig {
    fn default() -> Self {
        Self { address: None, capture_id: 1, password: None, show_numbers: false }
    }
}

impl std::fmt::Debug for HepConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HepConfig").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What hostile requests meet.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DefenceConfig {
    /// Calls and registrations that one tenant may make a second, twice as many at once; beyond it they get 503 and
    /// Retry-After. 0 for no limit. Default 1000.
    pub tenant_requests_per_s: u32,
    /// A request whose User-Agent or From name holds one of these, in any case, gets no answer.
    pub scanner_agents: Vec<String>,
    /// Wrong passwords from one source (an IPv4 address or an IPv6 /64 network) within `failure_window_s` before it is
    /// banned, 1 to 100000. From the third on each is answered later, up to 4 s. Default 10.
    pub failures_max: u32,
    /// For how many seconds a wrong password counts, 1 to 86400. Default 60.
    pub failure_window_s: u64,
    /// How long a source is banned the first time, in seconds, 1 to 86400; twice as long each time after. Phones of that
    /// source that are registered stay served. Default 300.
    pub ban_s: u64,
    /// Networks that are neither banned nor bounded: proxies and gateways behind which many phones stand.
    pub exempt: Vec<Cidr>,
}

impl Default for DefenceConfig {
    fn default() -> Self {
        let agents = [
            "friendly-scanner",
            "friendly-request",
            "sipvicious",
            "sipcli",
            "sip-scan",
            "sundayddr",
            "vaxsipuseragent",
            "pplsip",
            "sivus",
            "sipptk",
            "iwar",
            "gulp",
        ];
        Self {
            tenant_requests_per_s: 1000,
            scanner_agents: agents.map(str::to_owned).to_vec(),
            failures_max: 10,
            failure_window_s: 60,
            ban_s: 300,
            exempt: Vec::new(),
        }
    }
}

/// Certificates. The files are looked at again every `reload_s` seconds; what is there when it can be used is used.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// What we show. A peer that names a host (SNI) gets the first that is good for it, any other the first of all.
    pub certificates: Vec<CertificateConfig>,
    /// Whether peers that connect must show a certificate of `client_ca`. Default `none`.
    pub client_auth: ClientAuth,
    /// The authorities of peers' certificates, PEM.
    pub client_ca: Option<PathBuf>,
    /// Which of the peers' certificates have been revoked: lists of those authorities (RFC 5280, section 5), PEM. With it a
    /// certificate is good only when a list of its authority is there and does not name it; a list that is out of date still
    /// counts. Connections that stand are left alone. Default: revocation is not looked at.
    pub client_crl: Option<PathBuf>,
    /// The authorities of carriers' certificates, PEM. Default: the system's.
    pub trust: Option<PathBuf>,
    /// How often the files are looked at, in seconds, 1 to 86400. Default 10.
    pub reload_s: u64,
}

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateConfig {
    /// The certificate and its chain, PEM.
    pub cert: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
}

/// Whether peers that connect under TLS show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// They are not asked.
    #[default]
    None,
    /// One that is shown must be good.
    Optional,
    /// Without a good one the handshake fails.
    Required,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            certificates: Vec::new(),
            client_auth: ClientAuth::None,
            client_ca: None,
            client_crl: None,
            trust: None,
            reload_s: 10,
        }
    }
}

/// One address at which phones reach this replica.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerConfig {
    /// `udp`, `tcp`, `tls`, `ws` or `wss`.
    pub transport: TransportKind,
    /// Address and port; port 0 takes a free one.
    pub bind: SocketAddr,
    /// The address and port by which phones reach it (Via and Contact), where that is not `bind`.
    #[serde(default)]
    pub advertised: Option<SocketAddr>,
}

/// A transport by its name in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransportKind {
    /// Datagrams.
    Udp,
    /// Connections.
    Tcp,
    /// Connections under TLS.
    Tls,
    /// WebSockets (RFC 7118).
    Ws,
    /// WebSockets under TLS.
    Wss,
}

impl From<TransportKind> for Transport {
    fn from(kind: TransportKind) -> Self {
        match kind {
            TransportKind::Udp => Self::Udp,
            TransportKind::Tcp => Self::Tcp,
            TransportKind::Tls => Self::Tls,
            TransportKind::Ws => Self::Ws,
            TransportKind::Wss => Self::Wss,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        let bind = SocketAddr::from(([127, 0, 0, 1], 5060));
        let listener = |transport| ListenerConfig { transport, bind, advertised: None };
        Self {
            replica_id: "signalling-0".to_owned(),
            defence: DefenceConfig::default(),
            tls: TlsConfig::default(),
            dns_records: Vec::new(),
            websocket_origins: Vec::new(),
            udp_request_bytes_max: 1300,
            session_interval_s: 1800,
            listeners: vec![listener(TransportKind::Udp), listener(TransportKind::Tcp)],
            legs_max: 20_000,
            behind_max_ms: 2000,
            source_requests_per_s: 1000,
            connections_max: 20_000,
            connections_per_source_max: 1000,
            connection_idle_s: 7200,
            register_expires_min_s: 60,
            register_expires_max_s: 3600,
            contacts_max: 10,
            nonce_lifetime_s: 300,
            digest_algorithms: vec!["SHA-256".to_owned(), "MD5".to_owned()],
            t1_ms: 500,
            carrier_silence_s: 4,
            caller_gone_s: 4,
            headers_max: 20,
            headers_bytes_max: 2048,
            ladder: LadderConfig::default(),
            hep: HepConfig::default(),
            subscriptions: SubscriptionsConfig::default(),
            stir: StirConfig::default(),
        }
    }
}

impl Config {
    pub(crate) fn carrier_silence(&self) -> Option<Duration> {
        (self.carrier_silence_s > 0).then(|| Duration::from_secs(self.carrier_silence_s))
    }

    pub(crate) fn behind_max(&self) -> Option<Duration> {
        (self.behind_max_ms > 0).then(|| Duration::from_millis(self.behind_max_ms))
    }

    pub(crate) fn caller_gone(&self) -> Duration {
        Duration::from_secs(self.caller_gone_s)
    }

    pub(crate) fn header_bounds(&self) -> Bounds {
        Bounds { count_max: self.headers_max, bytes_max: self.headers_bytes_max }
    }

    pub(crate) fn registrar(&self) -> RegistrarPolicy {
        RegistrarPolicy {
            expires_min_s: self.register_expires_min_s,
            expires_max_s: self.register_expires_max_s,
            expires_default_s: self.register_expires_max_s,
            contacts_max: self.contacts_max,
        }
    }

    pub(crate) fn connection_idle(&self) -> Duration {
        Duration::from_secs(self.connection_idle_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_right_and_every_mistake_is_told() {
        let mut errors = Vec::new();
        Config::default().check(&mut errors);
        assert_eq!(errors, []);
        let bad = Config {
            replica_id: "a b".into(),
            listeners: vec![ListenerConfig {
                transport: TransportKind::Udp,
                bind: "0.0.0.0:5060".parse().unwrap(),
                advertised: None,
            }],
            legs_max: 0,
            t1_ms: 1,
            ..Config::default()
        };
        bad.check(&mut errors);
        let keys: Vec<_> = errors.iter().map(|e| e.key.as_str()).collect();
        let expected = ["replica_id", "listeners[0].advertised", "legs_max", "t1_ms"];
        assert_eq!(keys, expected.map(|key| format!("signalling.{key}")));
    }
}
