// Philox4x32-10 (Salmon et al. 2011): block b is the words of counter (b, STREAM, step) under the seed.

WORD static f32 uniform_of(u32 word) { return f32(word >> 8) * 5.9604644775390625e-8f; }

/// -ln of (word + 1/2) / 2^24 for the word's upper 24 bits. Near 1 by the series of the hyperbolic tangent's
/// inverse in the distance from 1, which is exact where the number itself would be rounded.
WORD static f32 minus_log(u32 word) {
    const u32 n = word >> 8;
    if (n < 0x800000u) return -log((f32(n) + 0.5f) * 5.9604644775390625e-8f);
    const f32 c = (f32(0x1000000u - n) - 0.5f) * 5.9604644775390625e-8f;
    const f32 s = c / (2.0f - c), z = s * s;
    const f32 high = ((z / 15.0f + 1.0f / 13.0f) * z + 1.0f / 11.0f) * z + 1.0f / 9.0f;
    return 2.0f * s * ((((high * z + 1.0f / 7.0f) * z + 0.2f) * z + 1.0f / 3.0f) * z + 1.0f);
}

/// Box and Muller: radius from one word, angle from the other, whose quarter turns are exact.
WORD static void normal_pair(u32 a, u32 b, f32& first, f32& second) {
    const f32 radius = sqrt(2.0f * minus_log(a));
    const f32 turns = 4.0f * uniform_of(b);
    const f32 n = floor(turns + 0.5f);
    const f32 angle = (turns - n) * 1.5707963267948966f;
    const f32 s = radius * sin_core(angle), c = radius * cos_core(angle);
    const f32 q = quadrant(n);
    first = q == 0.0f ? c : q == 1.0f ? -s : q == 2.0f ? -c : s;
    second = q == 0.0f ? s : q == 1.0f ? c : q == 2.0f ? -s : -c;
}

KERNEL(random) {
    const u32 block = group_index() * THREADS + thread_index();
    if (4 * block >= COUNT) return;
    u32 k0 = u32(load_key(0)), k1 = u32(load_key(1));
    u32 c[4] = {block, STREAM, u32(load_key(2)), u32(load_key(3))};
    for (u32 round = 0; round < 10; round++) {
        const u32 high0 = __umulhi(0xd2511f53u, c[0]), high1 = __umulhi(0xcd9e8d57u, c[2]);
        const u32 low0 = 0xd2511f53u * c[0], low1 = 0xcd9e8d57u * c[2];
        c[0] = high1 ^ c[1] ^ k0;
        c[1] = low1;
        c[2] = high0 ^ c[3] ^ k1;
        c[3] = low0;
        k0 += 0x9e3779b9u;
        k1 += 0xbb67ae85u;
    }
    f32 values[4];
    if (NORMAL) {
        normal_pair(c[0], c[1], values[0], values[1]);
        normal_pair(c[2], c[3], values[2], values[3]);
    } else {
        for (u32 j = 0; j < 4; j++) values[j] = uniform_of(c[j]);
    }
    for (u32 j = 0; j < 4; j++) {
        if (4 * block + j < COUNT) finish(4 * block + j, values[j]);
    }
}
