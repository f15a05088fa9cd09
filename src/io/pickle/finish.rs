//! The last step: what the pickle machine made becomes a tree of values.

use super::{Id, Machine, Object, Outcome};
use crate::io::pickle::Value;

/// How deep containers may nest.
const MAX_DEPTH: usize = 100;

impl Machine<'_> {
    /// To be called once, before [`Machine::value`].
    pub(super) fn count_uses(&mut self) {
        let mut uses = vec![0u32; self.objects.len()];
        let mut count = |id: Id| uses[id] = uses[id].saturating_add(1);
        for object in &self.objects {
            match object {
                Object::List(items) | Object::Tuple(items) => items.iter().for_each(|&i| count(i)),
                Object::Dict(entries) => entries.iter().for_each(|&(k, v)| {
                    count(k);
                    count(v);
                }),
                _ => {}
            }
        }
        self.uses = uses;
    }

    /// The object and all it holds; `shared` says that it is needed again.
    pub(super) fn value(&mut self, id: Id, depth: usize, shared: bool) -> Outcome<Value> {
        if depth > MAX_DEPTH {
            return Err(format!("its containers are nested more than {MAX_DEPTH} deep, or hold themselves"));
        }
        let size = match &self.objects[id] {
            Object::Plain(Value::Array(a)) => a.len() * a.data.element_size(),
            Object::Plain(Value::Str(s)) => s.len(),
            Object::Bytes { bytes, .. } => bytes.len(),
            _ => 0,
        };
        self.budget = self.budget.checked_sub(size + 1).ok_or("it repeats its objects too often: refused")?;
        let shared = shared || self.uses.get(id).is_none_or(|&n| n > 1);
        if !shared && let Object::Plain(value) = &mut self.objects[id] {
            return Ok(std::mem::replace(value, Value::None));
        }
        match &self.objects[id] {
            Object::Plain(value) => Ok(value.clone()),
            Object::Bytes { bytes, text } => Ok(match std::str::from_utf8(bytes) {
                Ok(s) if *text => Value::Str(s.to_string()),
                _ => Value::Bytes(bytes.to_vec()),
            }),
            Object::List(items) => {
                let items = items.clone();
                items
                    .into_iter()
                    .map(|i| self.value(i, depth + 1, shared))
                    .collect::<Outcome<_>>()
                    .map(Value::List)
            }
            Object::Tuple(items) => {
                let items = items.clone();
                items
                    .into_iter()
                    .map(|i| self.value(i, depth + 1, shared))
                    .collect::<Outcome<_>>()
                    .map(Value::Tuple)
            }
            Object::Dict(entries) => {
                let entries = entries.clone();
                let entries = entries
                    .into_iter()
                    .map(|(k, v)| Ok((self.value(k, depth + 1, shared)?, self.value(v, depth + 1, shared)?)))
                    .collect::<Outcome<_>>()?;
                Ok(Value::Dict(entries))
            }
            Object::Global(name) => Err(format!("it holds the name {name} as data: refused")),
            Object::Blank => Err("damaged: an array has no data".into()),
            Object::Flags => Ok(Value::Dict(vec![])),
            Object::Element(_) => Err("it holds an element type as data: not supported".into()),
            Object::Storage { .. } => Err("it holds a bare storage: not supported".into()),
        }
    }
}
