//! Sounds that tests make and look at.

use std::io::Cursor;

use sidetone_dsp::goertzel::tone_level_dbov;
use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::formats::TrackType;
use symphonia::core::formats::probe::Hint;
use symphonia::core::io::MediaSourceStream;

/// A WAV of a tone.
pub fn wav(tone_hz: f32, seconds: f32) -> Vec<u8> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut file, spec).unwrap();
    for n in 0..(8000.0 * seconds) as u32 {
        let phase = std::f32::consts::TAU * tone_hz * n as f32 / 8000.0;
        writer.write_sample((phase.sin() * 12_000.0) as i16).unwrap();
    }
    writer.finalize().unwrap();
    file.into_inner()
}

/// What is in a file, mixed to one channel, and its samples a second.
pub fn decoded(bytes: Vec<u8>, ending: &str) -> (Vec<i16>, u32) {
    let stream = MediaSourceStream::new(Box::new(Cursor::new(bytes)), Default::default());
    let mut hint = Hint::new();
    hint.with_extension(ending);
    let probe = symphonia::default::get_probe();
    let mut format = probe.probe(&hint, stream, Default::default(), Default::default()).unwrap();
    let track = format.default_track(TrackType::Audio).unwrap();
    let parameters = track.codec_params.as_ref().and_then(|parameters| parameters.audio()).unwrap();
    let codecs = symphonia::default::get_codecs();
    let mut decoder = codecs.make_audio_decoder(parameters, &AudioDecoderOptions::default()).unwrap();
    let (mut samples, mut rate, mut interleaved) = (Vec::new(), 0, Vec::<f32>::new());
    // The last frame of what was live may be cut.
    while let Ok(Some(packet)) = format.next_packet() {
        let Ok(decoded) = decoder.decode(&packet) else { continue };
        rate = decoded.spec().rate();
        let channels = decoded.num_planes().max(1);
        interleaved.clear();
        decoded.copy_to_vec_interleaved(&mut interleaved);
        let mono = interleaved.chunks(channels).map(|frame| frame.iter().sum::<f32>() / channels as f32);
        samples.extend(mono.map(|sample| (sample * 32_767.0) as i16));
    }
    (samples, rate)
}

/// Whether some whole second of a file has a tone in it that can be heard: what a busy machine has not sent or written in
/// time is silence.
pub fn has_tone((samples, rate): &(Vec<i16>, u32), tone_hz: f32) -> bool {
    loudest_dbov(samples, *rate, tone_hz) > -30.0
}

/// The level of a tone in the whole second in which it is loudest, in dBov; -127 when there is no whole second.
pub fn loudest_dbov(samples: &[i16], rate: u32, tone_hz: f32) -> f32 {
    let seconds = samples.chunks_exact(rate as usize);
    seconds.map(|second| tone_level_dbov(second, rate, tone_hz)).fold(-127.0, f32::max)
}
