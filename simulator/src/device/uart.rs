//! What a serial line makes of octets when its ends don't agree on the speed.

/// A start bit, eight bits of data, a stop bit.
pub(super) const BITS_OF_AN_OCTET: u64 = 10;

/// What a receiver at `to` Bd hears of octets that are sent at `from` Bd without a pause, as its hardware samples them:
/// it waits for the line to fall, and looks at the middle of each bit.
pub(super) fn heard(octets: &[u8], from: u32, to: u32) -> Vec<u8> {
    if from == to {
        return octets.to_vec();
    }
    // Time in units in which a bit of the sender lasts `to`, a bit of the receiver `from`.
    let (from, to) = (u64::from(from), u64::from(to));
    let bits = octets.len() as u64 * BITS_OF_AN_OCTET;
    let level = |time: u64| {
        let bit = time / to;
        match (octets.get((bit / BITS_OF_AN_OCTET) as usize), bit % BITS_OF_AN_OCTET) {
            (Some(_), 0) => false,
            (Some(octet), place @ 1..=8) => octet >> (place - 1) & 1 != 0,
            _ => true,
        }
    };
    let next_bit = |time: u64| (time / to + 1) * to;
    let (mut time, mut heard) = (0, Vec::new());
    while time < bits * to {
        if level(time) {
            time = next_bit(time);
            continue;
        }
        let middle = |place: u64| time + from * place + from / 2;
        heard.push((0..8).fold(0, |octet, place| octet | u8::from(level(middle(place + 1))) << place));
        time = middle(9);
        // Without a stop bit it waits for the line to rise.
        while !level(time) {
            time = next_bit(time);
        }
    }
    heard
}

#[cfg(test)]
mod tests {
    use super::*;
    use stowage_mercury::Splitter;
    use stowage_mercury::speed::SPEEDS;

    #[test]
    fn at_the_same_speed_all_arrives() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(heard(&all, 9_600, 9_600), all);
        // The receiver's hardware forgives a little.
        assert_eq!(heard(&all, 9_600, 9_650), all);
    }

    #[test]
    fn a_slow_octet_is_many_and_a_fast_one_is_a_part_of_one() {
        assert_eq!(heard(&[0x00], 9_600, 115_200), [0x00], "one long low, and no stop bit until it ends");
        assert_eq!(heard(&[0x55], 9_600, 115_200).len(), 5, "each fall of the line looks like a start");
        assert!(heard(&[0x55; 60], 115_200, 9_600).len() <= 6);
        assert!(heard(&[], 9_600, 115_200).is_empty());
    }

    #[test]
    fn no_command_is_understood_at_a_wrong_speed() {
        let stop = [0xFF, 0x03, 0x2F, 0x00, 0x00, 0x02, 0x5E, 0x86];
        for from in SPEEDS {
            for to in SPEEDS.into_iter().filter(|to| *to != from) {
                let octets = heard(&stop.repeat(20), from, to);
                let (mut splitter, mut rest) = (Splitter::new(), &octets[..]);
                while !rest.is_empty() {
                    splitter.fill(&mut rest);
                    assert_eq!(splitter.next_command(), None, "from {from} to {to}");
                    splitter.clear();
                }
            }
        }
    }
}
