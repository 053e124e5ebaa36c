//! A media node over the network, as the trait its server implements.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use sidetone_proto::media::v1::media_client::MediaClient;
use sidetone_proto::media::v1::media_server::Media;
use sidetone_proto::media::v1::*;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use super::{LinkError, MediaConnector};
use crate::grpc::{TlsConfig, channel};

/// What a media node streams.
type Streamed<T> = BoxStream<'static, Result<T, Status>>;

/// A media node, wherever it is.
pub type MediaService = dyn Media<
        WatchStream = Streamed<MediaEvent>,
        ReadRecordingStream = Streamed<RecordingBytes>,
        ListenStream = Streamed<StreamBytes>,
    >;

/// What a media node may take to answer. Past it the node is as good as gone.
const DEADLINE: Duration = Duration::from_secs(2);
/// The same for what it has to fetch from elsewhere first.
const FETCH_DEADLINE: Duration = Duration::from_secs(15);

/// A media node over gRPC.
#[derive(Debug, Clone)]
pub struct RemoteMedia {
    client: MediaClient<Channel>,
}

impl RemoteMedia {
    /// The node at the far end of a channel.
    pub fn new(channel: Channel) -> Self {
        Self { client: MediaClient::new(channel) }
    }
}

/// Connects to nodes by the address in their registration.
#[derive(Debug, Clone)]
pub struct GrpcMediaConnector {
    /// How to prove who we are.
    pub tls: TlsConfig,
}

#[async_trait::async_trait]
impl MediaConnector for GrpcMediaConnector {
    async fn connect(&self, node: &NodeRegistration) -> Result<Arc<MediaService>, LinkError> {
        let channel = channel(&node.grpc_address, &self.tls)
            .map_err(|error| LinkError { service: "media", problem: error.to_string() })?;
        Ok(Arc::new(RemoteMedia::new(channel)))
    }
}

macro_rules! forward {
    (one { $($method:ident($request:ty) -> $response:ty;)* }
     fetching { $($slow:ident($slow_request:ty) -> $slow_response:ty;)* }
     many { $($streaming:ident($asked:ty) -> $item:ty as $name:ident;)* }) => {
        #[async_trait::async_trait]
        impl Media for RemoteMedia {
            $(async fn $method(&self, mut request: Request<$request>) -> Result<Response<$response>, Status> {
                request.set_timeout(DEADLINE);
                self.client.clone().$method(request).await
            })*

            $(async fn $slow(
                &self,
                mut request: Request<$slow_request>,
            ) -> Result<Response<$slow_response>, Status> {
                request.set_timeout(FETCH_DEADLINE);
                self.client.clone().$slow(request).await
            })*

            $(type $name = Streamed<$item>;

            async fn $streaming(&self, request: Request<$asked>) -> Result<Response<Self::$name>, Status> {
                let response = self.client.clone().$streaming(request).await?;
                Ok(response.map(|stream| stream.boxed()))
            })*
        }
    };
}

forward! {
    one {
        create_leg(CreateLegRequest) -> CreateLegResponse;
        update_leg(UpdateLegRequest) -> UpdateLegResponse;
        offer_leg(OfferLegRequest) -> OfferLegResponse;
        connect_leg(ConnectLegRequest) -> ConnectLegResponse;
        release_leg(ReleaseLegRequest) -> ReleaseLegResponse;
        export_leg(ExportLegRequest) -> ExportLegResponse;
        restore_leg(RestoreLegRequest) -> RestoreLegResponse;
        set_leg_audio(SetLegAudioRequest) -> SetLegAudioResponse;
        send_digits(SendDigitsRequest) -> SendDigitsResponse;
        play(PlayRequest) -> PlayResponse;
        stop_play(StopPlayRequest) -> StopPlayResponse;
        steer_play(SteerPlayRequest) -> SteerPlayResponse;
        start_recording(StartRecordingRequest) -> StartRecordingResponse;
        stop_recording(StopRecordingRequest) -> StopRecordingResponse;
        finish_recording(FinishRecordingRequest) -> FinishRecordingResponse;
        refresh(RefreshRequest) -> RefreshResponse;
        list_legs(ListLegsRequest) -> ListLegsResponse;
        get_node(GetNodeRequest) -> Node;
        drain(DrainRequest) -> Node;
        ack_recording(AckRecordingRequest) -> AckRecordingResponse;
        pause_recording(PauseRecordingRequest) -> PauseRecordingResponse;
        resume_recording(ResumeRecordingRequest) -> ResumeRecordingResponse;
        delete_recording(DeleteRecordingRequest) -> DeleteRecordingResponse;
        start_stream(StartStreamRequest) -> StartStreamResponse;
        stop_stream(StopStreamRequest) -> StopStreamResponse;
        speak(SpeakRequest) -> SpeakResponse;
    }
    fetching {
        prepare_play(PreparePlayRequest) -> PreparePlayResponse;
    }
    many {
        watch(WatchRequest) -> MediaEvent as WatchStream;
        read_recording(ReadRecordingRequest) -> RecordingBytes as ReadRecordingStream;
        listen(ListenRequest) -> StreamBytes as ListenStream;
    }
}
