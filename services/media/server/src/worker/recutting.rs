//! G.711 that is passed on in packets of the time that its hearer asked for.

use sidetone_dsp::codec::Codec;
use sidetone_rtp_core::packet::HEADER_LEN;
use sidetone_rtp_core::recut::{Judged, PACKET_MAX};
use sidetone_rtp_core::srtp::OVERHEAD_MAX;
use sidetone_rtp_core::{Header, write_header};

use crate::worker::counters::Counters;
use crate::worker::leg::{Leg, Now};

impl Leg {
    /// Whether a packet of another leg is of another time than this one asked for.
    pub(super) fn is_to_be_recut(&self, codec: Codec, bytes: usize) -> bool {
        let ptime_ms = self.state.agreement.map_or(20, |agreement| agreement.ptime_ms);
        matches!(codec, Codec::G711(_)) && (bytes != usize::from(ptime_ms) * 8 || !self.recut.is_empty())
    }

    /// Passes sound of another leg on, in this one's law, in packets of the time that this one asked for.
    pub(super) fn forward_recut(
        &mut self,
        source: &Header,
        payload_type: u8,
        payload: &[u8],
        now: Now,
        counters: &Counters,
    ) {
        let Some(size) = self.state.agreement.map(|agreement| usize::from(agreement.ptime_ms) * 8) else {
            return;
        };
        match self.recut.take(source, payload.len(), size, &self.state.outgoing, now.ms) {
            Judged::Taken => self.send_recut(payload, size, payload_type, now, counters),
            Judged::Late => counters.recut_late.add(1),
            Judged::Stray => counters.strays.add(1),
        }
    }

    /// Sends what waits for a full packet, because something else comes behind it, or nothing.
    pub(super) fn flush_recut(&mut self, now: Now, counters: &Counters) {
        if self.recut.is_empty() {
            return;
        }
        let Some((_, agreement)) = self.sending() else { return self.recut.clear() };
        let Some((payload_type, Codec::G711(_))) = agreement.send.audio() else { return self.recut.clear() };
        self.recut.flush(&self.state.outgoing);
        self.send_recut(&[], usize::from(agreement.ptime_ms) * 8, payload_type, now, counters);
    }

    /// Sends what has waited for too long.
    pub(super) fn tick_recut(&mut self, now: Now, counters: &Counters) {
        if self.recut.is_stale(now.ms) {
            self.flush_recut(now, counters);
        }
    }

    fn send_recut(
        &mut self,
        mut payload: &[u8],
        size: usize,
        payload_type: u8,
        now: Now,
        counters: &Counters,
    ) {
        let Some((target, _)) = self.sending() else { return };
        let mut piece = [0; PACKET_MAX];
        while let Some((header, length)) =
            self.recut.next(&mut payload, size, &mut self.state.outgoing, payload_type, now.ms, &mut piece)
        {
            let mut packet = [0; HEADER_LEN + PACKET_MAX + OVERHEAD_MAX];
            packet[HEADER_LEN..HEADER_LEN + length].copy_from_slice(&piece[..length]);
            if write_header(&mut packet, &header).is_ok() {
                counters.recut.add(1);
                self.send(&mut packet, HEADER_LEN + length, target, counters);
            }
        }
    }
}
