//! Motion as turns and shifts of the whole and a sum of normal modes: a latent gives 6 + M numbers instead of a shift
//! for each point. Points stand at Rot(w)^T (reference + modes c) + 10 t.

use super::config::Config;
use super::reference::Reference;
use crate::io::npy;
use crate::nn::linear;
use crate::protein::modes::ElasticNetwork;
use crate::tape::{Init, Var};
use crate::tensor::Tensor;
use crate::{Error, Result};

/// The state that holds the modes `[3N, M]`. It is in checkpoints and never trained.
pub const STATE: &str = "decoder.modes";
/// Å for a unit of the network's shift.
const SHIFT: f32 = 10.0;
/// Numbers of a rigid motion: a rotation vector and a shift.
const RIGID: usize = 6;

#[derive(Clone, Debug)]
pub struct Modes {
    /// Widths between a latent and its numbers.
    pub hidden: Vec<usize>,
    /// M
    pub count: usize,
    /// Of the points that move, Å.
    pub places: Vec<[f64; 3]>,
}

impl Modes {
    /// `[B, z]` to shifts `[N, B, 3]`, Å.
    #[track_caller]
    pub fn record<'t>(&self, z: Var<'t>) -> Var<'t> {
        let tape = z.tape();
        let numbers = tape.scope("decoder", || {
            let layer = |(h, at): (Var<'t>, usize), &width: &usize| {
                (linear(&at.to_string(), h, width).relu(), at + 2)
            };
            let (h, at) = self.hidden.iter().fold((z, 0), layer);
            linear(&at.to_string(), h, RIGID + self.count)
        });
        self.shifts(numbers)
    }

    /// Of `[B, 6 + M]`: rotation vector, shift, and what there is of each mode.
    #[track_caller]
    pub fn shifts<'t>(&self, numbers: Var<'t>) -> Var<'t> {
        let tape = numbers.tape();
        let (points, batch) = (self.places.len(), numbers.dim(0));
        let modes = tape.state(STATE, &[3 * points, self.count], Init::Zeros);
        let bent = modes.matmul_t(numbers.slice(1, RIGID, self.count)).reshape(&[points, 3, batch]);
        let flat = self.places.iter().flatten().map(|&v| v as f32).collect();
        let places = tape.constant(Tensor::f32(&[points, 3, 1], flat)) + bent;
        let rigid = |first: usize| numbers.slice(1, first, 3).permute(&[1, 0]);
        // What turning changes is added, so that a small turn keeps its digits.
        let turned = turn(rigid(0))
            .into_iter()
            .enumerate()
            .map(|(axis, column)| places.slice(1, axis, 1) * column.reshape(&[1, 3, batch]));
        let shift = rigid(3).scale(SHIFT).reshape(&[1, 3, batch]);
        turned.fold(bent + shift, |sum, part| sum + part).permute(&[0, 2, 1])
    }
}

/// The columns `[3, B]` of Rot(w)^T - 1 for rotation vectors `[3, B]`.
fn turn<'t>(w: Var<'t>) -> [Var<'t>; 3] {
    let tape = w.tape();
    let square = w.square().sum_keep(&[0]);
    // Below 1e-4 rad the angle does not count, and its root has a derivative.
    let half = square.add_scalar(1e-8).sqrt().scale(0.5);
    let ratio = half.sin() / half;
    let (odd, even) = (ratio * half.cos(), ratio.square().scale(0.5));
    [0, 1, 2].map(|axis| {
        let constant = |shape: &[usize], value: &dyn Fn(usize) -> f32| {
            tape.constant(Tensor::f32(shape, (0..shape.iter().product()).map(value).collect()))
        };
        let unit = constant(&[3, 1], &|row| f32::from(u8::from(row == axis)));
        // unit x w, which is minus w x unit: the transpose turns the other way.
        let cross = constant(&[3, 3], &|at| {
            let (row, column) = (at / 3, at % 3);
            match (3 + row - axis) % 3 {
                1 if column == (axis + 2) % 3 => -1.0,
                2 if column == (axis + 1) % 3 => 1.0,
                _ => 0.0,
            }
        });
        odd * cross.matmul(w) + even * (w * w.slice(0, axis, 1) - square * unit)
    })
}

/// The modes `[3N, M]` that a configuration asks for: of its file, or of an elastic network of the reference's points.
/// A unit of all of them moves points by 1 Å each on average; with `parity` they are as the file has them.
pub fn asked(config: &Config, reference: &Reference) -> Result<Option<Tensor>> {
    let input = &config.extra_input_data_attr;
    let (rows, wanted) = (3 * reference.len(), input.nma_modes);
    let path = &input.nma_path;
    let (values, count) = match (path.as_os_str().is_empty(), wanted) {
        (true, 0) => return Ok(None),
        (true, count) => {
            let modes = ElasticNetwork::new(&reference.places, input.nma_cutoff).modes(count)?;
            (modes.vectors.transpose().as_slice().to_vec(), count)
        }
        (false, _) => {
            let array = npy::read(path)?;
            let wrong = |why: String| Error::malformed(path, "", why);
            let &[there, columns] = array.shape.as_slice() else {
                return Err(wrong(format!("has shape {:?}, not [3 x points, modes]", array.shape)));
            };
            if there != rows || columns == 0 {
                return Err(wrong(format!(
                    "has shape [{there}, {columns}]; {} points need [{rows}, modes]: kinesome dyna modes MODEL writes them",
                    reference.len()
                )));
            }
            let count = if wanted == 0 { columns } else { wanted };
            if count > columns {
                return Err(wrong(format!("holds {columns} modes, {count} are asked for")));
            }
            let all = array.to_f64();
            if let Some(at) = all.iter().position(|v| !v.is_finite()) {
                return Err(wrong(format!("row {}, column {} is not finite", at / columns, at % columns)));
            }
            (all.chunks(columns).flat_map(|row| &row[..count]).copied().collect(), count)
        }
    };
    let square: f64 = values.iter().map(|v| v * v).sum::<f64>() / count as f64;
    if square <= 0.0 {
        return Err(Error::malformed(path, "", "holds modes that move nothing"));
    }
    let scale = if config.parity { 1.0 } else { (reference.len() as f64 / square).sqrt() };
    let values = values.into_iter().map(|v| (scale * v) as f32).collect();
    Ok(Some(Tensor::f32(&[rows, count], values)))
}
