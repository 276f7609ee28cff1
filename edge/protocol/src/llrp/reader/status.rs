//! What a reader says to what it can't do (LLRPStatus, LLRP 1.0.1 §14.2.2).

use crate::llrp::Tree;
use crate::llrp::tree::{DecodeError, Expectation, Layer, Value};

/// Status codes: where parameters have their own, the message's, 100 below it, is made of it.
pub(super) mod code {
    pub(in super::super) const PARAMETER_ERROR: u16 = 200;
    pub(in super::super) const FIELD_ERROR: u16 = 201;
    pub(in super::super) const UNEXPECTED_PARAMETER: u16 = 202;
    pub(in super::super) const MISSING_PARAMETER: u16 = 203;
    pub(in super::super) const DUPLICATE_PARAMETER: u16 = 204;
    pub(in super::super) const OVERFLOW_PARAMETER: u16 = 205;
    pub(in super::super) const UNKNOWN_PARAMETER: u16 = 207;
    pub(in super::super) const UNSUPPORTED_PARAMETER: u16 = 209;
    pub(in super::super) const INVALID: u16 = 300;
    pub(in super::super) const OUT_OF_RANGE: u16 = 301;
    /// Of messages only.
    pub(in super::super) const UNSUPPORTED_MESSAGE: u16 = 109;
    pub(in super::super) const UNSUPPORTED_VERSION: u16 = 110;
}

/// Why a message is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// See [`code`].
    pub(super) code: u16,
    /// The types of the parameter at fault and of those around it, innermost first; none if it is the message.
    pub(super) path: Vec<u16>,
    /// The number of the field at fault, if it is one.
    pub(super) field: Option<u16>,
    /// In words.
    pub(super) what: String,
}

impl Refusal {
    /// Of a message or parameter as a whole.
    pub(super) fn message(code: u16, what: String) -> Self {
        Self { code, path: Vec::new(), field: None, what }
    }

    /// Of a field of `tree`.
    pub(super) fn field(tree: &Tree, field: &str, code: u16, what: &str) -> Self {
        let value = match tree.value(field) {
            Value::Number(number) => (*number as i64).to_string(),
            Value::Numbers(numbers) => format!("{numbers:?}"),
            Value::Octets(_) | Value::Bits { .. } | Value::Text(_) => String::new(),
        };
        let what = format!("{}.{field} {value} {what}", tree.name());
        Self { code, path: Vec::new(), field: Some(tree.field_number(field)), what }
    }

    /// The same, seen from outside of the parameter of type `kind`.
    pub(super) fn within(mut self, kind: u16) -> Self {
        self.path.push(kind);
        self
    }

    /// The code that the answer begins with.
    pub(super) fn top(&self) -> u16 {
        match (self.path.is_empty(), self.field) {
            (false, _) => code::PARAMETER_ERROR - 100,
            (true, Some(_)) => code::FIELD_ERROR - 100,
            (true, None) if (200..300).contains(&self.code) => self.code - 100,
            (true, None) => self.code,
        }
    }

    /// The LLRPStatus: its ParameterErrors lead to the fault, its FieldError names the field.
    pub(super) fn status(&self) -> Tree {
        let field = self.field.map(|field| Tree::new("FieldError").set("FieldNum", field).set("ErrorCode", self.code));
        let status = Tree::new("LLRPStatus").set("StatusCode", self.top()).set("ErrorDescription", &*self.what);
        let Some((innermost, around)) = self.path.split_first() else { return status.with_all(field) };
        let own = if field.is_some() { code::FIELD_ERROR } else { self.code };
        let parameter = |kind: u16| Tree::new("ParameterError").set("ParameterType", kind);
        let error = parameter(*innermost).set("ErrorCode", own).with_all(field);
        status.with(
            around
                .iter()
                .fold(error, |error, kind| parameter(*kind).set("ErrorCode", code::PARAMETER_ERROR).with(error)),
        )
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        let code = match (&error.expectation, error.layer) {
            (Expectation::Version { .. }, _) => code::UNSUPPORTED_VERSION,
            (Expectation::Message { .. }, _) => code::UNSUPPORTED_MESSAGE,
            (Expectation::Missing { .. }, _) => code::MISSING_PARAMETER,
            (Expectation::Unexpected { .. }, _) => code::UNEXPECTED_PARAMETER,
            (Expectation::Duplicate { .. }, _) => code::DUPLICATE_PARAMETER,
            (Expectation::Tv { .. }, _) => code::UNKNOWN_PARAMETER,
            (_, Layer::Field) => code::FIELD_ERROR,
            (_, Layer::Frame | Layer::Version | Layer::Message | Layer::Parameter) => code::PARAMETER_ERROR,
        };
        let what = error.to_string();
        let mut path = error.path;
        if let Expectation::Missing { kind, .. } = error.expectation {
            path.insert(0, kind);
        }
        Self { code, path, field: None, what }
    }
}
