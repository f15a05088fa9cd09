// CUDA C on the host: the threads of a block are fibers of one thread, warps meet at shuffles, blocks at
// barriers. It is a referee rather than a simulator: whatever CUDA leaves undefined is an error here or comes
// out wrong on purpose. Threads run in a shuffled order (a missing barrier shows), shared memory starts as
// NaN, asynchronous copies arrive at the last moment allowed, a lane missing from a shuffle is reported.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <sys/mman.h>
#include <utility>

#if !defined(__x86_64__) && !defined(__aarch64__)
#error "the fibers of this header know x86-64 and aarch64"
#endif

namespace shim {

constexpr int MOST_THREADS = 1024;
constexpr int WARP = 32;
constexpr size_t STACK = 128 << 10;

struct Dim {
    unsigned x, y, z;
};

enum class State { Ready, Barrier, Collective, Done };

/// What a whole warp does at once; a null pointer stands for a lane that does not take part.
using Operation = const char* (*)(void** lanes);

/// A copy to shared memory that has been asked for and not yet waited for.
struct Copy {
    void* to;
    uint64_t bytes[2];
    int group;
};

struct Fiber {
    void* stack_pointer;
    State state;
    int line;
    Operation operation;
    unsigned mask;
    void* lane;
    Copy copies[64];
    int copy_count, group;
};

struct Machine {
    Fiber fibers[MOST_THREADS];
    char* stacks;
    void* scheduler;
    int current, threads;
    void (*thread)(void**);
    void** arguments;
    uint32_t random;
    char error[400];
    Dim thread_index, block_index, block_size, grid_size;
};

inline Machine machine;

extern "C" __attribute__((visibility("hidden"))) void shim_switch(void** from, void* to);
#if defined(__x86_64__)
asm(R"(
    .text
    .type shim_switch, @function
shim_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size shim_switch, .-shim_switch
)");
constexpr int SAVED_WORDS = 8, RETURN_WORD = 6;
#else
asm(R"(
    .text
    .type shim_switch, %function
shim_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
    .size shim_switch, .-shim_switch
)");
constexpr int SAVED_WORDS = 20, RETURN_WORD = 11;
#endif

template <class... Arguments>
inline void fail(const char* format, Arguments... arguments) {
    if (!machine.error[0]) snprintf(machine.error, sizeof machine.error, format, arguments...);
}

inline Fiber& self() { return machine.fibers[machine.current]; }

inline void leave(State state) {
    self().state = state;
    shim_switch(&self().stack_pointer, machine.scheduler);
}

/// Ends the thread and, through the scheduler, the launch.
template <class... Arguments>
inline void abort_thread(const char* format, Arguments... arguments) {
    fail(format, arguments...);
    leave(State::Done);
}

inline void barrier(int line) {
    self().line = line;
    leave(State::Barrier);
}

inline void collective(int line, Operation operation, unsigned mask, void* lane) {
    Fiber& fiber = self();
    fiber.line = line;
    fiber.operation = operation;
    fiber.mask = mask;
    fiber.lane = lane;
    if (!(mask >> machine.current % WARP & 1)) {
        abort_thread("line %d: thread %d calls a warp function whose mask %08x leaves it out", line, machine.current, mask);
    }
    leave(State::Collective);
}

inline void finish_copies(int groups_open) {
    Fiber& fiber = self();
    int kept = 0;
    for (int i = 0; i < fiber.copy_count; i++) {
        if (fiber.copies[i].group + groups_open < fiber.group) {
            memcpy(fiber.copies[i].to, fiber.copies[i].bytes, 16);
        } else {
            fiber.copies[kept++] = fiber.copies[i];
        }
    }
    fiber.copy_count = kept;
}

inline void begin_fiber() {
    machine.thread(machine.arguments);
    if (self().copy_count) fail("thread %d ends with asynchronous copies under way", machine.current);
    leave(State::Done);
    __builtin_trap();
}

inline void prepare(int thread) {
    Fiber& fiber = machine.fibers[thread];
    void** top = reinterpret_cast<void**>(machine.stacks + (thread + 1) * STACK) - 2;
    // A call leaves the stack 8 bytes off a multiple of 16 on x86-64, and on it on aarch64.
    void** frame = top - SAVED_WORDS;
    memset(frame, 0, SAVED_WORDS * sizeof *frame);
    frame[RETURN_WORD] = reinterpret_cast<void*>(&begin_fiber);
    fiber.stack_pointer = frame;
    fiber.state = State::Ready;
    fiber.copy_count = fiber.group = 0;
}

inline uint32_t next_random() {
    machine.random ^= machine.random << 13;
    machine.random ^= machine.random >> 17;
    machine.random ^= machine.random << 5;
    return machine.random;
}

inline void shuffle(int* order, int count) {
    for (int i = count - 1; i > 0; i--) {
        int j = next_random() % (i + 1);
        int held = order[i];
        order[i] = order[j];
        order[j] = held;
    }
}

/// Runs what the waiting lanes of a warp agree on. True where something happened.
inline bool run_collective(int warp) {
    Fiber* lanes = machine.fibers + warp * WARP;
    int count = machine.threads - warp * WARP < WARP ? machine.threads - warp * WARP : WARP;
    for (int lane = 0; lane < count; lane++) {
        if (lanes[lane].state != State::Collective) continue;
        Fiber& first = lanes[lane];
        void* values[WARP] = {};
        for (int other = 0; other < WARP; other++) {
            if (!(first.mask >> other & 1)) continue;
            if (other >= count || lanes[other].state == State::Done) {
                fail("line %d: lane %d of warp %d has left, and lane %d waits for it in a warp function", first.line, other, warp, lane);
                return false;
            }
            Fiber& fiber = lanes[other];
            if (fiber.state != State::Collective) {
                fail("lanes of warp %d have parted: lane %d waits in a warp function at line %d, lane %d at the barrier of line %d",
                     warp, lane, first.line, other, fiber.line);
                return false;
            }
            if (fiber.operation != first.operation || fiber.mask != first.mask || fiber.line != first.line) {
                fail("lanes of warp %d have parted: lane %d is at line %d (mask %08x), lane %d at line %d (mask %08x)", warp, lane,
                     first.line, first.mask, other, fiber.line, fiber.mask);
                return false;
            }
            values[other] = fiber.lane;
        }
        if (const char* problem = first.operation(values)) {
            fail("line %d, warp %d: %s", first.line, warp, problem);
            return false;
        }
        for (int other = 0; other < count; other++) {
            if (first.mask >> other & 1) lanes[other].state = State::Ready;
        }
        return true;
    }
    return false;
}

inline void run_block() {
    int order[MOST_THREADS];
    for (int i = 0; i < machine.threads; i++) {
        order[i] = i;
        prepare(i);
    }
    while (!machine.error[0]) {
        shuffle(order, machine.threads);
        for (int i = 0; i < machine.threads && !machine.error[0]; i++) {
            int thread = order[i];
            if (machine.fibers[thread].state != State::Ready) continue;
            machine.current = thread;
            machine.thread_index = {unsigned(thread) % machine.block_size.x, unsigned(thread) / machine.block_size.x, 0};
            shim_switch(&machine.scheduler, machine.fibers[thread].stack_pointer);
        }
        bool progress = false;
        for (int warp = 0; warp * WARP < machine.threads && !machine.error[0]; warp++) {
            progress |= run_collective(warp);
        }
        if (progress || machine.error[0]) continue;
        int waiting = 0, line = 0;
        for (int i = 0; i < machine.threads; i++) {
            Fiber& fiber = machine.fibers[i];
            if (fiber.state != State::Barrier) continue;
            if (waiting++ && fiber.line != line) {
                return fail("threads of a block wait at different barriers: lines %d and %d", line, fiber.line);
            }
            line = fiber.line;
        }
        if (!waiting) return;
        for (int i = 0; i < machine.threads; i++) {
            if (machine.fibers[i].state == State::Barrier) machine.fibers[i].state = State::Ready;
        }
    }
}

/// All blocks of a launch. Returns what went wrong, or null.
inline const char* launch(void (*thread)(void**), void** arguments, unsigned groups, unsigned threads, char* shared, size_t shared_bytes) {
    machine.error[0] = 0;
    machine.random = 0x9e3779b9;
    if (threads == 0 || threads > MOST_THREADS) {
        fail("a block of %u threads", threads);
        return machine.error;
    }
    if (!machine.stacks) {
        void* memory = mmap(nullptr, MOST_THREADS * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) return "no memory for the stacks of fibers";
        machine.stacks = static_cast<char*>(memory);
    }
    machine.thread = thread;
    machine.arguments = arguments;
    machine.threads = threads;
    machine.block_size = {threads, 1, 1};
    machine.grid_size = {groups, 1, 1};
    // Blocks in an order of their own: a stride that visits each once.
    unsigned stride = groups > 2 ? groups / 2 + 1 : 1;
    while (groups > 2 && [&] { unsigned a = groups, b = stride; while (b) { unsigned c = a % b; a = b; b = c; } return a; }() != 1) stride++;
    uint64_t at = 0;
    for (unsigned i = 0; i < groups && !machine.error[0]; i++, at = (at + stride) % groups) {
        machine.block_index = {unsigned(at), 0, 0};
        if (shared_bytes) memset(shared, 0xff, shared_bytes);
        run_block();
    }
    return machine.error[0] ? machine.error : nullptr;
}

template <class T>
struct Exchange {
    T value, result;
    int source;
};

template <class T>
inline const char* exchange(void** lanes) {
    for (int lane = 0; lane < WARP; lane++) {
        auto* mine = static_cast<Exchange<T>*>(lanes[lane]);
        if (!mine) continue;
        auto* theirs = static_cast<Exchange<T>*>(lanes[mine->source & (WARP - 1)]);
        if (!theirs) return "a shuffle reads a lane that takes no part in it";
        mine->result = theirs->value;
    }
    return nullptr;
}

template <class T>
inline T exchange_with(int line, unsigned mask, T value, int source) {
    Exchange<T> lane{value, value, source};
    collective(line, &exchange<T>, mask, &lane);
    return lane.result;
}

inline int own_lane() { return machine.current % WARP; }

struct Vote {
    bool value;
    unsigned result;
};

inline const char* vote(void** lanes) {
    unsigned result = 0;
    for (int lane = 0; lane < WARP; lane++) {
        if (lanes[lane] && static_cast<Vote*>(lanes[lane])->value) result |= 1u << lane;
    }
    for (int lane = 0; lane < WARP; lane++) {
        if (lanes[lane]) static_cast<Vote*>(lanes[lane])->result = result;
    }
    return nullptr;
}

inline unsigned ballot(int line, unsigned mask, bool value) {
    Vote lane{value, 0};
    collective(line, &vote, mask, &lane);
    return lane.result;
}

inline const char* meet(void**) { return nullptr; }

template <class To, class From>
inline To bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "same size");
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}

/// A kernel whose parameters come out of an array of pointers to them.
template <auto kernel>
struct Thread;

template <class... Parameters, void (*kernel)(Parameters...)>
struct Thread<kernel> {
    static void run(void** arguments) { spread(arguments, std::make_index_sequence<sizeof...(Parameters)>{}); }

    template <size_t... at>
    static void spread(void** arguments, std::index_sequence<at...>) {
        kernel(*static_cast<Parameters*>(arguments[at])...);
    }
};

}  // namespace shim

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
// In a section of its kernel's own, so that it can be filled before every block.
#define __shared__ static __attribute__((section(SHARED_SECTION)))

#define threadIdx shim::machine.thread_index
#define blockIdx shim::machine.block_index
#define blockDim shim::machine.block_size
#define gridDim shim::machine.grid_size

#define __syncthreads() shim::barrier(__LINE__)
#define __syncwarp() shim::collective(__LINE__, &shim::meet, ~0u, nullptr)
#define __shfl_sync(mask, value, lane) shim::exchange_with(__LINE__, mask, value, lane)
#define __shfl_xor_sync(mask, value, bits) shim::exchange_with(__LINE__, mask, value, shim::own_lane() ^ (bits))
// Beyond the ends of the warp a lane keeps its own value.
#define __shfl_down_sync(mask, value, by) \
    shim::exchange_with(__LINE__, mask, value, shim::own_lane() + int(by) < 32 ? shim::own_lane() + int(by) : shim::own_lane())
#define __shfl_up_sync(mask, value, by) \
    shim::exchange_with(__LINE__, mask, value, shim::own_lane() >= int(by) ? shim::own_lane() - int(by) : shim::own_lane())
#define __ballot_sync(mask, value) shim::ballot(__LINE__, mask, value)
#define __any_sync(mask, value) (shim::ballot(__LINE__, mask, value) != 0)
#define __all_sync(mask, value) (shim::ballot(__LINE__, mask, !(value)) == 0)

inline float __uint_as_float(unsigned x) { return shim::bits<float>(x); }
inline unsigned __float_as_uint(float x) { return shim::bits<unsigned>(x); }
inline float __int_as_float(int x) { return shim::bits<float>(x); }
inline int __float_as_int(float x) { return shim::bits<int>(x); }
inline float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline float __fsqrt_rn(float x) { return __builtin_sqrtf(x); }
extern "C" float floorf(float);
/// Saturates, and NaN is 0, as the instruction does.
inline int __float2int_rz(float x) {
    if (x != x) return 0;
    if (x >= 2147483648.0f) return INT32_MAX;
    if (x < -2147483648.0f) return INT32_MIN;
    return int(x);
}
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned(uint64_t(a) * b >> 32); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }
template <class T>
inline T __ldg(const T* pointer) { return *pointer; }

// Integers only: sums of floats must not depend on who comes first.
template <class T>
inline T atomicAdd(T* at, T value) {
    static_assert(T(0.5) == T(0), "atomics are for integers");
    T old = *at;
    *at += value;
    return old;
}
template <class T>
inline T atomicMax(T* at, T value) {
    static_assert(T(0.5) == T(0), "atomics are for integers");
    T old = *at;
    if (value > old) *at = value;
    return old;
}
template <class T>
inline T atomicMin(T* at, T value) {
    static_assert(T(0.5) == T(0), "atomics are for integers");
    T old = *at;
    if (value < old) *at = value;
    return old;
}
template <class T>
inline T atomicCAS(T* at, T expected, T value) {
    T old = *at;
    if (old == expected) *at = value;
    return old;
}

struct __align__(8) float2 { float x, y; };
struct __align__(16) float4 { float x, y, z, w; };
struct __align__(8) uint2 { unsigned x, y; };
struct __align__(16) uint4 { unsigned x, y, z, w; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
