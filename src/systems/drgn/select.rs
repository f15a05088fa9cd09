//! Selections of particles: by cluster, by where they lie in latent space, at random; and tables cut down to them.

use super::files::Latents;
use crate::error::{Error, Result};
use crate::io::npy::{Array, ArrayData};
use crate::io::pickle::Value;
use crate::stats::Matrix;
use crate::stats::pca::Pca;
use crate::stats::random::Philox;
use std::collections::BTreeSet;
use std::path::Path;

/// Particles whose label is one of `clusters`; labels and clusters count from 0.
pub fn clusters(labels: &[i64], clusters: &[i64]) -> Result<Vec<usize>> {
    let known: BTreeSet<i64> = labels.iter().copied().collect();
    if let Some(strange) = clusters.iter().find(|c| !known.contains(c)) {
        let (first, last) = (known.first().copied().unwrap_or(0), known.last().copied().unwrap_or(0));
        return Err(Error::usage(format!(
            "there is no cluster {strange}; the labels run from {first} to {last}"
        )));
    }
    let wanted: BTreeSet<i64> = clusters.iter().copied().collect();
    Ok((0..labels.len()).filter(|i| wanted.contains(&labels[*i])).collect())
}

/// A coordinate of particles that ranges can be given in; numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Latent variable.
    Z(usize),
    /// Principal component of the latent variables.
    Pc(usize),
    /// UMAP coordinate.
    Umap(usize),
}

/// One side of a box: low ≤ coordinate ≤ high.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    pub axis: Axis,
    pub low: f64,
    pub high: f64,
}

impl std::str::FromStr for Range {
    type Err = String;

    /// `pc1:-2:0.5`, `z3::1`, `umap2:4:`; axes count from 1, as in the plots.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let help = || {
            format!("`{text}` is not AXIS:LOW:HIGH such as pc1:-2:0.5, z3::1 or umap2:4: (axes count from 1)")
        };
        let parts: Vec<&str> = text.split(':').collect();
        let [axis, low, high] = parts[..] else { return Err(help()) };
        let name = axis.trim_end_matches(|c: char| c.is_ascii_digit());
        let number: usize = axis[name.len()..].parse().ok().filter(|n| *n >= 1).ok_or_else(help)?;
        let axis = match name.to_ascii_lowercase().as_str() {
            "z" => Axis::Z(number - 1),
            "pc" => Axis::Pc(number - 1),
            "umap" => Axis::Umap(number - 1),
            _ => return Err(help()),
        };
        let bound = |text: &str, open: f64| match text.trim() {
            "" => Ok(open),
            text => text.parse::<f64>().ok().filter(|v| !v.is_nan()).ok_or_else(help),
        };
        let (low, high) = (bound(low, f64::NEG_INFINITY)?, bound(high, f64::INFINITY)?);
        if low > high {
            return Err(format!("`{text}`: the lower bound is above the upper one"));
        }
        Ok(Range { axis, low, high })
    }
}

/// Particles that lie within all ranges.
pub fn within(latents: &Latents, umap: Option<&[[f32; 2]]>, ranges: &[Range]) -> Result<Vec<usize>> {
    let (n, dim) = (latents.len(), latents.dim);
    let scores = match ranges.iter().any(|r| matches!(r.axis, Axis::Pc(_))) {
        true => {
            let z = Matrix::new(&latents.mu, dim)?;
            let pca = Pca::fit(z, dim.min(n))?;
            Some((pca.transform(z)?, pca.len()))
        }
        false => None,
    };
    if let Some(umap) = umap
        && umap.len() != n
    {
        return Err(Error::usage(format!("{} UMAP points for {n} particles; run analyze again", umap.len())));
    }
    let mut columns: Vec<(Vec<f32>, Range)> = Vec::new();
    for range in ranges {
        let beyond = |k: usize, of: usize, name: &str| {
            Error::usage(format!("there is no {name}{}: the latent space has {of} dimensions", k + 1))
        };
        let column = match (range.axis, &scores, umap) {
            (Axis::Z(k), ..) if k < dim => latents.mu.iter().skip(k).step_by(dim).copied().collect(),
            (Axis::Z(k), ..) => return Err(beyond(k, dim, "z")),
            (Axis::Pc(k), Some((scores, of)), _) if k < *of => {
                scores.iter().skip(k).step_by(*of).copied().collect()
            }
            (Axis::Pc(k), ..) => return Err(beyond(k, dim, "pc")),
            (Axis::Umap(k), _, Some(umap)) if k < 2 => umap.iter().map(|p| p[k]).collect(),
            (Axis::Umap(_), _, Some(_)) => {
                return Err(Error::usage("the UMAP has two axes, umap1 and umap2"));
            }
            (Axis::Umap(_), _, None) => return Err(Error::usage("there is no umap.pkl; run analyze first")),
        };
        columns.push((column, *range));
    }
    let inside = |i: &usize| {
        columns.iter().all(|(column, r)| {
            let v = f64::from(column[*i]);
            r.low <= v && v <= r.high
        })
    };
    Ok((0..n).filter(inside).collect())
}

/// The members of `all` that are not in `chosen`, in the order of `all`.
pub fn inverse(all: &[usize], chosen: &[usize]) -> Vec<usize> {
    let chosen: std::collections::HashSet<usize> = chosen.iter().copied().collect();
    all.iter().copied().filter(|i| !chosen.contains(i)).collect()
}

/// `size` of `n` particles drawn at random, in ascending order.
pub fn random(n: usize, size: usize, seed: u64) -> Result<Vec<usize>> {
    if size == 0 || size > n {
        return Err(Error::usage(format!("cannot draw {size} of {n} particles; ask for 1 to {n}")));
    }
    let mut chosen = Philox::new(seed, 0).choice(n, size);
    chosen.sort_unstable();
    Ok(chosen)
}

/// The given rows of everything in a table: an array, or a tuple or list of arrays (a pose file).
pub fn rows(path: &Path, value: &Value, chosen: &[usize]) -> Result<Value> {
    let each =
        |parts: &[Value]| parts.iter().map(|part| rows(path, part, chosen)).collect::<Result<Vec<_>>>();
    match value {
        Value::Array(array) => Ok(Value::Array(array_rows(path, array, chosen)?)),
        Value::Tuple(parts) => each(parts).map(Value::Tuple),
        Value::List(parts) if parts.iter().all(|p| matches!(p, Value::Array(_))) && !parts.is_empty() => {
            each(parts).map(Value::List)
        }
        Value::List(parts) => {
            check_rows(path, parts.len(), chosen)?;
            Ok(Value::List(chosen.iter().map(|i| parts[*i].clone()).collect()))
        }
        Value::None => Ok(Value::None),
        other => {
            let problem =
                format!("it holds {}; rows can be taken of arrays and tuples of arrays", other.kind());
            Err(Error::malformed(path, "", problem))
        }
    }
}

fn check_rows(path: &Path, have: usize, chosen: &[usize]) -> Result<()> {
    match chosen.iter().find(|i| **i >= have) {
        Some(i) => {
            let problem = format!("row {i} is selected, but there are {have} (counted from 0)");
            Err(Error::malformed(path, "", problem))
        }
        None => Ok(()),
    }
}

fn array_rows(path: &Path, array: &Array, chosen: &[usize]) -> Result<Array> {
    let have = *array
        .shape
        .first()
        .ok_or_else(|| Error::malformed(path, "", "it holds a single number, no rows"))?;
    check_rows(path, have, chosen)?;
    let width: usize = array.shape[1..].iter().product();
    fn pick<T: Copy>(data: &[T], width: usize, chosen: &[usize]) -> Vec<T> {
        chosen.iter().flat_map(|i| data[i * width..(i + 1) * width].iter().copied()).collect()
    }
    let data = match &array.data {
        ArrayData::F32(v) => ArrayData::F32(pick(v, width, chosen)),
        ArrayData::F64(v) => ArrayData::F64(pick(v, width, chosen)),
        ArrayData::I32(v) => ArrayData::I32(pick(v, width, chosen)),
        ArrayData::I64(v) => ArrayData::I64(pick(v, width, chosen)),
        ArrayData::U8(v) => ArrayData::U8(pick(v, width, chosen)),
        ArrayData::Bool(v) => ArrayData::Bool(pick(v, width, chosen)),
    };
    let mut shape = array.shape.clone();
    shape[0] = chosen.len();
    Array::new(shape, data)
}

/// Tables one after another: arrays along their first axis, tuples part by part.
pub fn concatenate(tables: &[(&Path, Value)]) -> Result<Value> {
    let Some((_, first)) = tables.first() else { return Err(Error::usage("give at least one table")) };
    let differ = |path: &Path, found: &Value| {
        let problem =
            format!("it holds {}, the first file {}; they cannot be joined", found.kind(), first.kind());
        Error::malformed(path, "", problem)
    };
    match first {
        Value::Array(first) => {
            let mut joined = first.clone();
            for (path, table) in &tables[1..] {
                let Value::Array(array) = table else { return Err(differ(path, table)) };
                append(path, &mut joined, array)?;
            }
            Ok(Value::Array(joined))
        }
        Value::Tuple(parts) => {
            let parts = (0..parts.len()).map(|k| {
                let part = tables.iter().map(|(path, table)| match table {
                    Value::Tuple(these) if these.len() == parts.len() => Ok((*path, these[k].clone())),
                    other => Err(differ(path, other)),
                });
                concatenate(&part.collect::<Result<Vec<_>>>()?)
            });
            Ok(Value::Tuple(parts.collect::<Result<_>>()?))
        }
        Value::List(parts) => {
            let mut joined = parts.clone();
            for (path, table) in &tables[1..] {
                let Value::List(more) = table else { return Err(differ(path, table)) };
                joined.extend(more.iter().cloned());
            }
            Ok(Value::List(joined))
        }
        other => Err(differ(tables[0].0, other)),
    }
}

fn append(path: &Path, joined: &mut Array, more: &Array) -> Result<()> {
    if joined.shape.is_empty() || joined.shape.get(1..) != more.shape.get(1..) {
        let problem = format!("its shape {:?} does not continue {:?}", more.shape, joined.shape);
        return Err(Error::malformed(path, "", problem));
    }
    match (&mut joined.data, &more.data) {
        (ArrayData::F32(a), ArrayData::F32(b)) => a.extend(b),
        (ArrayData::F64(a), ArrayData::F64(b)) => a.extend(b),
        (ArrayData::I32(a), ArrayData::I32(b)) => a.extend(b),
        (ArrayData::I64(a), ArrayData::I64(b)) => a.extend(b),
        (ArrayData::U8(a), ArrayData::U8(b)) => a.extend(b),
        (ArrayData::Bool(a), ArrayData::Bool(b)) => a.extend(b),
        // Mixed types become the wider of floats or of integers.
        (_, ArrayData::F32(_) | ArrayData::F64(_)) | (ArrayData::F32(_) | ArrayData::F64(_), _) => {
            let mut data = joined.to_f64();
            data.extend(more.to_f64());
            joined.data = ArrayData::F64(data);
        }
        _ => {
            let both = joined.to_i64().zip(more.to_i64());
            let (mut data, rest) = both.ok_or_else(|| {
                let (a, b) = (joined.data.type_name(), more.data.type_name());
                Error::malformed(path, "", format!("its type {b} does not continue {a}"))
            })?;
            data.extend(rest);
            joined.data = ArrayData::I64(data);
        }
    }
    joined.shape[0] += more.shape[0];
    Ok(())
}
