//! Tags and barcodes.

use stowage_base::Epc;
use stowage_gs1::epc::Identity;
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
