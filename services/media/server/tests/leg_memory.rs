//! What a leg takes of memory, to the byte: so much of it is there once for each phone that it must not grow unnoticed.
#![allow(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, Ordering};

use pb::connect_leg_request::To;
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_server::Media as _;
use support::*;
use tonic::Request;

struct Counting;

static HELD: AtomicI64 = AtomicI64::new(0);

// SAFETY: everything is handed to the system's allocator unchanged; counting takes no memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const LEGS: u32 = 798;
/// Of the heap, on the worker and in the books of a node, for each leg of a bridge; 12,200 when this was written.
const BRIDGED_BYTES_MAX: i64 = 14_000;
/// The same in rooms of three, of which each leg has a third.
const ROOM_BYTES_MAX: i64 = 20_480;

/// What each of many legs takes that are connected so, by its number; and their node, whose end would be counted as well.
async fn bytes_a_leg(to: impl Fn(u32) -> Option<To>) -> (i64, TestNode) {
    let node = node_with(|config| config.legs_max = LEGS as usize).await;
    let far = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let formats = [(0, "PCMU"), (101, "telephone-event")];
    let offer = description(far.local_addr().unwrap(), &formats, 20);
    let before = HELD.load(Ordering::Relaxed);
    for n in 0..LEGS {
        node.media.create_leg(Request::new(create(n, Some(offer.clone())))).await.unwrap();
        if let Some(to) = to(n) {
            node.connect(&uuid(n), to).await;
        }
    }
    ((HELD.load(Ordering::Relaxed) - before) / i64::from(LEGS), node)
}

/// One after the other: whatever the process holds is counted.
#[tokio::test(flavor = "multi_thread")]
async fn a_leg_stays_small() {
    let (bridged, _first) = bytes_a_leg(|n| (n % 2 == 1).then(|| To::PeerLegId(uuid(n - 1)))).await;
    let (in_rooms, _second) = bytes_a_leg(|n| Some(To::MixId(format!("room{}", n / 3)))).await;
    eprintln!("{bridged} bytes a leg of a bridge, {in_rooms} a leg of a room of three");
    assert!(bridged < BRIDGED_BYTES_MAX, "{bridged} bytes a leg of a bridge");
    assert!(in_rooms < ROOM_BYTES_MAX, "{in_rooms} bytes a leg of a room of three");
}
