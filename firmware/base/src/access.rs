//! What a reader is told to do beside looking: operations on a tag's memory (Gen2), outputs.

use crate::Epc;

/// Most words of one operation: a whole user memory of 1024 bits.
pub const WORDS_MAX: usize = 64;

/// A bank of a tag's memory, by its Gen2 number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bank {
    /// Kill password (words 0 and 1), access password (words 2 and 3).
    Reserved = 0,
    /// CRC (word 0), PC (word 1), EPC.
    Epc = 1,
    /// Who made the tag and, mostly, its serial number.
    Tid = 2,
    /// The user's.
    User = 3,
}

/// Words of a tag's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words {
    len: u8,
    words: [u16; WORDS_MAX],
}

impl Words {
    /// None.
    pub const NONE: Self = Self { len: 0, words: [0; WORDS_MAX] };

    /// These; `None` if there are more than [`WORDS_MAX`].
    pub fn new(words: impl IntoIterator<Item = u16>) -> Option<Self> {
        let mut all = Self::NONE;
        for word in words {
            *all.words.get_mut(usize::from(all.len))? = word;
            all.len += 1;
        }
        Some(all)
    }

    /// They.
    pub fn as_slice(&self) -> &[u16] {
        &self.words[..usize::from(self.len)]
    }
}

/// What a lock protects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockField {
    /// The kill password.
    KillPassword = 0,
    /// The access password.
    AccessPassword = 1,
    /// The EPC bank.
    Epc = 2,
    /// The TID bank.
    Tid = 3,
    /// The user bank.
    User = 4,
}

/// How a field is protected from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// Writing needs the access password; passwords can't be read without it either.
    Lock = 0,
    /// Never to be written again.
    Permanent = 1,
    /// Open for ever.
    PermanentlyOpen = 2,
    /// Open.
    Open = 3,
}

/// An operation on a tag's memory.
#[allow(clippy::large_enum_variant, reason = "there is no heap here, and operations are few")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Reads.
    Read {
        /// Where.
        bank: Bank,
        /// First word.
        word: u16,
        /// How many, 1 to [`WORDS_MAX`].
        count: u8,
    },
    /// Writes, and reads back what was written.
    Write {
        /// Where.
        bank: Bank,
        /// First word.
        word: u16,
        /// What, at least one word.
        data: Words,
    },
    /// Gives the tag another EPC, with the PC that its length needs, and reads it back.
    WriteEpc(Epc),
    /// Locks.
    Lock {
        /// What.
        field: LockField,
        /// How.
        lock: Lock,
    },
    /// Silences the tag for ever.
    Kill {
        /// Its kill password, not 0.
        password: u32,
    },
}

/// An operation on one tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TagOp {
    /// The tag.
    pub tag: Epc,
    /// The antenna's port; `None`: any.
    pub antenna: Option<u16>,
    /// The tag's access password; 0 if it has none.
    pub password: u32,
    /// What to do.
    pub op: Op,
}

/// What a reader is told to do beside looking.
#[allow(clippy::large_enum_variant, reason = "there is no heap here, and commands are few")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReaderCommand {
    /// Something with a tag.
    Tag(TagOp),
    /// Sets an output.
    Output {
        /// Which, from 1.
        port: u16,
        /// On or off.
        on: bool,
    },
}

/// Why a command was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandError {
    /// The reader, or our end of its protocol, can't do such a thing.
    Unsupported,
    /// The session isn't up, or ended before the answer.
    Down,
    /// Another command is under way.
    Busy,
    /// No such tag answered in time.
    NoTag,
    /// The tag was there, and then answered no more: too far, or a wrong password.
    NoResponse,
    /// The tag has no such words.
    Overrun,
    /// The words are locked.
    Locked,
    /// The tag got too little power to write.
    Power,
    /// Its kill password is 0, so it can't be killed.
    ZeroKillPassword,
    /// The tag says that something is wrong, not what.
    Tag,
    /// The reader says that something is wrong, not what.
    Reader,
    /// What was read back differs from what was written.
    Differs,
    /// The reader refused it with this code of its protocol.
    Refused(u16),
}

impl CommandError {
    /// Whether trying again, nearer or later, may help.
    pub fn is_passing(self) -> bool {
        matches!(self, Self::Down | Self::Busy | Self::NoTag | Self::NoResponse | Self::Power | Self::Differs)
    }
}
