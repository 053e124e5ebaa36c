//! A room with two phones of each codec on a virtual clock, who speak in turn: of every pair of codecs each hears the other and
//! nobody hears himself, whatever the networks do.

use std::collections::BTreeMap;

use sidetone_dsp::codec::Decoder;
use sidetone_mix_core::{MemberId, Mixer};

use super::*;

/// How long each speaks: 1.2 s.
const TURN: usize = 60;
/// After so many ticks of a turn what is heard is judged: before, the one before may still be under way.
const SETTLED: usize = 25;
/// Sent at -10 dBm0, which is -16 dBov.
const THERE_DBOV: f32 = -22.0;
const AWAY_DBOV: f32 = -45.0;

/// A phone, and what the network does to what it sends.
struct Phone {
    codec: Codec,
    hz: f32,
    network: Network,
    random: Random,
    encoder: Encoder,
    tone: ToneGenerator,
    sent: u32,
    /// Packets under way, by when they come and their number.
    under_way: BTreeMap<(u64, u32), Vec<u8>>,
    decoder: Decoder,
    heard: Vec<i16>,
}

/// Its place in the room.
struct Seat {
    payload_type: u8,
    coding: Coding,
    playout: Playout,
    id: MemberId,
}

impl Phone {
    fn new(n: usize, codec: Codec, network: Network) -> Self {
        let (rate, hz) = (codec.native_rate(), 410.0 + 47.0 * n as f32);
        Self {
            codec,
            hz,
            network,
            random: Random(n as u64 + 1),
            encoder: Encoder::new(codec, rate, &OpusSettings::default()).unwrap(),
            tone: ToneGenerator::new(rate.hz(), &[Tone { freq_hz: hz, level_dbm0: -10.0 }]),
            sent: 0,
            under_way: BTreeMap::new(),
            decoder: Decoder::new(codec, Rate::Narrow).unwrap(),
            heard: Vec::new(),
        }
    }

    /// Sends what is due by its own clock: its tone while `speaks` says so, silence otherwise.
    fn send_until(&mut self, now_us: u64, speaks: impl Fn(u64) -> bool) {
        loop {
            let at = i64::from(self.sent) * 20_000;
            let sent_us = 1_000_000 + (at - at * self.network.drift_ppm / 1_000_000) as u64;
            if sent_us > now_us {
                return;
            }
            let mut sound = vec![0; self.codec.native_rate().samples(20)];
            if speaks(sent_us) {
                self.tone.fill(&mut sound);
            }
            let mut payload = vec![0; self.codec.payload_bytes_max(20)];
            let length = self.encoder.encode(&sound, &mut payload).unwrap();
            payload.truncate(length);
            let comes_us = sent_us + self.random.below(self.network.jitter_us);
            if self.random.below(100) >= self.network.loss_percent {
                self.under_way.insert((comes_us, self.sent), payload);
            }
            self.sent += 1;
        }
    }

    fn hear(&mut self, packet: &[u8]) {
        let mut sound = [0; 960];
        let length = self.decoder.decode(packet, &mut sound).unwrap();
        self.heard.extend_from_slice(&sound[..length]);
    }

    /// How loud a tone is in what it heard, whatever its phase is from block to block.
    fn level_dbov(&self, hz: f32) -> f32 {
        let blocks = self.heard.chunks_exact(800);
        let count = blocks.len() as f32;
        let power: f32 = blocks.map(|block| goertzel::tone_power(block, 8_000, hz)).sum();
        level::dbov_of_mean_square(power / count)
    }
}

impl Seat {
    fn new(codec: Codec, id: MemberId) -> Self {
        let plan = plan(codec, Rate::Wide);
        Self {
            payload_type: plan.receive.audio().unwrap().0,
            coding: Coding::new(&plan).unwrap(),
            playout: Playout::new(PlayoutConfig::of(plan.rate, plan.clock_hz())),
            id,
        }
    }

    /// What has come goes through decoder and playout, as on the worker; 20 ms of it, unless there is silence.
    fn listen(&mut self, phone: &mut Phone, due_us: u64, frame: &mut [i16]) -> bool {
        let Self { coding, playout, .. } = self;
        let mut keep = |heard: Heard<'_>| {
            match &heard.pause {
                Some(noise) => playout.insert_pause(heard.header, noise, heard.at_us),
                None => playout.insert(heard.header, heard.sound, heard.at_us),
            };
        };
        let ticks = phone.codec.clock_hz() / 50;
        while let Some(first) = phone.under_way.first_entry().filter(|first| first.key().0 <= due_us) {
            let ((at_us, n), payload) = first.remove_entry();
            let header = Header {
                payload_type: self.payload_type,
                sequence: SequenceNumber(65_000u16.wrapping_add(n as u16)),
                timestamp: RtpTimestamp(0xffff_0000u32.wrapping_add(n.wrapping_mul(ticks))),
                ..Header::default()
            };
            coding.ear.take(&header, &payload, at_us, &mut keep);
        }
        while playout.lacks(due_us)
            && coding.ear.release(&mut |heard: Heard<'_>| {
                playout.insert(heard.header, heard.sound, heard.at_us);
            })
        {}
        playout.pull(due_us, frame) == Pulled::Sound
    }
}

/// So many turns in a room of two phones of each codec; the first time round nobody is judged, for the networks are still unknown.
fn meet(what: &str, turns: usize, network: impl Fn(usize) -> Network) {
    let codecs: Vec<Codec> = Codec::ALL.into_iter().flat_map(|codec| [codec; 2]).collect();
    let mut mixer = Mixer::new(Rate::Wide.samples(20), codecs.len());
    let mut room: Vec<(Phone, Seat)> = codecs
        .iter()
        .enumerate()
        .map(|(n, codec)| (Phone::new(n, *codec, network(n)), Seat::new(*codec, mixer.join().unwrap())))
        .collect();
    let (members, mut frame) = (room.len(), vec![0; Rate::Wide.samples(20)]);
    let speaker_at = |us: u64| (us - 1_000_000) as usize / (20_000 * TURN) % members;
    for tick in 0..turns * TURN {
        let now_us = 1_000_000 + tick as u64 * 20_000;
        for (n, (phone, seat)) in room.iter_mut().enumerate() {
            phone.send_until(now_us, |us| speaker_at(us) == n);
            if seat.listen(phone, now_us + 7_000, &mut frame) {
                mixer.speak(seat.id).unwrap().copy_from_slice(&frame);
            }
        }
        mixer.mix();
        for (phone, seat) in &mut room {
            let mouth = seat.coding.mouth.as_mut().unwrap();
            mouth.hear(Rate::Wide, mixer.heard(seat.id));
            while let Some(packet) = mouth.packet(20) {
                phone.hear(packet);
            }
        }
        let speaker = speaker_at(now_us);
        if tick % TURN == SETTLED {
            room.iter_mut().for_each(|(phone, _)| phone.heard.clear());
        } else if tick % TURN == TURN - 1 && tick / TURN >= members {
            judge(what, tick / TURN, speaker, &room);
        }
    }
}

fn judge(what: &str, turn: usize, speaker: usize, room: &[(Phone, Seat)]) {
    let said = &room[speaker].0;
    for (n, (phone, _)) in room.iter().enumerate() {
        let heard = phone.level_dbov(said.hz);
        let (from, to) = (said.codec, phone.codec);
        if n == speaker {
            assert!(heard < AWAY_DBOV, "{what}, turn {turn}: {to:?} hears itself at {heard} dBov");
        } else {
            assert!(heard > THERE_DBOV, "{what}, turn {turn}: {to:?} hears {from:?} at {heard} dBov");
        }
    }
}

/// Twice round.
const TURNS: usize = 2 * 2 * Codec::ALL.len();

#[test]
fn every_pair_of_codecs_hears_the_other_whatever_is_lost() {
    for loss_percent in [0, 1, 5, 10] {
        meet(&format!("{loss_percent} % lost"), TURNS, |_| Network { loss_percent, ..Network::default() });
    }
}

#[test]
fn every_pair_of_codecs_hears_the_other_through_jitter_and_disorder() {
    // Packets are 20 ms apart: from 20 ms on they come in another order.
    for (jitter_us, loss_percent) in [(10_000, 0), (40_000, 0), (80_000, 0), (80_000, 5)] {
        let network = Network { jitter_us, loss_percent, ..Network::default() };
        meet(&format!("{} ms of jitter, {loss_percent} % lost", jitter_us / 1_000), TURNS, |_| network);
    }
}

/// Of each codec one phone's clock is too fast and one's too slow: there are 400 ppm between some who hear each other.
#[test]
fn every_pair_of_codecs_hears_the_other_for_ten_minutes_by_clocks_that_differ() {
    let ticks = 600 * 50;
    meet("clocks that differ", ticks / TURN, |n| Network {
        drift_ppm: if n % 2 == 0 { 200 } else { -200 },
        jitter_us: 5_000,
        ..Network::default()
    });
}
