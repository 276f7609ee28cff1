//! Tags and barcodes.

use stowage_base::Epc;
use stowage_gs1::epc::{DigitalLink, Identity, Scheme, TagUri};
use stowage_gs1::{barcode, element};

/// Whatever decodes encodes to the same octets, but for zeros at the end: tags fill up to whole words (TDS 2.1 §15).
pub(crate) fn epc(data: &[u8]) {
    let Some(epc) = Epc::new(data) else { return };
    if let Ok(identity) = Identity::decode(&epc) {
        let again = identity.encode();
        let (ours, theirs) = (again.octets(), epc.octets());
        let common = ours.len().min(theirs.len());
        let zeros = |octets: &[u8]| octets.iter().all(|octet| *octet == 0);
        assert_eq!(ours[..common], theirs[..common], "{identity:?}");
        assert!(zeros(&ours[common..]) && zeros(&theirs[common..]), "{identity:?}: {again} for {epc}");
        assert_eq!(Identity::decode(&again), Ok(identity), "{again}");
        if identity.scheme().has_uri() {
            assert_eq!(Identity::parse_tag_uri(&TagUri(&identity).to_string()), Ok(identity), "{again}");
        }
        if identity.scheme().is_gs1() {
            assert!(DigitalLink(&identity).to_string().starts_with("https://"), "{again}");
        }
        let _ = (identity.key(), identity.serial(), identity.company_prefix());
    }
}

/// Whatever a tag URI, a pure identity URI or elements make, they make a valid tag. The first octet chooses the scheme
/// for elements.
pub(crate) fn uri(data: &[u8]) {
    let Some((choice, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let scheme = Scheme::ALL[usize::from(*choice) % Scheme::ALL.len()];
    let of_elements = element::Elements::parse_unpaired(text).ok().and_then(|elements| {
        Identity::in_scheme(scheme, &elements, choice % 16, choice >> 5, Some("id.example.co.uk")).ok()
    });
    let of_uris = [Identity::parse_tag_uri(text).ok(), Identity::parse_pure_uri(text, choice % 8).ok()];
    for identity in of_uris.into_iter().flatten().chain(of_elements) {
        assert_eq!(Identity::decode(&identity.encode()), Ok(identity), "{text}");
    }
}

/// A scan is understood or refused; what is understood can be walked.
pub(crate) fn element(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = barcode::classify(text);
    if let Ok(elements) = element::Elements::parse(text) {
        let digits: usize = elements.iter().map(|element| element.value.octets().count()).sum();
        assert!(digits <= 3 * text.len(), "more in the values than in the scan");
        let _ = elements.scan();
        let _ = elements.check_companions();
    }
}
