//! What one leg knows of its streams is told by one clock and gone on with by another.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use sidetone_rtp_core::event::{EventPayload, EventReceiver};
use sidetone_rtp_core::srtp::{MasterKey, OVERHEAD_MAX, Receiver, Sender, SrtpError, Suite};
use sidetone_rtp_core::{
    Header, Playout, PlayoutConfig, Pulled, ReceiverStats, Reporter, RtpTimestamp, SequenceNumber, Ssrc,
    write_header,
};

fn header(ssrc: u32, sequence: u16, timestamp: u32) -> Header {
    Header {
        ssrc: Ssrc(ssrc),
        sequence: SequenceNumber(sequence),
        timestamp: RtpTimestamp(timestamp),
        ..Header::default()
    }
}

#[test]
fn counts_go_on_and_another_clock_is_no_jitter() {
    let mut here = ReceiverStats::default();
    for n in (0..50u16).filter(|n| n % 10 != 5) {
        here.on_packet(&header(7, 65_520u16.wrapping_add(n), u32::from(n) * 160), 1_000 + u32::from(n) * 160);
    }
    let mut there = ReceiverStats::resume(&here.value());
    assert_eq!((there.received(), there.lost(), there.jitter()), (45, 5, 0));
    for n in 50..100u16 {
        let arrival = 3_000_000_000u32.wrapping_add(u32::from(n) * 160);
        there.on_packet(&header(7, 65_520u16.wrapping_add(n), u32::from(n) * 160), arrival);
    }
    assert_eq!((there.received(), there.lost(), there.jitter()), (95, 5, 0));
    let block = there.report(60_000).unwrap();
    assert_eq!((block.extended_highest, block.last_sr), (0x1_0000 + 83, 0));
}

#[test]
fn a_stream_begins_with_the_delay_that_it_had() {
    let first_sound = |playout: &mut Playout, ssrc: u32, from_us: u64| {
        for n in 0..20u64 {
            let now_us = from_us + n * 20_000;
            playout.insert(&header(ssrc, n as u16, n as u32 * 160), &[5_000; 160], now_us);
            let mut frame = [0; 160];
            let pulled = playout.pull(now_us + 1_000, &mut frame);
            if pulled == Pulled::Sound && frame.iter().any(|sample| *sample != 0) {
                return n * 20;
            }
        }
        panic!("it is never heard");
    };
    let mut least = Playout::new(PlayoutConfig::NARROW);
    let mut playout = Playout::new(PlayoutConfig::NARROW).with_delay_us(90_000);
    let (soon, late) = (first_sound(&mut least, 1, 0), first_sound(&mut playout, 1, 0));
    assert!(soon <= 40 && (60..=100).contains(&late), "{soon} and {late} ms");
    assert!((85_000..=95_000).contains(&playout.delay_us()), "{}", playout.delay_us());
    assert_eq!(first_sound(&mut playout, 2, 10_000_000), soon, "another stream has the least delay again");
}

#[test]
fn a_key_stream_is_used_once_and_nothing_is_played_back() {
    let master = MasterKey::new(Suite::AeadAes128Gcm, &[9; 28]).unwrap();
    let packet = |sequence: u16| {
        let mut packet = [0; 12 + 20 + OVERHEAD_MAX];
        write_header(&mut packet, &header(3, sequence, 0)).unwrap();
        packet
    };
    let (mut sender, mut receiver) = (Sender::new(&master).unwrap(), Receiver::new(&master).unwrap());
    let mut last = (packet(0), 0);
    for n in 0..100u16 {
        let mut sent = packet(65_500u16.wrapping_add(n));
        let length = sender.protect_rtp(&mut sent, 32).unwrap();
        last = (sent, length);
        receiver.open_rtp(&mut sent[..length]).unwrap();
    }
    let (rtp, rtcp_index) = sender.place();
    let mut sender = Sender::new(&master).unwrap().resumed_at(rtp.as_ref(), rtcp_index);
    let (rtp, rtcp) = receiver.places();
    let mut receiver = Receiver::new(&master).unwrap().resumed_at(&rtp, &rtcp);
    assert_eq!(sender.protect_rtp(&mut packet(63), 32), Err(SrtpError::Replayed), "it was used over there");
    assert_eq!(receiver.open_rtp(&mut last.0[..last.1]), Err(SrtpError::Replayed));
    let mut next = packet(64);
    let length = sender.protect_rtp(&mut next, 32).unwrap();
    assert_eq!(receiver.open_rtp(&mut next[..length]), Ok(32), "with the roll-over counter of over there");
}

#[test]
fn a_digit_at_hand_is_told_once() {
    let payload = |end, duration| EventPayload { code: 5, end, volume: 10, duration }.to_bytes();
    let (ssrc, at) = (Ssrc(1), RtpTimestamp(800));
    let mut here = EventReceiver::default();
    assert_eq!(here.receive(ssrc, at, &payload(false, 320)), None);
    let mut there = EventReceiver::resume(here.current());
    assert!(there.is_active());
    assert_eq!(there.receive(ssrc, at, &payload(true, 800)).map(|digit| digit.digit), Some('5'));
    let mut back = EventReceiver::resume(there.current());
    assert_eq!(back.receive(ssrc, at, &payload(true, 800)), None, "the end is sent three times");
}

#[test]
fn the_canonical_name_stays() {
    let here = Reporter::new(0, 0x0123_4567_89AB_CDEF_0123_4567_89AB_CDEF, 0);
    assert_eq!(Reporter::new(5, 6, 7).named(here.name()).name(), here.name());
    let own = Reporter::new(5, 6, 7);
    assert_eq!(own.named("too short").name(), own.name());
}
