//! Text to token numbers, as BERT's uncased tokenizer does it: cleaned, lower case, accents dropped, split at white
//! space and punctuation, then the longest known pieces of each word from left to right.
//!
//! The numbers are those of the reference implementation (`scripts/embeddings/golden.py`), but for two things: the names
//! of special tokens such as `[CLS]` are plain text here, and characters that Unicode added since the reference's tables
//! were made are known to be marks or punctuation.
use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

/// Stands for a word of which some part is not known.
pub const UNKNOWN: u32 = 1;
/// A longer word is unknown, whatever it is made of.
const LONGEST_WORD: usize = 100;
/// Marks a piece that does not begin a word.
const INSIDE: &str = "##";

pub struct Wordpiece<'v> {
    begins: HashMap<&'v str, u32>,
    goes_on: HashMap<&'v str, u32>,
    /// In bytes.
    longest: usize,
}

impl<'v> Wordpiece<'v> {
    /// One token a line, numbered from 0.
    pub fn new(vocabulary: &'v str) -> Self {
        let (mut begins, mut goes_on, mut longest) = (HashMap::new(), HashMap::new(), 0);
        for (number, token) in (0..).zip(vocabulary.lines()) {
            match token.strip_prefix(INSIDE).filter(|piece| !piece.is_empty()) {
                Some(piece) => goes_on.insert(piece, number),
                None => begins.insert(token, number),
            };
            longest = longest.max(token.len());
        }
        Wordpiece { begins, goes_on, longest }
    }

    pub fn len(&self) -> usize {
        self.begins.len() + self.goes_on.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The numbers of all pieces, in order.
    pub fn tokens(&self, text: &str) -> Vec<u32> {
        let normal = normalised(text);
        let mut tokens = Vec::with_capacity(normal.len() / 4 + 1);
        for chunk in normal.split_whitespace() {
            let mut rest = chunk;
            while !rest.is_empty() {
                let end = match rest.char_indices().find(|(_, c)| is_punctuation(*c)) {
                    Some((0, mark)) => mark.len_utf8(),
                    Some((at, _)) => at,
                    None => rest.len(),
                };
                let (word, left) = rest.split_at(end);
                self.pieces(word, &mut tokens);
                rest = left;
            }
        }
        tokens
    }

    fn pieces(&self, word: &str, tokens: &mut Vec<u32>) {
        let first = tokens.len();
        if word.chars().count() > LONGEST_WORD {
            return tokens.push(UNKNOWN);
        }
        let (mut rest, mut known) = (word, &self.begins);
        while !rest.is_empty() {
            let longest = (1..=rest.len().min(self.longest)).rev().filter(|end| rest.is_char_boundary(*end));
            let found = longest.into_iter().find_map(|end| Some((end, *known.get(&rest[..end])?)));
            let Some((end, number)) = found else {
                tokens.truncate(first);
                return tokens.push(UNKNOWN);
            };
            tokens.push(number);
            rest = &rest[end..];
            known = &self.goes_on;
        }
    }
}

fn normalised(text: &str) -> String {
    if text.is_ascii() {
        return text.chars().filter_map(clean).flat_map(char::to_lowercase).collect();
    }
    let spaced: String = text.chars().filter_map(clean).flat_map(apart).flatten().collect();
    let bare = spaced.nfd().filter(|c| c.general_category() != GeneralCategory::NonspacingMark);
    bare.flat_map(char::to_lowercase).collect()
}

/// None: the character is dropped. All white space becomes a blank.
fn clean(c: char) -> Option<char> {
    match c {
        '\t' | '\n' | '\r' => Some(' '),
        '\u{fffd}' => None,
        _ if c.is_whitespace() => Some(' '),
        _ if is_other(c) => None,
        _ => Some(c),
    }
}

/// Control, format and private characters. One that Unicode has not assigned yet stays.
fn is_other(c: char) -> bool {
    matches!(c.general_category(), GeneralCategory::Control | GeneralCategory::Format | GeneralCategory::PrivateUse)
}

/// Chinese characters are words of their own.
fn apart(c: char) -> [Option<char>; 3] {
    if is_chinese(c) { [Some(' '), Some(c), Some(' ')] } else { [Some(c), None, None] }
}

fn is_chinese(c: char) -> bool {
    matches!(
        u32::from(c),
        0x4E00..=0x9FFF
            | 0x3400..=0x4DBF
            | 0x20000..=0x2A6DF
            | 0x2A700..=0x2B73F
            | 0x2B740..=0x2B81F
            | 0x2B920..=0x2CEAF
            | 0xF900..=0xFAFF
            | 0x2F800..=0x2FA1F
    )
}

fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation() || (!c.is_ascii() && c.general_category_group() == GeneralCategoryGroup::Punctuation)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOCABULARY: &str = "[PAD]\n[UNK]\nun\n##aff\n##able\naff\n!\n中\n##\n#";

    #[test]
    fn the_longest_known_piece_is_taken_first_and_one_unknown_piece_spoils_the_word() {
        let wordpiece = Wordpiece::new(VOCABULARY);
        for (text, expected) in [
            ("unaffable", vec![2, 3, 4]),
            ("UN affable!", vec![2, 5, 4, 6]),
            ("unaffablex un", vec![UNKNOWN, 2]),
            ("中中", vec![7, 7]),
            ("##", vec![9, 9]),
            ("", vec![]),
        ] {
            assert_eq!(wordpiece.tokens(text), expected, "{text}");
        }
    }

    #[test]
    fn a_word_of_more_than_100_characters_is_unknown() {
        let wordpiece = Wordpiece::new("[PAD]\n[UNK]\na\n##a");
        assert_eq!(wordpiece.tokens(&"a".repeat(100)).len(), 100);
        assert_eq!(wordpiece.tokens(&"a".repeat(101)), [UNKNOWN]);
    }
}
