//! A tick takes no memory.
#![allow(unsafe_code, clippy::unwrap_used, reason = "a counting allocator, in a test")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use sidetone_dsp::Law;
use sidetone_mix_core::{MemberId, Mixer};

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
fn a_hundred_ticks_with_joins_and_leaves() {
    let mut mixer = Mixer::new(160, 50);
    let mut ids: Vec<MemberId> = (0..40).map(|_| mixer.join().unwrap()).collect();
    let mut ranking = [ids[0]; 8];
    let before = ALLOCATIONS.with(Cell::get);
    for tick in 0..100usize {
        let member = tick % ids.len();
        mixer.leave(ids[member]);
        ids[member] = mixer.join().unwrap();
        for id in ids.iter().step_by(3) {
            mixer.speak(*id).unwrap().fill(tick as i16);
        }
        mixer.mix();
        for (index, id) in ids.iter().enumerate() {
            mixer.heard_coded(*id, if index % 2 == 0 { Law::Mu } else { Law::A });
        }
        mixer.loudest(&mut ranking);
    }
    assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0);
    // The counter does count.
    drop(std::hint::black_box(Box::new(1u8)));
    assert!(ALLOCATIONS.with(Cell::get) > before);
}
