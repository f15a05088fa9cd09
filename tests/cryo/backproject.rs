//! Backprojection against the reference, against plain loops, and on maps whose truth is known.

use kinesome::cryo::backproject::{Backprojector, CtfWeighting, Options, Part, View};
use kinesome::cryo::ctf::CtfParams;
use kinesome::cryo::fft::symmetrise3;
use kinesome::cryo::fsc::fsc;
use kinesome::cryo::pose::{from_relion_deg, shift_pixels};
use kinesome::cryo::{Rotation, ctf::CtfGrid, fft::Hartley2, image::PhaseShift, image::Preprocessor};

use crate::common::*;

/// Poses and CTFs of the golden star file: 32 pixels of 4 Å, 300 kV, 2.7 mm, w 0.1.
fn golden_views() -> Vec<View> {
    let text = std::fs::read_to_string(golden("cli/particles.star")).unwrap();
    let rows = text.lines().filter(|line| line.contains("@particles.mrcs"));
    rows.map(|line| {
        let v: Vec<f64> = line.split_whitespace().skip(1).map(|f| f.parse().unwrap()).collect();
        let row = [4.0, v[5] as f32, v[6] as f32, v[7] as f32, 300.0, 2.7, 0.1, v[8] as f32];
        View {
            rotation: from_relion_deg([v[0], v[1], v[2]]),
            shift: shift_pixels([v[3] / 4.0 / 32.0, v[4] / 4.0 / 32.0], 32).unwrap(),
            ctf: Some(CtfParams::from_row(&row).unwrap()),
            envelope: None,
        }
    })
    .collect()
}

#[test]
fn maps_match_the_reference() {
    let (images, views) = (mrc("cli/particles.mrcs"), golden_views());
    let mut sums = Backprojector::new(32, Options::default()).unwrap();
    // Uneven calls must not disturb the alternation of halves.
    sums.add(&images[..7 * 1024], &views[..7]).unwrap();
    sums.add(&images[7 * 1024..], &views[7..]).unwrap();
    assert_eq!(sums.images(), 48);
    for (part, name) in
        [(Part::Full, "backproject"), (Part::HalfA, "half_map_a"), (Part::HalfB, "half_map_b")]
    {
        // One voxel is touched with a weight of some 1e-13, which f32 may round to nothing; an empty voxel counts
        // as one, which moves the mean count (1.06) and so the whole map by 1/33³/1.06/2 to 1/33³/1.06 = 2.6e-5.
        assert_close(&sums.finish(part, 1.0).unwrap(), &mrc(&format!("cli/{name}.mrc")), 2.7e-5);
    }
}

/// The definition, point by point, in f64: sums and counts over the whole lattice.
fn plain(images: &[f32], views: &[View], n: usize, options: &Options) -> (Vec<f64>, Vec<f64>) {
    let (d, r) = (n + 1, (n / 2) as i64);
    let (mut sums, mut counts) = (vec![0.0; d * d * d], vec![0.0; d * d * d]);
    let preprocess = Preprocessor::new(n, options.window, options.invert, (0.0, 1.0)).unwrap();
    let (mut h, mut moved, mut ctf) = (vec![0.0; d * d], vec![0.0; d * d], vec![0.0; d * d]);
    for (image, view) in images.chunks_exact(n * n).zip(views) {
        preprocess.run(image, &mut h, &mut preprocess.scratch()).unwrap();
        PhaseShift::new(n).unwrap().run(&h, view.shift, &mut moved).unwrap();
        ctf.fill(1.0);
        if let Some(params) = &view.ctf {
            CtfGrid::lattice(n).unwrap().eval(params, &mut ctf).unwrap();
        }
        for (i, value) in moved.iter().enumerate() {
            let (x, y) = ((i % d) as i64 - r, (i / d) as i64 - r);
            if x * x + y * y > r * r || (x, y) == (0, 0) {
                continue;
            }
            let (factor, weight) = match options.ctf {
                CtfWeighting::Multiply => (f64::from(ctf[i]), f64::from(ctf[i]).powi(2)),
                CtfWeighting::FlipPhase => (f64::from(ctf[i]).signum(), 1.0),
            };
            let m = &view.rotation;
            let p: [f64; 3] =
                std::array::from_fn(|j| (x as f64 * m[0][j] + y as f64 * m[1][j]).clamp(-r as f64, r as f64));
            for corner in 0..8 {
                let c: [f64; 3] =
                    std::array::from_fn(|j| if corner >> j & 1 == 1 { p[j].ceil() } else { p[j].floor() });
                let w = (1.0 - (0..3).map(|j| (p[j] - c[j]).powi(2)).sum::<f64>().sqrt()).max(0.0);
                let at = c.iter().rev().fold(0, |sum, v| sum * d + (*v as i64 + r) as usize);
                sums[at] += w * factor * f64::from(*value);
                counts[at] += w * weight;
            }
        }
    }
    (sums, counts)
}

fn random_views(count: usize, seed: u64) -> Vec<View> {
    let mut random = Uniform(seed);
    (0..count)
        .map(|_| View {
            rotation: random.rotation(),
            shift: [4.0 * random.next() - 2.0, 4.0 * random.next() - 2.0],
            ctf: CtfParams::from_row(&[3.0, 12000.0, 11500.0, 25.0, 300.0, 2.7, 0.1, 0.0]).ok(),
            envelope: None,
        })
        .collect()
}

#[test]
fn sums_follow_the_definition() {
    let n = 14;
    for ctf in [CtfWeighting::Multiply, CtfWeighting::FlipPhase] {
        let options = Options { ctf, half_maps: false, ..Options::default() };
        let mut views = random_views(20, 1);
        // Integral and half-integral coordinates: the identity, quarter turns, and a turn about a diagonal.
        views[0].rotation = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        views[1].rotation = [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]];
        views[2].rotation = [[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]];
        views[3].rotation = [[0.0, 0.0, -1.0], [0.6, 0.8, 0.0], [0.8, -0.6, 0.0]];
        views[4].ctf = None;
        let images = Uniform(2).vec(20 * n * n);

        let mut sums = Backprojector::new(n, options).unwrap();
        sums.add(&images, &views).unwrap();
        let (wanted_sums, wanted_counts) = plain(&images, &views, n, &options);
        let (found_sums, found_counts) = sums.sums_and_counts(Part::Full).unwrap();
        // Transforms and sums in f32 against f64 sums.
        assert_close(&found_sums, &wanted_sums, 1e-5);
        assert_close(&found_counts, &wanted_counts, 1e-5);
        assert!(sums.finish(Part::HalfA, 1.0).is_err());
    }
}

#[test]
fn an_integral_coordinate_counts_eight_times() {
    let n = 8;
    let mut sums = Backprojector::new(n, Options { half_maps: false, ..Options::default() }).unwrap();
    let identity: Rotation = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    sums.add(&[1.0; 64], &[View { rotation: identity, shift: [0.0; 2], ctf: None, envelope: None }]).unwrap();
    let (_, counts) = sums.sums_and_counts(Part::Full).unwrap();
    let plane = &counts[4 * 81..5 * 81];
    assert_eq!((plane[4 * 9 + 5], plane[4 * 9 + 4], plane[0], plane[4 * 9]), (8.0, 0.0, 0.0, 8.0));
    assert_eq!(counts.iter().sum::<f32>(), plane.iter().sum::<f32>());
}

#[test]
fn the_number_of_threads_does_not_matter() {
    let n = 20;
    let (images, views) = (Uniform(3).vec(70 * n * n), random_views(70, 4));
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut sums = Backprojector::new(n, Options::default()).unwrap();
            sums.add(&images, &views).unwrap();
            [Part::Full, Part::HalfA, Part::HalfB].map(|p| sums.finish(p, 1.0).unwrap())
        })
    };
    let one = run(1);
    assert_eq!(one, run(3));
    assert!(worst(&one[1], &one[2]) > 0.1);
}

/// Gaussian blobs (centre in pixels from the box centre, width 1 pixel): projections and map have closed forms.
const BLOBS: [([f64; 3], f64); 4] =
    [([3.0, -2.0, 1.0], 1.0), ([-4.0, 1.5, 2.5], 0.7), ([0.5, 4.0, -3.0], 1.3), ([-1.0, -3.5, -4.0], 0.9)];
const WIDTH: f64 = 0.8;

fn truth(n: usize) -> Vec<f32> {
    let c = (n / 2) as f64;
    (0..n * n * n)
        .map(|i| {
            let p = [(i % n) as f64 - c, (i / n % n) as f64 - c, (i / n / n) as f64 - c];
            let sum = BLOBS.iter().map(|(at, w)| {
                w * (-(0..3).map(|j| (p[j] - at[j]).powi(2)).sum::<f64>() / (2.0 * WIDTH * WIDTH)).exp()
            });
            sum.sum::<f64>() as f32
        })
        .collect()
}

fn projection(n: usize, r: &Rotation, shift: [f64; 2]) -> Vec<f32> {
    let c = (n / 2) as f64;
    let depth = WIDTH * std::f64::consts::TAU.sqrt();
    (0..n * n)
        .map(|i| {
            let p = [(i % n) as f64 - c + shift[0], (i / n) as f64 - c + shift[1]];
            let sum = BLOBS.iter().map(|(at, w)| {
                let d2: f64 =
                    (0..2).map(|row| (p[row] - (0..3).map(|j| r[row][j] * at[j]).sum::<f64>()).powi(2)).sum();
                w * depth * (-d2 / (2.0 * WIDTH * WIDTH)).exp()
            });
            sum.sum::<f64>() as f32
        })
        .collect()
}

#[test]
fn known_blobs_come_back_to_nyquist() {
    let n = 32;
    let mut views = random_views(600, 5);
    views.iter_mut().for_each(|v| v.ctf = None);
    let images: Vec<f32> = views.iter().flat_map(|v| projection(n, &v.rotation, v.shift)).collect();
    let options = Options { window: None, invert: false, ..Options::default() };
    let mut sums = Backprojector::new(n, options).unwrap();
    sums.add(&images, &views).unwrap();
    let map = sums.finish(Part::Full, 0.0).unwrap();
    let truth = truth(n);
    let with_truth = fsc(&map, &truth, None, n).unwrap();
    assert!(with_truth.last_above(0.143).unwrap() > 0.45, "{with_truth:?}");
    // Orientation, hand and shift right: every shell but the empty DC one agrees, not only the threshold.
    assert!(with_truth.values[2..15].iter().all(|v| *v > 0.9), "{with_truth:?}");
    let halves =
        fsc(&sums.finish(Part::HalfA, 0.0).unwrap(), &sums.finish(Part::HalfB, 0.0).unwrap(), None, n)
            .unwrap();
    assert!(halves.last_above(0.143).unwrap() > 0.45, "{halves:?}");
}

#[test]
fn spreading_is_the_adjoint_of_gathering_with_the_same_weights() {
    // <spread(image), V> = <image, gather(V)> for one image without window, shift or CTF.
    let n = 16;
    let d = n + 1;
    let mut random = Uniform(9);
    let view = View { rotation: random.rotation(), shift: [0.0; 2], ctf: None, envelope: None };
    let image = random.vec(n * n);
    let map = symmetrise3(&random.vec(n * n * n), n).unwrap();
    let options = Options { window: None, invert: false, half_maps: false, ..Options::default() };
    let mut sums = Backprojector::new(n, options).unwrap();
    sums.add(&image, std::slice::from_ref(&view)).unwrap();
    let (spread, _) = sums.sums_and_counts(Part::Full).unwrap();
    let left: f64 = spread.iter().zip(&map).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();

    let hartley = Hartley2::new(n);
    let mut transform = vec![0.0; d * d];
    hartley.forward_symmetrised(&image, 1.0, &mut transform, &mut hartley.scratch()).unwrap();
    let mut right = 0.0;
    for (i, value) in transform.iter().enumerate() {
        let (x, y) = ((i % d) as f64 - 8.0, (i / d) as f64 - 8.0);
        if x * x + y * y > 64.0 || (x, y) == (0.0, 0.0) {
            continue;
        }
        let p: [f64; 3] = std::array::from_fn(|j| x * view.rotation[0][j] + y * view.rotation[1][j]);
        for corner in 0..8 {
            let c: [f64; 3] =
                std::array::from_fn(|j| if corner >> j & 1 == 1 { p[j].ceil() } else { p[j].floor() });
            let w = (1.0 - (0..3).map(|j| (p[j] - c[j]).powi(2)).sum::<f64>().sqrt()).max(0.0);
            let at = c.iter().rev().fold(0, |sum, v| sum * d + (*v + 8.0) as usize);
            right += w * f64::from(*value) * f64::from(map[at]);
        }
    }
    let scale: f64 = transform.iter().map(|v| f64::from(v * v)).sum::<f64>().sqrt();
    assert!((left - right).abs() < 1e-5 * scale, "{left} and {right}");
}

#[test]
fn bad_input_is_refused() {
    assert!(Backprojector::new(15, Options::default()).is_err());
    let mut sums = Backprojector::new(8, Options::default()).unwrap();
    let mut view = random_views(1, 1).remove(0);
    assert!(sums.add(&[0.0; 63], std::slice::from_ref(&view)).is_err());
    view.rotation[1][2] = f64::NAN;
    assert!(sums.add(&[0.0; 64], &[view]).is_err());
    assert_eq!(sums.images(), 0);
    assert!(sums.finish(Part::Full, -1.0).is_err());
}
