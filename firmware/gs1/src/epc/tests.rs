extern crate std;
use super::*;
use crate::vectors;
use proptest::prelude::*;
use std::format;
use std::panic;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

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
    let empty = Reason::Length { field: "text", found: 0, min: 1, max: 20 };
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
    expect("urn:epc:tag:sgtin-96:8.0614141.112345.1", 21, Reason::Range { field: "filter", found: 8, max: 7 });
    expect("urn:epc:tag:sgtin-96:3.06141.11234567.1", 23, Reason::PrefixLength(5));
    expect("urn:epc:tag:sgtin-96:3.061414A.112345.1", 29, Reason::Character(b'A'));
    let reference = Reason::Length { field: "reference", found: 5, min: 6, max: 6 };
    expect("urn:epc:tag:sgtin-96:3.0614141.12345.1", 31, reference);
    expect("urn:epc:tag:sgtin-96:3.0614141.112345", 37, Reason::Expected("a full stop and more"));
    expect("urn:epc:tag:sgtin-96:3.0614141.112345.0400", 38, Reason::LeadingZero);
    let range = Reason::Range { field: "number", found: 1 << 38, max: (1 << 38) - 1 };
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
    assert_eq!((identity.scheme(), identity.filter()), (Scheme::Sgtin96, Some(1)));
    assert_eq!((identity.serial().as_deref(), identity.serial_number()), (Some("7"), Some(7)));
    assert_eq!("95060001343".parse().ok(), identity.company_prefix());
    assert_ne!("095060001343".parse().ok(), identity.company_prefix(), "leading zeros count");
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
        Reason::Range { field: "number", found: max + 1, max }
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
fn agrees_with_every_classic_vector() {
    let mut seen = 0;
    for vector in vectors::lines("epc/epc_tds1.jsonl") {
        let field = |name: &str| vector[name].as_str().unwrap_or_default();
        seen += 1;
        let uri = field("tag_uri");
        let identity = Identity::decode(&tag(field("hex"))).expect(uri);
        assert_eq!(TagUri(&identity).to_string(), uri);
        assert_eq!(PureUri(&identity).to_string(), field("pure_uri"));
        assert_eq!(identity.encode().to_string(), field("hex"), "{uri}");
        assert_eq!(identity.bits() as u64, vector["bits"], "{uri}");
        assert_eq!(Identity::parse_tag_uri(uri), Ok(identity));
        let filter = identity.filter().unwrap_or_default();
        let again = Identity::parse_pure_uri(field("pure_uri"), filter).expect(uri);
        assert_eq!(PureUri(&again).to_string(), field("pure_uri"));
        assert_eq!(ElementString(&identity).to_string(), field("element_string"), "{uri}");
        assert_eq!(identity.filter().map(u64::from), vector["filter"].as_u64(), "{uri}");
        let prefix = identity.company_prefix().map(|prefix| prefix.to_string()).unwrap_or_default();
        assert_eq!(prefix, field("company_prefix"), "{uri}");
        if vector["ai"].is_object() {
            assert_eq!(ais(&identity), vector["ai"], "{uri}");
        }
        if let Some(link) = vector["digital_link"].as_str() {
            // Two vectors bear a quotation mark that a URI must not have unescaped.
            let ours = DigitalLink(&identity).to_string();
            assert_eq!(ours, link.replace('"', "%22"), "{uri}");
            let elements = Elements::parse(&ours).expect(uri);
            let back = Identity::from_elements(&elements, prefix.len() as u8, filter);
            assert_eq!(back.map(|back| PureUri(&back).to_string()), Ok(field("pure_uri").into()), "{ours}");
            let same = Identity::in_scheme(identity.scheme(), &elements, prefix.len() as u8, filter, None);
            assert_eq!(same, Ok(identity), "{ours}");
        }
    }
    std::eprintln!("{seen} vectors");
}

fn ais(identity: &Identity) -> serde_json::Value {
    let ais: serde_json::Map<_, _> =
        identity.ais().map(|(ai, value)| (ai.to_string(), value.to_string().into())).collect();
    serde_json::Value::Object(ais)
}

#[test]
fn agrees_with_every_plus_vector() {
    let mut seen = 0;
    for vector in vectors::lines("epc/epc_plus.jsonl").into_iter().chain(vectors::lines("epc/epc_plus_official.jsonl"))
    {
        let field = |name: &str| vector[name].as_str().unwrap_or_default();
        let hex = field("hex");
        seen += 1;
        // Some official examples are shorter than whole words, by half an octet.
        let padded = format!("{hex}{}", &"000"[..(4 - hex.len() % 4) % 4]);
        let identity = Identity::decode(&tag(&padded)).unwrap_or_else(|error| panic!("{vector}: {error:?}"));
        assert_eq!(identity.scheme().name(), field("scheme"));
        assert_eq!(identity.filter().map(u64::from), vector["filter"].as_u64(), "{hex}");
        assert_eq!(DigitalLink(&identity).to_string(), field("digital_link"), "{hex}");
        assert_eq!(identity.encode().to_string(), padded);
        if let Some(bits) = vector["bits"].as_u64() {
            assert_eq!(identity.bits() as u64, bits, "{hex}");
        }
        if vector["ai"].is_object() {
            assert_eq!(ais(&identity), vector["ai"], "{hex}");
        } else {
            assert_eq!(ElementString(&identity).to_string(), field("element_string"));
        }
        let text: String =
            identity.ais().map(|(ai, value)| format!("({ai}){}", value.to_string().replace('(', r"\("))).collect();
        let elements = Elements::parse_unpaired(&text).expect(&text);
        let host = field("digital_link").strip_prefix("https://").and_then(|link| link.split('/').next());
        let again = Identity::in_scheme(identity.scheme(), &elements, 0, identity.filter().unwrap_or(0), host);
        assert_eq!(again.map(|again| again.encode().to_string()), Ok(padded), "{vector}");
    }
    std::eprintln!("{seen} vectors");
}

#[test]
fn refuses_every_invalid_vector() {
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

/// Any identity of any scheme that has URIs.
fn identities() -> impl Strategy<Value = Identity> {
    let uris: Vec<String> = Scheme::ALL
        .iter()
        .filter(|scheme| scheme.has_uri())
        .map(|scheme| {
            let digits = r"(0|[1-9][0-9]{0,12})";
            let text = "([!'()*+,.:;=_A-Za-z0-9-]|%22|%2[56F]|%3[CEF]){1,20}";
            let (filter, tail) = match scheme.name() {
                "gid-96" => ("", r"(0|[1-9][0-9]{0,7})\.(0|[1-9][0-9]{0,6})\.(0|[1-9][0-9]{0,9})".to_string()),
                "usdod-96" => ("([0-9]|1[0-5])\\.", r"[0-9A-HJ-NP-Z]{5,6}\.(0|[1-9][0-9]{0,9})".to_string()),
                "adi-var" => (
                    "([0-9]|[1-5][0-9]|6[0-3])\\.",
                    r"[0-9A-HJ-NP-Z]{5,6}\.([0-9A-Z-]|%2F){0,32}\.(%23)?([0-9A-Z-]|%2F){1,29}".to_string(),
                ),
                "sscc-96" | "gsrn-96" | "gsrnp-96" => ("[0-7]\\.", "PREFIX".to_string()),
                "cpi-96" => ("[0-7]\\.", r"PREFIX(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,8})".to_string()),
                "cpi-var" => ("[0-7]\\.", r"PREFIX([0-9A-Z-]|%2F|%23){1,18}\.(0|[1-9][0-9]{0,11})".to_string()),
                "itip-110" => ("[0-7]\\.", format!(r"PREFIX[0-9]{{2}}\.[0-9]{{2}}\.{digits}")),
                "itip-212" => ("[0-7]\\.", format!(r"PREFIX[0-9]{{2}}\.[0-9]{{2}}\.{text}")),
                "sgcn-96" | "gdti-113" => ("[0-7]\\.", "PREFIX[0-9]{1,12}".to_string()),
                name if name.ends_with("-96") => ("[0-7]\\.", format!("PREFIX{digits}")),
                _ => ("[0-7]\\.", format!("PREFIX{text}")),
            };
            // The reference has what the prefix leaves of the key's digits; `R` where the key has none.
            let reference = match scheme.name() {
                name if name.starts_with("giai") || name.starts_with("cpi") => None,
                "sscc-96" | "gsrn-96" | "gsrnp-96" => Some((17, "")),
                name if name.starts_with("sgtin") || name.starts_with("itip") => Some((13, r"\.")),
                _ => Some((12, r"\.")),
            };
            let prefixes: Vec<_> = (6..=12usize)
                .map(|len| match reference {
                    None => format!(r"[0-9]{{{len}}}\."),
                    Some((digits, stop)) => format!(r"[0-9]{{{len}}}\.[0-9]{{{}}}{stop}", digits - len),
                })
                .collect();
            let tail = tail.replace("PREFIX", &format!("({})", prefixes.join("|")));
            format!("urn:epc:tag:{}:{filter}{tail}", scheme.name())
        })
        .collect();
    proptest::sample::select(uris)
        .prop_flat_map(|pattern| proptest::string::string_regex(&pattern).expect("a pattern"))
        .prop_filter_map("out of range", |uri| Identity::parse_tag_uri(&uri).ok())
}

/// The AIs of a '+' scheme with values, and some more.
fn coded() -> impl Strategy<Value = (Scheme, String, u8)> {
    let plus: Vec<Scheme> = Scheme::ALL.iter().copied().filter(|scheme| !scheme.has_uri()).collect();
    let serial =
        prop_oneof!["[0-9]{1,20}", "[0-9A-F]{1,20}", "[a-z0-9]{1,20}", "[A-Z0-9:.-]{1,20}", "[!%-'*-?A-Z_a-z]{1,20}"];
    let more = prop_oneof![
        Just(""),
        Just("(10)LOT/42"),
        Just("(3102)001250"),
        Just("(7003)2611241530"),
        Just("(91)abcXYZ"),
        Just("(7011)261124"),
        Just("(8008)26112415"),
        Just("(8008)261124153059"),
        Just("(7007)261101261130"),
        Just("(4307)DE"),
        Just("(4321)1"),
        Just("(4330)012345-"),
        Just("(7258)1/3"),
        Just("(8001)12340123456709"),
        Just("(423)276528"),
        Just("(421)27612345"),
        Just("(8004)9521141abc")
    ];
    (proptest::sample::select(plus), any::<u64>(), serial, more, 0u8..8).prop_map(
        |(scheme, number, serial, more, filter)| {
            let checked = |digits: u32| {
                let body = number % 10u64.pow(digits);
                format!("{body:0width$}{}", check_digit(body), width = digits as usize)
            };
            let short = &serial[..serial.len().min(16)];
            let mut text = String::new();
            if scheme.name().starts_with("DSGTIN") {
                text += "(17)270300";
            }
            for ai in scheme.ais() {
                let value = match ai {
                    "00" | "8017" | "8018" => checked(17),
                    "01" => checked(13),
                    "8006" => checked(13) + "0102",
                    "414" => checked(12),
                    "253" => checked(12) + short,
                    "255" => checked(12) + &format!("{}", number % 1_000_000),
                    "8003" => "0".to_string() + &checked(12) + short,
                    "8004" => "9521141".to_string() + &serial,
                    "8010" => "9521141A-/7".to_string(),
                    "8011" => (number % 1_000_000).to_string(),
                    _ => serial.clone(),
                };
                text += &format!("({ai}){value}");
            }
            if !text.contains(&more[..more.find(')').map_or(0, |at| at + 1)]) || more.is_empty() {
                text += more;
            }
            (scheme, text, filter)
        },
    )
}

proptest! {
    #[test]
    fn every_form_leads_back(identity in identities()) {
        prop_assert_eq!(Identity::decode(&identity.encode()), Ok(identity));
        prop_assert_eq!(Identity::parse_tag_uri(&TagUri(&identity).to_string()), Ok(identity));
        let pure = PureUri(&identity).to_string();
        let filter = identity.filter().unwrap_or(0);
        let again = Identity::parse_pure_uri(&pure, filter).map(|again| PureUri(&again).to_string());
        prop_assert_eq!(again, Ok(pure));
        if let Some(prefix) = identity.company_prefix() {
            let link = DigitalLink(&identity).to_string();
            if let Ok(elements) = Elements::parse(&link) {
                let back = Identity::in_scheme(identity.scheme(), &elements, prefix.digits(), filter, None);
                prop_assert_eq!(back, Ok(identity), "{}", link);
            }
            prop_assert!(identity.is_of_company(&prefix.to_string()));
        }
    }

    #[test]
    fn coded_values_lead_back((scheme, text, filter) in coded(), host in "(id\\.|www\\.)?[a-z0-9.-]{1,20}(\\.com|\\.co\\.uk|\\.de)?") {
        let elements = Elements::parse_unpaired(&text).expect(&text);
        let identity = Identity::in_scheme(scheme, &elements, 0, filter, Some(&host)).expect(&text);
        prop_assert_eq!(Identity::decode(&identity.encode()), Ok(identity));
        let mut said: Vec<_> = identity.ais().map(|(ai, value)| (ai.to_string(), value.to_string())).collect();
        let mut meant: Vec<_> = elements.iter().map(|e| (e.ai.to_string(), e.value.to_string())).collect();
        said.sort();
        meant.sort();
        prop_assert_eq!(said, meant);
        let link = DigitalLink(&identity).to_string();
        if scheme.has_host() {
            prop_assert!(link.starts_with(&format!("https://{host}/")), "{} {}", link, host);
        }
    }

    #[test]
    fn what_is_decoded_is_encoded_the_same(mut octets in proptest::collection::vec(any::<u8>(), 0..=62), scheme in 0usize..Scheme::ALL.len()) {
        // A known header with any bits after it, so that every scheme meets every nonsense.
        if let Some(header) = octets.first_mut() {
            *header = Scheme::ALL[scheme].row().header;
        }
        match Identity::decode(&Epc::new(&octets).expect("at most 62")) {
            Ok(identity) => {
                let encoded = identity.encode();
                let len = encoded.octets().len().min(octets.len());
                prop_assert_eq!(&encoded.octets()[..len], &octets[..len]);
                prop_assert_eq!(Identity::decode(&encoded), Ok(identity));
            }
            Err(error) => prop_assert!(error.position <= octets.len() * 8 && !error.to_string().is_empty()),
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(urn:epc:(tag|id):)?(sgtin|sscc|giai|sgcn|adi|gid|cpi|itip|usdod)?(-96|-198|-202|-var)?[:.0-9%a-zé]{0,40}") {
        for result in [Identity::parse_tag_uri(&text), Identity::parse_pure_uri(&text, 7)] {
            if let Err(error) = result {
                prop_assert!(error.position <= text.len(), "{:?}", error);
            }
        }
    }
}

#[test]
fn table_f_follows_from_the_formats() {
    use coded::Coding;
    let mut rows = 0;
    for table in vectors::lines("epc/tdt/TDT_TableF.json") {
        for row in table["rows"].as_array().expect("rows") {
            let text = |name: &str| row[name].as_str().unwrap_or_default();
            let number = |name: &str| text(name).parse::<usize>().unwrap_or(0);
            let ai = text("a");
            let component = |format: &str, len: usize, max: usize| match format {
                "" => None,
                "Fixed-length numeric" => Some(Coding::Digits(len)),
                "Fixed-Bit-Length Numeric String" => Some(Coding::Integer(len)),
                "6-digit date YYMMDD" => Some(Coding::Date),
                "10-digit date+time YYMMDDhhmm" => Some(Coding::DateTime),
                "Variable-format date / date range" => Some(Coding::DateRange),
                "Variable-precision date+time" => Some(Coding::Precision),
                "Country code (ISO 3166-1 alpha-2)" => Some(Coding::Country),
                "Single data bit" => Some(Coding::Bit),
                "Optional minus sign in 1 bit" => Some(Coding::Minus),
                "Sequence indicator" => Some(Coding::Sequence),
                "Variable-length numeric string without encoding indicator" => Some(Coding::Numeric(max)),
                "Variable-length alphanumeric" => Some(Coding::Text(max)),
                "Delimited/terminated numeric" => Some(Coding::Delimited(max)),
                other => panic!("{other}"),
            };
            let theirs =
                [component(text("b"), number("d"), number("h")), component(text("i"), number("k"), number("o"))];
            let ours = codings(ai, table::exactly(ai).unwrap_or_else(|| panic!("{ai}")).format);
            assert_eq!(ours, theirs, "{ai}");
            rows += 1;
        }
    }
    std::eprintln!("{rows} rows of table F");
}

#[test]
fn integers_take_the_bits_of_table_b() {
    for table in vectors::lines("epc/tdt/TDT_TableB.json") {
        for row in table["rows"].as_array().expect("rows") {
            let number = |name: &str| row[name].as_str().and_then(|text| text.parse::<usize>().ok());
            assert_eq!(number("a").map(coded::integer_bits), number("b"), "{row}");
        }
    }
}
