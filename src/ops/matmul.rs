//! Matrix product, batched, either factor transposed, with an elementwise epilogue.
//!
//! `y[.., i, j] = sum_k a[.., i, k] b[.., k, j]`. Leading axes agree, or `b` has two axes and is shared.
//! Products accumulate in f32 whatever the element type.

use super::{Array, Operation};
use crate::conformance::Sample;
use crate::tape::Var;
use crate::tensor::{DType, Meta};

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MatMul {
    pub transpose_left: bool,
    pub transpose_right: bool,
}

/// The sizes of a matrix product; strides are in elements.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    pub batch: usize,
    pub m: usize,
    pub n: usize,
    pub k: usize,
    /// The right factor is the same for every member of the batch.
    pub shared_right: bool,
}

impl MatMul {
    /// A shared right factor makes the leading axes of an untransposed left factor rows of one product.
    pub fn extent(&self, a: &Meta, b: &Meta) -> Extent {
        let last = |m: &Meta, i: usize| m.shape[m.rank() - i];
        let (m, k) = if self.transpose_left { (last(a, 1), last(a, 2)) } else { (last(a, 2), last(a, 1)) };
        let n = if self.transpose_right { last(b, 2) } else { last(b, 1) };
        let batch: usize = a.shape[..a.rank() - 2].iter().product();
        let shared_right = b.rank() == 2;
        if shared_right && !self.transpose_left {
            return Extent { batch: 1, m: batch * m, n, k, shared_right };
        }
        Extent { batch, m, n, k, shared_right }
    }
}

impl Operation for MatMul {
    fn stem(&self) -> &'static str {
        "matmul"
    }

    fn infer(&self, inputs: &[Meta]) -> Result<Meta, String> {
        let [a, b] = inputs else { return Err("takes two factors".into()) };
        if a.rank() < 2 || b.rank() < 2 {
            return Err("factors need at least two axes".into());
        }
        if !a.dtype.is_float() || a.dtype != b.dtype {
            return Err("factors need one float type".into());
        }
        let (lead, right_lead) = (&a.shape[..a.rank() - 2], &b.shape[..b.rank() - 2]);
        if !right_lead.is_empty() && lead != right_lead {
            return Err("leading axes differ".into());
        }
        let inner_right = if self.transpose_right { b.shape[b.rank() - 1] } else { b.shape[b.rank() - 2] };
        let inner_left = if self.transpose_left { a.shape[a.rank() - 2] } else { a.shape[a.rank() - 1] };
        if inner_left != inner_right {
            return Err(format!("inner lengths {inner_left} and {inner_right} differ"));
        }
        let rows = if self.transpose_left { a.shape[a.rank() - 1] } else { a.shape[a.rank() - 2] };
        let columns = if self.transpose_right { b.shape[b.rank() - 2] } else { b.shape[b.rank() - 1] };
        let shape: Vec<usize> = lead.iter().copied().chain([rows, columns]).collect();
        Ok(Meta { shape, dtype: a.dtype })
    }

    fn derive<'t>(&self, inputs: &[Var<'t>], _: Var<'t>, g: Var<'t>) -> Vec<Option<Var<'t>>> {
        let [a, b] = [inputs[0], inputs[1]];
        let product = |left: Var<'t>, right: Var<'t>, transpose_left, transpose_right| {
            left.tape().special(MatMul { transpose_left, transpose_right }, &[left, right])
        };
        let da = match (self.transpose_left, self.transpose_right) {
            (false, t) => product(g, b, false, !t),
            // dA^T = g B^T, so dA = B g^T; a shared B cannot stand on the left of a batch.
            (true, t) => {
                let lead = &a.shape()[..a.rank() - 2];
                let wide: Vec<usize> = lead.iter().copied().chain(b.shape().iter().copied()).collect();
                let b = if b.rank() == 2 { b.expand(&wide) } else { b };
                product(b, g, t, true)
            }
        };
        // A shared right factor sums over the batch: lay the batch along the rows.
        let (a, g) = if b.rank() == 2 && a.rank() > 2 {
            let last = |v: Var<'t>| v.dim(v.rank() - 1);
            let rows = |v: Var<'t>| v.reshape(&[v.meta().len() / last(v).max(1), last(v)]);
            if self.transpose_left {
                let (r, k) = (a.rank(), a.dim(a.rank() - 2));
                let swapped = a.transpose(r - 2, r - 1);
                (swapped.reshape(&[swapped.meta().len() / k.max(1), k]), rows(g))
            } else {
                (rows(a), rows(g))
            }
        } else {
            (a, g)
        };
        let flat_left = self.transpose_left && !(b.rank() == 2 && inputs[0].rank() > 2);
        let db = match (flat_left, self.transpose_right) {
            (left, false) => product(a, g, !left, false),
            (left, true) => product(g, a, true, left),
        };
        vec![Some(da), Some(db)]
    }

    fn flop(&self, inputs: &[Meta], _: &Meta) -> u64 {
        let e = self.extent(&inputs[0], &inputs[1]);
        2 * (e.batch * e.m * e.n * e.k) as u64
    }

    fn oracle(&self, inputs: &[Array], output: &Meta) -> Vec<f64> {
        let (a, b) = (&inputs[0], &inputs[1]);
        let e = self.extent(&Meta::f32(&a.shape), &Meta::f32(&b.shape));
        let mut y = vec![0.0; output.len()];
        for l in 0..e.batch {
            let b0 = if e.shared_right { 0 } else { l * e.k * e.n };
            for i in 0..e.m {
                for j in 0..e.n {
                    let mut sum = 0.0;
                    for k in 0..e.k {
                        let left = if self.transpose_left { k * e.m + i } else { i * e.k + k };
                        let right = if self.transpose_right { j * e.k + k } else { k * e.n + j };
                        sum += a.data[l * e.m * e.k + left] * b.data[b0 + right];
                    }
                    y[(l * e.m + i) * e.n + j] = sum;
                }
            }
        }
        y
    }

    fn takes_epilogue(&self) -> bool {
        true
    }
}

pub fn samples() -> Vec<Sample> {
    let mut samples = vec![];
    // The larger ones are cut into tiles, or along the inner axis.
    let shapes: [(&[usize], &[usize]); 11] = [
        (&[100, 1030], &[1030, 37]),
        (&[200, 33], &[33, 70]),
        (&[5, 4200], &[4200, 3]),
        (&[3, 5], &[5, 4]),
        (&[1, 1], &[1, 1]),
        (&[130, 33], &[33, 70]),
        (&[2, 3, 4], &[2, 4, 5]),
        (&[2, 3, 4], &[4, 5]),
        (&[2, 3, 2, 3], &[2, 3, 3, 4]),
        (&[0, 3], &[3, 2]),
        (&[2, 0], &[0, 3]),
    ];
    let swap = |shape: &[usize], transpose: bool| {
        let mut shape = shape.to_vec();
        let r = shape.len();
        if transpose {
            shape.swap(r - 2, r - 1);
        }
        shape
    };
    for (a, b) in shapes {
        for (transpose_left, transpose_right) in [(false, false), (false, true), (true, false), (true, true)]
        {
            let op = MatMul { transpose_left, transpose_right };
            let name = format!("{op:?} {a:?} {b:?}");
            samples.push(
                Sample::new(name, move |t, v| t.special(op, v))
                    .normal(&swap(a, transpose_left))
                    .normal(&swap(b, transpose_right)),
            );
        }
    }
    for dtype in [DType::F16, DType::BF16] {
        samples.push(
            Sample::new(format!("matmul {dtype}"), |_, v| v[0].matmul(v[1]))
                .normal(&[5, 7])
                .of(dtype)
                .normal(&[7, 3])
                .of(dtype),
        );
    }
    samples.push(
        Sample::new("matmul, few rows", |_, v| v[0].matmul(v[1])).normal(&[40, 256]).normal(&[256, 512]),
    );
    // Shapes that tensor cores take, with edges that do not fill a tile.
    for (dtype, a, b) in [
        (DType::F16, &[130, 72][..], &[72, 100][..]),
        (DType::BF16, &[70, 600], &[600, 72]),
        (DType::BF16, &[2, 24, 41], &[2, 41, 18]),
        (DType::F16, &[2, 3, 24], &[24, 16]),
    ] {
        for (transpose_left, transpose_right) in [(false, false), (false, true), (true, false), (true, true)]
        {
            let op = MatMul { transpose_left, transpose_right };
            samples.push(
                Sample::new(format!("{op:?} {dtype} {a:?} {b:?}"), move |t, v| t.special(op, v))
                    .normal(&swap(a, transpose_left))
                    .of(dtype)
                    .normal(&swap(b, transpose_right))
                    .of(dtype),
            );
        }
    }
    for (rows, width) in [(37, 19), (200, 40)] {
        samples.push(
            Sample::new(format!("matmul, bias, residual, relu, {rows} rows"), |_, v| {
                let h = v[0].matmul_t(v[1]) + v[2] + v[0];
                h.relu()
            })
            .normal(&[rows, width])
            .normal(&[width, width])
            .normal(&[width]),
        );
    }
    samples
}
