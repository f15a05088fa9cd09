//! Colours that people with colour-blindness can tell apart: Okabe and Ito's palette for few categories, evenly
//! spread hues for many, and viridis for values.

/// Red, green, blue.
pub type Rgb = [u8; 3];

pub const INK: Rgb = [0x22, 0x26, 0x2b];
pub const MUTED: Rgb = [0x6b, 0x72, 0x7b];
pub const GRID: Rgb = [0xe6, 0xe8, 0xeb];

/// Okabe and Ito 2008, the yellow darkened so that it shows on white.
const FEW: [Rgb; 8] = [
    [0x00, 0x72, 0xb2],
    [0xd5, 0x5e, 0x00],
    [0x00, 0x9e, 0x73],
    [0xcc, 0x79, 0xa7],
    [0x56, 0xb4, 0xe9],
    [0xe6, 0x9f, 0x00],
    [0x33, 0x33, 0x33],
    [0xb5, 0xa6, 0x1e],
];

/// Twenty evenly spaced colours of matplotlib's viridis (van der Walt and Smith, public domain).
const VIRIDIS: [u32; 20] = [
    0x440154, 0x481567, 0x482677, 0x453781, 0x404788, 0x39568c, 0x33638d, 0x2d708e, 0x287d8e, 0x238a8d,
    0x1f968b, 0x20a387, 0x29af7f, 0x3cbb75, 0x55c667, 0x73d055, 0x95d840, 0xb8de29, 0xdce319, 0xfde725,
];

fn from_hex(hex: u32) -> Rgb {
    [(hex >> 16) as u8, (hex >> 8) as u8, hex as u8]
}

/// Colour of a value in [0, 1]; values outside are clamped, NaN is grey.
pub fn viridis(t: f64) -> Rgb {
    if t.is_nan() {
        return [0xb0, 0xb0, 0xb0];
    }
    let position = t.clamp(0.0, 1.0) * (VIRIDIS.len() - 1) as f64;
    let below = (position as usize).min(VIRIDIS.len() - 2);
    mix(from_hex(VIRIDIS[below]), from_hex(VIRIDIS[below + 1]), position - below as f64)
}

/// `a` for t = 0, `b` for t = 1.
pub fn mix(a: Rgb, b: Rgb, t: f64) -> Rgb {
    std::array::from_fn(|c| (f64::from(a[c]) * (1.0 - t) + f64::from(b[c]) * t).round() as u8)
}

/// Colour `i` of `n` categories.
pub fn category(i: usize, n: usize) -> Rgb {
    if n <= FEW.len() {
        return FEW[i % FEW.len()];
    }
    // Neighbouring numbers differ in hue by the golden angle and in lightness.
    let hue = (i as f64 * 0.618_033_988_75 + 0.58).fract();
    let (lightness, chroma) = [(0.58, 0.15), (0.74, 0.12), (0.45, 0.12)][i % 3];
    oklch(lightness, chroma, hue)
}

/// OKLCH (Ottosson 2020) to sRGB; hue in turns.
fn oklch(lightness: f64, chroma: f64, hue: f64) -> Rgb {
    let (sin, cos) = (hue * std::f64::consts::TAU).sin_cos();
    let (a, b) = (chroma * cos, chroma * sin);
    let l = (lightness + 0.3963377774 * a + 0.2158037573 * b).powi(3);
    let m = (lightness - 0.1055613458 * a - 0.0638541728 * b).powi(3);
    let s = (lightness - 0.0894841775 * a - 1.2914855480 * b).powi(3);
    let linear = [
        4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
        -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
        -0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s,
    ];
    linear.map(|v| {
        let v = v.clamp(0.0, 1.0);
        let encoded = if v <= 0.0031308 { 12.92 * v } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 };
        (encoded * 255.0).round() as u8
    })
}
