//! Transforms, preprocessing of images, downsampling, slices.

use kinesome::cryo::ctf::CtfGrid;
use kinesome::cryo::fft::{
    Hartley2, Hartley3, desymmetrise, desymmetrise3, fftn_center, ifftn_center, symmetrise, symmetrise3,
};
use kinesome::cryo::image::{
    Downsample, PhaseShift, Preprocessor, downsampled_apix, estimate_norm, phase_flip,
};
use kinesome::cryo::window::soft_disc;
use kinesome::cryo::{lattice::Lattice, volume};
use rustfft::num_complex::Complex;

use crate::common::*;

/// f32 against another f32 FFT: a few rounding errors per pass.
const F32: f64 = 1e-6;

#[test]
fn hartley_and_fourier_match_the_reference() {
    let golden = npz("fft.npz");
    let (images, wanted) = (golden["images"].to_f32(), golden["ht2_center"].to_f32());
    let hartley = Hartley2::new(32);
    let mut scratch = hartley.scratch();
    let mut transforms = images.clone();
    let mut symmetrised = vec![0.0; 3 * 33 * 33];
    for (i, image) in transforms.chunks_exact_mut(1024).enumerate() {
        let out = &mut symmetrised[i * 1089..][..1089];
        hartley.forward_symmetrised(image, 1.0, out, &mut scratch).unwrap();
        hartley.forward(image, &mut scratch).unwrap();
        assert_eq!(symmetrise(image, 32).unwrap(), out);
        assert_eq!(desymmetrise(out, 33).unwrap(), image);
    }
    assert_close(&transforms, &wanted, F32);
    assert_close(&symmetrised, &golden["symmetrized"].to_f32(), F32);
    transforms.chunks_exact_mut(1024).for_each(|t| hartley.inverse(t, &mut scratch).unwrap());
    assert_close(&transforms, &images, F32);
    assert_close(&transforms, &golden["iht2_center"].to_f32(), F32);

    let (re, im) = (golden["fft2_center_re"].to_f32(), golden["fft2_center_im"].to_f32());
    let mut spectrum = vec![Complex::default(); 1024];
    hartley.spectrum(&images[..1024], &mut spectrum, &mut scratch).unwrap();
    let split = |s: &[Complex<f32>]| {
        (s.iter().map(|c| c.re).collect::<Vec<_>>(), s.iter().map(|c| c.im).collect::<Vec<_>>())
    };
    let found = split(&spectrum);
    assert_close(&found.0, &re, F32);
    assert_close(&found.1, &im, F32);
    let mut complex: Vec<Complex<f32>> = images[..1024].iter().map(|v| Complex::new(*v, 0.0)).collect();
    fftn_center(&mut complex, &[32, 32]).unwrap();
    assert_close(&split(&complex).0, &re, F32);
    assert_close(&split(&complex).1, &im, F32);
    ifftn_center(&mut complex, &[32, 32]).unwrap();
    assert_close(&split(&complex).0, &images[..1024], F32);
}

#[test]
fn volume_transforms_match_the_reference() {
    let golden = npz("fft.npz");
    let original = golden["volume"].to_f32();
    let hartley = Hartley3::new(32);
    let mut map = original.clone();
    hartley.forward(&mut map).unwrap();
    assert_close(&map, &golden["volume_htn_center"].to_f32(), F32);
    assert_eq!(desymmetrise3(&symmetrise3(&map, 32).unwrap(), 33).unwrap(), map);
    let mut inverse = original.clone();
    hartley.inverse(&mut inverse).unwrap();
    // The golden inverse is that of the transform, the map itself, or of the map: decide by its scale.
    let wanted = golden["volume_ihtn_center"].to_f32();
    hartley.inverse(&mut map).unwrap();
    assert_close(&map, &original, F32);
    assert!(worst(&map, &wanted).min(worst(&inverse, &wanted)) <= F32);
}

#[test]
fn hartley_is_its_own_inverse_for_even_and_odd_sides() {
    for n in [1, 2, 6, 7, 15, 30, 33] {
        let image = Uniform(n as u64).vec(n * n);
        let hartley = Hartley2::new(n);
        let mut twice = image.clone();
        let mut scratch = hartley.scratch();
        hartley.forward(&mut twice, &mut scratch).unwrap();
        let dc: f32 = image.iter().sum();
        assert!((twice[(n / 2) * n + n / 2] - dc).abs() < 1e-4, "DC of side {n}");
        hartley.forward(&mut twice, &mut scratch).unwrap();
        twice.iter_mut().for_each(|v| *v /= (n * n) as f32);
        assert_close(&twice, &image, F32);
        let map: Vec<f64> = Uniform(n as u64).vec(n * n * n).into_iter().map(f64::from).collect();
        let mut back = map.clone();
        Hartley3::new(n).forward(&mut back).unwrap();
        Hartley3::new(n).inverse(&mut back).unwrap();
        // f64: rounding only.
        assert_close(&back, &map, 1e-13);
    }
    assert!(Hartley2::<f32>::new(8).forward(&mut [0.0; 63], &mut Hartley2::new(8).scratch()).is_err());
    assert!(Preprocessor::new(31, None, true, (0.0, 1.0)).is_err());
}

#[test]
fn hartley_of_a_wave_is_a_point() {
    // cos(2π(3x + 5y)/n) about the centre has Re = n²/2 at ±(3, 5) and no Im.
    let n = 16;
    let hartley = Hartley2::new(n);
    let mut image: Vec<f32> = (0..n * n)
        .map(|i| {
            let (x, y) = ((i % n) as f64 - 8.0, (i / n) as f64 - 8.0);
            (std::f64::consts::TAU * (3.0 * x + 5.0 * y) / 16.0).cos() as f32
        })
        .collect();
    hartley.forward(&mut image, &mut hartley.scratch()).unwrap();
    let mut wanted = vec![0.0f32; n * n];
    wanted[13 * n + 11] = 128.0;
    wanted[3 * n + 5] = 128.0;
    assert_close(&image, &wanted, F32);
}

#[test]
fn phase_shift_matches_the_reference() {
    let golden = npz("translate.npz");
    let (from, shifts) = (golden["ht_symmetrized"].to_f32(), golden["shifts_px"].to_f64());
    let mover = PhaseShift::new(32).unwrap();
    let mut out = vec![0.0; from.len()];
    for ((from, to), t) in from.chunks_exact(1089).zip(out.chunks_exact_mut(1089)).zip(shifts.chunks_exact(2))
    {
        mover.run(from, [t[0], t[1]], to).unwrap();
    }
    assert_close(&out, &golden["translated"].to_f32(), F32);
}

#[test]
fn a_whole_pixel_shift_rolls_the_image() {
    let n = 12;
    let image = Uniform(5).vec(n * n);
    let hartley = Hartley2::new(n);
    let mut scratch = hartley.scratch();
    let (mut transform, mut moved) = (vec![0.0; 169], vec![0.0; 169]);
    hartley.forward_symmetrised(&image, 1.0, &mut transform, &mut scratch).unwrap();
    PhaseShift::new(n).unwrap().run(&transform, [3.0, -2.0], &mut moved).unwrap();
    let mut back = desymmetrise(&moved, n + 1).unwrap();
    hartley.inverse(&mut back, &mut scratch).unwrap();
    let rolled: Vec<f32> = (0..n * n).map(|i| image[(i / n + 2) % n * n + (i % n + n - 3) % n]).collect();
    assert_close(&back, &rolled, F32);
}

#[test]
fn preprocessing_is_window_sign_transform_scale() {
    let n = 30;
    let image = Uniform(7).vec(n * n);
    let mut byhand: Vec<f32> = image.iter().zip(soft_disc(n, 0.85, 0.99)).map(|(v, w)| -v * w).collect();
    let hartley = Hartley2::new(n);
    hartley.forward(&mut byhand, &mut hartley.scratch()).unwrap();
    let byhand: Vec<f32> = symmetrise(&byhand, n).unwrap().iter().map(|v| (v - 0.5) / 3.0).collect();
    let preprocess = Preprocessor::new(n, Some(0.85), true, (0.5, 3.0)).unwrap();
    let mut out = vec![0.0; 2 * 31 * 31];
    preprocess.run_batch(&[image.clone(), image].concat(), &mut out).unwrap();
    assert_close(&out[..961], &byhand, F32);
    assert_eq!(out[..961], out[961..]);
}

#[test]
fn norm_matches_the_reference() {
    let golden = npz("vae_hartley.npz");
    let images = golden["images"].to_f32();
    let wanted = golden["hartley_std"].to_f64()[0];
    for invert in [false, true] {
        let read = |i: usize, out: &mut [f32]| {
            out.copy_from_slice(&images[i * 1024..][..1024]);
            Ok(())
        };
        let (mean, std) = estimate_norm(48, 32, invert, read).unwrap();
        // The reference sums in f32.
        assert!(mean == 0.0 && (f64::from(std) / wanted - 1.0).abs() < 1e-6, "{std} instead of {wanted}");
    }
    let mut seen = Vec::new();
    estimate_norm(2500, 2, true, |i, out| {
        out.fill(i as f32);
        seen.push(i);
        Ok(())
    })
    .unwrap();
    assert_eq!((seen.len(), seen[1], seen[1249]), (1250, 2, 2498));
    assert!(estimate_norm(0, 32, true, |_, _| Ok(())).is_err());
}

#[test]
fn the_whole_transform_of_the_first_batch_matches_training() {
    // y0 of the training golden: transform / std, then translated; neither window nor sign.
    let golden = npz("vae_hartley.npz");
    let images = golden["images"].to_f32();
    let shifts = golden["shifts_px"].to_f64();
    let preprocess = Preprocessor::new(32, None, false, (0.0, golden["hartley_std"].to_f32()[0])).unwrap();
    let mover = PhaseShift::new(32).unwrap();
    let mut scratch = preprocess.scratch();
    let (mut transform, mut moved) = (vec![0.0; 1089], vec![0.0; 1089]);
    let mut all = Vec::new();
    for i in golden["idx"].to_i64().unwrap()[..12].iter().map(|i| *i as usize) {
        preprocess.run(&images[i * 1024..][..1024], &mut transform, &mut scratch).unwrap();
        mover.run(&transform, [shifts[2 * i], shifts[2 * i + 1]], &mut moved).unwrap();
        all.extend_from_slice(&moved);
    }
    let wanted = golden["y0"].to_f32();
    if wanted.len() == all.len() {
        assert_close(&all, &wanted, F32);
    } else {
        let mask = Lattice::new(33, 0.5).unwrap().masked_indices(16).unwrap();
        let masked: Vec<f32> =
            all.chunks_exact(1089).flat_map(|t| mask.iter().map(|i| t[*i as usize])).collect();
        assert_close(&masked, &wanted, F32);
    }
}

#[test]
fn downsampling_matches_the_reference() {
    let (images, wanted) = (mrc("cli/particles.mrcs"), mrc("cli/particles.16.mrcs"));
    let crop = Downsample::new(32, 16).unwrap();
    let mut scratch = crop.scratch();
    let mut out = vec![0.0; wanted.len()];
    for (from, to) in images.chunks_exact(1024).zip(out.chunks_exact_mut(256)) {
        crop.run(from, to, &mut scratch).unwrap();
    }
    assert_close(&out, &wanted, F32);
    assert_eq!(downsampled_apix(1.31, 384, 128), 3.93);
    assert!(Downsample::new(32, 34).is_err() && Downsample::new(32, 15).is_err());
}

#[test]
fn a_downsampled_smooth_map_keeps_its_values() {
    // A wave far below the new Nyquist keeps its shape; the values scale with the number of voxels dropped.
    let wave = |n: usize| -> Vec<f32> {
        let at = |i: usize| std::f64::consts::TAU * (i as f64 - (n / 2) as f64) / n as f64;
        (0..n * n * n)
            .map(|i| ((at(i % n) + 2.0 * at(i / n % n)).cos() + at(i / n / n).sin()) as f32)
            .collect()
    };
    let mut map = volume::Volume::new(wave(24), 24, 1.5).unwrap();
    map.downsample(12).unwrap();
    assert_eq!((map.n, map.apix), (12, 3.0));
    let wanted: Vec<f32> = wave(12).into_iter().map(|v| v * 8.0).collect();
    assert_close(&map.data, &wanted, F32);
}

#[test]
fn slices_match_the_reference_and_their_adjoint() {
    let golden = npz("slices.npz");
    let map = golden["volume_ht_symmetrized"].to_f32();
    let rotations = rotations(&golden["rotations"]);
    let slices: Vec<f32> = rotations.iter().flat_map(|r| volume::slice(&map, 33, r).unwrap()).collect();
    // The reference places points in f32; the map is rough, so 1e-6 voxels show.
    assert_close(&slices, &golden["slices"].to_f32(), 1e-5);
    let mut random = Uniform(3);
    let image = random.vec(33 * 33);
    let rotation = random.rotation();
    let mut back = vec![0.0; map.len()];
    volume::scatter_slice(&image, 33, &rotation, &mut back).unwrap();
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let (forward, adjoint) = (dot(&volume::slice(&map, 33, &rotation).unwrap(), &image), dot(&map, &back));
    let scale = dot(&map, &map).sqrt() * dot(&back, &back).sqrt();
    assert!((forward - adjoint).abs() < 1e-6 * scale, "{forward} and {adjoint}");
}

#[test]
fn phase_flipping_twice_restores_the_image() {
    let n = 32;
    let params =
        kinesome::cryo::ctf::CtfParams::from_row(&[4.0, 15000., 14500., 30., 300., 2.7, 0.1, 0.0]).unwrap();
    let grid = CtfGrid::lattice(n).unwrap();
    let hartley = Hartley2::new(n);
    let mut scratch = hartley.scratch();
    let image = Uniform(2).vec(n * n);
    let mut flipped = image.clone();
    phase_flip(&hartley, &grid, &params, &mut flipped, &mut scratch).unwrap();
    assert!(worst(&flipped, &image) > 0.1);
    phase_flip(&hartley, &grid, &params, &mut flipped, &mut scratch).unwrap();
    assert_close(&flipped, &image, F32);
}
