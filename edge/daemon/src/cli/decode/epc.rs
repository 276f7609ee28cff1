//! `stowage decode epc`.

use super::octets;
use crate::cli::output::{Line, to_json};
use serde::Serialize;
use stowage_base::Epc;
use stowage_base::epc::LEN_MAX;
use stowage_gs1::epc::{DigitalLink, ElementString, Identity, PureUri, TagUri};

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Answer {
    Good(Box<Decoded>),
    Bad { input: String, error: Fault },
}

#[derive(Debug, Serialize)]
pub(super) struct Decoded {
    input: String,
    scheme: &'static str,
    /// `None` for the '+' schemes, which have no URNs.
    tag_uri: Option<String>,
    pure_uri: Option<String>,
    /// `None` for the schemes outside GS1.
    element_string: Option<String>,
    digital_link: Option<String>,
    filter: Option<u8>,
    ais: Vec<(String, String)>,
}

#[derive(Debug, Serialize)]
pub(super) struct Fault {
    reason: String,
    /// The bit of the EPC, from 0; where the input isn't hex, the character.
    position: usize,
}

impl Line for Answer {
    const COLUMNS: &'static [(&'static str, usize)] =
        &[("input", 24), ("scheme", 9), ("filter", 6), ("element string", 40), ("pure identity", 0)];

    fn cells(&self) -> Vec<String> {
        match self {
            Self::Good(decoded) => {
                let Decoded { input, scheme, filter, element_string, pure_uri, digital_link, .. } = &**decoded;
                let dash = || "-".to_owned();
                vec![
                    input.clone(),
                    (*scheme).into(),
                    filter.map_or_else(dash, |filter| filter.to_string()),
                    element_string.clone().unwrap_or_else(dash),
                    pure_uri.clone().or_else(|| digital_link.clone()).unwrap_or_else(dash),
                ]
            }
            Self::Bad { input, error } => {
                vec![input.clone(), "-".into(), "-".into(), format!("{} (at {})", error.reason, error.position)]
            }
        }
    }

    fn is_bad(&self) -> bool {
        matches!(self, Self::Bad { .. })
    }

    fn json(&self) -> String {
        to_json(self)
    }
}

/// Decodes one line of hex.
pub(super) fn decode(line: &str) -> Answer {
    // The coded schemes count in half octets, and the standard prints them so.
    let coded = line.get(..2).and_then(|header| u8::from_str_radix(header, 16).ok()).is_some_and(is_coded);
    let padded = if coded && line.len() % 2 == 1 { format!("{line}0") } else { line.to_owned() };
    let bad = |reason: String, position| Answer::Bad { input: line.to_owned(), error: Fault { reason, position } };
    let octets = match octets(&padded) {
        Ok(octets) => octets,
        Err((reason, position)) => return bad(reason, position),
    };
    let Some(epc) = Epc::new(&octets) else {
        return bad(format!("{} octets, a tag holds at most {LEN_MAX}", octets.len()), LEN_MAX * 8);
    };
    match Identity::decode(&epc) {
        Ok(identity) => Answer::Good(Box::new(Decoded {
            input: line.to_owned(),
            scheme: identity.scheme().name(),
            tag_uri: identity.scheme().has_uri().then(|| TagUri(&identity).to_string()),
            pure_uri: identity.scheme().has_uri().then(|| PureUri(&identity).to_string()),
            element_string: identity.scheme().is_gs1().then(|| ElementString(&identity).to_string()),
            digital_link: identity.scheme().is_gs1().then(|| DigitalLink(&identity).to_string()),
            filter: identity.filter(),
            ais: identity.ais().map(|(ai, value)| (ai.to_string(), value.to_string())).collect(),
        })),
        Err(error) => bad(error.reason.to_string(), error.position),
    }
}

/// Whether a header is one of the '+' and '++' schemes (TDS 2.3 table 14-1).
fn is_coded(header: u8) -> bool {
    matches!(header, 0xE6..=0xFD)
}

#[cfg(test)]
mod tests {
    use crate::cli::testing::{at_terminal, json, stowage};
    use serde_json::json;

    #[test]
    fn each_line_has_an_answer() {
        let input = b"3066C4409047E140075BCD15\n3066c4409047e140075bcd15\r\n\n30XY\n303\nE280\n";
        let (status, out, err) = stowage(&["decode", "epc"], input);
        let lines = json(&out);
        assert_eq!((status, err.as_str(), lines.len()), (0, "", 6));
        assert_eq!(
            lines[0],
            json!({
                "input": "3066C4409047E140075BCD15",
                "scheme": "sgtin-96",
                "tag_uri": "urn:epc:tag:sgtin-96:3.95060001343.05.123456789",
                "pure_uri": "urn:epc:id:sgtin:95060001343.05.123456789",
                "element_string": "(01)09506000134352(21)123456789",
                "digital_link": "https://id.gs1.org/01/09506000134352/21/123456789",
                "filter": 3,
                "ais": [["01", "09506000134352"], ["21", "123456789"]],
            })
        );
        assert_eq!(lines[1]["pure_uri"], lines[0]["pure_uri"], "either case");
        assert_eq!(lines[2]["error"], json!({"reason": "0 bits, at least 8 are needed", "position": 0}));
        assert_eq!(lines[3], json!({"input": "30XY", "error": {"reason": "'X' is no hex digit", "position": 2}}));
        assert_eq!(lines[4]["error"]["position"], 3);
        assert!(lines[5]["error"]["reason"].as_str().is_some_and(|reason| reason.contains("TID")), "{out}");
        let long = "00".repeat(63);
        assert_eq!(json(&stowage(&["decode", "epc"], long.as_bytes()).1)[0]["error"]["position"], 496);
    }

    #[test]
    fn a_plus_scheme_has_a_digital_link_and_no_urn() {
        let input =
            b"FC342CDE795211411234538566CB0AFC525065F1876F0D996D80\nF7379521141123453\n35AB1F5A7AA44A0E409EA639\n";
        let lines = json(&stowage(&["decode", "epc"], input).1);
        assert_eq!(lines[0]["scheme"], "DSGTIN++");
        assert_eq!(lines[0]["digital_link"], "https://id.example.com/01/79521141123453/21/32a%2Fb?17=220630");
        assert_eq!((&lines[0]["tag_uri"], &lines[0]["pure_uri"]), (&json!(null), &json!(null)));
        assert_eq!(lines[1]["error"]["position"], 72, "half an octet is filled up, the serial is missing");
        assert_eq!(lines[2]["pure_uri"], "urn:epc:id:gid:179434919.11158688.61213681209");
        assert_eq!((&lines[2]["filter"], &lines[2]["digital_link"]), (&json!(null), &json!(null)));
    }

    #[test]
    fn people_get_a_table() {
        let (_, out, _) = at_terminal(&["decode", "epc"], b"3066C4409047E140075BCD15\nzz\n");
        let lines: Vec<&str> = out.lines().collect();
        assert!(lines[0].starts_with("INPUT") && lines[1].contains("(01)09506000134352(21)123456789"), "{out}");
        assert!(lines[2].contains("'z' is no hex digit (at 0)"), "{out}");
    }

    #[test]
    fn a_file_is_read_and_a_missing_one_fails_the_job() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("epcs");
        std::fs::write(&path, "30\n").expect("writes");
        assert_eq!(json(&stowage(&["decode", "epc", path.to_str().expect("text")], b"").1).len(), 1);
        let (status, _, err) = stowage(&["decode", "epc", "/no/such/file"], b"");
        assert!(status == 1 && err.starts_with("stowage: /no/such/file: "), "{err}");
    }
}
