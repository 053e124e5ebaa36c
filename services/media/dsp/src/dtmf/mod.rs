//! Digits in the sound itself (ITU-T Q.23), found as ITU-T Q.24 asks, and not found in speech (talk-off).
//!
//! Every 5 ms the last 20 ms are looked at. They hold a digit when one frequency of the lower group and one of the upper
//! group carry nearly all of the power, both at the right frequency and at levels that go together. Frequencies are measured
//! by how the phase moves from one 5 ms to the next, which tells 1.5 % (must be taken) from 3.5 % (must be refused) where
//! power in a filter could not. A digit is certain after four such looks in a row, that is 35 to 40 ms of tone; it is over
//! when three looks in a row hold little of it, so that an interruption of 10 ms does not make it two. Speech may look like a
//! digit once; it does not keep two pure frequencies for that long.
//!
//! | | taken at least | refused at least |
//! |---|---|---|
//! | length | 40 ms | 23 ms and less |
//! | pause | 40 ms ends it | 10 ms does not |
//! | frequency | 1.5 % off | 3.5 % off |
//! | upper group relative to lower | -8 to +4 dB | -13, +9 dB |
//! | level of each frequency | -27 dBm0 | -40 dBm0 |

mod look;

#[cfg(test)]
mod tests;

use look::{HOP, Hop, LOOK, Look, Tables};

/// A digit that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detected {
    /// 0 to 9, *, #, A to D.
    pub digit: char,
    /// How long it sounded, in ms, within some 10 ms.
    pub duration_ms: u32,
}

/// Finds the digits in one stream of sound at 8 kHz.
#[derive(Debug, Clone)]
pub struct DtmfDetector {
    tables: &'static Tables,
    /// Samples of the hop that is not full yet.
    waiting: [i16; HOP],
    length: usize,
    /// The last hops, newest first.
    hops: [Hop; LOOK],
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Nothing,
    /// Seen in so many looks in a row.
    Perhaps {
        place: u8,
        looks: u32,
    },
    /// Certain. Looks since it began, up to the last one that held it in full; looks since then; and those in a row that
    /// hold little of it.
    Certain {
        place: u8,
        looks: u32,
        since: u32,
        misses: u32,
    },
}

/// Looks after which a digit is certain.
const LOOKS_MIN: u32 = 4;
/// Looks without it after which a digit is over.
const MISSES_MAX: u32 = 3;
const HOP_MS: u32 = 5;
/// The keys by the places of their two frequencies.
const KEYS: &[u8; 16] = b"123A456B789C*0#D";

impl DtmfDetector {
    /// A detector that heard silence before.
    pub fn new() -> Self {
        Self {
            tables: Tables::get(),
            waiting: [0; HOP],
            length: 0,
            hops: [Hop::default(); LOOK],
            state: State::Nothing,
        }
    }

    /// Takes sound at 8 kHz and calls `found` for each digit that is over by its end.
    pub fn push(&mut self, samples: &[i16], mut found: impl FnMut(Detected)) {
        for sample in samples {
            self.waiting[self.length] = *sample;
            self.length += 1;
            if self.length == HOP {
                self.length = 0;
                if let Some(digit) = self.step() {
                    found(digit);
                }
            }
        }
    }

    /// The sound ends here: the digit that has not been told yet, if there is one.
    pub fn finish(&mut self) -> Option<Detected> {
        let state = std::mem::replace(&mut self.state, State::Nothing);
        self.length = 0;
        self.hops = [Hop::default(); LOOK];
        detected(state)
    }

    /// The digit that is certain and sounds still, with its length so far.
    pub fn current(&self) -> Option<Detected> {
        detected(self.state)
    }

    fn step(&mut self) -> Option<Detected> {
        self.hops.copy_within(..LOOK - 1, 1);
        self.hops[0] = self.tables.hop(&self.waiting);
        let held = match self.state {
            State::Certain { place, .. } => Some(place),
            State::Nothing | State::Perhaps { .. } => None,
        };
        let look = self.tables.look(&self.hops, held);
        let (state, over) = follow(self.state, look);
        self.state = state;
        over
    }
}

impl Default for DtmfDetector {
    fn default() -> Self {
        Self::new()
    }
}

// ## Nothing => Perhaps, Perhaps => (Nothing | Perhaps | Certain), Certain => (Certain | Nothing | Perhaps)
fn follow(state: State, look: Look) -> (State, Option<Detected>) {
    let fresh = |look: Look| look.digit.map_or(State::Nothing, |place| State::Perhaps { place, looks: 1 });
    match state {
        State::Nothing => (fresh(look), None),
        State::Perhaps { place, looks } if look.digit == Some(place) => {
            let looks = looks + 1;
            let certain = State::Certain { place, looks, since: 0, misses: 0 };
            (if looks >= LOOKS_MIN { certain } else { State::Perhaps { place, looks } }, None)
        }
        State::Perhaps { .. } => (fresh(look), None),
        State::Certain { place, looks, since, .. } if look.digit == Some(place) => {
            (State::Certain { place, looks: looks + since + 1, since: 0, misses: 0 }, None)
        }
        // Another digit in full is another digit, whatever the pause was.
        State::Certain { .. } if look.digit.is_some() => (fresh(look), detected(state)),
        State::Certain { place, looks, since, misses } => {
            let misses = if look.goes_on { 0 } else { misses + 1 };
            if misses >= MISSES_MAX {
                return (State::Nothing, detected(state));
            }
            (State::Certain { place, looks, since: since + 1, misses }, None)
        }
    }
}

fn detected(state: State) -> Option<Detected> {
    match state {
        State::Certain { place, looks, .. } => Some(Detected {
            digit: char::from(KEYS[usize::from(place)]),
            duration_ms: (looks + LOOK as u32 - 1) * HOP_MS,
        }),
        State::Nothing | State::Perhaps { .. } => None,
    }
}
