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

const LEGS: u32 = 800;
/// Of the heap, on the worker and in the books of a node; 12,200 when this was written.
const BYTES_MAX: i64 = 14_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_bridged_leg_stays_small() {
    let node = node_with(|config| config.legs_max = LEGS as usize).await;
    let far = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let formats = [(0, "PCMU"), (101, "telephone-event")];
    let offer = description(far.local_addr().unwrap(), &formats, 20);
    let before = HELD.load(Ordering::Relaxed);
    for n in 0..LEGS {
        node.media.create_leg(Request::new(create(n, Some(offer.clone())))).await.unwrap();
        if n % 2 == 1 {
            node.connect(&uuid(n), To::PeerLegId(uuid(n - 1))).await;
        }
    }
    let bytes = (HELD.load(Ordering::Relaxed) - before) / i64::from(LEGS);
    eprintln!("{bytes} bytes a leg");
    assert!(bytes < BYTES_MAX, "{bytes} bytes a leg");
}
