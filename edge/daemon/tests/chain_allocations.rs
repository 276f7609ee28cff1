//! From a reader's octets to the belief about its tags nothing is allocated: counted, over 100,000 reads.

#[path = "../../../tests/include/allocations.rs"]
mod allocations;

use allocations::allocations;
use stowage::pipeline::{self, Pipeline};

#[test]
fn the_way_of_a_read_allocates_nothing_in_steady_state() {
    let recording = pipeline::record(4, 100, 1_200).expect("four antennas");
    let mut chain = Pipeline::new(4).expect("four antennas");
    let (first, rest) = recording.split_at(recording.len() / 6);
    for (now, octets) in first {
        chain.receive(*now, octets);
    }
    assert_eq!(chain.placed(), 100, "warm: every tag is placed");
    let (heard, before) = (chain.heard(), allocations());
    for (now, octets) in rest {
        chain.receive(*now, octets);
    }
    let allocated = allocations() - before;
    let heard = chain.heard() - heard;
    assert!(heard >= 90_000, "{heard} reads");
    assert_eq!(allocated, 0, "allocations for {heard} reads");
}
