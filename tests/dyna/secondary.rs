//! Secondary structure.

use kinesome::io::structure::Structure;
use kinesome::systems::dyna::graph::blocks;
use kinesome::systems::dyna::reference::Reference;
use std::path::{Path, PathBuf};

use crate::golden::npz;

pub fn data(name: &str) -> PathBuf {
    let root = std::env::var("KINESOME_ROOT").unwrap_or(env!("CARGO_MANIFEST_DIR").into());
    PathBuf::from(root).join("data").join(name)
}

fn codes(name: &str) -> String {
    let structure = Structure::read(&data(name)).expect("a structure");
    let reference = Reference::of(&structure, Path::new(name)).expect("a reference");
    reference.codes.iter().map(|&c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn adenylate_kinase_is_assigned() {
    println!("{}\n{}", codes("adk_closed.pdb"), codes("adk_open.pdb"));
}

#[test]
fn stretches_are_those_of_the_reference_program() {
    let golden = npz("04_network_residue.npz");
    let wanted: Vec<usize> =
        golden["sec_ids"].to_i64().expect("integers").iter().map(|&b| b as usize).collect();
    for name in ["adk_closed.pdb", "adk_open.pdb"] {
        let structure = Structure::read(&data(name)).expect("a structure");
        let reference = Reference::of(&structure, Path::new(name)).expect("a reference");
        let found = blocks(&reference);
        let differ =
            found.windows(2).zip(wanted.windows(2)).filter(|(a, b)| (a[0] == a[1]) != (b[0] == b[1]));
        println!("{name}: {} blocks, {} boundaries differ", found.last().unwrap() + 1, differ.count());
    }
}
