// What every kernel sees: types, the words of rows that touch bits or are the device's own instructions (the
// others follow from `ops/vocabulary.rs`), bf16 as u16 (f16 is in `ptx.cu`), the place of a group and a thread.

typedef unsigned int u32;
typedef int i32;
typedef float f32;
typedef unsigned short u16;

// Where a kernel file's text stands, `KERNEL` begins a member of the structure of its bindings.
#define KERNEL(entry) __device__ __forceinline__ void entry()
#define WORD __device__ __forceinline__

WORD f32 from_bits(u32 bits) { return __uint_as_float(bits); }
WORD u32 to_bits(f32 x) { return __float_as_uint(x); }
WORD f32 sqrt(f32 x) { return __fsqrt_rn(x); }
WORD f32 abs(f32 x) { return from_bits(to_bits(x) & 0x7fffffffu); }
WORD f32 floor(f32 x) { return ::floorf(x); }
WORD f32 select(f32 if_false, f32 if_true, bool condition) { return condition ? if_true : if_false; }
WORD bool is_nan(f32 x) { return (to_bits(x) & 0x7fffffffu) > 0x7f800000u; }
WORD f32 infinity() { return from_bits(0x7f800000u); }
WORD f32 nan() { return from_bits(0x7fc00000u); }
WORD f32 pow2(f32 n) { return from_bits(u32(i32(n + 127.0f)) << 23); }
WORD f32 exponent(f32 x) { return f32(i32(to_bits(x) - 0x3f3504f3u) >> 23); }
WORD f32 mantissa(f32 x) { return from_bits(((to_bits(x) - 0x3f3504f3u) & 0x007fffffu) + 0x3f3504f3u); }

WORD f32 from_bf16(u16 bits) { return from_bits(u32(bits) << 16); }
WORD u16 to_bf16(f32 x) {
    const u32 bits = to_bits(x);
    if (is_nan(x)) return u16((bits >> 16) | 0x40u);
    return u16((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

WORD u32 group_index() { return blockIdx.y * gridDim.x + blockIdx.x; }
WORD u32 thread_index() { return threadIdx.x; }

/// `join` of the values of all threads of a group, given to each of them, always in the same order.
template <u32 threads, class Join>
WORD f32 join_group(f32 value, Join join) {
    for (u32 reach = 16; reach > 0; reach /= 2) value = join(__shfl_xor_sync(~0u, value, reach), value);
    if (threads == 32) return value;
    __shared__ f32 warps[threads / 32];
    // What an earlier call put there may still be being read.
    __syncthreads();
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = value;
    __syncthreads();
    value = warps[0];
    for (u32 w = 1; w < threads / 32; w++) value = join(value, warps[w]);
    return value;
}
