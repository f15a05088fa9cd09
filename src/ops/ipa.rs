//! Invariant point attention (Jumper et al. 2021, algorithm 22): scores fall with the squared distance of points
//! that queries and keys have in space, and a pair of rows may bring its own features. All heads of a row go
//! together, so that the pair tensor is read once; scores are never stored, distances neither.
//!
//! Queries and keys `[B, N, H, D]`, whose last `coordinates` features stand for places, values `[B, N, H, V]`;
//! with pairs, two more inputs: a bias `[B, N, N, H]` and features z `[B, N, N, Z]`; with a mask, one more
//! `[B, N]` whose zeros are keys that are not there.
//!
//! `s = scale q k^T - |q - k|^2 / 2 + bias`, the product over the first features, the distance over the
//! coordinates (a head's weight of distances is their unit). Distances are taken as differences: written as
//! products they would lose all digits far from the origin. The result `[B, N, H, V + Z + 1]` holds the sums of
//! values and of z with the weights softmax(s), and the logarithm of the row's sum of e^s, from which the
//! derivative makes the weights again. A row without any key is zero throughout.

use super::{Array, Operation, all_f32};
use crate::conformance::Sample;
use crate::tape::Var;
use crate::tensor::{DType, Meta, Tensor};

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Part {
    /// The result above.
    Forward,
    /// Derivatives by bias and z side by side: `[B, N, N, H + Z]`. This and the following take three more
    /// inputs: the result, its upstream derivative g, and delta `[B, N, H, 1]`, the sum of `g y` over V and Z
    /// less g of the logarithm.
    Pairs,
    /// Derivative by the queries. With pairs, this and the following take their derivative as the last input:
    /// it holds that by the scores, so z is not read again.
    Queries,
    /// Derivatives by keys and values side by side: `[B, N, H, D + V]`.
    KeysValues,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Ipa {
    pub part: Part,
    pub scale: f32,
    pub coordinates: usize,
    pub pairs: bool,
    pub mask: bool,
}

/// The sizes of an invariant point attention.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    pub batch: usize,
    /// N
    pub rows: usize,
    pub heads: usize,
    /// D, with the coordinates.
    pub depth: usize,
    pub coordinates: usize,
    /// V
    pub width: usize,
    /// Z, 0 without pairs.
    pub pair: usize,
}

impl Extent {
    /// Length of a row of the result.
    pub fn result(&self) -> usize {
        self.width + self.pair + 1
    }
}

/// More heads do not fit a group of threads.
const MOST_HEADS: usize = 1024;

impl Ipa {
    /// Where the mask stands among the inputs.
    pub fn mask_input(&self) -> usize {
        if self.pairs { 5 } else { 3 }
    }

    /// Where the result stands among the inputs of a derivative; g, delta and the pairs' derivative follow it.
    pub fn result_input(&self) -> usize {
        self.mask_input() + self.mask as usize
    }

    /// Whether the derivative by the scores is an input.
    pub fn takes_slopes(&self) -> bool {
        self.pairs && matches!(self.part, Part::Queries | Part::KeysValues)
    }

    pub fn extent(&self, inputs: &[Meta]) -> Extent {
        let (q, v) = (&inputs[0].shape, &inputs[2].shape);
        Extent {
            batch: q[0],
            rows: q[1],
            heads: q[2],
            depth: q[3],
            coordinates: self.coordinates,
            width: v[3],
            pair: if self.pairs { inputs[4].shape[3] } else { 0 },
        }
    }
}

impl Operation for Ipa {
    fn stem(&self) -> &'static str {
        "ipa"
    }

    fn infer(&self, inputs: &[Meta]) -> Result<Meta, String> {
        let derivative = self.part != Part::Forward;
        let more = if derivative { 3 + self.takes_slopes() as usize } else { 0 };
        all_f32(inputs, self.result_input() + more)?;
        if inputs[..3].iter().any(|m| m.rank() != 4) {
            return Err("queries, keys and values need four axes: batch, rows, heads, features".into());
        }
        let (q, k, v) = (&inputs[0].shape, &inputs[1].shape, &inputs[2].shape);
        if q != k || q[..3] != v[..3] {
            return Err("queries, keys and values do not fit together".into());
        }
        let [batch, rows, heads, depth] = [q[0], q[1], q[2], q[3]];
        if heads == 0 || heads > MOST_HEADS || depth == 0 || v[3] == 0 {
            return Err(format!("needs features and 1 to {MOST_HEADS} heads"));
        }
        if self.coordinates > depth {
            return Err(format!("{} coordinates of {depth} features", self.coordinates));
        }
        if self.pairs {
            let (bias, z) = (&inputs[3].shape, &inputs[4].shape);
            if *bias != [batch, rows, rows, heads] || z.len() != 4 || z[..3] != bias[..3] {
                return Err(format!("bias and pair features must be {:?}", [batch, rows, rows]));
            }
        }
        if self.mask && inputs[self.mask_input()].shape != q[..2] {
            return Err(format!("the mask must be {:?}", &q[..2]));
        }
        if self.part == Part::Pairs && !self.pairs {
            return Err("there are no pairs to derive by".into());
        }
        let e = self.extent(inputs);
        let shape = |last| Meta::f32(&[batch, rows, heads, last]);
        let pairs = Meta::f32(&[batch, rows, rows, heads + e.pair]);
        if derivative {
            let given = &inputs[self.result_input()..];
            let wanted = [shape(e.result()), shape(e.result()), shape(1), pairs.clone()];
            if given.iter().zip(&wanted).any(|(given, wanted)| given != wanted) {
                return Err("the result, its derivative, delta and slopes do not fit the queries".into());
            }
        }
        Ok(match self.part {
            Part::Forward => shape(e.result()),
            Part::Pairs => pairs,
            Part::Queries => shape(depth),
            Part::KeysValues => shape(depth + e.width),
        })
    }

    fn derive<'t>(&self, inputs: &[Var<'t>], y: Var<'t>, g: Var<'t>) -> Vec<Option<Var<'t>>> {
        let tape = g.tape();
        if self.part != Part::Forward {
            tape.mistake("ipa: a derivative has none of its own".into());
            return vec![None; inputs.len()];
        }
        let last = y.dim(3) - 1;
        let mut is_sum = vec![1.0; last + 1];
        is_sum[last] = 0.0;
        let is_sum = tape.constant(Tensor::f32(&[last + 1], is_sum));
        let delta = (g * is_sum.choose(y, tape.scalar(-1.0))).sum_keep(&[3]);
        let mut with: Vec<Var<'t>> = inputs.iter().copied().chain([y, g, delta]).collect();
        let part = |part, with: &[Var<'t>]| tape.special(Ipa { part, ..*self }, with);
        let pairs = self.pairs.then(|| part(Part::Pairs, &with));
        with.extend(pairs);
        let (depth, both) = (inputs[0].dim(3), part(Part::KeysValues, &with));
        let mut parts = vec![part(Part::Queries, &with), both.slice(3, 0, depth)];
        parts.push(both.slice(3, depth, inputs[2].dim(3)));
        if let Some(pairs) = pairs {
            let heads = inputs[0].dim(2);
            parts.extend([pairs.slice(3, 0, heads), pairs.slice(3, heads, inputs[4].dim(3))]);
        }
        parts.into_iter().map(Some).chain(self.mask.then_some(None)).collect()
    }

    fn flop(&self, inputs: &[Meta], _: &Meta) -> u64 {
        let e = self.extent(inputs);
        let score = 2 * e.depth + e.coordinates;
        let slope = 2 * (e.width + e.pair);
        let slope_here = if self.takes_slopes() { 0 } else { slope };
        let each = match self.part {
            Part::Forward => score + slope,
            Part::Pairs => score + slope + 2 * e.pair,
            Part::Queries => score + slope_here,
            Part::KeysValues => 2 * score + slope_here + 2 * e.width,
        };
        (e.batch * e.heads * e.rows * e.rows * each) as u64
    }

    fn oracle(&self, inputs: &[Array], output: &Meta) -> Vec<f64> {
        let metas: Vec<Meta> = inputs.iter().map(|a| Meta::f32(&a.shape)).collect();
        let e = self.extent(&metas);
        let (n, d, w, z) = (e.rows, e.depth, e.width, e.pair);
        let dots = d - e.coordinates;
        let mut out = vec![0.0; output.len()];
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        for at in 0..e.batch * n * e.heads {
            let (b, i, h) = (at / e.heads / n, at / e.heads % n, at % e.heads);
            let row = |input: usize, j: usize, len: usize| {
                &inputs[input].data[((b * n + j) * e.heads + h) * len..][..len]
            };
            let pair = |input: usize, j: usize, len: usize| {
                &inputs[input].data[((b * n + i) * n + j) * len..][..len]
            };
            let q = row(0, i, d);
            let score = |j: usize| {
                if self.mask && inputs[self.mask_input()].data[b * n + j] == 0.0 {
                    return f64::NEG_INFINITY;
                }
                let k = row(1, j, d);
                let distance: f64 = q[dots..].iter().zip(&k[dots..]).map(|(q, k)| (q - k).powi(2)).sum();
                let bias = if self.pairs { pair(3, j, e.heads)[h] } else { 0.0 };
                self.scale as f64 * dot(&q[..dots], &k[..dots]) - 0.5 * distance + bias
            };
            let scores: Vec<f64> = (0..n).map(score).collect();
            if self.part == Part::Forward {
                let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                if top == f64::NEG_INFINITY {
                    continue;
                }
                let sum: f64 = scores.iter().map(|s| (s - top).exp()).sum();
                let y = &mut out[at * e.result()..][..e.result()];
                for (j, s) in scores.iter().enumerate() {
                    let p = (s - top).exp() / sum;
                    y.iter_mut().zip(row(2, j, w)).for_each(|(y, v)| *y += p * v);
                    if self.pairs {
                        y[w..].iter_mut().zip(pair(4, j, z)).for_each(|(y, z)| *y += p * z);
                    }
                }
                y[w + z] = top + sum.ln();
                continue;
            }
            let given = self.result_input();
            let log = row(given, i, e.result())[w + z];
            let g = row(given + 1, i, e.result());
            let delta = row(given + 2, i, 1)[0];
            for (j, s) in scores.iter().enumerate() {
                let (k, v) = (row(1, j, d), row(2, j, w));
                let p = (s - log).exp();
                let ds = if self.takes_slopes() {
                    pair(given + 3, j, e.heads + z)[h]
                } else {
                    let of_pair = if self.pairs { dot(&g[w..], pair(4, j, z)) } else { 0.0 };
                    p * (dot(g, v) + of_pair - delta)
                };
                // By the one, at a feature of the other.
                let of_score = |own: &[f64], other: &[f64], c: usize| {
                    ds * if c < dots { self.scale as f64 * other[c] } else { other[c] - own[c] }
                };
                match self.part {
                    Part::Forward => {}
                    Part::Pairs => {
                        let to = &mut out[((b * n + i) * n + j) * (e.heads + z)..][..e.heads + z];
                        to[h] = ds;
                        to[e.heads..].iter_mut().zip(&g[w..]).for_each(|(o, g)| *o += p * g);
                    }
                    Part::Queries => (0..d).for_each(|c| out[at * d + c] += of_score(q, k, c)),
                    Part::KeysValues => {
                        let to = &mut out[((b * n + j) * e.heads + h) * (d + w)..][..d + w];
                        (0..d).for_each(|c| to[c] += of_score(k, q, c));
                        to[d..].iter_mut().zip(g).for_each(|(o, g)| *o += p * g);
                    }
                }
            }
        }
        out
    }
}

pub fn samples() -> Vec<Sample> {
    // batch, rows, heads, features without coordinates, coordinates, values, pair features
    type Sizes = [usize; 7];
    fn sample(sizes: Sizes, part: Part, pairs: bool, mask: bool) -> Sample {
        let [b, n, h, dots, coordinates, w, z] = sizes;
        let d = dots + coordinates;
        let op = Ipa { part, scale: 0.7, coordinates, pairs, mask };
        let name = format!("ipa {part:?} {sizes:?}, pairs {pairs}, mask {mask}");
        let mut sample = Sample::new(name, move |t, v: &[Var<'_>]| {
            let mut inputs = v.to_vec();
            if mask {
                inputs[op.mask_input()] = inputs[op.mask_input()].cast(DType::F32);
            }
            t.special(op, &inputs)
        })
        .normal(&[b, n, h, d])
        .normal(&[b, n, h, d])
        .normal(&[b, n, h, w]);
        if pairs {
            sample = sample.normal(&[b, n, n, h]).normal(&[b, n, n, z]);
        }
        if mask {
            sample = sample.index(&[b, n], 3);
        }
        if part == Part::Forward {
            return sample;
        }
        let row = w + 1 + if pairs { z } else { 0 };
        sample = sample.normal(&[b, n, h, row]).normal(&[b, n, h, row]).normal(&[b, n, h, 1]);
        if op.takes_slopes() {
            sample = sample.normal(&[b, n, n, h + z]);
        }
        sample.first_order()
    }
    let small = [2, 5, 3, 4, 6, 3, 4];
    // More than a tile of rows, more values than threads.
    let larger = [1, 67, 2, 3, 3, 5, 4];
    let wide = [1, 3, 5, 2, 3, 40, 130];
    let mut samples = vec![];
    for sizes in
        [small, larger, wide, [1; 7], [1, 3, 2, 0, 3, 2, 1], [1, 3, 2, 3, 0, 2, 0], [1, 0, 2, 2, 3, 2, 2]]
    {
        for pairs in [false, true] {
            samples.push(sample(sizes, Part::Forward, pairs, false));
        }
    }
    for pairs in [false, true] {
        samples.push(sample(small, Part::Forward, pairs, true));
        for part in [Part::Pairs, Part::Queries, Part::KeysValues] {
            for sizes in [small, larger, wide] {
                if pairs || part != Part::Pairs {
                    samples.push(sample(sizes, part, pairs, sizes == small));
                }
            }
        }
    }
    let plain = Ipa { part: Part::Forward, scale: 1.0, coordinates: 3, pairs: false, mask: true };
    samples.push(
        Sample::new("ipa, one batch without keys", move |t, v| {
            let first = t.constant(Tensor::f32(&[2, 1], vec![0.0, 1.0]));
            t.special(plain, &[v[0], v[1], v[2], first.expand(&[2, 4])])
        })
        .normal(&[2, 4, 2, 5])
        .normal(&[2, 4, 2, 5])
        .normal(&[2, 4, 2, 3]),
    );
    // Places far from the origin, as those of a structure in angstrom are; quarters, which f32 holds exactly.
    samples.push(
        Sample::new("ipa, far from the origin", move |t, v| {
            let away = t.constant(Tensor::f32(&[5], vec![0.0, 0.0, 96.0, -128.0, 64.0]));
            let [q, k] = [v[0], v[1]].map(|x| x.cast(DType::F32).scale(0.25) + away);
            t.special(Ipa { mask: false, ..plain }, &[q, k, v[2]])
        })
        .index(&[1, 6, 2, 5], 9)
        .index(&[1, 6, 2, 5], 9)
        .normal(&[1, 6, 2, 3]),
    );
    samples
}
