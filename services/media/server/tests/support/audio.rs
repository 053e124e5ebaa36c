//! Files decoded by another implementation than the one that made them.

use symphonia::core::audio::GenericAudioBufferRef;
use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::formats::TrackType;
use symphonia::core::formats::probe::Hint;
use symphonia::core::io::MediaSourceStream;

pub struct Sound {
    pub rate_hz: u32,
    pub channels: Vec<Vec<i16>>,
}

pub fn decode(bytes: &[u8], extension: &str) -> Sound {
    let source = std::io::Cursor::new(bytes.to_vec());
    let stream = MediaSourceStream::new(Box::new(source), Default::default());
    let mut hint = Hint::new();
    hint.with_extension(extension);
    let probed = symphonia::default::get_probe().probe(&hint, stream, Default::default(), Default::default());
    let mut format = probed.unwrap();
    let track = format.default_track(TrackType::Audio).unwrap();
    let parameters = track.codec_params.as_ref().unwrap().audio().unwrap();
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(parameters, &AudioDecoderOptions::default())
        .unwrap();
    let mut sound = Sound { rate_hz: 0, channels: Vec::new() };
    while let Ok(Some(packet)) = format.next_packet() {
        let decoded: GenericAudioBufferRef<'_> = decoder.decode(&packet).unwrap();
        let mut planes: Vec<Vec<i16>> = Vec::new();
        decoded.copy_to_vecs_planar(&mut planes);
        sound.rate_hz = decoded.spec().rate();
        sound.channels.resize(planes.len(), Vec::new());
        for (all, plane) in sound.channels.iter_mut().zip(planes) {
            all.extend(plane);
        }
    }
    sound
}
