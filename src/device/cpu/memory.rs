//! A block of zero-filled memory, aligned for vectors. States are blocks shared by several programs; programs
//! of one store run one after the other, so reads and writes do not overlap.

use std::alloc::{Layout, alloc_zeroed, dealloc};

use super::problem;
use crate::Result;
use crate::device::Memory;

const ALIGNMENT: usize = 128;

pub struct Block {
    pointer: *mut u8,
    layout: Layout,
    len: usize,
}

// The block owns its memory; who touches it when is decided by the one who replays programs.
unsafe impl Send for Block {}
unsafe impl Sync for Block {}

impl Block {
    pub fn new(len: usize) -> Result<Block> {
        let layout = Layout::from_size_align(len.max(1), ALIGNMENT);
        let layout = layout.map_err(|_| problem(format!("cannot address {len} bytes")))?;
        // The layout has a size above zero.
        let pointer = unsafe { alloc_zeroed(layout) };
        if pointer.is_null() {
            let mib = len as f64 / 1048576.0;
            return Err(problem(format!(
                "out of memory: {mib:.0} MiB asked for; a smaller batch needs less"
            )));
        }
        Ok(Block { pointer, layout, len })
    }

    pub fn pointer(&self, offset: usize) -> *mut u8 {
        debug_assert!(offset <= self.len);
        unsafe { self.pointer.add(offset) }
    }

    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result<()> {
        self.check(offset, bytes.len())?;
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.pointer.add(offset), bytes.len()) };
        Ok(())
    }

    pub fn read(&self, offset: usize, bytes: &mut [u8]) -> Result<()> {
        self.check(offset, bytes.len())?;
        unsafe { std::ptr::copy_nonoverlapping(self.pointer.add(offset), bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    fn check(&self, offset: usize, len: usize) -> Result<()> {
        if offset + len > self.len {
            return Err(problem(format!("a copy of {len} bytes at {offset} leaves a block of {}", self.len)));
        }
        Ok(())
    }
}

impl Memory for Block {
    fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        unsafe { dealloc(self.pointer, self.layout) };
    }
}
