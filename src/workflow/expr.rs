//! Expressions in CEL over `inputs`, `steps.<id>.{status,data}` and `prev`: compiled at submission, evaluated when a
//! step is due.
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::LazyLock;

use cel::Context;
use cel::Env;
use cel::IdedExpr;
use cel::parser::Parser;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::workflow::reads;
use crate::workflow::reads::Reads;

/// The longest expression, in bytes: bounds the depth of the syntax tree and so the stack that walking it takes.
pub const LONGEST: usize = 1_000;
const DEEPEST: u16 = 32;
/// Messages of the interpreter may quote whole values; they are cut here.
const LONGEST_DETAIL: usize = 300;

/// The standard functions: a constant, built once since it holds hundreds of them.
static STANDARD: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// A compiled expression; cheap to clone.
#[derive(Clone)]
pub struct Expr(Arc<Compiled>);

struct Compiled {
    source: String,
    tree: IdedExpr,
    reads: Reads,
    /// The expression as a plain path, which needs no interpreter.
    path: Option<Vec<String>>,
}

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExprError {
    #[error("the expression has {0} bytes; at most {LONGEST} are allowed")]
    TooLong(usize),
    #[error("`{text}` is not valid CEL: {detail}")]
    Syntax { text: String, detail: String },
    #[error("in `{text}`: {detail}")]
    Name { text: String, detail: String },
    #[error("`{text}` has no value: {detail}")]
    NoValue { text: String, detail: String },
    #[error("`{text}` is not true or false but {got}")]
    NotBool { text: String, got: &'static str },
}

/// What a variable stands for while a step is prepared.
pub trait Scope {
    fn inputs(&self) -> &Value;
    fn prev(&self) -> &Value;
    /// Status and data of a step; none: no such step.
    fn step(&self, id: &str) -> Option<(&'static str, &Value)>;
}

impl Expr {
    pub fn compile(source: &str) -> Result<Self, ExprError> {
        if source.len() > LONGEST {
            return Err(ExprError::TooLong(source.len()));
        }
        let syntax = |detail: String| ExprError::Syntax { text: source.to_owned(), detail: cut(detail) };
        // A parser of a language this large may have a panic left in it; a document must not find it.
        let tree = catch_unwind(|| Parser::new().max_recursion_depth(DEEPEST).parse(source))
            .map_err(|_| syntax("the parser gave up".to_owned()))?
            .map_err(|errors| syntax(errors.errors.first().map_or_else(String::new, |error| error.msg.clone())))?;
        let reads = reads::of(&tree).map_err(|detail| ExprError::Name { text: source.to_owned(), detail })?;
        let path = reads::path_of(&tree).map(|path| path.into_iter().map(str::to_owned).collect());
        Ok(Expr(Arc::new(Compiled { source: source.to_owned(), tree, reads, path })))
    }

    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// The variables it reads, as fields of one tree.
    pub fn reads(&self) -> &Reads {
        &self.0.reads
    }

    pub fn evaluate(&self, scope: &dyn Scope) -> Result<Value, ExprError> {
        match &self.0.path {
            Some(path) => self.look_up(path, scope),
            None => self.interpret(scope),
        }
    }

    pub fn is_true(&self, scope: &dyn Scope) -> Result<bool, ExprError> {
        match self.evaluate(scope)? {
            Value::Bool(truth) => Ok(truth),
            other => Err(ExprError::NotBool { text: self.source().to_owned(), got: kind(&other) }),
        }
    }

    fn no_value(&self, detail: impl fmt::Display) -> ExprError {
        ExprError::NoValue { text: self.source().to_owned(), detail: cut(detail.to_string()) }
    }

    fn look_up(&self, path: &[String], scope: &dyn Scope) -> Result<Value, ExprError> {
        let absent = |name: &str| self.no_value(format!("there is no `{name}`"));
        let mut names = path.iter().map(String::as_str);
        let mut value = match names.next().unwrap_or_default() {
            "inputs" => Cow::Borrowed(scope.inputs()),
            "prev" => Cow::Borrowed(scope.prev()),
            "steps" => {
                let id = names.next().unwrap_or_default();
                let (status, data) = scope.step(id).ok_or_else(|| absent(id))?;
                match names.next() {
                    Some("status") => Cow::Owned(Value::from(status)),
                    Some("data") => Cow::Borrowed(data),
                    _ => Cow::Owned(serde_json::json!({ "status": status, "data": data })),
                }
            }
            other => return Err(absent(other)),
        };
        for name in names {
            value = match value {
                Cow::Borrowed(value) => Cow::Borrowed(value.get(name).ok_or_else(|| absent(name))?),
                Cow::Owned(_) => return Err(absent(name)),
            };
        }
        Ok(value.into_owned())
    }

    fn interpret(&self, scope: &dyn Scope) -> Result<Value, ExprError> {
        let mut context = Context::with_env(Arc::clone(&STANDARD));
        for (variable, reads) in &self.0.reads.fields {
            let value = match variable.as_str() {
                "inputs" => cel_value(scope.inputs(), reads),
                "prev" => cel_value(scope.prev(), reads),
                _ => self.steps(reads, scope)?,
            };
            context.add_variable_from_value(variable.as_str(), value);
        }
        let value = cel::Value::resolve(&self.0.tree, &context).map_err(|error| self.no_value(error))?;
        value.json().map_err(|_| self.no_value("the result has no form in JSON"))
    }

    fn steps(&self, reads: &Reads, scope: &dyn Scope) -> Result<cel::Value, ExprError> {
        let mut steps = HashMap::new();
        for (id, read) in &reads.fields {
            let (status, data) = scope.step(id).ok_or_else(|| self.no_value(format!("there is no step `{id}`")))?;
            let data_reads = read.fields.get("data");
            let mut step = HashMap::from([(key("status"), cel::Value::from(status))]);
            if read.whole || data_reads.is_some() {
                let whole = Reads { whole: true, ..Reads::default() };
                let data_reads = data_reads.filter(|_| !read.whole).unwrap_or(&whole);
                step.insert(key("data"), cel_value(data, data_reads));
            }
            steps.insert(key(id), object(step));
        }
        Ok(object(steps))
    }
}

/// As much of a value as is read. Numbers become `int` where they fit: a literal in CEL is an `int` too.
fn cel_value(value: &Value, reads: &Reads) -> cel::Value {
    match value {
        Value::Object(fields) if !reads.whole => object(
            reads
                .fields
                .iter()
                .filter_map(|(name, reads)| Some((key(name), cel_value(fields.get(name)?, reads))))
                .collect(),
        ),
        Value::Object(fields) => {
            object(fields.iter().map(|(name, value)| (key(name), cel_value(value, reads))).collect())
        }
        Value::Array(items) => {
            let whole = Reads { whole: true, ..Reads::default() };
            cel::Value::List(Arc::new(items.iter().map(|item| cel_value(item, &whole)).collect()))
        }
        Value::String(text) => cel::Value::String(Arc::new(text.clone())),
        Value::Bool(truth) => cel::Value::Bool(*truth),
        Value::Null => cel::Value::Null,
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(signed), _) => cel::Value::Int(signed),
            (None, Some(unsigned)) => cel::Value::UInt(unsigned),
            (None, None) => number.as_f64().map_or(cel::Value::Null, cel::Value::Float),
        },
    }
}

fn key(name: &str) -> cel::objects::Key {
    cel::objects::Key::String(Arc::new(name.to_owned()))
}

fn object(fields: HashMap<cel::objects::Key, cel::Value>) -> cel::Value {
    cel::Value::Map(cel::objects::Map { map: Arc::new(fields) })
}

/// The word for a value's type.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn cut(mut text: String) -> String {
    if let Some((at, _)) = text.char_indices().nth(LONGEST_DETAIL) {
        text.truncate(at);
        text.push_str(" ...");
    }
    text
}

impl fmt::Debug for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.source(), f)
    }
}

impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        self.source() == other.source()
    }
}

impl Serialize for Expr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.source())
    }
}

impl<'de> Deserialize<'de> for Expr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Expr::compile(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
