//! What layers write with: methods and operators of a recorded value.

use super::view::View;
use super::{NodeId, Op, Tape};
use crate::ops::concat::Concat;
use crate::ops::matmul::MatMul;
use crate::ops::reduce::{Reduce, Reduction};
use crate::ops::row::Row;
use crate::ops::rows;
use crate::tensor::{DType, Meta};

/// A value of the recorded step. Copying it copies a number.
#[derive(Clone, Copy)]
pub struct Var<'t> {
    pub(crate) tape: &'t Tape,
    pub(crate) id: NodeId,
}

impl std::fmt::Debug for Var<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "#{} {}", self.id, self.meta())
    }
}

macro_rules! unary_rows {
    ($($(#[doc = $doc:literal])* $method:ident => $row:ident),* $(,)?) => {$(
        $(#[doc = $doc])*
        #[track_caller]
        pub fn $method(self) -> Var<'t> {
            self.tape.row(&rows::$row, &[self])
        }
    )*};
}

impl<'t> Var<'t> {
    pub fn tape(self) -> &'t Tape {
        self.tape
    }

    pub fn id(self) -> NodeId {
        self.id
    }

    pub fn meta(self) -> Meta {
        self.tape.inner.borrow().nodes[self.id].meta.clone()
    }

    pub fn shape(self) -> Vec<usize> {
        self.meta().shape
    }

    pub fn rank(self) -> usize {
        self.meta().rank()
    }

    /// Length of an axis; 1 where there is none (the mistake that led there is already latched).
    pub fn dim(self, axis: usize) -> usize {
        self.meta().shape.get(axis).copied().unwrap_or(1)
    }

    unary_rows! {
        abs => absolute, square => square, reciprocal => reciprocal, sqrt => root, rsqrt => inverse_root,
        exp => exponential, log => logarithm, sin => sine, cos => cosine, tanh => hyperbolic_tangent,
        erf => error_function, relu => relu, elu => elu, sigmoid => sigmoid, silu => silu, gelu => gelu,
        softplus => softplus, sign => signum, floor => round_down,
    }

    #[track_caller]
    pub fn row(self, row: &'static Row, others: &[Var<'t>]) -> Var<'t> {
        let inputs: Vec<Var<'t>> = [self].iter().chain(others).copied().collect();
        self.tape.row(row, &inputs)
    }

    #[track_caller]
    pub fn leaky_relu(self, slope: f32) -> Var<'t> {
        self.row(&rows::leaky_relu, &[self.tape.scalar(slope)])
    }

    #[track_caller]
    pub fn scale(self, factor: f32) -> Var<'t> {
        self.row(&rows::mul, &[self.tape.scalar(factor)])
    }

    #[track_caller]
    pub fn add_scalar(self, term: f32) -> Var<'t> {
        self.row(&rows::add, &[self.tape.scalar(term)])
    }

    #[track_caller]
    pub fn maximum(self, other: Var<'t>) -> Var<'t> {
        self.row(&rows::maximum, &[other])
    }

    #[track_caller]
    pub fn minimum(self, other: Var<'t>) -> Var<'t> {
        self.row(&rows::minimum, &[other])
    }

    /// Of the point (`along`, `self`), from the first axis, in (-π, π].
    #[track_caller]
    pub fn angle(self, along: Var<'t>) -> Var<'t> {
        self.row(&rows::angle, &[along])
    }

    /// 1 where `self > other`, else 0.
    #[track_caller]
    pub fn greater(self, other: Var<'t>) -> Var<'t> {
        self.row(&rows::greater, &[other])
    }

    /// `a` where `self` is not zero, else `b`.
    #[track_caller]
    pub fn choose(self, a: Var<'t>, b: Var<'t>) -> Var<'t> {
        self.row(&rows::choose, &[a, b])
    }

    #[track_caller]
    fn view(self, view: View) -> Var<'t> {
        self.tape.record(Op::View(view.clone()), &[self], |m| {
            Ok(Meta { shape: view.shape(&m[0].shape)?, dtype: m[0].dtype })
        })
    }

    /// Axis i of the result is axis `order[i]`.
    #[track_caller]
    pub fn permute(self, order: &[usize]) -> Var<'t> {
        self.view(View::Permute(order.to_vec()))
    }

    /// Swaps two axes.
    #[track_caller]
    pub fn transpose(self, a: usize, b: usize) -> Var<'t> {
        let mut order: Vec<usize> = (0..self.rank()).collect();
        if a < order.len() && b < order.len() {
            order.swap(a, b);
        }
        self.permute(&order)
    }

    /// NumPy broadcasting to `shape`.
    #[track_caller]
    pub fn expand(self, shape: &[usize]) -> Var<'t> {
        if self.shape() == shape { self } else { self.view(View::Expand(shape.to_vec())) }
    }

    /// Positions `start .. start + len` of an axis.
    #[track_caller]
    pub fn slice(self, axis: usize, start: usize, len: usize) -> Var<'t> {
        self.view(View::Slice { axis, start, step: 1, len })
    }

    /// `len` positions from `start` in steps of `step`.
    #[track_caller]
    pub fn slice_step(self, axis: usize, start: usize, step: isize, len: usize) -> Var<'t> {
        self.view(View::Slice { axis, start, step, len })
    }

    /// An axis read backwards.
    #[track_caller]
    pub fn flip(self, axis: usize) -> Var<'t> {
        let len = self.dim(axis);
        self.slice_step(axis, len.saturating_sub(1), -1, len)
    }

    #[track_caller]
    pub fn reshape(self, shape: &[usize]) -> Var<'t> {
        let shape = shape.to_vec();
        if self.shape() == shape {
            return self;
        }
        self.tape.record(Op::Reshape, &[self], |m| {
            let meta = Meta { shape: shape.clone(), dtype: m[0].dtype };
            if meta.len() == m[0].len() { Ok(meta) } else { Err(format!("{shape:?} has other elements")) }
        })
    }

    #[track_caller]
    pub fn cast(self, dtype: DType) -> Var<'t> {
        if self.meta().dtype == dtype {
            return self;
        }
        self.tape.record(Op::Cast, &[self], |m| Ok(Meta { shape: m[0].shape.clone(), dtype }))
    }

    /// Sum over axes, which stay with length 1.
    #[track_caller]
    pub fn sum_keep(self, axes: &[usize]) -> Var<'t> {
        self.tape.special(Reduce::new(Reduction::Sum, axes), &[self])
    }

    /// Sum over axes, which go.
    #[track_caller]
    pub fn sum(self, axes: &[usize]) -> Var<'t> {
        self.sum_keep(axes).reshape(&drop_axes(&self.shape(), axes))
    }

    #[track_caller]
    pub fn sum_all(self) -> Var<'t> {
        self.sum(&(0..self.rank()).collect::<Vec<_>>())
    }

    #[track_caller]
    pub fn mean_keep(self, axes: &[usize]) -> Var<'t> {
        let count: usize = axes.iter().map(|&a| self.dim(a)).product();
        self.sum_keep(axes).scale(1.0 / count as f32)
    }

    #[track_caller]
    pub fn mean_all(self) -> Var<'t> {
        let count = self.meta().len();
        self.sum_all().scale(1.0 / count as f32)
    }

    /// Largest value over axes, which stay with length 1.
    #[track_caller]
    pub fn max_keep(self, axes: &[usize]) -> Var<'t> {
        self.tape.special(Reduce::new(Reduction::Max, axes), &[self])
    }

    /// `[.., M, K] x [.., K, N]`; a right factor of two axes is shared by all leading indices.
    #[track_caller]
    pub fn matmul(self, right: Var<'t>) -> Var<'t> {
        self.tape.special(MatMul { transpose_left: false, transpose_right: false }, &[self, right])
    }

    /// `[.., M, K] x [.., N, K]` transposed: how a weight `[out, in]` is applied.
    #[track_caller]
    pub fn matmul_t(self, right: Var<'t>) -> Var<'t> {
        self.tape.special(MatMul { transpose_left: false, transpose_right: true }, &[self, right])
    }

    /// `[.., K, M]` transposed `x [.., K, N]`.
    #[track_caller]
    pub fn t_matmul(self, right: Var<'t>) -> Var<'t> {
        self.tape.special(MatMul { transpose_left: true, transpose_right: false }, &[self, right])
    }

    #[track_caller]
    pub fn concat(parts: &[Var<'t>], axis: usize) -> Var<'t> {
        match parts {
            [] => unreachable!("concat of nothing"),
            [one] => *one,
            [first, ..] => first.tape.special(Concat { axis }, parts),
        }
    }

    /// Sums over the axes along which this was broadcast from `shape`, so that it has that shape again.
    #[track_caller]
    pub(crate) fn reduce_to(self, shape: &[usize]) -> Var<'t> {
        let own = self.shape();
        if own == shape || shape.len() > own.len() {
            return self;
        }
        let lead = own.len() - shape.len();
        let axes: Vec<usize> =
            (0..own.len()).filter(|&i| i < lead || (shape[i - lead] == 1 && own[i] != 1)).collect();
        let summed = if axes.is_empty() { self } else { self.sum_keep(&axes) };
        summed.reshape(shape)
    }
}

fn drop_axes(shape: &[usize], axes: &[usize]) -> Vec<usize> {
    shape.iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, &n)| n).collect()
}

macro_rules! operators {
    ($($trait:ident $method:ident $row:ident),*) => {$(
        impl<'t> std::ops::$trait for Var<'t> {
            type Output = Var<'t>;
            #[track_caller]
            fn $method(self, other: Var<'t>) -> Var<'t> {
                self.row(&rows::$row, &[other])
            }
        }
    )*};
}
operators!(Add add add, Sub sub sub, Mul mul mul, Div div div);

impl<'t> std::ops::Neg for Var<'t> {
    type Output = Var<'t>;
    #[track_caller]
    fn neg(self) -> Var<'t> {
        self.tape.row(&rows::neg, &[self])
    }
}
