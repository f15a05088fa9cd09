// What kernels/ptx.cu says in PTX, for warps of the host. Layouts of fragments follow the PTX ISA's tables
// for mma.m16n8k16, mma.m16n8k8 and ldmatrix, written down here once more and on their own.
// Comes after cuda_host.h.

typedef unsigned short u16;
typedef unsigned int u32;

inline float from_f16(u16 x) {
    u32 sign = u32(x & 0x8000) << 16, exponent = x >> 10 & 31, fraction = x & 0x3ff;
    if (exponent == 31) return shim::bits<float>(sign | 0x7f800000 | fraction << 13);
    if (exponent == 0) return shim::bits<float>(sign | shim::bits<u32>(float(fraction) * 0x1p-24f));
    return shim::bits<float>(sign | (exponent + 112) << 23 | fraction << 13);
}

inline u16 to_f16(float x) {
    u32 b = shim::bits<u32>(x), sign = b >> 16 & 0x8000, magnitude = b & 0x7fffffff;
    if (magnitude > 0x7f800000) return 0x7fff;
    if (magnitude >= 0x477ff000) return sign | 0x7c00;
    if (magnitude < 0x38800000) {
        // Adding a number whose last place is 2^-24 rounds to subnormals.
        float rounded = shim::bits<float>(magnitude) + 0.5f;
        return sign | u16(shim::bits<u32>(rounded) - shim::bits<u32>(0.5f));
    }
    u32 round = 0xfff + (magnitude >> 13 & 1);
    return sign | u16((magnitude + round - (112u << 23)) >> 13);
}

inline u32 f32_to_tf32(float x) {
    u32 b = shim::bits<u32>(x);
    return (b & 0x7f800000) == 0x7f800000 ? b : (b + 0x1000) & 0xffffe000;
}

namespace shim {

struct Product {
    float* d;
    const u32* a;
    const u32* b;
};

enum class Kind { F16, BF16, TF32 };

template <Kind kind>
inline float element(u32 word, int half) {
    if (kind == Kind::TF32) return bits<float>(word & 0xffffe000);
    u16 x = u16(word >> (16 * half));
    return kind == Kind::F16 ? from_f16(x) : bits<float>(u32(x) << 16);
}

template <Kind kind>
inline const char* multiply(void** lanes) {
    constexpr int K = kind == Kind::TF32 ? 8 : 16;
    float a[16][K], b[K][8];
    for (int lane = 0; lane < WARP; lane++) {
        auto* p = static_cast<Product*>(lanes[lane]);
        if (!p) return "mma wants the whole warp";
        int g = lane / 4, t = lane % 4;
        if constexpr (kind == Kind::TF32) {
            for (int i = 0; i < 4; i++) a[g + 8 * (i & 1)][t + 4 * (i >> 1)] = element<kind>(p->a[i], 0);
            for (int i = 0; i < 2; i++) b[t + 4 * i][g] = element<kind>(p->b[i], 0);
        } else {
            for (int i = 0; i < 8; i++) a[g + 8 * (i >> 1 & 1)][2 * t + (i & 1) + 8 * (i >> 2)] = element<kind>(p->a[i / 2], i & 1);
            for (int i = 0; i < 4; i++) b[2 * t + (i & 1) + 8 * (i >> 1)][g] = element<kind>(p->b[i / 2], i & 1);
        }
    }
    for (int lane = 0; lane < WARP; lane++) {
        float* d = static_cast<Product*>(lanes[lane])->d;
        for (int i = 0; i < 4; i++) {
            int row = lane / 4 + 8 * (i >> 1), column = 2 * (lane % 4) + (i & 1);
            double sum = d[i];
            for (int k = 0; k < K; k++) sum += double(a[row][k]) * double(b[k][column]);
            d[i] = float(sum);
        }
    }
    return nullptr;
}

struct Rows {
    u32* r;
    const u16* row;
};

template <bool transposed>
inline const char* load_matrices(void** lanes) {
    for (int lane = 0; lane < WARP; lane++) {
        if (!lanes[lane]) return "ldmatrix wants the whole warp";
        if (reinterpret_cast<uintptr_t>(static_cast<Rows*>(lanes[lane])->row) % 16) return "ldmatrix wants rows at multiples of 16 bytes";
    }
    for (int lane = 0; lane < WARP; lane++) {
        for (int i = 0; i < 4; i++) {
            auto at = [&](int row, int column) { return static_cast<Rows*>(lanes[8 * i + row])->row[column]; };
            int major = lane / 4, minor = 2 * (lane % 4);
            u16 low = transposed ? at(minor, major) : at(major, minor);
            u16 high = transposed ? at(minor + 1, major) : at(major, minor + 1);
            static_cast<Rows*>(lanes[lane])->r[i] = low | u32(high) << 16;
        }
    }
    return nullptr;
}

template <Kind kind>
inline void mma(int line, float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    Product product{d, a, b};
    collective(line, &multiply<kind>, ~0u, &product);
}

template <bool transposed>
inline void ldmatrix(int line, u32 (&r)[4], const void* row) {
    Rows rows{r, static_cast<const u16*>(row)};
    collective(line, &load_matrices<transposed>, ~0u, &rows);
}

}  // namespace shim

#define mma_m16n8k16_bf16(d, a, b) shim::mma<shim::Kind::BF16>(__LINE__, d, a, b)
#define mma_m16n8k16_f16(d, a, b) shim::mma<shim::Kind::F16>(__LINE__, d, a, b)
#define mma_m16n8k8_tf32(d, a, b) shim::mma<shim::Kind::TF32>(__LINE__, d, a, b)
#define ldmatrix_x4(r, row) shim::ldmatrix<false>(__LINE__, r, row)
#define ldmatrix_x4_transposed(r, row) shim::ldmatrix<true>(__LINE__, r, row)

/// What is read is read now; it arrives when the kernel waits for it and not before.
inline void cp_async_16(void* to, const void* from, bool valid) {
    auto& fiber = shim::self();
    if (reinterpret_cast<uintptr_t>(to) % 16 || (valid && reinterpret_cast<uintptr_t>(from) % 16)) {
        shim::abort_thread("thread %d copies asynchronously from or to an address that is no multiple of 16", shim::machine.current);
    }
    if (fiber.copy_count == 64) shim::abort_thread("thread %d has too many asynchronous copies under way", shim::machine.current);
    shim::Copy& copy = fiber.copies[fiber.copy_count++];
    copy = {to, {0, 0}, fiber.group};
    if (valid) memcpy(copy.bytes, from, 16);
}
inline void cp_async_commit() { shim::self().group++; }
template <int open>
inline void cp_async_wait() {
    shim::finish_copies(open);
}
