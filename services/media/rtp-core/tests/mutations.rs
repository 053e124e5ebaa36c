//! Everything that reads a stranger's datagram on a media port, against mutations of a committed corpus (testdata/corpus): no
//! panic on any byte string, nothing read that was not sent, and nobody without the key is believed.
//!
//! `SIDETONE_SEED=n` and `SIDETONE_MUTATIONS=n` run others, or more.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says with which seed")]

use std::path::PathBuf;

use sidetone_rtp_core::event::EventReceiver;
use sidetone_rtp_core::packet::{HEADER_LEN, RtpPacketRef, is_rtcp, write_header};
use sidetone_rtp_core::report::ReceiverStats;
use sidetone_rtp_core::rtcp;
use sidetone_rtp_core::srtp::{MasterKey, OVERHEAD_MAX, Receiver, Sender, Suite};
use sidetone_testkit::netem::Dice;

fn corpus() -> Vec<Vec<u8>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/corpus");
    let mut paths: Vec<_> = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let files: Vec<_> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert!(files.len() >= 15, "the corpus is there");
    files
}

fn mutate(bytes: &[u8], other: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for _ in 0..=dice.below(4) {
        let at = dice.below(out.len() as u64 + 1) as usize;
        let end = (at + dice.below(40) as usize).min(out.len());
        match dice.below(7) {
            // Numbers at their ends: lengths, counts, versions.
            0 if at < out.len() => out[at] = [0, 1, 0x7f, 0x80, 0xff][dice.below(5) as usize],
            1 if at < out.len() => out[at] ^= 1 << dice.below(8),
            2 => out.truncate(at),
            3 => drop(out.drain(at..end)),
            4 => {
                let piece = out[at..end].repeat(1 + dice.below(30) as usize);
                out.splice(at..at, piece);
            }
            5 if !other.is_empty() => {
                let from = dice.below(other.len() as u64) as usize;
                out.splice(at..end, other[from..].iter().copied());
            }
            _ => out.insert(at, dice.throw() as u8),
        }
        out.truncate(BYTES_MAX);
    }
    out
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// What one call keeps of what came, over all mutations.
#[derive(Default)]
struct Call {
    events: EventReceiver,
    stats: ReceiverStats,
}

impl Call {
    fn exercise(&mut self, bytes: &[u8]) {
        if let Ok(packet) = RtpPacketRef::parse(bytes) {
            assert!(!is_rtcp(bytes));
            assert_eq!(&bytes[packet.payload_range()], packet.payload);
            let mut head = [0; HEADER_LEN];
            assert_eq!(write_header(&mut head, &packet.header), Ok(HEADER_LEN));
            assert_eq!(head[1..], bytes[1..HEADER_LEN], "the header as it came");
            let event = self.events.receive(packet.header.ssrc, packet.header.timestamp, packet.payload);
            assert!(event.is_none_or(|event| "0123456789*#ABCD".contains(event.digit)));
            self.stats.on_packet(&packet.header, 8000);
            let _report = self.stats.report(1000);
        }
        let mut statements = 0;
        let _faulty = rtcp::read(bytes, |statement| {
            statements += 1;
            if let rtcp::Incoming::SenderReport { ssrc, info } = statement {
                self.stats.on_sender_report(ssrc, info.ntp, 5);
            }
        });
        assert!(statements * 4 <= bytes.len(), "{statements} statements in {} bytes", bytes.len());
    }
}

#[test]
fn no_byte_string_does_harm() {
    let (seed, rounds) = (number("SIDETONE_SEED", 3550), number("SIDETONE_MUTATIONS", 200_000));
    eprintln!("SIDETONE_SEED={seed} SIDETONE_MUTATIONS={rounds}");
    let (files, mut dice, mut call) = (corpus(), Dice::new(seed), Call::default());
    files.iter().for_each(|bytes| call.exercise(bytes));
    for _ in 0..rounds {
        let pick = |dice: &mut Dice| &files[dice.below(files.len() as u64) as usize];
        let (bytes, other) = (pick(&mut dice), pick(&mut dice));
        let mutated = mutate(bytes, other, &mut dice);
        call.exercise(&mutated);
    }
}

fn protected(sender: &mut Sender, packet: &[u8], rtcp: bool) -> Vec<u8> {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + OVERHEAD_MAX, 0);
    let length = match rtcp {
        true => sender.protect_rtcp(&mut buffer, packet.len()),
        false => sender.protect_rtp(&mut buffer, packet.len()),
    };
    buffer.truncate(length.unwrap());
    buffer
}

/// Under each suite: of what was changed on the way nothing is taken, and afterwards the call goes on.
#[test]
fn nothing_changed_is_believed_and_the_call_goes_on() {
    let (seed, rounds) = (number("SIDETONE_SEED", 3711), number("SIDETONE_MUTATIONS", 40_000) / 4);
    eprintln!("SIDETONE_SEED={seed}, {rounds} mutations for each suite");
    let files = corpus();
    for suite in Suite::ALL {
        let mut dice = Dice::new(seed);
        let key: Vec<u8> = (0..suite.key_len() + suite.salt_len()).map(|n| n as u8 ^ 0x5a).collect();
        let master = MasterKey::new(suite, &key).unwrap();
        let (mut sender, mut receiver) = (Sender::new(&master).unwrap(), Receiver::new(&master).unwrap());
        let mut sequence = 0u16;
        for round in 0..rounds {
            let rtcp = round % 3 == 0;
            let packet = if rtcp {
                let mut report = vec![0x80, 201, 0, 1];
                report.extend(0x1122_3344_u32.to_be_bytes());
                report
            } else {
                sequence = sequence.wrapping_add(1);
                let mut packet = vec![0x80, 0];
                packet.extend(sequence.to_be_bytes());
                packet.extend((u32::from(sequence) * 160).to_be_bytes());
                packet.extend(0x1122_3344_u32.to_be_bytes());
                packet.extend([round as u8; 40]);
                packet
            };
            let good = protected(&mut sender, &packet, rtcp);
            let other = &files[dice.below(files.len() as u64) as usize];
            let mut changed = mutate(&good, other, &mut dice);
            if changed != good {
                assert!(receiver.open_rtp(&mut changed.clone()).is_err(), "{suite:?} RTP, round {round}");
                assert!(receiver.open_rtcp(&mut changed).is_err(), "{suite:?} RTCP, round {round}");
            }
            let mut good = good;
            let opened = if rtcp { receiver.open_rtcp(&mut good) } else { receiver.open_rtp(&mut good) };
            assert_eq!(&good[..opened.unwrap()], packet, "{suite:?}, round {round}");
        }
    }
}

/// As much as an Ethernet frame carries, and a little more.
const BYTES_MAX: usize = 2048;
