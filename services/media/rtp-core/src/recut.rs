//! Sound of a source of which a byte is a sample (G.711), cut or joined to packets of the time that a hearer asked for (`a=ptime`,
//! RFC 8866, section 6.4), without decoding it.
//!
//! What is missing of the source stays missing: the timestamps jump by as much, and the numbers by as many packets as it would have
//! been here, so that the hearer can conceal. Before such a place, and before the source is another one, what waits for a full
//! packet goes out short. What comes late is left out: its place has been passed.

use crate::packet::{Header, RtpTimestamp, SequenceNumber, Ssrc};
use crate::sender::SenderState;

/// Where a stream that is cut anew stands.
#[derive(Debug, Clone)]
pub struct Recut {
    /// What does not make a packet yet.
    waiting: [u8; WAITING_MAX],
    length: usize,
    /// It has to go out although it makes no packet.
    flushes: bool,
    /// What lies before the next packet, and what lies behind that which has to go out first.
    before: Before,
    behind: Before,
    source: Option<Source>,
    /// Number and timestamp of our stream behind the last packet of this: whoever has sent something else meanwhile has moved them.
    after: Option<(SequenceNumber, RtpTimestamp)>,
    /// When something came last, in ms.
    at_ms: u64,
}

/// The source, and what is expected of it next.
#[derive(Debug, Clone, Copy)]
struct Source {
    ssrc: Ssrc,
    sequence: SequenceNumber,
    timestamp: RtpTimestamp,
    /// The number that would confirm that it has begun anew (RFC 3550, appendix A.1).
    candidate: Option<SequenceNumber>,
}

/// What lies between the last packet and the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    /// Missing samples; packets that the far side is to miss for them, none for a pause; and whether a talk spurt begins.
    Gap {
        units: u32,
        packets: u16,
        spurt: bool,
    },
    /// Another source.
    Break,
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// Its sound goes on with [`Recut::next`].
    Taken,
    /// It came behind its turn, or twice.
    Late,
    /// It is far from all others of its source: the next has to confirm it.
    Stray,
}

/// The longest packet that is made, in bytes: 60 ms.
pub const PACKET_MAX: usize = 480;
const WAITING_MAX: usize = PACKET_MAX;
/// What is further away, in packets, is another run of numbers: 2 s of packets of 20 ms.
const FAR: u16 = 100;
/// What is further ahead or behind in time is another run of timestamps: 60 s.
const FAR_UNITS: u32 = 60 * 8_000;
/// What has waited for so long goes out short: the source has paused, in ms. Packets of 60 ms out of those of 10 ms take 50.
const STALE_MS: u64 = 100;

impl Default for Recut {
    fn default() -> Self {
        Self {
            waiting: [0; WAITING_MAX],
            length: 0,
            flushes: false,
            before: Before::Break,
            behind: Before::Nothing,
            source: None,
            after: None,
            at_ms: 0,
        }
    }
}

impl Recut {
    /// Whether nothing waits: a packet of the right size may go as it is.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Forgets all: what comes next is a beginning.
    pub fn clear(&mut self) {
        *self = Self { at_ms: self.at_ms, ..Self::default() };
    }

    /// Has what waits go out with the next [`Self::next`], however little it is.
    pub fn flush(&mut self, out: &SenderState) {
        self.follow(out);
        self.flushes = self.length > 0;
    }

    /// Where something else was sent meanwhile, what waits was said before that, and its place has been passed.
    fn follow(&mut self, out: &SenderState) {
        let here = Some((out.sequence, out.timestamp));
        if self.after != here {
            self.clear();
            self.after = here;
        }
    }

    /// Whether what waits has waited for too long.
    pub fn is_stale(&self, now_ms: u64) -> bool {
        self.length > 0 && now_ms.saturating_sub(self.at_ms) >= STALE_MS
    }

    /// Takes in a packet of so many bytes, which is to be cut to `size` bytes, 1 to [`PACKET_MAX`].
    pub fn take(
        &mut self,
        header: &Header,
        bytes: usize,
        size: usize,
        out: &SenderState,
        now_ms: u64,
    ) -> Judged {
        self.follow(out);
        let size = size.clamp(1, PACKET_MAX) as u32;
        let before = match self.source.filter(|source| source.ssrc == header.ssrc) {
            None => Before::Break,
            Some(source) if source.is_far(header) => {
                if source.candidate != Some(header.sequence) {
                    self.source = Some(Source { candidate: Some(header.sequence.next()), ..source });
                    return Judged::Stray;
                }
                Before::Break
            }
            Some(source) => {
                let missing = header.timestamp.distance(source.timestamp);
                if missing < 0 || header.sequence.distance(source.sequence) < 0 {
                    return Judged::Late;
                }
                source.gap(missing as u32, header, size)
            }
        };
        self.source = Some(Source {
            ssrc: header.ssrc,
            sequence: header.sequence.next(),
            timestamp: header.timestamp.plus(bytes as u32),
            candidate: None,
        });
        self.at_ms = now_ms;
        if before != Before::Nothing {
            // What waits was said before that.
            self.flushes = self.length > 0;
            let place = if self.flushes { &mut self.behind } else { &mut self.before };
            *place = if *place == Before::Break { Before::Break } else { before };
        }
        Judged::Taken
    }

    /// The next packet, of `size` bytes, out of what waits and `payload`, which is left shorter; none when the rest waits. To be called
    /// until then for each packet that was taken.
    pub fn next(
        &mut self,
        payload: &mut &[u8],
        size: usize,
        out: &mut SenderState,
        payload_type: u8,
        now_ms: u64,
        packet: &mut [u8; PACKET_MAX],
    ) -> Option<(Header, usize)> {
        let size = size.clamp(1, PACKET_MAX);
        let waiting = self.length.min(size);
        let added = if self.flushes || waiting == size { 0 } else { size - waiting };
        if added > payload.len() {
            self.waiting[self.length..self.length + payload.len()].copy_from_slice(payload);
            self.length += payload.len();
            *payload = &[];
            return None;
        }
        if waiting + added == 0 {
            return None;
        }
        packet[..waiting].copy_from_slice(&self.waiting[..waiting]);
        packet[waiting..waiting + added].copy_from_slice(&payload[..added]);
        *payload = &payload[added..];
        self.waiting.copy_within(waiting..self.length, 0);
        self.length -= waiting;
        let units = (waiting + added) as u32;
        let header = self.header(out, payload_type, units, now_ms);
        if self.flushes && self.length == 0 {
            self.flushes = false;
            self.before = std::mem::replace(&mut self.behind, Before::Nothing);
        }
        Some((header, waiting + added))
    }

    fn header(&mut self, out: &mut SenderState, payload_type: u8, units: u32, now_ms: u64) -> Header {
        match std::mem::replace(&mut self.before, Before::Nothing) {
            Before::Break => out.begin(now_ms),
            Before::Gap { units, packets, spurt } => out.skip(units, packets, spurt),
            Before::Nothing => {}
        }
        let header = out.cut(payload_type, units, now_ms);
        self.after = Some((out.sequence, out.timestamp));
        header
    }
}

impl Source {
    fn is_far(&self, header: &Header) -> bool {
        header.sequence.distance(self.sequence).unsigned_abs() > FAR
            || header.timestamp.distance(self.timestamp).unsigned_abs() > FAR_UNITS
    }

    /// What is missing before a packet of the source: lost, or left out as silence when no number is missing.
    fn gap(&self, units: u32, header: &Header, size: u32) -> Before {
        if units == 0 {
            return Before::Nothing;
        }
        let is_lost = header.sequence != self.sequence;
        let packets = if is_lost { (units / size).max(1).min(u32::from(FAR)) as u16 } else { 0 };
        Before::Gap { units, packets, spurt: header.marker }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Stream {
        recut: Recut,
        out: SenderState,
        size: usize,
    }

    /// Numbers, timestamps, markers and sounds.
    type Sent = Vec<(u16, u32, bool, Vec<u8>)>;

    impl Stream {
        fn new(size: usize) -> Self {
            let out = SenderState::new(Ssrc(1), SequenceNumber(65_534), RtpTimestamp(u32::MAX - 159));
            Self { recut: Recut::default(), out, size }
        }

        /// What is made of a packet; each byte tells its place in the source.
        fn takes(
            &mut self,
            ssrc: u32,
            sequence: u16,
            timestamp: u32,
            bytes: u32,
            now_ms: u64,
        ) -> (Judged, Sent) {
            let header = Header {
                ssrc: Ssrc(ssrc),
                sequence: SequenceNumber(sequence),
                timestamp: RtpTimestamp(timestamp),
                ..Header::default()
            };
            let sound: Vec<u8> = (timestamp..timestamp + bytes).map(|at| (at / 10) as u8).collect();
            let judged = self.recut.take(&header, sound.len(), self.size, &self.out, now_ms);
            let sent = if judged == Judged::Taken { self.sends(&sound, now_ms) } else { Vec::new() };
            (judged, sent)
        }

        fn sends(&mut self, mut sound: &[u8], now_ms: u64) -> Sent {
            let (mut sent, mut packet) = (Vec::new(), [0; PACKET_MAX]);
            while let Some((header, length)) =
                self.recut.next(&mut sound, self.size, &mut self.out, 8, now_ms, &mut packet)
            {
                assert_eq!(header.payload_type, 8);
                let told = (header.sequence.0, header.timestamp.0, header.marker);
                sent.push((told.0, told.1, told.2, packet[..length].to_vec()));
            }
            assert!(sound.is_empty());
            sent
        }
    }

    fn places(sent: &Sent) -> Vec<(u16, u32, bool, usize)> {
        sent.iter().map(|(sequence, at, marker, sound)| (*sequence, *at, *marker, sound.len())).collect()
    }

    #[test]
    fn every_time_into_every_other_with_each_byte_once_and_in_its_place() {
        for from in [10, 20, 30, 40, 60, 120] {
            for to in [10, 20, 30, 40, 60] {
                let mut stream = Stream::new(to * 8);
                let mut sent = Vec::new();
                for n in 0..24u32 {
                    let bytes = from * 8;
                    let now_ms = u64::from(n * from);
                    sent.extend(stream.takes(7, n as u16, n * bytes, bytes, now_ms).1);
                }
                let all: Vec<u8> = sent.iter().flat_map(|packet| packet.3.clone()).collect();
                let expected: Vec<u8> = (0..all.len() as u32).map(|at| (at / 10) as u8).collect();
                assert_eq!(all, expected, "{from} to {to}");
                assert!(
                    all.len() as u32 + to as u32 * 8 > 24 * from * 8,
                    "{from} to {to}: nothing is kept back"
                );
                for (n, (sequence, timestamp, marker, sound)) in sent.iter().enumerate() {
                    assert_eq!(sound.len(), to * 8);
                    assert_eq!(*sequence, 65_534u16.wrapping_add(n as u16));
                    assert_eq!(*timestamp, (u32::MAX - 159).wrapping_add((n * to * 8) as u32));
                    assert_eq!(*marker, n == 0);
                }
            }
        }
    }

    #[test]
    fn what_is_lost_stays_missing_and_what_is_late_is_left_out() {
        let mut stream = Stream::new(320);
        stream.out = SenderState::new(Ssrc(1), SequenceNumber(0), RtpTimestamp(0));
        assert!(stream.takes(7, 10, 0, 160, 0).1.is_empty());
        // Five are lost: what waits goes out short, and two packets of 40 ms are missing.
        let sent = stream.takes(7, 16, 960, 160, 120).1;
        assert_eq!(places(&sent), [(0, 0, true, 160)]);
        assert_eq!(stream.takes(7, 12, 320, 160, 121), (Judged::Late, Vec::new()));
        assert_eq!(stream.takes(7, 16, 960, 160, 122), (Judged::Late, Vec::new()), "it came twice");
        let sent = stream.takes(7, 17, 1_120, 160, 140).1;
        assert_eq!(places(&sent), [(3, 960, false, 320)]);
        // A pause is no loss.
        let sent = stream.takes(7, 18, 9_280, 320, 1_160).1;
        assert_eq!(places(&sent), [(4, 9_280, false, 320)]);
    }

    #[test]
    fn another_source_goes_on_behind_the_first_and_a_stray_is_no_other() {
        let mut stream = Stream::new(160);
        stream.out = SenderState::new(Ssrc(1), SequenceNumber(0), RtpTimestamp(0));
        assert_eq!(places(&stream.takes(7, 10, 0, 240, 20).1), [(0, 0, true, 160)]);
        let sent = stream.takes(9, 500, 77_000, 240, 50).1;
        assert_eq!(places(&sent), [(1, 160, false, 80), (2, 240, true, 160)]);
        assert_eq!(stream.takes(9, 9_000, 5, 240, 80), (Judged::Stray, Vec::new()));
        let sent = stream.takes(9, 501, 77_240, 240, 80).1;
        assert_eq!(places(&sent), [(3, 400, false, 160), (4, 560, false, 160)]);
        assert_eq!(stream.takes(9, 20_000, 5, 240, 110).0, Judged::Stray);
        let sent = stream.takes(9, 20_001, 245, 240, 140).1;
        assert_eq!(places(&sent), [(5, 720, true, 160)], "the next has confirmed it");
    }

    #[test]
    fn what_something_else_was_sent_between_goes_on_where_that_ended() {
        let mut stream = Stream::new(160);
        stream.out = SenderState::new(Ssrc(1), SequenceNumber(0), RtpTimestamp(0));
        stream.takes(7, 10, 0, 240, 20);
        // A prompt of a second, which the source does not know of.
        for n in 0..50 {
            stream.out.next(0, 160, 40 + n * 20);
        }
        let sent = stream.takes(7, 44, 8_240, 240, 1_040).1;
        assert_eq!(places(&sent)[0], (51, 8_160, true, 160), "what was said before it is past");
        assert!(stream.recut.is_stale(1_140) && !stream.recut.is_stale(1_100));
        stream.recut.flush(&stream.out);
        let rest = stream.sends(&[], 1_140);
        assert_eq!(rest.len(), 1);
        assert!(stream.recut.is_empty());
    }
}
