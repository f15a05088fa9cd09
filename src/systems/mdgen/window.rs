//! From a stretch of a trajectory to what a step is fed, and from tokens back to atoms.

use super::config::{Config, Task};
use super::dirichlet::TYPES;
use crate::Result;
use crate::protein::frames::{Frames, Offset};
use crate::protein::residue::{Atoms, TORSIONS, Torsions, UNKNOWN};
use crate::protein::torsions::{FirstPhi, place_atoms, torsion_mask, torsions};
use crate::tensor::Tensor;

/// One example: T frames of a chain, padded to L residues. Arrays are row-major with the axes that
/// [`super::model::Conditions`] names, without the batch.
#[derive(Clone, Debug)]
pub struct Window {
    /// Type of each residue that there is.
    pub kinds: Vec<usize>,
    /// `[T, L, D]`
    pub tokens: Vec<f32>,
    /// Weights of the squared error, the same for all frames, `[L, D]`.
    pub loss_mask: Vec<f32>,
    /// As the network is told them, `[L]`.
    pub types: Vec<i32>,
    pub mask: Vec<f32>,
    /// `[T, L, D]` and `[T, L]`
    pub given: Vec<f32>,
    pub is_given: Vec<f32>,
    /// Frames that are given whole, and their atoms `[residues]` as they were: tokens know ideal residues alone.
    pub whole: Vec<(usize, Vec<Atoms>)>,
    /// One time step of L residues each.
    pub start: Frames,
    pub end: Frames,
    /// Offsets of the last frame from the first and back, `[L, 7]`.
    pub forward: Vec<f32>,
    pub backward: Vec<f32>,
}

/// Atoms that are nowhere, of residues that pad a chain: an upright frame in the origin.
const NOWHERE: Atoms = {
    let mut atoms = [[0.0; 3]; crate::protein::residue::ATOMS];
    atoms[0] = [0.0, 1.0, 0.0];
    atoms[2] = [1.0, 0.0, 0.0];
    atoms
};

impl Window {
    /// Of a chain with residues of types `kinds` and its atoms `[T, residues]` in Å.
    pub fn new(config: &Config, kinds: &[usize], atoms: &[Atoms]) -> Result<Window> {
        let [t, l, d] = [config.num_frames, config.crop, config.token()];
        let residues = kinds.len().min(l);
        let padded: Vec<Atoms> = (0..t * l)
            .map(|at| {
                let (frame, residue) = (at / l, at % l);
                let there = if residue < residues { atoms.get(frame * kinds.len() + residue) } else { None };
                there.copied().unwrap_or(NOWHERE)
            })
            .collect();
        let frames = Frames::of_atoms(&padded);
        let mut all_kinds: Vec<usize> = kinds[..residues].to_vec();
        all_kinds.resize(l, UNKNOWN);
        let first = if config.parity { FirstPhi::ThroughOrigin } else { FirstPhi::Zero };
        let turns = torsions(&all_kinds, &padded, first)?;
        let key = |step: usize| {
            let mut key = frames.steps(l, step, step + 1);
            if config.design_key_frames {
                hide_inner(&mut key, residues);
            }
            key
        };
        let (start, end) = (key(0), key(t - 1));
        let mut keys = vec![frames.offsets_from(&start)?];
        if config.task.key_frames() == 2 {
            keys.push(frames.offsets_from(&end)?);
        }
        let mut tokens = Vec::with_capacity(t * l * d);
        for at in 0..t * l {
            if at % l >= residues {
                tokens.extend(std::iter::repeat_n(0.0, d));
                continue;
            }
            keys.iter().for_each(|key| tokens.extend(key[at]));
            let turns = if config.no_torsion { [[0.0; 2]; TORSIONS] } else { turns[at] };
            tokens.extend(turns.as_flattened());
        }
        let torsion_mask = torsion_mask(&all_kinds);
        let loss_mask = (0..l).flat_map(|residue| {
            let there = f32::from(residue < residues);
            let of_turns = torsion_mask[residue].into_iter().flat_map(|m| [m, m]);
            std::iter::repeat_n(there, d - 2 * TORSIONS).chain(of_turns).collect::<Vec<_>>()
        });
        let outer = |residue: usize| residue == 0 || residue + 1 == residues;
        let is_given: Vec<f32> = (0..t * l)
            .map(|at| {
                let (frame, residue) = (at / l, at % l);
                let given = match config.task {
                    Task::Simulate => frame == 0,
                    Task::Interpolate => frame == 0 || frame + 1 == t,
                    Task::Upsample => frame.is_multiple_of(config.cond_interval),
                    Task::Inpaint => outer(residue),
                };
                f32::from(given && residue < residues)
            })
            .collect();
        let is_whole = |frame: &usize| residues > 0 && (0..residues).all(|i| is_given[frame * l + i] != 0.0);
        let whole = (0..t).filter(is_whole).map(|frame| (frame, padded[frame * l..][..residues].to_vec()));
        let whole = whole.collect();
        let mut given: Vec<f32> = tokens.iter().enumerate().map(|(i, v)| v * is_given[i / d]).collect();
        if !config.spread.is_empty() {
            given = lines(&tokens, l * d, config.cond_interval);
            for (i, (token, line)) in tokens.iter_mut().zip(&given).enumerate() {
                *token = (*token - line) / config.spread[i % d];
            }
        }
        let hidden = |residue: usize| config.task == Task::Inpaint && !outer(residue);
        let kind = |residue: usize| if hidden(residue) { UNKNOWN } else { all_kinds[residue] } as i32;
        let flat = |offsets: Vec<Offset>| offsets.into_iter().flatten().collect();
        Ok(Window {
            kinds: kinds[..residues].to_vec(),
            given,
            tokens,
            loss_mask: loss_mask.collect(),
            types: (0..l).map(kind).collect(),
            mask: (0..l).map(|residue| f32::from(residue < residues)).collect(),
            is_given,
            whole,
            forward: flat(end.offsets_from(&start)?),
            backward: flat(start.offsets_from(&end)?),
            start,
            end,
        })
    }

    /// Tokens as atoms are placed by, of those that are generated `[T, L, D]`.
    pub fn whole_tokens(&self, config: &Config, generated: &[f32]) -> Vec<f32> {
        if config.spread.is_empty() {
            return generated.to_vec();
        }
        let spread = config.spread.iter().cycle();
        generated.iter().zip(&self.given).zip(spread).map(|((x, line), s)| line + x * s).collect()
    }

    /// Atoms `[T, residues]` of tokens `[T, L, D]`; only the offset from the first frame counts.
    pub fn decode(&self, config: &Config, tokens: &[f32], kinds: &[usize]) -> Result<Vec<Atoms>> {
        let [l, d] = [config.crop, config.token()];
        let residues = kinds.len().min(l);
        let mut offsets: Vec<Offset> = vec![];
        let mut turns: Vec<Torsions> = vec![];
        for (at, token) in tokens.chunks_exact(d).enumerate() {
            if at % l < residues {
                offsets.push(std::array::from_fn(|i| token[i]));
                let pairs = &token[d - 2 * TORSIONS..];
                turns.push(std::array::from_fn(|k| [pairs[2 * k], pairs[2 * k + 1]]));
            }
        }
        let start = self.start.steps(residues, 0, 1);
        place_atoms(&kinds[..residues], &Frames::from_offsets(&start, &offsets)?, &turns)
    }
}

/// Straight lines between every `interval`-th of frames `[T, width]`; behind the last of them it stays.
pub fn lines(tokens: &[f32], width: usize, interval: usize) -> Vec<f32> {
    let frames = tokens.len() / width.max(1);
    let frame = |at: usize| &tokens[at * width..][..width];
    (0..frames)
        .flat_map(|at| {
            let before = at / interval * interval;
            let after = if before + interval < frames { before + interval } else { before };
            let share = (at - before) as f32 / interval as f32;
            frame(before).iter().zip(frame(after)).map(move |(a, b)| a + share * (b - a))
        })
        .collect()
}

/// Gives the inner residues of a key frame the frames of the nearer end of the chain.
fn hide_inner(key: &mut Frames, residues: usize) {
    for residue in 1..residues.saturating_sub(1) {
        let outer = if 2 * residue < residues { 0 } else { residues - 1 };
        key.rotations[residue] = key.rotations[outer];
        key.translations[residue] = key.translations[outer];
    }
}

/// Windows side by side, with the names of the inputs of a step.
pub struct Batch {
    feeds: Vec<(&'static str, Tensor)>,
}

impl Batch {
    /// `size` windows; missing ones are copies of the first, whose weight is 0.
    pub fn new(config: &Config, windows: &[Window], size: usize) -> Batch {
        let [t, l, d] = [config.num_frames, config.crop, config.token()];
        let at = |i: usize| windows.get(i).unwrap_or(&windows[0]);
        let all = |shape: &[usize], of: &dyn Fn(&Window) -> Vec<f32>| {
            let shape: Vec<usize> = std::iter::once(size).chain(shape.iter().copied()).collect();
            Tensor::f32(&shape, (0..size).flat_map(|i| of(at(i))).collect())
        };
        let rotations = |frames: &Frames| frames.rotations.as_flattened().as_flattened().to_vec();
        let translations = |frames: &Frames| frames.translations.as_flattened().to_vec();
        let types = Tensor::i32(&[size, l], (0..size).flat_map(|i| at(i).types.clone()).collect());
        let weights = (0..size).map(|i| if i < windows.len() { 1.0 / windows.len() as f32 } else { 0.0 });
        let corners = |w: &Window| {
            let is = |at: usize| w.kinds.get(at / TYPES) == Some(&(at % TYPES));
            (0..l * TYPES).map(|at| f32::from(is(at))).collect()
        };
        let feeds = vec![
            ("types", types),
            ("mask", all(&[l], &|w| w.mask.clone())),
            ("given", all(&[t, l, d], &|w| w.given.clone())),
            ("is_given", all(&[t, l], &|w| w.is_given.clone())),
            ("start.rotations", all(&[l, 3, 3], &|w| rotations(&w.start))),
            ("start.translations", all(&[l, 3], &|w| translations(&w.start))),
            ("end.rotations", all(&[l, 3, 3], &|w| rotations(&w.end))),
            ("end.translations", all(&[l, 3], &|w| translations(&w.end))),
            ("forward", all(&[l, 7], &|w| w.forward.clone())),
            ("backward", all(&[l, 7], &|w| w.backward.clone())),
            ("tokens", all(&[t, l, d], &|w| w.tokens.clone())),
            ("loss_mask", all(&[1, l, d], &|w| w.loss_mask.clone())),
            ("corners", all(&[l, TYPES], &corners)),
            ("weights", Tensor::f32(&[size], weights.collect())),
        ];
        Batch { feeds }
    }

    pub fn feeds(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.feeds.iter().map(|(name, tensor)| (*name, tensor))
    }
}
