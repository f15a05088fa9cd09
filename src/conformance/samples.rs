//! Sample cases: inputs that a name decides, and what to record with them.

use std::collections::HashMap;

use super::{numbers, oracle};
use crate::ops::row::Row;
use crate::ops::{Array, rows};
use crate::tape::{Init, Tape, Var};
use crate::tensor::{DType, Tensor};

pub type Record = Box<dyn for<'t> Fn(&'t Tape, &[Var<'t>]) -> Var<'t> + Send + Sync>;

enum Values {
    Normal,
    Uniform(f64, f64),
    Index(usize),
    Given(Vec<f64>),
}

struct Feed {
    shape: Vec<usize>,
    dtype: DType,
    values: Values,
}

pub struct Sample {
    pub name: String,
    feeds: Vec<Feed>,
    pub record: Record,
    /// Whether the derivative is checked.
    pub differentiate: bool,
}

impl Sample {
    pub fn new(
        name: impl Into<String>,
        record: impl for<'t> Fn(&'t Tape, &[Var<'t>]) -> Var<'t> + Send + Sync + 'static,
    ) -> Sample {
        Sample { name: name.into(), feeds: vec![], record: Box::new(record), differentiate: true }
    }

    fn feed(mut self, shape: &[usize], dtype: DType, values: Values) -> Self {
        self.feeds.push(Feed { shape: shape.to_vec(), dtype, values });
        self
    }

    /// An f32 input of standard normal numbers.
    pub fn normal(self, shape: &[usize]) -> Self {
        self.feed(shape, DType::F32, Values::Normal)
    }

    pub fn uniform(self, shape: &[usize], low: f64, high: f64) -> Self {
        self.feed(shape, DType::F32, Values::Uniform(low, high))
    }

    /// An i32 input in 0 .. bound.
    pub fn index(self, shape: &[usize], bound: usize) -> Self {
        self.feed(shape, DType::I32, Values::Index(bound))
    }

    pub fn given(self, values: &[f64]) -> Self {
        self.feed(&[values.len()], DType::F32, Values::Given(values.to_vec()))
    }

    /// The last input rounded to another float type (and no derivative by it).
    pub fn of(mut self, dtype: DType) -> Self {
        if let Some(feed) = self.feeds.last_mut() {
            feed.dtype = dtype;
        }
        self
    }

    /// No derivative is checked: there is none.
    pub fn first_order(mut self) -> Self {
        self.differentiate = false;
        self
    }

    pub fn tensors(&self) -> Vec<Tensor> {
        let make = |(i, feed): (usize, &Feed)| {
            let n = feed.shape.iter().product();
            let normal = numbers(&format!("{} {i}", self.name), n);
            let values: Vec<f64> = match &feed.values {
                Values::Normal => normal,
                // The normal distribution function is smooth and fast enough: a logistic approximation.
                Values::Uniform(low, high) => {
                    normal.iter().map(|x| low + (high - low) / (1.0 + (-1.702 * x).exp())).collect()
                }
                Values::Index(bound) => {
                    normal.iter().map(|x| ((x.abs() * 1e6) as usize % (*bound).max(1)) as f64).collect()
                }
                Values::Given(values) => values.clone(),
            };
            Tensor::from_f64(&feed.shape, feed.dtype, &values)
        };
        self.feeds.iter().enumerate().map(make).collect()
    }

    pub fn inputs<'t>(&self, tape: &'t Tape) -> Vec<Var<'t>> {
        let feeds = self.feeds.iter().enumerate();
        feeds.map(|(i, feed)| tape.input(&format!("x{i}"), &feed.shape, feed.dtype)).collect()
    }

    /// The value in f64.
    pub fn oracle(&self, inputs: &[Array]) -> Vec<f64> {
        let tape = Tape::new();
        let vars = self.inputs(&tape);
        let value = (self.record)(&tape, &vars);
        let feeds: HashMap<String, Array> =
            inputs.iter().enumerate().map(|(i, a)| (format!("x{i}"), a.clone())).collect();
        oracle::evaluate(&tape, &feeds, &[value]).pop().map(|a| a.data).unwrap_or_default()
    }
}

/// Arguments of a row that keep it inside its domain, when that is not all numbers.
fn domain(row: &str) -> Option<(f64, f64)> {
    match row {
        "logarithm" | "root" | "inverse_root" | "power" => Some((0.1, 4.0)),
        "reciprocal" | "div" => Some((0.3, 3.0)),
        // Away from where the angle jumps.
        "angle" => Some((-2.0, -0.1)),
        // v, a running mean of squares, is positive.
        "adam" => Some((0.2, 2.0)),
        _ => None,
    }
}

/// Every row of the table alone, over awkward sizes; then arrangements of rows.
pub fn rows() -> Vec<Sample> {
    let mut samples = vec![];
    for &row in rows::ALL {
        for shape in [&[][..], &[1], &[7], &[3, 5], &[1031], &[0]] {
            samples.push(arguments(row, shape));
        }
    }
    let wide = [-1e4, -90.0, -87.4, -20.0, -1.0, -1e-8, 0.0, 1e-8, 0.3, 1.0, 5.0, 20.0, 88.0, 89.0, 1e4];
    for row in
        [&rows::hyperbolic_tangent, &rows::sigmoid, &rows::softplus, &rows::error_function, &rows::silu]
    {
        let name = format!("{} far out", row.name);
        samples.push(Sample::new(name, move |t, v| t.row(row, v)).given(&wide));
    }
    samples.extend(arrangements());
    samples.extend(several_states());
    samples
}

fn arguments(row: &'static Row, shape: &[usize]) -> Sample {
    let sample = Sample::new(format!("{} {shape:?}", row.name), move |t, v| t.row(row, v));
    (0..row.arity()).fold(sample, |sample, _| match domain(row.name) {
        Some((low, high)) => sample.uniform(shape, low, high),
        None => sample.normal(shape),
    })
}

/// What becomes one launch for states of many lengths: an update of each, and casts, which some devices store in
/// pairs.
fn several_states() -> [Sample; 2] {
    const SHAPES: [&[usize]; 7] = [&[7], &[], &[3, 5], &[1031], &[1], &[0], &[2500]];
    fn updates<'t>(t: &'t Tape, v: &[Var<'t>]) -> Var<'t> {
        let update = |i: usize| {
            let state = |name: &str| t.state(&format!("{name}{i}"), SHAPES[i], Init::Constant(0.5));
            let (parameter, moment) = (state("parameter"), state("moment"));
            let next = moment.row(&rows::blend, &[v[i + 1], v[0]]);
            let value = parameter - next * v[0];
            t.assign(moment, next);
            t.assign(parameter, value);
            value.reshape(&[value.meta().len()])
        };
        Var::concat(&(0..SHAPES.len()).map(update).collect::<Vec<_>>(), 0)
    }
    fn casts<'t>(t: &'t Tape, v: &[Var<'t>]) -> Var<'t> {
        let product = |i: usize| {
            let shape = [v[i].dim(1), 5];
            let values: Vec<f32> = (0..shape[0] * shape[1]).map(|k| (k % 31) as f32 / 16.0 - 1.0).collect();
            let weight = t.state(&format!("weight{i}"), &shape, Init::Given(values.into()));
            v[i].matmul(weight.cast(DType::BF16))
        };
        product(0) + product(1) + product(2)
    }
    let sample = Sample::new("updates of several states", updates).uniform(&[], 0.1, 0.9);
    let updates = SHAPES.iter().fold(sample, |sample, shape| sample.normal(shape));
    let sample = Sample::new("casts of several states", casts);
    let casts = [9, 300, 8].iter().fold(sample, |sample, &k| sample.normal(&[3, k]).of(DType::BF16));
    [updates, casts]
}

fn arrangements() -> Vec<Sample> {
    vec![
        Sample::new("broadcast row and column", |_, v| v[0] * v[1] + v[2])
            .normal(&[3, 1])
            .normal(&[1, 700])
            .normal(&[]),
        Sample::new("broadcast the middle", |_, v| (v[0] - v[1]).square())
            .normal(&[2, 3, 4])
            .normal(&[2, 1, 4]),
        Sample::new("permute", |_, v| v[0].permute(&[2, 0, 1])).normal(&[2, 3, 4]),
        Sample::new("permute inside a chain", |_, v| v[0].transpose(0, 1) * v[1] + v[0].transpose(0, 1))
            .normal(&[33, 20])
            .normal(&[20, 33]),
        Sample::new("slice", |_, v| v[0].slice(1, 2, 3)).normal(&[4, 7]),
        Sample::new("slice backwards in steps", |_, v| v[0].slice_step(0, 6, -3, 3) * v[1])
            .normal(&[7, 5])
            .normal(&[5]),
        Sample::new("slice of a permuted slice", |_, v| {
            let inner = v[0].slice(2, 1, 3).permute(&[2, 1, 0]);
            inner.slice_step(0, 2, -2, 2).exp() + v[1]
        })
        .normal(&[2, 3, 5])
        .normal(&[2, 3, 2]),
        Sample::new("flip", |_, v| v[0].flip(1) + v[0]).normal(&[3, 4]),
        Sample::new("expand", |_, v| v[0].expand(&[3, 2, 4])).normal(&[2, 1]),
        Sample::new("reshape between rows", |_, v| v[0].exp().reshape(&[6, 2]).sin() + v[1])
            .normal(&[3, 4])
            .normal(&[6, 2]),
        Sample::new("a value used twice, and inside a reduction", |_, v| {
            let e = v[0].exp();
            e / e.sum_keep(&[1]) + e.max_keep(&[0])
        })
        .normal(&[5, 6]),
        Sample::new("a long chain", |_, v| {
            (0..40).fold(v[0], |x, i| (x.sin() + v[1]).scale(0.9).add_scalar(i as f32 * 0.01))
        })
        .normal(&[600])
        .normal(&[600]),
        Sample::new("half precision chain", |_, v| v[0] * v[1] + v[0])
            .normal(&[9])
            .of(DType::F16)
            .normal(&[9])
            .of(DType::F16),
        Sample::new("mixed types", |_, v| v[0] * v[1]).normal(&[3, 3]).of(DType::BF16).normal(&[3]),
        Sample::new("cast to half and back", |_, v| v[0].cast(DType::F16).cast(DType::F32).scale(2.0))
            .normal(&[8])
            .of(DType::F16),
        Sample::new("cast of indices", |_, v| v[0].cast(DType::F32).scale(0.5)).index(&[6], 9),
        Sample::new("cast to indices", |_, v| v[0].scale(3.0).cast(DType::I32)).normal(&[11]).first_order(),
    ]
}
