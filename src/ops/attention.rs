//! Softmax attention (Vaswani et al. 2017) by tiles with a running maximum (Dao et al. 2022): the scores
//! `[Nq, Nk]` are never stored, in the derivative neither.
//!
//! Queries `[B, H, Nq, D]`, keys `[B, H, Nk, D]`, values `[B, H, Nk, V]`; with a bias, one more input
//! `[B or 1, H or 1, Nq or 1, Nk]`; with a mask, one more `[B, Nk]` whose zeros are keys that are not there.
//!
//! `s = scale q k^T + bias`, `y = softmax(s) v`. The result `[B, H, Nq, V + 1]` holds y and, behind it, the
//! logarithm of the row's sum of e^s, from which the derivative makes the weights again. A row without any key
//! is zero throughout.

use super::{Array, Operation, all_f32};
use crate::conformance::Sample;
use crate::ops::rows;
use crate::tape::Var;
use crate::tensor::{DType, Meta, Tensor};

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Part {
    /// The result above.
    Forward,
    /// Derivative by the queries. This and the following take three more inputs: the result, its upstream
    /// derivative g `[B, H, Nq, V + 1]`, and delta `[B, H, Nq, 1]`, the sum of `g y` over V less g of the
    /// logarithm.
    Queries,
    /// Derivatives by keys and values side by side: `[B, H, Nk, D + V]`.
    KeysValues,
    /// Derivative by the bias.
    Bias,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Attention {
    pub part: Part,
    pub scale: f32,
    pub bias: bool,
    pub mask: bool,
}

/// The sizes of an attention.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    pub batch: usize,
    pub heads: usize,
    pub queries: usize,
    pub keys: usize,
    /// D
    pub depth: usize,
    /// V
    pub width: usize,
    /// The bias's own first three axes; ones without a bias.
    pub bias: [usize; 3],
}

impl Extent {
    /// First element of the bias's row for this query.
    pub fn bias_row(&self, b: usize, h: usize, query: usize) -> usize {
        let [batch, heads, queries] = self.bias;
        (((b % batch) * heads + h % heads) * queries + query % queries) * self.keys
    }
}

impl Attention {
    /// Where the mask stands among the inputs.
    pub fn mask_input(&self) -> usize {
        3 + self.bias as usize
    }

    /// Where the result stands among the inputs of a derivative; g and delta follow it.
    pub fn result_input(&self) -> usize {
        self.mask_input() + self.mask as usize
    }

    pub fn extent(&self, inputs: &[Meta]) -> Extent {
        let (q, v) = (&inputs[0].shape, &inputs[2].shape);
        let bias = if self.bias { &inputs[3].shape[..3] } else { &[1; 3] };
        Extent {
            batch: q[0],
            heads: q[1],
            queries: q[2],
            keys: v[2],
            depth: q[3],
            width: v[3],
            bias: [bias[0], bias[1], bias[2]],
        }
    }
}

impl Operation for Attention {
    fn stem(&self) -> &'static str {
        "attention"
    }

    fn infer(&self, inputs: &[Meta]) -> Result<Meta, String> {
        let derivative = self.part != Part::Forward;
        all_f32(inputs, self.result_input() + 3 * derivative as usize)?;
        if inputs[..3].iter().any(|m| m.rank() != 4) {
            return Err("queries, keys and values need four axes: batch, heads, rows, features".into());
        }
        let (q, k, v) = (&inputs[0].shape, &inputs[1].shape, &inputs[2].shape);
        if q[..2] != k[..2] || q[..2] != v[..2] || k[2] != v[2] || q[3] != k[3] {
            return Err("queries, keys and values do not fit together".into());
        }
        if q[3] == 0 || v[3] == 0 {
            return Err("queries and values need features".into());
        }
        if self.bias {
            let bias = &inputs[3].shape;
            let full = [q[0], q[1], q[2], k[2]];
            let fits = bias.len() == 4
                && bias[3] == k[2]
                && bias.iter().zip(full).all(|(&own, full)| own == full || own == 1);
            if !fits {
                return Err(format!("a bias {bias:?} cannot be broadcast to {full:?}"));
            }
        }
        if self.mask && inputs[self.mask_input()].shape != [q[0], k[2]] {
            return Err(format!("the mask must be {:?}", [q[0], k[2]]));
        }
        if self.part == Part::Bias && !self.bias {
            return Err("there is no bias to derive by".into());
        }
        let result = [q[0], q[1], q[2], v[3] + 1];
        if derivative {
            let [y, g, delta] = [0, 1, 2].map(|i| &inputs[self.result_input() + i].shape);
            if *y != result || *g != result || *delta != [q[0], q[1], q[2], 1] {
                return Err("the result, its derivative and delta do not fit the queries".into());
            }
        }
        Ok(Meta::f32(match self.part {
            Part::Forward => &result,
            Part::Queries => q,
            Part::KeysValues => return Ok(Meta::f32(&[q[0], q[1], k[2], q[3] + v[3]])),
            Part::Bias => &inputs[3].shape,
        }))
    }

    fn derive<'t>(&self, inputs: &[Var<'t>], y: Var<'t>, g: Var<'t>) -> Vec<Option<Var<'t>>> {
        let tape = g.tape();
        if self.part != Part::Forward {
            tape.mistake("attention: a derivative has none of its own".into());
            return vec![None; inputs.len()];
        }
        let width = inputs[2].dim(3);
        let mut is_value = vec![1.0; width + 1];
        is_value[width] = 0.0;
        let is_value = tape.constant(Tensor::f32(&[width + 1], is_value));
        let delta = (g * is_value.choose(y, tape.scalar(-1.0))).sum_keep(&[3]);
        let with: Vec<Var<'t>> = inputs.iter().copied().chain([y, g, delta]).collect();
        let part = |part| tape.special(Attention { part, ..*self }, &with);
        let both = part(Part::KeysValues);
        let depth = inputs[0].dim(3);
        let mut parts =
            vec![Some(part(Part::Queries)), Some(both.slice(3, 0, depth)), Some(both.slice(3, depth, width))];
        if self.bias {
            parts.push(Some(part(Part::Bias)));
        }
        if self.mask {
            parts.push(None);
        }
        parts
    }

    fn flop(&self, inputs: &[Meta], _: &Meta) -> u64 {
        let e = self.extent(inputs);
        let each = match self.part {
            Part::Forward => e.depth + e.width,
            Part::Queries => 2 * e.depth + e.width,
            Part::KeysValues => 2 * e.depth + 2 * e.width,
            Part::Bias => e.depth + e.width,
        };
        2 * (e.batch * e.heads * e.queries * e.keys * each) as u64
    }

    fn oracle(&self, inputs: &[Array], output: &Meta) -> Vec<f64> {
        let metas: Vec<Meta> = inputs.iter().map(|a| Meta::f32(&a.shape)).collect();
        let e = self.extent(&metas);
        let (d, w) = (e.depth, e.width);
        let mut out = vec![0.0; output.len()];
        for member in 0..e.batch * e.heads {
            let (b, h) = (member / e.heads, member % e.heads);
            let row = |input: usize, width: usize, count: usize, i: usize| {
                &inputs[input].data[(member * count + i) * width..][..width]
            };
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            for i in 0..e.queries {
                let q = row(0, d, e.queries, i);
                let bias_row = e.bias_row(b, h, i);
                let score = |j: usize| {
                    if self.mask && inputs[self.mask_input()].data[b * e.keys + j] == 0.0 {
                        return f64::NEG_INFINITY;
                    }
                    let bias = if self.bias { inputs[3].data[bias_row + j] } else { 0.0 };
                    self.scale as f64 * dot(q, row(1, d, e.keys, j)) + bias
                };
                let scores: Vec<f64> = (0..e.keys).map(score).collect();
                if self.part == Part::Forward {
                    let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    if top == f64::NEG_INFINITY {
                        continue;
                    }
                    let sum: f64 = scores.iter().map(|s| (s - top).exp()).sum();
                    let y = &mut out[(member * e.queries + i) * (w + 1)..][..w + 1];
                    for (j, s) in scores.iter().enumerate() {
                        let p = (s - top).exp() / sum;
                        y.iter_mut().zip(row(2, w, e.keys, j)).for_each(|(y, v)| *y += p * v);
                    }
                    y[w] = top + sum.ln();
                    continue;
                }
                let at = self.result_input();
                let log = row(at, w + 1, e.queries, i)[w];
                let g = &row(at + 1, w + 1, e.queries, i)[..w];
                let delta = row(at + 2, 1, e.queries, i)[0];
                for (j, s) in scores.iter().enumerate() {
                    let (k, v) = (row(1, d, e.keys, j), row(2, w, e.keys, j));
                    let p = (s - log).exp();
                    let ds = p * (dot(g, v) - delta);
                    let mut add = |at: usize, x: &[f64], factor: f64| {
                        out[at..at + x.len()].iter_mut().zip(x).for_each(|(o, x)| *o += factor * x);
                    };
                    match self.part {
                        Part::Forward => {}
                        Part::Queries => add((member * e.queries + i) * d, k, self.scale as f64 * ds),
                        Part::KeysValues => {
                            let at = (member * e.keys + j) * (d + w);
                            add(at, q, self.scale as f64 * ds);
                            add(at + d, g, p);
                        }
                        Part::Bias => add(bias_row + j, &[1.0], ds),
                    }
                }
            }
        }
        out
    }
}

pub fn samples() -> Vec<Sample> {
    // batch, heads, queries, keys, depth, width
    type Sizes = [usize; 6];
    fn sample(sizes: Sizes, part: Part, bias: Option<[usize; 3]>, mask: bool) -> Sample {
        let [b, h, n, m, d, w] = sizes;
        let op = Attention { part, scale: 0.7, bias: bias.is_some(), mask };
        let mut sample = Sample::new(
            format!("attention {part:?} {sizes:?}, bias {bias:?}, mask {mask}"),
            move |t, v: &[Var<'_>]| {
                let mut inputs = v.to_vec();
                if mask {
                    inputs[op.mask_input()] = inputs[op.mask_input()].cast(DType::F32);
                }
                t.special(op, &inputs)
            },
        )
        .normal(&[b, h, n, d])
        .normal(&[b, h, m, d])
        .normal(&[b, h, m, w]);
        if let Some([bb, bh, bn]) = bias {
            sample = sample.normal(&[bb, bh, bn, m]);
        }
        if mask {
            sample = sample.index(&[b, m], 3);
        }
        if part == Part::Forward {
            return sample;
        }
        sample.normal(&[b, h, n, w + 1]).normal(&[b, h, n, w + 1]).normal(&[b, h, n, 1]).first_order()
    }
    let small = [2, 3, 5, 7, 4, 3];
    let mut samples = vec![];
    for sizes in
        [small, [1; 6], [1, 2, 70, 150, 8, 8], [2, 1, 3, 5, 24, 24], [1, 1, 0, 3, 2, 2], [1, 1, 3, 0, 2, 2]]
    {
        samples.push(sample(sizes, Part::Forward, None, false));
    }
    // Few keys whose features fill registers may be another kernel's.
    let whole = [2, 3, 5, 7, 8, 16];
    for sizes in [small, whole] {
        for bias in [[2, 3, 5], [1, 3, 5], [2, 1, 5], [2, 3, 1], [1, 1, 1]] {
            samples.push(sample(sizes, Part::Forward, Some(bias), false));
            samples.push(sample(sizes, Part::Bias, Some(bias), bias[0] == 1));
        }
        samples.push(sample(sizes, Part::Forward, None, true));
        samples.push(sample(sizes, Part::Forward, Some([1, 3, 5]), true));
    }
    samples.push(sample([1, 2, 70, 150, 4, 5], Part::Bias, Some([1, 1, 70]), true));
    samples.push(sample([1, 2, 70, 150, 4, 5], Part::Bias, Some([1, 2, 1]), false));
    for part in [Part::Queries, Part::KeysValues] {
        samples.push(sample(small, part, Some([1, 3, 5]), true));
        samples.push(sample(whole, part, Some([2, 3, 1]), true));
        samples.push(sample(whole, part, None, false));
        samples.push(sample([1, 2, 9, 20, 1, 1], part, None, false));
        samples.push(sample([1, 2, 70, 150, 4, 5], part, None, false));
    }
    let plain = Attention { part: Part::Forward, scale: 1.0, bias: false, mask: true };
    for features in [5, 8] {
        samples.push(
            Sample::new(format!("attention, one batch without keys, {features} features"), move |t, v| {
                let first = t.constant(Tensor::f32(&[2, 1], vec![0.0, 1.0]));
                t.special(plain, &[v[0], v[1], v[2], first.expand(&[2, 4])])
            })
            .normal(&[2, 2, 3, features])
            .normal(&[2, 2, 4, features])
            .normal(&[2, 2, 4, features]),
        );
        samples.push(
            Sample::new(
                format!("attention, a bias of minus infinity and large scores, {features} features"),
                move |t, v| {
                    let hidden = t.constant(Tensor::f32(&[1, 4], vec![0.0, f32::NEG_INFINITY, 0.0, 0.0]));
                    let bias = (v[3].row(&rows::add, &[hidden])).reshape(&[1, 1, 3, 4]);
                    let op = Attention { part: Part::Forward, scale: 9.0, bias: true, mask: false };
                    t.special(op, &[v[0], v[1], v[2], bias])
                },
            )
            .normal(&[1, 2, 3, features])
            .normal(&[1, 2, 4, features])
            .normal(&[1, 2, 4, features])
            .normal(&[3, 4]),
        );
    }
    samples
}
