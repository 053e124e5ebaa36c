//! Whose tones are which: ITU-T E.180, Supplement 2 (various tones used in national networks), and what is heard there today.
//!
//! Where a network modulates its tone (400 Hz by 16 to 33 Hz) both side tones stand for that. Some networks have a tone for several
//! reasons of congestion; then it is that of a subscriber who cannot be reached.

use super::{Meaning, ProgressTone};
use crate::tone::Tone;

/// The tones of some countries.
struct National {
    /// ISO 3166 codes, in lower case.
    countries: &'static [&'static str],
    dial: ProgressTone,
    ringback: ProgressTone,
    busy: ProgressTone,
    congestion: ProgressTone,
    waiting: ProgressTone,
}

/// The tone of a country; none for one that is not in the table, of which the recommendation of E.180 is the best guess.
pub(super) fn tone(country: &str, meaning: Meaning) -> Option<ProgressTone> {
    let national = NATIONAL.iter().find(|national| national.countries.contains(&country))?;
    Some(match meaning {
        Meaning::Dial => national.dial,
        Meaning::Ringback => national.ringback,
        Meaning::Busy => national.busy,
        Meaning::Congestion => national.congestion,
        Meaning::CallWaiting => national.waiting,
    })
}

/// The countries of the table.
#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = &'static str> {
    NATIONAL.iter().flat_map(|national| national.countries.iter().copied())
}

const fn tones(tones: &'static [Tone], cadence_ms: &'static [u32]) -> ProgressTone {
    ProgressTone { tones, cadence_ms }
}

const fn one(freq_hz: f32) -> Tone {
    Tone { freq_hz, level_dbm0: -10.0 }
}

const fn two(freq_hz: f32) -> Tone {
    Tone { freq_hz, level_dbm0: -13.0 }
}

const HZ_400: &[Tone] = &[one(400.0)];
const HZ_420: &[Tone] = &[one(420.0)];
const HZ_425: &[Tone] = &[one(425.0)];
const HZ_440: &[Tone] = &[one(440.0)];
const HZ_450: &[Tone] = &[one(450.0)];
const HZ_1400: &[Tone] = &[one(1400.0)];
const HZ_350_440: &[Tone] = &[two(350.0), two(440.0)];
const HZ_400_450: &[Tone] = &[two(400.0), two(450.0)];
const HZ_440_480: &[Tone] = &[two(440.0), two(480.0)];
const HZ_480_620: &[Tone] = &[two(480.0), two(620.0)];
const HZ_413_438: &[Tone] = &[two(413.0), two(438.0)];
/// 400 Hz, modulated by 16, 25 and 33 Hz; 425 Hz by 24 Hz.
const HZ_400_BY_16: &[Tone] = &[two(384.0), two(416.0)];
const HZ_400_BY_25: &[Tone] = &[two(375.0), two(425.0)];
const HZ_400_BY_33: &[Tone] = &[two(367.0), two(433.0)];
const HZ_425_BY_24: &[Tone] = &[two(401.0), two(449.0)];

/// Without pause.
const STEADY: &[u32] = &[1_000];
/// Twice, as a bell rings in Britain.
const DOUBLE: &[u32] = &[400, 200, 400, 2_000];
const HALVES: &[u32] = &[500, 500];
const QUARTERS: &[u32] = &[250, 250];
const FIFTHS: &[u32] = &[200, 200];

#[rustfmt::skip]
static NATIONAL: &[National] = &[
    National { countries: &["gb", "im", "je", "gg", "gi"],
        dial: tones(HZ_350_440, STEADY), ringback: tones(HZ_400_450, DOUBLE), busy: tones(HZ_400, &[375, 375]),
        congestion: tones(HZ_400, &[400, 350, 225, 525]), waiting: tones(HZ_400, &[100, 4_000]) },
    National { countries: &["ie"],
        dial: tones(HZ_425, STEADY), ringback: tones(HZ_400_450, DOUBLE), busy: tones(HZ_425, HALVES),
        congestion: tones(HZ_425, QUARTERS), waiting: tones(HZ_425, &[180, 200, 200, 4_500]) },
    National { countries: &["au"],
        dial: tones(HZ_413_438, STEADY), ringback: tones(HZ_413_438, DOUBLE), busy: tones(HZ_425, &[375, 375]),
        congestion: tones(HZ_425, &[375, 375]), waiting: tones(HZ_425, &[200, 200, 200, 4_400]) },
    National { countries: &["nz"],
        dial: tones(HZ_400, STEADY), ringback: tones(HZ_400_450, DOUBLE), busy: tones(HZ_400, HALVES),
        congestion: tones(HZ_400, QUARTERS), waiting: tones(HZ_400, &[200, 3_000, 200, 5_000]) },
    National { countries: &["fr", "mc"],
        dial: tones(HZ_440, STEADY), ringback: tones(HZ_440, &[1_500, 3_500]), busy: tones(HZ_440, HALVES),
        congestion: tones(HZ_440, QUARTERS), waiting: tones(HZ_440, &[300, 10_000]) },
    National { countries: &["de"],
        dial: tones(HZ_425, STEADY), ringback: tones(HZ_425, &[1_000, 4_000]), busy: tones(HZ_425, &[480, 480]),
        congestion: tones(HZ_425, &[240, 240]), waiting: tones(HZ_425, &[200, 200, 200, 5_000]) },
    National { countries: &["at"],
        dial: tones(HZ_420, STEADY), ringback: tones(HZ_420, &[1_000, 5_000]), busy: tones(HZ_420, &[400, 400]),
        congestion: tones(HZ_420, FIFTHS), waiting: tones(HZ_420, &[40, 1_950]) },
    National { countries: &["ch", "li"],
        dial: tones(HZ_425, STEADY), ringback: tones(HZ_425, &[1_000, 4_000]), busy: tones(HZ_425, HALVES),
        congestion: tones(HZ_425, FIFTHS), waiting: tones(HZ_425, &[200, 200, 200, 4_000]) },
    National { countries: &["it", "va", "sm"],
        dial: tones(HZ_425, &[200, 200, 600, 1_000]), ringback: tones(HZ_425, &[1_000, 4_000]), busy: tones(HZ_425, HALVES),
        congestion: tones(HZ_425, FIFTHS), waiting: tones(HZ_425, &[400, 100, 250, 100, 150, 14_000]) },
    National { countries: &["es"],
        dial: tones(HZ_425, STEADY), ringback: tones(HZ_425, &[1_500, 3_000]), busy: tones(HZ_425, FIFTHS),
        congestion: tones(HZ_425, &[200, 200, 200, 200, 200, 600]), waiting: tones(HZ_425, &[175, 175, 175, 3_500]) },
    National { countries: &["pt"],
        dial: tones(HZ_425, STEADY), ringback: tones(HZ_425, &[1_000, 5_000]), busy: tones(HZ_425, HALVES),
        congestion: tones(HZ_425, FIFTHS), waiting: tones(HZ_425, &[200, 200, 200, 5_000]) },
    National { countries: &["nl"],
        dial: tones(HZ_425, STEADY), ringback: tones(HZ_425, &[1_000, 4_000]), busy: tones(HZ_425, HALVES),
        congestion: tones(HZ_425, QUARTERS), waiting: tones(HZ_425, &[500, 9_500]) },
    National { countries: &["be", "lu"],
        dial: tones(HZ_425, STEADY), ringback: tones(HZ_425, &[1_000, 3_000]), busy: tones(HZ_425, HALVES),
        congestion: tones(HZ_425, &[167, 167]), waiting: tones(HZ_1400, &[175, 175, 175, 3_500]) },
    National { countries: &["se"],
        dial: tones(HZ_425, STEADY), ringback: tones(HZ_425, &[1_000, 5_000]), busy: tones(HZ_425, QUARTERS),
        congestion: tones(HZ_425, &[250, 750]), waiting: tones(HZ_425, &[200, 500, 200, 4_000]) },
    National { countries: &["no"],
        dial: tones(HZ_425, STEADY), ringback: tones(HZ_425, &[1_000, 4_000]), busy: tones(HZ_425, HALVES),
        congestion: tones(HZ_425, FIFTHS), waiting: tones(HZ_425, &[200, 600, 200, 10_000]) },
    National { countries: &["fi"],
        dial: tones(HZ_425, STEADY), ringback: tones(HZ_425, &[1_000, 4_000]), busy: tones(HZ_425, &[300, 300]),
        congestion: tones(HZ_425, FIFTHS), waiting: tones(HZ_425, &[150, 150, 150, 8_000]) },
    National { countries: &["dk"],
        dial: tones(HZ_425, STEADY), ringback: tones(HZ_425, &[1_000, 4_000]), busy: tones(HZ_425, HALVES),
        congestion: tones(HZ_425, QUARTERS), waiting: tones(HZ_425, &[200, 600, 200, 3_000]) },
    National { countries: &["pl"],
        dial: tones(HZ_425, STEADY), ringback: tones(HZ_425, &[1_000, 4_000]), busy: tones(HZ_425, HALVES),
        congestion: tones(HZ_425, HALVES), waiting: tones(HZ_425, &[150, 150, 150, 4_000]) },
    National { countries: &["cz", "sk"],
        dial: tones(HZ_425, &[330, 330, 660, 660]), ringback: tones(HZ_425, &[1_000, 4_000]), busy: tones(HZ_425, &[330, 330]),
        congestion: tones(HZ_425, &[165, 165]), waiting: tones(HZ_425, &[330, 9_000]) },
    National { countries: &["hu"],
        dial: tones(HZ_425, STEADY), ringback: tones(HZ_425, &[1_250, 3_750]), busy: tones(HZ_425, &[300, 300]),
        congestion: tones(HZ_425, &[300, 300]), waiting: tones(HZ_425, &[40, 1_960]) },
    National { countries: &["gr", "cy"],
        dial: tones(HZ_425, &[200, 300, 700, 800]), ringback: tones(HZ_425, &[1_000, 4_000]), busy: tones(HZ_425, &[300, 300]),
        congestion: tones(HZ_425, &[150, 150]), waiting: tones(HZ_425, &[300, 10_000, 300, 10_000]) },
    National { countries: &["tr"],
        dial: tones(HZ_450, STEADY), ringback: tones(HZ_450, &[2_000, 4_000]), busy: tones(HZ_450, HALVES),
        congestion: tones(HZ_450, FIFTHS), waiting: tones(HZ_450, &[200, 600, 200, 8_000]) },
    National { countries: &["ru", "ua", "by", "kz"],
        dial: tones(HZ_425, STEADY), ringback: tones(HZ_425, &[1_000, 4_000]), busy: tones(HZ_425, &[350, 350]),
        congestion: tones(HZ_425, &[175, 175]), waiting: tones(HZ_425, &[200, 5_000]) },
    National { countries: &["il"],
        dial: tones(HZ_400, STEADY), ringback: tones(HZ_400, &[1_000, 3_000]), busy: tones(HZ_400, HALVES),
        congestion: tones(HZ_400, QUARTERS), waiting: tones(HZ_400, &[500, 10_000]) },
    National { countries: &["in"],
        dial: tones(HZ_400_BY_25, STEADY), ringback: tones(HZ_400_BY_25, DOUBLE), busy: tones(HZ_400, &[750, 750]),
        congestion: tones(HZ_400, QUARTERS), waiting: tones(HZ_400, &[200, 100, 200, 7_500]) },
    National { countries: &["za"],
        dial: tones(HZ_400_BY_33, STEADY), ringback: tones(HZ_400_BY_33, DOUBLE), busy: tones(HZ_400, HALVES),
        congestion: tones(HZ_400, QUARTERS), waiting: tones(HZ_400_BY_33, &[400, 4_000]) },
    National { countries: &["sg"],
        dial: tones(HZ_425, STEADY), ringback: tones(HZ_425_BY_24, DOUBLE), busy: tones(HZ_425, &[750, 750]),
        congestion: tones(HZ_425, QUARTERS), waiting: tones(HZ_425_BY_24, &[300, 200, 300, 3_200]) },
    National { countries: &["hk"],
        dial: tones(HZ_350_440, STEADY), ringback: tones(HZ_440_480, &[400, 200, 400, 3_000]), busy: tones(HZ_480_620, HALVES),
        congestion: tones(HZ_480_620, QUARTERS), waiting: tones(HZ_440, &[500, 500, 500, 8_500]) },
    National { countries: &["jp"],
        dial: tones(HZ_400, STEADY), ringback: tones(HZ_400_BY_16, &[1_000, 2_000]), busy: tones(HZ_400, HALVES),
        congestion: tones(HZ_400, HALVES), waiting: tones(HZ_400, &[500, 8_000]) },
    National { countries: &["cn"],
        dial: tones(HZ_450, STEADY), ringback: tones(HZ_450, &[1_000, 4_000]), busy: tones(HZ_450, &[350, 350]),
        congestion: tones(HZ_450, &[700, 700]), waiting: tones(HZ_450, &[400, 4_000]) },
    National { countries: &["tw", "kr"],
        dial: tones(HZ_350_440, STEADY), ringback: tones(HZ_440_480, &[1_000, 2_000]), busy: tones(HZ_480_620, HALVES),
        congestion: tones(HZ_480_620, &[300, 200]), waiting: tones(HZ_350_440, &[250, 250, 250, 3_250]) },
    National { countries: &["br"],
        dial: tones(HZ_425, STEADY), ringback: tones(HZ_425, &[1_000, 4_000]), busy: tones(HZ_425, QUARTERS),
        congestion: tones(HZ_425, &[250, 250, 750, 250]), waiting: tones(HZ_425, &[50, 1_000]) },
    National { countries: &["mx"],
        dial: tones(HZ_425, STEADY), ringback: tones(HZ_425, &[1_000, 4_000]), busy: tones(HZ_425, QUARTERS),
        congestion: tones(HZ_425, QUARTERS), waiting: tones(HZ_425, &[200, 600, 200, 10_000]) },
    National { countries: &["cl"],
        dial: tones(HZ_400, STEADY), ringback: tones(HZ_400, &[1_000, 3_000]), busy: tones(HZ_400, HALVES),
        congestion: tones(HZ_400, FIFTHS), waiting: tones(HZ_400, &[250, 8_750]) },
];
