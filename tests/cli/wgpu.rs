//! The wgpu device as a user meets it: training on it, its cache, and machines without a driver that works.

use crate::training::train_vae;
use crate::*;

/// Whether an adapter answers; aloud where none does, and a failure where one has to.
fn has_adapter(at: &Path) -> bool {
    let found = succeeds(at, &["devices"]).lines().any(|line| line.starts_with("wgpu"));
    let required = std::env::var("KINESOME_REQUIRE_WGPU").is_ok_and(|v| v == "1");
    assert!(found || !required, "KINESOME_REQUIRE_WGPU is set and no adapter answers");
    if !found {
        eprintln!("wgpu: skipped, no adapter");
    }
    found
}

fn losses(said: &str) -> Vec<f64> {
    said.lines().filter_map(|l| l.split("loss ").nth(1)?.split(' ').next()?.parse().ok()).collect()
}

/// The same losses as on the CPU, the same bits when repeated, with a pipeline cache that is new, damaged, and
/// impossible to write.
#[test]
fn training_is_the_same_on_an_adapter() {
    let at = workplace();
    if !has_adapter(at.path()) {
        return;
    }
    let train = |out: &str, device: &str, cache: &Path| {
        let output = kinesome(at.path(), &train_vae(out, "2", &["--device", device]))
            .env("KINESOME_CACHE", cache)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        (losses(&String::from_utf8_lossy(&output.stdout)), stderr(&output))
    };
    let cache = at.path().join("cache");
    let (wanted, _) = train("cpu", "cpu", &cache);
    assert_eq!(wanted.len(), 2);
    let (found, _) = train("first", "wgpu", &cache);
    assert_eq!(found.len(), 2);
    for (found, wanted) in found.iter().zip(&wanted) {
        assert!((found - wanted).abs() <= 1e-3 * wanted.abs(), "{found} on wgpu, {wanted} on the CPU");
    }
    // Where the adapter keeps a cache, half of its file is no cache.
    let files: Vec<PathBuf> =
        std::fs::read_dir(&cache).map(|f| f.flatten().map(|e| e.path()).collect()).unwrap_or_default();
    for file in &files {
        let whole = std::fs::read(file).unwrap();
        std::fs::write(file, &whole[..whole.len() / 2]).unwrap();
    }
    let (_, said) = train("second", "wgpu", &cache);
    assert!(files.is_empty() || said.contains("damaged"), "{said}");
    let file = at.path().join("particles.mrcs");
    let (_, said) = train("third", "wgpu", &file);
    assert!(files.is_empty() || said.contains("pipeline cache"), "{said}");
    for name in ["weights.pkl", "z.pkl"] {
        let read = |run: &str| std::fs::read(at.path().join(run).join(name)).unwrap();
        assert_eq!(read("first"), read("second"), "{name}");
        assert_eq!(read("first"), read("third"), "{name}");
    }
}

/// A driver that cannot be loaded: the CPU works, and asking for wgpu is one line.
#[test]
fn a_broken_driver_is_one_line() {
    let at = workplace();
    let broken = at.path().join("broken.json");
    let text = r#"{"file_format_version": "1.0.0", "ICD": {"library_path": "./particles.mrcs", "api_version": "1.3.0"}}"#;
    std::fs::write(&broken, text).unwrap();
    for driver in [broken, PathBuf::from("/nonexistent.json")] {
        let with = |args: &[&str]| {
            let mut command = kinesome(at.path(), args);
            command.env("VK_ICD_FILENAMES", &driver).env("VK_DRIVER_FILES", &driver);
            command
        };
        let output = with(&["devices"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && said.contains("cpu") && !said.contains("wgpu"), "{said}");
        let line = refused(at.path(), with(&train_vae("out", "1", &["--device", "wgpu"])), 1);
        assert!(line.contains("no Vulkan device answers") && line.contains("--device cpu"), "{line}");
    }
}

/// The small demo tells the same on an adapter as on the CPU, to what 32 bits leave of it.
#[test]
fn the_demo_is_the_same_on_an_adapter() {
    let at = workplace();
    if std::env::var_os("KINESOME_SLOW").is_none() {
        println!("skipped: set KINESOME_SLOW=1 to run the demo on an adapter (minutes)");
        return;
    }
    if !has_adapter(at.path()) {
        return;
    }
    let metrics = |device: &str| -> serde_json::Value {
        let small = ["demo", "--images", "100", "--box", "32", "-n", "2", "-o", device, "--device", device];
        succeeds(at.path(), &small);
        let folder = at.path().join(device);
        assert!(folder.join("report.html").is_file());
        serde_json::from_slice(&std::fs::read(folder.join("metrics.json")).unwrap()).unwrap()
    };
    let [cpu, wgpu] = ["cpu", "wgpu"].map(metrics);
    assert_ne!(cpu["device"], wgpu["device"]);
    let mut compared = 0;
    let mut close = |what: &str, a: &serde_json::Value, b: &serde_json::Value| {
        let (Some(a), Some(b)) = (a.as_f64(), b.as_f64()) else { panic!("{what}: {a} and {b}") };
        assert!((a - b).abs() <= 2e-3 * a.abs(), "{what}: {a} on the CPU, {b} on the adapter");
        compared += 1;
    };
    for (epoch, (a, b)) in
        cpu["losses"].as_array().unwrap().iter().zip(wgpu["losses"].as_array().unwrap()).enumerate()
    {
        ["reconstruction", "total"]
            .iter()
            .for_each(|k| close(&format!("{k} of epoch {epoch}"), &a[k], &b[k]));
    }
    for name in ["mean_correlation", "mean_consensus", "mean_best_single_map"] {
        close(name, &cpu[name], &wgpu[name]);
    }
    assert_eq!(compared, 7);
}
