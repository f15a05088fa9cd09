//! The `_atom_site` table of mmCIF files, in and out (<https://mmcif.wwpdb.org>, CIF 1.1 syntax).

use super::{Atom, Entry, Model, Structure, element_symbol, guess_element};
use crate::error::{Error, Result};
use crate::io::atomic;
use std::path::Path;

pub(super) fn read(text: &str, path: &Path) -> Result<Vec<Model>> {
    let bad = |line: usize, why: &str| Error::malformed(path, format!("line {line}"), why);
    let mut tokens = Tokens { text, at: 0, line: 1, line_start: true };
    let mut ahead = tokens.next().map_err(|why| bad(tokens.line, why))?;
    while let Some(token) = ahead {
        ahead = tokens.next().map_err(|why| bad(tokens.line, why))?;
        if !token.is_word("loop_") {
            continue;
        }
        let mut tags = Vec::new();
        while let Some(tag) = ahead.filter(|t| t.is_tag()) {
            tags.push(tag.text.to_ascii_lowercase());
            ahead = tokens.next().map_err(|why| bad(tokens.line, why))?;
        }
        if !tags.iter().any(|t| t.starts_with("_atom_site.")) {
            continue;
        }
        let table = Table::new(&tags).map_err(|why| bad(token.line, &why))?;
        let mut models: Vec<Model> = Vec::new();
        let mut row: Vec<Token> = Vec::with_capacity(tags.len());
        while let Some(value) = ahead.filter(|t| !t.is_keyword() && !t.is_tag()) {
            row.push(value);
            if row.len() == tags.len() {
                let line = row[0].line;
                let (model, entry) = table.entry(&row).map_err(|why| bad(line, &why))?;
                match models.last_mut() {
                    Some(last) if last.name == model => last.entries.push(entry),
                    _ => models.push(Model { name: model.to_string(), entries: vec![entry] }),
                }
                row.clear();
            }
            ahead = tokens.next().map_err(|why| bad(tokens.line, why))?;
        }
        if !row.is_empty() {
            let why = format!("the atom table stops within a row ({} of {} values)", row.len(), tags.len());
            return Err(bad(row[0].line, &why));
        }
        return Ok(models);
    }
    Err(Error::malformed(path, "", "no table of atoms (loop_ with _atom_site columns)"))
}

#[derive(Clone, Copy)]
struct Token<'a> {
    text: &'a str,
    quoted: bool,
    line: usize,
}

impl Token<'_> {
    fn is_word(&self, word: &str) -> bool {
        !self.quoted && self.text.eq_ignore_ascii_case(word)
    }

    fn is_tag(&self) -> bool {
        !self.quoted && self.text.starts_with('_')
    }

    fn is_keyword(&self) -> bool {
        let start = |n: usize| self.text.get(..n).unwrap_or("").to_ascii_lowercase();
        !self.quoted
            && (self.is_word("loop_") || self.is_word("stop_") || start(5) == "data_" || start(5) == "save_")
    }
}

/// Words, quoted values and text fields.
struct Tokens<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    line_start: bool,
}

impl<'a> Tokens<'a> {
    fn next(&mut self) -> Result<Option<Token<'a>>, &'static str> {
        let bytes = self.text.as_bytes();
        while let Some(&b) = bytes.get(self.at) {
            match b {
                b'\n' => {
                    self.line += 1;
                    self.at += 1;
                    self.line_start = true;
                    continue;
                }
                b'#' => {
                    self.at +=
                        bytes[self.at..].iter().position(|&b| b == b'\n').unwrap_or(bytes.len() - self.at)
                }
                b if b.is_ascii_whitespace() => self.at += 1,
                _ => break,
            }
            self.line_start &= self.at == 0;
        }
        let Some(&first) = bytes.get(self.at) else { return Ok(None) };
        let (start, line, quoted) = (self.at, self.line, true);
        if first == b';' && self.line_start {
            let body = &self.text[start + 1..];
            let end = body.find("\n;").ok_or("a text field is never closed")?;
            self.line += body[..=end].matches('\n').count();
            self.at = start + 1 + end + 2;
            self.line_start = false;
            return Ok(Some(Token { text: &body[..end], quoted, line }));
        }
        self.line_start = false;
        if first == b'\'' || first == b'"' {
            // A quote ends a value only where white space follows.
            let close = (start + 1..bytes.len()).find(|&i| {
                bytes[i] == b'\n' || bytes[i] == first && bytes.get(i + 1).is_none_or(u8::is_ascii_whitespace)
            });
            let end = close.filter(|&i| bytes[i] == first).ok_or("a quoted value is never closed")?;
            self.at = end + 1;
            return Ok(Some(Token { text: &self.text[start + 1..end], quoted, line }));
        }
        let end = bytes[start..].iter().position(u8::is_ascii_whitespace).map_or(bytes.len(), |n| start + n);
        self.at = end;
        Ok(Some(Token { text: &self.text[start..end], quoted: false, line }))
    }
}

/// Where the columns stand that are read. Author's names come first: they are what PDB files and papers use.
struct Table {
    name: usize,
    residue_name: usize,
    chain: Option<usize>,
    residue_number: Option<usize>,
    label_number: Option<usize>,
    insertion: Option<usize>,
    group: Option<usize>,
    element: Option<usize>,
    alternate: Option<usize>,
    position: [usize; 3],
    occupancy: Option<usize>,
    b_factor: Option<usize>,
    model: Option<usize>,
}

impl Table {
    fn new(tags: &[String]) -> Result<Table, String> {
        let find = |names: &[&str]| {
            names.iter().find_map(|n| tags.iter().position(|t| t.strip_prefix("_atom_site.") == Some(*n)))
        };
        let need = |names: &[&str]| {
            find(names).ok_or_else(|| format!("the atom table lacks _atom_site.{}", names[0]))
        };
        Ok(Table {
            name: need(&["label_atom_id", "auth_atom_id"])?,
            residue_name: need(&["auth_comp_id", "label_comp_id"])?,
            chain: find(&["auth_asym_id", "label_asym_id"]),
            residue_number: find(&["auth_seq_id"]),
            label_number: find(&["label_seq_id"]),
            insertion: find(&["pdbx_pdb_ins_code"]),
            group: find(&["group_pdb"]),
            element: find(&["type_symbol"]),
            alternate: find(&["label_alt_id"]),
            position: [need(&["cartn_x"])?, need(&["cartn_y"])?, need(&["cartn_z"])?],
            occupancy: find(&["occupancy"]),
            b_factor: find(&["b_iso_or_equiv"]),
            model: find(&["pdbx_pdb_model_num"]),
        })
    }

    fn entry<'a>(&self, row: &[Token<'a>]) -> Result<(&'a str, Entry), String> {
        // A bare `.` or `?` stands for no value.
        let text = |column: Option<usize>| -> Option<&'a str> {
            let token = row.get(column?)?;
            (token.quoted || !matches!(token.text, "." | "?")).then_some(token.text)
        };
        let number = |column: usize, what: &str| -> Result<f64, String> {
            let value = text(Some(column)).unwrap_or("");
            // A standard uncertainty may follow in brackets.
            let plain = value.split('(').next().unwrap_or(value);
            let x = plain.parse::<f64>().ok().filter(|x| x.is_finite());
            x.ok_or_else(|| format!("{what} is `{value}`, not a number"))
        };
        let or = |column: Option<usize>, what: &str, default: f32| match (column, text(column)) {
            (Some(c), Some(_)) => number(c, what).map(|x| x as f32),
            _ => Ok(default),
        };
        let name = text(Some(self.name)).unwrap_or("");
        let residue_name = text(Some(self.residue_name)).unwrap_or("");
        let residue_number = match text(self.residue_number).or(text(self.label_number)) {
            None => 0,
            Some(n) => n.parse().map_err(|_| format!("the residue number is `{n}`"))?,
        };
        let atom = Atom {
            name: name.to_string(),
            element: text(self.element)
                .and_then(element_symbol)
                .unwrap_or_else(|| guess_element(name, residue_name)),
            residue_name: residue_name.to_string(),
            residue_number,
            insertion_code: text(self.insertion).and_then(|c| c.chars().next()),
            chain: text(self.chain).unwrap_or("").to_string(),
            occupancy: or(self.occupancy, "the occupancy", 1.0)?,
            b_factor: or(self.b_factor, "the B-factor", 0.0)?,
            hetero: text(self.group).is_some_and(|g| g.eq_ignore_ascii_case("HETATM")),
        };
        let [x, y, z] = self.position;
        let position = [number(x, "x")?, number(y, "y")?, number(z, "z")?];
        let alternate = text(self.alternate).and_then(|c| c.chars().next()).unwrap_or(' ');
        Ok((text(self.model).unwrap_or("1"), Entry { atom, alternate, position }))
    }
}

const COLUMNS: [&str; 18] = [
    "group_PDB",
    "id",
    "type_symbol",
    "label_atom_id",
    "label_alt_id",
    "label_comp_id",
    "label_asym_id",
    "label_entity_id",
    "label_seq_id",
    "pdbx_PDB_ins_code",
    "Cartn_x",
    "Cartn_y",
    "Cartn_z",
    "occupancy",
    "B_iso_or_equiv",
    "auth_seq_id",
    "auth_asym_id",
    "pdbx_PDB_model_num",
];

pub(super) fn write(s: &Structure, path: &Path) -> Result<()> {
    let stem = path.file_stem().and_then(|n| n.to_str()).unwrap_or("");
    let block: String = stem.chars().filter(char::is_ascii_alphanumeric).collect();
    atomic::write(path, |out| {
        writeln!(out, "data_{}\n#\nloop_", if block.is_empty() { "structure" } else { &block })?;
        COLUMNS.iter().try_for_each(|c| writeln!(out, "_atom_site.{c}"))?;
        let mut id = 0;
        for (m, model) in s.models.iter().enumerate() {
            for (a, p) in s.atoms.iter().zip(model) {
                id += 1;
                let (chain, residue) = (value(&a.chain), value(&a.residue_name));
                writeln!(
                    out,
                    "{} {id} {} {} . {residue} {chain} 1 {} {} {:.3} {:.3} {:.3} {:.2} {:.2} {} {chain} {}",
                    if a.hetero { "HETATM" } else { "ATOM" },
                    value(&a.element),
                    value(&a.name),
                    // Only polymers have a number of their own in this column.
                    if a.hetero { ".".to_string() } else { a.residue_number.to_string() },
                    a.insertion_code.map_or("?".into(), |c| value(&c.to_string())),
                    p[0],
                    p[1],
                    p[2],
                    a.occupancy,
                    a.b_factor,
                    a.residue_number,
                    m + 1,
                )?;
            }
        }
        writeln!(out, "#")
    })
}

/// A value with the quotes it needs.
fn value(text: &str) -> String {
    let reserved = ["loop_", "stop_", "global_"].iter().any(|w| text.eq_ignore_ascii_case(w))
        || ["data_", "save_"].iter().any(|w| text.get(..5).is_some_and(|s| s.eq_ignore_ascii_case(w)));
    let bare = !text.is_empty()
        && !reserved
        && !text.starts_with(['_', '#', '$', '\'', '"', '[', ']', ';'])
        && !text.contains(|c: char| c.is_whitespace() || c == '\'' || c == '"')
        && text != "."
        && text != "?";
    if bare {
        text.to_string()
    } else if text.is_empty() {
        ".".into()
    } else if text.contains('"') {
        format!("'{text}'")
    } else {
        format!("\"{text}\"")
    }
}
