//! Which variables an expression reads, found in its syntax tree: so that a wrong name is a fault at submission, and
//! so that only what is read is handed to the interpreter (an output may be megabytes, a condition reads one field).
use std::collections::BTreeMap;

use cel::IdedExpr;
use cel::common::ast::EntryExpr;
use cel::common::ast::Expr as Ast;
use cel::common::ast::LiteralValue;
use cel::common::ast::operators;

/// A value as far as it is read: whole, or some of its fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reads {
    pub whole: bool,
    pub fields: BTreeMap<String, Reads>,
}

impl Reads {
    fn add(&mut self, path: &[&str]) {
        match path {
            [] => self.whole = true,
            [field, rest @ ..] => self.fields.entry((*field).to_owned()).or_default().add(rest),
        }
    }
}

/// Names that are types in CEL, as in `type(x) == int`.
const TYPES: [&str; 9] = ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "uint"];

/// How deep the interpreter may recurse: a level takes it some 35 KiB of stack in a debug build.
const DEEPEST_TREE: usize = 20;

/// Comprehensions inside comprehensions multiply the work; deeper ones are refused.
const MOST_COMPREHENSIONS: usize = 2;

/// The variables that an expression reads, as one tree with the variables as its fields.
pub fn of(expression: &IdedExpr) -> Result<Reads, String> {
    let mut walk = Walk { reads: Reads::default(), bound: Vec::new(), comprehensions: 0, depth: 0 };
    walk.visit(expression)?;
    Ok(walk.reads)
}

/// `a.b["c"]` as its names, if that is all the expression is.
pub fn path_of(expression: &IdedExpr) -> Option<Vec<&str>> {
    match &expression.expr {
        Ast::Ident(name) => Some(vec![name.trim_start_matches('.')]),
        Ast::Select(select) if !select.test => {
            let mut path = path_of(&select.operand)?;
            path.push(&select.field);
            Some(path)
        }
        Ast::Call(call) if call.func_name == operators::INDEX => match (call.args.as_slice(), &call.target) {
            ([operand, index], None) => {
                let Ast::Literal(LiteralValue::String(key)) = &index.expr else { return None };
                let mut path = path_of(operand)?;
                path.push(key.inner());
                Some(path)
            }
            _ => None,
        },
        _ => None,
    }
}

struct Walk<'e> {
    reads: Reads,
    /// Variables of the comprehensions around, which hide others of the same name.
    bound: Vec<&'e str>,
    comprehensions: usize,
    depth: usize,
}

impl<'e> Walk<'e> {
    fn visit(&mut self, expression: &'e IdedExpr) -> Result<(), String> {
        self.go_down(1)?;
        self.visit_node(expression)?;
        self.depth -= 1;
        Ok(())
    }

    fn go_down(&mut self, levels: usize) -> Result<(), String> {
        self.depth += levels;
        if self.depth > DEEPEST_TREE {
            return Err(format!("more than {DEEPEST_TREE} operations inside each other"));
        }
        Ok(())
    }

    fn visit_node(&mut self, expression: &'e IdedExpr) -> Result<(), String> {
        if let Some(path) = path_of(expression) {
            self.go_down(path.len())?;
            self.depth -= path.len();
            return self.read(&path);
        }
        match &expression.expr {
            Ast::Unspecified | Ast::Literal(_) | Ast::Ident(_) => Ok(()),
            Ast::Select(select) => match path_of(&select.operand) {
                // `has(a.b)`: the field is read, if only to see whether it is there.
                Some(mut path) => {
                    path.push(&select.field);
                    self.read(&path)
                }
                None => self.visit(&select.operand),
            },
            Ast::Call(call) => {
                call.target.iter().map(AsRef::as_ref).chain(&call.args).try_for_each(|part| self.visit(part))
            }
            Ast::List(list) => list.elements.iter().try_for_each(|element| self.visit(element)),
            Ast::Map(map) => map.entries.iter().try_for_each(|entry| self.entry(&entry.expr)),
            Ast::Struct(message) => Err(format!("there is no message type `{}`", message.type_name)),
            Ast::Comprehension(comprehension) => {
                self.visit(&comprehension.iter_range)?;
                self.visit(&comprehension.accu_init)?;
                let outer = self.bound.len();
                self.bound.extend([comprehension.iter_var.as_str(), comprehension.accu_var.as_str()]);
                self.bound.extend(comprehension.iter_var2.as_deref());
                self.comprehensions += 1;
                if self.comprehensions > MOST_COMPREHENSIONS {
                    return Err(format!("more than {MOST_COMPREHENSIONS} comprehensions inside each other"));
                }
                self.visit(&comprehension.loop_cond)?;
                self.visit(&comprehension.loop_step)?;
                self.visit(&comprehension.result)?;
                self.comprehensions -= 1;
                self.bound.truncate(outer);
                Ok(())
            }
        }
    }

    fn entry(&mut self, entry: &'e EntryExpr) -> Result<(), String> {
        match entry {
            EntryExpr::StructField(field) => self.visit(&field.value),
            EntryExpr::MapEntry(entry) => {
                self.visit(&entry.key)?;
                self.visit(&entry.value)
            }
        }
    }

    fn read(&mut self, path: &[&str]) -> Result<(), String> {
        let Some(root) = path.first() else { return Ok(()) };
        if self.bound.contains(root) || (path.len() == 1 && TYPES.contains(root)) {
            return Ok(());
        }
        match *root {
            "inputs" | "prev" | "item" => {}
            "steps" if path.len() > 1 => {}
            "steps" => return Err("`steps` is read one step at a time, as `steps.<id>`".to_owned()),
            "secret" => return Err("this release does not carry out `secret` yet".to_owned()),
            other => return Err(format!("unknown variable `{other}`; there are `inputs`, `steps`, `prev` and `item`")),
        }
        if let (&"steps", Some(field)) = (root, path.get(2))
            && !matches!(*field, "status" | "data")
        {
            return Err(format!("a step has `status` and `data`, not `{field}`"));
        }
        self.reads.add(path);
        Ok(())
    }
}
