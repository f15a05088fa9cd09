//! cryoDRGN's files: its own are read with the values they were made from, ours come back unchanged.
//!
//! With KINESOME_INTEROP_DIR set, what is written is kept there for tools/check_interop.py.

use crate::golden::golden;
use kinesome::io::npy::{self, Array};
use kinesome::io::pickle::{self, Value};
use kinesome::systems::drgn::config::{Config, ModelArgs};
use kinesome::systems::drgn::files::{self, Checkpoint, CtfTable, Latents, Poses};
use std::path::{Path, PathBuf};

/// The data rows of the star file the goldens were made from.
fn star_rows() -> Vec<Vec<f64>> {
    let text = std::fs::read_to_string(golden("cli/particles.star")).unwrap();
    let rows = text.lines().filter(|l| l.contains("@particles.mrcs"));
    rows.map(|l| l.split_whitespace().skip(1).map(|x| x.parse().unwrap()).collect()).collect()
}

/// A folder for what is written: kept when asked for.
fn out() -> (PathBuf, Option<tempfile::TempDir>) {
    match std::env::var_os("KINESOME_INTEROP_DIR") {
        Some(dir) => (dir.into(), None),
        None => {
            let dir = tempfile::tempdir().unwrap();
            (dir.path().to_path_buf(), Some(dir))
        }
    }
}

#[test]
fn ctf_is_the_star_files() {
    let ctf = CtfTable::read(&golden("cli/ctf.pkl")).unwrap();
    let rows = star_rows();
    assert_eq!(ctf.rows.len(), 48);
    ctf.check_len(48, "the stack").unwrap();
    for (row, star) in ctf.rows.iter().zip(&rows) {
        // Columns of the star file: ..., DefocusU, DefocusV, DefocusAngle, PhaseShift; the optics group has the rest.
        let expected = [32.0, 4.0, star[5], star[6], star[7], 300.0, 2.7, 0.1, star[8]];
        for (x, e) in row.iter().zip(expected) {
            assert_eq!(*x, e as f32);
        }
    }
}

#[test]
fn poses_are_the_star_files() {
    let poses = Poses::read(&golden("cli/pose.pkl")).unwrap();
    poses.check_len(48, "the stack").unwrap();
    assert!(poses.check_len(50, "the stack").unwrap_err().to_string().contains("48 poses"));
    let t = poses.translations.as_ref().unwrap();
    for ((row, t), r) in star_rows().iter().zip(t).zip(&poses.rotations) {
        // Shifts in Å / (4 Å a pixel) / (32 pixels); float64 from six decimals.
        assert!((t[0] - row[3] / 128.0).abs() < 1e-7 && (t[1] - row[4] / 128.0).abs() < 1e-7);
        // R_zz = cos(tilt) in every convention of z-y-z angles; the parser's matrix is float32.
        assert!((r[2][2] - row[1].to_radians().cos()).abs() < 1e-6);
    }
}

#[test]
fn latents_have_two_parts() {
    let z = Latents::read(&golden("cli/z.pkl")).unwrap();
    assert_eq!((z.len(), z.dim), (48, 2));
    let logvar = z.logvar.clone().unwrap();
    assert_eq!(logvar.len(), 96);
    assert_ne!(z.mu, logvar);
    let (dir, _keep) = out();
    let path = dir.join("z.pkl");
    z.write(&path).unwrap();
    assert_eq!(Latents::read(&path).unwrap(), z);
    npy::write_npy(&dir.join("z.npy"), &Array::f32(&[48, 2], z.mu.clone()).unwrap()).unwrap();
    let means = Latents::read(&dir.join("z.npy")).unwrap();
    assert_eq!((means.mu, means.logvar), (z.mu, None));
}

#[test]
fn weights_and_adam() {
    let w = Checkpoint::read(&golden("cli/weights.pkl")).unwrap();
    assert_eq!(w.epoch, 1);
    assert_eq!(w.model.len(), 15);
    assert_eq!(w.get("encoder.main.0.weight").unwrap().shape, [32, 796]);
    assert_eq!(w.model[6].0, "decoder.rand_freqs");
    let adam = w.adam.as_ref().unwrap();
    assert_eq!((adam.lr, adam.betas, adam.eps, adam.weight_decay), (1e-4, [0.9, 0.999], 1e-8, 0.0));
    for (i, moments) in adam.moments.iter().enumerate() {
        // The frequencies are not trained; the others took one step for each of 6 batches of 8 of the 48 images.
        assert_eq!(moments.as_ref().map(|m| m.step), (i != 6).then_some(6));
        if let Some(m) = moments {
            assert!(m.exp_avg_sq.data.iter().all(|&x| x >= 0.0));
        }
    }
    let (dir, _keep) = out();
    let path = dir.join("weights.pkl");
    w.write(&path).unwrap();
    assert_eq!(Checkpoint::read(&path).unwrap(), w);
    let nn = Checkpoint { norm: Some([0.0, 2.5]), adam: None, ..w };
    nn.write(&dir.join("weights_nn.pkl")).unwrap();
    assert_eq!(Checkpoint::read(&dir.join("weights_nn.pkl")).unwrap(), nn);
    assert!(Checkpoint::read(&golden("cli/pose.pkl")).is_err());
}

#[test]
fn other_tables_round_trip() {
    let (dir, _keep) = out();
    let poses = Poses::read(&golden("cli/pose.pkl")).unwrap();
    poses.write(&dir.join("pose.pkl")).unwrap();
    assert_eq!(Poses::read(&dir.join("pose.pkl")).unwrap(), poses);
    let bare = Poses { translations: None, ..poses.clone() };
    bare.write(&dir.join("rot.pkl")).unwrap();
    assert_eq!(Poses::read(&dir.join("rot.pkl")).unwrap(), bare);
    let ctf = CtfTable::read(&golden("cli/ctf.pkl")).unwrap();
    ctf.write(&dir.join("ctf.pkl")).unwrap();
    assert_eq!(CtfTable::read(&dir.join("ctf.pkl")).unwrap(), ctf);
    for name in ["ind.pkl", "ind.npy"] {
        files::write_indices(&dir.join(name), &[4, 0, 47]).unwrap();
        assert_eq!(files::read_indices(&dir.join(name)).unwrap(), [4, 0, 47]);
    }
    files::write_labels(&dir.join("labels.pkl"), &[1, 0, 1]).unwrap();
    assert_eq!(files::read_labels(&dir.join("labels.pkl")).unwrap(), [1, 0, 1]);
    files::write_umap(&dir.join("umap.pkl"), &[[0.5, 1.0], [2.0, -3.0]]).unwrap();
    assert_eq!(files::read_umap(&dir.join("umap.pkl")).unwrap(), [[0.5, 1.0], [2.0, -3.0]]);
}

#[test]
fn wrong_tables_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p.pkl");
    let eye = Value::Array(Array::f32(&[1, 3, 3], vec![1., 0., 0., 0., 1., 0., 0., 0., 1.]).unwrap());
    let with = |t: Value| {
        pickle::write(&path, &Value::Tuple(vec![eye.clone(), t])).unwrap();
        Poses::read(&path)
    };
    let pair = |x: f32| Value::Array(Array::f32(&[1, 2], vec![0.1, x]).unwrap());
    assert!(with(pair(-0.9)).is_ok());
    let e = with(pair(4.67)).unwrap_err().to_string();
    assert!(e.contains("pixels") && e.contains("translation 0"), "{e}");
    assert!(with(pair(f32::NAN)).is_err());
    assert!(with(Value::Array(Array::f32(&[2, 2], vec![0.0; 4]).unwrap())).is_err());
    assert!(with(Value::Int(3)).is_err());
    pickle::write(&path, &Value::Array(Array::f32(&[1, 3, 3], vec![2.0; 9]).unwrap())).unwrap();
    assert!(Poses::read(&path).unwrap_err().to_string().contains("no rotation"));
    pickle::write(&path, &Value::List(vec![Value::Int(-1)])).unwrap();
    assert!(files::read_indices(&path).unwrap_err().to_string().contains("-1"));
    assert!(CtfTable::read(&golden("cli/pose.pkl")).unwrap_err().to_string().contains("array"));
    assert!(Latents::read(&golden("cli/ctf.pkl")).is_ok_and(|z| z.dim == 9));
}

const TRICKY: [&str; 16] = [
    "1e-5",
    "yes",
    "on",
    "y",
    "null",
    "~",
    "1_000",
    "0x1F",
    "1:30",
    "2026-11-21",
    ".5",
    "- a",
    "a: b",
    "# c",
    "",
    "é",
];

#[test]
fn config_is_read_and_written() {
    let c = Config::read(&golden("cli/config.yaml")).unwrap();
    assert_eq!((c.lattice_args.d, c.box_size(), c.lattice_args.extent), (33, 32, 0.5));
    assert_eq!(c.dataset_args.norm, [0.0, 25.238788604736328]);
    assert_eq!(c.cmd.len(), 27);
    assert_eq!((c.seed, c.version.as_deref()), (Some(0), Some("4.3.0")));
    assert_eq!(c.time.as_deref(), Some("2026-11-21 10:13:15.876985"));
    let ModelArgs::Vae(m) = &c.model_args else { panic!("a VAE") };
    assert_eq!((m.qlayers, m.qdim, m.players, m.pdim, m.zdim), (1, 32, 2, 32, 2));
    assert_eq!((m.enc_mask, m.shared.feat_sigma, m.shared.pe_dim), (Some(16), Some(0.5), None));
    assert_eq!(m.shared.domain, "fourier");
    assert!(m.other.is_empty() && c.other.is_empty() && c.dataset_args.other.is_empty());
    let (dir, _keep) = out();
    let mut ours = c.clone();
    // Numbers that Python's YAML would take for texts, and texts that it would take for something else.
    ours.dataset_args.norm = [1e-7, 2.5e20];
    ours.cmd.extend(TRICKY.iter().map(|s| s.to_string()));
    ours.other.insert("note".into(), "kept".into());
    let path = dir.join("config.yaml");
    ours.write(&path).unwrap();
    assert_eq!(Config::read(&path).unwrap(), ours);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("- 1.0e-7\n  - 2.5e+20\n") && text.contains("- '1e-5'\n"), "{text}");
    assert!(text.contains("time: 2026-11-21 10:13:15.876985\n"));
}

#[test]
fn configs_of_other_models() {
    let path = Path::new("config.yaml");
    let vae = std::fs::read_to_string(golden("cli/config.yaml")).unwrap();
    // The keys a run of train_nn of cryoDRGN 4.3.0 wrote.
    let start = vae.find("model_args:").unwrap();
    let end = vae.find("seed:").unwrap();
    let model = "model_args:\n  activation: relu\n  dim: 16\n  domain: fourier\n  feat_sigma: 0.5\n  layers: 2\n  \
                 pe_dim: null\n  pe_type: gaussian\n";
    let nn = format!("{}{model}{}", &vae[..start], &vae[end..]);
    let ModelArgs::Decoder(d) = Config::parse(&nn, path).unwrap().model_args else { panic!("a decoder") };
    assert_eq!((d.layers, d.dim, d.zdim), (2, 16, None));
    let abinit = format!("{vae}data_norm_mean: 0.0\n");
    assert!(Config::parse(&abinit, path).unwrap_err().to_string().contains("abinit"));
    for (from, to, message) in [
        ("D: 33", "D: 32", "odd"),
        ("qdim: 32", "qdim: many", "model_args"),
        ("25.238788604736328", "0.0", "norm"),
        ("lattice_args", "lattice", "lattice_args"),
        ("  players: 2\n", "", "players"),
        ("dataset_args:", "dataset_args: 3\nx:", "dataset_args"),
    ] {
        let e = Config::parse(&vae.replace(from, to), path).unwrap_err().to_string();
        assert!(e.contains(message), "{from}: {e}");
    }
    for n in 0..vae.len() {
        let _ = Config::parse(&vae[..n], path);
    }
    assert!(Config::parse(&"[".repeat(10_000), path).is_err());
}
