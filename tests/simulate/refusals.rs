//! What cannot be simulated is refused with one clear line, and leaves nothing behind.

use crate::{adk, carbons};
use kinesome::Error;
use kinesome::cryo::simulate::{Ensemble, Shift, SimulateOptions, simulate};
use kinesome::io::structure::Structure;
use std::path::Path;

fn refused(options: &SimulateOptions, folder: &Path) -> String {
    let ensemble = Ensemble::states(&adk()[..1]).unwrap();
    simulate(options, ensemble, folder, &mut |_, _, _| Ok(())).unwrap_err().to_string()
}

fn some() -> SimulateOptions {
    SimulateOptions { images: 10, box_side: 32, apix: Some(4.0), ..SimulateOptions::default() }
}

#[test]
fn options_out_of_range_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("new");
    let cases = [
        (SimulateOptions { box_side: 33, ..some() }, "33 pixels"),
        (SimulateOptions { box_side: 0, ..some() }, "even number"),
        (SimulateOptions { images: 0, ..some() }, "0 images"),
        (SimulateOptions { snr: Some(-0.1), ..some() }, "signal-to-noise ratio is -0.1"),
        (SimulateOptions { snr: Some(f64::NAN), ..some() }, "signal-to-noise ratio is NaN"),
        (SimulateOptions { apix: Some(0.0), ..some() }, "pixel size"),
        (SimulateOptions { sigma: Some(f64::INFINITY), ..some() }, "width of an atom"),
        (SimulateOptions { pad: 0, ..some() }, "padding 0 times"),
        (SimulateOptions { shift: Shift { pixels: -1.0, gaussian: true }, ..some() }, "shift (pixels) is -1"),
        (SimulateOptions { apix: Some(1.0), ..some() }, "give a larger --box"),
    ];
    for (options, expected) in cases {
        let text = refused(&options, &target);
        assert!(text.contains(expected), "`{expected}` is missing in: {text}");
        assert!(!target.exists(), "a refused simulation leaves no folder: {expected}");
    }
}

#[test]
fn structures_that_are_no_particle_are_refused() {
    let missing = Structure::read(Path::new("no-such-file.pdb")).unwrap_err().to_string();
    assert!(missing.contains("no-such-file.pdb"), "{missing}");
    let text = Ensemble::states(&[carbons(&[[0.0; 3]])]).err().unwrap().to_string();
    assert!(text.contains("has 1 heavy atom"), "{text}");
    let text = Ensemble::path(&adk()[..1], 10, true).err().unwrap().to_string();
    assert!(text.contains("at least two conformations"), "{text}");
    let text = Ensemble::path(&adk(), 1, true).err().unwrap().to_string();
    assert!(text.contains("path of 1 points"), "{text}");
    assert!(Ensemble::states(&[]).is_err());
    let broken = carbons(&[[0.0; 3], [f64::NAN, 0.0, 0.0], [3.0, 0.0, 0.0]]);
    let text = Ensemble::states(&[broken]).err().unwrap().to_string();
    assert!(text.contains("not a number"), "{text}");
}

#[test]
fn a_folder_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let text = refused(&some(), &file.join("inside"));
    assert!(text.contains("file"), "{text}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "x");
    assert!(refused(&some(), Path::new("/proc/no-such-place")).contains("/proc/no-such-place"));
}

#[test]
fn an_earlier_stack_is_kept_unless_told_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let run = |options: &SimulateOptions| {
        let ensemble = Ensemble::states(&adk()).unwrap();
        simulate(options, ensemble, folder.path(), &mut |_, _, _| Ok(()))
    };
    run(&some()).unwrap();
    assert!(folder.path().join("vol_001.mrc").exists());
    let text = run(&some()).unwrap_err().to_string();
    assert!(text.contains("--overwrite"), "{text}");
    run(&SimulateOptions { overwrite: true, volumes: Some(1), ..some() }).unwrap();
    assert!(!folder.path().join("vol_001.mrc").exists(), "a map without a successor is gone");
}

#[test]
fn an_interrupted_simulation_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("deep").join("new");
    let ensemble = Ensemble::states(&adk()[..1]).unwrap();
    let mut calls = 0;
    let stopped = simulate(&some(), ensemble, &target, &mut |_, _, _| {
        calls += 1;
        if calls == 4 { Err(Error::Interrupted) } else { Ok(()) }
    });
    assert!(matches!(stopped, Err(Error::Interrupted)));
    assert!(!folder.path().join("deep").exists());
}
