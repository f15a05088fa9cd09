//! Configurations as CryoDyna has them: Python files of plain values. Nothing is run: assignments of literals, lists,
//! tuples, `dict(..)`, names defined above, f-strings and joined paths are read, imports are passed over.

use std::collections::HashMap;
use std::path::Path;

use toml::{Table, Value};

use crate::{Error, Result};

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Name(String),
    Text { text: String, is_format: bool },
    Number(String),
    Mark(char),
    NewLine,
}

/// What a Python value is here. Code is kept apart: it matters only where it stands for something that is used.
#[derive(Clone, Debug)]
enum Item {
    Value(Value),
    None,
    Code(String),
}

struct Reader<'a> {
    path: &'a Path,
    tokens: Vec<(usize, Token)>,
    at: usize,
    names: HashMap<String, Item>,
}

/// The settings in a Python file.
pub fn read(path: &Path) -> Result<Table> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::os("read", path, e))?;
    let mut reader = Reader { path, tokens: tokens(path, &text)?, at: 0, names: HashMap::new() };
    let mut table = Table::new();
    while let Some((line, token)) = reader.tokens.get(reader.at).cloned() {
        reader.at += 1;
        match token {
            Token::NewLine => {}
            Token::Name(word) if word == "import" || word == "from" => reader.skip_line(),
            Token::Name(name) => {
                reader.expect('=', &format!("{name} is not given a value"))?;
                let item = reader.item()?;
                if !matches!(reader.peek(), None | Some(Token::NewLine)) {
                    return Err(reader.wrong(line, "holds code; kinesome reads plain values"));
                }
                if let Item::Value(value) = &item {
                    table.insert(name.clone(), value.clone());
                }
                reader.names.insert(name, item);
            }
            _ => return Err(reader.wrong(line, "is no assignment; kinesome reads plain values")),
        }
    }
    Ok(table)
}

impl Reader<'_> {
    fn wrong(&self, line: usize, why: &str) -> Error {
        Error::malformed(self.path, format!("line {line}"), why)
    }

    fn line(&self) -> usize {
        self.tokens.get(self.at.min(self.tokens.len().saturating_sub(1))).map_or(0, |t| t.0)
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|t| &t.1)
    }

    fn takes(&mut self, mark: char) -> bool {
        let is_there = self.peek() == Some(&Token::Mark(mark));
        self.at += usize::from(is_there);
        is_there
    }

    fn expect(&mut self, mark: char, otherwise: &str) -> Result<()> {
        if self.takes(mark) { Ok(()) } else { Err(self.wrong(self.line(), otherwise)) }
    }

    fn skip_line(&mut self) {
        while self.peek().is_some_and(|token| *token != Token::NewLine) {
            self.at += 1;
        }
    }

    fn item(&mut self) -> Result<Item> {
        let line = self.line();
        let Some(token) = self.peek().cloned() else { return Err(self.wrong(line, "ends before its value")) };
        self.at += 1;
        let number = |text: &str, sign: i64| -> Result<Item> {
            let plain = text.replace('_', "");
            let whole = plain.parse::<i64>().map(|n| Value::Integer(sign * n));
            let value = whole.or_else(|_| plain.parse::<f64>().map(|n| Value::Float(sign as f64 * n)));
            value.map(Item::Value).map_err(|_| self.wrong(line, &format!("{text} is no number")))
        };
        match token {
            Token::Number(text) => number(&text, 1),
            Token::Mark('-') => match self.peek().cloned() {
                Some(Token::Number(text)) => {
                    let item = number(&text, -1);
                    self.at += 1;
                    item
                }
                _ => Err(self.wrong(line, "has a minus before what is no number")),
            },
            Token::Text { text, is_format } => {
                let text = if is_format { self.filled(line, &text)? } else { text };
                Ok(Item::Value(Value::String(text)))
            }
            Token::Mark('[') => self.list(']'),
            Token::Mark('(') => self.list(')'),
            Token::Mark('{') => self.braces(),
            Token::Name(word) => match word.as_str() {
                "True" => Ok(Item::Value(Value::Boolean(true))),
                "False" => Ok(Item::Value(Value::Boolean(false))),
                "None" => Ok(Item::None),
                "dict" if self.takes('(') => self.keywords(),
                _ => self.named(word),
            },
            _ => Err(self.wrong(line, "has no value where one is expected")),
        }
    }

    /// A name that was defined above, or a call: paths are joined, all else is code.
    fn named(&mut self, mut word: String) -> Result<Item> {
        while self.takes('.') {
            if let Some(Token::Name(part)) = self.peek().cloned() {
                self.at += 1;
                word = format!("{word}.{part}");
            }
        }
        if !self.takes('(') {
            return Ok(self.names.get(&word).cloned().unwrap_or(Item::Code(word)));
        }
        let Item::Value(Value::Array(parts)) = self.list(')')? else { return Ok(Item::Code(word)) };
        let parts: Option<Vec<&str>> = parts.iter().map(Value::as_str).collect();
        match parts.filter(|_| word.ends_with("path.join") || word == "osp.join") {
            Some(parts) => {
                let joined: std::path::PathBuf = parts.iter().collect();
                Ok(Item::Value(Value::String(joined.to_string_lossy().into_owned())))
            }
            None => Ok(Item::Code(word)),
        }
    }

    fn skip_lines(&mut self) {
        while self.peek() == Some(&Token::NewLine) {
            self.at += 1;
        }
    }

    /// Values up to a mark; what is none or code among them is left out.
    fn list(&mut self, end: char) -> Result<Item> {
        let mut values = vec![];
        loop {
            self.skip_lines();
            if self.takes(end) {
                return Ok(Item::Value(Value::Array(values)));
            }
            if let Item::Value(value) = self.item()? {
                values.push(value);
            }
            self.skip_lines();
            // A single value in brackets, as (1), is a value.
            if !self.takes(',') {
                self.expect(end, &format!("has a list without its {end}"))?;
                let is_tuple = end == ']' || values.len() != 1;
                return Ok(match values.pop() {
                    Some(value) if !is_tuple => Item::Value(value),
                    last => {
                        values.extend(last);
                        Item::Value(Value::Array(values))
                    }
                });
            }
        }
    }

    fn put(&self, table: &mut Table, key: String, item: Item, line: usize) -> Result<()> {
        match item {
            Item::Value(value) => drop(table.insert(key, value)),
            Item::None => {}
            Item::Code(code) => {
                // Left out, like what is None: settings that kinesome has need a value, and say so.
                if key.ends_with("path") {
                    return Err(self.wrong(line, &format!("{key} is code ({code}); write the value")));
                }
            }
        }
        Ok(())
    }

    fn keywords(&mut self) -> Result<Item> {
        let mut table = Table::new();
        loop {
            self.skip_lines();
            if self.takes(')') {
                return Ok(Item::Value(Value::Table(table)));
            }
            let line = self.line();
            let Some(Token::Name(key)) = self.peek().cloned() else {
                return Err(self.wrong(line, "has a dict whose entries are not name=value"));
            };
            self.at += 1;
            self.expect('=', &format!("{key} is not given a value"))?;
            let item = self.item()?;
            self.put(&mut table, key, item, line)?;
            self.skip_lines();
            if !self.takes(',') {
                self.expect(')', "has a dict without its )")?;
                return Ok(Item::Value(Value::Table(table)));
            }
        }
    }

    fn braces(&mut self) -> Result<Item> {
        let mut table = Table::new();
        loop {
            self.skip_lines();
            if self.takes('}') {
                return Ok(Item::Value(Value::Table(table)));
            }
            let line = self.line();
            let Some(Token::Text { text: key, .. }) = self.peek().cloned() else {
                return Err(self.wrong(line, "has a dict whose keys are no texts"));
            };
            self.at += 1;
            self.expect(':', &format!("{key} is not given a value"))?;
            let item = self.item()?;
            self.put(&mut table, key, item, line)?;
            self.skip_lines();
            if !self.takes(',') {
                self.expect('}', "has a dict without its }")?;
                return Ok(Item::Value(Value::Table(table)));
            }
        }
    }

    /// An f-string with the names in it replaced.
    fn filled(&self, line: usize, text: &str) -> Result<String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, behind) =
                after.split_once('}').ok_or_else(|| self.wrong(line, "has an f-string without its }"))?;
            out += before;
            match self.names.get(name.trim()) {
                Some(Item::Value(Value::String(value))) => out += value,
                Some(Item::Value(value)) => out += &value.to_string(),
                _ => return Err(self.wrong(line, &format!("{name} is not defined above as a plain value"))),
            }
            rest = behind;
        }
        Ok(out + rest)
    }
}

fn tokens(path: &Path, text: &str) -> Result<Vec<(usize, Token)>> {
    let characters: Vec<char> = text.chars().collect();
    let (mut found, mut at, mut line) = (vec![], 0, 1);
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    while let Some(&c) = characters.get(at) {
        let from = at;
        at += 1;
        match c {
            '\n' => {
                found.push((line, Token::NewLine));
                line += 1;
            }
            '#' => at += characters[at..].iter().take_while(|c| **c != '\n').count(),
            '\'' | '"' => {
                let is_format = matches!(found.last(), Some((_, Token::Name(name))) if name == "f" || name == "r")
                    && found.pop().is_some_and(|(_, prefix)| prefix == Token::Name("f".into()));
                let triple = characters[from..].starts_with(&[c, c, c]);
                let end: Vec<char> = vec![c; if triple { 3 } else { 1 }];
                at = from + end.len();
                let begin = at;
                while at < characters.len() && !characters[at..].starts_with(&end) {
                    at += if characters[at] == '\\' { 2 } else { 1 };
                }
                if at >= characters.len() {
                    return Err(Error::malformed(path, format!("line {line}"), "has a text without its end"));
                }
                let text: String = characters[begin..at].iter().collect();
                at += end.len();
                // A text by itself is a comment.
                if !matches!(found.last(), None | Some((_, Token::NewLine))) {
                    found.push((line, Token::Text { text: text.clone(), is_format }));
                }
                line += text.matches('\n').count();
            }
            c if c.is_ascii_digit() || c == '.' && characters.get(at).is_some_and(char::is_ascii_digit) => {
                let sign = |i: usize| matches!(characters[i - 1], 'e' | 'E') && "+-".contains(characters[i]);
                while characters.get(at).is_some_and(|&c| is_word(c) || c == '.')
                    || at < characters.len() && sign(at)
                {
                    at += 1;
                }
                found.push((line, Token::Number(characters[from..at].iter().collect())));
            }
            c if is_word(c) => {
                at += characters[at..].iter().take_while(|c| is_word(**c)).count();
                found.push((line, Token::Name(characters[from..at].iter().collect())));
            }
            c if c.is_whitespace() || c == '\\' => {}
            c => found.push((line, Token::Mark(c))),
        }
    }
    Ok(found)
}
