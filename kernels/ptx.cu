// Everything that has no name in CUDA C, as small functions around PTX. The tests put functions of their own
// in the place of this file, which do the same for a warp on the host: change both together.

typedef unsigned short u16;
typedef unsigned int u32;

__device__ __forceinline__ float from_f16(u16 x) {
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x));
    return y;
}

__device__ __forceinline__ u16 to_f16(float x) {
    u16 y;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y) : "f"(x));
    return y;
}

/// Four 8 x 8 matrices of 16-bit numbers from shared memory: lane 8 i + r names row r of matrix i (16 bytes,
/// aligned); lane l receives of each matrix row l / 4, columns 2 (l % 4) and the next.
__device__ __forceinline__ void ldmatrix_x4(u32 (&r)[4], const void* row) {
    u32 address;
    asm("{ .reg .u64 a; cvta.to.shared.u64 a, %1; cvt.u32.u64 %0, a; }" : "=r"(address) : "l"(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
        : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
        : "r"(address)
        : "memory");
}

/// As above with every matrix transposed on its way.
__device__ __forceinline__ void ldmatrix_x4_transposed(u32 (&r)[4], const void* row) {
    u32 address;
    asm("{ .reg .u64 a; cvta.to.shared.u64 a, %1; cvt.u32.u64 %0, a; }" : "=r"(address) : "l"(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
        : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
        : "r"(address)
        : "memory");
}

#if __CUDA_ARCH__ >= 800

/// Rounds to the 19 bits that a tf32 product looks at.
__device__ __forceinline__ u32 f32_to_tf32(float x) {
    u32 y;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y) : "f"(x));
    return y;
}

/// d += a b for a 16 x 16 tile of a (row by row) and a 16 x 8 tile of b (column by column). With g = lane / 4
/// and t = lane % 4, a lane holds a[g][2t..], a[g + 8][2t..], a[g][2t + 8..], a[g + 8][2t + 8..] in pairs,
/// b[2t..][g], b[2t + 8..][g] in pairs, and d[g][2t], d[g][2t + 1], d[g + 8][2t], d[g + 8][2t + 1].
__device__ __forceinline__ void mma_m16n8k16_bf16(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ void mma_m16n8k16_f16(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// The same for 8 of k and one number a register: a[g][t], a[g + 8][t], a[g][t + 4], a[g + 8][t + 4];
/// b[t][g], b[t + 4][g].
__device__ __forceinline__ void mma_m16n8k8_tf32(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// Sixteen aligned bytes on their way to shared memory; `valid` false writes zeros and reads nothing.
__device__ __forceinline__ void cp_async_16(void* shared, const void* global, bool valid) {
    u32 address;
    asm("{ .reg .u64 a; cvta.to.shared.u64 a, %1; cvt.u32.u64 %0, a; }" : "=r"(address) : "l"(shared));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(global), "r"(valid ? 16 : 0) : "memory");
}

__device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

/// Until at most `open` of the groups that this thread committed are still under way.
template <int open>
__device__ __forceinline__ void cp_async_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(open) : "memory");
}

#else

// Turing has tensor cores for f16 alone and no asynchronous copies: the same results by what it has.

__device__ __forceinline__ u32 f32_to_tf32(float x) {
    const u32 bits = __float_as_uint(x);
    return (bits & 0x7f800000u) == 0x7f800000u ? bits : (bits + 0x1000u) & 0xffffe000u;
}

__device__ __forceinline__ void mma_m16n8k16_f16(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    for (int half = 0; half < 2; half++) {
        asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
            : "r"(a[2 * half]), "r"(a[2 * half + 1]), "r"(b[half]));
    }
}

__device__ __forceinline__ void mma_m16n8k16_bf16(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    const u32 lane = threadIdx.x % 32, row = lane & ~3u, column = lane % 4 * 8;
    for (u32 pair = 0; pair < 8; pair++) {
        u32 left[2], right[2];
        for (u32 n = 0; n < 2; n++) {
            left[n] = __shfl_sync(~0u, a[pair / 4 * 2 + n], row + pair % 4);
            right[n] = __shfl_sync(~0u, b[pair / 4], column + 4 * n + pair % 4);
        }
        for (u32 n = 0; n < 4; n++) {
            const u32 x = left[n / 2], y = right[n % 2];
            d[n] += __uint_as_float(x << 16) * __uint_as_float(y << 16);
            d[n] += __uint_as_float(x & 0xffff0000u) * __uint_as_float(y & 0xffff0000u);
        }
    }
}

__device__ __forceinline__ void mma_m16n8k8_tf32(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    const u32 lane = threadIdx.x % 32, row = lane & ~3u, column = lane % 4 * 8;
    for (u32 k = 0; k < 8; k++) {
        float left[2], right[2];
        for (u32 n = 0; n < 2; n++) {
            left[n] = __uint_as_float(__shfl_sync(~0u, a[k / 4 * 2 + n], row + k % 4));
            right[n] = __uint_as_float(__shfl_sync(~0u, b[k / 4], column + 4 * n + k % 4));
        }
        for (u32 n = 0; n < 4; n++) d[n] += left[n / 2] * right[n % 2];
    }
}

__device__ __forceinline__ void cp_async_16(void* shared, const void* global, bool valid) {
    *(uint4*)shared = valid ? *(const uint4*)global : make_uint4(0, 0, 0, 0);
}
__device__ __forceinline__ void cp_async_commit() {}
template <int open>
__device__ __forceinline__ void cp_async_wait() {}

#endif
