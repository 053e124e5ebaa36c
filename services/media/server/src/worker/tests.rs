//! A worker that is held up, on a clock that the test sets.

use std::net::Ipv4Addr;

use rtrb::RingBuffer;
use sidetone_dsp::codec::Codec;
use sidetone_dsp::{Law, Rate};
use sidetone_model::media::{Direction, Encoding, Format, Holder, MediaDescription};
use sidetone_net::Datagram;
use sidetone_rtp_core::{Header, Reporter, RtpTimestamp, SenderState, SequenceNumber, Ssrc, write_header};

use super::*;
use crate::engine::coding::equipment;
use crate::negotiate;
use crate::policy::{Mode, Policy};
use crate::state::{Audio, Incoming, LEG_STATE_VERSION, LegState};
use crate::worker::gate::Gate;
use crate::worker::phases::Phase;
use crate::worker::rings::Route;

/// Comes 1 ms after a quarter, and is played 23 ms later: its room, which has the next quarter, takes it 4 ms after it came.
const CAME_MS: u64 = 1;
const ROOM_PHASE: u64 = 1;

/// A worker with one leg in a room, and who speaks there.
struct Held {
    worker: Worker,
    phone: Datagram,
    sent: u64,
    /// The next turn, on the test's clock.
    due: Duration,
    // Kept open.
    _control: rtrb::Producer<Command>,
    _told: Vec<Box<dyn std::any::Any>>,
}

fn socket() -> Datagram {
    Datagram::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap()
}

fn null() -> File {
    File::options().write(true).open("/dev/null").unwrap()
}

fn leg(phone: &Datagram) -> Box<Leg> {
    let sockets = (socket(), socket());
    let format = Format::new(0, Encoding::Pcmu, 8_000);
    let remote = MediaDescription {
        holder: Holder::Node,
        rtp: phone.local(),
        rtcp: None,
        rtcp_mux: false,
        formats: vec![format],
        direction: Direction::SendRecv,
        ptime_ms: 20,
        secured: false,
        crypto: Vec::new(),
        dtls: None,
        ice: None,
        wants_voip_metrics: false,
    };
    let (_, agreement) = negotiate::answer(sockets.0.local(), &remote, &[Codec::G711(Law::Mu)]).unwrap();
    let mut policy = Policy::new(Mode::Strict);
    policy.describe(remote.rtp);
    let state = LegState {
        version: LEG_STATE_VERSION,
        leg: 1,
        policy,
        rtcp_mux: false,
        rtcp: None,
        agreement: Some(agreement),
        outgoing: SenderState::new(Ssrc(1), SequenceNumber(1), RtpTimestamp(1)),
        incoming: Incoming::default(),
        suite: None,
        audio: Audio::default(),
        tap: None,
        refreshed_ms: 0,
        heard_ms: None,
    };
    Box::new(Leg::new(state, sockets, Reporter::new(0, 1, 0), Gate::new(-54), equipment(None).unwrap()))
}

impl Held {
    fn new() -> Self {
        let (control, commands) = RingBuffer::new(8);
        let (events, told) = RingBuffer::new(64);
        let (frames, framed) = RingBuffer::new(8);
        let (packets, proved) = RingBuffer::new(8);
        let door = Door { packets, told: null() };
        let ends = WorkerEnds { commands, events, frames, door, wake: Wake::new().unwrap(), told: null() };
        let limits = Limits {
            idle_ms: 60_000,
            held_ms: 60_000,
            lifeless_ms: 0,
            extended_reports: RtcpXr::default(),
            batch: Duration::ZERO,
        };
        let mut worker = Worker::new(4, Instant::now(), limits, Arc::default(), ends).unwrap();
        let mut phone = socket();
        let leg = leg(&phone);
        phone.connect(leg.rtp.local()).unwrap();
        let mix = Box::new(Mix::new(4, Rate::Narrow, Phase::of(ROOM_PHASE)));
        worker.handle_command(Command::InsertMix { slot: 0, mix });
        worker.handle_command(Command::Insert { slot: 0, leg });
        worker.handle_command(Command::Connect { slot: 0, route: Route::Mix(0) });
        let told: Vec<Box<dyn std::any::Any>> = vec![Box::new(told), Box::new(framed), Box::new(proved)];
        Self { worker, phone, sent: 0, due: Duration::ZERO, _control: control, _told: told }
    }

    /// The next packet comes.
    fn say(&mut self) {
        let header = Header {
            sequence: SequenceNumber(self.sent as u16),
            timestamp: RtpTimestamp(self.sent as u32 * 160),
            ssrc: Ssrc(7),
            ..Header::default()
        };
        let mut packet = [0x10; 172];
        write_header(&mut packet, &header).unwrap();
        self.phone.send(&packet, self.phone.peer().unwrap()).unwrap();
        self.sent += 1;
    }

    /// The thread goes on at a time of the test's clock.
    fn go_on_at(&mut self, ms: u64) {
        let worker = &mut self.worker;
        worker.epoch = Instant::now() - Duration::from_millis(ms);
        let past = worker.epoch;
        let ready = worker.poller.wait(past).unwrap().count;
        (0..ready).for_each(|n| worker.handle_ready(worker.poller.token(n)));
        let due = worker.epoch + self.due;
        let (next, _) = worker.make_turns(due, ready);
        self.due = next - worker.epoch;
    }

    fn delay_us(&self) -> u32 {
        self.worker.legs[0].as_deref().unwrap().playout.delay_us()
    }
}

#[test]
fn what_came_while_the_thread_was_held_up_is_not_late() {
    let mut held = Held::new();
    for tick in 0..10 {
        held.say();
        held.go_on_at(tick * 20 + CAME_MS);
        held.go_on_at(tick * 20 + 15);
    }
    let before = held.delay_us();
    // Two packets come meanwhile, and wait in the socket.
    held.say();
    held.say();
    held.go_on_at(240);
    for tick in 12..20 {
        held.say();
        held.go_on_at(tick * 20 + CAME_MS);
        held.go_on_at(tick * 20 + 15);
    }
    let heard = &held.worker.legs[0].as_deref().unwrap().playout;
    assert_eq!((heard.counters().late, heard.counters().concealed), (0, 0), "{:?}", heard.counters());
    assert_eq!(held.delay_us(), before, "the network is no slower than before");
}
