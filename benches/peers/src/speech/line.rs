//! One call: a phone that speaks, and one that listens and keeps what comes.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sidetone_dsp::Rate;
use sidetone_dsp::codec::{Codec, Encoder, OpusSettings};

use super::player::{Came, play};
use crate::stream::payload_type;

/// A call, with all that is to be sent in it.
pub(crate) struct Line {
    pub(crate) name: String,
    /// What the caller says; nothing where a packet is lost.
    said: Vec<Option<Vec<u8>>>,
    /// Silence in the codec of the called.
    answer: Vec<u8>,
    codecs: (Codec, Codec),
    /// Whether all of it is sent.
    complete: bool,
    /// How long the speech is, in samples.
    length: usize,
    sockets: Option<(UdpSocket, UdpSocket)>,
    /// What came to the called, and when after the first packet of the caller.
    came: Vec<Came>,
}

/// None of our packets is later than that: a part of what a jitter buffer bears.
pub(crate) const LATE_MAX: Duration = Duration::from_millis(20);
/// And none of the server's in a call without losses; where timestamps put them is not changed by that.
pub(crate) const SERVER_LATE_MAX: Duration = Duration::from_millis(50);
const PACKET_MS: usize = 20;
const PACKET: Duration = Duration::from_millis(PACKET_MS as u64);
/// Silence before the speech, so that a server has seen both phones, and after it, so that its last words come out.
const SILENCE_PACKETS: usize = 40;
/// Header of RTP without anything that is optional (RFC 3550, section 5.1).
const HEADER: usize = 12;

impl Line {
    /// Encodes what will be said, and picks what of it is lost: `loss` percent, the same ones for the same seed.
    pub(crate) fn new(
        codecs: (Codec, Codec),
        rate: Rate,
        sound: &[i16],
        (loss, seed): (u32, u64),
        name: String,
    ) -> anyhow::Result<Self> {
        // What a phone prepares for that does not know better.
        let settings = OpusSettings { loss_percent: loss.max(5) as u8, ..OpusSettings::default() };
        let frame = rate.samples(PACKET_MS);
        let mut encoder = Encoder::new(codecs.0, rate, &settings)?;
        let mut packet = |samples: &[i16]| {
            let mut packet = vec![0; codecs.0.payload_bytes_max(PACKET_MS)];
            let length = encoder.encode(samples, &mut packet)?;
            packet.truncate(length);
            anyhow::Ok(packet)
        };
        let silence = vec![0; frame];
        let mut said = Vec::new();
        for _ in 0..SILENCE_PACKETS {
            said.push(Some(packet(&silence)?));
        }
        let mut lost = losses(loss, seed);
        for samples in sound.chunks_exact(frame) {
            said.push(Some(packet(samples)?).filter(|_| !lost()));
        }
        for _ in 0..SILENCE_PACKETS {
            said.push(Some(packet(&silence)?));
        }
        let mut encoder = Encoder::new(codecs.1, rate, &settings)?;
        let mut answer = vec![0; codecs.1.payload_bytes_max(PACKET_MS)];
        let length = encoder.encode(&silence, &mut answer)?;
        answer.truncate(length);
        let length = sound.len() / frame * frame;
        Ok(Self { name, said, answer, codecs, complete: loss == 0, length, sockets: None, came: Vec::new() })
    }

    /// Opens the sockets of both phones and forgets what an earlier run gave.
    pub(crate) fn open(&mut self) -> anyhow::Result<[SocketAddr; 2]> {
        self.came.clear();
        let open = || {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.set_nonblocking(true)?;
            anyhow::Ok(socket)
        };
        let sockets = (open()?, open()?);
        let places = [sockets.0.local_addr()?, sockets.1.local_addr()?];
        self.sockets = Some(sockets);
        Ok(places)
    }

    pub(crate) fn connect(&self, caller: SocketAddr, called: SocketAddr) -> anyhow::Result<()> {
        let sockets = self.sockets.as_ref().context("not open")?;
        sockets.0.connect(caller)?;
        sockets.1.connect(called)?;
        Ok(())
    }

    /// What the called hears of the speech, as long as the speech is: see [`super::Speech`].
    pub(crate) fn heard(&self, codec: Codec, rate: Rate, conceals: bool) -> anyhow::Result<Vec<i16>> {
        let mut heard = play(&self.came, codec, rate, conceals)?;
        heard.drain(..heard.len().min(rate.samples(SILENCE_PACKETS * PACKET_MS)));
        heard.resize(self.length, 0);
        Ok(heard)
    }

    /// How late the latest packet of the server was in the midst of a call of which nothing is lost.
    pub(crate) fn latest(&self) -> Duration {
        let between = SILENCE_PACKETS / 2..self.came.len().saturating_sub(SILENCE_PACKETS / 2);
        let came = self.came.get(between).filter(|_| self.complete).unwrap_or_default();
        let gaps = came.windows(2).map(|two| two[1].at.saturating_sub(two[0].at));
        gaps.max().unwrap_or_default().saturating_sub(PACKET)
    }

    /// Sends the packets of one moment.
    fn send(&self, number: usize) -> anyhow::Result<()> {
        let (caller, called) = self.sockets.as_ref().context("not open")?;
        if let Some(payload) = &self.said[number] {
            send(caller, self.codecs.0, number, payload)?;
        }
        send(called, self.codecs.1, number, &self.answer)
    }

    /// Takes what has come.
    fn take(&mut self, began: Instant) -> anyhow::Result<()> {
        let (caller, called) = self.sockets.as_ref().context("not open")?;
        let mut buffer = [0; 2048];
        while caller.recv(&mut buffer).is_ok() {}
        while let Ok(length) = called.recv(&mut buffer) {
            self.came.extend(Came::of(&buffer[..length], payload_type(self.codecs.1), began.elapsed()));
        }
        Ok(())
    }
}

/// All speak, from the first to the last packet. Gives how late the latest packet was.
pub(crate) fn speak(lines: &mut [Line]) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let mut late = Duration::ZERO;
    let packets = lines.iter().map(|line| line.said.len()).max().unwrap_or_default();
    for number in 0..packets {
        let due = began + PACKET * number as u32;
        loop {
            for line in &mut *lines {
                line.take(began)?;
            }
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            std::thread::sleep(left.min(Duration::from_millis(2)));
        }
        for line in &*lines {
            if number < line.said.len() {
                line.send(number)?;
            }
        }
        late = late.max(due.elapsed());
    }
    Ok(late)
}

fn send(socket: &UdpSocket, codec: Codec, number: usize, payload: &[u8]) -> anyhow::Result<()> {
    let mut packet = Vec::with_capacity(HEADER + payload.len());
    packet.extend([0x80, payload_type(codec)]);
    packet.extend((number as u16).to_be_bytes());
    packet.extend((number as u32 * codec.clock_hz() / 1_000 * PACKET_MS as u32).to_be_bytes());
    packet.extend(u32::from(socket.local_addr()?.port()).to_be_bytes());
    packet.extend_from_slice(payload);
    // What the server's queue does not take is lost: it shows in what comes out.
    drop(socket.send(&packet));
    Ok(())
}

/// Whether the next packet is lost: the same as in `codec_paths` of sidetone-dsp.
fn losses(percent: u32, seed: u64) -> impl FnMut() -> bool {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % 100) < u64::from(percent)
    }
}
