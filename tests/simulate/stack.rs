//! Whole simulated data sets: noise, shifts, contrast, truth, and the same bits on any number of threads.

use crate::{adk, carbons};
use kinesome::cryo::backproject::{Backprojector, Options, Part, View};
use kinesome::cryo::ctf::CtfParams;
use kinesome::cryo::fsc::fsc;
use kinesome::cryo::image::PhaseShift;
use kinesome::cryo::pose;
use kinesome::cryo::simulate::{
    Contrast, Ensemble, Poses, Shift, SimulateOptions, Spread, Summary, simulate,
};
use kinesome::cryo::volume::correlation;
use kinesome::io::mrc::{MrcFile, Volume};
use kinesome::io::star::{Star, Table};
use kinesome::io::structure::Structure;
use std::path::Path;

fn small() -> SimulateOptions {
    SimulateOptions { images: 40, box_side: 32, apix: Some(4.0), ..SimulateOptions::default() }
}

fn one_state(options: &SimulateOptions, folder: &Path) -> Summary {
    let ensemble = Ensemble::states(&adk()[..1]).unwrap();
    simulate(options, ensemble, folder, &mut |_, _, _| Ok(())).unwrap()
}

fn images(path: &Path) -> Vec<Vec<f32>> {
    let stack = MrcFile::open(path).unwrap();
    let pixels = stack.header().nx * stack.header().ny;
    (0..stack.len())
        .map(|i| {
            let mut image = vec![0.0; pixels];
            stack.read_image(i, &mut image).unwrap();
            image
        })
        .collect()
}

fn variance(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let n = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / n;
    values.map(|v| (v - mean).powi(2)).sum::<f64>() / n
}

fn particles(star: &Star) -> &Table {
    star.table("particles").unwrap()
}

fn number(table: &Table, row: usize, column: &str) -> f64 {
    table.get(row, table.column(column).unwrap()).unwrap().parse().unwrap()
}

/// Poses and CTF as the star file says.
fn views(star: &Star, side: usize, apix: f64) -> Vec<View> {
    let (p, optics) = (particles(star), star.table("optics").unwrap());
    (0..p.len())
        .map(|i| View {
            rotation: pose::from_relion_deg(
                ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"].map(|c| number(p, i, c)),
            ),
            // The reference program multiplies the fraction of the box by box + 1.
            shift: ["rlnOriginXAngst", "rlnOriginYAngst"]
                .map(|c| number(p, i, c) / apix / side as f64 * (side + 1) as f64),
            ctf: p.column("rlnDefocusU").map(|_| CtfParams {
                apix,
                defocus_u: number(p, i, "rlnDefocusU"),
                defocus_v: number(p, i, "rlnDefocusV"),
                defocus_angle: number(p, i, "rlnDefocusAngle"),
                voltage: number(optics, 0, "rlnVoltage"),
                cs: number(optics, 0, "rlnSphericalAberration"),
                amplitude_contrast: number(optics, 0, "rlnAmplitudeContrast"),
                phase_shift: number(p, i, "rlnPhaseShift"),
                scale: 1.0,
                b_factor: 0.0,
            }),
            envelope: None,
        })
        .collect()
}

fn backprojected(summary: &Summary, invert: bool) -> Vec<f32> {
    let star = Star::read(summary.star()).unwrap();
    let views = views(&star, summary.box_side, summary.apix);
    let all: Vec<f32> = images(&summary.stack()).concat();
    let options = Options { invert, half_maps: false, ..Options::default() };
    let mut map = Backprojector::new(summary.box_side, options).unwrap();
    map.add(&all, &views).unwrap();
    map.finish(Part::Full, 0.01).unwrap()
}

#[test]
fn the_noise_has_the_promised_strength() {
    let folder = tempfile::tempdir().unwrap();
    let options = SimulateOptions { snr: Some(0.2), keep_clean: true, images: 200, ..small() };
    let summary = one_state(&options, folder.path());
    let noisy = images(&summary.stack()).concat();
    let clean = images(&folder.path().join("particles_clean.mrcs")).concat();
    let signal = variance(clean.iter().map(|v| f64::from(*v)));
    let noise = variance(noisy.iter().zip(&clean).map(|(a, b)| f64::from(a - b)));
    // 204,800 pixels: the variance of the noise is known to √(2/204800) = 0.3 %; four times that.
    assert!((signal / noise / 0.2 - 1.0).abs() < 0.0125, "SNR {}", signal / noise);
    assert!((noise - 1.0).abs() < 0.0125, "noise {noise}");
    // What the summary says is what the files hold.
    assert!((signal / (summary.signal_variance * summary.scale.powi(2)) - 1.0).abs() < 1e-5);
}

#[test]
fn a_shifted_particle_is_centred_by_its_origin() {
    let places = [[0.0, 0.0, 0.0], [4.0, 0.0, 0.0], [0.0, 6.0, 0.0], [3.0, 3.0, 9.0], [-5.0, 2.0, 1.0]];
    let options = SimulateOptions {
        snr: None,
        microscope: None,
        contrast: Contrast::Light,
        shift: Shift { pixels: 4.0, gaussian: false },
        images: 6,
        apix: Some(2.0),
        sigma: Some(3.0),
        ..small()
    };
    let side = options.box_side;
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let run = |options: &SimulateOptions, folder: &Path| {
        let ensemble = Ensemble::states(&[carbons(&places)]).unwrap();
        simulate(options, ensemble, folder, &mut |_, _, _| Ok(())).unwrap()
    };
    let moved = run(&options, folders[0].path());
    let still = run(
        &SimulateOptions { shift: Shift { pixels: 0.0, gaussian: false }, ..options.clone() },
        folders[1].path(),
    );
    let star = Star::read(moved.star()).unwrap();
    let table = particles(&star);
    let plan = kinesome::cryo::fft::Hartley2::<f32>::new(side);
    let phase = PhaseShift::new(side).unwrap();
    for (i, (mut image, target)) in images(&moved.stack()).into_iter().zip(images(&still.stack())).enumerate()
    {
        let t = ["rlnOriginXAngst", "rlnOriginYAngst"].map(|c| number(table, i, c) / moved.apix);
        assert!(t[0].hypot(t[1]) > 0.1, "the test needs a shift");
        let d = side + 1;
        let mut transform = vec![0.0; d * d];
        plan.forward_symmetrised(&image, 1.0, &mut transform, &mut plan.scratch()).unwrap();
        let mut shifted = vec![0.0; d * d];
        phase.run(&transform, t, &mut shifted).unwrap();
        image = kinesome::cryo::fft::desymmetrise(&shifted, d).unwrap();
        plan.inverse(&mut image, &mut plan.scratch()).unwrap();
        let peak = target.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        let worst = image.iter().zip(&target).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
        // A shift by a phase is not exact at Nyquist, where the spectrum of these atoms has fallen to 1.5e-5.
        assert!(worst < 2e-4 * peak, "image {i}: off by {worst} of {peak}");
    }
}

#[test]
fn backprojection_with_default_flags_gives_the_true_map_with_its_sign() {
    let folder = tempfile::tempdir().unwrap();
    for (contrast, ctf) in [(Contrast::Light, true), (Contrast::Dark, true), (Contrast::Light, false)] {
        let options = SimulateOptions {
            images: 1500,
            snr: None,
            contrast,
            microscope: if ctf { SimulateOptions::default().microscope } else { None },
            overwrite: true,
            ..small()
        };
        let summary = one_state(&options, folder.path());
        assert_eq!(summary.sign_flag.is_some(), (contrast == Contrast::Dark) == ctf);
        let map = backprojected(&summary, summary.sign_flag.is_none());
        let truth = Volume::read(summary.map(0).unwrap()).unwrap();
        let likeness = correlation(&map, &truth.data).unwrap();
        // The reference's weights blur the map slightly at its edges; a wrong sign gives less than -0.9.
        assert!(likeness > 0.9, "{contrast:?}: correlation {likeness} with the true map");
        let curve = fsc(&map, &truth.data, None, summary.box_side).unwrap();
        // To 0.9 of Nyquist (0.45 cycles per pixel).
        assert!(curve.last_above(0.143).unwrap() >= 0.45, "{:?}", curve.last_above(0.143));
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_any_number_of_threads() {
    let files = |threads: usize, seed: u64| {
        let folder = tempfile::tempdir().unwrap();
        let options = SimulateOptions { seed, keep_clean: true, images: 70, ..small() };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let ensemble = Ensemble::path(&adk(), 3, true).unwrap();
            simulate(&options, ensemble, folder.path(), &mut |_, _, _| Ok(())).unwrap()
        });
        let mut names: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().path()).collect();
        names.sort();
        names
            .iter()
            .map(|p| (p.file_name().unwrap().to_owned(), std::fs::read(p).unwrap()))
            .collect::<Vec<_>>()
    };
    let (one, two) = (files(1, 7), files(2, 7));
    assert!(one.len() > 6);
    for (a, b) in one.iter().zip(&two) {
        assert_eq!(a.0, b.0);
        // MRC labels may hold the time of writing; images and tables may not differ at all.
        let skip = if a.0.to_string_lossy().contains(".mrc") { 1024 } else { 0 };
        assert!(a.1[skip..] == b.1[skip..], "{:?} differs", a.0);
    }
    assert!(files(2, 8) != two, "another seed gives other images");
}

#[test]
fn an_image_depends_on_its_number_and_not_on_how_many_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let few = SimulateOptions { snr: None, images: 5, ..small() };
    let a = images(&one_state(&few, folder.path()).stack());
    let many = SimulateOptions { images: 9, overwrite: true, ..few };
    let b = images(&one_state(&many, folder.path()).stack());
    assert_eq!(a[..], b[..5]);
}

#[test]
fn written_poses_miss_the_true_ones_by_the_angle_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let options = SimulateOptions { pose_error_deg: 2.0, images: 400, ..small() };
    let summary = one_state(&options, folder.path());
    let star = Star::read(summary.star()).unwrap();
    let truth = std::fs::read_to_string(summary.truth()).unwrap();
    let mut squares = 0.0;
    for (i, line) in truth.lines().skip(1).enumerate() {
        let v: Vec<f64> = line.split(',').map(|v| v.parse().unwrap()).collect();
        let written = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"].map(|c| number(particles(&star), i, c));
        let angle =
            pose::angle_between(&pose::from_relion_deg([v[3], v[4], v[5]]), &pose::from_relion_deg(written));
        squares += angle.to_degrees().powi(2);
    }
    // 400 draws of three Gaussian components: the rms is known to 1/√2400 = 2 %; four times that.
    assert!(((squares / 400.0).sqrt() / 2.0 - 1.0).abs() < 0.08, "rms {}", (squares / 400.0).sqrt());
}

#[test]
fn poses_and_places_are_spread_as_asked() {
    let truth = |options: SimulateOptions| {
        let folder = tempfile::tempdir().unwrap();
        let ensemble = Ensemble::path(&adk(), 5, true).unwrap();
        let options =
            SimulateOptions { images: 600, box_side: 16, apix: Some(8.0), volumes: Some(0), ..options };
        let summary = simulate(&options, ensemble, folder.path(), &mut |_, _, _| Ok(())).unwrap();
        let text = std::fs::read_to_string(summary.truth()).unwrap();
        let row = |line: &str| line.split(',').map(|v| v.parse::<f64>().unwrap()).collect::<Vec<_>>();
        text.lines().skip(1).map(row).collect::<Vec<_>>()
    };
    let mean = |rows: &[Vec<f64>], f: &dyn Fn(&[f64]) -> f64| {
        rows.iter().map(|r| f(r)).sum::<f64>() / rows.len() as f64
    };
    let rows = truth(SimulateOptions::default());
    // Means of 600 draws, four standard errors: t has 0.289, cos(tilt) 0.577.
    assert!((mean(&rows, &|r| r[1]) - 0.5).abs() < 4.0 * 0.289 / 600f64.sqrt());
    assert!(mean(&rows, &|r| r[4].to_radians().cos()).abs() < 4.0 * 0.577 / 600f64.sqrt());
    assert!(rows.iter().all(|r| (r[2] - r[1] * 4.0).abs() <= 0.5 + 1e-5), "the state is the nearest one");
    assert!(rows.iter().all(|r| r[6].abs() <= 16.0 && r[7].abs() <= 16.0), "shifts of up to 2 pixels of 8 Å");
    assert!(rows.iter().all(|r| r[8] >= r[9] && r[8] - r[9] <= 400.0 && r[9] >= 9_800.0 && r[8] <= 20_200.0));

    let rows = truth(SimulateOptions {
        spread: Spread::Discrete,
        poses: Poses::Side { spread: 0.0 },
        ..SimulateOptions::default()
    });
    assert!(rows.iter().all(|r| (r[1] * 4.0).fract() == 0.0 && (r[4] - 90.0).abs() < 1e-6));
    let rows = truth(SimulateOptions {
        spread: Spread::Bimodal,
        poses: Poses::Cone { spread: 10.0 },
        ..SimulateOptions::default()
    });
    let middle = rows.iter().filter(|r| (0.45..0.55).contains(&r[1])).count();
    assert!(middle < 10, "{middle} of 600 lie in the middle of a bimodal distribution");
    // Rayleigh: the mean tilt is 10 √(π/2) = 12.5°, standard error 6.55/√600 = 0.27.
    assert!((mean(&rows, &|r| r[4]) - 12.53).abs() < 1.1);
}

#[test]
fn states_models_and_maps_belong_together() {
    let folder = tempfile::tempdir().unwrap();
    let options = SimulateOptions { images: 20, volumes: Some(3), ..small() };
    let ensemble = Ensemble::path(&adk(), 4, true).unwrap();
    let summary = simulate(&options, ensemble, folder.path(), &mut |_, _, _| Ok(())).unwrap();
    assert_eq!(summary.maps.iter().map(|m| m.t).collect::<Vec<_>>(), [0.0, 0.5, 1.0]);
    let models = Structure::read(&folder.path().join("conformations.pdb")).unwrap();
    assert_eq!(models.models.len(), 3);
    for (k, model) in models.models.iter().enumerate() {
        let map = Volume::read(summary.map(k).unwrap()).unwrap();
        // Models lie in their maps: atoms stand where density is, at place / apix from voxel 0.
        let at = |p: &[f64; 3]| {
            let [x, y, z] = p.map(|v| (v / summary.apix).round() as usize);
            f64::from(map.data[(z * 32 + y) * 32 + x])
        };
        let inside = model.iter().map(at).sum::<f64>() / model.len() as f64;
        let overall = map.data.iter().map(|v| f64::from(*v)).sum::<f64>() / map.data.len() as f64;
        assert!(inside > 10.0 * overall, "map {k}: {inside} at atoms, {overall} overall");
        let electrons: f64 = map.data.iter().map(|v| f64::from(*v)).sum();
        let expected: f64 = models
            .atoms
            .iter()
            .map(|a| f64::from(kinesome::protein::elements::atomic_number(&a.element).unwrap()))
            .sum();
        assert!((electrons / expected - 1.0).abs() < 1e-4, "{electrons} of {expected} electrons");
    }
}

#[test]
fn padding_changes_only_what_the_ctf_carries_out_of_the_image() {
    let folder = tempfile::tempdir().unwrap();
    let options = SimulateOptions { snr: None, images: 3, overwrite: true, ..small() };
    let plain = images(&one_state(&options, folder.path()).stack());
    let padded = images(&one_state(&SimulateOptions { pad: 2, ..options.clone() }, folder.path()).stack());
    for (a, b) in plain.iter().zip(&padded) {
        let likeness = correlation(a, b).unwrap();
        assert!(likeness > 0.98 && a != b, "correlation {likeness}");
    }
    // Without a CTF nothing leaves, and padding changes nothing.
    let ideal = SimulateOptions { microscope: None, ..options };
    let plain = images(&one_state(&ideal, folder.path()).stack());
    assert_eq!(plain, images(&one_state(&SimulateOptions { pad: 2, ..ideal }, folder.path()).stack()));
}

#[test]
fn half_precision_stacks_hold_the_same_images() {
    let folder = tempfile::tempdir().unwrap();
    let full = images(&one_state(&SimulateOptions { images: 4, ..small() }, folder.path()).stack());
    let options = SimulateOptions { images: 4, half_precision: true, overwrite: true, ..small() };
    let summary = one_state(&options, folder.path());
    assert_eq!(std::fs::metadata(summary.stack()).unwrap().len(), 1024 + 4 * 32 * 32 * 2);
    for (a, b) in full.concat().iter().zip(images(&summary.stack()).concat()) {
        // Half precision keeps 11 bits.
        assert!((a - b).abs() <= 5e-4 * a.abs() + 1e-6);
    }
}
