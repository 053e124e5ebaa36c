//! What goes out: a tone every 20 ms, digits and markers in its place.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use sidetone_dsp::tone::{Tone, ToneGenerator};

use super::{FRAME, FRAME_TIME, RATE, Shared, TONE_DBM0};
use crate::coding::{Format, Voice};
use crate::line::BadLine;
use crate::marker;
use crate::netem::Netem;

/// The thread that sends.
pub(super) struct Sender {
    socket: UdpSocket,
    shared: Arc<Shared>,
    tone: ToneGenerator,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    event: Option<Event>,
    voice: Voice,
    /// Whether a first packet of sound has gone.
    spoke: bool,
    /// Of the RTP clock in a frame.
    ticks: u32,
    network: Option<Netem<(SocketAddr, Vec<u8>)>>,
    /// What is left to send of a marker.
    marker: &'static [i16],
}

/// A digit on its way.
struct Event {
    code: u8,
    start: u32,
    frames: u16,
}

impl Sender {
    pub(super) fn new(socket: UdpSocket, shared: Arc<Shared>, tone_hz: Option<f32>) -> Self {
        let tones: Vec<Tone> =
            tone_hz.map(|freq_hz| Tone { freq_hz, level_dbm0: TONE_DBM0 }).into_iter().collect();
        let seed = crate::phone::random();
        Self {
            socket,
            shared,
            tone: ToneGenerator::new(RATE, &tones),
            sequence: seed as u16,
            timestamp: (seed >> 16) as u32,
            ssrc: (seed >> 32) as u32,
            event: None,
            voice: Voice::default(),
            spoke: false,
            ticks: FRAME as u32,
            network: None,
            marker: &[],
        }
    }

    pub(super) fn run(mut self) {
        let mut deadline = Instant::now();
        while !self.shared.stop.load(Ordering::Relaxed) {
            let (to, event_type, line) = self.orders(deadline);
            let mut samples = [0i16; FRAME];
            self.tone.fill(&mut samples);
            if let Some((part, rest)) = self.marker.split_at_checked(FRAME) {
                samples.copy_from_slice(part);
                self.marker = rest;
            }
            if let Some((to, format)) = to {
                let packet = self.frame(format, event_type, &samples);
                let packet = match &line {
                    Some(line) => line.pass(&packet),
                    None => packet.into(),
                };
                match &mut self.network {
                    Some(network) => network.send((to, packet.into_owned()), Instant::now()),
                    // A far end that is gone shows in what is received, not here.
                    None => drop(self.socket.send_to(&packet, to)),
                }
            }
            self.timestamp = self.timestamp.wrapping_add(self.ticks);
            deadline += FRAME_TIME;
            self.wait(deadline);
        }
    }

    /// What is to be done with the frame that was due then.
    #[expect(clippy::type_complexity, reason = "three things that are read under one lock")]
    fn orders(
        &mut self,
        deadline: Instant,
    ) -> (Option<(SocketAddr, Format)>, Option<u8>, Option<Arc<BadLine>>) {
        let shared = Arc::clone(&self.shared);
        let mut out = shared.out();
        if self.event.is_none() {
            let digit = out.digits.pop_front();
            self.event = digit.map(|code| Event { code, start: self.timestamp, frames: 0 });
        }
        out.sent += u64::from(out.to.is_some());
        if out.to.is_some() {
            out.pace.count(Instant::now().saturating_duration_since(deadline));
            if std::mem::take(&mut out.mark) {
                out.marked = Some(Instant::now());
                self.marker = marker::samples();
            }
        }
        if let Some((seed, conditions)) = out.network.take() {
            self.network = Some(Netem::new(seed, conditions));
        }
        (out.to, out.event_payload_type, out.line.clone())
    }

    /// The packet of a frame: of a digit while one is dialled, of sound otherwise.
    fn frame(&mut self, format: Format, event_type: Option<u8>, samples: &[i16; FRAME]) -> Vec<u8> {
        self.ticks = format.codec.clock_hz() / FRAMES_PER_SECOND;
        match (self.event.as_mut(), event_type) {
            (Some(event), Some(kind)) => {
                event.frames += 1;
                let (start, payload) = (event.start, event_payload(event));
                let marker = event.frames == 1;
                if event.frames >= EVENT_FRAMES + EVENT_ENDS {
                    self.event = None;
                }
                self.packet(kind, marker, start, &payload)
            }
            _ => {
                let payload = self.voice.encode(format.codec, samples);
                let first = !std::mem::replace(&mut self.spoke, true);
                self.packet(format.payload_type, first, self.timestamp, &payload)
            }
        }
    }

    /// Until the next frame is due. What the network has delivered in the meantime goes out.
    fn wait(&mut self, deadline: Instant) {
        loop {
            let now = Instant::now();
            let mut next = deadline;
            if let Some(network) = &mut self.network {
                while let Some((to, packet)) = network.receive(now) {
                    drop(self.socket.send_to(&packet, to));
                }
                next = network.next_arrival().map_or(deadline, |arrival| arrival.min(deadline));
            }
            std::thread::sleep(next.saturating_duration_since(now));
            if next == deadline {
                return;
            }
        }
    }

    fn packet(&mut self, payload_type: u8, marker: bool, timestamp: u32, payload: &[u8]) -> Vec<u8> {
        let mut packet = Vec::with_capacity(12 + payload.len());
        packet.extend_from_slice(&[0x80, payload_type | (u8::from(marker) << 7)]);
        packet.extend_from_slice(&self.sequence.to_be_bytes());
        packet.extend_from_slice(&timestamp.to_be_bytes());
        packet.extend_from_slice(&self.ssrc.to_be_bytes());
        packet.extend_from_slice(payload);
        self.sequence = self.sequence.wrapping_add(1);
        packet
    }
}

/// Event, end bit and volume, duration (RFC 4733, section 2.3). The end goes out three times.
fn event_payload(event: &Event) -> [u8; 4] {
    let ended = event.frames > EVENT_FRAMES;
    let duration = event.frames.min(EVENT_FRAMES) * FRAME as u16;
    let [high, low] = duration.to_be_bytes();
    [event.code, if ended { 0x80 | EVENT_VOLUME } else { EVENT_VOLUME }, high, low]
}

const FRAMES_PER_SECOND: u32 = 50;
const EVENT_FRAMES: u16 = 5;
const EVENT_ENDS: u16 = 3;
const EVENT_VOLUME: u8 = 10;
