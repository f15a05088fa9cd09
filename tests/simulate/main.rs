//! Paths of conformations and simulated particle stacks.

mod path;
mod projection;
mod refusals;
mod stack;

use kinesome::io::structure::{Atom, Structure};
use std::path::PathBuf;

/// A file of the project's `data` folder.
fn data(name: &str) -> PathBuf {
    let root = std::env::var("KINESOME_ROOT").unwrap_or(env!("CARGO_MANIFEST_DIR").into());
    PathBuf::from(root).join("data").join(name)
}

fn adk() -> [Structure; 2] {
    ["adk_open.pdb", "adk_closed.pdb"].map(|name| Structure::read(&data(name)).unwrap())
}

/// A structure of carbons at the given places, a residue each.
fn carbons(places: &[[f64; 3]]) -> Structure {
    let atom = |i: usize| Atom {
        name: "CA".into(),
        element: "C".into(),
        residue_name: "GLY".into(),
        residue_number: i as i32 + 1,
        insertion_code: None,
        chain: "A".into(),
        occupancy: 1.0,
        b_factor: 0.0,
        hetero: false,
    };
    Structure { atoms: (0..places.len()).map(atom).collect(), models: vec![places.to_vec()] }
}
