//! Convolutions over one or two axes and their transposes, with the parameters and the start that they have in
//! PyTorch.

use crate::ops::conv::{Conv as Operation, Direction};
use crate::tape::{Init, Var};

/// A convolution over the last N axes of `[B, C, ..]`.
#[derive(Clone, Copy, Debug)]
pub struct Conv<const N: usize> {
    pub kernel: [usize; N],
    pub stride: [usize; N],
    pub padding: [usize; N],
    pub dilation: [usize; N],
    pub groups: usize,
    pub bias: bool,
}

pub type Conv1d = Conv<1>;
pub type Conv2d = Conv<2>;

/// The operation knows two axes; one axis is the second of them.
fn two<const N: usize>(values: [usize; N], absent: usize) -> [usize; 2] {
    match values[..] {
        [one] => [absent, one],
        [first, second, ..] => [first, second],
        [] => [absent; 2],
    }
}

impl<const N: usize> Conv<N> {
    pub fn new(kernel: [usize; N]) -> Self {
        const { assert!(N == 1 || N == 2) };
        Conv { kernel, stride: [1; N], padding: [0; N], dilation: [1; N], groups: 1, bias: true }
    }

    fn operation(&self, direction: Direction) -> Operation {
        Operation {
            direction,
            stride: two(self.stride, 1),
            padding: two(self.padding, 0),
            dilation: two(self.dilation, 1),
            groups: self.groups,
        }
    }

    /// To `outputs` channels; the weight is `[outputs, C / groups, ..]`.
    #[track_caller]
    pub fn record<'t>(&self, name: &str, x: Var<'t>, outputs: usize) -> Var<'t> {
        let inputs = x.dim(1) / self.groups.max(1);
        self.layer(name, x, [outputs, inputs], outputs, Direction::Forward)
    }

    /// The transpose, to `outputs` channels and, along each axis, to
    /// `(length - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1`; the weight is
    /// `[C, outputs / groups, ..]`.
    #[track_caller]
    pub fn record_transposed<'t>(
        &self,
        name: &str,
        x: Var<'t>,
        outputs: usize,
        output_padding: [usize; N],
    ) -> Var<'t> {
        let length = |axis: usize| {
            let reach = self.dilation[axis] * self.kernel[axis].saturating_sub(1) + output_padding[axis] + 1;
            let whole = x.dim(2 + axis).saturating_sub(1) * self.stride[axis] + reach;
            whole.saturating_sub(2 * self.padding[axis])
        };
        let lengths = two::<N>(std::array::from_fn(length), 1);
        self.layer(name, x, [x.dim(1), outputs / self.groups.max(1)], outputs, Direction::Input(lengths))
    }

    #[track_caller]
    fn layer<'t>(
        &self,
        name: &str,
        x: Var<'t>,
        channels: [usize; 2],
        outputs: usize,
        direction: Direction,
    ) -> Var<'t> {
        let tape = x.tape();
        tape.scope(name, || {
            let kernel = two(self.kernel, 1);
            let shape: Vec<usize> = channels.into_iter().chain(self.kernel).collect();
            let bound = Init::Uniform(1.0 / ((channels[1] * kernel[0] * kernel[1]).max(1) as f32).sqrt());
            let weight = tape.state("weight", &shape, bound.clone());
            let weight = weight.reshape(&[channels[0], channels[1], kernel[0], kernel[1]]);
            let lengths = two(std::array::from_fn::<_, N, _>(|axis| x.dim(2 + axis)), 1);
            let x = x.reshape(&[x.dim(0), x.dim(1), lengths[0], lengths[1]]);
            let mut y = tape.special(self.operation(direction), &[x, weight]);
            if self.bias {
                y = y + tape.state("bias", &[outputs], bound).reshape(&[outputs, 1, 1]);
            }
            let shape = y.shape();
            match shape[..] {
                [batch, channels, _, length] if N == 1 => y.reshape(&[batch, channels, length]),
                _ => y,
            }
        })
    }
}
