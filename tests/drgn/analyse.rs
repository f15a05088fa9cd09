//! `analyze`: on a run of the reference program, and on small ones made here.

use std::path::{Path, PathBuf};

use kinesome::cryo::volume::PostProcess;
use kinesome::device;
use kinesome::io::mrc::Volume;
use kinesome::io::npy::{Array, ArrayData};
use kinesome::plan::Store;
use kinesome::stats::random::Philox;
use kinesome::systems::drgn::analyse::{Options, Summary, analyse};
use kinesome::systems::drgn::config::Config;
use kinesome::systems::drgn::evaluate::Evaluator;
use kinesome::systems::drgn::files::{self, Latents};
use kinesome::systems::drgn::model::Network;
use kinesome::systems::drgn::run;
use kinesome::tensor::Tensor;

use crate::golden::{close, path};

/// The reference program's run, as it lies in its folder.
fn golden_run(folder: &Path) {
    for name in ["config.yaml", "weights.pkl", "z.pkl", "ctf.pkl", "pose.pkl"] {
        std::fs::copy(path(&format!("cli/{name}")), folder.join(name)).expect("a golden file");
    }
}

/// Few volumes, so that tests are quick.
fn few() -> Options {
    Options { points: 3, clusters: 4, ..Options::default() }
}

fn run_it(folder: &Path, options: &Options) -> Summary {
    analyse(folder, None, options, &mut |_, _, _| Ok(())).expect("an analysis")
}

fn files_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|e| e.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    names.sort();
    names
}

fn numbers(path: &Path) -> Vec<f64> {
    let text = std::fs::read_to_string(path).expect("a text file");
    text.split_whitespace().map(|w| w.parse().expect("a number")).collect()
}

#[track_caller]
fn check_pictures(folder: &Path) {
    for name in files_in(folder).iter().filter(|n| n.ends_with(".png")) {
        let file = std::fs::File::open(folder.join(name)).expect("a picture");
        let mut reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().expect("a PNG file");
        let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
        let info = reader.next_frame(&mut pixels).expect("pixels");
        assert!(info.width >= 200 && info.height >= 200, "{name} is too small");
        let used = &pixels[..info.buffer_size()];
        assert!(used.iter().any(|v| *v != used[0]), "{name} is blank");
    }
}

#[test]
fn a_run_of_the_reference_program() {
    let folder = tempfile::tempdir().expect("a folder");
    golden_run(folder.path());
    let log = "(INFO) # =====> Epoch: 1 Average gen loss = 1.05, KLD = 3.25, total loss = 1.0625; Finished in 0:00:01\n\
               (INFO) # =====> Epoch: 2 Average gen loss = 0.9, KLD = 4, total loss = 0.95; Finished in 0:00:01\n";
    std::fs::write(folder.path().join("run.log"), log).expect("a log");
    let options = Options { clusters: 5, ..Options::default() };
    let summary = run_it(folder.path(), &options);
    let out = folder.path().join("analyze.1");
    assert_eq!(summary.outdir, out);
    // One epoch was trained: the line of the second one is of something else.
    assert_eq!(summary.history.len(), 1);
    assert_eq!((summary.history[0].reconstruction, summary.history[0].divergence), (1.05, 3.25));
    assert_eq!(summary.history[0].total, 1.0625);

    let volumes =
        |n: usize, ending: &str| (1..=n).map(|i| format!("vol_{i:03}.{ending}")).collect::<Vec<_>>();
    let expect = |folder: &Path, n: usize, others: &[&str]| {
        let mut wanted: Vec<String> = others.iter().map(ToString::to_string).collect();
        wanted.extend(volumes(n, "mrc"));
        wanted.extend(volumes(n, "png"));
        wanted.sort();
        assert_eq!(files_in(folder), wanted, "{}", folder.display());
        check_pictures(folder);
    };
    // Two latent variables: cryoDRGN makes no UMAP of them either.
    let top = ["kmeans5", "learning_curve_epoch1.png", "pc1", "pc2", "report.html"];
    expect(&out, 0, &[&top[..], &["z_pca.png", "z_pca_hexbin.png", "z_pca_marginals.png"]].concat());
    let series = ["vol_series.cxc", "z_values.txt"];
    for pc in ["pc1", "pc2"] {
        expect(&out.join(pc), 10, &[&series[..], &["pca_traversal.png", "pca_traversal_hex.png"]].concat());
    }
    let clusters = ["labels.pkl", "centers.txt", "centers_ind.txt", "z_pca.png", "z_pca_hex.png"];
    expect(&out.join("kmeans5"), 5, &[&series[..], &clusters].concat());

    check_traversals(&out);
    check_clusters(&out.join("kmeans5"), 5);
    check_volumes(folder.path(), &out);

    let html = std::fs::read_to_string(&summary.report).expect("a report");
    for outside in ["http://", "https://", "src=\"//", "@import", "url("] {
        // The name of the SVG language is no link.
        let text = html.replace("http://www.w3.org/2000/svg", "");
        assert!(!text.contains(outside), "the report reaches out: {outside}");
    }
    for said in ["48 particles", "Clusters", "select_clusters", "eval_vol", "data:image/png;base64,"] {
        assert!(html.contains(said), "the report does not say {said}");
    }
    let script = std::fs::read_to_string(out.join("pc1/vol_series.cxc")).expect("a script");
    let open = script.lines().find(|l| l.starts_with("open ")).expect("a line that opens the maps");
    assert!(volumes(10, "mrc").iter().all(|name| open.contains(&format!("\"{name}\""))));
}

/// The rule, by another way: principal axes of two variables in closed form, percentiles by sorting.
fn check_traversals(out: &Path) {
    let latents = Latents::read(&path("cli/z.pkl")).expect("latents");
    let n = latents.len() as f64;
    let z: Vec<[f64; 2]> = latents.mu.chunks(2).map(|z| [f64::from(z[0]), f64::from(z[1])]).collect();
    let mean = [0, 1].map(|k| z.iter().map(|z| z[k]).sum::<f64>() / n);
    let s = |a: usize, b: usize| z.iter().map(|z| (z[a] - mean[a]) * (z[b] - mean[b])).sum::<f64>();
    let angle = 0.5 * (2.0 * s(0, 1)).atan2(s(0, 0) - s(1, 1));
    let axes = [[angle.cos(), angle.sin()], [-angle.sin(), angle.cos()]];
    for (name, mut axis) in ["pc1", "pc2"].into_iter().zip(axes) {
        // scikit-learn's sign: the larger entry is positive.
        let larger = if axis[0].abs() > axis[1].abs() { axis[0] } else { axis[1] };
        axis = axis.map(|v| v * larger.signum());
        let mut along: Vec<f64> =
            z.iter().map(|z| (z[0] - mean[0]) * axis[0] + (z[1] - mean[1]) * axis[1]).collect();
        along.sort_by(f64::total_cmp);
        let percentile = |p: f64| {
            let at = p / 100.0 * (n - 1.0);
            let (low, part) = (at.floor() as usize, at.fract());
            along[low] + part * (along[low + 1] - along[low])
        };
        let (low, high) = (percentile(5.0), percentile(95.0));
        let wanted: Vec<f32> = (0..10)
            .map(|i| low + (high - low) * f64::from(i) / 9.0)
            .flat_map(|t| [mean[0] + t * axis[0], mean[1] + t * axis[1]].map(|v| v as f32))
            .collect();
        let found: Vec<f32> =
            numbers(&out.join(name).join("z_values.txt")).iter().map(|v| *v as f32).collect();
        // Latents are single precision.
        close(name, &found, &wanted, 1e-5);
    }
}

fn check_clusters(folder: &Path, k: usize) {
    let latents = Latents::read(&path("cli/z.pkl")).expect("latents");
    let labels = files::read_labels(&folder.join("labels.pkl")).expect("labels");
    assert_eq!(labels.len(), latents.len());
    assert!((0..k as i64).all(|c| labels.contains(&c)) && labels.iter().all(|l| (0..k as i64).contains(l)));
    let centres = numbers(&folder.join("centers_ind.txt"));
    let values = numbers(&folder.join("centers.txt"));
    assert_eq!((centres.len(), values.len()), (k, 2 * k));
    for (c, (centre, value)) in centres.iter().zip(values.chunks(2)).enumerate() {
        let row = &latents.mu[2 * *centre as usize..][..2];
        assert_eq!(labels[*centre as usize], c as i64, "a centre lies in its own cluster");
        assert_eq!([row[0], row[1]], [value[0] as f32, value[1] as f32], "a centre is a particle");
    }
    assert_eq!(numbers(&folder.join("z_values.txt")), values);
}

/// Volumes are those of the model at the latents that stand beside them.
fn check_volumes(run_folder: &Path, out: &Path) {
    let config = Config::read(&run_folder.join("config.yaml")).expect("a config");
    let network = Network::new(&config).expect("a network");
    let store = Store::new(device::open("cpu").expect("a device"), 0);
    run::load(&run_folder.join("weights.pkl"), &network, &store, false).expect("weights");
    let mut decoder = Evaluator::new(&network, &store).volumes(None).expect("a decoder");
    let norm = config.dataset_args.norm.map(|v| v as f32);
    for (series, n) in [("pc1", 10), ("pc2", 10), ("kmeans5", 5)] {
        let z = numbers(&out.join(series).join("z_values.txt"));
        for i in [0, n / 2, n - 1] {
            let z = [z[2 * i] as f32, z[2 * i + 1] as f32];
            let wanted = decoder.decode(&z, (norm[0], norm[1])).expect("a volume");
            let found =
                Volume::read(out.join(series).join(format!("vol_{:03}.mrc", i + 1))).expect("a volume");
            assert_eq!(found.data, wanted, "{series}, volume {i}: the same computation gives the same bits");
            // ctf.pkl: 32 pixels of 4 Å, the box of the model.
            assert_eq!(found.apix.map(|a| a as f32), Some(4.0));
        }
    }
}

#[test]
fn volumes_are_finished_as_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    golden_run(folder.path());
    let out = |name: &str| Some(folder.path().join(name));
    let plain = few();
    run_it(folder.path(), &Options { outdir: out("plain"), downsample: Some(16), ..plain.clone() });
    let post_process = PostProcess { flip: true, invert: true, low_pass: None, crop: Some(8) };
    let changed =
        Options { outdir: out("changed"), downsample: Some(16), post_process, first_volume: 0, ..plain };
    run_it(folder.path(), &changed);
    let before = Volume::read(folder.path().join("plain/pc1/vol_002.mrc")).expect("a volume");
    let after = Volume::read(folder.path().join("changed/pc1/vol_001.mrc")).expect("a volume");
    assert_eq!((before.dims, after.dims), ([16; 3], [8; 3]));
    // Half the voxels over the same field of view: twice the pixel size.
    assert_eq!(before.apix.map(|a| a as f32), Some(8.0));
    assert_eq!(after.origin, [32.0; 3], "(16 - 8) / 2 voxels of 8 Å");
    for (z, y, x) in [(0, 0, 0), (3, 5, 6), (7, 7, 7), (4, 1, 2)] {
        let of = before.data[((15 - (z + 4)) * 16 + y + 4) * 16 + x + 4];
        assert_eq!(after.data[(z * 8 + y) * 8 + x], -of);
    }
}

#[test]
fn without_volumes_the_rest_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    golden_run(folder.path());
    let summary = run_it(folder.path(), &Options { skip_volumes: true, ..few() });
    let names = files_in(&summary.outdir.join("pc1"));
    assert_eq!(names, ["pca_traversal.png", "pca_traversal_hex.png", "z_values.txt"]);
    assert!(summary.traversals.iter().all(|t| t.series.volumes.is_empty()));
    assert!(summary.report.is_file());
}

#[test]
fn what_does_not_fit_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let fails = |epoch: Option<usize>, options: &Options, said: &[&str]| {
        let error =
            analyse(folder.path(), epoch, options, &mut |_, _, _| Ok(())).expect_err("an error").to_string();
        assert!(said.iter().all(|s| error.contains(s)), "{error:?} does not say {said:?}");
        assert!(!error.contains('\n'), "{error:?} is one line");
        assert!(!folder.path().join("analyze.1").exists(), "nothing is written: {error}");
    };
    fails(None, &few(), &["config.yaml"]);
    golden_run(folder.path());
    fails(Some(7), &few(), &["weights.7.pkl", "-1"]);
    fails(None, &Options { downsample: Some(17), ..few() }, &["-d 17", "even"]);
    fails(None, &Options { downsample: Some(64), ..few() }, &["-d 64", "32"]);
    let crop = PostProcess { crop: Some(40), ..PostProcess::default() };
    fails(None, &Options { post_process: crop, ..few() }, &["--crop 40", "32"]);
    fails(None, &Options { apix: Some(f64::NAN), ..few() }, &["--Apix"]);

    let z = folder.path().join("z.pkl");
    let write = |n: usize, dim: usize, value: f32| {
        Latents { dim, mu: vec![value; n * dim], logvar: None }.write(&z).expect("latents");
    };
    write(48, 3, 0.5);
    fails(None, &few(), &["z.pkl", "3 latent variables", "2"]);
    write(47, 2, 0.5);
    fails(None, &few(), &["z.pkl", "47", "48", "ctf.pkl"]);
    write(48, 2, f32::NAN);
    fails(None, &few(), &["z.pkl", "particle 0", "finite"]);
    std::fs::remove_file(&z).expect("gone");
    fails(None, &few(), &["z.pkl"]);
}

/// A run with random weights and latents of `n` particles in `zdim` variables.
fn random_run(folder: &Path, n: usize, zdim: usize) -> PathBuf {
    let text = format!(
        "dataset_args: {{particles: x.mrcs, norm: [0, 1]}}\n\
         lattice_args: {{D: 17, extent: 0.5, ignore_DC: true}}\n\
         model_args: {{qlayers: 1, qdim: 8, players: 1, pdim: 8, zdim: {zdim}, encode_mode: resid, enc_mask: 8, \
         pe_type: gaussian, feat_sigma: 0.5, pe_dim: null, domain: fourier, activation: relu}}\n"
    );
    std::fs::write(folder.join("config.yaml"), text).expect("a config");
    let config = Config::read(&folder.join("config.yaml")).expect("a config");
    let network = Network::new(&config).expect("a network");
    let tape = kinesome::tape::Tape::new();
    network.declare(&tape);
    let mut random = Philox::new(1, 0);
    let mut draw = |n: usize| (0..n).map(|_| random.normal_f32()).collect::<Vec<f32>>();
    let store = Store::new(device::open("cpu").expect("a device"), 0);
    for state in tape.states() {
        let values = draw(state.meta.shape.iter().product());
        store.set(&state.name, &Tensor::f32(&state.meta.shape, values)).expect("a state");
    }
    let history = (1..=3)
        .map(|epoch| run::EpochLosses {
            epoch,
            reconstruction: 1.0 / epoch as f64,
            divergence: epoch as f64,
            total: 1.5 / epoch as f64,
            images_per_second: 10.0,
        })
        .collect();
    let position = run::Position {
        epoch: 3,
        step: 9,
        seed: 0,
        shuffle_seed: 0,
        batch: 8,
        images: n,
        history,
        loss_scale: None,
    };
    let weights = run::weights_path(folder, Some(3));
    let adam = kinesome::train::Adam::default();
    run::save(&weights, &network, &store, &adam, None, &position).expect("a checkpoint");
    Latents { dim: zdim, mu: draw(n * zdim), logvar: None }
        .write(&run::latents_path(folder, Some(3)))
        .expect("latents");
    weights
}

#[test]
fn the_umap_is_made_once() {
    let folder = tempfile::tempdir().expect("a folder");
    random_run(folder.path(), 60, 3);
    let options = Options { skip_volumes: true, ..few() };
    let again = || analyse(folder.path(), Some(3), &options, &mut |_, _, _| Ok(())).expect("an analysis");
    let first = again();
    assert_eq!(first.history.len(), 3);
    let out = folder.path().join("analyze.3");
    assert!(out.join("learning_curve_epoch3.png").is_file());
    for name in
        ["umap.png", "umap_marginals.png", "umap_hexbin.png", "pc1/umap.png", "pc1/umap_traversal.png"]
    {
        assert!(out.join(name).is_file(), "{name} is missing");
    }
    for name in ["pc2/umap_traversal_connected.png", "kmeans4/umap.png", "kmeans4/umap_hex.png"] {
        assert!(out.join(name).is_file(), "{name} is missing");
    }
    let made = first.umap.expect("a UMAP");
    assert_eq!(files::read_umap(&out.join("umap.pkl")).expect("a file"), made);
    // Another program's embedding is used as it is.
    let other: Vec<[f32; 2]> = (0..60).map(|i| [i as f32, -(i as f32)]).collect();
    files::write_umap(&out.join("umap.pkl"), &other).expect("a file");
    assert_eq!(again().umap.expect("a UMAP"), other);
    // One of other particles is made anew, the same as before.
    files::write_umap(&out.join("umap.pkl"), &other[..50]).expect("a file");
    let third = again();
    assert_eq!(third.umap.expect("a UMAP"), made);
    assert!(third.notes.iter().any(|n| n.contains("umap.pkl had 50 points for 60")));
    let none = Options { skip_umap: true, ..options.clone() };
    assert!(
        analyse(folder.path(), Some(3), &none, &mut |_, _, _| Ok(())).expect("an analysis").umap.is_none()
    );
}

#[test]
fn one_latent_variable() {
    let folder = tempfile::tempdir().expect("a folder");
    random_run(folder.path(), 40, 1);
    let summary = analyse(folder.path(), Some(3), &few(), &mut |_, _, _| Ok(())).expect("an analysis");
    let names = files_in(&summary.outdir);
    let wanted = [
        "learning_curve_epoch3.png",
        "report.html",
        "vol_001.mrc",
        "vol_001.png",
        "vol_002.mrc",
        "vol_002.png",
        "vol_003.mrc",
        "vol_003.png",
        "vol_series.cxc",
        "z.png",
        "z_hist.png",
        "z_values.txt",
    ];
    assert_eq!(names, wanted);
    let z = numbers(&summary.outdir.join("z_values.txt"));
    let mut sorted = summary.latents.mu.clone();
    sorted.sort_by(f32::total_cmp);
    // 5 % of 39 steps: between the second and third of 40.
    let low = f64::from(sorted[1]) + 0.95 * f64::from(sorted[2] - sorted[1]);
    assert!((z[0] - low).abs() < 1e-5, "{} instead of {low}", z[0]);
}

#[test]
fn an_interrupt_stops_it() {
    let folder = tempfile::tempdir().expect("a folder");
    golden_run(folder.path());
    let stop = |_: &str, done: usize, total: usize| match done {
        2 if total == 10 => Err(kinesome::Error::Interrupted),
        _ => Ok(()),
    };
    let mut stop = stop;
    let error = analyse(folder.path(), None, &few(), &mut stop).expect_err("an interrupt");
    assert!(matches!(error, kinesome::Error::Interrupted));
    assert!(!folder.path().join("analyze.1/report.html").exists());
}

/// `labels.pkl` is what NumPy calls int64, one dimension.
#[test]
fn labels_are_whole_numbers() {
    let folder = tempfile::tempdir().expect("a folder");
    golden_run(folder.path());
    let summary = run_it(folder.path(), &Options { skip_volumes: true, ..few() });
    let labels: Array = files::read_array(&summary.outdir.join("kmeans4/labels.pkl")).expect("an array");
    assert_eq!(labels.shape, [48]);
    assert!(matches!(labels.data, ArrayData::I64(_)));
}
