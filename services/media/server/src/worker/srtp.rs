//! SRTP of a leg on its worker: in place, and without asking the heap.

use std::net::IpAddr;

use sidetone_rtp_core::srtp::{Place, Receiver, Sender, SrtpError};

use crate::keys::Rekeying;
use crate::worker::counters::Counters;
use crate::worker::leg::Leg;

/// What protects and opens; nothing on a leg of plain RTP.
#[derive(Debug, Default)]
pub(crate) struct Srtp {
    secured: bool,
    sender: Option<Box<Sender>>,
    receiver: Option<Box<Receiver>>,
}

/// Where the SRTP of a leg stands in both directions.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SrtpPlaces {
    pub(crate) sent: Option<Place>,
    /// Index of the next SRTCP packet.
    pub(crate) srtcp_sent: u32,
    pub(crate) received: Vec<Place>,
    pub(crate) srtcp_received: Vec<Place>,
}

impl Leg {
    /// Where its SRTP stands, for whoever goes on with it; none on a leg of plain RTP. Not for the tick: it allocates.
    pub(crate) fn srtp_places(&self) -> Option<SrtpPlaces> {
        if !self.srtp.secured {
            return None;
        }
        let (sent, srtcp_sent) = self.srtp.sender.as_deref().map(Sender::place).unwrap_or_default();
        let (received, srtcp_received) =
            self.srtp.receiver.as_deref().map(Receiver::places).unwrap_or_default();
        Some(SrtpPlaces { sent, srtcp_sent, received, srtcp_received })
    }

    /// Takes new keys; the old ones go back in `rekeying`, to be freed elsewhere.
    pub(crate) fn rekey(&mut self, rekeying: &mut Rekeying) {
        let srtp = &mut self.srtp;
        srtp.secured = rekeying.secured;
        self.state.policy.proved = rekeying.secured;
        if rekeying.sender.is_some() || !rekeying.secured {
            std::mem::swap(&mut srtp.sender, &mut rekeying.sender);
        }
        if rekeying.receiver.is_some() || !rekeying.secured {
            std::mem::swap(&mut srtp.receiver, &mut rekeying.receiver);
        }
        self.state.suite = srtp.sender.as_deref().map(Sender::suite);
    }

    /// The RTP packet in what came; none, and counted, when nobody with the key has sent it.
    pub(super) fn open<'a>(&mut self, packet: &'a mut [u8], counters: &Counters) -> Option<&'a [u8]> {
        if !self.srtp.secured {
            return Some(packet);
        }
        let opened = match self.srtp.receiver.as_deref_mut() {
            Some(receiver) => receiver.open_rtp(packet),
            None => Err(SrtpError::NotAuthentic),
        };
        match opened {
            Ok(length) => packet.get(..length),
            Err(error) => {
                self.state.incoming.refused += 1;
                count(error, counters);
                None
            }
        }
    }

    /// The length of the RTCP packet in what came; none, and counted, when it is not the peer's.
    pub(super) fn open_report(
        &mut self,
        packet: &mut [u8],
        from: IpAddr,
        counters: &Counters,
    ) -> Option<usize> {
        if !self.srtp.secured {
            let allowed = self.state.policy.allows_rtcp(from);
            counters.refused_source.add(u64::from(!allowed));
            return allowed.then_some(packet.len());
        }
        match self.srtp.receiver.as_deref_mut()?.open_rtcp(packet) {
            Ok(length) => Some(length),
            Err(error) => {
                count(error, counters);
                None
            }
        }
    }

    /// What is to be sent for the packet in the first `length` bytes of `buffer`.
    pub(super) fn protect<'a>(
        &mut self,
        buffer: &'a mut [u8],
        length: usize,
        counters: &Counters,
    ) -> Option<&'a [u8]> {
        if !self.srtp.secured {
            return buffer.get(..length);
        }
        match self.srtp.sender.as_deref_mut()?.protect_rtp(buffer, length) {
            Ok(length) => buffer.get(..length),
            // A number that was used already: a source that was forwarded said a thing twice.
            Err(_) => {
                counters.not_protected.add(1);
                None
            }
        }
    }

    /// The length to be sent of the report in the first `length` bytes of `buffer`.
    pub(super) fn protect_report(&mut self, buffer: &mut [u8], length: usize) -> Option<usize> {
        if !self.srtp.secured {
            return Some(length);
        }
        self.srtp.sender.as_deref_mut()?.protect_rtcp(buffer, length).ok()
    }
}

fn count(error: SrtpError, counters: &Counters) {
    match error {
        SrtpError::Replayed => counters.replayed.add(1),
        SrtpError::Malformed => counters.malformed.add(1),
        SrtpError::TooManySources => counters.too_many_sources.add(1),
        _ => counters.not_authentic.add(1),
    }
}
