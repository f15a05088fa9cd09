//! A coordinate network as one operation: encoding, first layer, equally wide hidden layers, last layer. A tile
//! of rows goes through all of it on chip; what a derivative needs is written once and not read back.
//!
//! Inputs: coordinates `[.., 3]` and frequencies `[F, 3]` (encoded as [`Encode`] does), or features `[.., I]`; the
//! first layer's offset `[B, W]`, one row for each B-th of the rows, and weight `[W, I]`; hidden weights `[L, W, W]`
//! and biases `[L, W]`; the last weight `[O, W]` and bias `[O]`.
//!
//! `h0 = a(features w0^T + offset)`, `h(l+1) = a(h(l) w(l)^T + b(l) [+ h(l)])`, `y = h(L) w^T + b`.
//!
//! Large weights, features and what is kept of them may be 16 bits wide; all else is f32, the way from one h to the
//! next and the last layer too.

use std::any::Any;
use std::sync::Arc;

use super::encode::Encode;
use super::{Array, Operation};
use crate::conformance::Sample;
use crate::tape::Var;
use crate::tensor::{DType, Meta};

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Part {
    /// y, `[.., O]`.
    Output,
    /// The encoded coordinates `[R, I]`.
    Features,
    /// What the hidden layers read, `[L, R, W]`.
    Hidden,
    /// What the last layer reads, `[R, W]`.
    Last,
    /// Derivatives by what the hidden layers' activations read, `[L, R, W]`. This and the next take other inputs:
    /// the derivative by y `[R, O]`, the last weight, the hidden weights, `Hidden` and `Last`.
    ByHidden,
    /// Derivative by what the first activation reads, `[R, W]`.
    ByFirst,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Mlp {
    /// One where it is recorded; a launch makes all that are wanted of the same inputs.
    pub parts: Vec<Part>,
    /// The group of the encoding.
    pub encode: Option<usize>,
    /// Hidden layers add their input.
    pub residual: bool,
    /// Of the activation below zero.
    pub slope: f32,
}

/// The sizes of a network and of its rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    pub rows: usize,
    /// Rows of the offset.
    pub members: usize,
    pub features: usize,
    pub width: usize,
    pub layers: usize,
    pub outputs: usize,
}

/// Widest layer of which devices keep a worthwhile tile of rows on chip; wider ones are products of their own.
pub const MOST_WIDTH: usize = 256;

/// Where the inputs stand: of a forward part behind the coordinates, of a derivative.
pub const BY_Y: usize = 0;
pub const BY_LAST_WEIGHT: usize = 1;
pub const BY_WEIGHTS: usize = 2;
pub const BY_HIDDEN: usize = 3;
pub const BY_LAST: usize = 4;

impl Mlp {
    pub fn is_derivative(&self) -> bool {
        matches!(self.parts[..], [Part::ByHidden | Part::ByFirst, ..])
    }

    /// Where the offset stands among the inputs of a forward part; both weights and biases follow it.
    pub fn offset_input(&self) -> usize {
        1 + self.encode.is_some() as usize
    }

    pub fn extent(&self, inputs: &[Meta]) -> Extent {
        let length = |input: usize, axis: usize| inputs[input].shape[axis];
        if self.is_derivative() {
            let (rows, outputs, width) = (length(BY_Y, 0), length(BY_Y, 1), length(BY_LAST, 1));
            return Extent { rows, members: 0, features: 0, width, layers: length(BY_WEIGHTS, 0), outputs };
        }
        let at = self.offset_input();
        let x = &inputs[0].shape;
        Extent {
            rows: x[..x.len() - 1].iter().product(),
            members: length(at, 0),
            features: length(at + 1, 1),
            width: length(at + 1, 0),
            layers: length(at + 2, 0),
            outputs: length(at + 4, 0),
        }
    }

    /// Inputs that may be 16 bits wide, all or none of them.
    pub fn narrow_inputs(&self) -> Vec<usize> {
        let at = self.offset_input();
        match (self.is_derivative(), self.encode) {
            (true, _) => vec![BY_WEIGHTS, BY_HIDDEN],
            (false, None) => vec![0, at + 1, at + 2],
            (false, Some(_)) => vec![at + 1, at + 2],
        }
    }

    /// The element type of a part when those inputs have `narrow`.
    pub fn dtype(&self, narrow: DType) -> DType {
        if matches!(self.parts[0], Part::Output | Part::Last) { DType::F32 } else { narrow }
    }

    fn infer_derivative(&self, inputs: &[Meta]) -> Result<(), String> {
        let [dy, last_weight, weights, hidden, last] = inputs else {
            return Err("a derivative takes five inputs".into());
        };
        let ([rows, outputs], [layers, width, _]) = (&dy.shape[..], &weights.shape[..]) else {
            return Err("the derivative by y needs two axes, the hidden weights three".into());
        };
        let fit = last_weight.shape == [*outputs, *width]
            && weights.shape == [*layers, *width, *width]
            && hidden.shape == [*layers, *rows, *width]
            && last.shape == [*rows, *width];
        if fit { Ok(()) } else { Err("what was kept does not fit the derivative by y".into()) }
    }

    fn infer_forward(&self, inputs: &[Meta]) -> Result<(), String> {
        let at = self.offset_input();
        if inputs.len() != at + 6 {
            return Err(format!("takes {} inputs", at + 6));
        }
        let x = &inputs[0];
        let Some(&last) = x.shape.last() else { return Err("takes rows of coordinates or features".into()) };
        let features = match self.encode {
            None => last,
            Some(group) => {
                let encode = Encode { group };
                let encoded = encode.infer(&inputs[..2])?;
                encoded.shape.last().copied().unwrap_or(0)
            }
        };
        let [offset, first, weights, biases, last_weight, last_bias] = &inputs[at..] else { return Ok(()) };
        let ([members, width], [layers, ..], [outputs, ..]) =
            (&offset.shape[..], &weights.shape[..], &last_weight.shape[..])
        else {
            return Err("the offset needs two axes, weights two and three".into());
        };
        let (width, layers, outputs) = (*width, *layers, *outputs);
        let fit = first.shape == [width, features]
            && weights.shape == [layers, width, width]
            && biases.shape == [layers, width]
            && last_weight.shape == [outputs, width]
            && last_bias.shape == [outputs];
        if !fit {
            return Err(format!("the layers do not fit {features} features and a width of {width}"));
        }
        let rows: usize = x.shape[..x.rank() - 1].iter().product();
        if !rows.is_multiple_of(*members) || *members == 0 {
            return Err(format!("an offset of {members} rows does not divide {rows} rows"));
        }
        Ok(())
    }
}

impl Operation for Mlp {
    fn stem(&self) -> &'static str {
        "mlp"
    }

    fn infer(&self, inputs: &[Meta]) -> Result<Meta, String> {
        if self.is_derivative() { self.infer_derivative(inputs) } else { self.infer_forward(inputs) }?;
        let e = self.extent(inputs);
        let features = self.is_derivative() || e.features > 0;
        if !features || e.width == 0 || e.layers == 0 || e.outputs == 0 {
            return Err("a network needs features, a hidden layer, units and outputs".into());
        }
        if e.width > MOST_WIDTH {
            return Err(format!("{} units are too many to stay on chip", e.width));
        }
        let narrow = self.narrow_inputs();
        let dtype = inputs[narrow[0]].dtype;
        let alike = |(i, m): (usize, &Meta)| m.dtype == if narrow.contains(&i) { dtype } else { DType::F32 };
        if !dtype.is_float() || !inputs.iter().enumerate().all(alike) {
            return Err("weights and features need one float type, all else f32".into());
        }
        let shape = match self.parts[0] {
            Part::Output => {
                let x = &inputs[0].shape;
                x[..x.len() - 1].iter().copied().chain([e.outputs]).collect()
            }
            Part::Features => vec![e.rows, e.features],
            Part::Hidden | Part::ByHidden => vec![e.layers, e.rows, e.width],
            Part::Last | Part::ByFirst => vec![e.rows, e.width],
        };
        Ok(Meta { shape, dtype: self.dtype(dtype) })
    }

    fn derive<'t>(&self, inputs: &[Var<'t>], _: Var<'t>, g: Var<'t>) -> Vec<Option<Var<'t>>> {
        let tape = g.tape();
        if self.parts != [Part::Output] {
            tape.mistake("mlp: only the output has a derivative".into());
            return vec![None; inputs.len()];
        }
        let metas: Vec<Meta> = inputs.iter().map(|v| v.meta()).collect();
        let e = self.extent(&metas);
        let part = |part, inputs: &[Var<'t>]| tape.special(Mlp { parts: vec![part], ..self.clone() }, inputs);
        let at = self.offset_input();
        let (first_weight, weights, last_weight) = (inputs[at + 1], inputs[at + 2], inputs[at + 4]);
        let features = match self.encode {
            Some(_) => part(Part::Features, inputs),
            None => inputs[0].reshape(&[e.rows, e.features]),
        };
        let (hidden, last) = (part(Part::Hidden, inputs), part(Part::Last, inputs));
        let by_y = g.reshape(&[e.rows, e.outputs]);
        let with = [by_y, last_weight, weights, hidden, last];
        let (by_hidden, by_first) = (part(Part::ByHidden, &with), part(Part::ByFirst, &with));
        let by_features = by_first.matmul(first_weight).cast(DType::F32);
        let mut parts: Vec<Option<Var<'t>>> = match self.encode {
            None => vec![Some(by_features.reshape(&inputs[0].shape()).cast(inputs[0].meta().dtype))],
            Some(group) => {
                let features = features.cast(DType::F32);
                Encode { group }.derive(&inputs[..2], features, by_features)
            }
        };
        let wide = by_first.cast(DType::F32);
        let by_member = wide.reshape(&[e.members, e.rows / e.members, e.width]);
        parts.extend([
            Some(by_member.sum(&[1])),
            Some(by_first.t_matmul(features)),
            Some(by_hidden.t_matmul(hidden)),
            Some(by_hidden.cast(DType::F32).sum(&[1])),
            Some(by_y.t_matmul(last)),
            Some(by_y.sum(&[0])),
        ]);
        parts
    }

    fn flop(&self, inputs: &[Meta], _: &Meta) -> u64 {
        let e = self.extent(inputs);
        let (square, thin) = (e.layers * e.width * e.width, e.outputs * e.width);
        let encode = if self.encode.is_some() { 20 * e.features } else { 0 };
        (e.rows * (2 * (e.features * e.width + square + thin) + encode)) as u64
    }

    fn oracle(&self, inputs: &[Array], output: &Meta) -> Vec<f64> {
        let metas: Vec<Meta> = inputs.iter().map(|a| Meta::f32(&a.shape)).collect();
        let e = self.extent(&metas);
        let w = e.width;
        let data = |i: usize| &inputs[i].data[..];
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let skip = self.residual as usize as f64;
        let mut y = vec![0.0; output.len()];
        if self.is_derivative() {
            let slope = |h: f64| if h > 0.0 { 1.0 } else { self.slope as f64 };
            for r in 0..e.rows {
                let mut by_h: Vec<f64> = (0..w)
                    .map(|j| {
                        (0..e.outputs)
                            .map(|o| data(BY_Y)[r * e.outputs + o] * data(BY_LAST_WEIGHT)[o * w + j])
                            .sum()
                    })
                    .collect();
                for l in (0..=e.layers).rev() {
                    let h = match l {
                        l if l == e.layers => &data(BY_LAST)[r * w..],
                        l => &data(BY_HIDDEN)[(l * e.rows + r) * w..],
                    };
                    let before: Vec<f64> = by_h.iter().zip(h).map(|(g, &h)| g * slope(h)).collect();
                    match (self.parts[0], l) {
                        (Part::ByFirst, 0) => y[r * w..][..w].copy_from_slice(&before),
                        (Part::ByHidden, 1..) => {
                            y[((l - 1) * e.rows + r) * w..][..w].copy_from_slice(&before)
                        }
                        _ => {}
                    }
                    if l > 0 {
                        let weight = &data(BY_WEIGHTS)[(l - 1) * w * w..];
                        by_h = (0..w)
                            .map(|k| {
                                let sum: f64 = (0..w).map(|j| before[j] * weight[j * w + k]).sum();
                                sum + skip * before[k]
                            })
                            .collect();
                    }
                }
            }
            return y;
        }
        let at = self.offset_input();
        let features = match self.encode {
            Some(group) => Encode { group }.oracle(&inputs[..2], &Meta::f32(&[e.rows, e.features])),
            None => data(0).to_vec(),
        };
        if self.parts[0] == Part::Features {
            return features;
        }
        let active = |x: f64| if x > 0.0 { x } else { x * self.slope as f64 };
        for r in 0..e.rows {
            let offset = &data(at)[r / (e.rows / e.members) * w..];
            let row = &features[r * e.features..][..e.features];
            let mut h: Vec<f64> =
                (0..w).map(|j| active(offset[j] + dot(row, &data(at + 1)[j * e.features..]))).collect();
            for l in 0..e.layers {
                if self.parts[0] == Part::Hidden {
                    y[(l * e.rows + r) * w..][..w].copy_from_slice(&h);
                }
                let row = |j: usize| &data(at + 2)[(l * w + j) * w..];
                let next = |j: usize| active(data(at + 3)[l * w + j] + skip * h[j] + dot(&h, row(j)));
                h = (0..w).map(next).collect();
            }
            match self.parts[0] {
                Part::Last => y[r * w..][..w].copy_from_slice(&h),
                Part::Output => {
                    for (o, y) in y[r * e.outputs..][..e.outputs].iter_mut().enumerate() {
                        *y = data(at + 5)[o] + dot(&h, &data(at + 4)[o * w..]);
                    }
                }
                _ => {}
            }
        }
        y
    }

    fn join(&self, other: &dyn Operation) -> Option<Arc<dyn Operation>> {
        let any: &dyn Any = other;
        let other = any.downcast_ref::<Mlp>()?;
        let joined = Mlp { parts: [&self.parts[..], &other.parts].concat(), ..self.clone() };
        let alike = Mlp { parts: self.parts.clone(), ..other.clone() } == *self
            && self.is_derivative() == other.is_derivative();
        alike.then(|| Arc::new(joined) as Arc<dyn Operation>)
    }
}

pub fn samples() -> Vec<Sample> {
    // rows, members, features or frequencies, width, layers, outputs
    fn sample(sizes: [usize; 6], encode: Option<usize>, residual: bool, slope: f32, dtype: DType) -> Sample {
        let [rows, members, features, width, layers, outputs] = sizes;
        let op = Mlp { parts: vec![Part::Output], encode, residual, slope };
        let halves = if dtype == DType::F32 { String::new() } else { format!(" {dtype}") };
        let name = format!("mlp{halves} {sizes:?}, encode {encode:?}, residual {residual}, slope {slope}");
        let sample = Sample::new(name, move |t, v| t.special(op.clone(), v));
        let sample = match encode {
            Some(_) => sample.normal(&[rows, 3]).normal(&[features, 3]),
            None => sample.normal(&[rows, features]).of(dtype),
        };
        let features = if encode.is_some() { 2 * features } else { features };
        sample
            .normal(&[members, width])
            .normal(&[width, features])
            .of(dtype)
            .normal(&[layers, width, width])
            .of(dtype)
            .normal(&[layers, width])
            .normal(&[outputs, width])
            .normal(&[outputs])
    }
    let f32 = DType::F32;
    vec![
        sample([7, 1, 5, 6, 1, 2], None, false, 0.0, f32),
        sample([6, 3, 4, 6, 2, 1], Some(2), true, 0.0, f32),
        sample([1; 6], None, true, 0.0, f32),
        sample([3, 3, 2, 1, 4, 1], Some(2), false, 0.01, f32),
        sample([10, 2, 5, 3, 3, 4], Some(1), true, 0.01, f32),
        sample([0, 1, 3, 2, 1, 1], None, true, 0.0, f32),
        // More than a tile of any device, with edges.
        sample([66, 2, 9, 40, 2, 2], Some(9), true, 0.0, f32),
        sample([201, 3, 21, 19, 1, 1], None, true, 0.01, f32),
        sample([9, 1, 70, 130, 1, 2], Some(70), false, 0.0, f32),
        // Rounding may take a unit near zero to the other side: there the slopes should not be far apart.
        sample([35, 5, 12, 24, 2, 2], Some(12), true, 0.9, DType::BF16),
        sample([68, 2, 37, 72, 1, 1], None, false, 0.9, DType::F16),
        sample([65, 1, 8, 33, 3, 2], Some(4), true, 0.9, DType::F16),
    ]
}
