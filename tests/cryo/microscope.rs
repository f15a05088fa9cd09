//! CTF, lattice, window, orientations.

use kinesome::cryo::ctf::{CtfGrid, CtfParams, dataset_params, dose_weight};
use kinesome::cryo::lattice::Lattice;
use kinesome::cryo::pose::*;
use kinesome::cryo::window::soft_disc;
use kinesome::io::npy::ArrayData;

use crate::common::*;

fn params() -> Vec<CtfParams> {
    npy("unit/ctf_params.npy")
        .to_f64()
        .chunks_exact(10)
        .map(|p| CtfParams {
            apix: p[0],
            defocus_u: p[1],
            defocus_v: p[2],
            defocus_angle: p[3],
            voltage: p[4],
            cs: p[5],
            amplitude_contrast: p[6],
            phase_shift: p[7],
            scale: p[8],
            b_factor: p[9],
        })
        .collect()
}

#[test]
fn ctf_matches_the_reference() {
    let freqs = npy("unit/lattice33_freqs2d.npy").to_f64();
    let found: Vec<f64> =
        params().iter().flat_map(|p| freqs.chunks_exact(2).map(|f| p.at(f[0], f[1]))).collect();
    let wanted = npy("unit/ctf_f64.npy").to_f64();
    assert_close(&found, &wanted, 1e-9);
    let mut batch = vec![0.0; wanted.len()];
    CtfGrid::lattice(32).unwrap().eval_batch(&params(), &mut batch).unwrap();
    // Rounded to f32 once.
    assert_close(&batch, &wanted, 6e-8);
    // The reference's own f32 evaluation is off by 6e-5 from its f64 one.
    assert_close(&batch, &npy("unit/ctf_f32.npy").to_f64(), 1e-4);
}

#[test]
fn ctf_of_a_training_batch_matches_the_reference() {
    let golden = npz("vae_hartley.npz");
    let rows = golden["ctf_params"].to_f32();
    let grid = CtfGrid::lattice(32).unwrap();
    let mut found = Vec::new();
    for i in golden["idx"].to_i64().unwrap()[..12].iter().map(|i| *i as usize) {
        let mut ctf = vec![0.0; 1089];
        grid.eval(&CtfParams::from_row(&rows[8 * i..8 * i + 8]).unwrap(), &mut ctf).unwrap();
        found.extend(ctf);
    }
    // The reference evaluates in f32: γ of some 50 rad carries 6e-5.
    assert_close(&found, &golden["ctf0"].to_f32(), 1e-4);
}

#[test]
fn dataset_rows_share_the_pixel_size_of_the_first() {
    let rows =
        [256.0, 1.25, 1e4, 9e3, 10., 300., 2.7, 0.1, 0., 512.0, 9.9, 2e4, 1e4, 20., 200., 2.0, 0.07, 5.];
    let params = dataset_params(&rows, 9, 128).unwrap();
    assert_eq!((params[0].apix, params[1].apix), (2.5, 2.5));
    assert_eq!((params[1].defocus_u, params[1].voltage, params[1].phase_shift), (2e4, 200.0, 5.0));
    assert!(dataset_params(&rows[..17], 9, 128).is_err());
    let mut bad = rows;
    bad[14] = f32::NAN;
    assert!(dataset_params(&bad, 9, 128).unwrap_err().to_string().contains("image 1"));
}

#[test]
fn dose_weights_fall_with_frequency_and_stop_at_the_optimal_exposure() {
    // Nc(0.1) = 0.245 · 0.1^-1.665 + 2.81 = 14.139…, so 20 e/Å² gives exp(−10/14.139).
    let nc = 0.245 * 10f64.powf(1.665) + 2.81;
    let found = dose_weight(0.1, 300.0, 20.0, 0.0).unwrap();
    assert!((found - (-10.0 / nc).exp()).abs() < 1e-12);
    assert_eq!(dose_weight(0.1, 300.0, 2.6 * nc, 0.0).unwrap(), 0.0);
    assert!((dose_weight(0.0, 200.0, 50.0, 1.0).unwrap() - 1f64.cos()).abs() < 1e-12);
    assert!(dose_weight(0.1, 120.0, 1.0, 0.0).is_err());
}

#[test]
fn lattice_and_masks_match_the_reference() {
    let freqs: Vec<f32> = Lattice::new(33, 0.5).unwrap().freqs2d().concat();
    assert_eq!(freqs, npy("unit/lattice33_freqs2d.npy").to_f32());
    for (d, radius) in [(31, 12), (31, 15), (65, 12), (65, 32)] {
        let ArrayData::Bool(wanted) = npy(&format!("unit/circmask_D{d}_r{radius}.npy")).data else {
            panic!()
        };
        assert_eq!(Lattice::new(d, 0.5).unwrap().circular_mask(radius).unwrap(), wanted, "D {d} R {radius}");
    }
    for (side, count) in [(30, 708), (64, 3208), (128, 12852), (256, 51432)] {
        for extent in [0.5, (side / 2) as f64] {
            let lattice = Lattice::new(side + 1, extent).unwrap();
            let list = lattice.masked_indices(side / 2).unwrap();
            assert_eq!(list.len(), count);
            let last = ((side + 1) * (side + 1) - 1) as u32;
            assert!(list.iter().zip(list.iter().rev()).all(|(a, b)| a + b == last), "not antisymmetric");
        }
    }
    assert!(Lattice::new(32, 0.5).is_err() && Lattice::new(33, 0.5).unwrap().circular_mask(17).is_err());
}

#[test]
fn windows_match_the_reference() {
    for n in [30, 64] {
        // The reference computes radii in f32; near the edge's slope of 7 this is 4e-7.
        assert_close(
            &soft_disc(n, 0.85, 0.99),
            &npy(&format!("unit/window_D{n}_0.85_0.99.npy")).to_f32(),
            1e-6,
        );
    }
}

#[test]
fn orientations_match_the_reference() {
    let euler: Vec<[f64; 3]> =
        npy("unit/euler_relion_deg.npy").to_f64().chunks_exact(3).map(|e| [e[0], e[1], e[2]]).collect();
    let matrices: Vec<_> = euler.iter().map(|e| from_relion_deg(*e)).collect();
    let wanted = npy("unit/rot_from_relion.npy");
    assert_close(&flat(&matrices), &wanted.to_f64(), 1e-12);
    let back: Vec<f64> = matrices.iter().flat_map(to_relion_deg).collect();
    assert_close(&back, &npy("unit/euler_back.npy").to_f64(), 1e-9);

    let vectors = npy("unit/rotvec_csparc.npy").to_f64();
    let found: Vec<_> = vectors.chunks_exact(3).map(|v| from_rotation_vector([v[0], v[1], v[2]])).collect();
    // f32 goldens from here on.
    assert_close(&flat(&found), &npy("unit/rot_from_rotvec_transposed.npy").to_f64(), 1e-6);

    let quaternions: Vec<f64> = rotations(&wanted).iter().flat_map(to_quaternion).collect();
    let golden = npy("unit/rot_to_quat.npy").to_f64();
    let aligned: Vec<f64> = quaternions
        .chunks_exact(4)
        .zip(golden.chunks_exact(4))
        .flat_map(|(q, g)| {
            // q and −q are the same rotation.
            let sign = q.iter().zip(g).map(|(a, b)| a * b).sum::<f64>().signum();
            q.iter().map(move |v| v * sign).collect::<Vec<_>>()
        })
        .collect();
    assert_close(&aligned, &golden, 1e-6);
    let found: Vec<_> = golden.chunks_exact(4).map(|q| from_quaternion([q[0], q[1], q[2], q[3]])).collect();
    assert_close(&flat(&found), &npy("unit/quat_to_rot.npy").to_f64(), 1e-6);

    let six = npy("unit/s2s2_in.npy").to_f64();
    let found: Vec<_> = six.chunks_exact(6).map(|v| from_s2s2(v.try_into().unwrap())).collect();
    assert_close(&flat(&found), &npy("unit/s2s2_rot.npy").to_f64(), 1e-6);
}

#[test]
fn conversions_of_random_orientations_return() {
    let mut random = Uniform(11);
    let mut mean = [[0.0; 3]; 3];
    for _ in 0..2000 {
        let r = random.rotation();
        assert!(angle_between(&from_quaternion(to_quaternion(&r)), &r) < 1e-7);
        assert!(angle_between(&from_relion(to_relion(&r)), &r) < 1e-7);
        assert!(angle_between(&from_rotation_vector(to_rotation_vector(&r)), &r) < 1e-7);
        assert!(angle_between(&from_s2s2(to_s2s2(&r)), &r) < 1e-7);
        for i in 0..3 {
            for j in 0..3 {
                mean[i][j] += r[i][j] / 2000.0;
            }
        }
    }
    // Entries of a uniform rotation have mean 0 and variance 1/3: four standard errors.
    assert!(flat(&[mean]).iter().all(|v| v.abs() < 4.0 / (3.0f64 * 2000.0).sqrt()), "{mean:?}");
    for tilt in [0.0, 180.0] {
        let r = from_relion_deg([70.0, tilt, -33.0]);
        assert!(angle_between(&from_relion_deg(to_relion_deg(&r)), &r) < 1e-7, "tilt {tilt}");
    }
    assert_eq!(wrap(std::f64::consts::PI), -std::f64::consts::PI);
}

#[test]
fn shifts_scale_with_the_lattice_side() {
    assert_eq!(shift_pixels([0.5, -0.25], 128).unwrap(), [64.5, -32.25]);
    assert_eq!(shift_fraction([64.5, -32.25], 128), [0.5, -0.25]);
    assert!(shift_pixels([3.2, 0.0], 128).unwrap_err().to_string().contains("pixels"));
}
