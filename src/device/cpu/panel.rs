//! Matrix products whose right factor is packed once for all tiles of rows: layers of a few hundred units,
//! where packing it again for every tile (which `gemm` must do) costs a sixth of the time. The left factor is
//! read as it stands, so its rows have to be short enough that six of them and a panel fit a first-level cache.

use rayon::prelude::*;

use super::matmul::Matrix;

/// Rows and columns of the block of results that stays in registers.
const ROWS: usize = 6;
const COLUMNS: usize = 16;
/// Rows of a tile: blocks without rest, and its result in a second-level cache until the epilogue has run.
pub const TILE: usize = 32 * ROWS;

/// Whether products of these sizes should come here.
pub fn suits(left: &Matrix, m: usize, n: usize, k: usize) -> bool {
    left.column_stride == 1 && m >= TILE && n >= COLUMNS && (16..=512).contains(&k) && has_kernel()
}

fn has_kernel() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// Elements that [`pack`] fills.
pub fn packed_len(n: usize, k: usize) -> usize {
    n.next_multiple_of(COLUMNS) * k
}

/// The right factor `[k, n]` as panels `[k, COLUMNS]`, the last one filled up with zeros.
pub fn pack(right: &Matrix, n: usize, k: usize, packed: &mut [f32]) {
    packed.par_chunks_mut(COLUMNS * k).enumerate().for_each(|(p, panel)| {
        let width = COLUMNS.min(n - p * COLUMNS);
        if width < COLUMNS {
            panel.fill(0.0);
        }
        let (down, across) = (right.row_stride as usize, right.column_stride as usize);
        for c in 0..width {
            let column = &right.data[(p * COLUMNS + c) * across..];
            panel[c..]
                .iter_mut()
                .step_by(COLUMNS)
                .zip(column.iter().step_by(down))
                .for_each(|(to, &v)| *to = v);
        }
    });
}

/// Where the rows of the left factor are when a product begins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// Each block of them meets all panels while the ones behind it are fetched.
    InMemory,
    /// In a second-level cache: each panel meets all of them.
    InCache,
}

/// Rows `left` `[rows, k]` times the packed factor to `out` `[rows, n]`.
pub fn multiply(left: &[f32], rows_are: Rows, packed: &[f32], n: usize, k: usize, out: &mut [f32]) {
    let rows = out.len() / n;
    assert!(left.len() >= rows * k && packed.len() >= packed_len(n, k));
    // `suits` found the instructions, and the lengths are as the kernel takes them.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        x86::multiply(left.as_ptr(), rows_are, packed.as_ptr(), [rows, n, k], out.as_mut_ptr())
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{COLUMNS, ROWS, Rows};

    /// # Safety
    /// Reads `rows * k` elements of `left` and all panels, writes `rows * n` of `out`.
    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn multiply(
        left: *const f32,
        rows_are: Rows,
        packed: *const f32,
        [rows, n, k]: [usize; 3],
        out: *mut f32,
    ) {
        let panels = n.div_ceil(COLUMNS);
        if rows_are == Rows::InCache {
            for p in 0..panels {
                for r in (0..rows).step_by(ROWS) {
                    unsafe { place(left, packed, [rows, n, k], out, r, p) };
                }
            }
            return;
        }
        // Spread over the panels, two blocks of rows ahead come from memory while this one is computed.
        let lines = (ROWS * k).div_ceil(panels * 16);
        for r in (0..rows).step_by(ROWS) {
            for p in 0..panels {
                let ahead = left.wrapping_add((r + 2 * ROWS) * k + p * lines * 16);
                for line in 0..lines {
                    _mm_prefetch::<_MM_HINT_T1>(ahead.wrapping_add(16 * line).cast());
                }
                unsafe { place(left, packed, [rows, n, k], out, r, p) };
            }
        }
    }

    /// The block of rows from `r` and panel `p`.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn place(
        left: *const f32,
        packed: *const f32,
        [rows, n, k]: [usize; 3],
        out: *mut f32,
        r: usize,
        p: usize,
    ) {
        let height = ROWS.min(rows - r);
        let width = COLUMNS.min(n - p * COLUMNS);
        let mut rest = [0.0; ROWS * COLUMNS];
        unsafe {
            let (a, b) = (left.add(r * k), packed.add(p * COLUMNS * k));
            let (c, stride) = match width {
                COLUMNS => (out.add(r * n + p * COLUMNS), n),
                _ => (rest.as_mut_ptr(), COLUMNS),
            };
            match height {
                6 => block::<6>(a, b, k, c, stride),
                5 => block::<5>(a, b, k, c, stride),
                4 => block::<4>(a, b, k, c, stride),
                3 => block::<3>(a, b, k, c, stride),
                2 => block::<2>(a, b, k, c, stride),
                _ => block::<1>(a, b, k, c, stride),
            }
            if width < COLUMNS {
                for i in 0..height {
                    let to = out.add((r + i) * n + p * COLUMNS);
                    std::ptr::copy_nonoverlapping(rest[i * COLUMNS..].as_ptr(), to, width);
                }
            }
        }
    }

    /// `R` rows of `k` elements times one panel. Every element is one sum in the order of k, whatever `R`.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn block<const R: usize>(
        left: *const f32,
        panel: *const f32,
        k: usize,
        out: *mut f32,
        stride: usize,
    ) {
        let mut sums = [[_mm256_setzero_ps(); 2]; R];
        for j in 0..k {
            unsafe {
                let right =
                    [_mm256_loadu_ps(panel.add(j * COLUMNS)), _mm256_loadu_ps(panel.add(j * COLUMNS + 8))];
                for (i, sum) in sums.iter_mut().enumerate() {
                    let factor = _mm256_broadcast_ss(&*left.add(i * k + j));
                    sum[0] = _mm256_fmadd_ps(factor, right[0], sum[0]);
                    sum[1] = _mm256_fmadd_ps(factor, right[1], sum[1]);
                }
            }
        }
        for (i, sum) in sums.iter().enumerate() {
            unsafe {
                _mm256_storeu_ps(out.add(i * stride), sum[0]);
                _mm256_storeu_ps(out.add(i * stride + 8), sum[1]);
            }
        }
    }
}
