//! The log under cuts of power at every operation of the flash, and under flipped bits.

extern crate std;

use super::*;
use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::string::ToString;
use std::vec;
use std::vec::Vec;
use stowage_base::{CODE_LEN_MAX, Code, Epc, IntentBody, ItemRef, Timestamp, code};

/// One operation of a flash, which a cut may end half done.
#[derive(Debug, Clone)]
enum Op {
    Program(usize, [u8; 4]),
    Erase(usize),
}

/// NOR flash in RAM: programming clears bits, erasing sets those of a sector. Strict: a word is programmed once, and
/// after that with zeros alone.
#[derive(Debug, Clone)]
struct Nor<const SECTOR: usize> {
    octets: Vec<u8>,
    ops: Vec<Op>,
    erasures: Vec<u32>,
    /// Each write does its work, and says that it has not.
    failing: bool,
}

impl<const SECTOR: usize> Nor<SECTOR> {
    /// As it comes from the dealer: not even erased.
    fn new(sectors: usize) -> Self {
        Self { octets: vec![0x5A; sectors * SECTOR], ops: vec![], erasures: vec![0; sectors], failing: false }
    }

    fn act(&mut self, op: &Op) {
        match op {
            Op::Program(at, word) => self.octets[*at..].iter_mut().zip(word).for_each(|(octet, new)| *octet &= new),
            Op::Erase(at) => {
                self.erasures[at / SECTOR] += 1;
                self.octets[*at..at + SECTOR].fill(u8::MAX);
            }
        }
    }

    /// The power goes during `op`: any of its bits may have changed, or not.
    fn cut(&mut self, op: &Op, chance: &mut Chance) {
        match op {
            Op::Program(at, word) => {
                for (octet, new) in self.octets[*at..].iter_mut().zip(word) {
                    *octet &= new | chance.octet();
                }
            }
            Op::Erase(at) => {
                let whole = chance.octet();
                for octet in &mut self.octets[*at..at + SECTOR] {
                    *octet |= if chance.octet() < whole { u8::MAX } else { chance.octet() };
                }
            }
        }
    }
}

#[derive(Debug)]
struct Failed;

impl NorFlashError for Failed {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl<const SECTOR: usize> ErrorType for Nor<SECTOR> {
    type Error = Failed;
}

impl<const SECTOR: usize> ReadNorFlash for Nor<SECTOR> {
    const READ_SIZE: usize = 1;
    fn read(&mut self, offset: u32, octets: &mut [u8]) -> Result<(), Failed> {
        octets.copy_from_slice(&self.octets[offset as usize..][..octets.len()]);
        Ok(())
    }
    fn capacity(&self) -> usize {
        self.octets.len()
    }
}

impl<const SECTOR: usize> NorFlash for Nor<SECTOR> {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = SECTOR;
    fn erase(&mut self, from: u32, to: u32) -> Result<(), Failed> {
        assert!((from as usize).is_multiple_of(SECTOR) && (to - from) as usize == SECTOR, "one sector at a time");
        let op = Op::Erase(from as usize);
        self.act(&op);
        self.ops.push(op);
        Ok(())
    }
    fn write(&mut self, offset: u32, octets: &[u8]) -> Result<(), Failed> {
        assert!(offset.is_multiple_of(4) && octets.len().is_multiple_of(4), "whole words");
        for (index, word) in octets.chunks_exact(4).enumerate() {
            let at = offset as usize + 4 * index;
            let blank = self.octets[at..at + 4] == [u8::MAX; 4];
            assert!(blank || word == [0; 4], "the word at {at:#x} is programmed again, and not with zeros");
            let op = Op::Program(at, word.try_into().expect("four"));
            self.act(&op);
            self.ops.push(op);
        }
        if self.failing { Err(Failed) } else { Ok(()) }
    }
}

impl<const SECTOR: usize> MultiwriteNorFlash for Nor<SECTOR> {}

/// Enough chance for bits (xorshift64*).
struct Chance(u64);

impl Chance {
    fn octet(&mut self) -> u8 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 56) as u8
    }

    fn below(&mut self, end: usize) -> usize {
        usize::from_le_bytes(std::array::from_fn(|_| self.octet())) % end
    }
}

const SECTORS: usize = 8;

type Small = FlashStore<Nor<512>, SECTORS>;

fn small() -> Small {
    Small::mount(Nor::new(SECTORS)).expect("the size fits")
}

fn intent(seq: u32, body: IntentBody) -> Intent {
    Intent { seq, at: Timestamp::from_micros(1_795_558_200_000_000 + i64::from(seq)), worker: name("W-7"), body }
}

fn name(text: &str) -> Code {
    code(text).expect("short")
}

/// The longest that the application makes: AI (10) and AI (21) have 20 octets at most, codes [`CODE_LEN_MAX`].
fn longest(seq: u32) -> Intent {
    let long = |octet: u8| name(&char::from(octet).to_string().repeat(CODE_LEN_MAX));
    let (lot, serial) = (Some(long(b'L')), Some(long(b'S')));
    let item = ItemRef::Gtin { gtin: 99_999_999_999_997, lot, serial, expiry: Some(991_231) };
    let body = IntentBody::Move { item, quantity: crate::QUANTITY_MAX, from: Some(long(b'F')), to: long(b'T') };
    Intent { worker: long(b'W'), ..intent(seq, body) }
}

fn kept<F: MultiwriteNorFlash, const N: usize>(store: &mut FlashStore<F, N>) -> Vec<Intent> {
    let mut kept: Vec<Intent> = vec![];
    while let Some(intent) = store.intent_from(kept.last().map_or(0, |last| last.seq + 1)) {
        kept.push(intent);
    }
    kept
}

#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "there are a few dozen")]
enum Deed {
    Scan(IntentBody),
    /// So many of 8 of what is kept.
    Release(u32),
    Tidy,
    Restart,
}

fn body() -> impl Strategy<Value = IntentBody> {
    let word = || proptest::string::string_regex("[ -~]{0,32}").expect("valid").prop_map(|text| name(&text));
    let epc = prop::collection::vec(any::<u8>(), 0..=62).prop_map(|octets| Epc::new(&octets).expect("short"));
    let item = prop_oneof![
        epc.prop_map(ItemRef::Epc),
        word().prop_map(ItemRef::Code),
        any::<u64>().prop_map(ItemRef::Sscc),
        (any::<u64>(), prop::option::of(word()), prop::option::of(word()), any::<Option<u32>>())
            .prop_map(|(gtin, lot, serial, expiry)| ItemRef::Gtin { gtin, lot, serial, expiry }),
    ];
    let parts = (item, any::<u32>(), prop::option::of(word()), word());
    (0..3, parts).prop_map(|(kind, (item, quantity, from, to))| match kind {
        0 => IntentBody::Receive { item, quantity, at: to },
        1 => IntentBody::Move { item, quantity, from, to },
        _ => IntentBody::See { item, at: to },
    })
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        8 => body().prop_map(Deed::Scan),
        4 => (1_u32..=8).prop_map(Deed::Release),
        6 => Just(Deed::Tidy),
        1 => Just(Deed::Restart),
    ]
}

/// What was promised, and during which operations of the flash.
#[derive(Default)]
struct Promises {
    /// Each append that returned well: the intent, its first operation, and the one behind its last.
    appends: Vec<(Intent, usize, usize)>,
    /// Each release and the first operation that could know of it.
    releases: Vec<(u32, usize)>,
}

impl Promises {
    /// The store after a cut during operation `op` keeps what it must, in order, and nothing that nobody gave it.
    fn check(&self, store: &mut Small, op: usize) -> Result<(), TestCaseError> {
        let released = self.releases.iter().filter(|(_, from)| *from <= op).map(|(seq, _)| *seq).max().unwrap_or(0);
        let begun: BTreeMap<u32, &Intent> =
            self.appends.iter().filter(|(_, from, _)| *from <= op).map(|(intent, ..)| (intent.seq, intent)).collect();
        let sure = self.appends.iter().filter(|(.., to)| *to <= op).map(|(intent, ..)| intent.seq).max().unwrap_or(0);
        let found = kept(store);
        for intent in &found {
            prop_assert_eq!(Some(&intent), begun.get(&intent.seq), "cut during operation {}", op);
        }
        let seqs: Vec<u32> = found.iter().map(|intent| intent.seq).collect();
        let must: Vec<u32> = (released + 1..=sure).collect();
        let still: Vec<u32> = seqs.iter().copied().filter(|seq| (released + 1..=sure).contains(seq)).collect();
        prop_assert_eq!(still, must, "cut during operation {}; kept are {:?}", op, &seqs);
        prop_assert!(seqs.is_sorted_by(|a, b| a < b) && seqs.iter().filter(|seq| **seq > sure).count() <= 1);
        prop_assert!(store.last_seq() >= sure, "a seq may be used twice");
        prop_assert_eq!(store.len(), found.len() as u32);
        Ok(())
    }
}

/// Does `deeds`; the flash notes its operations from `base` on.
fn shift(mut store: Small, deeds: &[Deed], base: usize, promises: &mut Promises) -> Result<Small, TestCaseError> {
    for deed in deeds {
        let ops = |store: &Small| base + store.flash.ops.len();
        let from = ops(&store);
        match deed {
            Deed::Scan(body) => {
                let intent = intent(store.last_seq() + 1, body.clone());
                let before = store.flash.erasures.clone();
                match store.append(&intent) {
                    Ok(()) => promises.appends.push((intent, from, ops(&store))),
                    Err(error) => prop_assert!(matches!(error, StoreError::Full { .. }), "{}", error),
                }
                prop_assert_eq!(&store.flash.erasures, &before, "a scan waits for no erasure");
            }
            Deed::Release(eighths) => {
                let seq = store.last_seq() - store.len() + (store.len() * eighths).div_ceil(8);
                promises.releases.push((seq, from));
                store.release(seq);
            }
            Deed::Tidy => while store.tidy() {},
            Deed::Restart => store = Small::mount(store.into_flash()).expect("the size fits"),
        }
    }
    Ok(store)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// The power goes at every operation of the flash in turn, and again at any later one.
    #[test]
    fn what_was_promised_outlives_a_cut_at_every_operation(
        deeds in prop::collection::vec(deed(), 1..90),
        then in prop::collection::vec(deed(), 1..8),
        seed in 1_u64..,
    ) {
        let mut chance = Chance(seed);
        let mut promises = Promises::default();
        let done = shift(small(), &deeds, 0, &mut promises)?;
        let mut flash = Nor::<512>::new(SECTORS);
        for (index, op) in done.flash.ops.iter().enumerate() {
            let mut torn = flash.clone();
            torn.cut(op, &mut chance);
            let mut store = Small::mount(torn).expect("the size fits");
            promises.check(&mut store, index)?;
            // What survived is what the second life begins with.
            let survived = kept(&mut store);
            let released = store.last_seq() - store.len();
            let appends = survived.into_iter().map(|intent| (intent, 0, 0)).collect();
            let mut later = Promises { appends, releases: vec![(released, 0)] };
            store.flash.ops.clear();
            let before = store.flash.clone();
            let again = shift(store, &then, 0, &mut later)?;
            if !again.flash.ops.is_empty() {
                let cut_at = chance.below(again.flash.ops.len());
                let mut torn = before;
                again.flash.ops[..cut_at].iter().for_each(|op| torn.act(op));
                torn.cut(&again.flash.ops[cut_at], &mut chance);
                later.check(&mut Small::mount(torn).expect("the size fits"), cut_at)?;
            }
            flash.act(op);
        }
    }

    #[test]
    fn a_flipped_bit_in_every_sector_costs_nothing(
        deeds in prop::collection::vec(deed(), 1..90), seed in 1_u64..,
    ) {
        let mut chance = Chance(seed);
        let mut promises = Promises::default();
        let mut flash = shift(small(), &deeds, 0, &mut promises)?.into_flash();
        let end = flash.ops.len();
        for sector in flash.octets.chunks_exact_mut(512) {
            let octet = chance.below(512);
            sector[octet] ^= 1 << chance.below(8);
        }
        let mut store = Small::mount(flash).expect("the size fits");
        promises.check(&mut store, end)?;
        prop_assert_eq!(store.spoilt(), 0);
        let restored = shift(store, &deeds, end, &mut promises)?;
        let end = end + restored.flash.ops.len();
        promises.check(&mut Small::mount(restored.into_flash()).expect("the size fits"), end)?;
    }

    /// Whatever went before, and however many notes of releases lie among the intents.
    #[test]
    fn the_promised_number_of_the_longest_intents_always_fits(deeds in prop::collection::vec(deed(), 1..60)) {
        type Store = FlashStore<Nor<1024>, 9>;
        let mut store = Store::mount(Nor::new(9)).expect("the size fits");
        let capacity = store.capacity();
        prop_assert_eq!(capacity, 12);
        for deed in deeds {
            match deed {
                Deed::Scan(_) if store.len() == capacity => {}
                Deed::Scan(body) => prop_assert_eq!(store.append(&intent(store.last_seq() + 1, body)), Ok(())),
                Deed::Release(eighths) => store.release(store.last_seq() - store.len() + store.len() * eighths / 8),
                Deed::Tidy | Deed::Restart => {}
            }
            while store.tidy() {}
        }
        while store.len() < capacity {
            prop_assert_eq!(store.append(&longest(store.last_seq() + 1)), Ok(()));
            while store.tidy() {}
        }
    }

    #[test]
    fn any_octets_at_all_are_a_flash(octets in prop::collection::vec(any::<u8>(), SECTORS * 512)) {
        let mut store = Small::mount(Nor { octets, ..Nor::new(SECTORS) }).expect("the size fits");
        prop_assert_eq!(kept(&mut store), vec![]);
        while store.tidy() {}
        let first = longest(1);
        prop_assert_eq!(store.append(&first), Ok(()));
        prop_assert_eq!(kept(&mut store), vec![first]);
    }
}

#[test]
fn the_longest_intent_fills_its_record() {
    assert_eq!(encode(&Entry::Intent(&longest(u32::MAX)), 4).expect("room").len(), INTENT_RECORD_LEN_MAX);
}

#[test]
fn a_mebibyte_keeps_five_thousand_intents_and_full_never_overwrites_the_oldest() {
    type Store = FlashStore<Nor<4096>, 256>;
    let mut store = Store::mount(Nor::new(256)).expect("the size fits");
    assert!(store.capacity() >= 5_000);
    let full = loop {
        while store.tidy() {}
        if let Err(full) = store.append(&longest(store.last_seq() + 1)) {
            break full;
        }
    };
    assert_eq!(full, StoreError::Full { capacity: store.capacity() });
    assert!(store.len() >= store.capacity(), "{} are kept", store.len());
    let mut store = Store::mount(store.into_flash()).expect("the size fits");
    let last = store.last_seq();
    assert_eq!(kept(&mut store), (1..=last).map(longest).collect::<Vec<_>>());
    store.release(last);
    assert!(store.is_empty());
    while store.tidy() {}
    assert_eq!(store.append(&longest(last + 1)), Ok(()));
    assert_eq!(kept(&mut store), [longest(last + 1)]);
}

#[test]
fn sectors_wear_evenly_through_restarts() {
    let mut store = small();
    for seq in 1..=3_000 {
        while store.tidy() {}
        assert_eq!(store.append(&longest(seq)), Ok(()));
        store.release(seq - seq % 3);
        if seq % 7 == 0 {
            store = Small::mount(store.into_flash()).expect("the size fits");
        }
    }
    let (least, most) = (store.flash.erasures.iter().min(), store.flash.erasures.iter().max());
    let spread = most.zip(least).map(|(most, least)| most - least);
    assert!(spread.is_some_and(|spread| spread <= 1), "{:?}", store.flash.erasures);
    assert!(least.is_some_and(|least| *least > 150));
}

#[test]
fn a_release_is_remembered_and_a_seq_never_used_twice() {
    let mut store = small();
    while store.tidy() {}
    let body = IntentBody::See { item: ItemRef::Sscc(1), at: name("A-1") };
    (1..=3).for_each(|seq| store.append(&intent(seq, body.clone())).expect("room"));
    store.release(3);
    let mut store = Small::mount(store.into_flash()).expect("the size fits");
    assert_eq!((store.len(), store.last_seq(), store.intent_from(0)), (0, 3, None));
    assert_eq!(store.append(&intent(3, body.clone())), Err(StoreError::Order { found: 3, last: 3 }));
    assert_eq!(store.append(&intent(4, body)), Ok(()));
}

#[test]
fn what_the_medium_refused_is_not_there_even_if_it_is_whole() {
    let mut store = small();
    while store.tidy() {}
    assert_eq!(store.append(&longest(1)), Ok(()));
    store.flash.failing = true;
    let refused = intent(2, IntentBody::See { item: ItemRef::Sscc(1), at: name("A-1") });
    assert!(matches!(store.append(&refused), Err(StoreError::Medium { .. })));
    store.flash.failing = false;
    assert_eq!(store.append(&longest(2)), Ok(()));
    let expected = [longest(1), longest(2)];
    assert_eq!(kept(&mut store), expected);
    assert_eq!(kept(&mut Small::mount(store.into_flash()).expect("the size fits")), expected);
}

#[test]
fn every_bit_of_a_record_may_flip_alone() {
    let record = encode(&Entry::Intent(&longest(7)), 4).expect("room");
    for bit in 0..8 * record.len() {
        let mut flipped = record.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped.resize(RECORD_LEN_MAX, u8::MAX).expect("room");
        let found = decode(&mut flipped, 4);
        assert_eq!(found, Found::Whole(Read::Intent(longest(7)), record.len()), "bit {bit}");
    }
}

#[test]
fn a_boot_has_a_number_of_its_own_whenever_the_power_goes() {
    let mut chance = Chance(7);
    let mut flash = Nor::<64>::new(2);
    let mut last = 0;
    for _ in 0..200 {
        flash.ops.clear();
        let mut cuts = flash.clone();
        let number = count_boot(&mut flash).expect("the size fits");
        assert!(number > last, "{number} after {last}");
        last = number;
        // A boot that ends during any of its operations has told no number, and takes none from the next ones.
        for op in flash.ops.clone() {
            let mut torn = cuts.clone();
            torn.cut(&op, &mut chance);
            let next = count_boot(&mut torn).expect("the size fits");
            assert!(next >= number, "{next} after a cut before {number}");
            assert!(count_boot(&mut torn).is_ok_and(|after| after > next));
            cuts.act(&op);
        }
    }
    assert!(last >= 200);
}
