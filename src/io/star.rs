//! STAR files as RELION 3.0, 3.1, 4 and 5 write and read them (Hall, J. Chem. Inf. Comput. Sci. 31, 326 (1991)).
//!
//! [`Star`] keeps every block, column and the exact text of every value; [`ParticleTable`] is the view of it
//! that particle work needs: the particle rows, joined with their optics groups.

mod relion;

pub use relion::{NewParticles, ParticleTable, image_name};

use crate::error::{Error, Result};
use crate::io::{atomic, mrc};
use std::io::Write;
use std::path::Path;

/// A loop, or the key-value pairs that stand between two loops, of one data block.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// The name behind `data_`; may be empty.
    pub block: String,
    /// RELION's `# version 30001` comment above the block, as it stands.
    pub version: Option<String>,
    /// False for key-value pairs (one row).
    pub looped: bool,
    /// A further table of the block before it, without a `data_` line of its own.
    pub continues: bool,
    columns: Vec<String>,
    /// All values, row after row, joined; value k ends at `ends[k]`. Compact: millions of rows must fit.
    text: String,
    ends: Vec<usize>,
    /// The line each row begins on, from 1; empty for tables not read from a file.
    lines: Vec<u32>,
}

impl Table {
    /// A loop with the given columns, all of one length.
    pub fn new(block: &str, columns: Vec<(&str, Vec<String>)>) -> Result<Self> {
        let mut table = Table { block: block.into(), looped: true, ..Table::default() };
        let rows = columns.first().map_or(0, |c| c.1.len());
        if let Some((name, values)) = columns.iter().find(|c| c.1.len() != rows) {
            let n = values.len();
            return Err(Error::Shape(format!(
                "column {name} of data_{block} has {n} values for {rows} rows"
            )));
        }
        for row in 0..rows {
            columns.iter().for_each(|c| table.push(&c.1[row]));
        }
        table.columns = columns.into_iter().map(|c| underscored(c.0)).collect();
        Ok(table)
    }

    fn push(&mut self, value: &str) {
        self.text.push_str(value);
        self.ends.push(self.text.len());
    }

    /// Column names with their leading underscore, in order.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ends.len().checked_div(self.columns.len()).unwrap_or(0)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Index of a column, named with or without its underscore.
    pub fn column(&self, name: &str) -> Option<usize> {
        let name = name.strip_prefix('_').unwrap_or(name);
        self.columns.iter().position(|c| c.strip_prefix('_') == Some(name))
    }

    /// The text of a value; None outside the table.
    pub fn get(&self, row: usize, column: usize) -> Option<&str> {
        if column >= self.columns.len() {
            return None;
        }
        let k = row.checked_mul(self.columns.len())?.checked_add(column)?;
        let start = if k == 0 { 0 } else { *self.ends.get(k - 1)? };
        self.text.get(start..*self.ends.get(k)?)
    }

    /// The value of a key (first row).
    pub fn value(&self, name: &str) -> Option<&str> {
        self.get(0, self.column(name)?)
    }

    /// The line a row stands on, from 1, if the table was read from a file.
    pub fn line(&self, row: usize) -> Option<usize> {
        self.lines.get(row).map(|l| *l as usize)
    }

    /// Replaces or appends a column.
    pub fn set_column(&mut self, name: &str, values: &[String]) -> Result<()> {
        if values.len() != self.len() && !self.columns.is_empty() {
            let (have, rows) = (values.len(), self.len());
            return Err(Error::Shape(format!("column {name}: {have} values for {rows} rows")));
        }
        let at = self.column(name).unwrap_or(self.columns.len());
        let mut new = Table { text: String::with_capacity(self.text.len()), ..Table::default() };
        for (row, value) in values.iter().enumerate() {
            for c in 0..self.columns.len().max(at + 1) {
                new.push(if c == at { value } else { self.get(row, c).unwrap_or_default() });
            }
        }
        if at == self.columns.len() {
            self.columns.push(underscored(name));
        }
        (self.text, self.ends) = (new.text, new.ends);
        Ok(())
    }

    /// The same table with the given rows only, in the given order.
    pub fn select(&self, rows: &[usize]) -> Result<Table> {
        let mut new = self.clone_head();
        for &row in rows {
            if row >= self.len() {
                let n = self.len();
                return Err(Error::usage(format!(
                    "row {row} is selected, but data_{} has {n} rows",
                    self.block
                )));
            }
            (0..self.columns.len()).for_each(|c| new.push(self.get(row, c).unwrap_or_default()));
            new.lines.extend(self.lines.get(row));
        }
        Ok(new)
    }

    fn clone_head(&self) -> Table {
        Table {
            block: self.block.clone(),
            version: self.version.clone(),
            columns: self.columns.clone(),
            looped: self.looped,
            continues: self.continues,
            ..Table::default()
        }
    }

    fn write(&self, out: &mut dyn Write) -> std::io::Result<()> {
        if !self.continues {
            if let Some(version) = &self.version {
                writeln!(out, "\n{version}")?;
            }
            writeln!(out, "\ndata_{}", self.block)?;
        }
        writeln!(out)?;
        if !self.looped {
            for (c, name) in self.columns.iter().enumerate() {
                write!(out, "{name} ")?;
                write_value(out, self.get(0, c).unwrap_or_default())?;
                writeln!(out)?;
            }
            return writeln!(out);
        }
        writeln!(out, "loop_")?;
        for (c, name) in self.columns.iter().enumerate() {
            writeln!(out, "{name} #{}", c + 1)?;
        }
        for row in 0..self.len() {
            for c in 0..self.columns.len() {
                if c > 0 {
                    write!(out, " ")?;
                }
                write_value(out, self.get(row, c).unwrap_or_default())?;
            }
            writeln!(out)?;
        }
        writeln!(out)
    }
}

fn underscored(name: &str) -> String {
    if name.starts_with('_') { name.into() } else { format!("_{name}") }
}

/// Quotes a value only where it would be read as something else.
fn write_value(out: &mut dyn Write, value: &str) -> std::io::Result<()> {
    let keyword = |k: &str| value.get(..k.len()).is_some_and(|v| v.eq_ignore_ascii_case(k));
    let plain = !value.is_empty()
        && !value.starts_with(['\'', '"', '#', '_', ';', '$'])
        && !value.contains([' ', '\t', '\r', '\n'])
        && !keyword("data_")
        && !keyword("loop_");
    // A quote ends a string only where white space follows it.
    let holds = |q: &str| [" ", "\t"].iter().all(|w| !value.contains(&format!("{q}{w}")));
    if plain {
        write!(out, "{value}")
    } else if value.contains('\n') || !(holds("\"") || holds("'")) {
        writeln!(out, "\n;{value}\n;")
    } else if holds("\"") {
        write!(out, "\"{value}\"")
    } else {
        write!(out, "'{value}'")
    }
}

/// All tables of a STAR file, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Star {
    pub tables: Vec<Table>,
}

impl Star {
    /// Reads a file.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let map = mrc::map(path)?;
        let text = std::str::from_utf8(&map).map_err(|e| {
            let line = 1 + map[..e.valid_up_to()].iter().filter(|b| **b == b'\n').count();
            Error::malformed(path, format!("line {line}"), "not text in UTF-8; is this a STAR file?")
        })?;
        Star::parse(path, text)
    }

    /// Parses the text of a file; `path` is for messages.
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        // Some editors put a byte order mark first.
        let star = Parser::new(path, text.trim_start_matches('\u{feff}')).run()?;
        if star.tables.is_empty() {
            return Err(Error::malformed(path, "", "no data_ block in it: this is not a STAR file"));
        }
        Ok(star)
    }

    /// Writes the file, whole or not at all.
    pub fn write(&self, path: &Path) -> Result<()> {
        atomic::write(path, |out| self.tables.iter().try_for_each(|t| t.write(out)))
    }

    /// The first table of the block `name` (without `data_`).
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|t| t.block == name)
    }
}

struct Parser<'a> {
    path: &'a Path,
    lines: std::iter::Enumerate<std::str::Lines<'a>>,
    /// The line looked at but not yet used.
    ahead: Option<(usize, &'a str)>,
    star: Star,
    version: Option<String>,
}

impl<'a> Parser<'a> {
    fn new(path: &'a Path, text: &'a str) -> Self {
        Parser { path, lines: text.lines().enumerate(), ahead: None, star: Star::default(), version: None }
    }

    /// The next line and its number, from 1.
    fn next(&mut self) -> Option<(usize, &'a str)> {
        self.ahead.take().or_else(|| self.lines.next().map(|(n, line)| (n + 1, line)))
    }

    fn bad<T>(&self, line: usize, problem: impl Into<String>) -> Result<T> {
        Err(Error::malformed(self.path, format!("line {line}"), problem))
    }

    fn run(mut self) -> Result<Star> {
        let mut block: Option<String> = None;
        while let Some((n, line)) = self.next() {
            let (tokens, _) = split(line).or_else(|e| self.bad(n, e))?;
            let Some(first) = tokens.first() else {
                if line.trim_start().starts_with("# version") {
                    self.version = Some(line.trim().to_string());
                }
                continue;
            };
            if let Some(name) = first.keyword("data_").filter(|_| tokens.len() == 1) {
                block = Some(name.to_string());
                let version = self.version.take();
                self.star.tables.push(Table { block: name.into(), version, ..Table::default() });
                continue;
            }
            if block.is_none() {
                return self.bad(n, format!("`{}` before any data_ block; is this a STAR file?", first.text));
            }
            if first.keyword("loop_") == Some("") && tokens.len() == 1 {
                self.read_loop(n)?;
            } else if first.is_name() {
                self.read_pair(n, &tokens)?;
            } else {
                let problem = format!("`{}` stands outside any loop or `_name value` pair", first.text);
                return self.bad(n, problem);
            }
        }
        Ok(self.star)
    }

    /// The table to fill next: the block's still empty first one, or one more of the same block.
    fn open_table(&mut self, looped: bool) -> Table {
        match self.star.tables.pop() {
            Some(t) if t.columns.is_empty() || (!looped && !t.looped) => Table { looped, ..t },
            Some(t) => {
                let new = Table { block: t.block.clone(), continues: true, looped, ..Table::default() };
                self.star.tables.push(t);
                new
            }
            None => Table { looped, ..Table::default() },
        }
    }

    fn read_pair(&mut self, n: usize, tokens: &[Token]) -> Result<()> {
        let name = tokens[0].text.to_string();
        let value = match tokens {
            [_, value] => value.text.to_string(),
            [_] => match self.next() {
                Some((m, line)) if line.starts_with(';') => self.text_field(m, line)?,
                Some((m, line)) => match split(line).or_else(|e| self.bad(m, e))?.0.as_slice() {
                    [value] if !value.is_name() && value.keyword("data_").is_none() => value.text.to_string(),
                    _ => return self.bad(n, format!("{name} has no value")),
                },
                None => return self.bad(n, format!("{name} has no value")),
            },
            _ => {
                let problem = format!("{name} has {} values; quote a value with spaces", tokens.len() - 1);
                return self.bad(n, problem);
            }
        };
        let mut table = self.open_table(false);
        if table.column(&name).is_some() {
            return self.bad(n, format!("{name} is given twice"));
        }
        if table.lines.is_empty() {
            table.lines.push(n as u32);
        }
        table.columns.push(name);
        table.push(&value);
        self.star.tables.push(table);
        Ok(())
    }

    fn read_loop(&mut self, begin: usize) -> Result<()> {
        let mut table = self.open_table(true);
        // Values of the row being read, and the line it began on. Only a text field may spread a row over
        // lines: joining short lines at will would hide a damaged file.
        let (mut filled, mut row_line, mut spread) = (0, 0, false);
        while let Some((n, line)) = self.next() {
            if filled > 0 || (line.starts_with(';') && !table.columns.is_empty()) {
                if line.starts_with(';') {
                    if filled == 0 {
                        row_line = n;
                        table.lines.push(n as u32);
                    }
                    let value = self.text_field(n, line)?;
                    table.push(&value);
                    filled = (filled + 1) % table.columns.len();
                    spread = filled > 0;
                    continue;
                }
                if !spread {
                    let (got, want) = (filled, table.columns.len());
                    return self.bad(row_line, format!("{got} values in a table of {want} columns"));
                }
            }
            let (tokens, is_comment) = split(line).or_else(|e| self.bad(n, e))?;
            let Some(first) = tokens.first() else {
                if is_comment && line.trim_start().starts_with("# version") {
                    self.version = Some(line.trim().to_string());
                }
                continue;
            };
            let alone = tokens.len() == 1;
            let keyword = first.keyword("data_").is_some() || first.keyword("loop_") == Some("");
            if filled == 0 && ((keyword && alone) || (first.is_name() && !table.ends.is_empty())) {
                self.ahead = Some((n, line));
                break;
            }
            if first.is_name() && filled == 0 {
                if !alone {
                    return self.bad(n, format!("unexpected text behind the column name {}", first.text));
                }
                if table.column(first.text).is_some() {
                    return self.bad(n, format!("the column {} is listed twice", first.text));
                }
                table.columns.push(first.text.to_string());
                continue;
            }
            let want = table.columns.len();
            if want == 0 {
                return self.bad(n, "values before any column name of this loop_");
            }
            if filled + tokens.len() > want {
                let got = filled + tokens.len();
                let problem = format!("{got} values in a table of {want} columns; quote values with spaces");
                return self.bad(n, problem);
            }
            if filled == 0 {
                row_line = n;
                table.lines.push(n as u32);
            }
            tokens.iter().for_each(|t| table.push(t.text));
            filled = (filled + tokens.len()) % want;
            spread = spread && filled > 0;
        }
        if filled > 0 {
            let want = table.columns.len();
            let problem = format!("{filled} values in a table of {want} columns; the file may be cut short");
            return self.bad(row_line, problem);
        }
        if table.columns.is_empty() {
            return self.bad(begin, "loop_ without columns");
        }
        self.star.tables.push(table);
        Ok(())
    }

    /// The text between a `;` that begins a line and the next such.
    fn text_field(&mut self, n: usize, first: &str) -> Result<String> {
        let mut text = first[1..].to_string();
        while let Some((m, line)) = self.next() {
            if let Some(rest) = line.strip_prefix(';') {
                if !rest.trim().is_empty() {
                    return self
                        .bad(m, "text behind the `;` that closes a text field; put it on the next line");
                }
                return Ok(text);
            }
            text.push('\n');
            text.push_str(line);
        }
        self.bad(n, "the text field that begins here with `;` is never closed")
    }
}

#[derive(Clone, Copy)]
struct Token<'a> {
    text: &'a str,
    quoted: bool,
}

impl<'a> Token<'a> {
    /// What follows a reserved prefix, whatever its case.
    fn keyword(&self, prefix: &str) -> Option<&'a str> {
        let head = self.text.get(..prefix.len())?;
        (!self.quoted && head.eq_ignore_ascii_case(prefix)).then(|| &self.text[prefix.len()..])
    }

    fn is_name(&self) -> bool {
        !self.quoted && self.text.len() > 1 && self.text.starts_with('_')
    }
}

/// The values on a line, and whether a comment ends it.
fn split(line: &str) -> std::result::Result<(Vec<Token<'_>>, bool), String> {
    let mut tokens = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        if first == '#' {
            return Ok((tokens, true));
        }
        let end = if first == '"' || first == '\'' {
            let close = rest
                .match_indices(first)
                .skip(1)
                .find(|(at, _)| rest[at + 1..].chars().next().is_none_or(char::is_whitespace));
            let Some((close, _)) = close else {
                return Err(format!("a string that begins with {first} is not closed"));
            };
            tokens.push(Token { text: &rest[1..close], quoted: true });
            close + 1
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            tokens.push(Token { text: &rest[..end], quoted: false });
            end
        };
        rest = rest[end..].trim_start();
    }
    Ok((tokens, false))
}
