//! Operations: what can stand on a tape. Elementwise ones are rows of [`rows`]; everything that needs a loop
//! or an index is a special, one file here and one of the same stem in `device/cpu/` (and `kernels/`,
//! `shaders/`, `tests/conformance/`). No device is known here.
//!
//! A special says its shape rule, its derivative (recorded onto the tape), its cost, its value in plain f64
//! loops (the oracle: the truth for every device) and its sample cases.

pub mod attention;
pub mod concat;
pub mod conv;
pub mod encode;
pub mod fft;
pub mod gather;
pub mod graph_attention;
pub mod ipa;
pub mod long_conv;
pub mod matmul;
pub mod mlp;
pub mod norm;
pub mod pad;
pub mod random;
pub mod reduce;
pub(crate) mod row;
pub mod rows;
pub mod scan;
pub mod segment_sum;
pub mod slice;
pub mod softmax;
pub mod sort;
pub mod splat;
pub mod sum_squares;
pub mod topk;
pub mod vocabulary;

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use crate::conformance::Sample;
use crate::tape::Var;
use crate::tensor::Meta;

/// A special operation.
pub trait Operation: Any + Debug + Send + Sync {
    /// The file name in every place, and the name in messages.
    fn stem(&self) -> &'static str;

    /// Result shape and type, or what is wrong with the inputs.
    fn infer(&self, inputs: &[Meta]) -> Result<Meta, String>;

    /// Records the derivative by each input (`None`: it has none), given the upstream derivative `g`.
    fn derive<'t>(&self, inputs: &[Var<'t>], y: Var<'t>, g: Var<'t>) -> Vec<Option<Var<'t>>>;

    /// Floating-point operations of one evaluation.
    fn flop(&self, inputs: &[Meta], output: &Meta) -> u64;

    /// The value in f64.
    fn oracle(&self, inputs: &[Array], output: &Meta) -> Vec<f64>;

    /// Whether an elementwise chain over the result can run inside the kernel.
    fn takes_epilogue(&self) -> bool {
        false
    }

    /// Whether its only input can be an elementwise chain that is evaluated inside the kernel. Such a kernel
    /// reads every element once.
    fn takes_prologue(&self) -> bool {
        false
    }

    /// This special and another that has the same inputs as one, whose launch writes the results of both in order.
    fn join(&self, _other: &dyn Operation) -> Option<Arc<dyn Operation>> {
        None
    }
}

/// An f64 array of the oracle.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    pub shape: Vec<usize>,
    pub data: Vec<f64>,
}

/// A special as the registry knows it.
pub struct Special {
    pub stem: &'static str,
    pub samples: fn() -> Vec<Sample>,
}

macro_rules! registry {
    ($($stem:ident),* $(,)?) => {
        /// Every special operation. The conformance suite walks this list and fails on a hole.
        pub static SPECIALS: &[Special] = &[$(Special { stem: stringify!($stem), samples: $stem::samples }),*];
    };
}
registry!(
    attention,
    concat,
    conv,
    encode,
    fft,
    gather,
    graph_attention,
    ipa,
    long_conv,
    matmul,
    mlp,
    norm,
    pad,
    random,
    reduce,
    scan,
    segment_sum,
    slice,
    softmax,
    sort,
    splat,
    sum_squares,
    topk
);

/// Splits a shape at an axis: product before, length, product after.
pub(crate) fn around_axis(shape: &[usize], axis: usize) -> (usize, usize, usize) {
    (shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product())
}

pub(crate) fn all_f32(inputs: &[Meta], count: usize) -> Result<(), String> {
    use crate::tensor::DType;
    if inputs.len() != count {
        return Err(format!("takes {count} inputs"));
    }
    if inputs.iter().any(|m| m.dtype != DType::F32) {
        return Err("takes f32: cast first".into());
    }
    Ok(())
}
