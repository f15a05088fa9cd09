// What every shader sees: the words of rows that touch bits (the others follow from `ops/vocabulary.rs`),
// halves of a u32 as numbers, and the place of a group. `sqrt`, `abs`, `floor` and `select` are WGSL's own.

fn from_bits(bits: u32) -> f32 {
    return bitcast<f32>(bits);
}

fn to_bits(x: f32) -> u32 {
    return bitcast<u32>(x);
}

fn is_nan(x: f32) -> bool {
    return (to_bits(x) & 0x7fffffffu) > 0x7f800000u;
}

fn infinity() -> f32 {
    return from_bits(0x7f800000u);
}

fn nan() -> f32 {
    return from_bits(0x7fc00000u);
}

fn pow2(n: f32) -> f32 {
    return from_bits(u32(i32(n + 127.0)) << 23u);
}

fn exponent(x: f32) -> f32 {
    return f32(bitcast<i32>(to_bits(x) - 0x3f3504f3u) >> 23u);
}

fn mantissa(x: f32) -> f32 {
    return from_bits(((to_bits(x) - 0x3f3504f3u) & 0x007fffffu) + 0x3f3504f3u);
}

// The half of a word that element i is in.
fn half_of(word: u32, i: u32) -> u32 {
    return (word >> (16u * (i & 1u))) & 0xffffu;
}

// `word` with the low half replaced, for the last element of an odd number.
fn with_low(word: u32, bits: u32) -> u32 {
    return (word & 0xffff0000u) | bits;
}

// By hand in both directions: `unpack2x16float` may flush what is subnormal, `pack2x16float` round either way.
fn from_f16(bits: u32) -> f32 {
    let sign = (bits & 0x8000u) << 16u;
    let magnitude = bits & 0x7fffu;
    if (magnitude < 0x400u) {
        return from_bits(sign | to_bits(f32(magnitude) * 5.9604644775390625e-8));
    }
    let wide = magnitude << 13u;
    return from_bits(sign | select(wide + 0x38000000u, wide | 0x7f800000u, magnitude >= 0x7c00u));
}

fn to_f16(x: f32) -> u32 {
    let bits = to_bits(x);
    let sign = (bits >> 16u) & 0x8000u;
    let magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) {
        return sign | 0x7e00u;
    }
    if (magnitude >= 0x477ff000u) {
        return sign | 0x7c00u;
    }
    if (magnitude < 0x38800000u) {
        // Subnormal: adding 0.5 leaves the rounded multiple of 2^-24 in the low bits.
        return sign | (to_bits(from_bits(magnitude) + 0.5) - 0x3f000000u);
    }
    let rounded = magnitude + 0xfffu + ((magnitude >> 13u) & 1u);
    return sign | ((rounded - 0x38000000u) >> 13u);
}

fn from_bf16(bits: u32) -> f32 {
    return from_bits(bits << 16u);
}

fn to_bf16(x: f32) -> u32 {
    let bits = to_bits(x);
    if (is_nan(x)) {
        return (bits >> 16u) | 0x40u;
    }
    return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}

fn group_index(group: vec3<u32>) -> u32 {
    return group.y * GROUPS_A_ROW + group.x;
}
