//! From a reader's octets to the belief about its tags nothing is allocated: counted, over 100,000 reads.

#![allow(unsafe_code, reason = "the counting allocator has to implement GlobalAlloc")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use stowage::pipeline::{self, Pipeline};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator as it came; counting touches a thread's own cell, which needs no
// allocation itself.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's contract is the system's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: as above.
        unsafe { System.realloc(old, layout, size) }
    }
    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn the_way_of_a_read_allocates_nothing_in_steady_state() {
    let recording = pipeline::record(4, 100, 1_200).expect("four antennas");
    let mut chain = Pipeline::new(4).expect("four antennas");
    let (first, rest) = recording.split_at(recording.len() / 6);
    for (now, octets) in first {
        chain.receive(*now, octets);
    }
    assert_eq!(chain.placed(), 100, "warm: every tag is placed");
    let (heard, before) = (chain.heard(), ALLOCATIONS.get());
    for (now, octets) in rest {
        chain.receive(*now, octets);
    }
    let allocated = ALLOCATIONS.get() - before;
    let heard = chain.heard() - heard;
    assert!(heard >= 90_000, "{heard} reads");
    assert_eq!(allocated, 0, "allocations for {heard} reads");
}
