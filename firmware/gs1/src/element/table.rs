//! Every application identifier: a table made from `ai.txt`, which is in the notation of GS1's Barcode Syntax Dictionary.
//!
//! Of package types (7041) the format is checked, not the content.

use super::format;

/// One AI, or several that differ in their number alone.
#[derive(Debug)]
pub(crate) struct Row {
    first: &'static str,
    last: &'static str,
    /// `*`: of predefined length, no FNC1 follows. `?`: may stand in a Digital Link's query.
    flags: &'static str,
    pub(crate) format: &'static str,
    /// AIs of which one must be beside it; `+` joins those needed together, `n` is any digit.
    pub(crate) requires: &'static str,
    /// AIs that must not be beside it.
    pub(crate) excludes: &'static str,
    /// For a Digital Link's key: the qualifiers that may follow, in this order; `|` separates alternatives.
    pub(crate) qualifiers: Option<&'static str>,
}

impl Row {
    /// The length of a value after which no FNC1 is needed.
    pub(crate) fn fixed_len(&self) -> Option<usize> {
        self.flags.contains('*').then(|| format::lengths(self.format).1)
    }

    /// Whether a Digital Link may have it in its query.
    pub(crate) fn is_attribute(&self) -> bool {
        self.flags.contains('?')
    }
}

/// The row of the AI `ai`.
pub(crate) fn exactly(ai: &str) -> Option<&'static Row> {
    // In the order of the digits, as in the dictionary.
    let row = &TABLE[TABLE.partition_point(|row| row.first <= ai).checked_sub(1)?];
    (row.first.len() == ai.len() && ai <= row.last).then_some(row)
}

/// The AI that `text` begins with: no AI begins with another one.
pub(crate) fn at_front(text: &str) -> Option<(&str, &'static Row)> {
    (2..=4).filter_map(|len| text.get(..len)).find_map(|ai| Some((ai, exactly(ai)?)))
}

/// Made of `ai.txt` by the build script.
static TABLE: &[Row] = include!(concat!(env!("OUT_DIR"), "/ai.rs"));

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn each_row_is_well_formed() {
        for row in TABLE {
            assert!(row.first <= row.last && row.first.len() == row.last.len(), "{row:?}");
            assert!((2..=4).contains(&row.first.len()), "{row:?}");
            let (min, max) = format::lengths(row.format);
            assert!(0 < min && min <= max && max <= crate::element::VALUE_MAX, "{row:?}");
            assert!(row.fixed_len().is_none_or(|len| len == min), "{row:?}");
            assert!(format::checks(row.format).all(format::is_known), "{row:?}");
        }
    }

    /// The dictionary's own lines: nothing was left out or changed on the way.
    #[test]
    fn the_table_is_the_dictionarys() {
        let mut seen = 0;
        for line in crate::vectors::text("gs1/gs1-syntax-dictionary.txt").lines().filter(|line| !line.starts_with('#'))
        {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace().peekable();
            let Some(ais) = words.next() else { continue };
            let flags = words.next_if(|word| word.starts_with(['*', '?'])).unwrap_or_default();
            let is_attribute = |word: &&str| word.contains('=') || *word == "dlpkey";
            let words: std::vec::Vec<_> = words.collect();
            let format: std::vec::Vec<_> = words.iter().copied().filter(|word| !is_attribute(word)).collect();
            let attribute = |name: &str| words.iter().find_map(|word| word.strip_prefix(name));
            let (first, last) = ais.split_once('-').unwrap_or((ais, ais));
            for ai in [first, last] {
                let row = exactly(ai).unwrap_or_else(|| std::panic!("{ai}"));
                assert_eq!((row.flags, row.format), (flags, format.join(" ").as_str()), "{ai}");
                assert_eq!(row.requires, attribute("req=").unwrap_or_default(), "{ai}");
                assert_eq!(row.excludes, attribute("ex=").unwrap_or_default(), "{ai}");
                assert_eq!(row.qualifiers, attribute("dlpkey").map(|keys| keys.trim_start_matches('=')), "{ai}");
            }
            seen += 1;
        }
        std::eprintln!("{seen} lines of the dictionary");
    }

    #[test]
    fn no_ai_begins_with_another() {
        for (index, row) in TABLE.iter().enumerate() {
            let (_, found) = at_front(row.last).expect("is in the table");
            assert!(core::ptr::eq(found, &TABLE[index]), "{row:?} is hidden by {found:?}");
        }
    }
}
