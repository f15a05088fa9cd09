//! Inputs on their way to the GPU. Their buffers have fixed addresses, because the recorded graph reads them.
//!
//! Small ones (rates, counters, indices of a batch) stand side by side and go up in one copy a step. Large
//! ones are copied to a second buffer by the copy stream while the step before still runs, and moved to their
//! place on the GPU when the next one begins.

use std::sync::Arc;

use cudarc::driver::result;
use cudarc::driver::sys::CUdeviceptr;

use super::driver::{Block, Context, Event, Pinned, check};
use crate::Result;

/// Bytes up to which an input counts as small.
const SMALL: usize = 32 << 10;
const ALIGNMENT: usize = 256;

pub struct Inputs {
    context: Arc<Context>,
    places: Vec<Place>,
    small: Block,
    /// What the small ones shall hold at the next step.
    values: Vec<u8>,
    changed: bool,
    /// In turn, so that filling one does not wait for the copy of the step before.
    staging: [Pinned; 4],
    turn: usize,
}

enum Place {
    /// First byte among the small ones, and length.
    Small(usize, usize),
    Large(Large),
}

struct Large {
    block: Block,
    ahead: Block,
    staging: [Pinned; 2],
    turn: usize,
    /// The copy ahead is complete.
    arrived: Event,
    /// The copy ahead has been taken over.
    taken: Event,
    waiting: bool,
}

impl Inputs {
    /// One place for each of `lengths`.
    pub fn new(context: &Arc<Context>, lengths: &[usize]) -> Result<Inputs> {
        let mut end = 0;
        let mut places = vec![];
        for &len in lengths {
            if len <= SMALL {
                places.push(Place::Small(end, len));
                end += len.next_multiple_of(ALIGNMENT);
            } else {
                places.push(Place::Large(Large {
                    block: Block::new(context, len)?,
                    ahead: Block::new(context, len)?,
                    staging: [Pinned::new(context, len)?, Pinned::new(context, len)?],
                    turn: 0,
                    arrived: Event::new(context)?,
                    taken: Event::new(context)?,
                    waiting: false,
                }));
            }
        }
        let pinned = || Pinned::new(context, end);
        Ok(Inputs {
            context: context.clone(),
            places,
            small: Block::new(context, end)?,
            values: vec![0; end],
            changed: false,
            staging: [pinned()?, pinned()?, pinned()?, pinned()?],
            turn: 0,
        })
    }

    /// Device memory that inputs of these lengths take.
    pub fn bytes(lengths: &[usize]) -> usize {
        lengths.iter().map(|&n| if n <= SMALL { n.next_multiple_of(ALIGNMENT) } else { 2 * n }).sum()
    }

    pub fn address(&self, input: usize) -> CUdeviceptr {
        match &self.places[input] {
            Place::Small(start, _) => self.small.address + *start as CUdeviceptr,
            Place::Large(large) => large.block.address,
        }
    }

    /// A value for the next step. The bytes are the caller's again when this returns.
    pub fn feed(&mut self, input: usize, bytes: &[u8]) -> Result<()> {
        match &mut self.places[input] {
            Place::Small(start, len) => {
                let len = bytes.len().min(*len);
                self.values[*start..*start + len].copy_from_slice(&bytes[..len]);
                self.changed = true;
            }
            Place::Large(large) => {
                self.context.bind()?;
                large.taken.hold(self.context.copies)?;
                large.turn = 1 - large.turn;
                large.staging[large.turn].send(bytes, large.ahead.address, self.context.copies)?;
                large.arrived.record(self.context.copies)?;
                large.waiting = true;
            }
        }
        Ok(())
    }

    /// Puts everything fed since the last time in its place, in the order of the compute stream.
    pub fn take_over(&mut self) -> Result<()> {
        let stream = self.context.compute;
        if std::mem::take(&mut self.changed) {
            self.turn = (self.turn + 1) % self.staging.len();
            self.staging[self.turn].send(&self.values, self.small.address, stream)?;
        }
        for place in &mut self.places {
            let Place::Large(large) = place else { continue };
            if std::mem::take(&mut large.waiting) {
                large.arrived.hold(stream)?;
                let (to, from) = (large.block.address, large.ahead.address);
                // Both blocks have this length and live as long as the stream's work.
                let outcome = unsafe { result::memcpy_dtod_async(to, from, large.block.len, stream) };
                check(outcome, "taking over an input")?;
                large.taken.record(stream)?;
            }
        }
        Ok(())
    }
}
