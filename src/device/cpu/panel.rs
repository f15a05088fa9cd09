//! Matrix products whose right factor is packed once for all tiles of rows: layers of a few hundred units,
//! where packing it again for every tile (which `gemm` must do) costs a sixth of the time. A left factor in rows is
//! read as it stands, so they have to be short enough that six of them and a panel fit a first-level cache; one in
//! columns is packed too.
//! Small products inside other kernels ([`small`]) come here too: to them `gemm` is slow to start.

use rayon::prelude::*;

use super::matmul::{Matrix, accumulate};
use super::with_scratch;

/// Rows and columns of the block of results that stays in registers.
const ROWS: usize = 6;
const COLUMNS: usize = 16;
/// Columns of one register.
const HALF: usize = COLUMNS / 2;
/// Rows of a tile: blocks without rest, and its result in a second-level cache until the epilogue has run.
pub const TILE: usize = 16 * ROWS;

/// Longest inner axis of one product; a longer one is several.
pub const DEPTH: usize = 512;

/// Whether products of these sizes should come here, the left factor as it stands.
pub fn suits(left: &Matrix, m: usize, n: usize, k: usize) -> bool {
    left.column_stride == 1 && m >= 2 * TILE && n >= COLUMNS && (16..=DEPTH).contains(&k) && has_kernel()
}

/// Whether products of these sizes should come here, both factors packed.
pub fn suits_columns(left: &Matrix, m: usize, n: usize, k: usize) -> bool {
    left.row_stride == 1 && m >= TILE && n >= COLUMNS && k >= DEPTH && has_kernel()
}

pub fn has_kernel() -> bool {
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
    packed.par_chunks_mut(COLUMNS * k).enumerate().for_each(|(p, panel)| pack_panel(right, p, n, panel));
}

fn pack_panel(right: &Matrix, p: usize, n: usize, panel: &mut [f32]) {
    let width = COLUMNS.min(n - p * COLUMNS);
    if width < COLUMNS {
        panel.fill(0.0);
    }
    let (down, across) = (right.row_stride as usize, right.column_stride as usize);
    let from = &right.data[p * COLUMNS * across..];
    let (places, _) = panel.as_chunks_mut::<COLUMNS>();
    if across == 1 {
        let places = places.iter_mut().enumerate().map(|(r, to)| (to, &from[r * down..]));
        match width {
            // Of a length that is known, a copy is two instructions.
            COLUMNS => places.for_each(|(to, row)| to.copy_from_slice(&row[..COLUMNS])),
            HALF => places.for_each(|(to, row)| to[..HALF].copy_from_slice(&row[..HALF])),
            _ => places.for_each(|(to, row)| to[..width].copy_from_slice(&row[..width])),
        }
    } else if down == 1 && width == COLUMNS {
        let columns: [&[f32]; COLUMNS] = std::array::from_fn(|c| &from[c * across..][..places.len()]);
        for (r, to) in places.iter_mut().enumerate() {
            *to = std::array::from_fn(|c| columns[c][r]);
        }
    } else {
        for c in 0..width {
            let column = from[c * across..].iter().step_by(down);
            places.iter_mut().zip(column).for_each(|(to, &v)| to[c] = v);
        }
    }
}

/// Elements that [`pack_columns`] fills.
pub fn packed_columns_len(m: usize, k: usize) -> usize {
    m.next_multiple_of(ROWS) * k
}

/// A left factor `[m, k]` whose columns stand together, as blocks `[k, ROWS]`, the last one filled up with zeros.
pub fn pack_columns(left: &Matrix, m: usize, k: usize, packed: &mut [f32]) {
    for (b, block) in packed.chunks_exact_mut(ROWS * k).enumerate() {
        let height = ROWS.min(m - b * ROWS);
        let column = |j: usize| &left.data[b * ROWS + j * left.column_stride as usize..];
        let places = block.chunks_exact_mut(ROWS).enumerate().map(|(j, to)| (to, column(j)));
        match height {
            ROWS => places.for_each(|(to, column)| to.copy_from_slice(&column[..ROWS])),
            _ => places.for_each(|(to, column)| {
                to[..height].copy_from_slice(&column[..height]);
                to[height..].fill(0.0);
            }),
        }
    }
}

/// As [`accumulate`], for factors and results in cache.
pub fn small(
    left: &Matrix,
    right: &Matrix,
    [m, n, k]: [usize; 3],
    out: &mut [f32],
    stride: usize,
    keep: f32,
    factor: f32,
) {
    if m * n * k == 0 || !has_kernel() {
        return accumulate(left, right, [m, n, k], out, stride, keep, factor);
    }
    assert!(out.len() >= (m - 1) * stride + n && left.holds(m, k) && right.holds(k, n));
    let in_columns = left.row_stride == 1;
    let columns_len = if in_columns { packed_columns_len(m, k) } else { 0 };
    with_scratch(packed_len(n, k) + columns_len, |scratch| {
        let (packed, columns) = scratch.split_at_mut(packed_len(n, k));
        packed.chunks_mut(COLUMNS * k).enumerate().for_each(|(p, panel)| pack_panel(right, p, n, panel));
        if in_columns {
            pack_columns(left, m, k, columns);
        }
        #[cfg(target_arch = "x86_64")]
        unsafe {
            let strides = [left.row_stride as usize, left.column_stride as usize];
            let left = match in_columns {
                true => x86::Left { data: columns.as_ptr(), ahead: k, strides: [1, ROWS] },
                false => x86::Left { data: left.data.as_ptr(), ahead: strides[0], strides },
            };
            let out = x86::Target { out: out.as_mut_ptr(), stride, keep: keep != 0.0, factor };
            x86::multiply(left, Rows::InCache, packed.as_ptr(), [m, n, k], out)
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
    /// There too, by [`pack_columns`].
    Packed,
}

/// Rows `left` `[rows, k]`, each `stride` behind the one before, times the packed factor to `out` `[rows, n]`, on top of
/// what is there if it is to be kept.
pub fn multiply(
    left: (&[f32], usize),
    rows_are: Rows,
    packed: &[f32],
    [n, k]: [usize; 2],
    out: (&mut [f32], bool),
) {
    let ((left, stride), (out, keep)) = (left, out);
    let rows = out.len() / n;
    let (ahead, strides, needed) = match rows_are {
        Rows::Packed => (k, [1, ROWS], packed_columns_len(rows, k)),
        _ => (stride, [stride, 1], rows.saturating_sub(1) * stride + k),
    };
    assert!(rows == 0 || left.len() >= needed);
    assert!(packed.len() >= packed_len(n, k));
    // `suits` found the instructions, and the lengths are as the kernel takes them.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        let left = x86::Left { data: left.as_ptr(), ahead, strides };
        let out = x86::Target { out: out.as_mut_ptr(), stride: n, keep, factor: 1.0 };
        x86::multiply(left, rows_are, packed.as_ptr(), [rows, n, k], out)
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{COLUMNS, HALF, ROWS, Rows};

    /// Blocks of [`ROWS`] rows, `ahead` times as many elements from one to the next.
    #[derive(Clone, Copy)]
    pub struct Left {
        pub data: *const f32,
        pub ahead: usize,
        /// From row to row and from column to column.
        pub strides: [usize; 2],
    }

    /// Where a product goes: `keep` of what is there plus `factor` of it.
    #[derive(Clone, Copy)]
    pub struct Target {
        pub out: *mut f32,
        pub stride: usize,
        pub keep: bool,
        pub factor: f32,
    }

    /// # Safety
    /// Reads `[rows, k]` elements of `left` by its strides and all panels, writes `[rows, n]` of the target.
    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn multiply(
        left: Left,
        rows_are: Rows,
        packed: *const f32,
        [rows, n, k]: [usize; 3],
        target: Target,
    ) {
        let panels = n.div_ceil(COLUMNS);
        if rows_are != Rows::InMemory {
            for p in 0..panels {
                for r in (0..rows).step_by(ROWS) {
                    unsafe { place(left, packed, [rows, n, k], target, r, p) };
                }
            }
            return;
        }
        // Spread over the panels, two blocks of rows ahead come from memory while this one is computed.
        let lines_a_row = k.div_ceil(16);
        let lines = (ROWS * lines_a_row).div_ceil(panels);
        for r in (0..rows).step_by(ROWS) {
            for p in 0..panels {
                for line in p * lines..(p + 1) * lines {
                    let row = r + 2 * ROWS + line / lines_a_row;
                    let ahead = left.data.wrapping_add(row * left.ahead + line % lines_a_row * 16);
                    _mm_prefetch::<_MM_HINT_T1>(ahead.cast());
                }
                unsafe { place(left, packed, [rows, n, k], target, r, p) };
            }
        }
    }

    /// The block of rows from `r` and panel `p`.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn place(
        left: Left,
        packed: *const f32,
        [rows, n, k]: [usize; 3],
        target: Target,
        r: usize,
        p: usize,
    ) {
        let height = ROWS.min(rows - r);
        let width = COLUMNS.min(n - p * COLUMNS);
        let mut rest = [0.0; ROWS * COLUMNS];
        unsafe {
            let (a, b) = (left.data.add(r * left.ahead), packed.add(p * COLUMNS * k));
            let own = Target { out: target.out.add(r * target.stride + p * COLUMNS), ..target };
            let c = match width {
                COLUMNS | HALF => own,
                _ => Target { out: rest.as_mut_ptr(), stride: COLUMNS, keep: false, factor: target.factor },
            };
            if width > HALF {
                high::<2>(height, a, left.strides, b, k, c);
            } else {
                high::<1>(height, a, left.strides, b, k, c);
            }
            if width != COLUMNS && width != HALF {
                for i in 0..height {
                    let to = std::slice::from_raw_parts_mut(own.out.add(i * own.stride), width);
                    for (to, &v) in to.iter_mut().zip(&rest[i * COLUMNS..]) {
                        *to = if own.keep { *to + v } else { v };
                    }
                }
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn high<const H: usize>(
        height: usize,
        left: *const f32,
        strides: [usize; 2],
        panel: *const f32,
        k: usize,
        target: Target,
    ) {
        unsafe {
            match height {
                6 => block::<6, H>(left, strides, panel, k, target),
                5 => block::<5, H>(left, strides, panel, k, target),
                4 => block::<4, H>(left, strides, panel, k, target),
                3 => block::<3, H>(left, strides, panel, k, target),
                2 => block::<2, H>(left, strides, panel, k, target),
                _ => block::<1, H>(left, strides, panel, k, target),
            }
        }
    }

    /// `R` rows of `k` elements times the first `H` halves of one panel. Every element is one sum in the order of k,
    /// whatever `R`.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn block<const R: usize, const H: usize>(
        left: *const f32,
        [down, across]: [usize; 2],
        panel: *const f32,
        k: usize,
        target: Target,
    ) {
        for i in 0..R {
            // Asked for now, there when the sums are.
            _mm_prefetch::<_MM_HINT_T0>(target.out.wrapping_add(i * target.stride).cast());
            _mm_prefetch::<_MM_HINT_T0>(target.out.wrapping_add(i * target.stride + H * HALF - 1).cast());
        }
        let sums: [[__m256; H]; R] = unsafe {
            if [down, across] == [1, ROWS] {
                sums(|i, j| left.add(i + j * ROWS), panel, k)
            } else {
                // The optimiser must not see how they are related: computing one address from the other in the inner
                // loop was a quarter of its instructions.
                let rows: [_; R] = std::array::from_fn(|i| std::hint::black_box(left.add(i * down)));
                match across {
                    1 => sums(|i, j| rows[i].add(j), panel, k),
                    _ => sums(|i, j| rows[i].add(j * across), panel, k),
                }
            }
        };
        let factor = _mm256_set1_ps(target.factor);
        for (i, sum) in sums.iter().enumerate() {
            for (half, &sum) in sum.iter().enumerate() {
                unsafe {
                    let to = target.out.add(i * target.stride + HALF * half);
                    let kept = if target.keep { _mm256_loadu_ps(to) } else { _mm256_setzero_ps() };
                    _mm256_storeu_ps(to, _mm256_fmadd_ps(factor, sum, kept));
                }
            }
        }
    }

    /// Sums over `k` of the elements of `R` rows, which stand where `left` says, times those of a panel's halves.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn sums<const R: usize, const H: usize>(
        left: impl Fn(usize, usize) -> *const f32,
        panel: *const f32,
        k: usize,
    ) -> [[__m256; H]; R] {
        const UNROLLED: usize = 4;
        let mut sums = [[_mm256_setzero_ps(); H]; R];
        let mut step = |j: usize| unsafe {
            let mut right = [_mm256_setzero_ps(); H];
            for (half, right) in right.iter_mut().enumerate() {
                *right = _mm256_loadu_ps(panel.add(j * COLUMNS + half * HALF));
            }
            for (i, sum) in sums.iter_mut().enumerate() {
                let factor = _mm256_broadcast_ss(&*left(i, j));
                for (sum, &right) in sum.iter_mut().zip(&right) {
                    *sum = _mm256_fmadd_ps(factor, right, *sum);
                }
            }
        };
        let whole = k - k % UNROLLED;
        for j in (0..whole).step_by(UNROLLED) {
            for j in j..j + UNROLLED {
                step(j);
            }
        }
        for j in whole..k {
            step(j);
        }
        sums
    }
}
