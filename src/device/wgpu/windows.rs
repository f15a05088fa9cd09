//! What a pass binds: ranges of buffers, each value by itself where it can be.

use ::wgpu::Buffer;

use super::{Piece, Shared, problem};
use crate::Result;
use crate::device::gpu::source::Spot;
use crate::device::gpu::{Access, Pass, Set};

/// A range of a buffer as a pass binds it.
#[derive(Clone)]
pub struct Window {
    pub buffer: Buffer,
    pub from: u64,
    pub to: u64,
    pub written: bool,
}

impl Window {
    fn of(piece: &Piece) -> Window {
        // Not nothing: an empty range cannot be bound.
        let to = piece.offset + (piece.len as u64).next_multiple_of(4).max(4);
        Window { buffer: piece.buffer.clone(), from: piece.offset, to, written: false }
    }

    fn widened(&self, piece: &Piece) -> Window {
        let own = Window::of(piece);
        Window { from: self.from.min(own.from), to: self.to.max(own.to), ..self.clone() }
    }

    fn len(&self) -> u64 {
        self.to - self.from
    }
}

/// Every value is bound by itself, so that a shader does not depend on where its values stand. Where an adapter
/// binds fewer than that, whole buffers are bound.
pub fn windows(
    shared: &Shared,
    pass: &Pass,
    bound: &[&Piece],
    label: &str,
) -> Result<(Vec<Window>, Vec<Spot>)> {
    let count = shared.device.limits().max_storage_buffers_per_shader_stage as usize;
    let gather = |whole: bool| {
        let mut windows: Vec<Window> = vec![];
        let mut spots = vec![];
        for &piece in bound {
            let mut window = Window::of(piece);
            if whole {
                (window.from, window.to) = (0, piece.buffer.size());
            }
            let same = |w: &Window| w.buffer == window.buffer && w.from == window.from && w.to == window.to;
            let word = ((piece.offset - window.from) / 4) as u32;
            let memory = windows.iter().position(same).unwrap_or_else(|| {
                windows.push(window);
                windows.len() - 1
            });
            spots.push(Spot { memory, word });
        }
        (windows, spots)
    };
    let (mut windows, mut spots) = gather(false);
    if windows.len() > count {
        (windows, spots) = gather(true);
    }
    fit(shared, &windows, count, label)?;
    mark_written(&mut windows, pass, bound);
    Ok((windows, spots))
}

/// Whether these can be bound, `count` at once.
fn fit(shared: &Shared, windows: &[Window], count: usize, label: &str) -> Result<()> {
    let most = shared.device.limits().max_storage_buffer_binding_size;
    if windows.len() > count {
        let wanted = windows.len();
        return Err(problem(format!("{label}: needs {wanted} buffers at once, this adapter binds {count}")));
    }
    match windows.iter().find(|w| w.len() > most) {
        Some(large) => Err(problem(format!(
            "{label}: {} bytes do not fit one binding, which this adapter limits to {most}; use smaller batches",
            large.len()
        ))),
        None => Ok(()),
    }
}

/// Sets that one dispatch can do: each binding sees those values of all of them through one window.
pub struct Share {
    pub sets: Vec<Set>,
    pub windows: Vec<Window>,
    /// The window of each binding.
    pub memories: Vec<usize>,
}

impl Share {
    pub fn begin(shared: &Shared, pass: &Pass, set: &Set, pieces: &[&Piece], label: &str) -> Result<Share> {
        let limits = shared.device.limits();
        let mut windows: Vec<Window> = vec![];
        let mut memories = vec![];
        for piece in pieces {
            let joins = |w: &Window| {
                w.buffer == piece.buffer && w.widened(piece).len() <= limits.max_storage_buffer_binding_size
            };
            let memory = windows.iter().position(joins).unwrap_or_else(|| {
                windows.push(Window::of(piece));
                windows.len() - 1
            });
            windows[memory] = windows[memory].widened(piece);
            memories.push(memory);
        }
        // One binding is left for the table.
        fit(shared, &windows, limits.max_storage_buffers_per_shader_stage as usize - 1, label)?;
        mark_written(&mut windows, pass, pieces);
        Ok(Share { sets: vec![set.clone()], windows, memories })
    }

    /// Whether the set goes with the others, and then it does.
    pub fn take(&mut self, shared: &Shared, set: &Set, pieces: &[&Piece]) -> bool {
        let most = shared.device.limits().max_storage_buffer_binding_size;
        let mut windows = self.windows.clone();
        for (piece, &memory) in pieces.iter().zip(&self.memories) {
            let window = &mut windows[memory];
            let is_there = window.buffer == piece.buffer;
            *window = window.widened(piece);
            if !is_there || window.len() > most {
                return false;
            }
        }
        self.windows = windows;
        self.sets.push(set.clone());
        true
    }
}

/// One buffer is used in one way during a dispatch, through all its windows.
fn mark_written(windows: &mut [Window], pass: &Pass, bound: &[&Piece]) {
    for (binding, piece) in pass.bindings.iter().zip(bound) {
        if binding.access != Access::Read {
            windows.iter_mut().filter(|w| w.buffer == piece.buffer).for_each(|w| w.written = true);
        }
    }
}
