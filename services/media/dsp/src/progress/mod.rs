//! Call-progress tones: what a caller hears before or instead of an answer.
//!
//! Frequencies and cadences: ITU-T E.180 (425 Hz family) with its Supplement 2 (what nations have), and ANSI T1.401 precise tones
//! (North America).

mod countries;

use crate::tone::{Tone, ToneGenerator};

/// What a progress tone means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Meaning {
    /// Dial now.
    Dial,
    /// The other phone rings.
    Ringback,
    /// The other side is busy.
    Busy,
    /// The network has no way through.
    Congestion,
    /// Another call waits.
    CallWaiting,
}

/// Whose tones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TonePlan {
    /// 425 Hz, as ITU-T E.180 recommends and most of Europe uses.
    #[default]
    Itu,
    /// Precise tone plan of the United States and Canada.
    NorthAmerica,
    /// Those of a country, by its ISO 3166 code in lower case; of one that is not known those of E.180.
    National([u8; 2]),
}

/// One row of the plan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProgressTone {
    /// What sounds during the odd parts of the cadence.
    pub tones: &'static [Tone],
    /// Alternating on and off times in ms, repeated for ever; a single entry means without pause.
    pub cadence_ms: &'static [u32],
}

impl TonePlan {
    /// The plan of a country, by its ISO 3166 code in lower case; none for what is no such code.
    pub fn of_country(code: &str) -> Option<Self> {
        match (code, code.as_bytes()) {
            ("us" | "ca" | "pr" | "do" | "jm" | "bs" | "bb" | "tt", _) => Some(Self::NorthAmerica),
            (_, &[a, b]) if a.is_ascii_lowercase() && b.is_ascii_lowercase() => Some(Self::National([a, b])),
            _ => None,
        }
    }

    /// The tone for a meaning.
    pub fn tone(self, meaning: Meaning) -> ProgressTone {
        let code = if let Self::National(code) = self { code } else { [0; 2] };
        if let Some(tone) = str::from_utf8(&code).ok().and_then(|code| countries::tone(code, meaning)) {
            return tone;
        }
        let (tones, cadence_ms): (&'static [Tone], &'static [u32]) = match (self, meaning) {
            (Self::Itu | Self::National(_), Meaning::Dial) => (ITU, &[1_000]),
            (Self::Itu | Self::National(_), Meaning::Ringback) => (ITU, &[1_000, 4_000]),
            (Self::Itu | Self::National(_), Meaning::Busy) => (ITU, &[500, 500]),
            (Self::Itu | Self::National(_), Meaning::Congestion) => (ITU, &[250, 250]),
            (Self::Itu | Self::National(_), Meaning::CallWaiting) => (ITU, &[200, 600, 200, 4_000]),
            (Self::NorthAmerica, Meaning::Dial) => (US_DIAL, &[1_000]),
            (Self::NorthAmerica, Meaning::Ringback) => (US_RINGBACK, &[2_000, 4_000]),
            (Self::NorthAmerica, Meaning::Busy) => (US_BUSY, &[500, 500]),
            (Self::NorthAmerica, Meaning::Congestion) => (US_BUSY, &[250, 250]),
            (Self::NorthAmerica, Meaning::CallWaiting) => (US_WAITING, &[300, 9_700]),
        };
        ProgressTone { tones, cadence_ms }
    }
}

/// Plays a [`ProgressTone`] for ever.
#[derive(Debug, Clone)]
pub struct ProgressGenerator {
    generator: ToneGenerator,
    cadence_ms: &'static [u32],
    samples_per_ms: u32,
    part: usize,
    left: u32,
}

impl ProgressGenerator {
    /// Starts at the beginning of the first tone. Rates are whole multiples of 1,000 Hz.
    pub fn new(rate_hz: u32, tone: ProgressTone) -> Self {
        let samples_per_ms = (rate_hz / 1_000).max(1);
        let first = tone.cadence_ms.first().copied().unwrap_or(1_000);
        Self {
            generator: ToneGenerator::new(rate_hz, tone.tones),
            cadence_ms: tone.cadence_ms,
            samples_per_ms,
            part: 0,
            left: first.max(1) * samples_per_ms,
        }
    }

    /// Writes the next samples.
    pub fn fill(&mut self, mut out: &mut [i16]) {
        while !out.is_empty() {
            let n = out.len().min(self.left as usize);
            let (now, rest) = out.split_at_mut(n);
            if self.part.is_multiple_of(2) {
                self.generator.fill(now);
            } else {
                now.fill(0);
            }
            out = rest;
            self.left -= n as u32;
            if self.left == 0 {
                self.next_part();
            }
        }
    }

    fn next_part(&mut self) {
        let parts = self.cadence_ms.len().max(1);
        self.part = (self.part + 1) % parts;
        let length = self.cadence_ms.get(self.part).copied().unwrap_or(1_000);
        self.left = length.max(1) * self.samples_per_ms;
        if parts > 1 && self.part.is_multiple_of(2) {
            // Each burst starts at zero crossing, so it starts without a click.
            self.generator.restart();
        }
    }
}

const ITU: &[Tone] = &[Tone { freq_hz: 425.0, level_dbm0: -10.0 }];
const US_DIAL: &[Tone] =
    &[Tone { freq_hz: 350.0, level_dbm0: -13.0 }, Tone { freq_hz: 440.0, level_dbm0: -13.0 }];
const US_RINGBACK: &[Tone] =
    &[Tone { freq_hz: 440.0, level_dbm0: -19.0 }, Tone { freq_hz: 480.0, level_dbm0: -19.0 }];
const US_BUSY: &[Tone] =
    &[Tone { freq_hz: 480.0, level_dbm0: -24.0 }, Tone { freq_hz: 620.0, level_dbm0: -24.0 }];
const US_WAITING: &[Tone] = &[Tone { freq_hz: 440.0, level_dbm0: -13.0 }];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goertzel::tone_power;
    use crate::level::mean_square;

    #[test]
    fn ringback_keeps_its_cadence() {
        let mut generator = ProgressGenerator::new(8_000, TonePlan::Itu.tone(Meaning::Ringback));
        let mut seconds = vec![0; 8_000 * 11];
        for frame in seconds.chunks_mut(160) {
            generator.fill(frame);
        }
        for (second, samples) in seconds.chunks(8_000).enumerate() {
            let sounds = mean_square(samples) > 0.0;
            assert_eq!(sounds, second % 5 == 0, "second {second}");
        }
        assert!(tone_power(&seconds[..8_000], 8_000, 425.0) / mean_square(&seconds[..8_000]) > 0.99);
    }

    #[test]
    fn every_tone_of_every_country_can_be_told_and_repeated() {
        let meanings =
            [Meaning::Dial, Meaning::Ringback, Meaning::Busy, Meaning::Congestion, Meaning::CallWaiting];
        let mut known: Vec<&str> = countries::all().collect();
        known.sort_unstable();
        assert!(known.windows(2).all(|pair| pair[0] != pair[1]), "a country twice: {known:?}");
        assert!(known.len() >= 40);
        for country in known {
            let plan = TonePlan::of_country(country).unwrap();
            for meaning in meanings {
                let tone = plan.tone(meaning);
                let length: u32 = tone.cadence_ms.iter().sum();
                assert!((200..=25_000).contains(&length), "{country} {meaning:?}");
                assert!(tone.cadence_ms.len() == 1 || tone.cadence_ms.len().is_multiple_of(2), "{country}");
                assert!(tone.tones.iter().all(|tone| (300.0..1500.0).contains(&tone.freq_hz)), "{country}");
            }
        }
    }

    #[test]
    fn countries_differ_and_unknown_ones_have_what_is_recommended() {
        let of = |code: &str, meaning| TonePlan::of_country(code).unwrap().tone(meaning);
        let british = of("gb", Meaning::Ringback);
        assert_eq!(british.cadence_ms, [400, 200, 400, 2_000]);
        let mut generator = ProgressGenerator::new(8_000, british);
        let mut samples = vec![0; 3_200];
        generator.fill(&mut samples);
        for freq in [400.0, 450.0] {
            assert!((tone_power(&samples, 8_000, freq) / mean_square(&samples) - 0.5).abs() < 0.02);
        }
        assert_eq!(of("fr", Meaning::Dial).tones[0].freq_hz, 440.0);
        assert_eq!(of("us", Meaning::Busy), TonePlan::NorthAmerica.tone(Meaning::Busy));
        assert_eq!(of("zz", Meaning::Busy), TonePlan::Itu.tone(Meaning::Busy));
        assert!(["", "GB", "gbr", "é"].iter().all(|code| TonePlan::of_country(code).is_none()));
    }

    #[test]
    fn north_american_ringback_holds_both_frequencies() {
        let mut generator = ProgressGenerator::new(8_000, TonePlan::NorthAmerica.tone(Meaning::Ringback));
        let mut samples = vec![0; 8_000];
        generator.fill(&mut samples);
        let all = mean_square(&samples);
        for freq in [440.0, 480.0] {
            assert!((tone_power(&samples, 8_000, freq) / all - 0.5).abs() < 0.02);
        }
    }
}
