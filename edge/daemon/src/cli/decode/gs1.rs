//! `stowage decode gs1`.

use crate::cli::output::{Line, to_json};
use serde::Serialize;
use stowage_gs1::barcode::{Barcode, classify};
use stowage_gs1::element::{ElementError, Elements, Reason};

type Ais = Vec<(String, String)>;

#[derive(Debug, Serialize)]
pub(super) struct Answer {
    input: String,
    ok: bool,
    #[serde(flatten)]
    said: Said,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Said {
    Good {
        ais: Ais,
        /// What a code without elements is.
        #[serde(flatten)]
        bare: Option<Bare>,
    },
    /// `lenient_ais`: what it says if an element may stand without the one that it needs beside it.
    Bad { error: Fault, lenient_ais: Option<Ais> },
}

#[derive(Debug, Serialize)]
struct Bare {
    kind: &'static str,
    key: String,
}

#[derive(Debug, Serialize)]
struct Fault {
    ai: Option<String>,
    /// Octet of the input, from 0.
    position: usize,
    reason: String,
}

impl Line for Answer {
    const COLUMNS: &'static [(&'static str, usize)] = &[("input", 40), ("ok", 4), ("elements", 0)];

    fn cells(&self) -> Vec<String> {
        let shown = |ais: &Ais| ais.iter().map(|(ai, value)| format!("({ai}){value}")).collect::<Vec<_>>().join(" ");
        let (ok, text) = match &self.said {
            Said::Good { bare: Some(bare), .. } => ("yes", format!("{} {}", bare.kind, bare.key)),
            Said::Good { ais, .. } => ("yes", shown(ais)),
            Said::Bad { error, .. } => {
                let ai = error.ai.as_ref().map(|ai| format!("({ai}) ")).unwrap_or_default();
                ("no", format!("{ai}{} (at {})", error.reason, error.position))
            }
        };
        vec![self.input.replace('\u{1D}', "^"), ok.into(), text]
    }

    fn json(&self) -> String {
        to_json(self)
    }

    fn is_bad(&self) -> bool {
        !self.ok
    }
}

/// Decodes one scan.
pub(super) fn decode(line: &str) -> Answer {
    let (ok, said) = match read(line) {
        Ok((ais, bare)) => (true, Said::Good { ais, bare }),
        Err((error, lenient_ais)) => {
            let ElementError { ai, position, reason } = error;
            let error = Fault { ai: ai.map(|ai| ai.to_string()), position, reason: reason.to_string() };
            (false, Said::Bad { error, lenient_ais })
        }
    };
    Answer { input: line.to_owned(), ok, said }
}

type Read = Result<(Ais, Option<Bare>), (ElementError, Option<Ais>)>;

fn read(line: &str) -> Read {
    // A composite symbol: the linear part, then the two-dimensional one, as GS1's own engine writes it.
    if let Some((linear, more)) = line.split_once('|')
        && (more.starts_with('^') || more.starts_with("]e0"))
    {
        if linear.starts_with("]E") {
            return read(linear).and_then(|_| read(more)).map_err(|(error, _)| (error, None));
        }
        if linear.starts_with('^') {
            return read(&format!("{linear}{more}"));
        }
    }
    let bare = |kind, key| Ok((Vec::new(), Some(Bare { kind, key })));
    match (classify(line).map_err(|error| (error, None))?, Elements::parse(line)) {
        (Barcode::Gs1(elements), _) | (Barcode::Other(_), Ok(elements)) => {
            let ais = elements.iter().map(|element| (element.ai.to_string(), element.value.to_string())).collect();
            match elements.check_companions() {
                Ok(()) => Ok((ais, None)),
                Err(error) => Err((error, Some(ais))),
            }
        }
        // A symbol that may hold anything does so.
        (Barcode::Other(text), Err(error)) => match error.reason {
            Reason::NoElements if line.starts_with(']') => bare("text", text.to_owned()),
            _ => Err((error, None)),
        },
        (Barcode::Gtin { kind, gtin }, _) => bare(kind.name(), format!("{gtin:014}")),
        (Barcode::Sscc(sscc), _) => bare("sscc", format!("{sscc:018}")),
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::testing::{at_terminal, json, stowage};
    use serde_json::json;

    #[test]
    fn each_scan_has_an_answer() {
        let input = "]d20109506000134352\u{1D}17270300\n(01)09506000134352(10)L\\(7\n\
            https://id.gs1.org/01/09506000134352/10/L?17=270300\n^0109506000134353\n(10)LOT7\n]E04006381333931\n\
            ^99ABC|^0109506000134352^10DEF\n]A0X\n";
        let (status, out, err) = stowage(&["decode", "gs1"], input.as_bytes());
        let lines = json(&out);
        assert_eq!((status, err.as_str(), lines.len()), (0, "", 8));
        assert_eq!(lines[0]["ais"], json!([["01", "09506000134352"], ["17", "270300"]]));
        assert_eq!(
            lines[1],
            json!({
                "input": r"(01)09506000134352(10)L\(7", "ok": true, "ais": [["01", "09506000134352"], ["10", "L(7"]]
            })
        );
        assert_eq!(lines[2]["ais"], json!([["01", "09506000134352"], ["10", "L"], ["17", "270300"]]));
        let error = json!({"ai": "01", "position": 16, "reason": "check digit 3, must be 2"});
        assert_eq!(lines[3], json!({"input": "^0109506000134353", "ok": false, "error": error, "lenient_ais": null}));
        assert_eq!(lines[4]["lenient_ais"], json!([["10", "LOT7"]]));
        assert_eq!((&lines[5]["ais"], &lines[5]["kind"]), (&json!([]), &json!("ean-13")));
        assert_eq!(lines[6]["ais"], json!([["99", "ABC"], ["01", "09506000134352"], ["10", "DEF"]]));
        assert_eq!(lines[7]["ok"], false);
    }

    #[test]
    fn people_get_a_table_with_faults_in_red() {
        let (_, out, _) = at_terminal(&["decode", "gs1"], b"(01)09506000134353\n");
        assert!(out.contains("check digit 3, must be 2 (at 17)"), "{out}");
    }
}
