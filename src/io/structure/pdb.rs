//! PDB columns, in and out (format version 3.3, <https://www.wwpdb.org/documentation/file-format>).

use super::{Atom, Entry, Model, Structure, element_symbol, guess_element};
use crate::error::{Error, Result};
use crate::io::atomic;
use std::path::Path;

pub(super) fn read(text: &str, path: &Path) -> Result<Vec<Model>> {
    let mut models: Vec<Model> = Vec::new();
    let mut open: Option<Model> = None;
    for (i, line) in text.lines().enumerate() {
        let record = line.get(..6).unwrap_or(line).trim_end();
        match record {
            "MODEL" => {
                models.extend(open.take());
                open = Some(Model { name: line.get(6..).unwrap_or("").trim().into(), entries: Vec::new() });
            }
            // Some programs close their frames with END alone.
            "ENDMDL" | "END" => models.extend(open.take()),
            "ATOM" | "HETATM" => {
                let number = models.len() + 1;
                let entry = entry(line, record == "HETATM")
                    .map_err(|why| Error::malformed(path, format!("line {}", i + 1), why))?;
                open.get_or_insert_with(|| Model { name: number.to_string(), entries: Vec::new() })
                    .entries
                    .push(entry);
            }
            _ => {}
        }
    }
    models.extend(open);
    models.retain(|m| !m.entries.is_empty());
    Ok(models)
}

/// Columns as the format counts them (from 1, both ends included); empty beyond the end of the line.
fn columns(line: &str, from: usize, to: usize) -> &str {
    let end = to.min(line.len());
    line.get(from - 1..end).unwrap_or("")
}

fn entry(line: &str, hetero: bool) -> Result<Entry, String> {
    if !line.is_ascii() {
        return Err("an atom line holds other than ASCII characters, so its columns cannot be told".into());
    }
    let number = |from: usize, to: usize, what: &str| -> Result<f64, String> {
        let text = columns(line, from, to).trim();
        let x = text.parse::<f64>().ok().filter(|x| x.is_finite());
        x.ok_or_else(|| format!("{what} in columns {from}-{to} is `{text}`, not a number"))
    };
    let or = |from: usize, to: usize, what: &str, default: f64| -> Result<f32, String> {
        if columns(line, from, to).trim().is_empty() {
            return Ok(default as f32);
        }
        number(from, to, what).map(|x| x as f32)
    };
    let raw = columns(line, 13, 16);
    let residue_name = columns(line, 18, 21).trim();
    // Beyond 9999 some programs let the number run into the column of the insertion code.
    let wide = columns(line, 27, 27).bytes().all(|b| b.is_ascii_digit());
    let field = columns(line, 23, if wide { 27 } else { 26 });
    let residue_number = residue_number(field)
        .ok_or_else(|| format!("the residue number in columns 23-26 is `{}`", field.trim()))?;
    let atom = Atom {
        name: raw.trim().to_string(),
        element: element_symbol(columns(line, 77, 78)).unwrap_or_else(|| guess_element(raw, residue_name)),
        residue_name: residue_name.to_string(),
        residue_number,
        insertion_code: columns(line, 27, 27).chars().next().filter(|c| *c != ' ' && !wide),
        chain: columns(line, 22, 22).trim().to_string(),
        occupancy: or(55, 60, "the occupancy", 1.0)?,
        b_factor: or(61, 66, "the B-factor", 0.0)?,
        hetero,
    };
    let position = [number(31, 38, "x")?, number(39, 46, "y")?, number(47, 54, "z")?];
    Ok(Entry { atom, alternate: columns(line, 17, 17).chars().next().unwrap_or(' '), position })
}

/// A decimal number, or hybrid-36 beyond 9999 (`A000` is 10000).
fn residue_number(field: &str) -> Option<i32> {
    let field = field.trim();
    if let Ok(n) = field.parse() {
        return Some(n);
    }
    let first = field.bytes().next()?;
    if field.len() != 4 || !field.bytes().all(|b| b.is_ascii_alphanumeric()) || !first.is_ascii_alphabetic() {
        return None;
    }
    let n = i32::from_str_radix(field, 36).ok()?;
    // Upper case counts on from 9999, lower case from the end of upper case.
    let base = 10 * 36i32.pow(3);
    Some(if first.is_ascii_uppercase() { n - base + 10_000 } else { n - base + 10_000 + 26 * 36i32.pow(3) })
}

pub(super) fn write(s: &Structure, path: &Path) -> Result<()> {
    for (i, a) in s.atoms.iter().enumerate() {
        let too_wide = if a.chain.len() > 1 {
            format!("chain `{}`", a.chain)
        } else if a.name.len() > 4 {
            format!("atom name `{}`", a.name)
        } else if a.residue_name.len() > 4 {
            format!("residue name `{}`", a.residue_name)
        } else if !(-999..=9999).contains(&a.residue_number) {
            format!("residue number {}", a.residue_number)
        } else {
            continue;
        };
        let why =
            format!("atom {}: {too_wide} does not fit the PDB format; write a .cif file instead", i + 1);
        return Err(Error::usage(format!("{}: {why}", path.display())));
    }
    let fits = |x: f64| (-999.9994..9999.9994).contains(&x);
    for (i, model) in s.models.iter().enumerate() {
        if let Some(j) = model.iter().position(|p| !p.iter().all(|&x| fits(x))) {
            let why = "a coordinate does not fit the PDB format; write a .cif file instead";
            return Err(Error::usage(format!("{}: model {}, atom {}: {why}", path.display(), i + 1, j + 1)));
        }
    }
    atomic::write(path, |out| {
        let many = s.models.len() > 1;
        for (m, model) in s.models.iter().enumerate() {
            if many {
                writeln!(out, "MODEL     {:>4}", m + 1)?;
            }
            let mut serial = 0;
            for (i, (a, p)) in s.atoms.iter().zip(model).enumerate() {
                serial += 1;
                let record = if a.hetero { "HETATM" } else { "ATOM" };
                // A symbol of one letter starts in the second column, unless the name needs all four.
                let name = if a.name.len() == 4 || a.element.len() == 2 {
                    format!("{:<4}", a.name)
                } else {
                    format!(" {:<3}", a.name)
                };
                let residue = if a.residue_name.len() == 4 {
                    a.residue_name.clone()
                } else {
                    format!("{:>3} ", a.residue_name)
                };
                writeln!(
                    out,
                    "{record:<6}{:>5} {name} {residue}{:1}{:>4}{:1}   {:>8.3}{:>8.3}{:>8.3}{:>6.2}{:>6.2}          {:>2}",
                    serial % 100_000,
                    a.chain,
                    a.residue_number,
                    a.insertion_code.unwrap_or(' '),
                    p[0],
                    p[1],
                    p[2],
                    a.occupancy.clamp(-99.0, 999.0),
                    a.b_factor.clamp(-99.0, 999.0),
                    a.element.to_ascii_uppercase(),
                )?;
                let ends = s.atoms.get(i + 1).is_none_or(|next| next.chain != a.chain || next.hetero);
                if !a.hetero && ends {
                    serial += 1;
                    writeln!(
                        out,
                        "TER   {:>5}      {residue}{:1}{:>4}{:1}",
                        serial % 100_000,
                        a.chain,
                        a.residue_number,
                        a.insertion_code.unwrap_or(' ')
                    )?;
                }
            }
            if many {
                writeln!(out, "ENDMDL")?;
            }
        }
        writeln!(out, "END")
    })
}
