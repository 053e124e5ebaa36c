//! The `[media]` section of the configuration.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use sidetone_dsp::Rate;
use sidetone_dsp::codec::{Codec, OpusSettings};
use sidetone_model::cidr::Cidr;
use sidetone_model::ids::NodeId;
use sidetone_net::REALTIME_PRIORITIES;
use sidetone_runtime::config::ConfigError;

use crate::negotiate::codec_named;
use crate::recorder::{Bounds, RecordingRate};
use crate::reporting::RtcpXr;

/// How a media node is set up.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The node's name in the store. Default: `media-1`.
    pub node_id: String,
    /// Worker threads; 0 is one for each CPU the process may use. Default: 0.
    pub workers: usize,
    /// Whether each worker is kept on one CPU. Switch it off under a CPU quota. Default: true.
    pub pin_workers: bool,
    /// The real-time priority (`SCHED_FIFO`) of the workers, 1 to 99, so that no other program delays sound; 0 is none. It needs
    /// `CAP_SYS_NICE`, or `LimitRTPRIO` of systemd: without, workers go on without it and a warning says so. Default: 0.
    pub realtime_priority: u8,
    /// The most legs at a time, 1 to 100000. Default: 4000.
    pub legs_max: usize,
    /// How much of its time a worker may need for its legs, in thousandths, 50 to 1000: a call that would make it more is refused at
    /// once. What legs cost is measured, and expected of those that ring. 0 refuses none. Default: 800.
    pub load_max_permille: u32,
    /// The most recordings at a time, 1 to 10000. Default: 500.
    pub recordings_max: usize,
    /// The most live streams at a time, 1 to 10000. Default: 200.
    pub streams_max: usize,
    /// The most who listen to streams at a time, 1 to 100000. Default: 1000.
    pub listeners_max: usize,
    /// The codecs that are offered and taken, in the order in which they are offered: opus, g722, pcmu, pcma, gsm, l16 (16 kHz),
    /// l16-8000. An offer of the far side is answered with its own first choice among them. Default: opus, g722, pcmu,
    /// pcma, gsm.
    pub codecs: Vec<String>,
    /// The highest rate at which a room is mixed, in Hz: 8000, 16000 or 48000. A room begins at 8000 and is raised when two of
    /// its members have more to hear. Default: 16000.
    pub room_rate_max_hz: u32,
    /// In a room, who stays below this level for 400 ms is not mixed until it is louder again, so that the noise of many who only
    /// listen does not add up; in dBov, -90 to -30, or -127 to mix everything. Default: -54.
    pub room_quiet_dbov: i8,
    /// How many members of one room are mixed on one worker before it takes another in, 0 to 65536; 0 decides by what the worker has
    /// to do: from 60 percent of its time on others are taken in. Who is on another worker is heard 20 ms later. Default: 0.
    pub room_members_per_worker: usize,
    /// Whether silence is not sent to phones that agree to that, and not expected from them: comfort noise (RFC 3389) with PCMU, PCMA
    /// and L16, DTX with Opus. Default: true.
    pub silence_suppression: bool,
    /// To whom RTCP tells how it is heard (RFC 3611, VoIP metrics): `off`, `asked` (those whose SDP has `a=rtcp-xr:voip-metrics`) or
    /// `always`. But for `off`, our SDP asks for theirs. Default: `always`.
    pub rtcp_xr: RtcpXr,
    /// Under load (5,000 packets a second of one worker) packets may wait so long for others, so that one wake-up serves many, in
    /// microseconds, 0 to 2000; 0 never. Default: 400.
    pub batch_us: u64,
    /// Whether digits are looked for in the sound of phones (ITU-T Q.24): `off`, `auto` (of those that did not agree to send
    /// telephone events; other codecs than G.711 only where they are decoded in any case) or `always` (of all, until they send
    /// their first telephone event). Default: `auto`.
    pub inband_digits: InbandDigits,
    /// How Opus is sent.
    pub opus: Opus,
    /// The networks on which RTP is spoken; the first is the default one. Default: `default` on 127.0.0.1.
    pub realms: Vec<Realm>,
    /// How long a freed port rests before it is given out again, in seconds. Default: 10.
    pub port_rest_s: u64,
    /// After how long without RTP and refresh a leg is freed, in seconds, 1 to 86400. Default: 60.
    pub idle_timeout_s: u64,
    /// After how long without a refresh a leg that needs no RTP (held, inactive, receive-only) is freed, in seconds.
    /// Default: 3600.
    pub held_timeout_s: u64,
    /// After how long without any sign of life (RTP that was agreed on, RTCP) of a far side that is to send a talking leg is ended,
    /// in seconds, 5 to 86400; 0 never. Not while the call is on hold, and after five times as long where comfort noise was agreed
    /// on. Default: 120.
    pub rtp_timeout_s: u64,
    /// Where prompts are, as wav, mp3, flac, ogg (Vorbis), ulaw, alaw or sln. Default: `prompts`; it need not exist.
    pub prompts_dir: PathBuf,
    /// Decoded prompts that are kept, in MB, 1 to 65536; a minute of sound takes 2. Default: 128.
    pub prompt_cache_mb: usize,
    /// How prompts are fetched by URL.
    pub fetch: Fetch,
    /// Where recordings are kept beyond this node.
    pub storage: Storage,
    /// Where recordings are written. Default: `recordings`; made when it is not there.
    pub recordings_dir: PathBuf,
    /// The rate of recordings, and of live streams in a container, in Hz: `auto` (16000 when one of the call's legs has a wideband codec
    /// when it begins, 8000 otherwise), 8000, 16000 or 48000. A recording keeps its rate to its end. Default: `auto`.
    pub recording_hz: RecordingRate,
    /// After how many hours an ended recording is removed from `recordings_dir`, 0 to 87600; 0 keeps all. What waits for its upload, or
    /// to be taken note of, stays. With `storage` recordings leave the node with their upload. Default: 0.
    pub recordings_keep_h: u32,
    /// With less than this free on the disk no recording is begun, in MB, 0 to 100000000; 0 begins them all. Default: 256.
    pub recordings_free_min_mb: u64,
    /// With more than this in `recordings_dir` no recording is begun, in MB, 0 to 100000000; 0 sets no bound. Default: 0.
    pub recordings_held_max_mb: u64,
    /// SRTP with keys in SDP (RFC 4568) or by DTLS (RFC 5764): `off`, `optional` (taken when it is offered, offered over TLS) or `required` (no leg
    /// without). Default: `optional`.
    pub srtp: Srtp,
    /// ICE for phones that ask for it: `lite` (their checks are answered; a browser takes nothing else) or `off`. Phones must
    /// reach the realm's `advertised_ip`. Default: `lite`.
    pub ice: Ice,
}

/// Whether legs use ICE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ice {
    /// Never.
    Off,
    /// Checks are answered, and none is made (RFC 8445, section 2.5).
    #[default]
    Lite,
}

/// Whether digits are looked for in the sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InbandDigits {
    /// Never.
    Off,
    /// Where the far side did not agree to send telephone events.
    #[default]
    Auto,
    /// Until the far side sends its first telephone event.
    Always,
}

/// Whether legs use SRTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Srtp {
    /// Never: an offer that must have it is refused.
    Off,
    /// When the far side offers it. Our own offers carry keys where the description goes over TLS.
    #[default]
    Optional,
    /// No leg without it.
    Required,
}

/// How prompts are fetched by URL.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fetch {
    /// Hosts (`media.example`), addresses and networks (`10.1.0.0/16`) that may be spoken to although they are not public.
    /// Default: none.
    pub allow: Vec<String>,
    /// The largest file, in KB, 1 to 102400. Default: 10240.
    pub size_max_kb: usize,
    /// How long fetching may take in all, in seconds, 1 to 120. Default: 10.
    pub timeout_s: u64,
}

/// How Opus is sent, within what the far side asks for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Opus {
    /// In bit/s, 6000 to 128000. Default: 32000, of which error correction takes about a third.
    pub bitrate_bps: u32,
    /// 0 (cheapest) to 10. Default: 5.
    pub complexity: u8,
    /// Whether packets carry a copy of the one before, where the far side makes use of it. Default: true.
    pub fec: bool,
    /// The loss to prepare for, in percent, 0 to 100. Default: 5.
    pub loss_percent: u8,
}

impl Default for Opus {
    fn default() -> Self {
        Self { bitrate_bps: 32_000, complexity: 5, fec: true, loss_percent: 5 }
    }
}

impl Opus {
    pub(crate) fn settings(&self) -> OpusSettings {
        OpusSettings {
            bitrate_bps: self.bitrate_bps,
            complexity: self.complexity,
            fec: self.fec,
            loss_percent: self.loss_percent,
        }
    }
}

/// S3-compatible object storage for recordings.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Storage {
    /// The bucket; empty: recordings stay on this node. Default: empty.
    pub bucket: String,
    /// URL of the service; empty is that of AWS. Default: empty.
    pub endpoint: String,
    /// Default: `us-east-1`.
    pub region: String,
    /// Empty takes what the environment gives (a role of the node or pod). Default: empty.
    pub access_key: String,
    /// Belongs to `access_key`.
    pub secret_key: Secret,
    /// Goes before the names of all objects. Default: empty.
    pub prefix: String,
}

/// Something that is not shown.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl From<&str> for Secret {
    fn from(secret: &str) -> Self {
        Self(secret.into())
    }
}

impl Secret {
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            bucket: String::new(),
            endpoint: String::new(),
            region: "us-east-1".into(),
            access_key: String::new(),
            secret_key: Secret::default(),
            prefix: String::new(),
        }
    }
}

impl Default for Fetch {
    fn default() -> Self {
        Self { allow: Vec::new(), size_max_kb: 10_240, timeout_s: 10 }
    }
}

impl Fetch {
    /// Whether an address is an exception, by itself or by the name that led to it.
    pub(crate) fn allows(&self, host: &str, ip: IpAddr) -> bool {
        let holds = |network: &str| network.parse::<Cidr>().is_ok_and(|network| network.contains(ip));
        self.allow.iter().any(|entry| entry.eq_ignore_ascii_case(host) || holds(entry))
    }
}

/// One network on which RTP is spoken.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Realm {
    /// Its name in requests. Default: `default`.
    pub name: String,
    /// The address that sockets are bound to. Default: 127.0.0.1.
    pub bind_ip: IpAddr,
    /// The address that phones are told; none is `bind_ip`. Default: none.
    pub advertised_ip: Option<IpAddr>,
    /// The first port; even. 0 lets the system choose, whatever `port_max` is. Default: 20000.
    pub port_min: u16,
    /// The last port. Default: 29999.
    pub port_max: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            node_id: "media-1".into(),
            workers: 0,
            pin_workers: true,
            realtime_priority: 0,
            legs_max: 4000,
            load_max_permille: 800,
            recordings_max: 500,
            streams_max: 200,
            listeners_max: 1000,
            codecs: ["opus", "g722", "pcmu", "pcma", "gsm"].map(Into::into).into(),
            room_rate_max_hz: 16_000,
            room_quiet_dbov: -54,
            room_members_per_worker: 0,
            silence_suppression: true,
            rtcp_xr: RtcpXr::default(),
            batch_us: 400,
            inband_digits: InbandDigits::default(),
            opus: Opus::default(),
            realms: vec![Realm::default()],
            port_rest_s: 10,
            idle_timeout_s: 60,
            held_timeout_s: 3600,
            rtp_timeout_s: 120,
            prompts_dir: "prompts".into(),
            prompt_cache_mb: 128,
            fetch: Fetch::default(),
            storage: Storage::default(),
            recordings_dir: "recordings".into(),
            recording_hz: RecordingRate::default(),
            recordings_keep_h: 0,
            recordings_free_min_mb: 256,
            recordings_held_max_mb: 0,
            srtp: Srtp::default(),
            ice: Ice::default(),
        }
    }
}

impl Default for Realm {
    fn default() -> Self {
        Self {
            name: "default".into(),
            bind_ip: Ipv4Addr::LOCALHOST.into(),
            advertised_ip: None,
            port_min: 20_000,
            port_max: 29_999,
        }
    }
}

impl Realm {
    /// What phones are told.
    pub fn advertised(&self) -> IpAddr {
        self.advertised_ip.unwrap_or(self.bind_ip)
    }
}

impl Config {
    /// The codecs that are offered and taken, best first.
    pub(crate) fn codecs(&self) -> Vec<Codec> {
        let mut codecs = Vec::new();
        for codec in self.codecs.iter().filter_map(|name| codec_named(name)) {
            if !codecs.contains(&codec) {
                codecs.push(codec);
            }
        }
        codecs
    }

    /// What bounds the folder of recordings.
    pub(crate) fn room(&self) -> Bounds {
        let hours = u64::from(self.recordings_keep_h);
        Bounds {
            keep: (hours > 0).then(|| Duration::from_secs(hours * 3600)),
            free_min: self.recordings_free_min_mb << 20,
            held_max: self.recordings_held_max_mb << 20,
        }
    }

    /// Adds every mistake that types cannot show.
    pub fn check(&self, errors: &mut Vec<ConfigError>) {
        let mut bad =
            |key: &str, problem: &str| errors.push(ConfigError::new(format!("media.{key}"), problem));
        if NodeId::new(&self.node_id).is_err() {
            bad("node_id", "expected 1 to 63 characters out of a-z A-Z 0-9 . _ + -");
        }
        let ranges = [
            ("workers", self.workers as u64, 0..=256),
            ("realtime_priority", self.realtime_priority.into(), 0..=(*REALTIME_PRIORITIES.end()).into()),
            ("legs_max", self.legs_max as u64, 1..=100_000),
            ("room_members_per_worker", self.room_members_per_worker as u64, 0..=65_536),
            ("batch_us", self.batch_us, 0..=2_000),
            ("opus.bitrate_bps", self.opus.bitrate_bps.into(), 6_000..=128_000),
            ("opus.complexity", self.opus.complexity.into(), 0..=10),
            ("opus.loss_percent", self.opus.loss_percent.into(), 0..=100),
            ("recordings_max", self.recordings_max as u64, 1..=10_000),
            ("recordings_keep_h", self.recordings_keep_h.into(), 0..=87_600),
            ("recordings_free_min_mb", self.recordings_free_min_mb, 0..=100_000_000),
            ("recordings_held_max_mb", self.recordings_held_max_mb, 0..=100_000_000),
            ("streams_max", self.streams_max as u64, 1..=10_000),
            ("listeners_max", self.listeners_max as u64, 1..=100_000),
            ("prompt_cache_mb", self.prompt_cache_mb as u64, 1..=65_536),
            ("fetch.size_max_kb", self.fetch.size_max_kb as u64, 1..=102_400),
            ("fetch.timeout_s", self.fetch.timeout_s, 1..=120),
            ("idle_timeout_s", self.idle_timeout_s, 1..=86_400),
        ];
        for (key, value, range) in ranges {
            if !range.contains(&value) {
                bad(key, &format!("expected {} to {}", range.start(), range.end()));
            }
        }
        if self.codecs.is_empty() || self.codecs.iter().any(|name| codec_named(name).is_none()) {
            bad("codecs", "expected some of opus, g722, pcmu, pcma, gsm, l16, l16-8000");
        }
        if !matches!(self.load_max_permille, 0 | 50..=1_000) {
            bad("load_max_permille", "expected 50 to 1000, or 0 to refuse none");
        }
        if Rate::of_hz(self.room_rate_max_hz).is_none() {
            bad("room_rate_max_hz", "expected 8000, 16000 or 48000");
        }
        if !matches!(self.room_quiet_dbov, -127 | -90..=-30) {
            bad("room_quiet_dbov", "expected -90 to -30, or -127 to mix everything");
        }
        if self.storage.access_key.is_empty() != self.storage.secret_key.reveal().is_empty() {
            bad("storage.secret_key", "expected both keys or neither");
        }
        let endpoint = &self.storage.endpoint;
        if !endpoint.is_empty() && !["http://", "https://"].iter().any(|scheme| endpoint.starts_with(scheme))
        {
            bad("storage.endpoint", "expected an http or https URL");
        }
        if self.held_timeout_s < self.idle_timeout_s {
            bad("held_timeout_s", "must not be shorter than idle_timeout_s");
        }
        if !matches!(self.rtp_timeout_s, 0 | 5..=86_400) {
            bad("rtp_timeout_s", "expected 5 to 86400, or 0 for never");
        }
        self.check_realms(&mut bad);
    }

    fn check_realms(&self, bad: &mut impl FnMut(&str, &str)) {
        if self.realms.is_empty() {
            bad("realms", "at least one is needed");
        }
        for (n, realm) in self.realms.iter().enumerate() {
            if realm.name.is_empty() || self.realms[..n].iter().any(|other| other.name == realm.name) {
                bad("realms.name", "expected a name that no other realm has");
            }
            if realm.port_min % 2 == 1 {
                bad("realms.port_min", "must be even: RTP has the even port, RTCP the odd one above");
            }
            if realm.port_min != 0 && (realm.port_min < 1024 || realm.port_max <= realm.port_min) {
                bad("realms.port_max", "expected a range of at least one pair above port 1023");
            }
            if realm.advertised().is_unspecified() {
                bad(
                    "realms.advertised_ip",
                    "phones cannot send to an unspecified address: name the real one",
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_are_hosts_addresses_and_networks() {
        let fetch = Fetch {
            allow: ["media.example", "127.0.0.1", "10.1.0.0/16", "fd00::/8"].map(Into::into).into(),
            ..Fetch::default()
        };
        for (host, ip, allowed) in [
            ("Media.Example", "192.168.1.1", true),
            ("x", "127.0.0.1", true),
            ("x", "127.0.0.2", false),
            ("x", "10.1.200.1", true),
            ("x", "10.2.0.1", false),
            ("x", "fd12::1", true),
            ("x", "fe80::1", false),
        ] {
            assert_eq!(fetch.allows(host, ip.parse().unwrap()), allowed, "{host} {ip}");
        }
    }

    #[test]
    fn the_default_is_right_and_every_mistake_is_named() {
        let mut errors = Vec::new();
        Config::default().check(&mut errors);
        assert_eq!(errors, []);
        let realm = Realm { bind_ip: "0.0.0.0".parse().unwrap(), port_min: 20_001, ..Realm::default() };
        let config = Config {
            legs_max: 0,
            load_max_permille: 49,
            realms: vec![realm.clone(), realm],
            ..Config::default()
        };
        config.check(&mut errors);
        let keys: Vec<_> = errors.iter().map(|error| error.key.as_str()).collect();
        for key in [
            "media.legs_max",
            "media.load_max_permille",
            "media.realms.name",
            "media.realms.port_min",
            "media.realms.advertised_ip",
        ] {
            assert!(keys.contains(&key), "{keys:?}");
        }
    }
}
