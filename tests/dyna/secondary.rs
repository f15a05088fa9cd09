//! Secondary structure.

use kinesome::io::structure::Structure;
use kinesome::protein::secondary::{Backbone, assign};
use kinesome::systems::dyna::graph::blocks;
use kinesome::systems::dyna::reference::Reference;
use std::path::{Path, PathBuf};

pub fn data(name: &str) -> PathBuf {
    let root = std::env::var("KINESOME_ROOT").unwrap_or(env!("CARGO_MANIFEST_DIR").into());
    PathBuf::from(root).join("data").join(name)
}

fn reference(name: &str) -> Reference {
    let structure = Structure::read(&data(name)).expect("a structure");
    Reference::of(&structure, Path::new(name)).expect("a reference")
}

/// Every residue as mkdssp 4.2.2 has it; its letter P (polyproline), which the eight states lack, is a blank.
#[test]
fn adenylate_kinase_is_assigned_as_by_dssp() {
    let open = "-EEEEEE-TTS-GGGGHHHHHHHHT--EEEHHHHHHHHHHTT-HHHHHHHHHHHTT----HHHHHHHHHHHTTSSGGGS-EEEES---SH\
         HHHHHHHHTT---SEEEEEE--HHHHHHHHHTEEEETTTTEEEETTSS--SSTTB-TTT--B-B--STT-HHHHHHHHHHHHHHHHHHHH\
         HHHHHHHHTSSEEEEEE-SS-HHHHHHHHHHHH-";
    let closed = "-EEEEE-STTSSHHHHHHHHHHHH---EEEHHHHHHHHHHHT-TTTGGGHHHHHHT----HHHHHHHHHHHHHSGGGGG-EEEES---SH\
         HHHHHHHHTT---SEEEEEE--GGGHHHHHHTEEEETTTTEEEETTTB--SSTTB-TTT--B-B--TT-SHHHHHHHHHHIIIIITHHHH\
         HHHHHHHHTSSEEEEEESSS-HHHHHHHHHHHH-";
    for (name, wanted) in [("adk_open.pdb", open), ("adk_closed.pdb", closed)] {
        let codes: String = reference(name).codes.iter().map(|&c| if c == ' ' { '-' } else { c }).collect();
        assert_eq!(codes, wanted, "{name}");
    }
}

/// Nothing goes on across a gap, and what has no backbone has no structure.
#[test]
fn gaps_end_helices() {
    let structure = Structure::read(&data("adk_open.pdb")).expect("a structure");
    let place = |number: i32, name: &str| {
        let at = structure.atoms.iter().position(|a| a.residue_number == number && a.name == name);
        structure.models[0][at.expect("an atom")]
    };
    let residue = |number: i32| Backbone {
        atoms: ["N", "CA", "C", "O"].map(|name| place(number, name)),
        proline: false,
        follows: true,
    };
    let helix: Vec<Option<Backbone>> = (163..=186).map(|n| Some(residue(n))).collect();
    let count = |residues: &[Option<Backbone>]| assign(residues).iter().filter(|&&c| c == 'H').count();
    assert!(count(&helix) >= 18, "{:?}", assign(&helix));
    let mut broken = helix.clone();
    broken[12].as_mut().expect("a residue").follows = false;
    assert!(count(&broken) < count(&helix));
    let mut without = helix.clone();
    without[12] = None;
    assert_eq!(assign(&without)[12], ' ');
    assert_eq!(assign(&[None, None]), [' ', ' ']);
}

#[test]
fn stretches_follow_secondary_structure_and_chains() {
    let reference = reference("adk_closed.pdb");
    let found = blocks(&reference);
    assert_eq!((found[0], found.last()), (0, Some(&30)));
    for block in 0..=30 {
        let members: Vec<usize> = (0..found.len()).filter(|&i| found[i] == block).collect();
        assert!(members.windows(2).all(|w| w[1] == w[0] + 1), "{block} is a run");
        assert!(block == 0 || members.len() >= 3, "{block} has {} residues", members.len());
    }
    let mut two = reference.clone();
    two.chains[100..].fill(1);
    let found = blocks(&two);
    assert_ne!(found[99], found[100]);
    two.nucleic[100..].fill(true);
    let found = blocks(&two);
    assert!(found[100..].iter().all(|&b| b == found[100]));
}
