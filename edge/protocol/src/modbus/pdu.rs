//! What is asked and answered: function code and data (V1.1b3 §6), without unit, length and checksum.

use std::fmt;

/// Most octets in a PDU (V1.1b3 §4.1).
pub const PDU_MAX: usize = 253;

/// Most coils or inputs read at once.
pub const READ_BITS_MAX: u16 = 2_000;
/// Most registers read at once.
pub const READ_REGISTERS_MAX: u16 = 125;
/// Most coils written at once.
pub const WRITE_BITS_MAX: u16 = 1_968;
/// Most registers written at once.
pub const WRITE_REGISTERS_MAX: u16 = 123;
/// Most registers written at once where registers are read in the same request.
pub const READ_WRITE_REGISTERS_MAX: u16 = 121;

/// Set in the function code of an answer that is an exception.
pub const EXCEPTION_BIT: u8 = 0x80;

/// Function codes.
pub mod function {
    /// Read coils.
    pub const READ_COILS: u8 = 1;
    /// Read discrete inputs.
    pub const READ_DISCRETE_INPUTS: u8 = 2;
    /// Read holding registers.
    pub const READ_HOLDING_REGISTERS: u8 = 3;
    /// Read input registers.
    pub const READ_INPUT_REGISTERS: u8 = 4;
    /// Write one coil.
    pub const WRITE_SINGLE_COIL: u8 = 5;
    /// Write one register.
    pub const WRITE_SINGLE_REGISTER: u8 = 6;
    /// Write several coils.
    pub const WRITE_MULTIPLE_COILS: u8 = 15;
    /// Write several registers.
    pub const WRITE_MULTIPLE_REGISTERS: u8 = 16;
    /// Change bits of one register.
    pub const MASK_WRITE_REGISTER: u8 = 22;
    /// Write several registers, then read several.
    pub const READ_WRITE_MULTIPLE_REGISTERS: u8 = 23;
}

/// Why a server can't do what it was asked (V1.1b3 §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exception(pub u8);

impl Exception {
    /// It has no such function.
    pub const ILLEGAL_FUNCTION: Self = Self(1);
    /// It has no such coil or register.
    pub const ILLEGAL_DATA_ADDRESS: Self = Self(2);
    /// The request's own lengths or values are wrong.
    pub const ILLEGAL_DATA_VALUE: Self = Self(3);
    /// It failed.
    pub const SERVER_DEVICE_FAILURE: Self = Self(4);
    /// It takes long, and asks for patience.
    pub const ACKNOWLEDGE: Self = Self(5);
    /// It is at work on something else.
    pub const SERVER_DEVICE_BUSY: Self = Self(6);
    /// Its memory is damaged.
    pub const MEMORY_PARITY_ERROR: Self = Self(8);
    /// The gateway has no way to the unit.
    pub const GATEWAY_PATH_UNAVAILABLE: Self = Self(10);
    /// The gateway got no answer from the unit.
    pub const GATEWAY_TARGET_FAILED: Self = Self(11);
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match *self {
            Self::ILLEGAL_FUNCTION => "it has no such function",
            Self::ILLEGAL_DATA_ADDRESS => "it has no such register",
            Self::ILLEGAL_DATA_VALUE => "it finds the request's lengths or values wrong",
            Self::SERVER_DEVICE_FAILURE => "it failed",
            Self::ACKNOWLEDGE => "it asks for patience",
            Self::SERVER_DEVICE_BUSY => "it is busy",
            Self::MEMORY_PARITY_ERROR => "its memory is damaged",
            Self::GATEWAY_PATH_UNAVAILABLE => "the gateway has no way to the unit",
            Self::GATEWAY_TARGET_FAILED => "the gateway got no answer from the unit",
            _ => "for a reason that no standard names",
        };
        write!(f, "{words} (exception {})", self.0)
    }
}

/// A PDU that breaks the standard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PduError {
    /// It has no octet at all.
    #[error("an empty PDU")]
    Empty,
    /// A function code that is not one of this module's.
    #[error("function {0} is not known here")]
    Function(u8),
    /// It is shorter or longer than its function and its own counts say.
    #[error("function {function}: {found} octets, not the {expected} that its function and counts want")]
    Length {
        /// Function code.
        function: u8,
        /// Octets that there are.
        found: usize,
        /// Octets that there should be.
        expected: usize,
    },
    /// A count of coils or registers out of the standard's range, or at odds with the count of octets.
    #[error("function {function}: a count of {count}, allowed are 1 to {max} with as many octets as they need")]
    Count {
        /// Function code.
        function: u8,
        /// As sent.
        count: u16,
        /// Most that the function allows.
        max: u16,
    },
    /// A coil that is neither on (FF00) nor off (0000).
    #[error("function 5: coil value {0:04X}, allowed are FF00 and 0000")]
    Coil(u16),
    /// A count of octets that is not of whole registers, or none.
    #[error("function {function}: {octets} octets of registers, which have two each")]
    Odd {
        /// Function code.
        function: u8,
        /// As sent.
        octets: u8,
    },
}

impl PduError {
    /// What a server answers to a request like this.
    pub const fn exception(self) -> Exception {
        match self {
            Self::Empty | Self::Function(_) => Exception::ILLEGAL_FUNCTION,
            Self::Length { .. } | Self::Count { .. } | Self::Coil(_) | Self::Odd { .. } => {
                Exception::ILLEGAL_DATA_VALUE
            }
        }
    }
}

/// What a client asks. Counts and lists are from 1 to the function's maximum; addresses are the wire's, from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are address, count and value of what the variant's name says")]
pub enum Request {
    ReadCoils { address: u16, count: u16 },
    ReadDiscreteInputs { address: u16, count: u16 },
    ReadHoldingRegisters { address: u16, count: u16 },
    ReadInputRegisters { address: u16, count: u16 },
    WriteSingleCoil { address: u16, value: bool },
    WriteSingleRegister { address: u16, value: u16 },
    WriteMultipleCoils { address: u16, bits: Vec<bool> },
    WriteMultipleRegisters { address: u16, registers: Vec<u16> },
    MaskWriteRegister { address: u16, and_mask: u16, or_mask: u16 },
    ReadWriteMultipleRegisters { read_address: u16, read_count: u16, write_address: u16, write_registers: Vec<u16> },
}

/// What a server answers. Bits come in whole octets: those beyond the count that was asked for mean nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are address, count and value of what the variant's name says")]
pub enum Response {
    ReadCoils(Vec<bool>),
    ReadDiscreteInputs(Vec<bool>),
    ReadHoldingRegisters(Vec<u16>),
    ReadInputRegisters(Vec<u16>),
    WriteSingleCoil { address: u16, value: bool },
    WriteSingleRegister { address: u16, value: u16 },
    WriteMultipleCoils { address: u16, count: u16 },
    WriteMultipleRegisters { address: u16, count: u16 },
    MaskWriteRegister { address: u16, and_mask: u16, or_mask: u16 },
    ReadWriteMultipleRegisters(Vec<u16>),
}

/// What comes back: a response, or why there is none.
pub type Answer = Result<Response, Exception>;

const ON: u16 = 0xFF00;

impl Request {
    /// Its function code.
    pub const fn function(&self) -> u8 {
        match self {
            Self::ReadCoils { .. } => function::READ_COILS,
            Self::ReadDiscreteInputs { .. } => function::READ_DISCRETE_INPUTS,
            Self::ReadHoldingRegisters { .. } => function::READ_HOLDING_REGISTERS,
            Self::ReadInputRegisters { .. } => function::READ_INPUT_REGISTERS,
            Self::WriteSingleCoil { .. } => function::WRITE_SINGLE_COIL,
            Self::WriteSingleRegister { .. } => function::WRITE_SINGLE_REGISTER,
            Self::WriteMultipleCoils { .. } => function::WRITE_MULTIPLE_COILS,
            Self::WriteMultipleRegisters { .. } => function::WRITE_MULTIPLE_REGISTERS,
            Self::MaskWriteRegister { .. } => function::MASK_WRITE_REGISTER,
            Self::ReadWriteMultipleRegisters { .. } => function::READ_WRITE_MULTIPLE_REGISTERS,
        }
    }

    /// How many octets the PDU of a good response has.
    pub fn response_len(&self) -> usize {
        match self {
            Self::ReadCoils { count, .. } | Self::ReadDiscreteInputs { count, .. } => {
                2 + usize::from(count.div_ceil(8))
            }
            Self::ReadHoldingRegisters { count, .. }
            | Self::ReadInputRegisters { count, .. }
            | Self::ReadWriteMultipleRegisters { read_count: count, .. } => 2 + 2 * usize::from(*count),
            Self::MaskWriteRegister { .. } => 7,
            Self::WriteSingleCoil { .. }
            | Self::WriteSingleRegister { .. }
            | Self::WriteMultipleCoils { .. }
            | Self::WriteMultipleRegisters { .. } => 5,
        }
    }

    /// Appends its PDU.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.function());
        match self {
            Self::ReadCoils { address, count }
            | Self::ReadDiscreteInputs { address, count }
            | Self::ReadHoldingRegisters { address, count }
            | Self::ReadInputRegisters { address, count } => words(out, &[*address, *count]),
            Self::WriteSingleCoil { address, value } => words(out, &[*address, coil(*value)]),
            Self::WriteSingleRegister { address, value } => words(out, &[*address, *value]),
            Self::WriteMultipleCoils { address, bits } => {
                words(out, &[*address, bits.len() as u16]);
                packed(out, bits);
            }
            Self::WriteMultipleRegisters { address, registers } => {
                words(out, &[*address, registers.len() as u16]);
                counted(out, registers);
            }
            Self::MaskWriteRegister { address, and_mask, or_mask } => words(out, &[*address, *and_mask, *or_mask]),
            Self::ReadWriteMultipleRegisters { read_address, read_count, write_address, write_registers } => {
                words(out, &[*read_address, *read_count, *write_address, write_registers.len() as u16]);
                counted(out, write_registers);
            }
        }
    }

    /// Reads a whole PDU.
    ///
    /// # Errors
    /// What is wrong; [`PduError::exception`] is what a server answers.
    pub fn decode(pdu: &[u8]) -> Result<Self, PduError> {
        let (&function, data) = pdu.split_first().ok_or(PduError::Empty)?;
        let body = Body { function, data };
        Ok(match function {
            function::READ_COILS => body.range(READ_BITS_MAX, |address, count| Self::ReadCoils { address, count })?,
            function::READ_DISCRETE_INPUTS => {
                body.range(READ_BITS_MAX, |address, count| Self::ReadDiscreteInputs { address, count })?
            }
            function::READ_HOLDING_REGISTERS => {
                body.range(READ_REGISTERS_MAX, |address, count| Self::ReadHoldingRegisters { address, count })?
            }
            function::READ_INPUT_REGISTERS => {
                body.range(READ_REGISTERS_MAX, |address, count| Self::ReadInputRegisters { address, count })?
            }
            function::WRITE_SINGLE_COIL => {
                let [address, value] = body.words()?;
                Self::WriteSingleCoil { address, value: is_on(value)? }
            }
            function::WRITE_SINGLE_REGISTER => {
                let [address, value] = body.words()?;
                Self::WriteSingleRegister { address, value }
            }
            function::WRITE_MULTIPLE_COILS => {
                let ([address, count], octets) = body.words_and_octets()?;
                body.count(count, WRITE_BITS_MAX, usize::from(count.div_ceil(8)) == octets.len())?;
                let mut bits = unpacked(octets);
                bits.truncate(usize::from(count));
                Self::WriteMultipleCoils { address, bits }
            }
            function::WRITE_MULTIPLE_REGISTERS => {
                let ([address, count], octets) = body.words_and_octets()?;
                body.count(count, WRITE_REGISTERS_MAX, 2 * usize::from(count) == octets.len())?;
                Self::WriteMultipleRegisters { address, registers: registers(octets) }
            }
            function::MASK_WRITE_REGISTER => {
                let [address, and_mask, or_mask] = body.words()?;
                Self::MaskWriteRegister { address, and_mask, or_mask }
            }
            function::READ_WRITE_MULTIPLE_REGISTERS => {
                let ([read_address, read_count, write_address, count], octets) = body.words_and_octets()?;
                body.count(read_count, READ_REGISTERS_MAX, true)?;
                body.count(count, READ_WRITE_REGISTERS_MAX, 2 * usize::from(count) == octets.len())?;
                let write_registers = registers(octets);
                Self::ReadWriteMultipleRegisters { read_address, read_count, write_address, write_registers }
            }
            unknown => return Err(PduError::Function(unknown)),
        })
    }
}

impl Response {
    /// Its function code.
    pub const fn function(&self) -> u8 {
        match self {
            Self::ReadCoils(_) => function::READ_COILS,
            Self::ReadDiscreteInputs(_) => function::READ_DISCRETE_INPUTS,
            Self::ReadHoldingRegisters(_) => function::READ_HOLDING_REGISTERS,
            Self::ReadInputRegisters(_) => function::READ_INPUT_REGISTERS,
            Self::WriteSingleCoil { .. } => function::WRITE_SINGLE_COIL,
            Self::WriteSingleRegister { .. } => function::WRITE_SINGLE_REGISTER,
            Self::WriteMultipleCoils { .. } => function::WRITE_MULTIPLE_COILS,
            Self::WriteMultipleRegisters { .. } => function::WRITE_MULTIPLE_REGISTERS,
            Self::MaskWriteRegister { .. } => function::MASK_WRITE_REGISTER,
            Self::ReadWriteMultipleRegisters(_) => function::READ_WRITE_MULTIPLE_REGISTERS,
        }
    }

    /// Appends its PDU.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.function());
        match self {
            Self::ReadCoils(bits) | Self::ReadDiscreteInputs(bits) => packed(out, bits),
            Self::ReadHoldingRegisters(registers)
            | Self::ReadInputRegisters(registers)
            | Self::ReadWriteMultipleRegisters(registers) => counted(out, registers),
            Self::WriteSingleCoil { address, value } => words(out, &[*address, coil(*value)]),
            Self::WriteSingleRegister { address, value } => words(out, &[*address, *value]),
            Self::WriteMultipleCoils { address, count } | Self::WriteMultipleRegisters { address, count } => {
                words(out, &[*address, *count]);
            }
            Self::MaskWriteRegister { address, and_mask, or_mask } => words(out, &[*address, *and_mask, *or_mask]),
        }
    }

    /// Reads a whole PDU that is no exception.
    fn decode(function: u8, data: &[u8]) -> Result<Self, PduError> {
        let body = Body { function, data };
        Ok(match function {
            function::READ_COILS => Self::ReadCoils(unpacked(body.octets()?)),
            function::READ_DISCRETE_INPUTS => Self::ReadDiscreteInputs(unpacked(body.octets()?)),
            function::READ_HOLDING_REGISTERS => Self::ReadHoldingRegisters(body.registers()?),
            function::READ_INPUT_REGISTERS => Self::ReadInputRegisters(body.registers()?),
            function::WRITE_SINGLE_COIL => {
                let [address, value] = body.words()?;
                Self::WriteSingleCoil { address, value: is_on(value)? }
            }
            function::WRITE_SINGLE_REGISTER => {
                let [address, value] = body.words()?;
                Self::WriteSingleRegister { address, value }
            }
            function::WRITE_MULTIPLE_COILS => {
                body.range(WRITE_BITS_MAX, |address, count| Self::WriteMultipleCoils { address, count })?
            }
            function::WRITE_MULTIPLE_REGISTERS => {
                body.range(WRITE_REGISTERS_MAX, |address, count| Self::WriteMultipleRegisters { address, count })?
            }
            function::MASK_WRITE_REGISTER => {
                let [address, and_mask, or_mask] = body.words()?;
                Self::MaskWriteRegister { address, and_mask, or_mask }
            }
            function::READ_WRITE_MULTIPLE_REGISTERS => Self::ReadWriteMultipleRegisters(body.registers()?),
            unknown => return Err(PduError::Function(unknown)),
        })
    }

    /// Whether this can be the response to `request`: same function, same place, as much as was asked for.
    pub fn answers(&self, request: &Request) -> bool {
        match (self, request) {
            (Self::ReadCoils(bits), Request::ReadCoils { count, .. })
            | (Self::ReadDiscreteInputs(bits), Request::ReadDiscreteInputs { count, .. }) => {
                bits.len().div_ceil(8) == usize::from(count.div_ceil(8))
            }
            (Self::ReadHoldingRegisters(registers), Request::ReadHoldingRegisters { count, .. })
            | (Self::ReadInputRegisters(registers), Request::ReadInputRegisters { count, .. })
            | (
                Self::ReadWriteMultipleRegisters(registers),
                Request::ReadWriteMultipleRegisters { read_count: count, .. },
            ) => registers.len() == usize::from(*count),
            (Self::WriteSingleCoil { address, value }, Request::WriteSingleCoil { address: asked, value: wanted }) => {
                (address, value) == (asked, wanted)
            }
            (
                Self::WriteSingleRegister { address, value },
                Request::WriteSingleRegister { address: asked, value: wanted },
            ) => (address, value) == (asked, wanted),
            (Self::WriteMultipleCoils { address, count }, Request::WriteMultipleCoils { address: asked, bits }) => {
                address == asked && usize::from(*count) == bits.len()
            }
            (
                Self::WriteMultipleRegisters { address, count },
                Request::WriteMultipleRegisters { address: asked, registers },
            ) => address == asked && usize::from(*count) == registers.len(),
            (
                Self::MaskWriteRegister { address, and_mask, or_mask },
                Request::MaskWriteRegister { address: asked, and_mask: and, or_mask: or },
            ) => (address, and_mask, or_mask) == (asked, and, or),
            _ => false,
        }
    }
}

/// Appends the PDU that answers a request of `function`.
pub fn encode_answer(function: u8, answer: &Answer, out: &mut Vec<u8>) {
    match answer {
        Ok(response) => response.encode(out),
        Err(exception) => out.extend([function | EXCEPTION_BIT, exception.0]),
    }
}

/// Reads the PDU of an answer: the function code without [`EXCEPTION_BIT`], and the answer.
///
/// # Errors
/// What is wrong with it.
pub fn decode_answer(pdu: &[u8]) -> Result<(u8, Answer), PduError> {
    let (&code, data) = pdu.split_first().ok_or(PduError::Empty)?;
    let function = code & !EXCEPTION_BIT;
    if code == function {
        return Ok((function, Ok(Response::decode(function, data)?)));
    }
    match data {
        [exception] => Ok((function, Err(Exception(*exception)))),
        _ => Err(PduError::Length { function: code, found: pdu.len(), expected: 2 }),
    }
}

/// What follows a function code.
#[derive(Clone, Copy)]
struct Body<'a> {
    function: u8,
    data: &'a [u8],
}

impl<'a> Body<'a> {
    /// `N` words and nothing else.
    fn words<const N: usize>(self) -> Result<[u16; N], PduError> {
        if self.data.len() != 2 * N {
            return Err(self.length(2 * N));
        }
        let mut words = [0; N];
        for (word, octets) in words.iter_mut().zip(self.data.chunks_exact(2)) {
            *word = u16::from_be_bytes([octets[0], octets[1]]);
        }
        Ok(words)
    }

    /// An address and a count.
    fn range<T>(self, max: u16, make: impl FnOnce(u16, u16) -> T) -> Result<T, PduError> {
        let [address, count] = self.words()?;
        self.count(count, max, true)?;
        Ok(make(address, count))
    }

    /// `N` words, then a count of octets and the octets.
    fn words_and_octets<const N: usize>(self) -> Result<([u16; N], &'a [u8]), PduError> {
        let (head, rest) = self.data.split_at_checked(2 * N).ok_or_else(|| self.length(2 * N + 1))?;
        let words = Body { data: head, ..self }.words()?;
        let octets = match rest.split_first() {
            Some((count, octets)) if usize::from(*count) == octets.len() => octets,
            Some((count, _)) => return Err(self.length(2 * N + 1 + usize::from(*count))),
            None => return Err(self.length(2 * N + 1)),
        };
        Ok((words, octets))
    }

    /// A count of octets and the octets, at least one.
    fn octets(self) -> Result<&'a [u8], PduError> {
        match self.data.split_first() {
            Some((0, _)) => Err(PduError::Odd { function: self.function, octets: 0 }),
            Some((count, octets)) if usize::from(*count) == octets.len() => Ok(octets),
            Some((count, _)) => Err(self.length(1 + usize::from(*count))),
            None => Err(self.length(2)),
        }
    }

    fn registers(self) -> Result<Vec<u16>, PduError> {
        let octets = self.octets()?;
        if octets.len() % 2 != 0 {
            return Err(PduError::Odd { function: self.function, octets: octets.len() as u8 });
        }
        Ok(registers(octets))
    }

    fn count(self, count: u16, max: u16, consistent: bool) -> Result<(), PduError> {
        let good = (1..=max).contains(&count) && consistent;
        if good { Ok(()) } else { Err(PduError::Count { function: self.function, count, max }) }
    }

    /// `expected` octets of data were to be there.
    fn length(self, expected: usize) -> PduError {
        PduError::Length { function: self.function, found: 1 + self.data.len(), expected: 1 + expected }
    }
}

fn is_on(value: u16) -> Result<bool, PduError> {
    match value {
        ON => Ok(true),
        0 => Ok(false),
        value => Err(PduError::Coil(value)),
    }
}

const fn coil(value: bool) -> u16 {
    if value { ON } else { 0 }
}

fn words(out: &mut Vec<u8>, words: &[u16]) {
    out.extend(words.iter().flat_map(|word| word.to_be_bytes()));
}

fn counted(out: &mut Vec<u8>, registers: &[u16]) {
    out.push((2 * registers.len()) as u8);
    words(out, registers);
}

fn registers(octets: &[u8]) -> Vec<u16> {
    octets.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
}

/// A count of octets and the bits, the first in the lowest bit of the first octet.
fn packed(out: &mut Vec<u8>, bits: &[bool]) {
    out.push(bits.len().div_ceil(8) as u8);
    out.extend(bits.chunks(8).map(|bits| bits.iter().rev().fold(0, |octet, bit| octet << 1 | u8::from(*bit))));
}

fn unpacked(octets: &[u8]) -> Vec<bool> {
    octets.iter().flat_map(|octet| (0..8).map(move |bit| octet >> bit & 1 == 1)).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Any request that the standard allows.
    pub(crate) fn request() -> impl Strategy<Value = Request> {
        let range = |max: u16| (any::<u16>(), 1..=max);
        let some = |max: u16| proptest::collection::vec(any::<u16>(), 1..=usize::from(max));
        prop_oneof![
            range(READ_BITS_MAX).prop_map(|(address, count)| Request::ReadCoils { address, count }),
            range(READ_BITS_MAX).prop_map(|(address, count)| Request::ReadDiscreteInputs { address, count }),
            range(READ_REGISTERS_MAX).prop_map(|(address, count)| Request::ReadHoldingRegisters { address, count }),
            range(READ_REGISTERS_MAX).prop_map(|(address, count)| Request::ReadInputRegisters { address, count }),
            any::<(u16, bool)>().prop_map(|(address, value)| Request::WriteSingleCoil { address, value }),
            any::<(u16, u16)>().prop_map(|(address, value)| Request::WriteSingleRegister { address, value }),
            (any::<u16>(), proptest::collection::vec(any::<bool>(), 1..=usize::from(WRITE_BITS_MAX)))
                .prop_map(|(address, bits)| Request::WriteMultipleCoils { address, bits }),
            (any::<u16>(), some(WRITE_REGISTERS_MAX))
                .prop_map(|(address, registers)| Request::WriteMultipleRegisters { address, registers }),
            any::<(u16, u16, u16)>().prop_map(|(address, and_mask, or_mask)| Request::MaskWriteRegister {
                address,
                and_mask,
                or_mask
            }),
            (range(READ_REGISTERS_MAX), any::<u16>(), some(READ_WRITE_REGISTERS_MAX)).prop_map(
                |((read_address, read_count), write_address, write_registers)| Request::ReadWriteMultipleRegisters {
                    read_address,
                    read_count,
                    write_address,
                    write_registers
                }
            ),
        ]
    }

    /// A good response to `request`, its values drawn from `seed`.
    pub(crate) fn response(request: &Request, seed: u16) -> Response {
        let bits = |count: u16| (0..count.div_ceil(8) * 8).map(|n| n.wrapping_mul(seed) % 3 == 0).collect();
        let registers = |count: u16| (0..count).map(|n| n.wrapping_add(1).wrapping_mul(seed)).collect();
        match *request {
            Request::ReadCoils { count, .. } => Response::ReadCoils(bits(count)),
            Request::ReadDiscreteInputs { count, .. } => Response::ReadDiscreteInputs(bits(count)),
            Request::ReadHoldingRegisters { count, .. } => Response::ReadHoldingRegisters(registers(count)),
            Request::ReadInputRegisters { count, .. } => Response::ReadInputRegisters(registers(count)),
            Request::WriteSingleCoil { address, value } => Response::WriteSingleCoil { address, value },
            Request::WriteSingleRegister { address, value } => Response::WriteSingleRegister { address, value },
            Request::WriteMultipleCoils { address, ref bits } => {
                Response::WriteMultipleCoils { address, count: bits.len() as u16 }
            }
            Request::WriteMultipleRegisters { address, ref registers } => {
                Response::WriteMultipleRegisters { address, count: registers.len() as u16 }
            }
            Request::MaskWriteRegister { address, and_mask, or_mask } => {
                Response::MaskWriteRegister { address, and_mask, or_mask }
            }
            Request::ReadWriteMultipleRegisters { read_count, .. } => {
                Response::ReadWriteMultipleRegisters(registers(read_count))
            }
        }
    }

    fn hex(digits: &str) -> Vec<u8> {
        (0..digits.len() / 2).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).expect("hex")).collect()
    }

    #[test]
    fn the_standards_own_examples_agree() {
        // V1.1b3 §6.3, §6.11, §6.16.
        let read = Request::ReadHoldingRegisters { address: 107, count: 3 };
        assert_eq!(Request::decode(&hex("03006B0003")), Ok(read.clone()));
        let answer = decode_answer(&hex("0306022B00000064"));
        assert_eq!(answer, Ok((3, Ok(Response::ReadHoldingRegisters(vec![0x022B, 0, 0x64])))));
        let coils = Request::decode(&hex("0F0013000A02CD01"));
        let bits = [1, 0, 1, 1, 0, 0, 1, 1, 1, 0].map(|bit| bit == 1).to_vec();
        assert_eq!(coils, Ok(Request::WriteMultipleCoils { address: 19, bits }));
        let mask = Request::MaskWriteRegister { address: 4, and_mask: 0xF2, or_mask: 0x25 };
        assert_eq!(Request::decode(&hex("16000400F20025")), Ok(mask));
        assert_eq!(decode_answer(&hex("8302")), Ok((3, Err(Exception::ILLEGAL_DATA_ADDRESS))));
        assert!(!Response::ReadHoldingRegisters(vec![1, 2]).answers(&read), "two are not three");
    }

    #[test]
    fn what_breaks_the_standard_is_refused_in_words() {
        for (pdu, exception, words) in [
            ("", 1, "an empty PDU"),
            ("2B0E0100", 1, "function 43 is not known here"),
            ("03006B00", 3, "function 3: 4 octets, not the 5 that its function and counts want"),
            ("03006B007E", 3, "function 3: a count of 126, allowed are 1 to 125 with as many octets as they need"),
            ("03006B0000", 3, "function 3: a count of 0, allowed are 1 to 125 with as many octets as they need"),
            ("0500ACFF01", 3, "function 5: coil value FF01, allowed are FF00 and 0000"),
            ("10000100020200FF", 3, "function 16: a count of 2, allowed are 1 to 123 with as many octets as they need"),
            ("1000010001020", 3, "function 16: 6 octets, not the 8 that its function and counts want"),
        ] {
            let error = Request::decode(&hex(pdu)).expect_err(pdu);
            assert_eq!((error.exception().0, error.to_string().as_str()), (exception, words), "{pdu}");
        }
        let odd = decode_answer(&hex("0305AABBCCDDEE")).expect_err("odd");
        assert_eq!(odd.to_string(), "function 3: 5 octets of registers, which have two each");
        assert!(decode_answer(&hex("830201")).is_err() && decode_answer(&[]).is_err());
    }

    proptest! {
        #[test]
        fn requests_and_responses_come_back_as_they_went(request in request(), seed: u16, code in 1_u8..=11) {
            let mut pdu = Vec::new();
            request.encode(&mut pdu);
            prop_assert!(pdu.len() <= PDU_MAX);
            prop_assert_eq!(Request::decode(&pdu), Ok(request.clone()));
            let response = response(&request, seed);
            prop_assert!(response.answers(&request));
            let mut pdu = Vec::new();
            response.encode(&mut pdu);
            prop_assert_eq!(pdu.len(), request.response_len());
            prop_assert!(pdu.len() <= PDU_MAX);
            prop_assert_eq!(decode_answer(&pdu), Ok((request.function(), Ok(response))));
            let mut pdu = Vec::new();
            encode_answer(request.function(), &Err(Exception(code)), &mut pdu);
            prop_assert_eq!(decode_answer(&pdu), Ok((request.function(), Err(Exception(code)))));
        }

        #[test]
        fn what_is_understood_is_encoded_to_the_same_octets(pdu in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(request) = Request::decode(&pdu) {
                let mut again = Vec::new();
                request.encode(&mut again);
                // Unused bits of the last octet of coils may be anything.
                let coils = matches!(request, Request::WriteMultipleCoils { .. });
                prop_assert!(again == pdu || (coils && again.len() == pdu.len()));
            }
            if let Ok((function, answer)) = decode_answer(&pdu) {
                let mut again = Vec::new();
                encode_answer(function, &answer, &mut again);
                prop_assert_eq!(again, pdu);
            }
        }
    }
}
