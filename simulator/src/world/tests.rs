use super::*;
use proptest::prelude::*;

const DOOR: SpotIx = SpotIx(0);
const READER: DeviceIx = DeviceIx(0);

fn doorway(seed: u64) -> World {
    let mut world = World::new(seed);
    let spot = world.add_spot(Spot { outer: ZoneIx(0), inner: ZoneIx(1) });
    let antenna = |port, x_mm| AntennaSpec { port, spot, x_mm };
    let antennas = vec![antenna(1, -1_000), antenna(2, 1_000)];
    world.add_reader(ReaderSpec { antennas, ..ReaderSpec::fcc(READER) });
    world
}

fn epc(serial: u8) -> Epc {
    Epc::new(&[0x30, 0x39, 0x5D, 0xFA, 0x81, 0xB7, 0xD8, 0x40, 0, 0, 0, serial]).expect("twelve octets")
}

fn epcs(count: u8) -> Vec<Epc> {
    (1..=count).map(epc).collect()
}

fn ms(millis: i64) -> Timestamp {
    Timestamp::EPOCH + Duration::from_millis(millis)
}

fn look(world: &mut World, antenna: u16, start: Timestamp, end: Timestamp) -> Vec<TagRead> {
    let mut reads = Vec::new();
    world.air(READER).interrogate(antenna, 3_000, start, end, &mut |read| reads.push(*read));
    reads
}

/// Both antennas by turns of 200 ms, for so many of them.
fn watch(world: &mut World, turns: i64) -> Vec<TagRead> {
    (0..turns).flat_map(|turn| look(world, 1 + (turn % 2) as u16, ms(200 * turn), ms(200 * (turn + 1)))).collect()
}

#[test]
fn the_same_seed_hears_the_same_and_another_does_not() {
    let run = |seed| {
        let mut world = doorway(seed);
        world.walk(ms(0), DOOR, &epcs(5), Direction::In, Course::Through, 1_200);
        watch(&mut world, 60)
    };
    assert!(run(1).len() > 200);
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn what_others_do_elsewhere_changes_nothing_here() {
    let run = |others: u8| {
        let mut world = doorway(1);
        let elsewhere = world.add_spot(Spot { outer: ZoneIx(2), inner: ZoneIx(3) });
        for other in 0..others {
            world.walk(ms(0), elsewhere, &[epc(100 + other)], Direction::In, Course::Through, 1_200);
        }
        world.place(ms(0), epc(1), READER, 1, 2_000).expect("there is antenna 1");
        look(&mut world, 1, ms(0), ms(500))
    };
    assert_eq!(run(0), run(3));
}

proptest! {
    #[test]
    fn windows_without_gaps_hear_what_one_window_hears(cuts in proptest::collection::btree_set(1_i64..3_000_000, 0..40)) {
        let world = || {
            let mut world = doorway(3);
            world.walk(ms(-3_000), DOOR, &epcs(8), Direction::In, Course::Through, 1_500);
            world
        };
        let whole = look(&mut world(), 2, ms(0), ms(3_000));
        let mut world = world();
        let mut pieces = Vec::new();
        let mut start = ms(0);
        for end in cuts.into_iter().map(Timestamp::from_micros).chain([ms(3_000)]) {
            let reads = look(&mut world, 2, start, end);
            prop_assert!(reads.iter().all(|read| start < read.at && read.at <= end));
            pieces.extend(reads);
            start = end;
        }
        prop_assert_eq!(pieces, whole);
    }
}

#[test]
fn a_tag_alone_is_read_seventy_times_a_second_and_many_share() {
    let mut world = doorway(1);
    world.place(ms(0), epc(1), READER, 1, 1_500).expect("there is antenna 1");
    let alone = look(&mut world, 1, ms(0), ms(10_000)).len();
    assert!((680..=715).contains(&alone), "{alone}");
    for serial in 2..=50 {
        world.place(ms(0), epc(serial), READER, 1, 1_500).expect("there is antenna 1");
    }
    let together = look(&mut world, 1, ms(0), ms(10_000));
    assert!((1_500..=2_700).contains(&together.len()), "{}", together.len());
    let fewest = epcs(50).iter().map(|epc| together.iter().filter(|read| read.epc == *epc).count()).min();
    assert!(fewest >= Some(25), "{fewest:?}");
    assert!(together.is_sorted_by_key(|read| read.at));
}

#[test]
fn a_pass_peaks_at_the_antennas_in_the_order_of_its_direction() {
    let mut right = 0;
    for seed in 0..50 {
        for (direction, first, last) in [(Direction::In, 1, 2), (Direction::Out, 2, 1)] {
            let mut world = doorway(seed);
            world.walk(ms(0), DOOR, &[epc(1)], direction, Course::Through, 1_200);
            let reads = watch(&mut world, 60);
            let centre = |antenna| {
                let loud = reads
                    .iter()
                    .filter(|read| read.antenna == antenna)
                    .map(|read| (libm::pow(10.0, f64::from(read.rssi_cdbm) / 1_000.0), read.at.micros() as f64));
                let (sum, moment) = loud.fold((0.0, 0.0), |(sum, moment), (mw, at)| (sum + mw, moment + mw * at));
                moment / sum
            };
            assert!(reads.len() > 60, "{}", reads.len());
            right += usize::from(centre(first) < centre(last));
        }
    }
    assert!(right >= 98, "{right} of 100");
}

#[test]
fn truth_follows_the_walk() {
    let mut world = doorway(1);
    let through = world.walk(ms(0), DOOR, &epcs(3), Direction::In, Course::Through, 1_000);
    let back = world.walk(ms(0), DOOR, &[epc(9)], Direction::In, Course::TurnBack, 1_000);
    for epc in epcs(3) {
        assert_eq!(world.zone(&epc, ms(2_000)), Some(ZoneIx(0)));
        assert_eq!(world.zone(&epc, through), Some(ZoneIx(1)));
        assert!(world.position(&epc, ms(2_000)).is_some() && world.position(&epc, through).is_none());
    }
    assert!((0..12).all(|second| world.zone(&epc(9), ms(1_000 * second)) == Some(ZoneIx(0))));
    assert_eq!(look(&mut world, 1, back, back + Duration::from_secs(1)), [], "gone out of reach");
    world.stow(epc(9), ZoneIx(4));
    assert_eq!(world.zone(&epc(9), back), Some(ZoneIx(4)));
    assert!(world.remove(&epc(9)) && !world.remove(&epc(9)));
    assert_eq!(world.zone(&epc(9), back), None);
    let refused = world.place(back, epc(1), READER, 3, 1_000);
    assert_eq!(refused, Err(WorldError::NoAntenna { device: READER, port: 3 }));
}

#[test]
fn a_still_tag_keeps_its_strength_within_the_measured_noise_on_one_channel() {
    let mut world = doorway(5);
    world.place(ms(0), epc(1), READER, 1, 2_000).expect("there is antenna 1");
    let reads = look(&mut world, 1, ms(0), ms(60_000));
    let channel = reads[0].frequency_khz;
    let here: Vec<i16> = reads.iter().filter(|read| read.frequency_khz == channel).map(|read| read.rssi_cdbm).collect();
    let spread = here.iter().max().zip(here.iter().min()).map(|(max, min)| max - min);
    assert!(here.len() > 30 && spread < Some(250), "{spread:?} of {}", here.len());
    let channels: BTreeSet<_> = reads.iter().map(|read| read.frequency_khz).collect();
    assert_eq!(channels.len(), 50);
}

#[test]
fn every_machine_and_every_build_hears_this() {
    let mut world = doorway(42);
    world.walk(ms(0), DOOR, &epcs(6), Direction::Out, Course::Pause(Duration::from_secs(2)), 1_300);
    let digest = watch(&mut world, 60).iter().fold(0_u64, |digest, read| {
        let TagRead { epc, antenna, rssi_cdbm, at, frequency_khz, phase, .. } = read;
        let rest = (*rssi_cdbm as u64) << 32 ^ at.micros() as u64 ^ u64::from(frequency_khz.unwrap_or(0)) << 20;
        (digest.rotate_left(7) ^ epc.hash64() ^ rest ^ u64::from(*antenna)).wrapping_add(phase.unwrap_or(0).into())
    });
    assert_eq!(digest, 7_639_697_123_167_655_654);
}
