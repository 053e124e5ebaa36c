//! Call-progress tones as prompts: `tone:MEANING/COUNTRY`.

use sidetone_dsp::progress::{Meaning, ProgressGenerator, TonePlan};
use sidetone_dsp::tone::{Tone, ToneGenerator};

/// Samples of a tone by what follows `tone:`, a whole cadence of it so that it can be repeated without a click.
pub(super) fn progress(name: &str) -> Option<Vec<i16>> {
    let (meaning, country) = name.split_once('/').unwrap_or((name, "itu"));
    let meaning = match meaning {
        "dial" => Meaning::Dial,
        "ringback" => Meaning::Ringback,
        "busy" => Meaning::Busy,
        "congestion" => Meaning::Congestion,
        "waiting" => Meaning::CallWaiting,
        _ => return None,
    };
    let plan = if country == "itu" { TonePlan::Itu } else { TonePlan::of_country(country)? };
    let tone = plan.tone(meaning);
    let cadence_ms: u32 = tone.cadence_ms.iter().sum();
    let mut samples = vec![0; cadence_ms as usize * 8];
    ProgressGenerator::new(8000, tone).fill(&mut samples);
    Some(samples)
}

/// One second of 440 Hz, whole waves, so that it can be repeated without a click.
pub(super) fn tone() -> Vec<i16> {
    steady(440.0, -12.0, 8000)
}

/// How long the tone is that tells that somebody is recorded, in ms.
pub(crate) const WARNING_MS: usize = 500;

/// What tells that somebody is recorded: half a second of 1400 Hz.
pub(super) fn recorder_warning() -> Vec<i16> {
    let mut samples = vec![0; WARNING_MS * 8];
    fill_warning(8000, &mut samples);
    samples
}

/// The same at any rate, as much of it as there is room for.
pub(crate) fn fill_warning(rate_hz: u32, samples: &mut [i16]) {
    ToneGenerator::new(rate_hz, &[Tone { freq_hz: 1400.0, level_dbm0: -16.0 }]).fill(samples);
}

/// The prompt `beep`: 200 ms of 1400 Hz.
pub(super) fn beep() -> Vec<i16> {
    steady(1400.0, -16.0, 1600)
}

fn steady(freq_hz: f32, level_dbm0: f32, length: usize) -> Vec<i16> {
    let mut samples = vec![0; length];
    ToneGenerator::new(8000, &[Tone { freq_hz, level_dbm0 }]).fill(&mut samples);
    samples
}
