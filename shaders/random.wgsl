// Philox4x32-10 (Salmon et al. 2011): block b is the words of counter (b, STREAM, step) under the seed.

fn high_word(a: u32, b: u32) -> u32 {
    // WGSL has no 64-bit product: halves of 16 bits.
    let a0 = a & 0xffffu;
    let a1 = a >> 16u;
    let b0 = b & 0xffffu;
    let b1 = b >> 16u;
    let low = a0 * b0;
    let cross = a1 * b0 + (low >> 16u);
    let other = a0 * b1 + (cross & 0xffffu);
    return a1 * b1 + (cross >> 16u) + (other >> 16u);
}

fn philox(block: u32) -> vec4<u32> {
    var k0 = bitcast<u32>(load_key(0u));
    var k1 = bitcast<u32>(load_key(1u));
    var c = vec4<u32>(block, STREAM, bitcast<u32>(load_key(2u)), bitcast<u32>(load_key(3u)));
    for (var round = 0u; round < 10u; round++) {
        let high0 = high_word(0xd2511f53u, c.x);
        let high1 = high_word(0xcd9e8d57u, c.z);
        c = vec4<u32>(high1 ^ c.y ^ k0, 0xcd9e8d57u * c.z, high0 ^ c.w ^ k1, 0xd2511f53u * c.x);
        k0 += 0x9e3779b9u;
        k1 += 0xbb67ae85u;
    }
    return c;
}

fn uniform_of(word: u32) -> f32 {
    return f32(word >> 8u) * 5.9604644775390625e-8;
}

// -ln of (word + 1/2) / 2^24 for the word's upper 24 bits. Near 1 by the series of the hyperbolic tangent's
// inverse in the distance from 1, which is exact where the number itself would be rounded.
fn minus_log(word: u32) -> f32 {
    let n = word >> 8u;
    if (n < 0x800000u) {
        return -log((f32(n) + 0.5) * 5.9604644775390625e-8);
    }
    let c = (f32(0x1000000u - n) - 0.5) * 5.9604644775390625e-8;
    let s = c / (2.0 - c);
    let z = s * s;
    let high = ((z / 15.0 + 1.0 / 13.0) * z + 1.0 / 11.0) * z + 1.0 / 9.0;
    return 2.0 * s * ((((high * z + 1.0 / 7.0) * z + 0.2) * z + 1.0 / 3.0) * z + 1.0);
}

// Box and Muller: radius from one word, angle from the other, whose quarter turns are exact.
fn normal_pair(a: u32, b: u32) -> vec2<f32> {
    let radius = sqrt(2.0 * minus_log(a));
    let turns = 4.0 * uniform_of(b);
    let n = floor(turns + 0.5);
    let angle = (turns - n) * 1.5707963267948966;
    let s = sin_core(angle);
    let c = cos_core(angle);
    let q = quadrant(n);
    if (q == 0.0) {
        return radius * vec2<f32>(c, s);
    }
    if (q == 1.0) {
        return radius * vec2<f32>(-s, c);
    }
    if (q == 2.0) {
        return radius * vec2<f32>(-c, -s);
    }
    return radius * vec2<f32>(s, -c);
}

fn finish_some(i: u32, value: f32) {
    if (i < COUNT) {
        finish(i, value);
    }
}

@compute @workgroup_size(THREADS)
fn random(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let block = group_index(group) * THREADS + thread;
    let i = 4u * block;
    if (i >= COUNT) {
        return;
    }
    let words = philox(block);
    var low = vec2<f32>(uniform_of(words.x), uniform_of(words.y));
    var high = vec2<f32>(uniform_of(words.z), uniform_of(words.w));
    if (NORMAL == 1u) {
        low = normal_pair(words.x, words.y);
        high = normal_pair(words.z, words.w);
    }
    finish_some(i, low.x);
    finish_some(i + 1u, low.y);
    finish_some(i + 2u, high.x);
    finish_some(i + 3u, high.y);
}
