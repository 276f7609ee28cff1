//! What LLRP consists of: every message, parameter, field and enumeration by the standard's own names.
//!
//! The table is `definition.txt`, read once into static memory.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Message or parameter; parameters are encoded in one of two ways (LLRP 1.0.1 §16.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A message.
    Message,
    /// A parameter that carries its length.
    Tlv,
    /// A parameter whose length follows from its type.
    Tv,
}

/// How a field is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// A number of so many bits, most significant first.
    Unsigned(u8),
    /// The same in two's complement.
    Signed(u8),
    /// A bit string of so many octets.
    Fixed(u8),
    /// A u16 count, then so many numbers of this width in bits; `hex` if they are written as one hex string.
    List {
        /// Bits of each number.
        width: u8,
        /// Written in hex.
        hex: bool,
    },
    /// A u16 count of bits, then the bits, filled up to whole octets.
    Bits,
    /// A u16 count of octets, then UTF-8.
    Text,
    /// All octets up to the end of the message or parameter.
    Rest,
}

/// One field. Reserved bits are a field without a name.
#[derive(Debug)]
pub struct Field {
    /// The standard's name; empty for reserved bits.
    pub name: &'static str,
    /// How it is encoded.
    pub ty: Type,
    /// What its values are called, if they have names.
    pub enumeration: Option<&'static str>,
}

/// A place for parameters.
#[derive(Debug)]
pub struct Slot {
    /// The type numbers that may stand here.
    pub allowed: Vec<u16>,
    /// At least one has to.
    pub required: bool,
    /// More than one may.
    pub many: bool,
}

/// One message or parameter.
#[derive(Debug)]
pub struct Definition {
    /// The standard's name.
    pub name: &'static str,
    /// Its type number.
    pub number: u16,
    /// What it is.
    pub form: Form,
    /// Of a vendor's own: who, and its number there. It lies within a Custom parameter or a CUSTOM_MESSAGE.
    pub vendor: Option<(u32, u32)>,
    /// Its fields in wire order.
    pub fields: Vec<Field>,
    /// Its parameters after the fields, in the standard's order.
    pub slots: Vec<Slot>,
}

impl Definition {
    /// Octets of a TV-encoded parameter after its type octet. Its fields are numbers and fixed bit strings only.
    pub fn fixed_len(&self) -> usize {
        let bits = |field: &Field| match field.ty {
            Type::Unsigned(bits) | Type::Signed(bits) => usize::from(bits),
            Type::Fixed(octets) => usize::from(octets) * 8,
            Type::List { .. } | Type::Bits | Type::Text | Type::Rest => 0,
        };
        self.fields.iter().map(bits).sum::<usize>() / 8
    }

    /// Whether any number of parameters of this type may stand in it: they are then told as an array.
    pub fn repeats(&self, parameter: u16) -> bool {
        self.slots.iter().any(|slot| slot.many && slot.allowed.contains(&parameter))
    }
}

struct Table {
    messages: BTreeMap<u16, Definition>,
    parameters: BTreeMap<u16, Definition>,
    enumerations: BTreeMap<&'static str, BTreeMap<u16, &'static str>>,
    /// By form (message or not), vendor and number.
    extensions: BTreeMap<(bool, u32, u32), Definition>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| parse(include_str!("definition.txt")));

/// The message of this type.
pub fn message(number: u16) -> Option<&'static Definition> {
    TABLE.messages.get(&number)
}

/// The parameter of this type.
pub fn parameter(number: u16) -> Option<&'static Definition> {
    TABLE.parameters.get(&number)
}

/// What vendor `vendor` calls its message or parameter of this number.
pub fn extension(form: Form, vendor: u32, number: u32) -> Option<&'static Definition> {
    TABLE.extensions.get(&(form == Form::Message, vendor, number))
}

/// The message or parameter of this name, a vendor's too.
pub fn named(name: &str) -> Option<&'static Definition> {
    let standard = TABLE.messages.values().chain(TABLE.parameters.values());
    standard.chain(TABLE.extensions.values()).find(|definition| definition.name == name)
}

/// What `enumeration` calls `value`; `None` where the standard, so far, doesn't.
pub fn value_name(enumeration: &str, value: u16) -> Option<&'static str> {
    TABLE.enumerations.get(enumeration)?.get(&value).copied()
}

/// What the standard calls an LLRPStatus code.
pub fn status_name(code: u16) -> &'static str {
    value_name("StatusCode", code).unwrap_or("unknown status")
}

/// Reads the table. It is ours, and a test reads all of it: whatever doesn't parse is a fault in it, and asserted.
fn parse(text: &'static str) -> Table {
    // An entry is a line with the indented lines after it, as words.
    let mut entries: Vec<Vec<&'static str>> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match entries.last_mut() {
            Some(entry) if line.starts_with(' ') => entry.extend(line.split_whitespace()),
            _ => entries.push(line.split_whitespace().collect()),
        }
    }
    let number = |word: &str| word.parse::<u16>().unwrap_or_else(|_| panic!("definition.txt: {word} is no number"));
    let numbers: BTreeMap<&str, u16> =
        entries.iter().filter(|entry| entry[0] == "P").map(|entry| (entry[2], number(entry[1]))).collect();
    let mut table = Table {
        messages: BTreeMap::new(),
        parameters: BTreeMap::new(),
        enumerations: BTreeMap::new(),
        extensions: BTreeMap::new(),
    };
    for entry in &entries {
        if entry[0] == "E" {
            let values = entry[2..].iter().filter_map(|word| word.split_once('='));
            table.enumerations.insert(entry[1], values.map(|(value, name)| (number(value), name)).collect());
            continue;
        }
        let vendor = entry[1].split_once('/').map(|(vendor, of)| {
            let number = |word: &str| word.parse().unwrap_or_else(|_| panic!("definition.txt: {word} is no number"));
            (number(vendor), number(of))
        });
        let number = if vendor.is_some() { 1023 } else { number(entry[1]) };
        let form = match (entry[0], number) {
            ("M" | "W", _) => Form::Message,
            (_, ..128) => Form::Tv,
            _ => Form::Tlv,
        };
        let mut definition = Definition { name: entry[2], number, form, vendor, fields: Vec::new(), slots: Vec::new() };
        for &item in &entry[3..] {
            if let Some((name, ty)) = item.split_once(':') {
                let (ty, enumeration) = ty.split_once('=').map_or((ty, None), |(ty, values)| (ty, Some(values)));
                definition.fields.push(Field { name, ty: parse_type(ty), enumeration });
            } else if let Some(bits) = item.strip_prefix('-') {
                let ty = parse_type(&["u", bits].concat());
                definition.fields.push(Field { name: "", ty, enumeration: None });
            } else {
                let names = item.trim_end_matches(['?', '*', '+']);
                let allowed = names.trim_matches(['(', ')']).split('|').map(|name| numbers[name]).collect();
                let (required, many) = (!item.ends_with(['?', '*']), item.ends_with(['*', '+']));
                definition.slots.push(Slot { allowed, required, many });
            }
        }
        if let Some((vendor, of)) = vendor {
            table.extensions.insert((form == Form::Message, vendor, of), definition);
            continue;
        }
        let known = if form == Form::Message { &mut table.messages } else { &mut table.parameters };
        known.insert(number, definition);
    }
    table
}

fn parse_type(ty: &str) -> Type {
    let (kind, width) = ty.split_at(1);
    let bits = |digits: &str| digits.parse().unwrap_or_else(|_| panic!("definition.txt: {ty} is no type"));
    match (kind, width, ty) {
        (_, _, "bits") => Type::Bits,
        (_, _, "text") => Type::Text,
        (_, _, "rest") => Type::Rest,
        (_, _, "u96") => Type::Fixed(12),
        ("s", width, _) => Type::Signed(bits(width)),
        (_, width, _) => match (width.strip_suffix('v'), width.strip_suffix('x')) {
            (Some(width), _) => Type::List { width: bits(width), hex: false },
            (_, Some(width)) => Type::List { width: bits(width), hex: true },
            _ => Type::Unsigned(bits(width)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole() {
        assert_eq!((TABLE.messages.len(), TABLE.parameters.len(), TABLE.enumerations.len()), (46, 123, 42));
        for definition in TABLE.messages.values().chain(TABLE.parameters.values()).chain(TABLE.extensions.values()) {
            let mut bits = 0;
            for field in &definition.fields {
                if let Type::Unsigned(width) | Type::Signed(width) = field.ty {
                    bits += u32::from(width);
                } else {
                    assert_eq!(bits % 8, 0, "{}.{} starts on an octet", definition.name, field.name);
                }
                if let Some(enumeration) = field.enumeration {
                    assert!(TABLE.enumerations.contains_key(enumeration), "{}.{}", definition.name, field.name);
                }
            }
            assert_eq!(bits % 8, 0, "{} ends on an octet", definition.name);
            if definition.form == Form::Tv {
                assert!(definition.fixed_len() > 0 && definition.slots.is_empty(), "{}", definition.name);
            }
        }
    }

    #[test]
    fn names_and_numbers_lead_to_the_same() {
        let rospec = named("ROSpec").expect("defined");
        assert_eq!((rospec.number, rospec.form), (177, Form::Tlv));
        assert!(rospec.repeats(183) && !rospec.repeats(178), "AISpecs repeat, the boundary doesn't");
        assert_eq!(parameter(13).map(Definition::fixed_len), Some(12), "EPC-96");
        assert_eq!(status_name(109), "M_UnsupportedMessage");
        assert_eq!(value_name("ROSpecState", 9), None);
    }
}
