//! Projection, masks, filters, shifts and the comparison with particles.

use std::collections::BTreeMap;

use kinesome::cryo::pose::from_relion_deg;
use kinesome::io::npy::Array;
use kinesome::ops::splat::Splat;
use kinesome::systems::dyna::data::{shift_bilinear, shift_transform};
use kinesome::systems::dyna::image::{Projector, disagreement, disc, filter, normalise};
use kinesome::tape::Tape;
use kinesome::tensor::{DType, Tensor};

use crate::golden::{close, cpu, npz, run, tensor};

/// `[N, 3]` for each of B images: `[N, 3, B]`.
fn side_by_side(places: &Array, batch: usize) -> Tensor {
    let flat: Vec<f32> = places.to_f32().iter().flat_map(|&v| vec![v; batch]).collect();
    Tensor::f32(&[places.shape[0], 3, batch], flat)
}

#[test]
fn angles_turn_as_in_the_reference() {
    let golden = npz("01_projection.npz");
    let angles = golden["euler_rot_tilt_psi_deg"].to_f64();
    let found: Vec<f32> = angles
        .chunks(3)
        .flat_map(|a| from_relion_deg([a[0], a[1], a[2]]).as_flattened().to_vec())
        .map(|v| v as f32)
        .collect();
    close("rotations", &found, &golden["rotmat"].to_f32(), 1e-6);
}

#[test]
fn dense_projections_are_the_reference_s() {
    let golden = npz("01_projection.npz");
    for (name, side) in [("proj16", 16), ("proj15", 15)] {
        // The reference's grid of an odd side begins one pixel off the middle.
        let line = golden[&format!("line{side}")].to_f64();
        let apix = line[1] - line[0];
        let centre = (-line[0] / apix).round() as usize;
        let places = golden["mu"].to_f64();
        let rotations = golden["rotmat"].to_f64();
        let mut seen = vec![];
        for rotation in rotations.chunks(9) {
            for place in places.chunks(3) {
                for row in rotation.chunks(3).take(2) {
                    let along: f64 = row.iter().zip(place).map(|(r, p)| r * p).sum();
                    seen.push((along / apix) as f32);
                }
            }
        }
        let count = places.len() / 3;
        let widths = golden["sigma"].to_f64().iter().map(|s| (s / apix) as f32).collect();
        let tape = Tape::new();
        let inputs = [
            tape.constant(Tensor::f32(&[3, count, 2], seen)),
            tape.constant(tensor(&golden["amp"])),
            tape.constant(Tensor::f32(&[count], widths)),
        ];
        let image = tape.special(Splat { centre, ..Splat::image(side, 0.0) }, &inputs);
        let found = run(&tape, &cpu(), &[("y", image)], &[]);
        close(name, &found["y"], &golden[name].to_f32(), 1e-5);
    }
}

fn projector(golden: &BTreeMap<String, Array>, apix: f64, tail: f32) -> Projector {
    let electrons = golden["adk_electrons"].to_f32();
    Projector { side: 64, apix, tail, widths: vec![2.0; electrons.len()], electrons }
}

#[test]
fn a_protein_is_projected_and_what_is_left_out_is_as_stated() {
    let golden = npz("01_projection.npz");
    let line = golden["line64"].to_f64();
    let project = |tail: f32| {
        let tape = Tape::new();
        let rotations = tape.constant(tensor(&golden["rotmat"]));
        let places = tape.constant(side_by_side(&golden["adk_ca"], 3));
        let image = projector(&golden, line[1] - line[0], tail).project(places, rotations);
        run(&tape, &cpu(), &[("y", image)], &[]).remove("y").expect("an image")
    };
    let dense = project(0.0);
    close("projection", &dense, &golden["adk_proj64"].to_f32(), 1e-5);
    let peak = golden["adk_electrons"].to_f32().iter().fold(0.0_f32, |m, v| m.max(*v));
    for tail in [1e-4_f32, 1e-2] {
        let cut = project(tail);
        let worst = cut.iter().zip(&dense).fold(0.0_f32, |m, (a, b)| m.max(b - a));
        // Never more than the stated share of each of the few atoms whose edges meet in a pixel.
        assert!(worst > 0.0 && worst < 40.0 * tail * peak, "{worst}");
    }
}

#[test]
fn masks_are_discs() {
    let golden = npz("02_image_ops.npz");
    assert_eq!(disc(64, 1.0), golden["mask_rad1"].to_f32());
    let narrow = disc(64, 0.9375);
    assert_eq!(narrow, golden["mask_rad09375"].to_f32());
    assert_eq!(narrow.iter().sum::<f32>() as f64, golden["mask_num_0_9375"].to_f64()[0]);
    assert_eq!(disc(128, 0.9375).iter().sum::<f32>(), 11_144.0);
    assert_eq!(disc(128, 1.0).iter().sum::<f32>(), 12_644.0);
}

/// Hartley transform, host.
fn hartley(image: &[f32], back: bool) -> Vec<f32> {
    let plan = kinesome::cryo::fft::Hartley2::new(64);
    let mut image = image.to_vec();
    let mut scratch = plan.scratch();
    match back {
        true => plan.inverse(&mut image, &mut scratch).expect("a transform"),
        false => plan.forward(&mut image, &mut scratch).expect("a transform"),
    }
    image
}

#[test]
fn images_move_exactly_or_as_in_the_reference() {
    let golden = npz("02_image_ops.npz");
    let shifts = golden["shift_yx_px"].to_f64();
    let images = golden["image_after_mask"].to_f32();
    let (mut between, mut phases) = (vec![], vec![]);
    for (image, shift) in images.chunks(64 * 64).zip(shifts.chunks(2)) {
        let mut moved = image.to_vec();
        shift_bilinear(&mut moved, 64, [shift[1], shift[0]]);
        between.extend(moved);
        // The reference's phases move by a little more than they should.
        let more = 64.0 / 63.0;
        let mut transform = vec![0.0; 64 * 64];
        shift_transform(&hartley(image, false), 64, [shift[1] * more, shift[0] * more], &mut transform);
        phases.extend(hartley(&transform, true));
    }
    close("between pixels", &between, &golden["spatial_translate"].to_f32(), 1e-5);
    close("by phases", &phases, &golden["fourier_translate"].to_f32(), 1e-5);
}

#[test]
fn comparison_and_its_derivative_are_the_reference_s() {
    let golden = npz("02_image_ops.npz");
    let model = npz("01_projection.npz");
    let batch = 8;
    let pixels = 64 * 64;
    let tape = Tape::new();
    let places = tape.input("places", &[214, 3, batch], DType::F32);
    let rotations = tape.constant(tensor(&golden["rotmat"]));
    let passes = golden["lowpass6A"].to_f32();
    let filters: Vec<f32> = golden["ctf_v2"]
        .to_f32()
        .chunks(pixels)
        .flat_map(|c| c.iter().zip(&passes).map(|(a, b)| a * b).collect::<Vec<_>>())
        .collect();
    let filters = tape.constant(Tensor::f32(&[batch, 64, 64], filters));
    let mask = golden["mask_rad09375"].to_f32();
    let mut targets = golden["lowpassed_target"].to_f32();
    targets.chunks_mut(pixels).for_each(|target| normalise(target, &mask));
    let targets = tape.constant(Tensor::f32(&[batch, 64, 64], targets));
    let plain = projector(&model, 2.0, 0.0).project(places, rotations);
    let seen = filter(plain, filters);
    let each = disagreement(seen, targets, tape.constant(Tensor::f32(&[64, 64], mask)));
    let loss = each.mean_all();
    let slope = tape.grad(loss, &[places])[0].permute(&[2, 0, 1]);
    let outputs = [("plain", plain), ("seen", seen), ("each", each), ("loss", loss), ("slope", slope)];
    let found = run(&tape, &cpu(), &outputs, &[("places", &side_by_side(&model["adk_ca"], batch))]);
    close("projection", &found["plain"], &golden["gmm_proj"].to_f32(), 1e-5);
    close("through the microscope", &found["seen"], &golden["gmm_proj_ctf_lp"].to_f32(), 1e-5);
    let wanted = golden["per_image_cor"].to_f32();
    let sign = if wanted[0] * found["each"][0] < 0.0 { -1.0 } else { 1.0 };
    let each: Vec<f32> = found["each"].iter().map(|v| v * sign).collect();
    close("each image", &each, &wanted, 2e-5);
    close("loss", &found["loss"], &golden["cor_loss"].to_f32(), 2e-5);
    close("derivative", &found["slope"], &golden["dcor_dcoords"].to_f32(), 5e-5);
}
