//! Invariant point attention as a layer (Jumper et al. 2021, algorithm 22).

use super::frame::Frames;
use super::mlp::linear_from;
use crate::ops::ipa::{Ipa, Part};
use crate::tape::{Init, Var};

/// Parameters `linear_q`, `linear_kv` (a head's key, then its value), `linear_q_points`, `linear_kv_points`
/// (all x, all y, all z; in each, head by head, the key's points and then the value's), `head_weights`,
/// `linear_out`, and with a pair tensor `linear_b` and `down_z`. They start as Glorot and Bengio (2010) have it,
/// biases and `linear_out` at zero, and all heads' distances with the weight one.
#[derive(Clone, Copy, Debug)]
pub struct PointAttention {
    pub heads: usize,
    /// Width of a head's query, key and value.
    pub hidden: usize,
    /// Points of a head's query (and key), and of its value.
    pub query_points: usize,
    pub value_points: usize,
}

impl PointAttention {
    /// `s` `[B, N, C]` to the same shape, for frames `[B, N, ..]`, with a pair tensor `z` `[B, N, N, Z]` or
    /// without, and a mask `[B, N]` that takes away the rows where it is 0 from what the others see.
    #[track_caller]
    pub fn record<'t>(
        &self,
        name: &str,
        s: Var<'t>,
        frames: &Frames<'t>,
        z: Option<Var<'t>>,
        mask: Option<Var<'t>>,
    ) -> Var<'t> {
        let tape = s.tape();
        let PointAttention { heads, hidden, query_points, value_points } = *self;
        let [batch, rows, width] = [s.dim(0), s.dim(1), s.dim(2)];
        tape.scope(name, || {
            let project = |name, x: Var<'t>, output: usize| {
                let input = x.dim(x.rank().saturating_sub(1));
                let bound = (6.0 / (input + output).max(1) as f32).sqrt();
                linear_from(name, x, output, [Init::Uniform(bound), Init::Zeros])
            };
            let by_head = |x: Var<'t>, last| x.reshape(&[batch, rows, heads, last]);
            let in_space = |name, points: usize| {
                let local = project(name, s, 3 * heads * points).reshape(&[batch, rows, 3, heads * points]);
                let points = frames.apply(local).reshape(&[batch, rows, 3, heads, points]);
                points.permute(&[0, 1, 3, 4, 2])
            };
            // With coordinates of points `first ..` behind the features.
            let extended = |features: Var<'t>, points: Var<'t>, first: usize, count: usize| {
                let points = points.slice(3, first, count);
                Var::concat(&[features, by_head(points, 3 * count)], 3)
            };
            let q = by_head(project("linear_q", s, heads * hidden), hidden);
            let kv = by_head(project("linear_kv", s, 2 * heads * hidden), 2 * hidden);
            let (k, v) = (kv.slice(3, 0, hidden), kv.slice(3, hidden, hidden));
            let q_points = in_space("linear_q_points", query_points);
            let kv_points = in_space("linear_kv_points", query_points + value_points);

            // Three parts (features, distances, pairs) of equal variance, those of distances by their points.
            let parts = (1.0_f32 / 3.0).sqrt();
            let of_points = parts * (2.0 / (9.0 * query_points.max(1) as f32)).sqrt();
            // softplus(0.5413) = 1
            let weight = tape.state("head_weights", &[heads], Init::Constant(0.541_324_9)).softplus();
            let unit = weight.scale(of_points).sqrt().reshape(&[heads, 1, 1]);
            let mut inputs = vec![
                extended(q, q_points * unit, 0, query_points),
                extended(k, kv_points.slice(3, 0, query_points) * unit, 0, query_points),
                extended(v, kv_points, query_points, value_points),
            ];
            if let Some(z) = z {
                inputs.extend([project("linear_b", z, heads).scale(parts), z]);
            }
            inputs.extend(mask);
            let op = Ipa {
                part: Part::Forward,
                scale: parts / (hidden.max(1) as f32).sqrt(),
                coordinates: 3 * query_points,
                pairs: z.is_some(),
                mask: mask.is_some(),
            };
            let sums = tape.special(op, &inputs);

            let all = heads * value_points;
            let places = sums.slice(3, hidden, 3 * value_points);
            let places = places.reshape(&[batch, rows, heads, value_points, 3]).permute(&[0, 1, 4, 2, 3]);
            let places = frames.invert(places.reshape(&[batch, rows, 3, all]));
            let lengths = places.square().sum(&[2]).add_scalar(1e-8).sqrt();
            let mut found = vec![
                sums.slice(3, 0, hidden).reshape(&[batch, rows, heads * hidden]),
                places.reshape(&[batch, rows, 3 * all]),
                lengths,
            ];
            if let Some(z) = z {
                // Weights sum to one, so what is linear comes after the sum over the keys, where it is cheap.
                let narrow = z.dim(3) / 4;
                let mean = sums.slice(3, hidden + 3 * value_points, z.dim(3));
                found.push(project("down_z", mean, narrow).reshape(&[batch, rows, heads * narrow]));
            }
            linear_from("linear_out", Var::concat(&found, 2), width, [Init::Zeros, Init::Zeros])
        })
    }
}
