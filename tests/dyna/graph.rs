//! Who is near whom in the reference, against the reference program's own lists.

use std::collections::BTreeSet;

use kinesome::io::structure::{Atom, Structure};
use kinesome::systems::dyna::config::Config;
use kinesome::systems::dyna::graph::{Springs, blocks};
use kinesome::systems::dyna::reference::Reference;
use std::path::Path;

use crate::golden::{close, npz, places};
use crate::networks::graph;

#[test]
fn stretches_and_links_are_the_reference_s() {
    let golden = npz("04_network_residue.npz");
    let graph = graph(&golden);
    let flat = |list: &[[f64; 3]]| list.iter().flatten().map(|&v| v as f32).collect::<Vec<_>>();
    close("centroids", &flat(&graph.centroids), &golden["centroids"].to_f32(), 1e-5);
    close("to centroids", &flat(&graph.to_centroid), &golden["pe_vector"].to_f32(), 1e-5);
    let both = |name: &str| {
        let list = golden[name].to_i64().expect("integers");
        let (a, b) = list.split_at(list.len() / 2);
        a.iter().zip(b).map(|(&a, &b)| (a as usize, b as usize)).collect::<Vec<_>>()
    };
    let edges: BTreeSet<(usize, usize)> = both("meta_edge_index").into_iter().collect();
    let own = graph.neighbours.iter().enumerate().flat_map(|(i, list)| list.iter().map(move |e| (e.0, i)));
    assert_eq!(own.collect::<BTreeSet<_>>(), edges, "edges from, to");
    let links: BTreeSet<(usize, usize)> =
        both("m2n").into_iter().map(|(block, residue)| (residue, block)).collect();
    assert_eq!(graph.links.iter().copied().collect::<BTreeSet<_>>(), links);
    assert_eq!(graph.links.len(), 1033);
}

/// A CA of each place, in one chain with numbers from 1.
fn points(places: &[[f64; 3]]) -> Structure {
    let atom = |i: usize| Atom {
        name: "CA".into(),
        element: "C".into(),
        residue_name: "ALA".into(),
        residue_number: i as i32 + 1,
        insertion_code: None,
        chain: "A".into(),
        occupancy: 1.0,
        b_factor: 0.0,
        hetero: false,
    };
    Structure { atoms: (0..places.len()).map(atom).collect(), models: vec![places.to_vec()] }
}

#[test]
fn springs_are_the_reference_s() {
    let golden = npz("03_losses_residue.npz");
    let structure = points(&places(&golden["ref_ca"]));
    let reference = Reference::of(&structure, Path::new("adk.pdb")).expect("a reference");
    let springs = Springs::new(&reference, &Config::default().cutoffs());
    let list = |name: &str| -> BTreeSet<(usize, usize)> {
        let list = golden[name].to_i64().expect("integers");
        list.chunks(2).map(|p| (p[0].min(p[1]) as usize, p[0].max(p[1]) as usize)).collect()
    };
    let set = |members: &[(usize, usize)]| members.iter().copied().collect::<BTreeSet<_>>();
    assert_eq!(set(&springs.connected.members), list("connect_pairs"));
    assert_eq!(springs.chains.len(), 1);
    assert_eq!(set(&springs.chains[0].members), list("cutoff_pairs"));
    assert_eq!(set(&springs.clashing.members), list("clash_pairs"));
    assert_eq!((springs.between.len(), 2 * springs.clashing.len()), (0, 2958));
    // Without a backbone there is no secondary structure to go by: stretches of one length.
    assert_eq!(blocks(&reference).last(), Some(&(214 / 7)));
}

fn with(change: impl Fn(&mut Structure)) -> kinesome::Result<Reference> {
    let line: Vec<[f64; 3]> = (0..12).map(|i| [3.8 * i as f64, 0.0, 0.0]).collect();
    let mut structure = points(&line);
    change(&mut structure);
    Reference::of(&structure, Path::new("model.pdb"))
}

#[test]
fn awkward_models_are_handled_or_refused_in_a_line() {
    let broken = with(|s| s.models[0][6..].iter_mut().for_each(|p| p[0] += 30.0)).expect("a reference");
    assert!(broken.notes.iter().any(|n| n.contains("A6-7")), "{:?}", broken.notes);
    assert!(!broken.bonded(5, 6) && broken.bonded(4, 5));
    // 100, 100A, 101 are neighbours.
    let inserted = with(|s| {
        for (i, atom) in s.atoms.iter_mut().enumerate().skip(5) {
            atom.residue_number = i as i32;
        }
        s.atoms[5].insertion_code = Some('A');
    })
    .expect("a reference");
    assert!(inserted.bonded(4, 5) && inserted.bonded(5, 6));
    // An ion of calcium is no residue, but goes with one.
    let ion = with(|s| {
        (s.atoms[11].element, s.atoms[11].residue_name) = ("Ca".into(), "CA".into());
    })
    .expect("a reference");
    assert_eq!(
        (ion.len(), ion.carried.len(), ion.carried[0].by, ion.carried[0].electrons),
        (11, 1, 10, 20.0)
    );
    let waters = with(|s| s.atoms[11].residue_name = "HOH".into()).expect("a reference");
    assert_eq!((waters.len(), waters.carried.len()), (11, 0));
    let none = with(|s| s.atoms.iter_mut().for_each(|a| a.name = "CB".into())).expect_err("no CA");
    assert!(none.to_string().contains("CA"), "{none}");
}
