//! A few neighbouring elements at a time, which stay in a register.

/// Elements that go together; what is left goes one by one.
pub const LANES: usize = 8;

/// `W` elements from `at`.
#[inline(always)]
pub fn lanes<const W: usize>(data: &[f32], at: usize) -> [f32; W] {
    let mut lanes = [0.0; W];
    lanes.copy_from_slice(&data[at..at + W]);
    lanes
}

/// `work` on `width` elements, from element `c` `W` of them.
macro_rules! by_lanes {
    ($width:expr, |$c:ident, $lanes:ident| $work:block) => {{
        use $crate::device::cpu::lanes::LANES;
        let whole = $width - $width % LANES;
        for $c in (0..whole).step_by(LANES) {
            const $lanes: usize = LANES;
            $work
        }
        for $c in whole..$width {
            const $lanes: usize = 1;
            $work
        }
    }};
}
pub(super) use by_lanes;
