//! Mercury: frames and both ends of a session.

use crate::llrp::{play, run};
use stowage_mercury::{Antennas, Client, Describe, EpcLength, Module, ModuleSettings, Region, Settings, Splitter};

/// Frames are found the same however the stream is cut, and whatever is in one can be told.
pub(crate) fn frame(data: &[u8]) {
    let whole = responses(&[data]);
    let pieces: Vec<_> = data.chunks(3).collect();
    assert_eq!(whole, responses(&pieces));
    for describe in [Describe::ToModule, Describe::FromModule(EpcLength::Bits), Describe::FromModule(EpcLength::Octets)]
    {
        let Ok(told) = describe.frame(data) else { continue };
        assert!(told.tags.into_iter().all(|tag| tag.is_ok()), "a tag of a frame that was found good");
    }
}

fn responses(chunks: &[&[u8]]) -> (Vec<(u8, u16, Vec<u8>)>, u64) {
    let (mut splitter, mut found) = (Splitter::new(), Vec::new());
    for mut chunk in chunks.iter().copied() {
        while !chunk.is_empty() {
            splitter.fill(&mut chunk);
            while let Some(response) = splitter.next_response() {
                found.push((response.opcode.0, response.status.0, response.data.to_vec()));
            }
        }
    }
    (found, splitter.skipped())
}

/// The edge's end bears whatever a module says.
pub(crate) fn client(data: &[u8]) {
    let Some(antennas) = Antennas::new(&[1, 2, 3, 4]) else { unreachable!("four ports") };
    let settings = Settings { baud: 921_600, region: Region::EUROPE_3, read_power_cdbm: 2_700, antennas };
    run(&mut Client::new(settings), data);
}

/// The module's end bears whatever a client says.
pub(crate) fn module(data: &[u8]) {
    play(&mut Module::new(ModuleSettings::default()), data);
}
