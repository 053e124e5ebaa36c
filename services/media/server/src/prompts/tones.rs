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

/// What tells that somebody is recorded: half a second of 1400 Hz.
pub(super) fn recorder_warning() -> Vec<i16> {
    steady(1400.0, -16.0, 4000)
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
