//! What a leg needs to speak and to hear in another form than G.711 at 8 kHz: decoders, an encoder, and the rate at which
//! both meet what the leg is connected to.
//!
//! It is made by the control plane, at the rate of the mix or the bridge, and only brought here. A leg of G.711 in a room or
//! bridge at 8 kHz has none: its sound takes the short way, byte for byte.

mod doze;
mod ear;
mod mouth;

#[cfg(test)]
mod tests;

pub(crate) use doze::Doze;
pub(crate) use ear::{Ear, Heard};
pub(crate) use mouth::{CODED_MAX, Mouth};

use sidetone_dsp::codec::{Codec, CodecError, OpusSettings};
use sidetone_dsp::{Rate, Resampler};
use sidetone_rtp_core::Header;

use crate::negotiate::{Agreement, PayloadTypes};
use crate::prompts::Form;

/// Decoders and encoder of one leg.
#[derive(Debug)]
pub(crate) struct Coding {
    /// The rate of all sound that goes in and out.
    pub(crate) rate: Rate,
    clock_per_ms: u8,
    pub(crate) ear: Ear,
    doze: Doze,
    pub(crate) mouth: Option<Mouth>,
    /// From its rate to 8 kHz, at which digits are looked for in the sound; none where it is at 8 kHz.
    pub(crate) lower: Option<Resampler>,
}

/// What decides how a leg's coding is made: with the same plan nothing has to be made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) rate: Rate,
    receive: PayloadTypes,
    send: Option<Codec>,
    ptime_ms: u8,
    opus: OpusSettings,
}

impl Plan {
    /// For what was agreed; none for a leg that can go the short way.
    pub(crate) fn new(agreement: &Agreement, rate: Rate, opus: OpusSettings) -> Option<Self> {
        let send = agreement.send.audio().map(|(_, codec)| codec);
        let is_plain = |codec: Codec| matches!(codec, Codec::G711(_));
        let all_plain =
            agreement.receive.codecs().all(|(_, codec)| is_plain(codec)) && send.is_none_or(is_plain);
        if all_plain && rate == Rate::Narrow {
            return None;
        }
        Some(Self {
            rate,
            receive: agreement.receive,
            send,
            ptime_ms: agreement.ptime_ms,
            opus: agreement.opus.applied_to(opus),
        })
    }
}

impl Plan {
    /// How Opus is sent at the best: none where another codec is.
    pub(crate) fn opus(&self) -> Option<&OpusSettings> {
        (self.send == Some(Codec::Opus)).then_some(&self.opus)
    }

    /// In which form packets of prompts can go out instead of what its encoder makes with these settings of Opus; none where
    /// that spares nothing, or packets are not of 20 ms.
    pub(crate) fn form(&self, opus: Option<OpusSettings>) -> Option<Form> {
        Form::new(self.send?, self.rate, opus.unwrap_or(self.opus)).filter(|_| self.ptime_ms == 20)
    }

    /// The clock of what is received: that of the codec which is best.
    pub(crate) fn clock_hz(&self) -> u32 {
        self.receive.audio().map_or(8_000, |(_, codec)| codec.clock_hz())
    }
}

impl Coding {
    /// The clock by which its playout goes, in ticks a ms.
    pub(crate) fn clock_per_ms(&self) -> u8 {
        self.clock_per_ms
    }

    /// Passes over a packet of somebody who has long been quiet; false when it has to be decoded, because it may be as loud as
    /// `loud_dbov`.
    pub(crate) fn passes_over(
        &mut self,
        codec: Codec,
        header: &Header,
        payload: &[u8],
        loud_dbov: f32,
    ) -> bool {
        let passes = self.doze.passes_over(codec, header, payload, loud_dbov);
        if passes {
            self.ear.pass_over(header, payload);
        } else {
            self.ear.go_on_at(header);
        }
        passes
    }

    /// Takes all memory that is needed.
    pub(crate) fn new(plan: &Plan) -> Result<Self, CodecError> {
        let ear = Ear::new(&plan.receive, plan.rate)?;
        let mouth = match plan.send {
            Some(codec) => Some(Mouth::new(codec, plan.rate, &plan.opus, plan.ptime_ms)?),
            None => None,
        };
        let lower = (plan.rate != Rate::Narrow).then(|| Resampler::new(plan.rate, Rate::Narrow));
        let clock_per_ms = (plan.clock_hz() / 1_000) as u8;
        Ok(Self { rate: plan.rate, clock_per_ms, ear, doze: Doze::new(), mouth, lower })
    }
}
