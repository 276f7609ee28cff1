//! The screen as text: four lines of 24 cells.

use crate::app::{Mode, Scanner};
use crate::catalogue::Catalogue;
use core::borrow::BorrowMut;
use core::fmt::Write as _;
use heapless::{String, Vec};
use stowage_base::text::Sentence;
use stowage_base::{Language, Verdict};

/// Lines on the screen: one of status, the rest for the sentence.
pub const LINES: usize = 4;

/// Lines of a page of the sentence.
const PAGE: usize = LINES - 1;

/// Most lines of a sentence: any two in a row have more than [`CELLS`].
const LINES_MAX: usize = 2 * (SENTENCE_LEN_MAX / CELLS + 1);

/// Cells in a line; a Chinese character takes two.
pub const CELLS: usize = 24;

/// One line: at most [`CELLS`] cells.
pub type Line = String<{ 4 * CELLS }>;

/// What stands on the screen.
///
/// The first line: mode; at its right the typed quantity (`12x`), tasks (`T2`), intents kept for the edge (`^15`),
/// `+` or `-` for the link, and the battery's per cent. Then the sentence, or one page of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Screen {
    /// From the top.
    pub lines: [Line; LINES],
}

impl Screen {
    /// What the worker should see now.
    pub fn of<const ITEMS: usize, const LOCATIONS: usize, C: BorrowMut<Catalogue<ITEMS, LOCATIONS>>>(
        scanner: &Scanner<ITEMS, LOCATIONS, C>,
    ) -> Self {
        let mut screen = Self::default();
        let [top, rest @ ..] = &mut screen.lines;
        *top = status(scanner);
        let text = sentence(scanner.answer(), scanner.language());
        let lines = wrap(&text);
        let page = scanner.page() % lines.len().div_ceil(PAGE).max(1);
        for (line, text) in rest.iter_mut().zip(lines.iter().skip(page * PAGE)) {
            let _ = line.push_str(text); // at most CELLS characters of four octets
        }
        screen
    }
}

/// How many pages `answer` has.
pub(crate) fn pages(answer: &Verdict, language: Language) -> usize {
    wrap(&sentence(answer, language)).len().div_ceil(PAGE)
}

/// Most octets of a sentence: no template has 200 (tested), and four arguments have 128.
const SENTENCE_LEN_MAX: usize = 328;

fn sentence(answer: &Verdict, language: Language) -> String<SENTENCE_LEN_MAX> {
    let mut text = String::new();
    let _ = write!(text, "{}", Sentence { key: answer.key, language, args: &answer.args });
    text
}

fn status<const ITEMS: usize, const LOCATIONS: usize, C: BorrowMut<Catalogue<ITEMS, LOCATIONS>>>(
    scanner: &Scanner<ITEMS, LOCATIONS, C>,
) -> Line {
    let mut right = Line::new();
    let mut put = |text: core::fmt::Arguments<'_>| {
        let _ = right.write_fmt(text); // at most 36 octets
    };
    if let Some(quantity) = scanner.digits() {
        put(format_args!(" {quantity}x"));
    }
    match scanner.tasks().count() {
        0 => {}
        tasks => put(format_args!(" T{tasks}")),
    }
    if scanner.kept() > 0 {
        put(format_args!(" ^{}", scanner.kept()));
    }
    put(format_args!(" {}", if scanner.linked() { '+' } else { '-' }));
    if let Some(battery) = scanner.battery() {
        put(format_args!(" {battery}%"));
    }
    let mut line = Line::new();
    let mut room = CELLS.saturating_sub(right.len());
    for character in name(scanner.mode(), scanner.language()).chars() {
        let Some(left) = room.checked_sub(cells(character)) else { break };
        room = left;
        let _ = line.push(character);
    }
    for character in core::iter::repeat_n(' ', room).chain(right.chars()) {
        let _ = line.push(character);
    }
    line
}

const fn name(mode: Mode, language: Language) -> &'static str {
    match (mode, language) {
        (Mode::Receive, Language::English) => "Receive",
        (Mode::Receive, Language::Chinese) => "收货",
        (Mode::Receive, Language::Spanish) => "Recibir",
        (Mode::Receive, Language::German) => "Annehmen",
        (Mode::PutAway, Language::English) => "Put away",
        (Mode::PutAway, Language::Chinese) => "上架",
        (Mode::PutAway, Language::Spanish) => "Ubicar",
        (Mode::PutAway, Language::German) => "Einlagern",
        (Mode::Move, Language::English) => "Move",
        (Mode::Move, Language::Chinese) => "移库",
        (Mode::Move, Language::Spanish) => "Mover",
        (Mode::Move, Language::German) => "Umlagern",
        (Mode::Count, Language::English) => "Count",
        (Mode::Count, Language::Chinese) => "盘点",
        (Mode::Count, Language::Spanish) => "Contar",
        (Mode::Count, Language::German) => "Zählen",
        (Mode::See, Language::English) => "Find",
        (Mode::See, Language::Chinese) => "查找",
        (Mode::See, Language::Spanish) => "Buscar",
        (Mode::See, Language::German) => "Suchen",
    }
}

/// Cells that a character takes: two for those of East Asian width, by block.
const fn cells(character: char) -> usize {
    match character {
        '\u{1100}'..='\u{115F}' | '\u{2E80}'..='\u{A4CF}' | '\u{AC00}'..='\u{D7A3}' => 2,
        '\u{F900}'..='\u{FAFF}' | '\u{FE30}'..='\u{FE6F}' | '\u{FF00}'..='\u{FF60}' | '\u{20000}'..='\u{3FFFD}' => 2,
        _ => 1,
    }
}

/// The lines of a sentence: breaks at spaces, and inside a word only if it is of wide characters or longer than a line.
fn wrap(text: &str) -> Vec<&str, LINES_MAX> {
    let mut lines = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(break_in(rest));
        if lines.push(line.trim_end()).is_err() {
            break; // LINES_MAX is more than a sentence fills
        }
        rest = after.trim_start();
    }
    lines
}

/// Where the first line of `text` ends.
fn break_in(text: &str) -> usize {
    let (mut used, mut good) = (0, 0);
    for (index, character) in text.char_indices() {
        let wide = cells(character) > 1;
        if character == ' ' || wide {
            good = index;
        }
        used += cells(character);
        if used > CELLS {
            return if character == ' ' || good == 0 { index } else { good };
        }
        if wide {
            good = index + character.len_utf8();
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use stowage_base::TextKey;

    const LANGUAGES: [Language; 4] = [Language::English, Language::Chinese, Language::Spanish, Language::German];

    fn width(text: &str) -> usize {
        text.chars().map(cells).sum()
    }

    #[test]
    fn no_template_is_longer_than_a_sentence_has_room_for() {
        for key in TextKey::ALL {
            for language in LANGUAGES {
                assert!(key.template(language).len() + 4 * stowage_base::CODE_LEN_MAX <= SENTENCE_LEN_MAX, "{key:?}");
            }
        }
    }

    #[test]
    fn lines_break_at_spaces_and_between_wide_characters() {
        assert_eq!(wrap("MUG: now scan the location")[..], ["MUG: now scan the", "location"]);
        assert_eq!(
            wrap("已移动 3 × MUG 到 A-1。账面只有 2：已记录差异")[..],
            ["已移动 3 × MUG 到 A-1。", "账面只有 2：已记录差异"]
        );
        assert_eq!(wrap("30395DFA81B7D8400000000130395DFA")[..], ["30395DFA81B7D84000000001", "30395DFA"]);
    }

    proptest! {
        #[test]
        fn every_line_fits_and_nothing_but_spaces_is_lost(text in "[a-z ö×盘点，。]{0,120}") {
            let lines = wrap(&text);
            prop_assert!(lines.iter().all(|line| width(line) <= CELLS && !line.is_empty()));
            let said: std::string::String = lines.concat().split(' ').collect();
            prop_assert_eq!(said, text.split(' ').collect::<std::string::String>());
        }
    }
}
