//! Sidetone's media service alone, driven by its own contract as call control drives it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sidetone_dsp::Law;
use sidetone_dsp::codec::Codec;
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_client::MediaClient;
use sidetone_proto::types::v1 as types;
use tonic::transport::Channel;

use crate::job::{EVENT_PAYLOAD_TYPE, Job, OPUS_BITRATE_BPS};
use crate::peer::Place;
use crate::process::Process;
use crate::stream::{SUITE, key, payload_type};

/// The media service, running.
pub(crate) struct Sidetone {
    pub(crate) process: Process,
    client: MediaClient<Channel>,
    folder: PathBuf,
}

const GRPC_PORT: u16 = 22_221;

impl Sidetone {
    /// A node that refuses nobody before it has so many legs.
    pub(crate) async fn start(program: &Path, job: Job, cpu: usize, legs: usize) -> anyhow::Result<Self> {
        Self::start_with(program, job, cpu, legs, 0).await
    }

    /// A node that takes no leg when its worker needs so many thousandths of its time; 0 takes all.
    pub(crate) async fn start_with(
        program: &Path,
        job: Job,
        cpu: usize,
        legs: usize,
        load_max_permille: u32,
    ) -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("sidetone-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let config = folder.join("media.toml");
        let path = |name: &str| folder.join(name).display().to_string();
        let text = format!(
            "[grpc]\nbind = \"127.0.0.1:{GRPC_PORT}\"\n[admin]\nbind = \"127.0.0.1:0\"\n\
             [media]\nworkers = 1\nlegs_max = {}\nload_max_permille = {load_max_permille}\nport_rest_s = 0\nprompts_dir = {:?}\nrecordings_dir = {:?}\n\
             {}\
             [[media.realms]]\nname = \"default\"\nbind_ip = \"127.0.0.1\"\nport_min = 23000\nport_max = 31999\n",
            legs + 8,
            path("prompts"),
            path("recordings"),
            opus(job),
        );
        std::fs::write(&config, text)?;
        let arguments = ["media".to_owned(), "--config".to_owned(), config.display().to_string()];
        let mut process = Process::start(program, &arguments, cpu)?;
        let endpoint = Channel::from_shared(format!("http://127.0.0.1:{GRPC_PORT}"))?;
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            process.check()?;
            let Ok(channel) = endpoint.connect().await else { continue };
            let mut client = MediaClient::new(channel);
            // A port that takes connections is no service that answers: what it starts with is nobody's leg.
            client.get_node(pb::GetNodeRequest {}).await.context("the media service")?;
            return Ok(Self { process, client, folder });
        }
        anyhow::bail!("the media service does not answer")
    }

    pub(crate) async fn set_up(&mut self, job: Job, ours: &[SocketAddr]) -> anyhow::Result<Vec<Place>> {
        let group = job.group(ours.len());
        let mut places = Vec::new();
        for (leg, address) in ours.iter().enumerate() {
            places.push(self.set_up_leg(job, leg, group, *address).await?);
        }
        Ok(places)
    }

    /// Sets one leg up, and connects it. The error of a leg that is refused is a [`tonic::Status`].
    pub(crate) async fn set_up_leg(
        &mut self,
        job: Job,
        leg: usize,
        group: usize,
        address: SocketAddr,
    ) -> anyhow::Result<Place> {
        let begin = Instant::now();
        let request = new_leg(job, leg, group, address);
        let created = self.client.create_leg(request).await?.into_inner();
        let local = created.local.context("a leg without a description")?;
        let rtp = local.rtp.context("a leg without an address")?;
        let address = SocketAddr::new(rtp.ip.parse()?, u16::try_from(rtp.port)?);
        let key = local.crypto.first().map(|crypto| BASE64_STANDARD.decode(&crypto.inline)).transpose()?;
        anyhow::ensure!(
            key.is_some() == job.is_secured(leg),
            "a leg with SRTP where none is due, or without"
        );
        let to = if !job.is_room() {
            // The second of a pair connects both.
            (leg % 2 == 1).then(|| pb::connect_leg_request::To::PeerLegId(id(LEG, leg - 1)))
        } else {
            Some(pb::connect_leg_request::To::MixId(id(MIX, leg / group)))
        };
        if let Some(to) = to {
            let request = pb::ConnectLegRequest { leg_id: id(LEG, leg), to: Some(to) };
            self.client.connect_leg(request).await?;
        }
        Ok(Place { address, key, took: begin.elapsed() })
    }

    /// The node's own account. It is asked anew, for the node ends connections that answer nothing, as this one does while the generator works.
    pub(crate) async fn node(&mut self) -> anyhow::Result<pb::Node> {
        self.client = Self::another_client().await?;
        Ok(self.client.get_node(pb::GetNodeRequest {}).await?.into_inner())
    }

    /// Another caller of it.
    pub(crate) async fn another_client() -> anyhow::Result<MediaClient<Channel>> {
        Ok(MediaClient::connect(format!("http://127.0.0.1:{GRPC_PORT}")).await?)
    }
}

impl Drop for Sidetone {
    fn drop(&mut self) {
        // Left-overs in the folder for temporary files do no harm.
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// The request for a leg; each group of them is a call.
pub(crate) fn new_leg(job: Job, leg: usize, group: usize, address: SocketAddr) -> pb::CreateLegRequest {
    pb::CreateLegRequest {
        leg_id: id(LEG, leg),
        call_id: id(CALL, leg / group),
        tenant: "bench".into(),
        realm: String::new(),
        remote: Some(describe(job, leg, address)),
        policy: Some(pb::ReceivePolicy {
            mode: pb::receive_policy::Mode::Strict.into(),
            signalling_ip: address.ip().to_string(),
        }),
        ..Default::default()
    }
}

/// How Opus is encoded: like the other servers do it where work is measured, as it comes where it is heard.
fn opus(job: Job) -> String {
    let work = format!("complexity = {}\nfec = false\n", job.opus_complexity());
    let rest = if matches!(job, Job::Speech { .. }) { "" } else { &work };
    format!("[media.opus]\nbitrate_bps = {OPUS_BITRATE_BPS}\n{rest}")
}

const LEG: u8 = 1;
const CALL: u8 = 2;
const MIX: u8 = 3;

/// An id of the right form.
fn id(kind: u8, number: usize) -> String {
    format!("018f0000-0000-7000-80{kind:02x}-{number:012x}")
}

fn describe(job: Job, leg: usize, address: SocketAddr) -> types::MediaDescription {
    let codec = job.codec(leg);
    let encoding = match codec {
        Codec::G711(Law::A) => "PCMA",
        Codec::G711(Law::Mu) => "PCMU",
        Codec::Gsm => "GSM",
        Codec::G722 => "G722",
        _ => "opus",
    };
    let crypto = types::Crypto {
        tag: 1,
        suite: SUITE.name().into(),
        inline: BASE64_STANDARD.encode(key(leg)),
        parameters: String::new(),
    };
    let sound = types::Format {
        payload_type: payload_type(codec).into(),
        encoding: encoding.into(),
        clock_rate_hz: codec.clock_hz(),
        channels: if codec == Codec::Opus { 2 } else { 1 },
        parameters: String::new(),
    };
    let events = job.has_events().then(|| types::Format {
        payload_type: EVENT_PAYLOAD_TYPE.into(),
        encoding: "telephone-event".into(),
        clock_rate_hz: codec.clock_hz(),
        channels: 1,
        parameters: "0-15".into(),
    });
    types::MediaDescription {
        rtp: Some(types::SocketAddress { ip: address.ip().to_string(), port: u32::from(address.port()) }),
        formats: [Some(sound), events].into_iter().flatten().collect(),
        ptime_ms: 20,
        secured: job.is_secured(leg),
        crypto: if job.is_secured(leg) { vec![crypto] } else { Vec::new() },
        ..Default::default()
    }
}
