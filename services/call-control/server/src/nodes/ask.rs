//! Asking a node: lanes that keep the order of requests of one leg, deadlines, and repeated requests.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sidetone_call_core::{Answers, Connection, MediaFailure, MediaReply, MediaRequest};
use sidetone_model::call::LegQuality;
use sidetone_model::classify::Class;
use sidetone_model::ids::{BootId, LegId};
use sidetone_model::media::Source;
use sidetone_model::voice::{LegVoice, VoiceRole};
use sidetone_model::wire;
use sidetone_proto::media::v1::connect_leg_request as connect;
use sidetone_proto::media::v1::*;
use sidetone_runtime::grpc::status;
use sidetone_runtime::link::MediaService;
use tokio::sync::mpsc;
use tonic::{Request, Status};

use super::registry::{NodeLife, Nodes};
use super::sound;
use crate::owner::Input;

/// Lanes of a node: so many requests are under way at once, and a call has some eight. With sixteen a node that is reached over
/// gRPC was given 140 calls a second, and had time to spare. Fewer than the streams that an HTTP/2 server takes at once (200 in hyper).
pub(super) const LANES: usize = 128;
/// Requests that may wait in one lane. More, and the node counts as unreachable for them.
const LANE_MAX: usize = 1024;
/// How often a request is repeated that got no answer.
const TRIES: u32 = 3;
const BETWEEN_TRIES: Duration = Duration::from_millis(150);
/// Past this a node is as good as gone.
const DEADLINE: Duration = Duration::from_secs(2);

/// One lane, as it is filled.
pub(super) struct Lane {
    requests: mpsc::Sender<Asked>,
    served: Arc<Served>,
}

/// One lane, as it is emptied.
pub(super) struct LaneEnd {
    requests: mpsc::Receiver<Asked>,
    served: Arc<Served>,
}

/// A request for a shard, and when it was made.
struct Asked {
    at: Instant,
    shard: usize,
    request: MediaRequest,
}

/// When the request was made that is being answered now; none while nothing is asked.
#[derive(Debug, Default)]
struct Served(Mutex<Option<Instant>>);

impl Served {
    fn set(&self, at: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }
}

impl Lane {
    #[allow(clippy::new_ret_no_self, reason = "a lane has two ends")]
    pub(super) fn new() -> (Self, LaneEnd) {
        let (sender, requests) = mpsc::channel(LANE_MAX);
        let served = Arc::<Served>::default();
        (Self { requests: sender, served: Arc::clone(&served) }, LaneEnd { requests, served })
    }

    /// Hands the request back when the lane is full or its node is gone.
    pub(super) fn push(&self, shard: usize, request: MediaRequest) -> Option<MediaRequest> {
        let asked = Asked { at: Instant::now(), shard, request };
        self.requests.try_send(asked).err().map(|error| error.into_inner().request)
    }

    /// How long the request has waited that is being answered now.
    pub(super) fn waits(&self, now: Instant) -> Duration {
        let served = self.served.0.lock().unwrap_or_else(PoisonError::into_inner);
        served.map_or(Duration::ZERO, |at| now.saturating_duration_since(at))
    }
}

/// Empties a lane for as long as the node lives; what is left then is refused.
pub(super) async fn serve(
    nodes: Arc<Nodes>,
    life: Arc<NodeLife>,
    service: Arc<MediaService>,
    mut lane: LaneEnd,
) {
    loop {
        lane.served.set(None);
        let next = tokio::select! {
            next = lane.requests.recv() => next,
            () = life.over.cancelled() => { lane.requests.close(); lane.requests.recv().await }
        };
        let Some(Asked { at, shard, request }) = next else { return };
        lane.served.set(Some(at));
        // It may take its time, and nothing waits for it.
        if crate::voicemail::is_of_a_mailbox(&request) {
            let (nodes, life, service) = (Arc::clone(&nodes), Arc::clone(&life), Arc::clone(&service));
            tokio::spawn(async move {
                let answer = tokio::select! {
                    answer = crate::voicemail::carry_out(&nodes, &*service, &request) => answer,
                    () = life.over.cancelled() => Err(unreachable_node()),
                };
                if let (MediaRequest::PlayGreeting { otherwise, .. }, Err(failure)) = (&request, &answer) {
                    nodes.unheard.tell(&life.node, &[Source::Prompt(otherwise.clone())], failure);
                }
                let node = life.node.clone();
                drop(nodes.inputs.send(Input::Media { shard, node, request, answer }).await);
            });
            continue;
        }
        let answer = if life.over.is_cancelled() {
            Err(unreachable_node())
        } else {
            tokio::select! {
                answer = ask_until_answered(&*service, &request) => answer,
                () = life.over.cancelled() => Err(unreachable_node()),
            }
        };
        if let Err(failure) = &answer {
            match &request {
                MediaRequest::CreateLeg { leg, .. } => life.has_not(*leg),
                MediaRequest::Play { sources, .. } => nodes.unheard.tell(&life.node, sources, failure),
                _ => {}
            }
        }
        let node = life.node.clone();
        if nodes.inputs.send(Input::Media { shard, node, request, answer }).await.is_err() {
            return;
        }
    }
}

/// What is said of a node that is not there.
pub(super) fn unreachable_node() -> MediaFailure {
    MediaFailure { class: Class::Unavailable, text: "the media node cannot be reached".into() }
}

async fn ask_until_answered(
    service: &MediaService,
    request: &MediaRequest,
) -> Result<MediaReply, MediaFailure> {
    let mut failure = unreachable_node();
    for _ in 0..TRIES {
        let answer = tokio::time::timeout(DEADLINE, ask(service, request));
        match answer.await.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time"))) {
            Ok(reply) => return Ok(reply),
            Err(problem) => {
                let class = status::class(&problem);
                failure = MediaFailure { class, text: problem.message().into() };
                // A draining node says so, and will not change its mind.
                let transport = matches!(class, Class::DeadlineExceeded) || problem.source_is_transport();
                if !transport {
                    return Err(failure);
                }
            }
        }
        tokio::time::sleep(BETWEEN_TRIES).await;
    }
    Err(failure)
}

trait SourceIsTransport {
    fn source_is_transport(&self) -> bool;
}

impl SourceIsTransport for Status {
    fn source_is_transport(&self) -> bool {
        std::error::Error::source(self).is_some()
    }
}

async fn ask(service: &MediaService, request: &MediaRequest) -> Result<MediaReply, Status> {
    match request.clone() {
        MediaRequest::CreateLeg { leg, call, tenant, remote, signalling_ip, private_path, browser } => {
            let policy = ReceivePolicy {
                mode: receive_policy::Mode::Nat.into(),
                signalling_ip: signalling_ip.map(|ip| ip.to_string()).unwrap_or_default(),
            };
            let request = CreateLegRequest {
                leg_id: leg.to_string(),
                call_id: call.to_string(),
                tenant: tenant.to_string(),
                realm: String::new(),
                remote: remote.as_ref().map(Into::into),
                policy: Some(policy),
                encodings: Vec::new(),
                private_path,
                inband_digits: InbandDigits::Unspecified.into(),
                browser,
            };
            let answer = service.create_leg(Request::new(request)).await?.into_inner();
            let boot =
                wire::id::<BootId>("CreateLegResponse.boot_id", &answer.boot_id).map_err(unreadable)?;
            Ok(MediaReply::Created { local: described(answer.local)?, boot })
        }
        MediaRequest::UpdateLeg { leg, remote, answers } => {
            let request = UpdateLegRequest {
                leg_id: leg.to_string(),
                remote: Some((&remote).into()),
                is_answer: answers != Answers::Nothing,
                is_reanswer: answers == Answers::Standing,
            };
            let answer = service.update_leg(Request::new(request)).await?.into_inner();
            Ok(MediaReply::Updated { local: described(answer.local)? })
        }
        MediaRequest::OfferLeg { leg, prefer } => {
            let request =
                OfferLegRequest { leg_id: leg.to_string(), prefer: prefer.as_ref().map(Into::into) };
            let answer = service.offer_leg(Request::new(request)).await?.into_inner();
            Ok(MediaReply::Offered { local: described(answer.local)? })
        }
        MediaRequest::ConnectLeg { leg, to } => {
            let to = Some(match to {
                Connection::Nothing => connect::To::Nothing(connect::Nothing {}),
                Connection::Peer(peer) => connect::To::PeerLegId(peer.to_string()),
                Connection::Mix(mix) => connect::To::MixId(mix.to_string()),
                Connection::Echo => connect::To::Echo(connect::Echo {}),
            });
            service.connect_leg(Request::new(ConnectLegRequest { leg_id: leg.to_string(), to })).await?;
            Ok(MediaReply::Done)
        }
        other => ask_rest(service, other).await,
    }
}

fn audio(leg: LegId, (muted, deafened): (bool, bool), voice: &LegVoice) -> SetLegAudioRequest {
    use leg_role::{Coach, Kind, Listener, Monitor, Speaker};
    let kind = match voice.role {
        VoiceRole::Speaker => Kind::Speaker(Speaker {}),
        VoiceRole::Listener => Kind::Listener(Listener {}),
        VoiceRole::Coach { heard_by } => Kind::Coach(Coach { heard_by_leg_id: heard_by.to_string() }),
        VoiceRole::Monitor => Kind::Monitor(Monitor {}),
    };
    SetLegAudioRequest {
        leg_id: leg.to_string(),
        muted,
        deafened,
        gain_mdb: voice.gain_mdb,
        role: Some(LegRole { kind: Some(kind) }),
        automatic_gain: voice.automatic_gain,
        suppress_noise: voice.suppress_noise,
    }
}

async fn ask_rest(service: &MediaService, request: MediaRequest) -> Result<MediaReply, Status> {
    match request {
        MediaRequest::ReleaseLeg { leg } => {
            let request = ReleaseLegRequest { leg_id: leg.to_string() };
            let answer = service.release_leg(Request::new(request)).await?.into_inner();
            return Ok(MediaReply::Released { quality: answer.stats.as_ref().and_then(quality_of) });
        }
        MediaRequest::SetAudio { leg, muted, deafened, voice } => {
            let request = audio(leg, (muted, deafened), &voice);
            service.set_leg_audio(Request::new(request)).await?;
        }
        MediaRequest::SendDigits { leg, digits } => {
            let (leg_id, digits) = (leg.to_string(), digits.into());
            let request = SendDigitsRequest { leg_id, digits, ..Default::default() };
            service.send_digits(Request::new(request)).await?;
        }
        other => sound::ask(service, other).await?,
    }
    Ok(MediaReply::Done)
}

/// How a leg sounded; none when nothing came from it.
fn quality_of(stats: &LegStats) -> Option<Box<LegQuality>> {
    (stats.packets_received > 0).then(|| {
        Box::new(LegQuality {
            encoding: stats.encoding_received.as_str().into(),
            packets_received: stats.packets_received,
            packets_lost: stats.packets_lost,
            packets_late: stats.packets_late,
            packets_sent: stats.packets_sent,
            jitter_us: stats.jitter_us,
            round_trip_us: stats.round_trip_us,
            rating: stats.rating,
            mean_opinion_hundredths: stats.mean_opinion_hundredths,
            far_mean_opinion_hundredths: stats.far.as_ref().map_or(0, |far| far.mean_opinion_hundredths),
        })
    })
}

fn described(
    description: Option<sidetone_proto::types::v1::MediaDescription>,
) -> Result<sidetone_model::media::MediaDescription, Status> {
    wire::message::<_, sidetone_model::media::MediaDescription>("local", description).map_err(unreadable)
}

fn unreadable(error: wire::WireError) -> Status {
    Status::internal(format!("the media node's answer cannot be read: {error}"))
}
