//! `stowage decode vda5050`.

use super::Input;
use crate::cli::Error;
use crate::cli::output::{Line, Output, to_json};
use serde::Serialize;
use serde_json::Value;
use std::io::Read;
use stowage_protocol::vda5050::model::{Message, Order};
use stowage_protocol::vda5050::{Fault, Topic, Verdict, Version, check, rules};

/// Messages of mobile robots and their fleet control, one a line: what they say in one spelling for all versions, and
/// what is wrong with them, by the official schema or by the standard's other rules
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    input: Input,
    /// 2.0, 2.1 or 3.0
    #[arg(long, value_parser = version)]
    version: Version,
    /// The topic's last level
    #[arg(long, value_parser = topic)]
    topic: Topic,
}

fn version(name: &str) -> Result<Version, String> {
    Version::named(name).ok_or_else(|| "give 2.0, 2.1 or 3.0".into())
}

fn topic(name: &str) -> Result<Topic, String> {
    let known = || Topic::ALL.map(Topic::name).join(", ");
    Topic::named(name).ok_or_else(|| format!("give one of {}", known()))
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer {
    Good {
        version: &'static str,
        topic: &'static str,
        valid: bool,
        message: Value,
        /// What breaks rules that the schema doesn't tell.
        rules: Vec<Fault>,
    },
    Bad {
        version: &'static str,
        topic: &'static str,
        valid: bool,
        input: String,
        /// The first of `errors`.
        error: Fault,
        errors: Vec<Fault>,
    },
}

impl Line for Answer {
    const COLUMNS: &'static [(&'static str, usize)] = &[("valid", 8), ("message", 0)];

    fn cells(&self) -> Vec<String> {
        let all = |faults: &[Fault]| faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("; ");
        match self {
            Self::Good { message, rules, .. } if rules.is_empty() => vec!["yes".into(), message.to_string()],
            Self::Good { message, rules, .. } => vec!["yes, but".into(), format!("{}: {message}", all(rules))],
            Self::Bad { errors, .. } => vec!["no".into(), all(errors)],
        }
    }

    fn is_bad(&self) -> bool {
        matches!(self, Self::Bad { .. })
    }

    fn json(&self) -> String {
        to_json(self)
    }
}

pub(super) fn run(args: &Args, stdin: &mut dyn Read, out: &mut Output<'_>) -> Result<(), Error> {
    let mut before = None;
    args.input.lines(stdin, |line| Ok(out.line(&decode(args.version, args.topic, line, &mut before))?))
}

/// `before`: the last order; what an update must be depends on it.
fn decode(version: Version, topic: Topic, line: &str, before: &mut Option<Order>) -> Answer {
    let Verdict { valid, faults, normal, message } = check(version, topic, line.as_bytes());
    let (version, topic) = (version.name(), topic.name());
    let mut faults = faults;
    let message = match (normal, message) {
        (Some(normal), message) if valid => {
            if let Some(Message::Order(order)) = message {
                let robot = |order: &Order| (order.header.manufacturer.clone(), order.header.serial_number.clone());
                let same_robot = before.as_ref().filter(|before| robot(before) == robot(&order));
                let follows = same_robot.map_or_else(Vec::new, |before| rules::follows(before, &order));
                if follows.is_empty() {
                    // What doesn't follow, no robot takes.
                    *before = Some(order);
                }
                faults.extend(follows);
            }
            normal
        }
        (_, _) => {
            let error = faults.first().cloned();
            // What isn't valid has a fault.
            let error = error.unwrap_or_else(|| unreachable!("no verdict is without a reason"));
            return Answer::Bad { version, topic, valid, input: line.to_owned(), error, errors: faults };
        }
    };
    Answer::Good { version, topic, valid, message, rules: faults }
}

#[cfg(test)]
mod tests {
    use crate::cli::testing::{at_terminal, json, stowage};
    use serde_json::json;

    const ORDER: &str = r#"{"headerId":1,"timestamp":"2026-11-24T22:10:07.10Z","version":"2.1.0","manufacturer":"KIT","serialNumber":"0001","orderId":"o","orderUpdateId":0,"nodes":[{"nodeId":"A","sequenceId":0,"released":true,"actions":[],"nodePosition":{"x":1.0,"y":2.5,"mapId":"m","allowedDeviationXY":0.5}}],"edges":[]}"#;

    #[test]
    fn messages_in_one_spelling_and_what_is_wrong_with_them() {
        let other = ORDER.replace("\"A\"", "\"B\"");
        let update = other.replace("\"orderUpdateId\":0", "\"orderUpdateId\":1");
        let odd = ORDER.replace("\"sequenceId\":0", "\"sequenceId\":1").replace("\"o\"", "\"p\"");
        let bad = ORDER.replace("\"sequenceId\":0", "\"sequenceId\":-2").replace("\"released\":true,", "");
        let lines = [ORDER, &other, &update, &odd, &bad, "{"].join("\n");
        let (status, out, err) =
            stowage(&["decode", "vda5050", "--version", "2.1", "--topic", "order"], lines.as_bytes());
        let lines = json(&out);
        assert_eq!((status, err.as_str(), lines.len()), (0, "", 6));
        assert_eq!((&lines[0]["valid"], &lines[0]["rules"]), (&json!(true), &json!([])));
        let position = &lines[0]["message"]["nodes"][0]["nodePosition"];
        assert_eq!(
            *position,
            json!({"x": 1, "y": 2.5, "mapId": "m", "allowedDeviationXY": {"a": 0.5, "b": 0.5, "theta": 0}})
        );
        assert_eq!(
            (&lines[1]["rules"][0]["kind"], &lines[2]["rules"][0]["kind"]),
            (&json!("update"), &json!("stitching"))
        );
        assert_eq!(lines[3]["rules"][0]["kind"], "sequence");
        let error = json!({"kind": "schema", "path": "nodes[0].sequenceId", "reason": "is -2, expected 0 or more"});
        assert_eq!((&lines[4]["valid"], &lines[4]["error"]), (&json!(false), &error));
        assert_eq!(lines[4]["errors"][1]["reason"], "missing, expected a boolean");
        assert_eq!(lines[5]["error"]["kind"], "syntax");
        let (_, table, _) =
            at_terminal(&["decode", "vda5050", "--version", "3.0.0", "--topic", "order"], bad.as_bytes());
        assert!(table.contains("nodes[0].sequenceId is -2, expected 0 or more"), "{table}");
        let (status, _, err) = stowage(&["decode", "vda5050", "--version", "1.1", "--topic", "order"], b"");
        assert!(status == 2 && err.contains("give 2.0, 2.1 or 3.0"), "{err}");
    }
}
