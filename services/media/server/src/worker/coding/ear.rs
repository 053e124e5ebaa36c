//! From packets to linear sound, in the order of their numbers.
//!
//! Codecs with a memory must decode in order. A packet that comes before its turn is held until the one before it came, or
//! until the playout needs what is missing; then the gap is filled by the codec (Opus: out of the copy that the held packet
//! carries of the lost one), and the held one decoded.

use sidetone_dsp::Rate;
use sidetone_dsp::codec::{Codec, CodecError, Decoder};
use sidetone_dsp::comfort::Noise;
use sidetone_rtp_core::{Header, RtpTimestamp};

use crate::negotiate::{PayloadTypes, clock_per_ms};

/// Packets that are held at the most.
const HELD_MAX: usize = 6;
/// The longest payload that is held; a longer one is decoded in the order in which it comes.
const PAYLOAD_MAX: usize = 1_500;
/// The longest packet, in ms (RFC 6716, section 3.2.5).
const PACKET_MS_MAX: usize = 120;
/// The longest gap that is filled, in ms: three packets.
const GAP_MS_MAX: u32 = 60;
/// A number further ahead is another run of numbers.
const AHEAD_MAX: u16 = 50;
/// A packet of Opus up to this length holds no sound: the encoder has stopped sending (RFC 6716, section 3.1, a frame of 0 bytes).
const DTX_BYTES: usize = 2;
/// Noise found in what an encoder sent before it stopped is no louder than this, in dBov: it may have been the end of a word.
const NOISE_DBOV_MAX: f32 = -45.0;
/// Codecs between which the far side may change at will.
const CODECS_MAX: usize = 6;

/// What was decoded out of one packet, or stands in for one.
#[derive(Debug)]
pub(crate) struct Heard<'a> {
    pub(crate) codec: Codec,
    pub(crate) header: &'a Header,
    pub(crate) sound: &'a [i16],
    /// The far side sends nothing on purpose from here on, and this is what it would be; `sound` is empty then.
    pub(crate) pause: Option<Noise>,
    /// When the packet came, in microseconds.
    pub(crate) at_us: u64,
}

/// The decoders of one leg, and what waits for its turn.
#[derive(Debug)]
pub(crate) struct Ear {
    decoding: Decoding,
    held: [Held; HELD_MAX],
}

#[derive(Debug)]
struct Decoding {
    decoders: [Option<(u8, Decoder)>; CODECS_MAX],
    rate: Rate,
    /// What follows the last decoded packet: source, number, timestamp; none before the first.
    next: Option<Header>,
    sound: Box<[i16]>,
    /// How much of `sound` was decoded last.
    decoded: usize,
}

#[derive(Debug)]
struct Held {
    header: Header,
    at_us: u64,
    /// 0 is free.
    length: usize,
    payload: Box<[u8; PAYLOAD_MAX]>,
}

impl Ear {
    pub(super) fn new(types: &PayloadTypes, rate: Rate) -> Result<Self, CodecError> {
        let mut decoders = [const { None }; CODECS_MAX];
        for (place, (payload_type, codec)) in decoders.iter_mut().zip(types.codecs()) {
            *place = Some((payload_type, Decoder::new(codec, rate)?));
        }
        let sound = vec![0; rate.samples(PACKET_MS_MAX)].into_boxed_slice();
        let free =
            || Held { header: Header::default(), at_us: 0, length: 0, payload: Box::new([0; PAYLOAD_MAX]) };
        let decoding = Decoding { decoders, rate, next: None, sound, decoded: 0 };
        Ok(Self { decoding, held: std::array::from_fn(|_| free()) })
    }

    /// Takes a packet that came at `at_us`; false for what cannot be heard any more, or is no packet of its codec.
    pub(crate) fn take(
        &mut self,
        header: &Header,
        payload: &[u8],
        at_us: u64,
        listener: &mut impl FnMut(Heard<'_>),
    ) -> bool {
        let ahead = self.decoding.ahead(header);
        if ahead.unsigned_abs() > AHEAD_MAX {
            // Another run of numbers: whether it is a stray or a restart is the playout's business.
            self.flush(listener);
            return self.decoding.decode(header, payload, at_us, listener);
        }
        if ahead < 0 {
            return false;
        }
        if ahead > 0 {
            if self.is_held(header) || self.hold(header, payload, at_us) {
                return true;
            }
            self.flush(listener);
            self.decoding.fill_gap(header, payload, at_us, listener);
        }
        let understood = self.decoding.decode(header, payload, at_us, listener);
        self.decode_held(listener);
        understood
    }

    /// Decodes the first packet that is held and what follows it without a gap; false when nothing is held.
    pub(crate) fn release(&mut self, listener: &mut impl FnMut(Heard<'_>)) -> bool {
        let released = self.decode_first(listener, true);
        self.decode_held(listener);
        released
    }

    /// Leaves a packet out: what follows it comes in order, without a gap. One from before is nothing new.
    pub(super) fn pass_over(&mut self, header: &Header, payload: &[u8]) {
        if self.go_on_at(header) {
            self.decoding.follow(header, payload);
        }
    }

    /// Takes a packet that has a number and no sound, as comfort noise has: nothing is missing at its place. False for one from
    /// before, and for one far ahead.
    pub(crate) fn take_soundless(&mut self, header: &Header, listener: &mut impl FnMut(Heard<'_>)) -> bool {
        let ahead = self.decoding.ahead(header);
        if !(0..=AHEAD_MAX as i16).contains(&ahead) {
            return false;
        }
        self.flush(listener);
        if let Some(next) = self.decoding.next.as_mut().filter(|next| next.ssrc == header.ssrc) {
            (next.sequence, next.timestamp) = (header.sequence.next(), header.timestamp);
        }
        self.decode_held(listener);
        true
    }

    /// Takes a packet that is ahead as the next one: what is missing before it was not wanted. False for one from before.
    pub(super) fn go_on_at(&mut self, header: &Header) -> bool {
        let ahead = self.decoding.ahead(header);
        if (-(AHEAD_MAX as i16)..0).contains(&ahead) {
            return false;
        }
        self.held.iter_mut().for_each(|held| held.length = 0);
        self.decoding.next = Some(*header);
        true
    }

    /// Decodes all that is held.
    fn flush(&mut self, listener: &mut impl FnMut(Heard<'_>)) {
        while self.release(listener) {}
    }

    /// Another stream follows.
    pub(crate) fn clear(&mut self) {
        self.decoding.next = None;
        self.held.iter_mut().for_each(|held| held.length = 0);
    }

    fn is_held(&self, header: &Header) -> bool {
        self.held.iter().any(|held| held.length > 0 && held.header.sequence == header.sequence)
    }

    fn hold(&mut self, header: &Header, payload: &[u8], at_us: u64) -> bool {
        let Some(free) = self.held.iter_mut().find(|held| held.length == 0) else { return false };
        let Some(room) = free.payload.get_mut(..payload.len()) else { return false };
        room.copy_from_slice(payload);
        (free.header, free.at_us, free.length) = (*header, at_us, payload.len());
        !payload.is_empty()
    }

    /// Decodes what is held, in order, as far as no number is missing.
    fn decode_held(&mut self, listener: &mut impl FnMut(Heard<'_>)) {
        while self.decode_first(listener, false) {}
    }

    /// Decodes the first packet that is held, over a gap only if that is `forced`; whether it did.
    fn decode_first(&mut self, listener: &mut impl FnMut(Heard<'_>), forced: bool) -> bool {
        let decoding = &mut self.decoding;
        let waiting = self.held.iter_mut().filter(|held| held.length > 0);
        let Some(first) = waiting.min_by_key(|held| decoding.ahead(&held.header)) else { return false };
        let ahead = decoding.ahead(&first.header);
        if ahead > 0 && !forced {
            return false;
        }
        let payload = &first.payload[..std::mem::take(&mut first.length)];
        if ahead > 0 {
            decoding.fill_gap(&first.header, payload, first.at_us, listener);
        }
        if ahead >= 0 {
            decoding.decode(&first.header, payload, first.at_us, listener);
        }
        true
    }
}

impl Decoding {
    /// How many numbers lie between what is to come next and a packet; 0 at the start of a stream.
    fn ahead(&self, header: &Header) -> i16 {
        let next = self.next.filter(|next| next.ssrc == header.ssrc);
        next.map_or(0, |next| header.sequence.distance(next.sequence))
    }

    /// What comes next is what follows this packet.
    fn follow(&mut self, header: &Header, payload: &[u8]) {
        let Some(decoder) = of_type(&mut self.decoders, header.payload_type) else { return };
        let ticks = decoder.codec().duration(payload).unwrap_or(0);
        self.next = Some(Header {
            sequence: header.sequence.next(),
            timestamp: RtpTimestamp(header.timestamp.0.wrapping_add(ticks)),
            ..*header
        });
    }

    fn decode(
        &mut self,
        header: &Header,
        payload: &[u8],
        at_us: u64,
        listener: &mut impl FnMut(Heard<'_>),
    ) -> bool {
        self.follow(header, payload);
        let Some(decoder) = of_type(&mut self.decoders, header.payload_type) else { return false };
        let codec = decoder.codec();
        if codec == Codec::Opus && payload.len() <= DTX_BYTES {
            let noise = Noise::of(&self.sound[..self.decoded]);
            let noise = noise.at_level(noise.level_dbov.min(NOISE_DBOV_MAX));
            listener(Heard { codec, header, sound: &[], pause: Some(noise), at_us });
            return true;
        }
        let made = decoder.decode(payload, &mut self.sound);
        if let Ok(length) = made {
            self.decoded = length;
            listener(Heard { codec, header, sound: &self.sound[..length], pause: None, at_us });
        }
        made.is_ok()
    }

    /// Fills what is missing before a packet, where its codec does that better than what concealment can do with linear
    /// sound, and keeps the decoder's memory in step.
    fn fill_gap(
        &mut self,
        header: &Header,
        payload: &[u8],
        at_us: u64,
        listener: &mut impl FnMut(Heard<'_>),
    ) {
        let Some(next) = self.next else { return };
        let Some(decoder) = of_type(&mut self.decoders, header.payload_type) else { return };
        let codec = decoder.codec();
        if !matches!(codec, Codec::Opus | Codec::Gsm) || next.payload_type != header.payload_type {
            return;
        }
        let per_ms = u32::from(clock_per_ms(codec));
        let gap_ms = header.timestamp.0.wrapping_sub(next.timestamp.0) / per_ms;
        let packet_ms = codec.duration(payload).unwrap_or(0) / per_ms;
        let unit = decoder.concealed_ms() as u32;
        if packet_ms == 0 || !(unit..=GAP_MS_MAX).contains(&gap_ms) {
            return;
        }
        // The copy in the packet is of the one right before it.
        let (mut left_ms, mut place) = (gap_ms / unit * unit, next);
        while left_ms > 0 {
            let last = left_ms <= packet_ms;
            let part_ms = if last { left_ms } else { (left_ms - packet_ms).max(unit) / unit * unit };
            let sound = &mut self.sound[..self.rate.samples(part_ms as usize)];
            if decoder.conceal(last.then_some(payload), sound).is_ok() {
                listener(Heard { codec, header: &place, sound, pause: None, at_us });
            }
            left_ms -= part_ms.min(left_ms);
            place.sequence = place.sequence.next();
            place.timestamp = RtpTimestamp(place.timestamp.0.wrapping_add(part_ms * per_ms));
        }
    }
}

fn of_type(decoders: &mut [Option<(u8, Decoder)>], payload_type: u8) -> Option<&mut Decoder> {
    let found = decoders.iter_mut().flatten().find(|(other, _)| *other == payload_type);
    found.map(|(_, decoder)| decoder)
}
