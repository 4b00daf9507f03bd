//! What is known of a setting before any value of it is seen: name, shape and default.
use toml::de::DeValue;

use crate::config::source::Place;

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// `section.key`, as in the file.
    pub name: &'static str,
    pub shape: Shape,
    pub default: Preset,
    /// The environment variable, where it is not `DSMIL_<SECTION>_<KEY>`.
    pub env: Option<&'static str>,
    /// Shown as `(set)` only.
    pub secret: bool,
}

/// The built-in value, as text.
#[derive(Debug, Clone, Copy)]
pub enum Preset {
    Fixed(&'static str),
    /// Depends on who and where we are.
    Of(fn(&Place) -> String),
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Text,
    Path,
    Whole,
    Switch,
    /// A number of bytes: `4194304` or `"4 MiB"`.
    Size,
    /// Texts in brackets; in the environment with commas between them.
    List,
}

impl Key {
    pub const fn new(name: &'static str, shape: Shape, default: &'static str) -> Key {
        Key { name, shape, default: Preset::Fixed(default), env: None, secret: false }
    }

    pub const fn computed(name: &'static str, shape: Shape, default: fn(&Place) -> String) -> Key {
        Key { name, shape, default: Preset::Of(default), env: None, secret: false }
    }

    pub const fn env(self, name: &'static str) -> Key {
        Key { env: Some(name), ..self }
    }

    pub const fn secret(self) -> Key {
        Key { secret: true, ..self }
    }

    pub fn default_text(&self, place: &Place) -> String {
        match self.default {
            Preset::Fixed(text) => text.to_owned(),
            Preset::Of(compute) => compute(place),
        }
    }
}

impl Shape {
    pub fn expected(self) -> &'static str {
        match self {
            Shape::Text => "a text in quotes",
            Shape::Path => "a path in quotes",
            Shape::Whole => "a whole number",
            Shape::Switch => "true or false",
            Shape::Size => "a number of bytes, or a text such as \"4 MiB\"",
            Shape::List => "a list of texts, such as [\"a\", \"b\"]",
        }
    }

    /// The value of a file as text, if it is of this shape.
    pub fn text_of(self, value: &DeValue<'_>) -> Option<String> {
        match (self, value) {
            (Shape::Text | Shape::Path | Shape::Size, DeValue::String(text)) => Some(text.to_string()),
            (Shape::Whole | Shape::Size, DeValue::Integer(number)) => {
                i64::from_str_radix(number.as_str(), number.radix()).ok().map(|n| n.to_string())
            }
            (Shape::Switch, DeValue::Boolean(value)) => Some(value.to_string()),
            (Shape::List, DeValue::Array(items)) => {
                let texts: Option<Vec<String>> = items.iter().map(|item| Shape::Text.text_of(item.get_ref())).collect();
                texts.map(|texts| texts.join(","))
            }
            _ => None,
        }
    }
}

/// How a value of a file is called when it is of the wrong shape.
pub fn describe(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a decimal number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
