//! Frames, torsions, offsets and rebuilt atoms of all residue types; the residue table.

use crate::golden::{close, npz};
use kinesome::io::npy::Array;
use kinesome::protein::frames::{Frames, Offset};
use kinesome::protein::residue::{self, ATOM37, ATOMS, Atoms, GROUPS, LETTERS, RESIDUES, Torsions};
use kinesome::protein::torsions::{FirstPhi, place_atoms, torsion_mask, torsions};
use std::collections::BTreeMap;

const PEPTIDES: usize = 12;
const STEPS: usize = 5;
const RESIDUES_EACH: usize = 4;

/// The golden arrays, one peptide at a time.
struct Golden(BTreeMap<String, Array>);

impl Golden {
    fn read() -> Golden {
        Golden(npz("geometry.npz"))
    }

    fn all(&self, name: &str) -> Vec<f32> {
        self.0[name].to_f32()
    }

    fn of(&self, name: &str, peptide: usize) -> Vec<f32> {
        let all = self.all(name);
        let each = all.len() / PEPTIDES;
        all[peptide * each..(peptide + 1) * each].to_vec()
    }

    fn kinds(&self, peptide: usize) -> Vec<usize> {
        self.of("aatype", peptide).iter().map(|&k| k as usize).collect()
    }

    fn atoms(&self, name: &str, peptide: usize) -> Vec<Atoms> {
        self.of(name, peptide).as_chunks::<3>().0.as_chunks::<ATOMS>().0.to_vec()
    }

    fn frames(&self, peptide: usize) -> Frames {
        Frames {
            rotations: self.of("rots", peptide).as_chunks::<3>().0.as_chunks::<3>().0.to_vec(),
            translations: self.of("trans", peptide).as_chunks::<3>().0.to_vec(),
        }
    }

    fn torsions(&self, peptide: usize) -> Vec<Torsions> {
        self.of("torsions", peptide).as_chunks::<2>().0.as_chunks::<7>().0.to_vec()
    }

    fn offsets(&self, peptide: usize) -> Vec<Offset> {
        self.of("offsets", peptide).as_chunks::<7>().0.to_vec()
    }
}

fn flat(atoms: &[Atoms]) -> &[f32] {
    atoms.as_flattened().as_flattened()
}

#[test]
fn frames_of_atoms() {
    let golden = Golden::read();
    for p in 0..PEPTIDES {
        let found = Frames::of_atoms(&golden.atoms("atom14", p));
        let wanted = golden.frames(p);
        let rotations = |f: &Frames| f.rotations.as_flattened().as_flattened().to_vec();
        close("rotations", &rotations(&found), &rotations(&wanted), 1e-5);
        close("origins", found.translations.as_flattened(), wanted.translations.as_flattened(), 1e-6);
    }
}

#[test]
fn torsions_where_they_exist() {
    let golden = Golden::read();
    for p in 0..PEPTIDES {
        let kinds = golden.kinds(p);
        let mask = torsion_mask(&kinds);
        assert_eq!(mask.as_flattened(), golden.of("torsion_mask", p));
        let found = torsions(&kinds, &golden.atoms("atom14", p), FirstPhi::Zero).unwrap();
        let parity = torsions(&kinds, &golden.atoms("atom14", p), FirstPhi::ThroughOrigin).unwrap();
        for (i, wanted) in golden.torsions(p).iter().enumerate() {
            for t in 0..7 {
                if mask[i % RESIDUES_EACH][t] == 1.0 {
                    close("a torsion", &found[i][t], &wanted[t], 1e-5);
                } else {
                    assert_eq!(found[i][t], [0.0; 2]);
                }
            }
            close("φ, the first through the origin", &parity[i][1], &wanted[1], 1e-5);
        }
    }
}

#[test]
fn offsets_there_and_back() {
    let golden = Golden::read();
    for p in 0..PEPTIDES {
        let frames = golden.frames(p);
        let key = frames.steps(RESIDUES_EACH, 0, 1);
        let offsets = frames.offsets_from(&key).unwrap();
        for (found, wanted) in offsets.iter().zip(golden.offsets(p)) {
            close("a quaternion", &found[..4], &wanted[..4], 1e-5);
            assert!(found[0] >= 0.0);
        }
        let shifts = |o: &[Offset]| o.iter().flat_map(|o| o[4..].to_vec()).collect::<Vec<_>>();
        close("translations", &shifts(&offsets), &shifts(&golden.offsets(p)), 1e-5);
        // As a network would give them: of any length and sign.
        let scaled: Vec<Offset> =
            offsets.iter().map(|o| std::array::from_fn(|i| if i < 4 { -1.7 * o[i] } else { o[i] })).collect();
        let back = Frames::from_offsets(&key, &scaled).unwrap();
        close(
            "rotations there and back",
            back.rotations.as_flattened().as_flattened(),
            frames.rotations.as_flattened().as_flattened(),
            1e-6,
        );
        close(
            "origins there and back",
            back.translations.as_flattened(),
            frames.translations.as_flattened(),
            1e-6,
        );
    }
}

#[test]
fn atoms_of_frames_and_torsions() {
    let golden = Golden::read();
    for p in 0..PEPTIDES {
        let scale = |s: f32| move |t: &Torsions| t.map(|pair| pair.map(|v| v * s));
        for factor in [1.0, 3.0] {
            let pairs: Vec<Torsions> = golden.torsions(p).iter().map(scale(factor)).collect();
            let found = place_atoms(&golden.kinds(p), &golden.frames(p), &pairs).unwrap();
            close("rebuilt atoms", flat(&found), flat(&golden.atoms("atom14_rebuilt", p)), 1e-5);
        }
    }
}

#[test]
fn real_atoms_lie_near_their_rebuilt_ones() {
    let golden = Golden::read();
    let (mut sum, mut count) = ([0.0f64; 20], [0usize; 20]);
    for p in 0..PEPTIDES {
        let (kinds, atoms) = (golden.kinds(p), golden.atoms("atom14", p));
        let pairs = torsions(&kinds, &atoms, FirstPhi::Zero).unwrap();
        let found = place_atoms(&kinds, &Frames::of_atoms(&atoms), &pairs).unwrap();
        for i in 0..STEPS * RESIDUES_EACH {
            let kind = kinds[i % RESIDUES_EACH];
            for a in 0..RESIDUES[kind].atoms.len() {
                let d: f64 = (0..3).map(|k| f64::from(found[i][a][k] - atoms[i][a][k]).powi(2)).sum();
                sum[kind] += d;
            }
            // The golden figure counts absent atoms too, as atoms that agree.
            count[kind] += ATOMS;
        }
    }
    let rms: Vec<f32> = (0..20).map(|k| (sum[k] / count[k] as f64).sqrt() as f32).collect();
    close("distance of real and rebuilt atoms", &rms, &golden.all("rebuild_rms_per_residue_type"), 1e-4);
}

#[test]
fn the_table_of_residues() {
    let golden = Golden::read();
    let frames = golden.all("const.restype_rigid_group_default_frame");
    let (mut places, mut groups, mut order) =
        (vec![0.0f32; 21 * 14 * 3], vec![0.0f32; 21 * 14], vec![0.0f32; 21 * 14]);
    for (kind, residue) in RESIDUES.iter().enumerate() {
        assert_eq!(LETTERS.chars().nth(kind), Some(residue.letter));
        assert_eq!(residue::type_of_letter(residue.letter), Some(kind));
        assert_eq!(residue::type_of_name(residue.name), Some(kind));
        for (a, atom) in residue.atoms.iter().enumerate() {
            let at = kind * 14 + a;
            places[3 * at..3 * at + 3].copy_from_slice(&atom.place);
            groups[at] = atom.group as f32;
            order[at] = ATOM37.iter().position(|name| *name == atom.name).unwrap() as f32;
        }
        for group in 0..GROUPS {
            let wanted = &frames[(kind * GROUPS + group) * 16..][..16];
            let Some(found) = residue::default_frame(kind, group) else {
                assert!(wanted[..15].iter().all(|v| *v == 0.0), "{} has group {group}", residue.name);
                continue;
            };
            let rows: Vec<f32> = (0..3)
                .flat_map(|i| {
                    let r = found.rotation.row(i);
                    [r[0], r[1], r[2], found.translation[i]].map(|v| v as f32)
                })
                .collect();
            close("a default frame", &rows, &wanted[..12], 1e-6);
        }
        let chi = golden.all("const.chi_atom_indices");
        for k in 0..4 {
            let names = residue.chi_atoms(k).map(|four| four.map(|a| residue.atoms[a].name));
            let found = names.map(|four| four.map(|n| ATOM37.iter().position(|m| *m == n).unwrap() as f32));
            assert_eq!(found.unwrap_or_default(), chi[(kind * 4 + k) * 4..][..4]);
        }
        let sorted = residue::atom37_order(kind);
        assert_eq!(sorted.len(), residue.atoms.len());
        assert!(sorted.is_sorted_by_key(|&a| order[kind * 14 + a] as usize));
    }
    close("places", &places, &golden.all("const.restype_atom14_rigid_group_positions"), 1e-7);
    assert_eq!(groups, golden.all("const.restype_atom14_to_rigid_group"));
    assert_eq!(order, golden.all("const.atom14_to_atom37"));
}

#[test]
fn names_of_other_programs() {
    let same =
        [("HIE", 'H'), ("HSP", 'H'), ("CYX", 'C'), ("MSE", 'M'), ("NALA", 'A'), ("CHIE", 'H'), ("ash", 'D')];
    for (name, letter) in same {
        assert_eq!(residue::type_of_name(name).map(residue::letter_of_type), Some(letter), "{name}");
    }
    for name in ["ACE", "NME", "HOH", "UNK", "", "N", "NNALA", "CA"] {
        assert_eq!(residue::type_of_name(name), None, "{name}");
    }
    let kind = |letter| residue::type_of_letter(letter).unwrap();
    assert_eq!(residue::common_atom_name(kind('I'), "CD"), "CD1");
    assert_eq!(residue::common_atom_name(kind('M'), "SE"), "SD");
    assert_eq!(residue::common_atom_name(kind('L'), "CD1"), "CD1");
    assert_eq!(residue::type_of_letter('X'), None);
    assert_eq!(residue::letter_of_type(residue::UNKNOWN), 'X');
}

#[test]
fn wrong_shapes_and_degenerate_places() {
    let kinds = [0, 7];
    let atoms = vec![[[0.0; 3]; ATOMS]; 3];
    let said = torsions(&kinds, &atoms, FirstPhi::Zero).unwrap_err().to_string();
    assert!(said.contains("3 residues") && said.contains("of 2 residues"), "{said}");
    assert!(torsions(&[], &atoms, FirstPhi::Zero).is_err());
    let frames = Frames::of_atoms(&atoms[..2]);
    assert!(place_atoms(&kinds, &frames, &[[[0.0; 2]; 7]; 1]).is_err());
    assert!(frames.offsets_from(&Frames::default()).is_err());
    // All atoms in one place: no direction, yet nothing that is not a number.
    assert!(frames.rotations.as_flattened().as_flattened().iter().all(|v| v.is_finite()));
    let none = Frames::from_offsets(&frames, &[[0.0; 7]; 2]).unwrap();
    assert!(none.rotations.as_flattened().as_flattened().iter().all(|v| v.is_finite()));
    let unknown = place_atoms(&[residue::UNKNOWN, 99], &frames, &[[[0.0; 2]; 7]; 2]).unwrap();
    assert!(flat(&unknown).iter().all(|v| *v == 0.0));
}
