//! A step's input: a JSON value whose texts may hold `${expression}`.
//!
//! A text that is one `${...}` and nothing else becomes the expression's value, whatever its type; inside other text
//! the value is written out. `$${` stands for a literal `${`.
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::workflow::expr::Expr;
use crate::workflow::expr::ExprError;
use crate::workflow::expr::Scope;
use crate::workflow::fault::Fault;
use crate::workflow::fault::below;

/// The input as written, and its expressions, compiled. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    written: Arc<Value>,
    /// None: no expression anywhere, the input is what is written.
    parts: Option<Arc<Part>>,
}

#[derive(Debug, PartialEq)]
enum Part {
    Fixed(Value),
    Whole(Expr),
    Text(Vec<Piece>),
    List(Vec<Part>),
    Object(Vec<(String, Part)>),
}

#[derive(Debug, PartialEq)]
enum Piece {
    Text(String),
    Expr(Expr),
}

impl Template {
    /// Compiles; faults are pointed at from `pointer`.
    pub fn parse(written: Value, pointer: &str) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let part = part_of(&written, pointer, &mut faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        let parts = (!matches!(part, Part::Fixed(_))).then(|| Arc::new(part));
        Ok(Template { written: Arc::new(written), parts })
    }

    pub fn written(&self) -> &Arc<Value> {
        &self.written
    }

    /// There is no expression in it.
    pub fn is_constant(&self) -> bool {
        self.parts.is_none()
    }

    pub fn render(&self, scope: &dyn Scope) -> Result<Arc<Value>, ExprError> {
        match &self.parts {
            None => Ok(Arc::clone(&self.written)),
            Some(part) => render(part, scope).map(Arc::new),
        }
    }

    /// Calls `visit` with each expression and its pointer.
    pub fn each_expr(&self, pointer: &str, visit: &mut dyn FnMut(String, &Expr)) {
        if let Some(part) = &self.parts {
            each_expr(part, pointer, visit);
        }
    }
}

fn part_of(value: &Value, pointer: &str, faults: &mut Vec<Fault>) -> Part {
    match value {
        Value::String(text) if text.contains("${") => match pieces_of(text) {
            Ok(mut pieces) => match pieces.as_mut_slice() {
                [Piece::Expr(expr)] => Part::Whole(expr.clone()),
                [Piece::Text(text)] => Part::Text(vec![Piece::Text(std::mem::take(text))]),
                _ => Part::Text(pieces),
            },
            Err(detail) => {
                faults.push(Fault::new(pointer, detail));
                Part::Fixed(Value::Null)
            }
        },
        Value::Array(items) => {
            let parts: Vec<_> =
                items.iter().enumerate().map(|(at, item)| part_of(item, &below(pointer, at), faults)).collect();
            if parts.iter().all(is_fixed) { Part::Fixed(value.clone()) } else { Part::List(parts) }
        }
        Value::Object(fields) => {
            let parts: Vec<_> =
                fields.iter().map(|(key, item)| (key.clone(), part_of(item, &below(pointer, key), faults))).collect();
            if parts.iter().all(|(_, part)| is_fixed(part)) { Part::Fixed(value.clone()) } else { Part::Object(parts) }
        }
        _ => Part::Fixed(value.clone()),
    }
}

fn is_fixed(part: &Part) -> bool {
    matches!(part, Part::Fixed(_))
}

fn pieces_of(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, after) = rest.split_at(at);
        if let Some(before) = before.strip_suffix('$') {
            literal.push_str(before);
            literal.push_str("${");
            rest = after.get(2..).unwrap_or_default();
            continue;
        }
        literal.push_str(before);
        if !literal.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut literal)));
        }
        let body = after.get(2..).unwrap_or_default();
        let end = end_of(body).ok_or_else(|| format!("`{}` has no closing brace", clip(after)))?;
        let (source, tail) = body.split_at(end);
        pieces.push(Piece::Expr(Expr::compile(source.trim()).map_err(|error| error.to_string())?));
        rest = tail.get(1..).unwrap_or_default();
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal));
    }
    Ok(pieces)
}

/// Where the brace stands that closes the expression: braces of maps and those inside quotes do not.
fn end_of(body: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '{') => depth += 1,
            (None, '}') if depth == 0 => return Some(at),
            (None, '}') => depth -= 1,
            (None, _) => {}
        }
    }
    None
}

fn clip(text: &str) -> String {
    text.chars().take(40).collect()
}

fn render(part: &Part, scope: &dyn Scope) -> Result<Value, ExprError> {
    Ok(match part {
        Part::Fixed(value) => value.clone(),
        Part::Whole(expr) => expr.evaluate(scope)?,
        Part::Text(pieces) => {
            let mut text = String::new();
            for piece in pieces {
                match piece {
                    Piece::Text(literal) => text.push_str(literal),
                    Piece::Expr(expr) => match expr.evaluate(scope)? {
                        Value::String(value) => text.push_str(&value),
                        other => text.push_str(&other.to_string()),
                    },
                }
            }
            Value::String(text)
        }
        Part::List(parts) => Value::Array(parts.iter().map(|part| render(part, scope)).collect::<Result<_, _>>()?),
        Part::Object(parts) => Value::Object(
            parts
                .iter()
                .map(|(key, part)| Ok((key.clone(), render(part, scope)?)))
                .collect::<Result<Map<_, _>, ExprError>>()?,
        ),
    })
}

fn each_expr(part: &Part, pointer: &str, visit: &mut dyn FnMut(String, &Expr)) {
    match part {
        Part::Fixed(_) => {}
        Part::Whole(expr) => visit(pointer.to_owned(), expr),
        Part::Text(pieces) => pieces.iter().for_each(|piece| match piece {
            Piece::Expr(expr) => visit(pointer.to_owned(), expr),
            Piece::Text(_) => {}
        }),
        Part::List(parts) => {
            parts.iter().enumerate().for_each(|(at, part)| each_expr(part, &below(pointer, at), visit));
        }
        Part::Object(parts) => parts.iter().for_each(|(key, part)| each_expr(part, &below(pointer, key), visit)),
    }
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Value::deserialize(deserializer)?;
        Template::parse(written, "").map_err(|faults| {
            let details: Vec<_> = faults.iter().map(ToString::to_string).collect();
            serde::de::Error::custom(details.join("; "))
        })
    }
}

/// Is the value, as JSON text, larger than this? Stops counting when it knows.
pub fn larger_than(value: &Value, bytes: usize) -> bool {
    let mut left = bytes;
    !fits(value, &mut left)
}

/// The size of the value as JSON text, escapes left out.
pub fn size(value: &Value) -> usize {
    let mut left = usize::MAX;
    fits(value, &mut left);
    usize::MAX - left
}

/// Takes the size of the value from what is left; false: more than that.
fn fits(value: &Value, left: &mut usize) -> bool {
    let mut take = |bytes: usize| match left.checked_sub(bytes) {
        Some(rest) => {
            *left = rest;
            true
        }
        None => false,
    };
    match value {
        Value::Null | Value::Bool(true) => take(4),
        Value::Bool(false) => take(5),
        Value::Number(number) => take(number.to_string().len()),
        Value::String(text) => take(text.len() + 2),
        Value::Array(items) => take(2 + items.len().saturating_sub(1)) && items.iter().all(|item| fits(item, left)),
        Value::Object(fields) => {
            take(2 + fields.len().saturating_sub(1))
                && fields.iter().all(|(key, item)| {
                    left.checked_sub(key.len() + 3).map(|rest| *left = rest).is_some() && fits(item, left)
                })
        }
    }
}
