//! After construction nothing takes memory.
#![allow(unsafe_code, clippy::unwrap_used, reason = "a counting allocator, in a test")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use sidetone_rtp_core::event::{EventReceiver, EventSender};
use sidetone_rtp_core::report::ReceiverStats;
use sidetone_rtp_core::rtcp::{MAX_COMPOUND, Outgoing, read};
use sidetone_rtp_core::srtp::{MasterKey, OVERHEAD_MAX, Receiver, Sender, Suite};
use sidetone_rtp_core::{
    JitterBuffer, JitterConfig, RtpPacketRef, RtpTimestamp, SenderState, SequenceNumber, Ssrc,
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

#[test]
fn a_minute_of_a_stream_with_loss_jumps_digits_and_reports() {
    let mut buffer = JitterBuffer::new(JitterConfig::default());
    let mut state = SenderState::new(Ssrc(1), SequenceNumber(65_000), RtpTimestamp(0));
    let mut stats = ReceiverStats::new(Ssrc(1), SequenceNumber(65_000));
    let mut receiver = EventReceiver::default();
    let (mut packet, mut out, mut rtcp) = ([0x55; 172], [0; 160], [0; MAX_COMPOUND]);
    let before = ALLOCATIONS.with(Cell::get);
    for tick in 0..3_000u32 {
        let now = u64::from(tick) * 20;
        if tick % 700 == 699 {
            state.skip(1 << 20, false);
        }
        state.write_next(&mut packet, 0, 160, 160).unwrap();
        if tick % 13 != 5 {
            let read = RtpPacketRef::parse(&packet).unwrap();
            buffer.insert(&read.header, read.payload, now);
            stats.on_packet(read.header.sequence, read.header.timestamp, tick * 160);
        }
        buffer.pull(&mut out);
        let mut event = EventSender::new('1', 160, state.timestamp).unwrap();
        while let Some((_, payload)) = event.next_packet(160) {
            receiver.receive(Ssrc(1), event.start, &payload);
        }
        let report = Some(stats.report(now));
        let compound = Outgoing { ssrc: Ssrc(1), sender: None, report, cname: "node", bye: false };
        let n = compound.write(&mut rtcp).unwrap();
        read(&rtcp[..n], |_| {}).unwrap();
    }
    assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0);
    assert!(buffer.counters().played > 2_000 && buffer.counters().resets > 0);
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
            state.write_next(&mut packet, 0, 160, 160).unwrap();
            let length = sender.protect_rtp(&mut packet, 172).unwrap();
            assert_eq!(receiver.open_rtp(&mut packet[..length]), Ok(172));
            let length = sender.protect_rtcp(&mut control, 100).unwrap();
            assert_eq!(receiver.open_rtcp(&mut control[..length]), Ok(100));
        }
        assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0, "{}", suite.name());
    }
}
