//! The host's stand-in for a GPU must itself be trusted: what CUDA leaves undefined has to be found, and the
//! fragments of the tensor cores have to lie where the PTX ISA says.

use std::ffi::{CStr, c_void};

use crate::shim::compiler::Compiler;

/// Runs one group of a kernel over one array of words.
fn run(body: &str, threads: u32, words: &mut [u32]) -> Option<Result<(), String>> {
    let mut compiler = Compiler::find()?;
    let text = format!(
        "namespace kinesome {{\nextern \"C\" __global__ void probe(u32* words) {{\n\
         float* floats = (float*)words; const u32 t = threadIdx.x;\n{body}\n}}\n}}\n"
    );
    compiler.compile(std::slice::from_ref(&text)).unwrap_or_else(|e| panic!("{e}"));
    let mut pointer = words.as_mut_ptr();
    let mut arguments: [*mut c_void; 1] = [(&raw mut pointer).cast()];
    let wrong = crate::shim::alone(|| unsafe { compiler.kernel(&text)(arguments.as_mut_ptr(), 1, threads) });
    if wrong.is_null() {
        return Some(Ok(()));
    }
    Some(Err(unsafe { CStr::from_ptr(wrong) }.to_string_lossy().into_owned()))
}

#[test]
fn lanes_that_part_are_reported() {
    let faults = [
        (
            "a lane leaves before a shuffle",
            "if (t == 3) return; words[t] = __shfl_xor_sync(~0u, t, 1);",
            "has left",
        ),
        (
            "a branch around a shuffle",
            "if (t < 7) words[t] = __shfl_xor_sync(~0u, t, 1); __syncthreads();",
            "have parted",
        ),
        (
            "two shuffles at once",
            "if (t < 7) { words[t] = __shfl_sync(~0u, t, 1); } else {\n words[t] = __shfl_sync(~0u, t, 2); }",
            "have parted",
        ),
        (
            "two barriers at once",
            "if (t < 32) { __syncthreads(); } else {\n __syncthreads(); }",
            "different barriers",
        ),
        ("a mask without its caller", "if (t < 16) words[t] = __shfl_sync(0xff, t, 1);", "leaves it out"),
        (
            "a copy that nobody waits for",
            "__shared__ u32 s[256]; cp_async_16(s + 4 * t, words, true); cp_async_commit();",
            "under way",
        ),
        (
            "a crooked copy",
            "__shared__ u32 s[256]; cp_async_16(s + 4 * t, words + 1, true); cp_async_wait<0>();",
            "multiple of 16",
        ),
    ];
    for (what, body, wanted) in faults {
        match run(body, 64, &mut [0; 256]) {
            None => return,
            Some(found) => assert!(found.clone().is_err_and(|e| e.contains(wanted)), "{what}: {found:?}"),
        }
    }
    // Threads that leave do not hold up a barrier.
    let mut words = [0; 64];
    assert!(
        run("if (t > 40) return; __syncthreads(); words[t] = 1;", 64, &mut words).is_none_or(|r| r.is_ok())
    );
}

/// A reduction that forgets a barrier gives another sum, shared memory that nobody wrote is NaN, and a copy
/// arrives when it is waited for.
#[test]
fn what_is_undefined_comes_out_wrong() {
    let sum = |barrier: &str| {
        let mut words = [0; 256];
        let body = format!(
            "__shared__ u32 s[256]; s[t] = t; for (u32 half = 128; half > 0; half /= 2) {{ {barrier} \
             if (t < half) s[t] += s[t + half]; }} if (t == 0) words[0] = s[0];"
        );
        Some((run(&body, 256, &mut words)?, words[0]))
    };
    let Some(right) = sum("__syncthreads();") else { return };
    assert_eq!(right, (Ok(()), 255 * 128));
    assert_ne!(sum("").unwrap().1, 255 * 128);
    let mut words = [0; 32];
    run("__shared__ float s[32]; floats[t] = s[t];", 32, &mut words).unwrap().unwrap();
    assert!(words.iter().all(|&w| f32::from_bits(w).is_nan()));
    let mut words: Vec<u32> = (0..256).collect();
    let body = "__shared__ __align__(16) u32 s[128]; s[4 * t] = 7; cp_async_16(s + 4 * t, words + 4 * t, true); cp_async_commit();\n\
                const u32 early = s[4 * t]; cp_async_wait<0>(); words[128 + 4 * t] = early; words[129 + 4 * t] = s[4 * t + 1];";
    run(body, 32, &mut words).unwrap().unwrap();
    assert!((0..32).all(|t| words[128 + 4 * t] == 7 && words[129 + 4 * t] == 4 * t as u32 + 1));
}

/// A product of small whole numbers through fragments that are filled from the ISA's tables, with `ldmatrix`
/// filling them a second time.
#[test]
fn fragments_lie_where_the_isa_says() {
    let a = |i: usize, k: usize| ((i * 7 + k * 3) % 11) as f32 - 5.0;
    let b = |k: usize, j: usize| ((k * 5 + j * 2) % 13) as f32 - 6.0;
    // words: a [16][16] then b as [8][16] (column by column) in bf16, then d [16][8].
    let half = |x: f32| x.to_bits() >> 16;
    let mut words = vec![0_u32; 128 + 64 + 128];
    for i in 0..16 {
        for k in 0..8 {
            words[i * 8 + k] = half(a(i, 2 * k)) | half(a(i, 2 * k + 1)) << 16;
        }
    }
    for j in 0..8 {
        for k in 0..8 {
            words[128 + j * 8 + k] = half(b(2 * k, j)) | half(b(2 * k + 1, j)) << 16;
        }
    }
    let body = "__shared__ __align__(16) u32 s[128 + 64]; for (u32 i = t; i < 192; i += 32) s[i] = words[i]; __syncwarp();\n\
        u32 fa[4], all[4], fb[2], loaded[4]; const u32 g = t / 4, p = t % 4;\n\
        for (u32 i = 0; i < 4; i++) fa[i] = s[(g + 8 * (i % 2)) * 8 + p + 4 * (i / 2)];\n\
        for (u32 i = 0; i < 2; i++) fb[i] = s[128 + g * 8 + p + 4 * i];\n\
        ldmatrix_x4(all, (const u16*)s + (t % 16) * 16 + t / 16 * 8);\n\
        ldmatrix_x4(loaded, (const u16*)(s + 128) + (t % 8) * 16 + t / 8 % 2 * 8);\n\
        bool same = true; for (u32 i = 0; i < 4; i++) same = same && all[i] == fa[i];\n\
        same = same && loaded[0] == fb[0] && loaded[1] == fb[1];\n\
        float d[4] = {same ? 0.0f : 1000.0f, 0.0f, 0.0f, 0.0f}; mma_m16n8k16_bf16(d, fa, fb);\n\
        for (u32 i = 0; i < 4; i++) floats[192 + (g + 8 * (i / 2)) * 8 + 2 * p + i % 2] = d[i];";
    let Some(outcome) = run(body, 32, &mut words) else { return };
    outcome.unwrap();
    for i in 0..16 {
        for j in 0..8 {
            let wanted: f32 = (0..16).map(|k| a(i, k) * b(k, j)).sum();
            assert_eq!(f32::from_bits(words[192 + i * 8 + j]), wanted, "{i} {j}");
        }
    }
}

#[test]
fn halves_round_as_everywhere() {
    let values: Vec<f32> = (0..4000_u32)
        .map(|i| f32::from_bits(i.wrapping_mul(0x9e37_79b9)))
        .chain([0.0, -0.0, 65504.0, 65519.9, 65520.0, 6e-8, 2.9e-8, 1e-10, 0.5 + 1.0 / 4096.0, f32::INFINITY])
        .collect();
    for chunk in values.chunks(256) {
        let mut words = vec![0; 512];
        words.iter_mut().zip(chunk).for_each(|(w, v)| *w = v.to_bits());
        let Some(outcome) = run(
            "words[256 + t] = to_f16(floats[t]); floats[t] = from_f16(u16(words[256 + t]));",
            256,
            &mut words,
        ) else {
            return;
        };
        outcome.unwrap();
        for (i, &value) in chunk.iter().enumerate() {
            let wanted = half::f16::from_f32(value);
            if !value.is_nan() {
                assert_eq!(words[256 + i], u32::from(wanted.to_bits()), "{value:e}");
                assert_eq!(f32::from_bits(words[i]), wanted.to_f32(), "{value:e}");
            }
        }
    }
}
