//! What people have readers do beside looking: read and write a tag's memory, give it its EPC, lock, kill; set an
//! output. Nothing here is tried twice: whoever asks sees how it ended, and decides.

use super::App;
use super::api::label;
use super::problem::Problem;
use crate::drivers::Order;
use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use stowage_base::access::{Bank, Lock, LockField, Op, WORDS_MAX};
use stowage_base::{CommandError, Epc, ReaderCommand, TagOp, Words};
use tokio::sync::oneshot;

/// Longer than a session waits for a reader and a tag, so that its own answer comes first.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// A command as asked for.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Asked {
    Read { tag: String, bank: BankName, word: u16, words: u8, password: Option<String>, antenna: Option<u16> },
    Write { tag: String, bank: BankName, word: u16, data: String, password: Option<String>, antenna: Option<u16> },
    WriteEpc { tag: String, epc: String, password: Option<String>, antenna: Option<u16> },
    Lock { tag: String, field: FieldName, lock: LockName, password: Option<String>, antenna: Option<u16> },
    Kill { tag: String, kill_password: String, antenna: Option<u16> },
    Output { port: u16, on: bool },
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum BankName {
    Reserved,
    Epc,
    Tid,
    User,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FieldName {
    KillPassword,
    AccessPassword,
    Epc,
    Tid,
    User,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum LockName {
    Lock,
    Permanent,
    PermanentlyOpen,
    Open,
}

impl From<BankName> for Bank {
    fn from(name: BankName) -> Self {
        match name {
            BankName::Reserved => Self::Reserved,
            BankName::Epc => Self::Epc,
            BankName::Tid => Self::Tid,
            BankName::User => Self::User,
        }
    }
}

impl From<FieldName> for LockField {
    fn from(name: FieldName) -> Self {
        match name {
            FieldName::KillPassword => Self::KillPassword,
            FieldName::AccessPassword => Self::AccessPassword,
            FieldName::Epc => Self::Epc,
            FieldName::Tid => Self::Tid,
            FieldName::User => Self::User,
        }
    }
}

impl From<LockName> for Lock {
    fn from(name: LockName) -> Self {
        match name {
            LockName::Lock => Self::Lock,
            LockName::Permanent => Self::Permanent,
            LockName::PermanentlyOpen => Self::PermanentlyOpen,
            LockName::Open => Self::Open,
        }
    }
}

fn epc(field: &'static str, hex: &str) -> Result<Epc, Problem> {
    let whole = hex.len().is_multiple_of(4) && !hex.is_empty();
    Epc::from_hex(hex).filter(|_| whole).ok_or_else(|| {
        Problem::bad(field, format!("{field} {hex:?} is no EPC: give 4 to 124 hex digits, four for each word"))
    })
}

/// A password: eight hex digits; none is 0.
fn password(field: &'static str, hex: Option<&str>) -> Result<u32, Problem> {
    let Some(hex) = hex else { return Ok(0) };
    // The digits stay out of the answer: it may be logged.
    let wrong = || Problem::bad(field, format!("{field} is no password: give eight hex digits"));
    let digits = hex.len() == 8 && hex.bytes().all(|digit| digit.is_ascii_hexdigit());
    u32::from_str_radix(hex, 16).ok().filter(|_| digits).ok_or_else(wrong)
}

/// Words in hex.
fn words(field: &'static str, hex: &str) -> Result<Words, Problem> {
    let wrong = || {
        Problem::bad(field, format!("{field} is no data: give 4 to {} hex digits, four for each word", 4 * WORDS_MAX))
    };
    let digits = !hex.is_empty() && hex.len().is_multiple_of(4) && hex.bytes().all(|digit| digit.is_ascii_hexdigit());
    if !digits {
        return Err(wrong());
    }
    let word = |at: usize| u16::from_str_radix(hex.get(at..at + 4).unwrap_or_default(), 16).unwrap_or(0);
    Words::new((0..hex.len()).step_by(4).map(word)).ok_or_else(wrong)
}

impl Asked {
    fn checked(&self) -> Result<ReaderCommand, Problem> {
        let op = |tag: &str, antenna: Option<u16>, secret: Option<&str>, op: Op| {
            if antenna == Some(0) {
                return Err(Problem::bad("antenna", "antenna 0: ports count from 1; leave it out for any"));
            }
            Ok(ReaderCommand::Tag(TagOp {
                tag: epc("tag", tag)?,
                antenna,
                password: password("password", secret)?,
                op,
            }))
        };
        match self {
            Self::Read { tag, bank, word, words, password, antenna } => {
                if !(1..=WORDS_MAX).contains(&usize::from(*words)) {
                    return Err(Problem::bad("words", format!("words is {words}: give 1 to {WORDS_MAX}")));
                }
                let read = Op::Read { bank: (*bank).into(), word: *word, count: *words };
                op(tag, *antenna, password.as_deref(), read)
            }
            Self::Write { tag, bank, word, data, password, antenna } => {
                let write = Op::Write { bank: (*bank).into(), word: *word, data: words("data", data)? };
                op(tag, *antenna, password.as_deref(), write)
            }
            Self::WriteEpc { tag, epc: new, password, antenna } => {
                op(tag, *antenna, password.as_deref(), Op::WriteEpc(epc("epc", new)?))
            }
            Self::Lock { tag, field, lock, password, antenna } => {
                let lock = Op::Lock { field: (*field).into(), lock: (*lock).into() };
                op(tag, *antenna, password.as_deref(), lock)
            }
            Self::Kill { tag, kill_password, antenna } => {
                let password = password("kill_password", Some(kill_password))?;
                if password == 0 {
                    let detail =
                        "kill_password is 0: no tag can be killed by it; write another into its reserved bank first";
                    return Err(Problem::bad("kill_password", detail));
                }
                op(tag, *antenna, None, Op::Kill { password })
            }
            Self::Output { port: 0, .. } => Err(Problem::bad("port", "port 0: outputs count from 1")),
            Self::Output { port, on } => Ok(ReaderCommand::Output { port: *port, on: *on }),
        }
    }
}

/// Has a reader do something, and answers once it is done.
pub(super) async fn command(
    State(app): State<App>,
    id: Result<Path<String>, PathRejection>,
    asked: Result<Json<Asked>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let Path(id) = id.map_err(|rejection| Problem::new(rejection.status(), "Bad request", rejection.body_text()))?;
    let Json(asked) =
        asked.map_err(|rejection| Problem::new(rejection.status(), "No command", rejection.body_text()))?;
    let command = asked.checked()?;
    let id = label("id", &id)?;
    let Some(reader) = app.shared.readers.get(&id) else {
        let detail = format!("there is no reader {id} that takes commands: LLRP readers do");
        return Err(Problem::new(StatusCode::NOT_FOUND, "Not found", detail));
    };
    let (reply, answer) = oneshot::channel();
    let done = match reader.try_send(Order { command, reply }) {
        Err(_) => Err(CommandError::Busy),
        Ok(()) => match tokio::time::timeout(ANSWER_WITHIN, answer).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) | Err(_) => Err(CommandError::Down),
        },
    };
    match done {
        Ok(words) => {
            let hex: String = words.as_slice().iter().map(|word| format!("{word:04X}")).collect();
            Ok(Json(json!({ "reader": id, "done": true, "data": hex })))
        }
        Err(error) => Err(failed(error)),
    }
}

/// Why a command wasn't done, and what to do about it.
fn failed(error: CommandError) -> Problem {
    use CommandError as E;
    let (status, title, detail) = match error {
        E::Unsupported => {
            (StatusCode::NOT_IMPLEMENTED, "Unsupported", "this reader's protocol has no such command here")
        }
        E::Down => (
            StatusCode::SERVICE_UNAVAILABLE,
            "Down",
            "the reader is not connected, or was lost before it answered: if a tag was written, read it",
        ),
        E::Busy => (StatusCode::SERVICE_UNAVAILABLE, "Busy", "the reader works on another command: ask again"),
        E::NoTag => {
            (StatusCode::CONFLICT, "No tag", "no tag with this EPC answered within 5 s: bring it nearer to the antenna")
        }
        E::NoResponse => (
            StatusCode::CONFLICT,
            "No response",
            "the tag stopped answering: the password may be wrong, or it is too far away; read it before you try again",
        ),
        E::Overrun => (StatusCode::UNPROCESSABLE_ENTITY, "No such memory", "the tag hasn't so many words there"),
        E::Locked => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "Locked",
            "this memory is locked: give its access password; what is locked permanently stays so",
        ),
        E::Power => (
            StatusCode::CONFLICT,
            "Too little power",
            "the tag gets too little power to be written: bring it nearer to the antenna",
        ),
        E::ZeroKillPassword => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "No kill password",
            "the tag's kill password is 0: write another into its reserved bank first",
        ),
        E::Tag => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "Refused by the tag",
            "the tag refuses it and doesn't say why: mostly a password is missing, or its chip can't do it",
        ),
        E::Reader => {
            (StatusCode::BAD_GATEWAY, "Failed", "the reader failed and doesn't say why: ask again, then restart it")
        }
        E::Differs => (
            StatusCode::CONFLICT,
            "Not verified",
            "what was read back differs from what was written: bring the tag nearer and write again",
        ),
        E::Refused(code) => {
            let detail = format!("the reader refuses it with status {code}; what it said is in its device's faults");
            return Problem::new(StatusCode::BAD_GATEWAY, "Refused", detail);
        }
    };
    Problem::new(status, title, detail)
}
