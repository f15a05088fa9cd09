//! The build script of `--features embed-kernels`: all files of the kernel cache `KINESOME_KERNELS` as one file.

use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-changed=tools/embed_kernels.rs");
    println!("cargo::rerun-if-env-changed=KINESOME_KERNELS");
    if std::env::var_os("CARGO_FEATURE_EMBED_KERNELS").is_none() {
        return;
    }
    let out = std::env::var_os("OUT_DIR").map(PathBuf::from).expect("cargo sets OUT_DIR");
    let outcome = match std::env::var_os("KINESOME_KERNELS") {
        Some(folder) => pack(Path::new(&folder)),
        None => Err("is not set".into()),
    };
    match outcome {
        Ok(pack) => std::fs::write(out.join("kernels.pack"), pack).expect("OUT_DIR can be written"),
        Err(why) => println!(
            "cargo::error=KINESOME_KERNELS {why}; make kernels with --device cuda:sm_90a (or the like) and name \
             their folder, the one called cuda in $KINESOME_CACHE or ~/.cache/kinesome"
        ),
    }
}

fn pack(folder: &Path) -> Result<Vec<u8>, String> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let problem = |e: std::io::Error| format!("({}) cannot be read: {e}", folder.display());
    let mut files = vec![];
    for entry in std::fs::read_dir(folder).map_err(problem)? {
        let path = entry.map_err(problem)?.path();
        if path.extension().is_some_and(|e| e == "cubin") {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(format!("({}) holds no .cubin", folder.display()));
    }
    // The same folder gives the same program.
    files.sort();
    let mut pack = vec![];
    for file in files {
        let bytes = std::fs::read(file).map_err(problem)?;
        pack.extend((bytes.len() as u64).to_le_bytes());
        pack.extend(bytes);
    }
    Ok(pack)
}
