//! After construction nothing takes memory.
#![allow(unsafe_code, clippy::unwrap_used, reason = "a counting allocator, in a test")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use sidetone_rtp_core::event::{EventReceiver, EventSender};
use sidetone_rtp_core::rtcp::MAX_COMPOUND;
use sidetone_rtp_core::srtp::{MasterKey, OVERHEAD_MAX, Receiver, Sender, Suite};
use sidetone_rtp_core::{
    Playout, PlayoutConfig, ReceiverStats, Reporter, RtpPacketRef, RtpTimestamp, SenderState, SequenceNumber,
    Ssrc, VoipMetrics, write_header,
};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; the counter itself takes no memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const METRICS: VoipMetrics = VoipMetrics {
    ssrc: Ssrc(1),
    loss_rate: 0,
    discard_rate: 0,
    burst_density: 0,
    gap_density: 0,
    burst_ms: 0,
    gap_ms: 0,
    round_trip_ms: 0,
    end_system_ms: 43,
    rating: 93,
    opinion_listening: 44,
    opinion_conversation: 44,
    playout_ms: 23,
    playout_max_ms: 200,
};

#[test]
fn a_minute_of_a_stream_with_loss_jumps_digits_and_reports() {
    let mut playout = Playout::new(PlayoutConfig::NARROW);
    let mut state = SenderState::new(Ssrc(1), SequenceNumber(65_000), RtpTimestamp(0));
    let mut stats = ReceiverStats::default();
    let mut reporter = Reporter::new(1_700_000_000_000_000, 7, 0);
    let mut receiver = EventReceiver::default();
    let (mut packet, mut out, mut rtcp) = ([0x55; 172], [0; 160], [0; MAX_COMPOUND]);
    let sound = [700; 160];
    let before = ALLOCATIONS.with(Cell::get);
    for tick in 0..3_000u32 {
        let now = u64::from(tick) * 20;
        if tick % 700 == 699 {
            state.timestamp = state.timestamp.plus(1 << 20);
        }
        let header = state.next(0, 160, now);
        write_header(&mut packet, &header).unwrap();
        state.note_sent(160);
        if tick % 13 != 5 {
            let read = RtpPacketRef::parse(&packet).unwrap();
            playout.insert(&read.header, &sound, now * 1_000);
            stats.on_packet(&read.header, tick * 160);
        }
        playout.pull((now + 20) * 1_000, &mut out);
        let mut event = EventSender::new('1', 160, state.timestamp).unwrap();
        while let Some((_, payload)) = event.next_packet(160) {
            receiver.receive(Ssrc(1), event.start, &payload);
        }
        let metrics = VoipMetrics { burst_ms: stats.bursts().summary(20).burst_ms, ..METRICS };
        let n = reporter.write(&state, &mut stats, Some(metrics), now, false, &mut rtcp);
        reporter.read(&rtcp[..n], Ssrc(1), &mut stats, now * 1_000);
    }
    assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0);
    assert!(playout.counters().played > 2_000 && playout.counters().resets > 0);
    drop(std::hint::black_box(Box::new(1u8)));
    assert!(ALLOCATIONS.with(Cell::get) > before, "the counter does count");
}

#[test]
fn protecting_and_opening() {
    for suite in Suite::ALL {
        let master = MasterKey::new(suite, &vec![7; suite.key_len() + suite.salt_len()]).unwrap();
        let (mut sender, mut receiver) = (Sender::new(&master).unwrap(), Receiver::new(&master).unwrap());
        let mut state = SenderState::new(Ssrc(1), SequenceNumber(65_000), RtpTimestamp(0));
        let mut packet = [0x55; 172 + OVERHEAD_MAX];
        let mut control = [0x80; 100 + OVERHEAD_MAX];
        let before = ALLOCATIONS.with(Cell::get);
        for _ in 0..1_000 {
            let header = state.next(0, 160, 20);
            write_header(&mut packet, &header).unwrap();
            let length = sender.protect_rtp(&mut packet, 172).unwrap();
            assert_eq!(receiver.open_rtp(&mut packet[..length]), Ok(172));
            let length = sender.protect_rtcp(&mut control, 100).unwrap();
            assert_eq!(receiver.open_rtcp(&mut control[..length]), Ok(100));
        }
        assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0, "{}", suite.name());
    }
}
