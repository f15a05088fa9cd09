//! Convolution over two axes (as machine learning means it: correlation), its transpose, and its derivative
//! by the weight. All three are the same sum over
//! `y[b, o, p] = sum over c, t of w[o, c, t] x[b, c, stride p + dilation t - padding]`
//! with another of the three tensors asked for, so each one's derivatives are the other two, to any order.
//!
//! x `[B, C, H, W]`, w `[O, C / groups, .., ..]`, y `[B, O, .., ..]`; elements of x outside are zero. One axis
//! is two of which the first has length one.

use super::{Array, Operation, all_f32};
use crate::conformance::Sample;
use crate::tape::Var;
use crate::tensor::Meta;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// x, w -> y
    Forward,
    /// y, w -> x of these lengths: the transposed convolution
    Input([usize; 2]),
    /// x, y -> w of these lengths
    Weight([usize; 2]),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Conv {
    pub direction: Direction,
    pub stride: [usize; 2],
    pub padding: [usize; 2],
    pub dilation: [usize; 2],
    /// Output channels see the input channels of their own group only.
    pub groups: usize,
}

/// The sizes of a convolution.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    pub batch: usize,
    /// C / groups and O / groups.
    pub inputs: usize,
    pub outputs: usize,
    /// Lengths of x, w and y.
    pub image: [usize; 2],
    pub kernel: [usize; 2],
    pub result: [usize; 2],
}

impl Conv {
    /// Sizes that the inputs agree on, or what is wrong with them.
    pub fn extent(&self, inputs: &[Meta]) -> Result<Extent, String> {
        all_f32(inputs, 2)?;
        let (Ok(a), Ok(b)) =
            (<[usize; 4]>::try_from(&inputs[0].shape[..]), <[usize; 4]>::try_from(&inputs[1].shape[..]))
        else {
            return Err("takes two tensors of four axes".into());
        };
        let groups = self.groups;
        if groups == 0 || self.stride.contains(&0) || self.dilation.contains(&0) {
            return Err("groups, stride and dilation start at 1".into());
        }
        let (batch, inputs, outputs, image, kernel, given) = match self.direction {
            Direction::Forward => (a[0], b[1], b[0], [a[2], a[3]], [b[2], b[3]], None),
            Direction::Input(image) => (a[0], b[1], b[0], image, [b[2], b[3]], Some([a[2], a[3]])),
            Direction::Weight(kernel) => {
                (a[0], a[1] / groups, b[1], [a[2], a[3]], kernel, Some([b[2], b[3]]))
            }
        };
        let fits = match self.direction {
            Direction::Forward => a[1] == inputs * groups,
            Direction::Input(_) => a[1] == outputs,
            Direction::Weight(_) => a[0] == b[0] && a[1] == inputs * groups,
        };
        if !fits || outputs % groups != 0 {
            return Err(format!("channels or members do not fit together in {groups} groups"));
        }
        let mut result = [0; 2];
        for axis in 0..2 {
            let reach = self.dilation[axis] * kernel[axis].saturating_sub(1) + 1;
            let room = image[axis] + 2 * self.padding[axis];
            if kernel[axis] == 0 || reach > room {
                return Err(format!("a kernel that reaches over {reach} does not fit into {room}"));
            }
            result[axis] = (room - reach) / self.stride[axis] + 1;
        }
        if given.is_some_and(|given| given != result) {
            return Err(format!("a convolution of {image:?} by {kernel:?} has lengths {result:?}"));
        }
        Ok(Extent { batch, inputs, outputs: outputs / groups, image, kernel, result })
    }

    /// The position along an axis of x that tap `tap` of result `at` reads.
    pub fn source(&self, axis: usize, at: usize, tap: usize, length: usize) -> Option<usize> {
        let position = at * self.stride[axis] + tap * self.dilation[axis];
        position.checked_sub(self.padding[axis]).filter(|&p| p < length)
    }
}

impl Operation for Conv {
    fn stem(&self) -> &'static str {
        "conv"
    }

    fn infer(&self, inputs: &[Meta]) -> Result<Meta, String> {
        let e = self.extent(inputs)?;
        let [c, o] = [e.inputs, e.outputs * self.groups];
        let (first, second, [h, w]) = match self.direction {
            Direction::Forward => (e.batch, o, e.result),
            Direction::Input(_) => (e.batch, c * self.groups, e.image),
            Direction::Weight(_) => (o, c, e.kernel),
        };
        Ok(Meta::f32(&[first, second, h, w]))
    }

    fn derive<'t>(&self, inputs: &[Var<'t>], _: Var<'t>, g: Var<'t>) -> Vec<Option<Var<'t>>> {
        let [a, b] = [inputs[0], inputs[1]];
        let lengths = |v: Var<'t>| [v.dim(2), v.dim(3)];
        let sum = |direction, left: Var<'t>, right| {
            Some(left.tape().special(Conv { direction, ..*self }, &[left, right]))
        };
        match self.direction {
            Direction::Forward => {
                vec![sum(Direction::Input(lengths(a)), g, b), sum(Direction::Weight(lengths(b)), a, g)]
            }
            Direction::Input(_) => {
                vec![sum(Direction::Forward, g, b), sum(Direction::Weight(lengths(b)), g, a)]
            }
            Direction::Weight(_) => {
                vec![sum(Direction::Input(lengths(a)), b, g), sum(Direction::Forward, a, g)]
            }
        }
    }

    fn flop(&self, inputs: &[Meta], _: &Meta) -> u64 {
        self.extent(inputs).map_or(0, |e| {
            let product = |lengths: [usize; 2]| lengths[0] * lengths[1];
            let each = e.inputs * e.outputs * product(e.kernel) * product(e.result);
            2 * (e.batch * self.groups * each) as u64
        })
    }

    fn oracle(&self, inputs: &[Array], output: &Meta) -> Vec<f64> {
        let mut sum = vec![0.0; output.len()];
        let metas: Vec<Meta> = inputs.iter().map(|a| Meta::f32(&a.shape)).collect();
        let Ok(e) = self.extent(&metas) else { return sum };
        let (a, b) = (&inputs[0].data, &inputs[1].data);
        let at =
            |[i, j, k, l]: [usize; 4], second: usize, [h, w]: [usize; 2]| ((i * second + j) * h + k) * w + l;
        let [channels, outputs] = [e.inputs * self.groups, e.outputs * self.groups];
        for batch in 0..e.batch {
            for (o, c) in (0..outputs).flat_map(|o| (0..e.inputs).map(move |c| (o, c))) {
                let channel = o / e.outputs * e.inputs + c;
                for (p, q) in (0..e.result[0]).flat_map(|p| (0..e.result[1]).map(move |q| (p, q))) {
                    for (s, t) in (0..e.kernel[0]).flat_map(|s| (0..e.kernel[1]).map(move |t| (s, t))) {
                        let source = (self.source(0, p, s, e.image[0]), self.source(1, q, t, e.image[1]));
                        let (Some(h), Some(w)) = source else { continue };
                        let x = at([batch, channel, h, w], channels, e.image);
                        let weight = at([o, c, s, t], e.inputs, e.kernel);
                        let y = at([batch, o, p, q], outputs, e.result);
                        match self.direction {
                            Direction::Forward => sum[y] += a[x] * b[weight],
                            Direction::Input(_) => sum[x] += a[y] * b[weight],
                            Direction::Weight(_) => sum[weight] += a[x] * b[y],
                        }
                    }
                }
            }
        }
        sum
    }

    fn takes_epilogue(&self) -> bool {
        !matches!(self.direction, Direction::Weight(_))
    }
}

pub fn samples() -> Vec<Sample> {
    let one =
        Conv { direction: Direction::Forward, stride: [1; 2], padding: [0; 2], dilation: [1; 2], groups: 1 };
    // x, w and how the one goes over the other.
    let cases: [([usize; 4], [usize; 4], Conv); 9] = [
        ([1, 1, 1, 1], [1, 1, 1, 1], one),
        ([2, 3, 1, 9], [4, 3, 1, 3], Conv { padding: [0, 1], ..one }),
        ([2, 3, 1, 10], [4, 3, 1, 4], Conv { stride: [1, 2], padding: [0, 1], ..one }),
        ([2, 2, 7, 6], [3, 2, 3, 2], Conv { padding: [1, 2], ..one }),
        ([1, 2, 9, 8], [3, 2, 4, 3], Conv { stride: [2, 3], padding: [1, 0], ..one }),
        ([1, 2, 7, 9], [2, 2, 2, 3], Conv { dilation: [3, 2], padding: [2, 3], stride: [1, 2], ..one }),
        ([2, 6, 1, 5], [6, 1, 1, 3], Conv { groups: 6, padding: [0, 2], ..one }),
        ([1, 4, 5, 3], [6, 2, 2, 2], Conv { groups: 2, ..one }),
        ([0, 2, 3, 3], [2, 2, 2, 2], one),
    ];
    let mut samples = vec![];
    for (x, w, op) in cases {
        let metas = [Meta::f32(&x), Meta::f32(&w)];
        let Ok(y) = op.infer(&metas) else { continue };
        let sample = |direction, a: &[usize], b: &[usize]| {
            let op = Conv { direction, ..op };
            Sample::new(format!("{op:?} {a:?} {b:?}"), move |t, v| t.special(op, v)).normal(a).normal(b)
        };
        samples.push(sample(Direction::Forward, &x, &w));
        samples.push(sample(Direction::Input([x[2], x[3]]), &y.shape, &w));
        samples.push(sample(Direction::Weight([w[2], w[3]]), &x, &y.shape));
    }
    samples.push(
        Sample::new("conv, bias, relu, residual", move |t, v| {
            let op = Conv { padding: [1, 1], ..one };
            (t.special(op, &v[..2]) + v[2]).relu() + v[0]
        })
        .normal(&[2, 3, 5, 6])
        .normal(&[3, 3, 3, 3])
        .normal(&[3, 1, 1]),
    );
    samples.push(
        Sample::new("conv of a long line", move |t, v| t.special(Conv { padding: [0, 2], ..one }, v))
            .normal(&[2, 5, 1, 3000])
            .normal(&[7, 5, 1, 5]),
    );
    samples
}
