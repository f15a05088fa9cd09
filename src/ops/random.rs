//! Random numbers from a counter (Philox4x32-10, Salmon et al. 2011): the same on every device and in any
//! order of evaluation. Element i of stream s at step t depends on (seed, s, t, i) alone.
//!
//! The input is `[seed low, seed high, step low, step high]` as i32, a fed value: a replay with another step
//! draws other numbers.

use super::{Array, Operation};
use crate::conformance::Sample;
use crate::stats::random::philox4x32_10;
use crate::tape::Var;
use crate::tensor::{DType, Meta};

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Distribution {
    /// [0, 1)
    Uniform,
    /// Mean 0, standard deviation 1 (Box and Muller).
    Normal,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Random {
    pub distribution: Distribution,
    pub shape: Vec<usize>,
    /// Draws of one step that must differ have different streams.
    pub stream: u32,
}

impl Random {
    /// The four words of block `block`, from which elements `4 block ..` are made.
    pub fn words(&self, key: [u32; 4], block: u32) -> [u32; 4] {
        philox4x32_10([block, self.stream, key[2], key[3]], [key[0], key[1]])
    }
}

/// 24 bits to [0, 1), exact in f32.
pub fn uniform(word: u32) -> f64 {
    (word >> 8) as f64 / 16_777_216.0
}

/// Two words to two normal numbers.
pub fn normal_pair(a: u32, b: u32) -> (f64, f64) {
    let radius = (-2.0 * (uniform(a) + 0.5 / 16_777_216.0).ln()).sqrt();
    let angle = 2.0 * std::f64::consts::PI * uniform(b);
    (radius * angle.cos(), radius * angle.sin())
}

impl Operation for Random {
    fn stem(&self) -> &'static str {
        "random"
    }

    fn infer(&self, inputs: &[Meta]) -> Result<Meta, String> {
        match inputs {
            [key] if key.dtype == DType::I32 && key.shape == [4] => Ok(Meta::f32(&self.shape)),
            _ => Err("takes a key of four i32: seed low, seed high, step low, step high".into()),
        }
    }

    fn derive<'t>(&self, _: &[Var<'t>], _: Var<'t>, _: Var<'t>) -> Vec<Option<Var<'t>>> {
        vec![None]
    }

    fn flop(&self, _: &[Meta], output: &Meta) -> u64 {
        20 * output.len() as u64
    }

    fn oracle(&self, inputs: &[Array], output: &Meta) -> Vec<f64> {
        let key: Vec<u32> = inputs[0].data.iter().map(|&x| x as i64 as u32).collect();
        let key = [key[0], key[1], key[2], key[3]];
        let mut y = Vec::with_capacity(output.len() + 3);
        for block in 0..output.len().div_ceil(4) {
            let w = self.words(key, block as u32);
            match self.distribution {
                Distribution::Uniform => y.extend(w.map(uniform)),
                Distribution::Normal => {
                    let ((a, b), (c, d)) = (normal_pair(w[0], w[1]), normal_pair(w[2], w[3]));
                    y.extend([a, b, c, d]);
                }
            }
        }
        y.truncate(output.len());
        y
    }
}

pub fn samples() -> Vec<Sample> {
    let mut samples = vec![];
    for distribution in [Distribution::Uniform, Distribution::Normal] {
        for shape in [&[7][..], &[1], &[3, 5], &[10_001], &[0]] {
            let op = Random { distribution, shape: shape.to_vec(), stream: 3 };
            samples.push(
                Sample::new(format!("{distribution:?} {shape:?}"), move |t, v| t.special(op.clone(), v))
                    .index(&[4], 1000),
            );
        }
    }
    samples
}
