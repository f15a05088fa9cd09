//! Gaussian atoms on pixels and voxels, and the sign and place of what the images show.

use kinesome::cryo::ctf::CtfParams;
use kinesome::cryo::fft::{Hartley2, Hartley3};
use kinesome::cryo::pose;
use kinesome::cryo::simulate::density::{Sampler, density_map, project};

#[test]
fn one_atom_lands_at_the_predicted_pixel_with_its_electrons() {
    let (side, apix, sigma) = (32, 2.0, 2.5);
    let angles = [40.0, 70.0, -110.0];
    let rotation = pose::from_relion_deg(angles);
    let p = [5.0, -3.0, 8.0];
    let mut image = vec![0.0; side * side];
    let sampler = Sampler::new(side, sigma / apix);
    project(&sampler, std::iter::once((p, 8.0)), &rotation, apix, [1.25, -0.5], &mut image);
    let (mut sum, mut x, mut y) = (0.0, 0.0, 0.0);
    for (i, v) in image.iter().enumerate() {
        sum += v;
        x += v * (i % side) as f64;
        y += v * (i / side) as f64;
    }
    // Sums over samples of this Gaussian are exact to exp(-2π² 1.25²) ≈ 4e-14, cut tails to 1e-8.
    assert!((sum - 8.0).abs() < 1e-6, "{sum} electrons");
    let predicted = |row: usize| (0..3).map(|k| rotation[row][k] * p[k]).sum::<f64>() / apix + 16.0;
    assert!((x / sum - (predicted(0) + 1.25)).abs() < 1e-6);
    assert!((y / sum - (predicted(1) - 0.5)).abs() < 1e-6);
    // And each pixel is the Gaussian itself.
    let at = |px: usize, py: usize| {
        let d2 = (px as f64 - predicted(0) - 1.25).powi(2) + (py as f64 - predicted(1) + 0.5).powi(2);
        let s2 = (sigma / apix).powi(2);
        8.0 * (-0.5 * d2 / s2).exp() / (std::f64::consts::TAU * s2)
    };
    let worst = (0..side * side).map(|i| (image[i] - at(i % side, i / side)).abs()).fold(0.0, f64::max);
    assert!(worst < 1e-7, "a pixel is off by {worst}");
}

#[test]
fn atoms_beyond_the_edge_are_cut_and_not_wrapped() {
    let side = 16;
    let sampler = Sampler::new(side, 1.0);
    let r = pose::from_relion_deg([0.0; 3]);
    for (x, y) in [(-8.0, 0.0), (7.9, 7.9), (-30.0, 0.0), (1e9, 0.0), (0.0, -13.0), (14.0, 0.0)] {
        let mut image = vec![0.0; side * side];
        project(&sampler, std::iter::once(([x, y, 0.0], 1.0)), &r, 1.0, [0.0; 2], &mut image);
        let direct: f64 = (0..side * side)
            .map(|i| {
                let d2 = ((i % side) as f64 - 8.0 - x).powi(2) + ((i / side) as f64 - 8.0 - y).powi(2);
                (-0.5 * d2).exp() / std::f64::consts::TAU
            })
            .sum();
        assert!((image.iter().sum::<f64>() - direct).abs() < 1e-6, "atom at {x}, {y}");
    }
}

#[test]
fn a_projection_is_a_central_slice_of_the_map() {
    let (side, apix) = (32, 2.0);
    let sampler = Sampler::new(side, 1.2);
    let atoms: Vec<([f64; 3], f64)> = (0..40)
        .map(|i| {
            let i = f64::from(i);
            ([9.0 * (i * 1.7).sin(), 8.0 * (i * 0.9).cos(), 7.0 * (i * 2.3).sin()], 6.0 + (i % 3.0))
        })
        .collect();
    // Quarter turns: the slice runs through lattice points, so nothing is interpolated.
    for angles in [[0.0, 0.0, 0.0], [90.0, 0.0, 0.0], [0.0, 90.0, 0.0], [90.0, 90.0, 180.0]] {
        let rotation = pose::from_relion_deg(angles);
        let mut image = vec![0.0; side * side];
        project(&sampler, atoms.iter().copied(), &rotation, apix, [0.0; 2], &mut image);
        let plan = Hartley2::<f64>::new(side);
        plan.forward(&mut image, &mut plan.scratch()).unwrap();
        let mut map: Vec<f64> = density_map(&sampler, &atoms, apix).iter().map(|v| f64::from(*v)).collect();
        Hartley3::<f64>::new(side).forward(&mut map).unwrap();
        let scale = map.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let c = side as i64 / 2;
        for ky in 1 - c..c {
            for kx in 1 - c..c {
                // The sample point is the row vector k times R.
                let k = [0, 1, 2].map(|j| kx as f64 * rotation[0][j] + ky as f64 * rotation[1][j]);
                let [x, y, z] = k.map(|v| v.round() as i64 + c);
                let slice = map[((z * 2 * c + y) * 2 * c + x) as usize];
                let here = image[((ky + c) * 2 * c + kx + c) as usize];
                // The map is rounded to f32; sampling folds exp(-2π² 1.2² (1-f)²) of the spectrum back, 8e-4
                // of its peak where two axes are near Nyquist.
                assert!((slice - here).abs() < 2e-3 * scale, "{angles:?} k = {kx}, {ky}: {slice} and {here}");
            }
        }
    }
}

#[test]
fn the_ctf_is_negative_at_low_frequencies() {
    // This is why light images need no flag.
    let ctf = CtfParams {
        apix: 2.5,
        defocus_u: 15_000.0,
        defocus_v: 15_000.0,
        defocus_angle: 0.0,
        voltage: 300.0,
        cs: 2.7,
        amplitude_contrast: 0.1,
        phase_shift: 0.0,
        scale: 1.0,
        b_factor: 0.0,
    };
    assert!(ctf.at(0.0, 0.0) < 0.0 && ctf.at(0.02, 0.0) < 0.0);
}
