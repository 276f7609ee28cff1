extern crate std;
use super::*;
use crate::vectors;
use proptest::prelude::*;
use std::format;
use std::string::{String, ToString};

fn tag(hex: &str) -> Epc {
    Epc::from_hex(hex).expect("hex digits")
}

fn refused(hex: &str) -> (usize, Reason) {
    let EpcError { position, reason } = Identity::decode(&tag(hex)).expect_err("must be refused");
    (position, reason)
}

fn refused_uri(uri: &str) -> (usize, Reason) {
    let EpcError { position, reason } = Identity::parse_tag_uri(uri).expect_err("must be refused");
    (position, reason)
}

#[test]
fn one_tag_of_each_kind_in_all_forms() {
    // Hex, tag URI, element string: the standard's own examples (TDS 2.3 annex E.3) and edges.
    let table = [
        ("3066C4409047E140075BCD15", "sgtin-96:3.95060001343.05.123456789", "(01)09506000134352(21)123456789"),
        (
            "3666C4409047E159B2C2BF100000000000000000000000000000",
            "sgtin-198:3.95060001343.05.32a%2Fb",
            "(01)09506000134352(21)32a/b",
        ),
        ("31B800030000000000000000", "sscc-96:5.000012.00000000000", "(00)000001200000000003"),
        ("3276451FD46072000000162E", "sgln-96:3.9521141.12345.5678", "(414)9521141123454(254)5678"),
        ("3201BF1112976C0000000000", "sgln-96:0.480034203099..0", "(414)4800342030996"),
        ("3376451FD40C0E400000162E", "grai-96:3.9521141.12345.5678", "(8003)095211411234545678"),
        ("3476451FD40000000000162E", "giai-96:3.9521141.5678", "(8004)95211415678"),
        ("38F8F713BC649DB76676DB800000000000000000000000000000", "giai-202:7.253006.xdNmlg6n", "(8004)253006xdNmlg6n"),
        ("2D76451FD4499602D2000000", "gsrn-96:3.9521141.1234567890", "(8018)952114112345678906"),
        ("2C7A9AEF0891219301CB1BF4", "gdti-96:3.682940.280720.1730901908468", "(253)68294028072081730901908468"),
        ("3F76451FD612640000019907", "sgcn-96:3.9521141.67890.04711", "(255)952114167890904711"),
    ];
    for (hex, uri, elements) in table {
        let identity = Identity::decode(&tag(hex)).expect(hex);
        assert_eq!(TagUri(&identity).to_string(), format!("urn:epc:tag:{uri}"));
        assert_eq!(ElementString(&identity).to_string(), elements);
        assert_eq!(Identity::parse_tag_uri(&format!("urn:epc:tag:{uri}")), Ok(identity));
        assert_eq!(identity.encode().to_string(), hex);
    }
}

#[test]
fn a_tag_that_is_no_epc_says_why() {
    assert_eq!(refused(""), (0, Reason::Short { bits: 0, needed: 8 }));
    assert_eq!(refused("000000000000000000000000"), (0, Reason::Unprogrammed));
    assert_eq!(refused("E2801160600002054D5A1234"), (0, Reason::TagIdentifier));
    assert_eq!(refused("FFFFFFFFFFFFFFFFFFFFFFFF"), (0, Reason::Header(0xFF)));
    assert_eq!(refused("3074257BF7194E400000"), (80, Reason::Short { bits: 80, needed: 96 }));
    assert_eq!(refused("307C4409047E140000001A85"), (11, Reason::Partition(7)));
    let reason = Reason::Digits { field: "company prefix", found: 1_000_000, digits: 6 };
    assert_eq!(refused("307BD09004B5A1C000000001"), (14, reason));
    assert_eq!(reason.to_string(), "company prefix 1000000 has more than 6 digits");
    let reason = Reason::Digits { field: "reference", found: 1_048_575, digits: 6 };
    assert_eq!(refused("3074000007FFFFC000000001"), (38, reason));
    assert_eq!(refused("3114257BF4499602D2000001"), (95, Reason::NotZero));
    let empty = Reason::Length { field: "serial", found: 0, min: 1, max: 20 };
    assert_eq!(refused("3634257BF6B7A640000000000000000000000000000000000000"), (58, empty));
    assert_eq!(refused("3634257BF6B7A67F800000000000000000000000000000000000"), (58, Reason::Character(0x7F)));
}

#[test]
fn padding_is_zeros() {
    let bare = Identity::decode(&tag("3066C4409047E140075BCD15")).expect("valid");
    assert_eq!(Identity::decode(&tag("3066C4409047E140075BCD150000")), Ok(bare));
    assert_eq!(refused("3066C4409047E140075BCD150001"), (111, Reason::NotZero));
    assert_eq!(refused("3666C4409047E159B2C2BF100000000000000000000000000001"), (207, Reason::NotZero));
    assert_eq!(
        refused("3666C4409047E159B2C2BF100000000000001000000000000000"),
        (147, Reason::NotZero),
        "after the text"
    );
}

#[test]
fn uris_are_refused_where_they_go_wrong() {
    let expect = |uri, position, reason| assert_eq!(refused_uri(uri), (position, reason), "{uri}");
    expect("urn:epc:id:sgtin:0614141.112345.1", 0, Reason::Expected("urn:epc:tag:"));
    expect("urn:epc:tag:sgtin-97:3.0614141.112345.1", 12, Reason::UnknownScheme);
    expect("urn:epc:tag:sgtin-96:8.0614141.112345.1", 21, Reason::Expected("a filter value from 0 to 7"));
    expect("urn:epc:tag:sgtin-96:3.06141.11234567.1", 23, Reason::PrefixLength(5));
    expect("urn:epc:tag:sgtin-96:3.061414A.112345.1", 29, Reason::Character(b'A'));
    let reference = Reason::Length { field: "reference", found: 5, min: 6, max: 6 };
    expect("urn:epc:tag:sgtin-96:3.0614141.12345.1", 31, reference);
    expect("urn:epc:tag:sgtin-96:3.0614141.112345", 37, Reason::Expected("a full stop and more"));
    expect("urn:epc:tag:sgtin-96:3.0614141.112345.0400", 38, Reason::LeadingZero);
    let range = Reason::Range { field: "serial", found: 1 << 38, max: (1 << 38) - 1 };
    expect("urn:epc:tag:sgtin-96:3.0614141.112345.274877906944", 38, range);
    expect("urn:epc:tag:sgtin-96:3.0614141.112345.1.2", 39, Reason::Character(b'.'));
    expect("urn:epc:tag:sgtin-198:3.0614141.112345.%26a/b", 43, Reason::Character(b'/'));
    expect("urn:epc:tag:sgtin-198:3.0614141.112345.a%00", 40, Reason::Character(0));
    expect("urn:epc:tag:sgtin-198:3.0614141.112345.a%zzb", 40, Reason::Character(b'%'));
}

#[test]
fn what_the_core_asks() {
    let tag = sgtin96(9_506_000_134_352, 11, 7, 1).expect("valid");
    let identity = Identity::decode(&tag).expect("valid");
    assert_eq!(gtin(&tag), Some(9_506_000_134_352));
    assert_eq!((identity.scheme(), identity.filter()), (Scheme::Sgtin96, 1));
    assert_eq!((identity.serial().as_deref(), identity.serial_number()), (Some("7"), Some(7)));
    assert_eq!("95060001343".parse(), Ok(identity.company_prefix()));
    assert_ne!("095060001343".parse(), Ok(identity.company_prefix()), "leading zeros count");
    let unit = sscc96(106_141_412_345_678_908, 7, 0).expect("valid");
    assert_eq!(Identity::decode(&unit).map(|unit| unit.sscc()), Ok(Some(106_141_412_345_678_908)));
    assert_eq!(gtin(&unit), None);
    let shelf = Identity::parse_tag_uri("urn:epc:tag:sgln-96:3.9521141.12345.0").expect("valid");
    assert_eq!(shelf.location(), Some((9_521_141_123_454, stowage_base::code("0").expect("short"))));
    assert_eq!(DigitalLink(&shelf).to_string(), "https://id.gs1.org/414/9521141123454");
}

#[test]
fn numbers_out_of_range_make_no_tag() {
    let refused = |result: Result<Epc, EpcError>| result.expect_err("must be refused").reason;
    assert_eq!(refused(sgtin96(9_506_000_134_353, 11, 1, 1)), Reason::CheckDigit { found: 3, wanted: 2 });
    assert_eq!(refused(sgtin96(9_506_000_134_352, 13, 1, 1)), Reason::PrefixLength(13));
    assert_eq!(refused(sgtin96(u64::MAX, 12, 1, 1)), Reason::Digits { field: "key", found: u64::MAX, digits: 14 });
    assert_eq!(refused(sgtin96(9_506_000_134_352, 11, 1, 8)), Reason::Range { field: "filter", found: 8, max: 7 });
    let max = (1 << 38) - 1;
    assert!(sgtin96(9_506_000_134_352, 11, max, 1).is_ok());
    assert_eq!(
        refused(sgtin96(9_506_000_134_352, 11, max + 1, 1)),
        Reason::Range { field: "serial", found: max + 1, max }
    );
    assert!(sgtin96(9_506_000_134_352, 11, u64::MAX, 1).is_err());
}

#[test]
fn a_barcode_names_its_tag() {
    let elements = Elements::parse("]C1010950600013435221A7").expect("valid");
    let identity = Identity::from_elements(&elements, 11, 1).expect("fits");
    assert_eq!(TagUri(&identity).to_string(), "urn:epc:tag:sgtin-198:1.95060001343.05.A7");
    let elements = Elements::parse("(01)09506000134352").expect("valid");
    assert!(Identity::from_elements(&elements, 11, 1).is_err(), "an SGTIN needs a serial");
}

#[test]
fn agrees_with_every_vector_of_these_schemes() {
    let mut seen = 0;
    for vector in vectors::lines("epc/epc_tds1.jsonl") {
        let field = |name: &str| vector[name].as_str().unwrap_or_default();
        if !Scheme::ALL.iter().any(|scheme| scheme.name() == field("scheme")) {
            continue;
        }
        seen += 1;
        let uri = field("tag_uri");
        let identity = Identity::decode(&tag(field("hex"))).expect(uri);
        assert_eq!(TagUri(&identity).to_string(), uri);
        assert_eq!(PureUri(&identity).to_string(), field("pure_uri"));
        assert_eq!(identity.encode().to_string(), field("hex"), "{uri}");
        assert_eq!(identity.scheme().bits() as u64, vector["bits"], "{uri}");
        assert_eq!(Identity::parse_tag_uri(uri), Ok(identity));
        let again = Identity::parse_pure_uri(field("pure_uri"), identity.filter()).expect(uri);
        assert_eq!(PureUri(&again).to_string(), field("pure_uri"));
        assert_eq!(ElementString(&identity).to_string(), field("element_string"), "{uri}");
        assert_eq!(u64::from(identity.filter()), vector["filter"], "{uri}");
        assert_eq!(identity.company_prefix().to_string(), field("company_prefix"), "{uri}");
        let ais: serde_json::Map<_, _> =
            identity.ais().map(|(ai, value)| (ai.into(), value.to_string().into())).collect();
        assert_eq!(serde_json::Value::Object(ais), vector["ai"], "{uri}");
        if let Some(link) = vector["digital_link"].as_str() {
            // Two vectors bear a quotation mark that a URI must not have unescaped.
            let ours = DigitalLink(&identity).to_string();
            assert_eq!(ours, link.replace('"', "%22"), "{uri}");
            let elements = Elements::parse(&ours).expect(uri);
            let back = Identity::from_elements(&elements, identity.company_prefix().digits(), identity.filter());
            assert_eq!(back.map(|back| PureUri(&back).to_string()), Ok(field("pure_uri").into()), "{ours}");
        }
    }
    std::eprintln!("{seen} vectors");
}

#[test]
fn refuses_every_invalid_vector_of_these_schemes() {
    for vector in vectors::lines("epc/epc_invalid.jsonl") {
        let value = vector["value"].as_str().expect("text");
        let refused = match vector["form"].as_str() {
            Some("hex") => Epc::from_hex(value).is_none_or(|epc| Identity::decode(&epc).is_err()),
            Some("tag_uri") => Identity::parse_tag_uri(value).is_err(),
            Some("pure_uri") => Identity::parse_pure_uri(value, 0).is_err(),
            _ => Elements::parse(value).is_err(),
        };
        assert!(refused, "{vector}");
    }
}

fn identities() -> impl Strategy<Value = Identity> {
    let text = "[!%-?A-Z_a-z\"]{1,24}";
    let serial = prop_oneof![Just(String::new()), (0u64..1 << 62).prop_map(|n| n.to_string()), "[0-9]{1,12}", text];
    let scheme = proptest::sample::select(Scheme::ALL);
    let parts = (scheme, 0u8..8, 6u8..=12, any::<u64>(), any::<u64>(), serial);
    parts.prop_filter_map("serial doesn't fit", |(scheme, filter, len, prefix, reference, serial)| {
        let prefix = CompanyPrefix::new(prefix % power_of_ten(len), len)?;
        let reference = reference % power_of_ten(scheme.reference_digits(len));
        Identity::checked(scheme, filter, prefix, reference, &serial).ok()
    })
}

proptest! {
    #[test]
    fn every_form_leads_back(identity in identities()) {
        prop_assert_eq!(Identity::decode(&identity.encode()), Ok(identity));
        prop_assert_eq!(Identity::parse_tag_uri(&TagUri(&identity).to_string()), Ok(identity));
        let pure = PureUri(&identity).to_string();
        let again = Identity::parse_pure_uri(&pure, identity.filter()).map(|again| PureUri(&again).to_string());
        prop_assert_eq!(again, Ok(pure));
        let serial = identity.serial().unwrap_or_default();
        let key = identity.key().unwrap_or(identity.company_prefix().value());
        let len = identity.company_prefix().digits();
        prop_assert_eq!(Identity::from_key(identity.scheme(), key, len, &serial, identity.filter()), Ok(identity));
    }

    #[test]
    fn what_is_decoded_is_encoded_the_same(mut octets in proptest::collection::vec(any::<u8>(), 0..=62), scheme in 0usize..14) {
        // A known header with any bits after it, so that every scheme meets every nonsense.
        if let Some(header) = octets.first_mut() {
            *header = Scheme::ALL[scheme].row().header;
        }
        if let Ok(identity) = Identity::decode(&Epc::new(&octets).expect("at most 62")) {
            let encoded = identity.encode();
            let len = encoded.octets().len().min(octets.len());
            prop_assert_eq!(&encoded.octets()[..len], &octets[..len]);
        }
    }

    #[test]
    fn a_random_tag_of_96_bits_reads_or_says_why(header in prop_oneof![Just(0x30u8), Just(0x31)], rest: [u8; 11]) {
        let mut octets = [header; 12];
        octets[1..].copy_from_slice(&rest);
        match Identity::decode(&Epc::new(&octets).expect("fits")) {
            Ok(identity) => prop_assert_eq!(identity.encode(), Epc::new(&octets).expect("fits")),
            Err(error) => prop_assert!(error.position < 96 && !error.to_string().is_empty()),
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(urn:epc:(tag|id):)?(sgtin|sscc|giai|sgcn)?(-96|-198|-202)?[:.0-9%a-zé]{0,40}") {
        for result in [Identity::parse_tag_uri(&text), Identity::parse_pure_uri(&text, 7)] {
            if let Err(error) = result {
                prop_assert!(error.position <= text.len(), "{:?}", error);
            }
        }
    }
}
