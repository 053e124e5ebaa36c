//! What one leg says, brought to one rate out of whatever codec it speaks, each packet once and in its order.
//!
//! Copies are left out. A packet that comes before its turn waits for those in front, three packets or two looks at the rings at
//! most; then what is missing is concealed, up to 60 ms, and left silent beyond. Where the worker has moved a source by a sample, to
//! keep it with the clock, the joint is closed.

use sidetone_dsp::Rate;
use sidetone_dsp::codec::{Codec, Decoder};

use crate::worker::rings::RecordingFrame;

/// The decoder of one feed, and what waits for its turn.
#[derive(Debug)]
pub(super) struct Ear {
    rate: Rate,
    /// Made anew when the leg changes its codec.
    decoder: Option<Decoder>,
    /// A packet of which frames may still come.
    partial: Packet,
    /// The frame of it that comes next.
    part: u8,
    /// Packets before their turn, by their order.
    held: Vec<Packet>,
    /// Looks at the rings since the first of them came.
    looks: u32,
    /// The source, and the number that it has next.
    next: Option<(u32, u16)>,
    /// Packets in a row that were of the past.
    past: u32,
    /// Where the last sound ended.
    end: Option<u64>,
    samples: Box<[i16]>,
}

/// A packet as it came.
#[derive(Debug)]
struct Packet {
    codec: Codec,
    ssrc: u32,
    sequence: u16,
    position: u64,
    bytes: Vec<u8>,
}

/// The longest packet, in ms.
const PACKET_MS_MAX: usize = 120;
/// Packets that wait for one that is missing, and for how many looks at the rings.
const HELD_MAX: usize = 3;
const LOOKS_MAX: u32 = 2;
/// Beyond so many numbers it is another beginning.
const FAR: u16 = 100;
/// So many packets of the past in a row are of a source that has begun anew.
const PAST_MAX: u32 = 10;
/// The most that is concealed, in ms.
const CONCEALED_MS_MAX: usize = 60;

impl Ear {
    /// An ear whose sound is of a rate.
    pub(super) fn new(rate: Rate) -> Self {
        let samples = vec![0; rate.samples(PACKET_MS_MAX)].into_boxed_slice();
        let codec = Codec::G711(sidetone_dsp::Law::Mu);
        let partial = Packet { codec, ssrc: 0, sequence: 0, position: 0, bytes: Vec::new() };
        let (held, looks, past) = (Vec::new(), 0, 0);
        Self { rate, decoder: None, partial, part: 0, held, looks, next: None, past, end: None, samples }
    }

    /// Takes a frame in; `say` is given what is to be heard of it and of what waited for it, with its place on the
    /// node's clock in samples of the ear's rate.
    pub(super) fn hear(&mut self, frame: &RecordingFrame, say: &mut impl FnMut(u64, &[i16])) {
        let Some(bytes) = frame.bytes.get(..usize::from(frame.length)) else { return };
        let partial = &mut self.partial;
        if frame.part == 0 {
            partial.bytes.clear();
            (partial.codec, partial.position) = (frame.codec, frame.position);
            (partial.ssrc, partial.sequence, self.part) = (frame.ssrc, frame.sequence, 0);
        }
        // A packet of which a frame was lost is lost.
        if (partial.ssrc, partial.sequence, self.part) != (frame.ssrc, frame.sequence, frame.part) {
            return;
        }
        self.part += 1;
        partial.bytes.extend_from_slice(bytes);
        if !frame.goes_on {
            let bytes = std::mem::take(&mut partial.bytes);
            let packet = Packet { bytes, ..*partial };
            self.sort(packet, say);
        }
    }

    /// The rings have been looked at once more.
    pub(super) fn look(&mut self, say: &mut impl FnMut(u64, &[i16])) {
        if self.held.is_empty() {
            return;
        }
        self.looks += 1;
        if self.looks >= LOOKS_MAX {
            self.let_go(say);
        }
    }

    /// No longer waits for anything.
    pub(super) fn let_go(&mut self, say: &mut impl FnMut(u64, &[i16])) {
        for packet in std::mem::take(&mut self.held) {
            self.decode(packet, say);
        }
        self.looks = 0;
    }

    fn sort(&mut self, packet: Packet, say: &mut impl FnMut(u64, &[i16])) {
        let ahead = match self.next {
            Some((ssrc, next)) if ssrc == packet.ssrc => packet.sequence.wrapping_sub(next) as i16,
            _ => i16::MAX,
        };
        if ahead.unsigned_abs() > FAR || (ahead < 0 && self.past >= PAST_MAX) {
            // Another source, or the same that has begun anew.
            self.let_go(say);
            return self.decode(packet, say);
        }
        if ahead < 0 {
            self.past += 1;
            return;
        }
        if ahead > 0 {
            let order = |held: &Packet| held.sequence.wrapping_sub(packet.sequence) as i16;
            if let Err(at) = self.held.binary_search_by_key(&0, order) {
                self.held.insert(at, packet);
            }
            if self.held.len() < HELD_MAX {
                return;
            }
            let first = self.held.remove(0);
            self.decode(first, say);
        } else {
            self.decode(packet, say);
        }
        while let Some((_, next)) = self.next
            && self.held.first().is_some_and(|held| held.sequence == next)
        {
            let first = self.held.remove(0);
            self.decode(first, say);
        }
        self.looks = 0;
    }

    fn decode(&mut self, packet: Packet, say: &mut impl FnMut(u64, &[i16])) {
        if self.decoder.as_ref().is_none_or(|decoder| decoder.codec() != packet.codec) {
            self.decoder = Decoder::new(packet.codec, self.rate).ok();
            self.end = None;
        }
        let missing = match self.next {
            Some((ssrc, next)) if ssrc == packet.ssrc => packet.sequence.wrapping_sub(next),
            _ => 0,
        };
        self.next = Some((packet.ssrc, packet.sequence.wrapping_add(1)));
        self.past = 0;
        if (1..=FAR).contains(&missing) {
            self.conceal(usize::from(missing), &packet, say);
        }
        let Some(decoder) = &mut self.decoder else { return };
        let Ok(length) = decoder.decode(&packet.bytes, &mut self.samples) else { return };
        self.place(packet.position * self.times(), length, say);
        if self.partial.bytes.capacity() == 0 {
            // Its room serves the next one.
            self.partial.bytes = packet.bytes;
            self.partial.bytes.clear();
        }
    }

    /// Puts something in place of packets that did not come, where they were sound: the place that is empty is as long as they
    /// were.
    fn conceal(&mut self, missing: usize, next: &Packet, say: &mut impl FnMut(u64, &[i16])) {
        let times = self.times();
        let (Some(decoder), Some(end)) = (&mut self.decoder, self.end) else { return };
        let Some(each) = decoder.samples_of(&next.bytes).filter(|each| *each > 0) else { return };
        let gap = (next.position * times).saturating_sub(end) as usize;
        let length = missing * each;
        // Each packet may have been moved by a sample of 8 kHz.
        let moved = missing.max(1) * times as usize;
        if gap.abs_diff(length) > moved || length > self.rate.samples(CONCEALED_MS_MAX) {
            return;
        }
        // Opus may have the one before in the next.
        let copy = (missing == 1).then_some(&next.bytes[..]);
        if decoder.conceal(copy, &mut self.samples[..length]).is_ok() {
            self.place(end, length, say);
        }
    }

    /// Samples of the ear's rate to one of the 8 kHz in which workers count.
    fn times(&self) -> u64 {
        u64::from(self.rate.hz() / Rate::Narrow.hz())
    }

    /// Says so many of the samples at a place, and closes the joint to what was said before.
    fn place(&mut self, position: u64, length: usize, say: &mut impl FnMut(u64, &[i16])) {
        let (samples, joint) = (&self.samples[..length], self.times());
        match self.end {
            Some(end) if position == end + joint && samples.len() > joint as usize => {
                say(end, &samples[..joint as usize]);
                say(position, samples);
            }
            Some(end) if position + joint == end && samples.len() > joint as usize => {
                say(end, &samples[joint as usize..]);
            }
            _ => say(position, samples),
        }
        self.end = Some(position + length as u64);
    }
}

#[cfg(test)]
#[path = "ear_tests.rs"]
mod tests;
