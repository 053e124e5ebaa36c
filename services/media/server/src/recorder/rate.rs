//! At which rate recordings and live streams are made.

use serde::Deserialize;
use sidetone_dsp::Rate;

/// `auto`, or a rate in Hz.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "Written")]
pub enum RecordingRate {
    /// 16 kHz when one of the call's legs has a wideband codec at the start, and 8 kHz otherwise.
    #[default]
    Auto,
    /// Whatever the codecs.
    Fixed(Rate),
}

/// As it stands in a configuration.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Written {
    Hz(u32),
    Word(String),
}

impl RecordingRate {
    /// The rate of what is begun now, by what its sources carry.
    pub(crate) fn of(self, sources: impl IntoIterator<Item = Rate>) -> Rate {
        match self {
            Self::Auto => sources.into_iter().max().unwrap_or_default().min(Rate::Wide),
            Self::Fixed(rate) => rate,
        }
    }
}

impl TryFrom<Written> for RecordingRate {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let hz = match &written {
            Written::Word(word) if word == "auto" => return Ok(Self::Auto),
            Written::Word(word) => word.parse().ok(),
            Written::Hz(hz) => Some(*hz),
        };
        let rate = hz.and_then(Rate::of_hz);
        rate.map(Self::Fixed).ok_or_else(|| "expected \"auto\", 8000, 16000 or 48000".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_has_the_rate_that_its_sources_deserve() {
        use Rate::{Full, Narrow, Wide};
        let auto = RecordingRate::default();
        assert_eq!([auto.of([]), auto.of([Narrow, Narrow]), auto.of([Narrow, Wide])], [Narrow, Narrow, Wide]);
        assert_eq!(auto.of([Full, Narrow]), Wide, "speech needs no more");
        assert_eq!(RecordingRate::Fixed(Full).of([Narrow]), Full);
    }

    #[test]
    fn it_is_written_as_a_number_or_as_a_word() {
        let read = |written: &str| serde_json::from_str::<RecordingRate>(written);
        for (written, rate) in [
            ("\"auto\"", RecordingRate::Auto),
            ("8000", RecordingRate::Fixed(Rate::Narrow)),
            ("\"48000\"", RecordingRate::Fixed(Rate::Full)),
        ] {
            assert_eq!(read(written).unwrap(), rate);
        }
        for bad in ["44100", "\"wide\"", "true"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
