//! Beads as files that GROMACS reads: one `.itp` a chain, a `.top` that names them.

use std::fmt::Write;
use std::path::Path;

use super::mapping::Beads;
use super::topology::Topology;
use crate::Result;
use crate::io::atomic;
use crate::io::structure::Structure;

/// Writes `NAME.top`, `NAME_A.itp` for each chain and `NAME_cg.pdb` into a folder: the paths, the `.top` first.
/// `places` are of all beads, Å.
pub fn write(
    beads: &Beads,
    topology: &Topology,
    places: &[[f64; 3]],
    folder: &Path,
    name: &str,
) -> Result<Vec<std::path::PathBuf>> {
    atomic::folder(folder)?;
    let top = folder.join(format!("{name}.top"));
    let mut paths = vec![top.clone()];
    let (mut includes, mut molecules) = (String::new(), String::new());
    for chain in 0..=beads.residues.iter().map(|r| r.chain).max().unwrap_or(0) {
        let members: Vec<usize> =
            (0..beads.len()).filter(|&i| beads.residues[beads.residue_of[i]].chain == chain).collect();
        let Some(&first) = members.first() else { continue };
        let molecule = format!("{name}_{}", label(&beads.atoms[first].chain, chain));
        let path = folder.join(format!("{molecule}.itp"));
        let text = molecule_type(beads, topology, &members, &molecule);
        atomic::write(&path, |to| to.write_all(text.as_bytes()))?;
        let _ = writeln!(includes, "#include \"{molecule}.itp\"");
        let _ = writeln!(molecules, "{molecule} 1");
        paths.push(path);
    }
    let text = format!(
        "; MARTINI 2.2, mapped by kinesome; martini_v2.2.itp is the force field's own file\n#include \
         \"martini_v2.2.itp\"\n{includes}\n[ system ]\n{name}\n\n[ molecules ]\n{molecules}"
    );
    atomic::write(&top, |to| to.write_all(text.as_bytes()))?;
    let path = folder.join(format!("{name}_cg.pdb"));
    Structure { atoms: beads.atoms.clone(), models: vec![places.to_vec()] }.write(&path)?;
    paths.push(path);
    Ok(paths)
}

/// A chain's name as a part of a file's; some have none, and some differ in nothing but case.
fn label(name: &str, number: usize) -> String {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    if plain.is_empty() || plain.chars().any(|c| c.is_ascii_lowercase()) {
        return format!("{plain}{}", number + 1);
    }
    plain
}

/// The chain of beads `members`, which follow one another, counted from 1.
fn molecule_type(beads: &Beads, topology: &Topology, members: &[usize], molecule: &str) -> String {
    let number: std::collections::HashMap<usize, usize> =
        members.iter().enumerate().map(|(at, &bead)| (bead, at + 1)).collect();
    let own = |atoms: &[usize]| -> Option<String> {
        let numbers: Option<Vec<String>> =
            atoms.iter().map(|bead| number.get(bead).map(|n| format!("{n:5}"))).collect();
        Some(numbers?.join(" "))
    };
    let residues: Vec<_> = beads
        .residues
        .iter()
        .filter(|r| r.beads.iter().flatten().any(|bead| number.contains_key(bead)))
        .collect();
    let codes: String = residues.iter().map(|r| r.code).collect();
    let mut text = format!(
        "; secondary structure\n; {codes}\n\n[ moleculetype ]\n; name  exclusions\n{molecule}  1\n\n[ atoms ]\n"
    );
    for (at, &bead) in members.iter().enumerate() {
        let (atom, n) = (&beads.atoms[bead], at + 1);
        let code = beads.residues[beads.residue_of[bead]].code;
        let _ = writeln!(
            text,
            "{n:5} {:>5} {:5} {:>5} {:>5} {n:5} {:7.4} ; {code}",
            beads.types[bead], atom.residue_number, atom.residue_name, atom.name, beads.charges[bead]
        );
    }
    text.push_str("\n[ bonds ]\n");
    for b in topology.bonds.iter().filter(|b| !b.rigid) {
        if let Some(atoms) = own(&b.atoms) {
            let _ = writeln!(text, "{atoms} 1 {:.5} {:.0}", 0.1 * b.length, 100.0 * b.stiffness);
        }
    }
    text.push_str("\n[ constraints ]\n");
    for b in topology.bonds.iter().filter(|b| b.rigid) {
        if let Some(atoms) = own(&b.atoms) {
            let _ = writeln!(text, "{atoms} 1 {:.5}", 0.1 * b.length);
        }
    }
    text.push_str("\n[ angles ]\n");
    for a in &topology.angles {
        if let Some(atoms) = own(&a.atoms) {
            let _ = writeln!(text, "{atoms} 2 {:.1} {:.0}", a.angle, a.stiffness);
        }
    }
    text.push_str("\n[ dihedrals ]\n");
    for d in &topology.dihedrals {
        if let Some(atoms) = own(&d.atoms) {
            let _ = writeln!(text, "{atoms} 1 {:.1} {:.0} {}", d.angle, d.stiffness, d.multiplicity);
        }
    }
    for i in &topology.impropers {
        if let Some(atoms) = own(&i.atoms) {
            let _ = writeln!(text, "{atoms} 2 {:.1} {:.0}", i.angle, i.stiffness);
        }
    }
    text
}
