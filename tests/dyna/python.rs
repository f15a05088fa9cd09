//! Configurations as CryoDyna ships them, without running them.

use kinesome::systems::dyna::config::{self, Config};
use kinesome::systems::dyna::encoder::Kind;

fn read(text: &str) -> kinesome::Result<(toml::Table, Vec<String>)> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("1ake.py");
    std::fs::write(&path, text).expect("a file");
    config::table::<Config>(&path)
}

#[test]
fn a_configuration_of_plain_values_is_read() {
    let text = r#"
"""What a data set needs."""
import os.path as osp
dataset_dir = "tutorial_data_1ake/uniform_snr0-0001_ctf"
side = 128  # pixels
dataset_attr = dict(
    dataset_dir=dataset_dir,
    starfile_path=osp.join(dataset_dir, "simulation.star"),
    ref_pdb_path=f"{dataset_dir}/../pdbs/1akeA_{50}.pdb" if False else "x.pdb",
)
"#;
    // Conditions are code.
    let refused = read(text).expect_err("code");
    assert!(refused.to_string().contains("line 9"), "{refused}");
    let text = text.replace("_{50}.pdb\" if False else \"x.pdb\"", ".pdb\"").replace(
        "\n)\n",
        r#"
    apix=1.0,
)
data_process = dict(down_side_shape=side, mask_rad=1, low_pass_bandwidth=4.0)
data_loader = dict(train_batch_per_gpu=64, workers_per_gpu=8)
knn_num = 24
gmm = dict(tunable=False)
cg_attr = dict(dssp=which('mkdssp'))
model = dict(model_type="VAE", model_cfg=dict(encoder_cls="MLP", e_hidden_dim=(512, 256, 128, 128), z_dim=32,))
loss = {"dist_weight": 1e-1, 'clash_weight': 5., 'intra_chain_res_bound': None}
optimizer = dict(lr=-1 * 1)
"#,
    );
    let refused = read(&text).expect_err("a product");
    assert!(refused.to_string().contains("line"), "{refused}");
    let (table, left) =
        read(&text.replace("-1 * 1", "1e-4").replace("e_hidden_dim", "\n        e_hidden_dim"))
            .expect("settings");
    for name in ["side", "gmm.tunable", "model.model_type", "data_loader.workers_per_gpu"] {
        assert!(left.iter().any(|l| l == name), "{name}: {left:?}");
    }
    let config = Config::of(table).expect("a configuration");
    let dataset = &config.dataset_attr;
    assert_eq!(
        dataset.starfile_path.to_str(),
        Some("tutorial_data_1ake/uniform_snr0-0001_ctf/simulation.star")
    );
    assert_eq!(
        dataset.ref_pdb_path.to_str(),
        Some("tutorial_data_1ake/uniform_snr0-0001_ctf/../pdbs/1akeA.pdb")
    );
    assert_eq!((dataset.apix, config.data_process.down_side_shape), (Some(1.0), Some(128)));
    assert_eq!((config.knn_num, config.optimizer.lr), (24, 1e-4));
    let networks = &config.model.model_cfg;
    assert_eq!((networks.encoder_cls, networks.z_dim), (Kind::Plain, 32));
    assert_eq!(networks.e_hidden_dim, [512, 256, 128, 128]);
    assert_eq!((config.loss.dist_weight, config.loss.clash_weight), (0.1, 5.0));
}

#[test]
fn what_is_no_plain_value_is_refused_with_its_line() {
    for (text, words) in [
        ("a = 1\nb = [1, 2\n", "line 2"),
        ("a = 1\nfor i in a:\n    pass\n", "line 2"),
        ("a = dict(b)\n", "line 1"),
        ("a = \"open\n", "line 1"),
        ("a = 1.2.3\n", "1.2.3"),
        ("a = f\"{b}\"\n", "b is not defined"),
        ("dataset_attr = dict(starfile_path=find('x'))\n", "code (find)"),
        ("=\n", "line 1"),
        ("a", "line 1"),
        ("a = -", "line 1"),
        ("a = (", "line 1"),
    ] {
        let refused = read(text).expect_err(text);
        assert!(refused.to_string().contains(words), "{text:?}: {refused}");
    }
    assert!(read("").expect("nothing").0.is_empty());
}
