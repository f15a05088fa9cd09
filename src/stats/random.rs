//! Counter-based random numbers: Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers:
//! as easy as 1, 2, 3" (SC 2011).
//!
//! A value depends on (seed, stream, index) alone, so a run can be cut, resumed, or split over threads and
//! devices and still draw the same numbers.

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// One block of four random words: the bijection of Salmon et al. 2011, section 3.3, with ten rounds.
pub fn philox4x32_10(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let (mut c, mut k) = (counter, key);
    for round in 0..10 {
        if round > 0 {
            k = [k[0].wrapping_add(WEYL[0]), k[1].wrapping_add(WEYL[1])];
        }
        let p0 = u64::from(MULTIPLIERS[0]) * u64::from(c[0]);
        let p1 = u64::from(MULTIPLIERS[1]) * u64::from(c[2]);
        c = [(p1 >> 32) as u32 ^ c[1] ^ k[0], p1 as u32, (p0 >> 32) as u32 ^ c[3] ^ k[1], p0 as u32];
    }
    c
}

/// A random word as a float in [0, 1) with 24 random bits.
pub fn unit_f32(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / (1u32 << 24) as f32)
}

/// Two random words as a float in [0, 1) with 53 random bits.
pub fn unit_f64(low: u32, high: u32) -> f64 {
    let bits = ((u64::from(high) << 32) | u64::from(low)) >> 11;
    bits as f64 * (1.0 / (1u64 << 53) as f64)
}

/// A sequence of random numbers. The key is the seed; the counter is (position, stream), so streams of one
/// seed never overlap.
#[derive(Debug, Clone)]
pub struct Philox {
    key: [u32; 2],
    stream: [u32; 2],
    /// Number of blocks drawn so far.
    block: u64,
    words: [u32; 4],
    /// Words of `words` already handed out.
    used: usize,
    spare_normal: Option<f64>,
}

fn halves(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

impl Philox {
    pub fn new(seed: u64, stream: u64) -> Self {
        Philox {
            key: halves(seed),
            stream: halves(stream),
            block: 0,
            words: [0; 4],
            used: 4,
            spare_normal: None,
        }
    }

    /// Jumps to a block of four words, in constant time; what was half drawn is dropped.
    pub fn seek(&mut self, block: u64) {
        self.block = block;
        self.used = 4;
        self.spare_normal = None;
    }

    /// The next 32 random bits.
    pub fn u32(&mut self) -> u32 {
        if self.used == 4 {
            let [low, high] = halves(self.block);
            self.words = philox4x32_10([low, high, self.stream[0], self.stream[1]], self.key);
            self.block = self.block.wrapping_add(1);
            self.used = 0;
        }
        self.used += 1;
        self.words[self.used - 1]
    }

    /// The next 64 random bits, the low word drawn first.
    pub fn u64(&mut self) -> u64 {
        let low = self.u32();
        (u64::from(self.u32()) << 32) | u64::from(low)
    }

    /// Uniform in [0, 1).
    pub fn uniform_f32(&mut self) -> f32 {
        unit_f32(self.u32())
    }

    /// Uniform in [0, 1).
    pub fn uniform_f64(&mut self) -> f64 {
        let low = self.u32();
        unit_f64(low, self.u32())
    }

    /// Standard normal by Box and Muller; both values of a pair are used.
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare_normal.take() {
            return spare;
        }
        // 1 - u lies in (0, 1], so its logarithm is finite.
        let radius = (-2.0 * (1.0 - self.uniform_f64()).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * self.uniform_f64()).sin_cos();
        self.spare_normal = Some(radius * sin);
        radius * cos
    }

    /// Standard normal in single precision.
    pub fn normal_f32(&mut self) -> f32 {
        self.normal() as f32
    }

    /// Uniform integer in 0..n without bias (Lemire's multiply and reject); 0 for n = 0.
    pub fn below(&mut self, n: usize) -> usize {
        let n = n as u64;
        if n == 0 {
            return 0;
        }
        let reject_under = n.wrapping_neg() % n;
        loop {
            let product = u128::from(self.u64()) * u128::from(n);
            if product as u64 >= reject_under {
                return (product >> 64) as usize;
            }
        }
    }

    /// Shuffles in place (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.below(i + 1);
            items.swap(i, j);
        }
    }

    /// A random order of 0..n.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        self.shuffle(&mut order);
        order
    }

    /// `k` different numbers of 0..n in random order (all of them if k > n), in memory O(k) by Floyd's method.
    pub fn choice(&mut self, n: usize, k: usize) -> Vec<usize> {
        let k = k.min(n);
        let mut seen = std::collections::HashSet::with_capacity(k);
        let mut chosen = Vec::with_capacity(k);
        for top in n - k..n {
            let drawn = self.below(top + 1);
            let pick = if seen.contains(&drawn) { top } else { drawn };
            seen.insert(pick);
            chosen.push(pick);
        }
        self.shuffle(&mut chosen);
        chosen
    }

    /// An index drawn with probability proportional to its weight; weights that are not positive finite numbers count
    /// as zero, and if all do, the draw is uniform.
    pub fn weighted(&mut self, weights: &[f64]) -> usize {
        let weight = |w: &f64| if w.is_finite() && *w > 0.0 { *w } else { 0.0 };
        let total: f64 = weights.iter().map(weight).sum();
        if total.is_nan() || total <= 0.0 || total.is_infinite() {
            return self.below(weights.len());
        }
        let target = self.uniform_f64() * total;
        let mut sum = 0.0;
        let mut last = 0;
        for (i, w) in weights.iter().enumerate().filter(|(_, w)| weight(w) > 0.0) {
            sum += w;
            last = i;
            if target < sum {
                return i;
            }
        }
        last
    }
}
