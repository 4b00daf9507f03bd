//! Text to a vector: the mean of the word vectors of potion-base-8M (`assets/potion-base-8M/README.md`), of length 1.
//! The model is part of the program; making a vector takes a few microseconds.
use crate::learning::wordpiece::{UNKNOWN, Wordpiece};

/// Length of a vector.
pub const DIMS: usize = 256;

static MODEL: &[u8] = include_bytes!("../../assets/potion-base-8M/model.int8");
static VOCABULARY: &str = include_str!("../../assets/potion-base-8M/vocab.txt");
const MAGIC: &[u8] = b"DSMILEM1";
const HEADER: usize = 16;

/// The model's file is not as its format says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    #[error("the model does not begin with `DSMILEM1`")]
    NotAModel,
    #[error("the model has {found} dimensions; {DIMS} are expected")]
    Dimensions { found: u32 },
    #[error("the model says {rows} rows, and its vocabulary has {tokens} tokens")]
    Vocabulary { rows: u32, tokens: usize },
    #[error("the model has {found} bytes; {expected} are expected")]
    Length { found: usize, expected: usize },
}

/// A vector of length 1; all zeros for a text without a known word.
#[derive(Debug, Clone, PartialEq)]
pub struct Vector(Box<[f32]>);

impl Vector {
    pub fn values(&self) -> &[f32] {
        &self.0
    }

    /// False: the text had no known word, and the vector says nothing.
    pub fn has_meaning(&self) -> bool {
        self.0.iter().any(|value| *value != 0.0)
    }

    /// From -1 to 1. Both are of length 1, so this is the product.
    pub fn cosine(&self, other: &Vector) -> f64 {
        f64::from(self.0.iter().zip(&other.0).map(|(a, b)| a * b).sum::<f32>())
    }
}

pub struct Embedder {
    wordpiece: Wordpiece<'static>,
    scales: &'static [u8],
    rows: &'static [u8],
}

impl Embedder {
    /// With the model that is part of the program.
    pub fn shipped() -> Result<Self, ModelError> {
        Self::of(MODEL, VOCABULARY)
    }

    fn of(model: &'static [u8], vocabulary: &'static str) -> Result<Self, ModelError> {
        if model.get(..MAGIC.len()) != Some(MAGIC) || model.len() < HEADER {
            return Err(ModelError::NotAModel);
        }
        let number = |at: usize| u32::from_le_bytes([model[at], model[at + 1], model[at + 2], model[at + 3]]);
        let (rows, dims) = (number(8), number(12));
        if dims as usize != DIMS {
            return Err(ModelError::Dimensions { found: dims });
        }
        let wordpiece = Wordpiece::new(vocabulary);
        if wordpiece.len() != rows as usize {
            return Err(ModelError::Vocabulary { rows, tokens: wordpiece.len() });
        }
        let scales = HEADER + 4 * rows as usize;
        let expected = scales + DIMS * rows as usize;
        if model.len() != expected {
            return Err(ModelError::Length { found: model.len(), expected });
        }
        Ok(Embedder { wordpiece, scales: &model[HEADER..scales], rows: &model[scales..] })
    }

    pub fn embed(&self, text: &str) -> Vector {
        let tokens = self.wordpiece.tokens(text);
        let mut sum = [0.0_f32; DIMS];
        for token in tokens.into_iter().filter(|token| *token != UNKNOWN) {
            let token = token as usize;
            let scale = &self.scales[4 * token..4 * token + 4];
            let scale = f32::from_le_bytes([scale[0], scale[1], scale[2], scale[3]]);
            for (sum, byte) in sum.iter_mut().zip(&self.rows[DIMS * token..DIMS * (token + 1)]) {
                *sum += scale * f32::from(byte.cast_signed());
            }
        }
        let length = sum.iter().map(|value| value * value).sum::<f32>().sqrt();
        if length > 0.0 {
            sum.iter_mut().for_each(|value| *value /= length);
        }
        Vector(Box::new(sum))
    }

    #[cfg(test)]
    fn tokens(&self, text: &str) -> Vec<u32> {
        self.wordpiece.tokens(text)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Case {
        text: String,
        ids: Vec<u32>,
        vector: Option<Vec<f64>>,
    }

    fn golden() -> Vec<Case> {
        serde_json::from_str(include_str!("../../tests/fixtures/embeddings.json")).expect("the fixture is JSON")
    }

    #[test]
    fn tokens_are_those_of_the_reference_implementation() {
        let embedder = Embedder::shipped().expect("the shipped model");
        let cases = golden();
        assert!(cases.len() >= 240, "{} cases", cases.len());
        let other = cases.iter().filter(|case| embedder.tokens(&case.text) != case.ids);
        let other: Vec<String> = other
            .map(|case| format!("{:?}: {:?}, not {:?}", case.text, embedder.tokens(&case.text), case.ids))
            .collect();
        assert!(other.is_empty(), "{}", other.join("\n"));
    }

    #[test]
    fn vectors_are_those_of_the_original_floats_but_for_rounding() {
        let embedder = Embedder::shipped().expect("the shipped model");
        let mut compared = 0;
        for Case { text, vector, .. } in golden() {
            let Some(expected) = vector else { continue };
            let ours = embedder.embed(&text);
            let cosine: f64 = ours.values().iter().zip(&expected).map(|(a, b)| f64::from(*a) * b).sum();
            let wanted = if ours.has_meaning() { 1.0 } else { 0.0 };
            assert!((cosine - wanted).abs() < 5e-4, "{text:?}: {cosine}");
            compared += 1;
        }
        assert!(compared >= 60, "{compared} vectors");
    }

    #[test]
    fn near_texts_are_nearer_than_far_ones() {
        let embedder = Embedder::shipped().expect("the shipped model");
        let cosine = |a: &str, b: &str| embedder.embed(a).cosine(&embedder.embed(b));
        let near = cosine("check whether the disk is full", "how much storage space is left on the drives");
        let far = cosine("check whether the disk is full", "list failed logins of users");
        assert!(near > far + 0.1, "{near} {far}");
        assert!(!embedder.embed("\u{200b}").has_meaning());
    }

    #[test]
    fn a_damaged_model_is_refused() {
        let check = |model: Vec<u8>, expected: ModelError| {
            assert_eq!(Embedder::of(model.leak(), "[PAD]\n[UNK]").err(), Some(expected));
        };
        let model = |rows: u32, dims: u32, more: usize| {
            let mut bytes = MAGIC.to_vec();
            bytes.extend(rows.to_le_bytes());
            bytes.extend(dims.to_le_bytes());
            bytes.resize(bytes.len() + more, 0);
            bytes
        };
        check(b"DSMILEM0........".to_vec(), ModelError::NotAModel);
        check(MAGIC.to_vec(), ModelError::NotAModel);
        check(model(2, 128, 0), ModelError::Dimensions { found: 128 });
        check(model(3, 256, 0), ModelError::Vocabulary { rows: 3, tokens: 2 });
        check(model(2, 256, 7), ModelError::Length { found: 23, expected: 16 + 2 * 260 });
    }
}
