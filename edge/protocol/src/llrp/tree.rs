//! Any LLRP message as a tree of named values, by the [`definition`]: decoded, built, encoded, told as JSON.
//!
//! For all but tag reports on their hot path ([`report`](super::report)). A tree that was decoded encodes to the same
//! octets again, reserved bits and unknown parameters included, save the six reserved bits of a TLV's type.

use super::definition::{self, Definition, Field, Form, Type};
use super::frame::{Frame, FrameError, HEADER_LEN};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::fmt;

/// Deepest nesting of parameters that is decoded; the standard's own goes to 8 (save for nested errors).
pub const DEPTH_MAX: usize = 16;

/// Most parameters in a message that is decoded: bounds the memory that 4 MiB of input can ask for.
pub const PARAMETERS_MAX: usize = 1 << 18;

/// The versions that [`definition`] describes.
const VERSIONS: std::ops::RangeInclusive<u8> = 1..=2;

/// The value of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A number; negative ones in 64-bit two's complement.
    Number(u64),
    /// A list of numbers.
    Numbers(Vec<u64>),
    /// A fixed bit string, or the octets up to the end.
    Octets(Vec<u8>),
    /// A counted bit string, left-aligned.
    Bits {
        /// How many bits.
        count: u16,
        /// They, filled up to whole octets.
        octets: Vec<u8>,
    },
    /// Text.
    Text(String),
}

macro_rules! from_number {
    ($($ty:ty),*) => { $(impl From<$ty> for Value {
        fn from(number: $ty) -> Self {
            Self::Number(number as u64)
        }
    })* };
}
from_number!(bool, u8, u16, u32, u64, i8, i16, i32, i64);

impl From<Vec<u64>> for Value {
    fn from(numbers: Vec<u64>) -> Self {
        Self::Numbers(numbers)
    }
}

impl From<&[u8]> for Value {
    fn from(octets: &[u8]) -> Self {
        Self::Octets(octets.to_vec())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// A parameter in a [`Tree`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Child {
    /// One that the definition knows.
    Known(Tree),
    /// Another, kept as it came.
    Unknown {
        /// Its type number, 128 to 1023.
        kind: u16,
        /// What follows its length.
        octets: Vec<u8>,
    },
}

/// A message or parameter with its values.
#[derive(Debug, Clone)]
pub struct Tree {
    definition: &'static Definition,
    /// One for each of the definition's fields.
    values: Vec<Value>,
    children: Vec<Child>,
}

impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        self.definition.name == other.definition.name && self.values == other.values && self.children == other.children
    }
}

impl Eq for Tree {}

/// What a layer of the protocol found wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place} at octet {offset}: {expectation}")]
pub struct DecodeError {
    /// Whose rule is broken.
    pub layer: Layer,
    /// Octets from the start of the message (its header) to the fault.
    pub offset: usize,
    /// The message or parameter, by name where it has one.
    pub place: &'static str,
    /// The field at fault, if it is one.
    pub field: Option<&'static str>,
    /// The types of the parameter at fault and of those around it, innermost first.
    pub path: Vec<u16>,
    /// What was found, and what was allowed.
    pub expectation: Expectation,
}

/// Layers of LLRP, outermost first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// Message boundaries.
    Frame,
    /// The protocol version.
    Version,
    /// The message type and its parameters.
    Message,
    /// A parameter's encoding, place or own parameters.
    Parameter,
    /// The value of a field.
    Field,
}

impl Layer {
    /// As in JSON: `frame`, `version`, `message`, `parameter` or `field`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Frame => "frame",
            Self::Version => "version",
            Self::Message => "message",
            Self::Parameter => "parameter",
            Self::Field => "field",
        }
    }
}

/// What was found, and what was allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Expectation {
    /// The framing is lost.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The octets end within a message.
    #[error("{have} octets are no whole message")]
    Whole {
        /// How many there are.
        have: usize,
    },
    /// The version is not one that is known.
    #[error("version {version} is outside 1 (LLRP 1.0.1) to 2 (LLRP 1.1)")]
    Version {
        /// What the header says.
        version: u8,
    },
    /// No message has this type.
    #[error("message type {kind} is not defined")]
    Message {
        /// What the header says.
        kind: u16,
    },
    /// The octets end within a field or parameter.
    #[error("{needed} octets are needed, {left} are left")]
    Octets {
        /// What its encoding asks for.
        needed: usize,
        /// What there is.
        left: usize,
    },
    /// Octets are left where nothing more may stand.
    #[error("{extra} octets too many")]
    Extra {
        /// How many.
        extra: usize,
    },
    /// A TLV parameter's length makes no sense: it counts its own 4 octets, and lies within what contains it.
    #[error("parameter length {len} is outside 4 to {room}")]
    Length {
        /// What it says.
        len: usize,
        /// What there is room for.
        room: usize,
    },
    /// The length of an unknown TV-encoded parameter can't be known.
    #[error("TV parameter type {kind} is not defined, so its length can't be known")]
    Tv {
        /// Its type.
        kind: u16,
    },
    /// A parameter is missing.
    #[error("{name} is missing")]
    Missing {
        /// The first that may stand in its place.
        name: &'static str,
        /// Its type.
        kind: u16,
    },
    /// A parameter stands where none of its type may.
    #[error("{name} may not stand here")]
    Unexpected {
        /// Its name.
        name: &'static str,
    },
    /// A parameter stands here more often than it may, or beside one that excludes it.
    #[error("{name} is one too many")]
    Duplicate {
        /// Its name.
        name: &'static str,
    },
    /// A text isn't UTF-8.
    #[error("the text is not UTF-8")]
    Utf8,
    /// Parameters are nested too deep.
    #[error("parameters are nested deeper than {DEPTH_MAX}")]
    Depth,
    /// There are too many parameters.
    #[error("more than {PARAMETERS_MAX} parameters")]
    Parameters,
}

/// `{"layer", "offset", "field", "expectation"}`; the field is `Place.Field`, or the place alone.
impl Serialize for DecodeError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("layer", self.layer.name())?;
        map.serialize_entry("offset", &self.offset)?;
        match self.field {
            Some(field) => map.serialize_entry("field", &format_args!("{}.{field}", self.place))?,
            None => map.serialize_entry("field", self.place)?,
        }
        map.serialize_entry("expectation", &format_args!("{}", self.expectation))?;
        map.end()
    }
}

/// Decodes the message in `frame`.
///
/// # Errors
/// Whatever breaks the definition; unknown TLV and custom parameters don't, and are kept.
pub fn decode(frame: &Frame<'_>) -> Result<Tree, DecodeError> {
    let fail = |layer, offset, expectation| DecodeError {
        layer,
        offset,
        place: "header",
        field: None,
        path: Vec::new(),
        expectation,
    };
    let Frame { version, kind, .. } = *frame;
    if !VERSIONS.contains(&version) {
        return Err(fail(Layer::Version, 0, Expectation::Version { version }));
    }
    let Some(definition) = definition::message(kind) else {
        return Err(fail(Layer::Message, 0, Expectation::Message { kind }));
    };
    Decoder { parameters: 0 }.tree(definition, frame.body, HEADER_LEN, 0)
}

/// A message as `stowage decode llrp` tells it: as JSON
/// `{"type", "name", "id", "version", "body", "reencodes"}`.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Described {
    /// Message type.
    #[serde(rename = "type")]
    pub kind: u16,
    /// The standard's name of that type.
    pub name: &'static str,
    /// Message id.
    pub id: u32,
    /// Protocol version.
    pub version: u8,
    /// What it says.
    pub body: Tree,
    /// Whether encoding `body` gives the same octets again.
    pub reencodes: bool,
}

/// Describes the message that `octets` begin with, and says how long it is.
///
/// # Errors
/// As [`decode`]; and where the framing is lost or the message isn't whole.
pub fn describe(octets: &[u8]) -> Result<(Described, usize), DecodeError> {
    let fail = |expectation| DecodeError {
        layer: Layer::Frame,
        offset: 0,
        place: "header",
        field: None,
        path: Vec::new(),
        expectation,
    };
    let (frame, rest) = Frame::split(octets)
        .map_err(|error| fail(error.into()))?
        .ok_or_else(|| fail(Expectation::Whole { have: octets.len() }))?;
    let body = decode(&frame)?;
    let len = octets.len() - rest.len();
    let Frame { version, kind, id, .. } = frame;
    let mut again = Vec::with_capacity(len);
    body.encode(version, id, &mut again);
    // The three reserved bits before the version are ignored.
    let reencodes = again[0] == octets[0] & 0x1F && again[1..] == octets[1..len];
    Ok((Described { kind, name: body.name(), id, version, body, reencodes }, len))
}

struct Decoder {
    parameters: usize,
}

impl Decoder {
    /// Decodes `octets`, all of them, which lie `base` octets into the message.
    fn tree(
        &mut self,
        definition: &'static Definition,
        octets: &[u8],
        base: usize,
        depth: usize,
    ) -> Result<Tree, DecodeError> {
        let in_message = definition.form == Form::Message;
        let place = definition.name;
        let error = |layer, offset, field, expectation| DecodeError {
            layer,
            offset: base + offset,
            place,
            field,
            path: Vec::new(),
            expectation,
        };
        let short_layer = if in_message { Layer::Field } else { Layer::Parameter };
        let mut cursor = Cursor { octets, bit: 0 };
        let mut values = Vec::with_capacity(definition.fields.len());
        for field in &definition.fields {
            let at = cursor.bit / 8;
            values.push(cursor.value(field.ty).map_err(|expectation| {
                let layer = if expectation == Expectation::Utf8 { Layer::Field } else { short_layer };
                error(layer, at, Some(field.name), expectation)
            })?);
        }
        let mut at = cursor.bit / 8;
        if definition.slots.is_empty() && at < octets.len() {
            return Err(error(short_layer, at, None, Expectation::Extra { extra: octets.len() - at }));
        }
        let mut children = Vec::new();
        let mut taken = vec![0_usize; definition.slots.len()];
        let mut current = 0;
        while at < octets.len() {
            let here = |expectation| error(Layer::Parameter, at, None, expectation);
            self.parameters += 1;
            if self.parameters > PARAMETERS_MAX {
                return Err(here(Expectation::Parameters));
            }
            let (kind, body) = split_parameter(&octets[at..]).map_err(here)?;
            let Some(known) = definition::parameter(kind) else {
                children.push(Child::Unknown { kind, octets: body.to_vec() });
                at += 4 + body.len();
                continue;
            };
            // Readers don't all keep the order, so an earlier place will do as well; a vendor's own may stand anywhere.
            let fits = |index: &usize| definition.slots[*index].allowed.contains(&kind);
            let room = |index: &usize| fits(index) && (definition.slots[*index].many || taken[*index] == 0);
            let slots = definition.slots.len();
            match (current..slots).find(room).or_else(|| (0..current).find(room)) {
                Some(slot) => {
                    taken[slot] += 1;
                    current = current.max(slot);
                }
                None if kind == CUSTOM => {}
                None if (0..slots).any(|index| fits(&index)) => {
                    return Err(DecodeError { path: vec![kind], ..here(Expectation::Duplicate { name: known.name }) });
                }
                None => {
                    return Err(DecodeError { path: vec![kind], ..here(Expectation::Unexpected { name: known.name }) });
                }
            }
            if depth == DEPTH_MAX {
                return Err(here(Expectation::Depth));
            }
            let header = if known.form == Form::Tv { 1 } else { 4 };
            let child = self.tree(known, body, base + at + header, depth + 1).map_err(|mut error| {
                error.path.push(kind);
                error
            })?;
            children.push(Child::Known(child));
            at += header + body.len();
        }
        for (slot, taken) in definition.slots.iter().zip(taken) {
            if slot.required && taken == 0 {
                let kind = slot.allowed[0];
                let name = definition::parameter(kind).map_or("a parameter", |parameter| parameter.name);
                let layer = if in_message { Layer::Message } else { Layer::Parameter };
                return Err(error(layer, at, None, Expectation::Missing { name, kind }));
            }
        }
        Ok(Tree { definition, values, children })
    }
}

/// Type number of the Custom parameter.
const CUSTOM: u16 = 1023;

/// The type and body of the parameter that `octets` begin with.
fn split_parameter(octets: &[u8]) -> Result<(u16, &[u8]), Expectation> {
    let left = octets.len();
    match *octets {
        [first, ref rest @ ..] if first & 0x80 != 0 => {
            let kind = u16::from(first & 0x7F);
            let known = definition::parameter(kind).ok_or(Expectation::Tv { kind })?;
            let needed = known.fixed_len();
            Ok((kind, rest.get(..needed).ok_or(Expectation::Octets { needed: 1 + needed, left })?))
        }
        [a, b, c, d, ref rest @ ..] => {
            let kind = u16::from_be_bytes([a & 0b11, b]);
            let len = usize::from(u16::from_be_bytes([c, d]));
            let body = len.checked_sub(4).and_then(|len| rest.get(..len));
            Ok((kind, body.ok_or(Expectation::Length { len, room: left })?))
        }
        _ => Err(Expectation::Octets { needed: 4, left }),
    }
}

/// Reads fields, most significant bit first.
struct Cursor<'a> {
    octets: &'a [u8],
    /// Bits read so far.
    bit: usize,
}

impl<'a> Cursor<'a> {
    fn number(&mut self, bits: u8) -> Result<u64, Expectation> {
        let end = self.bit + usize::from(bits);
        if end > self.octets.len() * 8 {
            let at = self.bit / 8;
            return Err(Expectation::Octets { needed: end.div_ceil(8) - at, left: self.octets.len() - at });
        }
        let mut number = 0;
        while self.bit < end {
            let (octet, within) = (self.octets[self.bit / 8], self.bit % 8);
            let take = (8 - within).min(end - self.bit);
            number = number << take | u64::from(octet << within >> (8 - take));
            self.bit += take;
        }
        Ok(number)
    }

    /// The next whole octets; fields like these start on an octet.
    fn take(&mut self, needed: usize) -> Result<&'a [u8], Expectation> {
        let left = &self.octets[self.bit / 8..];
        let taken = left.get(..needed).ok_or(Expectation::Octets { needed, left: left.len() })?;
        self.bit += 8 * needed;
        Ok(taken)
    }

    fn value(&mut self, ty: Type) -> Result<Value, Expectation> {
        Ok(match ty {
            Type::Unsigned(bits) => Value::Number(self.number(bits)?),
            Type::Signed(bits) => {
                let unused = 64 - u32::from(bits);
                Value::Number(((self.number(bits)? << unused) as i64 >> unused) as u64)
            }
            Type::Fixed(octets) => Value::Octets(self.take(usize::from(octets))?.to_vec()),
            Type::List { width, .. } => {
                let count = self.number(16)? as usize;
                let octets = self.take(count * usize::from(width) / 8)?;
                let number = |octets: &[u8]| octets.iter().fold(0, |number, octet| number << 8 | u64::from(*octet));
                Value::Numbers(octets.chunks_exact(usize::from(width) / 8).map(number).collect())
            }
            Type::Bits => {
                let count = self.number(16)? as u16;
                Value::Bits { count, octets: self.take(usize::from(count).div_ceil(8))?.to_vec() }
            }
            Type::Text => {
                let count = self.number(16)? as usize;
                Value::Text(std::str::from_utf8(self.take(count)?).map_err(|_| Expectation::Utf8)?.to_owned())
            }
            Type::Rest => Value::Octets(self.take(self.octets.len() - self.bit / 8)?.to_vec()),
        })
    }
}

/// Building and reading. Names are the definition's; a name that isn't in it is a fault of the caller's code.
impl Tree {
    /// The message or parameter called `name`, all of its fields zero or empty.
    ///
    /// # Panics
    /// No message or parameter is called so.
    pub fn new(name: &str) -> Self {
        let definition = definition::named(name).unwrap_or_else(|| panic!("LLRP has no {name}"));
        let zero = |field: &Field| match field.ty {
            Type::Unsigned(_) | Type::Signed(_) => Value::Number(0),
            Type::Fixed(octets) => Value::Octets(vec![0; usize::from(octets)]),
            Type::List { .. } => Value::Numbers(Vec::new()),
            Type::Bits => Value::Bits { count: 0, octets: Vec::new() },
            Type::Text => Value::Text(String::new()),
            Type::Rest => Value::Octets(Vec::new()),
        };
        Self { definition, values: definition.fields.iter().map(zero).collect(), children: Vec::new() }
    }

    /// A vendor's parameter.
    pub fn custom(vendor: u32, subtype: u32, data: &[u8]) -> Self {
        Self::new("Custom").set("VendorIdentifier", vendor).set("ParameterSubtype", subtype).set("Data", data)
    }

    /// What a vendor's parameter or message says, if that vendor's is known and it is as it should be.
    pub fn extension(&self) -> Option<Self> {
        if self.definition.number != CUSTOM || self.definition.vendor.is_some() {
            return None;
        }
        let (form, field) = match self.definition.form {
            Form::Message => (Form::Message, "MessageSubtype"),
            Form::Tlv | Form::Tv => (Form::Tlv, "ParameterSubtype"),
        };
        let (vendor, number) = (self.int("VendorIdentifier") as u32, self.int(field) as u32);
        let definition = definition::extension(form, vendor, number)?;
        let Value::Octets(data) = self.value("Data") else { return None };
        Decoder { parameters: 0 }.tree(definition, data, 0, 0).ok()
    }

    /// With `field` set.
    ///
    /// # Panics
    /// It has no such field.
    #[must_use]
    pub fn set(mut self, field: &str, value: impl Into<Value>) -> Self {
        let index = self.index(field);
        self.values[index] = value.into();
        self
    }

    /// With a parameter added.
    #[must_use]
    pub fn with(mut self, parameter: Self) -> Self {
        self.children.push(Child::Known(parameter));
        self
    }

    /// With parameters added.
    #[must_use]
    pub fn with_all(mut self, parameters: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(parameters.into_iter().map(Child::Known));
        self
    }

    /// What it is, by the standard's name.
    pub fn name(&self) -> &'static str {
        self.definition.name
    }

    /// Its type number.
    pub fn number(&self) -> u16 {
        self.definition.number
    }

    /// Its parameters in wire order.
    pub fn children(&self) -> &[Child] {
        &self.children
    }

    /// Its parameters called `name`, in wire order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter_map(move |child| match child {
            Child::Known(tree) if tree.definition.name == name => Some(tree),
            Child::Known(_) | Child::Unknown { .. } => None,
        })
    }

    /// Its first parameter called `name`.
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find_map(|child| match child {
            Child::Known(tree) if tree.definition.name == name => Some(tree),
            Child::Known(_) | Child::Unknown { .. } => None,
        })
    }

    /// The value of `field`.
    ///
    /// # Panics
    /// It has no such field.
    pub fn value(&self, field: &str) -> &Value {
        &self.values[self.index(field)]
    }

    /// The value of `field`, a number.
    ///
    /// # Panics
    /// It has no such field.
    pub fn int(&self, field: &str) -> i64 {
        match self.value(field) {
            Value::Number(number) => *number as i64,
            Value::Numbers(_) | Value::Octets(_) | Value::Bits { .. } | Value::Text(_) => 0,
        }
    }

    /// The value of `field`, a list.
    ///
    /// # Panics
    /// It has no such field.
    pub fn list(&self, field: &str) -> &[u64] {
        match self.value(field) {
            Value::Numbers(numbers) => numbers,
            Value::Number(_) | Value::Octets(_) | Value::Bits { .. } | Value::Text(_) => &[],
        }
    }

    fn index(&self, field: &str) -> usize {
        let position = self.definition.fields.iter().position(|known| known.name == field);
        position.unwrap_or_else(|| panic!("{} has no field {field}", self.definition.name))
    }

    /// What a strict receiver can't act on though it can be decoded: the place (parameter types, innermost first) of
    /// the first unknown parameter, or of the first enumerated field whose value has no name, with its number.
    pub(super) fn oddity(&self) -> Option<(Vec<u16>, Option<u16>)> {
        let fields = self.definition.fields.iter().zip(&self.values).filter(|(field, _)| !field.name.is_empty());
        for (number, (field, value)) in (0..).zip(fields) {
            let named = |enumeration, value: u64| {
                u16::try_from(value).is_ok_and(|value| definition::value_name(enumeration, value).is_some())
            };
            let odd = field.enumeration.is_some_and(|enumeration| match value {
                Value::Number(value) => !named(enumeration, *value),
                Value::Numbers(values) => !values.iter().all(|value| named(enumeration, *value)),
                Value::Octets(_) | Value::Bits { .. } | Value::Text(_) => false,
            });
            if odd {
                return Some((Vec::new(), Some(number)));
            }
        }
        self.children.iter().find_map(|child| match child {
            Child::Unknown { kind, .. } => Some((vec![*kind], None)),
            Child::Known(tree) => tree.oddity().map(|(mut path, field)| {
                path.push(tree.number());
                (path, field)
            }),
        })
    }

    /// The number of `field` among its fields, from 0, reserved bits not counted.
    pub(super) fn field_number(&self, field: &str) -> u16 {
        let named = self.definition.fields.iter().filter(|known| !known.name.is_empty());
        named.map(|known| known.name).position(|name| name == field).unwrap_or(0) as u16
    }

    /// Appends the message, header first, to `out`.
    ///
    /// Lists and parameters have 16-bit lengths: a built tree must not go beyond them, a decoded one can't.
    pub fn encode(&self, version: u8, id: u32, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend((u16::from(version & 0b111) << 10 | self.definition.number).to_be_bytes());
        out.extend([0; 4]);
        out.extend(id.to_be_bytes());
        if let Some((vendor, number)) = self.definition.vendor {
            out.extend(vendor.to_be_bytes());
            out.push(number as u8);
        }
        self.encode_body(out);
        let len = (out.len() - start) as u32;
        out[start + 2..start + 6].copy_from_slice(&len.to_be_bytes());
    }

    fn encode_body(&self, out: &mut Vec<u8>) {
        let mut part = (0_u64, 0_u8);
        for (field, value) in self.definition.fields.iter().zip(&self.values) {
            match (field.ty, value) {
                (Type::Unsigned(bits) | Type::Signed(bits), Value::Number(number)) if part.1 == 0 && bits == 64 => {
                    out.extend(number.to_be_bytes());
                }
                (Type::Unsigned(bits) | Type::Signed(bits), Value::Number(number)) => {
                    part = (part.0 << bits | number & ((1 << bits) - 1), part.1 + bits);
                    while part.1 >= 8 {
                        part.1 -= 8;
                        out.push((part.0 >> part.1) as u8);
                    }
                }
                (Type::List { width, .. }, Value::Numbers(numbers)) => {
                    out.extend((numbers.len() as u16).to_be_bytes());
                    let octets = usize::from(width) / 8;
                    numbers.iter().for_each(|number| out.extend(&number.to_be_bytes()[8 - octets..]));
                }
                (_, Value::Bits { count, octets }) => {
                    out.extend(count.to_be_bytes());
                    out.extend(octets);
                }
                (_, Value::Text(text)) => {
                    out.extend((text.len() as u16).to_be_bytes());
                    out.extend(text.as_bytes());
                }
                (_, Value::Octets(octets)) => out.extend(octets),
                (ty, value) => debug_assert!(false, "{}.{} is {ty:?}, not {value:?}", self.name(), field.name),
            }
        }
        self.encode_parameters(out);
    }

    /// Appends its parameters alone.
    pub(super) fn encode_parameters(&self, out: &mut Vec<u8>) {
        for child in &self.children {
            let start = out.len();
            match child {
                Child::Known(tree) if tree.definition.form == Form::Tv => {
                    out.push(0x80 | tree.definition.number as u8);
                    tree.encode_body(out);
                    continue;
                }
                Child::Known(tree) => {
                    out.extend(tree.definition.number.to_be_bytes());
                    out.extend([0; 2]);
                    if let Some((vendor, number)) = tree.definition.vendor {
                        out.extend(vendor.to_be_bytes());
                        out.extend(number.to_be_bytes());
                    }
                    tree.encode_body(out);
                }
                Child::Unknown { kind, octets } => {
                    out.extend(kind.to_be_bytes());
                    out.extend([0; 2]);
                    out.extend(octets);
                }
            }
            let len = out.len() - start;
            debug_assert!(len <= usize::from(u16::MAX), "a parameter of {len} octets has no encoding");
            out[start + 2..start + 4].copy_from_slice(&(len as u16).to_be_bytes());
        }
    }
}

/// Octets as upper-case hex.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02X}"))
    }
}

/// A field's value as JSON tells it.
struct Told<'a>(&'static Field, &'a Value);

impl Told<'_> {
    fn number<S: Serializer>(&self, number: u64, serializer: S) -> Result<S::Ok, S::Error> {
        let named = self.0.enumeration.and_then(|values| definition::value_name(values, u16::try_from(number).ok()?));
        match (named, self.0.ty) {
            (Some(name), _) => serializer.serialize_str(name),
            (None, Type::Unsigned(1)) => serializer.serialize_bool(number != 0),
            (None, Type::Signed(_)) => serializer.serialize_i64(number as i64),
            (None, _) => serializer.serialize_u64(number),
        }
    }
}

impl Serialize for Told<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct One<'a>(&'a Told<'a>, u64);
        impl Serialize for One<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.0.number(self.1, serializer)
            }
        }
        match (self.0.ty, self.1) {
            (_, Value::Number(number)) => self.number(*number, serializer),
            (Type::List { width, hex: true }, Value::Numbers(numbers)) => {
                let skipped = 8 - usize::from(width) / 8;
                let octets = numbers.iter().flat_map(|number| number.to_be_bytes().into_iter().skip(skipped));
                serializer.collect_str(&Hex(&octets.collect::<Vec<_>>()))
            }
            (_, Value::Numbers(numbers)) => serializer.collect_seq(numbers.iter().map(|number| One(self, *number))),
            (_, Value::Octets(octets)) => serializer.collect_str(&Hex(octets)),
            (_, Value::Bits { count, octets }) => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("bits", count)?;
                map.serialize_entry("hex", &format_args!("{}", Hex(octets)))?;
                map.end()
            }
            (_, Value::Text(text)) => serializer.serialize_str(text),
        }
    }
}

/// An object: fields, then parameters under their names in wire order, as an array where the definition allows more
/// than one. Enumerated values by name, an unnamed one as its number; one-bit fields are true or false; times in µs;
/// counted bit strings `{"bits", "hex"}`; unknown parameters `"Unknown": [{"type", "hex"}]`.
impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Raw<'a>(u16, &'a [u8]);
        impl Serialize for Raw<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("type", &self.0)?;
                map.serialize_entry("hex", &format_args!("{}", Hex(self.1)))?;
                map.end()
            }
        }
        let mut map = serializer.serialize_map(None)?;
        for (field, value) in self.definition.fields.iter().zip(&self.values) {
            if !field.name.is_empty() {
                map.serialize_entry(field.name, &Told(field, value))?;
            }
        }
        if let Some(extension) = self.extension() {
            // What it is to its vendor, beside what it is to the standard.
            map.serialize_entry("name", extension.name())?;
            map.serialize_entry("fields", &extension)?;
        }
        let mut told: Vec<u16> = Vec::new();
        let mut raw: Vec<Raw<'_>> = Vec::new();
        for child in &self.children {
            match child {
                Child::Unknown { kind, octets } => raw.push(Raw(*kind, octets)),
                Child::Known(tree) if told.contains(&tree.number()) => {}
                Child::Known(tree) => {
                    told.push(tree.number());
                    if tree.number() == CUSTOM || self.definition.repeats(tree.number()) {
                        map.serialize_entry(tree.name(), &self.all(tree.name()).collect::<Vec<_>>())?;
                    } else {
                        map.serialize_entry(tree.name(), tree)?;
                    }
                }
            }
        }
        if !raw.is_empty() {
            map.serialize_entry("Unknown", &raw)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn octets(hex: &str) -> Vec<u8> {
        let digit = |digit: u8| (digit as char).to_digit(16).expect("hex") as u8;
        hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
    }

    #[test]
    fn a_message_is_told_by_the_standards_names() {
        // A reader's greeting, and a report with an unknown and a vendor's parameter.
        let greeting = octets("043F000000200000000000F600160080000C00042B1923A01BDA010000060000");
        let (described, len) = describe(&greeting).expect("well formed");
        assert_eq!(len, 32);
        let body = json!({"ReaderEventNotificationData": {
            "UTCTimestamp": {"Microseconds": 1_173_286_878_714_842_u64},
            "ConnectionAttemptEvent": {"Status": "Success"},
        }});
        let expected = json!({"type": 63, "name": "READER_EVENT_NOTIFICATION", "id": 0, "version": 1, "body": body,
            "reencodes": true});
        assert_eq!(serde_json::to_value(&described).expect("JSON"), expected);

        // TagReportData of EPCData, AntennaID, PeakRSSI, one that is not defined, Custom.
        let tag =
            ["00F00027", "00F1000A0020DEADBEEF", "810003", "86C4", "03840007010203", "03FF000D0000651A00000001AB"];
        let report = octets(&("043D0000003100000001".to_owned() + &tag.concat()));
        let (described, _) = describe(&report).expect("well formed");
        assert!(described.reencodes);
        let tag = json!([{
            "EPCData": {"EPC": {"bits": 32, "hex": "DEADBEEF"}},
            "AntennaID": {"AntennaID": 3},
            "PeakRSSI": {"PeakRSSI": -60},
            "Custom": [{"VendorIdentifier": 25_882, "ParameterSubtype": 1, "Data": "AB"}],
            "Unknown": [{"type": 900, "hex": "010203"}],
        }]);
        assert_eq!(serde_json::to_value(&described.body).expect("JSON")["TagReportData"], tag);
    }

    #[test]
    fn an_error_tells_layer_offset_field_and_expectation() {
        let error = describe(&octets("04160000000D00000001000001")).expect_err("an octet short");
        let expected = json!({"layer": "field", "offset": 10, "field": "START_ROSPEC.ROSpecID",
            "expectation": "4 octets are needed, 3 are left"});
        assert_eq!(serde_json::to_value(&error).expect("JSON"), expected);
        let error = describe(&octets("043D000000130000000100F0000900F1000500")).expect_err("cut short");
        assert_eq!((error.layer, error.place, error.offset), (Layer::Parameter, "EPCData", 18));
        assert_eq!(error.path, [241, 240], "innermost first");
    }

    #[test]
    fn reserved_bits_are_kept() {
        let message = octets("040300000010000000017F00E20005FF");
        assert!(describe(&message).expect("well formed").0.reencodes);
    }

    proptest! {
        #[test]
        fn what_decodes_encodes_to_the_same_value(
            kind in prop::sample::select(vec![1_u16, 3, 11, 12, 20, 40, 61, 63, 100, 1023]),
            parameter in prop::sample::select(vec![13_u8, 128, 177, 207, 220, 240, 241, 246]),
            body in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            // Random octets as a body, and as the inside of a parameter.
            let inside = [&[0, parameter, 0, 4 + body.len() as u8][..], &body].concat();
            for body in [&body, &inside] {
                let frame = Frame { version: 1, kind, id: 7, body };
                if let Ok(tree) = decode(&frame) {
                    let mut again = Vec::new();
                    tree.encode(1, 7, &mut again);
                    prop_assert_eq!(again.len(), HEADER_LEN + body.len());
                    let (frame, _) = Frame::split(&again).expect("framed").expect("whole");
                    prop_assert_eq!(decode(&frame), Ok(tree));
                }
            }
        }
    }
}
