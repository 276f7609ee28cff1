//! `stowage encode`: a tag's bits from what they are to say. What can't be encoded is an answer too.

use super::Error;
use super::decode::Input;
use super::output::{Line, Output, to_json};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Read;
use stowage_gs1::element::Elements;
use stowage_gs1::epc::{Identity, Scheme};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Tag URIs or JSON objects, one a line: the EPC in hex
    ///
    /// An object has the scheme (sgtin-96, SGTIN+, …), the filter (0 if left out) and "ai", the application identifiers
    /// with their values, or "element_string" or "digital_link" instead. Schemes with a company prefix need
    /// "company_prefix"; '++' schemes need "host" unless it is in the link.
    Epc(Input),
}

pub(super) fn run(command: &Command, stdin: &mut dyn Read, out: &mut Output<'_>) -> Result<(), Error> {
    let Command::Epc(input) = command;
    input.lines(stdin, |line| Ok(out.line(&encode(line))?))
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer {
    Good { input: String, hex: String, bits: usize },
    Bad { input: String, error: Fault },
}

#[derive(Debug, Serialize)]
struct Fault {
    reason: String,
    /// Of a URI or element string, the octet; of an EPC that is being made, the bit; of JSON, the column; from 0.
    position: usize,
}

impl Line for Answer {
    const COLUMNS: &'static [(&'static str, usize)] = &[("bits", 4), ("hex", 32), ("input", 0)];

    fn cells(&self) -> Vec<String> {
        match self {
            Self::Good { input, hex, bits } => vec![bits.to_string(), hex.clone(), input.clone()],
            Self::Bad { input, error } => {
                vec!["-".into(), format!("{} (at {})", error.reason, error.position), input.clone()]
            }
        }
    }

    fn json(&self) -> String {
        to_json(self)
    }

    fn is_bad(&self) -> bool {
        matches!(self, Self::Bad { .. })
    }
}

/// What to encode, as written.
#[derive(Debug, Deserialize)]
struct Wish {
    scheme: String,
    #[serde(default)]
    filter: u8,
    #[serde(default)]
    ai: BTreeMap<String, String>,
    element_string: Option<String>,
    digital_link: Option<String>,
    company_prefix: Option<String>,
    host: Option<String>,
}

fn encode(line: &str) -> Answer {
    let made = if line.starts_with('{') {
        of_json(line)
    } else {
        Identity::parse_tag_uri(line).map_err(|error| (error.reason.to_string(), error.position))
    };
    let input = line.to_owned();
    match made {
        Ok(identity) => Answer::Good { input, hex: identity.encode().to_string(), bits: identity.bits() },
        Err((reason, position)) => Answer::Bad { input, error: Fault { reason, position } },
    }
}

fn of_json(line: &str) -> Result<Identity, (String, usize)> {
    let wish: Wish = serde_json::from_str(line).map_err(|error| (error.to_string(), error.column()))?;
    let scheme = Scheme::of_name(&wish.scheme).ok_or((format!("{:?} is no scheme", wish.scheme), 0))?;
    let text = match (wish.ai.is_empty(), &wish.digital_link, &wish.element_string) {
        (false, ..) => {
            // AIDC data goes in the order of its numbers.
            let mut ais: Vec<_> = wish.ai.iter().collect();
            ais.sort_by_key(|(ai, _)| ai.parse::<u32>().unwrap_or(u32::MAX));
            ais.iter().map(|(ai, value)| format!("({ai}){}", value.replace('(', r"\("))).collect()
        }
        (true, Some(link), _) => link.clone(),
        (true, None, Some(elements)) => elements.clone(),
        (true, None, None) => return Err(("expected \"ai\", \"element_string\" or \"digital_link\"".into(), 0)),
    };
    let elements = Elements::parse_unpaired(&text).map_err(|error| (error.to_string(), error.position))?;
    let of_link = wish.digital_link.as_deref().and_then(|link| link.split("://").nth(1)?.split('/').next());
    let prefix_len = match &wish.company_prefix {
        Some(prefix) => u8::try_from(prefix.len()).unwrap_or(u8::MAX),
        None if scheme.is_partitioned() => return Err((format!("{} needs \"company_prefix\"", wish.scheme), 0)),
        None => 0,
    };
    let identity = Identity::in_scheme(scheme, &elements, prefix_len, wish.filter, wish.host.as_deref().or(of_link))
        .map_err(|error| (error.reason.to_string(), error.position))?;
    let given = identity.company_prefix().map(|prefix| prefix.to_string());
    match &wish.company_prefix {
        Some(prefix) if scheme.is_partitioned() && given.as_ref() != Some(prefix) => {
            Err((format!("the key does not begin with company prefix {prefix:?}"), 0))
        }
        _ => Ok(identity),
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::testing::{at_terminal, json, stowage};
    use serde_json::json;

    #[test]
    fn each_line_has_an_answer() {
        let input = br#"urn:epc:tag:sgtin-96:3.95060001343.05.123456789
{"scheme":"SGTIN+","filter":3,"ai":{"01":"79521141123453","21":"32a/b"}}
{"scheme":"sgtin-96","filter":3,"company_prefix":"95060001343","ai":{"01":"09506000134352","21":"123456789"}}
{"scheme":"SGTIN++","filter":3,"digital_link":"https://id.example.com/01/79521141123453/21/32a%2Fb"}
urn:epc:tag:sgtin-96:3.95060001343.05.0123
{"scheme":"SGTIN+","ai":{"01":"79521141123454","21":"1"}}
{"scheme":"sgtin-96","ai":{"01":"09506000134352","21":"1"}}
{"scheme":"SGTIN+"
"#;
        let (status, out, _) = stowage(&["encode", "epc"], input);
        let lines = json(&out);
        assert_eq!((status, lines.len()), (0, 8));
        assert_eq!(
            lines[0],
            json!({
                "input": "urn:epc:tag:sgtin-96:3.95060001343.05.123456789", "hex": "3066C4409047E140075BCD15", "bits": 96
            })
        );
        assert_eq!(lines[1]["hex"], "F73795211411234538566CB0AFC4");
        assert_eq!(lines[2]["hex"], lines[0]["hex"]);
        assert_eq!(lines[3]["hex"], "FD3795211411234538566CB0AFC525065F1876F0D996D800");
        assert_eq!(lines[4]["error"], json!({"reason": "a number must not begin with a zero", "position": 38}));
        assert_eq!(lines[5]["error"]["reason"], "(01): check digit 4, must be 3");
        assert_eq!(lines[6]["error"]["reason"], "sgtin-96 needs \"company_prefix\"");
        assert!(lines[7]["error"]["reason"].is_string());
        assert!(at_terminal(&["encode", "epc"], input).1.starts_with("BITS"));
    }
}
