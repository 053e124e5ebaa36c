//! To whom RTCP tells how it is heard.

use serde::Deserialize;

/// To whom VoIP metrics go (RFC 3611, section 4.7), and whether far sides are asked for theirs (`a=rtcp-xr`, section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "Written")]
pub enum RtcpXr {
    /// To nobody, and nobody is asked.
    Off,
    /// To who asks for them. All are asked.
    Asked,
    /// To all: who does not know them passes them over (RFC 3550, section 6.1). All are asked.
    #[default]
    Always,
}

impl RtcpXr {
    /// Whether our descriptions ask for them.
    pub(crate) fn asks(self) -> bool {
        self != Self::Off
    }

    /// Whether they go to a far side.
    pub(crate) fn tells(self, is_asked: bool) -> bool {
        match self {
            Self::Off => false,
            Self::Asked => is_asked,
            Self::Always => true,
        }
    }
}

/// As it stands in a configuration: a word, or what it was before there were words for it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Written {
    Switch(bool),
    Word(String),
}

impl TryFrom<Written> for RtcpXr {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Switch(false) => Ok(Self::Off),
            Written::Switch(true) => Ok(Self::Always),
            Written::Word(word) => match word.as_str() {
                "off" => Ok(Self::Off),
                "asked" => Ok(Self::Asked),
                "always" => Ok(Self::Always),
                _ => Err("expected \"off\", \"asked\" or \"always\"".to_owned()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_a_word_or_as_it_was_before() {
        let read = |written: &str| serde_json::from_str::<RtcpXr>(written);
        for (written, xr) in [
            ("\"off\"", RtcpXr::Off),
            ("false", RtcpXr::Off),
            ("\"asked\"", RtcpXr::Asked),
            ("\"always\"", RtcpXr::Always),
            ("true", RtcpXr::Always),
        ] {
            assert_eq!(read(written).unwrap(), xr, "{written}");
        }
        for bad in ["\"on\"", "1", "\"\""] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn who_is_told_and_who_is_asked() {
        let all = [RtcpXr::Off, RtcpXr::Asked, RtcpXr::Always];
        assert_eq!(all.map(RtcpXr::asks), [false, true, true]);
        assert_eq!(all.map(|xr| xr.tells(true)), [false, true, true]);
        assert_eq!(all.map(|xr| xr.tells(false)), [false, false, true]);
    }
}
