//! Commands beside the inventory: operations on a tag's memory by an AccessSpec, outputs.
//!
//! One at a time. The AccessSpec ends after one operation by itself; one that found no tag in time is deleted. Whatever
//! is written is read back within the same access, while the tag is held.

use super::{ANSWER_WAIT, Client, ROSPEC_ID, output, told_status};
use crate::llrp::frame::Frame;
use crate::llrp::kind;
use crate::llrp::tree::{self, Child, Tree, Value};
use stowage_base::access::{Bank, Op, WORDS_MAX};
use stowage_base::{CommandError, Duration, Epc, ReaderCommand, ReaderSink, TagOp, Timestamp, Words};

/// How long a tag may take to come by.
const TAG_WAIT: Duration = Duration::from_secs(5);

/// The command that is under way.
#[derive(Debug, Default)]
pub(super) struct Access {
    now: Option<Command>,
    /// Counts AccessSpecs and their operations, so that a late result isn't taken for a newer one's.
    count: u16,
}

#[derive(Debug)]
struct Command {
    id: u32,
    step: Step,
    /// The message that is to be answered.
    message: u32,
    until: Timestamp,
    /// The AccessSpec; 0 for an output.
    spec: u16,
    op: Option<TagOp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Add,
    Enable,
    /// The tag is waited for.
    Tag,
    Output,
}

impl Step {
    fn answer(self) -> Option<u16> {
        kind::response(match self {
            Self::Add => kind::ADD_ACCESSSPEC,
            Self::Enable => kind::ENABLE_ACCESSSPEC,
            Self::Tag => return None,
            Self::Output => kind::SET_READER_CONFIG,
        })
    }
}

impl Access {
    /// Whether the next report may hold a result.
    pub(super) fn waits(&self) -> bool {
        // A report may overtake the answer to ENABLE_ACCESSSPEC.
        self.now.as_ref().is_some_and(|command| matches!(command.step, Step::Enable | Step::Tag))
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.now.as_ref().map(|command| command.until)
    }

    /// The session is over, and whatever was under way with it.
    pub(super) fn end(&mut self, sink: &mut impl ReaderSink) {
        self.finish(Err(CommandError::Down), sink);
    }

    fn finish(&mut self, result: Result<Words, CommandError>, sink: &mut impl ReaderSink) {
        if let Some(command) = self.now.take() {
            sink.done(command.id, result);
        }
    }
}

impl Client {
    /// Begins a command.
    pub(super) fn begin(&mut self, now: Timestamp, id: u32, command: &ReaderCommand, sink: &mut impl ReaderSink) {
        if self.state != super::State::Running {
            return sink.done(id, Err(CommandError::Down));
        }
        if self.access.now.is_some() {
            return sink.done(id, Err(CommandError::Busy));
        }
        let (step, op, message) = match command {
            ReaderCommand::Output { port, on } => (Step::Output, None, output(*port, *on)),
            ReaderCommand::Tag(op) => {
                self.access.count = self.access.count % 30_000 + 1;
                (Step::Add, Some(*op), accessspec(op, self.access.count))
            }
        };
        let spec = if op.is_some() { self.access.count } else { 0 };
        let message = self.send(&message, sink);
        self.access.now = Some(Command { id, step, message, until: now + ANSWER_WAIT, spec, op });
    }

    /// An answer came while the session is up: mostly to a command.
    pub(super) fn command_answered(&mut self, now: Timestamp, frame: &Frame<'_>, sink: &mut impl ReaderSink) {
        let error = frame.kind == kind::ERROR_MESSAGE;
        let Ok(body) = tree::decode(frame) else {
            return sink.event(super::malformed("an answer as LLRP defines it", 0));
        };
        let status = told_status(&body, sink);
        let awaited = self
            .access
            .now
            .as_ref()
            .filter(|command| command.message == frame.id && (error || command.step.answer() == Some(frame.kind)));
        let Some((step, spec)) = awaited.map(|command| (command.step, command.spec)) else {
            let expected = matches!(frame.kind, kind::ERROR_MESSAGE | 13 | 32 | 51);
            self.unknown += u64::from(!expected);
            if frame.kind == 32 && status != 0 {
                // The ROSpec wasn't started: the photo-eye's next word starts it.
                self.gate.looking = false;
            }
            return;
        };
        if status != 0 || error {
            return self.access.finish(Err(CommandError::Refused(status)), sink);
        }
        let message = match step {
            Step::Add => Tree::new("ENABLE_ACCESSSPEC").set("AccessSpecID", u32::from(spec)),
            Step::Enable => {
                if let Some(command) = &mut self.access.now {
                    (command.step, command.until) = (Step::Tag, now + TAG_WAIT);
                }
                return;
            }
            Step::Tag => return,
            Step::Output => return self.access.finish(Ok(Words::NONE), sink),
        };
        let message = self.send(&message, sink);
        if let Some(command) = &mut self.access.now {
            (command.step, command.message, command.until) = (Step::Enable, message, now + ANSWER_WAIT);
        }
    }

    /// Looks for the result in a message of reports.
    pub(super) fn access_report(&mut self, frame: &Frame<'_>, sink: &mut impl ReaderSink) {
        let Some(Command { spec, op: Some(op), .. }) = &self.access.now else { return };
        let (first, op) = (2 * *spec, *op);
        let Ok(body) = tree::decode(frame) else { return };
        for report in body.all("TagReportData") {
            let result = |id: u16| {
                report.children().iter().find_map(|child| match child {
                    Child::Known(tree)
                        if tree.name().ends_with("OpSpecResult") && tree.name() != "ClientRequestOpSpecResult" =>
                    {
                        (tree.int("OpSpecID") == i64::from(id)).then_some(tree)
                    }
                    Child::Known(_) | Child::Unknown { .. } => None,
                })
            };
            let Some(done) = result(first) else { continue };
            let outcome = match fault(done) {
                Some(fault) => Err(fault),
                None => verify(&op, done, result(first + 1)),
            };
            return self.access.finish(outcome, sink);
        }
    }

    /// Gives up what takes too long.
    pub(super) fn command_tick(&mut self, now: Timestamp, sink: &mut impl ReaderSink) {
        let Some(command) = self.access.now.as_ref().filter(|command| command.until <= now) else { return };
        let (step, spec) = (command.step, command.spec);
        if spec != 0 {
            self.send(&Tree::new("DELETE_ACCESSSPEC").set("AccessSpecID", u32::from(spec)), sink);
        }
        let why = if step == Step::Tag { CommandError::NoTag } else { CommandError::NoResponse };
        self.access.finish(Err(why), sink);
    }
}

/// The words of an EPC bank from `from` on (1: with the PC) that make a tag answer by `epc`.
fn epc_words(epc: &Epc, from: u16) -> impl Iterator<Item = u16> {
    let pc = (epc.octets().len().div_ceil(2) as u16) << 11;
    let words = epc.octets().chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    std::iter::once(pc).chain(words).skip(usize::from(from - 1))
}

/// Where and what is written, if `op` writes.
fn written(op: &TagOp) -> Option<(Bank, u16, Vec<u16>)> {
    match &op.op {
        Op::Write { bank, word, data } => Some((*bank, *word, data.as_slice().to_vec())),
        Op::WriteEpc(epc) => {
            // The PC keeps its other bits where the length stays as it is.
            let same = epc.octets().len().div_ceil(2) == op.tag.octets().len().div_ceil(2);
            let from = if same { 2 } else { 1 };
            Some((Bank::Epc, from, epc_words(epc, from).collect()))
        }
        Op::Read { .. } | Op::Lock { .. } | Op::Kill { .. } => None,
    }
}

/// ADD_ACCESSSPEC: does `op` once, with the tag whose EPC it names. The operations count from twice `count`.
fn accessspec(op: &TagOp, count: u16) -> Tree {
    let first = 2 * count;
    let tag = op.tag.octets();
    let bits = |octets: Vec<u8>| Value::Bits { count: (8 * octets.len()) as u16, octets };
    // The EPC lies behind CRC and PC.
    let target = Tree::new("C1G2TargetTag")
        .set("MB", 1)
        .set("Match", true)
        .set("Pointer", 32)
        .set("TagMask", bits(vec![0xFF; tag.len()]))
        .set("TagData", bits(tag.to_vec()));
    let mut command = Tree::new("AccessCommand").with(Tree::new("C1G2TagSpec").with(target));
    let with_password = |name: &str, id: u16| Tree::new(name).set("OpSpecID", id).set("AccessPassword", op.password);
    let read = |id: u16, bank: Bank, word: u16, count: u16| {
        with_password("C1G2Read", id).set("MB", bank as u8).set("WordPointer", word).set("WordCount", count)
    };
    command = match &op.op {
        Op::Read { bank, word, count } => command.with(read(first, *bank, *word, u16::from(*count))),
        Op::Lock { field, lock } => {
            let payload = Tree::new("C1G2LockPayload").set("Privilege", *lock as u8).set("DataField", *field as u8);
            command.with(with_password("C1G2Lock", first).with(payload))
        }
        Op::Kill { password } => {
            command.with(Tree::new("C1G2Kill").set("OpSpecID", first).set("KillPassword", *password))
        }
        Op::Write { .. } | Op::WriteEpc(_) => match written(op) {
            None => command,
            Some((bank, word, data)) => {
                let count = data.len() as u16;
                let data: Vec<u64> = data.into_iter().map(u64::from).collect();
                let write = with_password("C1G2Write", first)
                    .set("MB", bank as u8)
                    .set("WordPointer", word)
                    .set("WriteData", data);
                command.with(write).with(read(first + 1, bank, word, count))
            }
        },
    };
    // After one operation; reported at its end.
    let stop = Tree::new("AccessSpecStopTrigger").set("AccessSpecStopTrigger", 1).set("OperationCountValue", 1);
    let spec = Tree::new("AccessSpec")
        .set("AccessSpecID", u32::from(count))
        .set("AntennaID", op.antenna.unwrap_or(0))
        .set("ProtocolID", 1)
        .set("ROSpecID", ROSPEC_ID)
        .with(stop)
        .with(command)
        .with(Tree::new("AccessReportSpec").set("AccessReportTrigger", 1));
    Tree::new("ADD_ACCESSSPEC").with(spec)
}

/// What a result complains of.
fn fault(result: &Tree) -> Option<CommandError> {
    use CommandError as E;
    let code = result.int("Result");
    let table: &[E] = match result.name() {
        "C1G2ReadOpSpecResult" => &[E::Tag, E::NoResponse, E::Reader, E::Overrun, E::Locked],
        "C1G2KillOpSpecResult" => &[E::ZeroKillPassword, E::Power, E::Tag, E::NoResponse, E::Reader],
        "C1G2LockOpSpecResult" => &[E::Power, E::Tag, E::NoResponse, E::Reader],
        _ => &[E::Overrun, E::Locked, E::Power, E::Tag, E::NoResponse, E::Reader],
    };
    let index = usize::try_from(code).ok().and_then(|code| code.checked_sub(1));
    index.map(|index| table.get(index).copied().unwrap_or(E::Reader))
}

/// The words that were read; what was written has to be among them.
fn verify(op: &TagOp, done: &Tree, read_back: Option<&Tree>) -> Result<Words, CommandError> {
    let words = |tree: &Tree| -> Vec<u16> { tree.list("ReadData").iter().map(|word| *word as u16).collect() };
    let Some((_, _, data)) = written(op) else {
        let read = if done.name() == "C1G2ReadOpSpecResult" { words(done) } else { Vec::new() };
        return Words::new(read.into_iter().take(WORDS_MAX)).ok_or(CommandError::Reader);
    };
    let Some(back) = read_back.filter(|back| back.name() == "C1G2ReadOpSpecResult") else {
        return Err(CommandError::Differs);
    };
    match fault(back) {
        Some(fault) => Err(fault),
        None if words(back) == data => Words::new(data).ok_or(CommandError::Reader),
        None => Err(CommandError::Differs),
    }
}
