//! What a handheld is given at its enrolment, and what it makes of it.

use crate::flash::crc;
use heapless::Vec;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use stowage_base::{Code, Language};
use stowage_link::{EnrolmentKey, Random};

/// Most octets of a stored enrolment.
pub const ENROLMENT_LEN_MAX: usize = 192;

/// A handheld's identity and secrets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// Its name at the edge.
    pub device: Code,
    /// What it shares with the edge.
    pub key: EnrolmentKey,
    /// From a good generator, another for each handheld: what its own random values derive from.
    pub seed: [u8; 32],
    /// Whose it is to begin with.
    pub worker: Code,
    /// The worker's language.
    pub language: Language,
}

impl Enrolment {
    /// As it is stored: length, postcard, CRC-32 of both.
    pub fn encode(&self) -> Vec<u8, ENROLMENT_LEN_MAX> {
        let mut octets = Vec::new();
        let mut body = [0; ENROLMENT_LEN_MAX - 5];
        // Two codes, two times 32 octets and three more: it fits (tested).
        if let Ok(body) = postcard::to_slice(self, &mut body) {
            let _ = octets.push(body.len() as u8);
            let _ = octets.extend_from_slice(body);
            let _ = octets.extend_from_slice(&crc(&octets).to_le_bytes());
        }
        octets
    }

    /// What is stored at the front of `octets`; `None` if it isn't whole.
    pub fn decode(octets: &[u8]) -> Option<Self> {
        let (content, rest) = octets.split_at_checked(1 + usize::from(*octets.first()?))?;
        (*rest.first_chunk()? == crc(content).to_le_bytes()).then_some(())?;
        postcard::from_bytes(&content[1..]).ok()
    }

    /// The random value of a connection: the n-th of this boot. The same pair must never come again.
    pub fn random(&self, boot: u32, nth: u32) -> Random {
        let hash = Sha256::new().chain_update(self.seed).chain_update(boot.to_le_bytes());
        let hash = hash.chain_update(nth.to_le_bytes()).finalize();
        let mut random = Random::default();
        random.iter_mut().zip(hash).for_each(|(octet, from)| *octet = from);
        random
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stowage_base::code;

    fn enrolment() -> Enrolment {
        let long = code("WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW").expect("short");
        let language = Language::German;
        Enrolment { device: long.clone(), key: [0xFF; 32], seed: [0xFE; 32], worker: long, language }
    }

    #[test]
    fn the_longest_is_read_back_and_a_damaged_one_is_not() {
        let mut octets = enrolment().encode();
        assert!(Enrolment::decode(&octets).is_some_and(|read| read == enrolment()));
        for at in 0..octets.len() {
            octets[at] ^= 4;
            assert!(Enrolment::decode(&octets).is_none(), "octet {at}");
            octets[at] ^= 4;
        }
        assert!(Enrolment::decode(&[0xFF; ENROLMENT_LEN_MAX]).is_none() && Enrolment::decode(&[]).is_none());
    }

    #[test]
    fn each_connection_has_a_random_of_its_own() {
        let (it, seeds) = (enrolment(), [(1, 1), (1, 2), (2, 1)]);
        let other = Enrolment { seed: [1; 32], ..enrolment() };
        let randoms = seeds.map(|(boot, nth)| it.random(boot, nth));
        assert!(randoms[0] != randoms[1] && randoms[0] != randoms[2] && randoms[1] != randoms[2]);
        assert_ne!(other.random(1, 1), randoms[0]);
    }
}
