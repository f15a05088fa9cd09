//! What the atoms of a model are held to: ideal residues, peptide bonds between them, and for everything else the
//! model that the motion was learned from.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::LazyLock;

use super::super::elements::covalent_radius;
use super::super::geometry::bonds;
use super::super::linkage::{ACROSS, CIS};
use super::super::minimise::Point;
use super::super::residue::{RESIDUES, TORSIONS, Torsions};
use super::super::superpose::Motion;
use super::super::torsions::place_residue;
use super::Molecule;
use super::restraints::{Distance, Volume, volume};

/// Stiffness of bonds, of distances over an angle, over a bond that does not turn, and over more of a group that is
/// not known; and that of volumes. A bond of 100 gives 0.1 Å for the energy 1.
const BOND: f64 = 100.0;
const ANGLE: f64 = 50.0;
const STIFF: f64 = 20.0;
const SHAPE: f64 = 5.0;
const CORNER: f64 = 10.0;
/// A distance that all torsions leave as it is, Å.
const SAME: f64 = 0.02;
/// From O to the next CA, and from C to CD of a proline, Å.
const O_CA: f64 = 2.78;
const O_CA_CIS: f64 = 3.55;
const C_CD: f64 = 2.50;
const N: usize = 0;
const CA: usize = 1;
const C: usize = 2;
const O: usize = 3;
/// CD of a proline.
const CD: usize = 6;

/// A volume beyond this is a corner with a hand, Å³.
pub const HANDED: f64 = 1.0;

/// Bonds, distances and volumes of an ideal residue.
pub struct Template {
    pub bonds: Vec<(usize, usize)>,
    distances: Vec<Distance>,
    volumes: Vec<Volume>,
}

pub fn template(kind: usize) -> Option<&'static Template> {
    static ALL: LazyLock<Vec<Template>> = LazyLock::new(|| (0..RESIDUES.len()).map(ideal).collect());
    ALL.get(kind)
}

/// Torsions of ψ and χ in degrees; ψ's pair is that of O.
pub fn torsions_of(psi: f64, chi: &[f64]) -> Torsions {
    let pair = |degrees: f64| {
        let (sin, cos) = degrees.to_radians().sin_cos();
        [sin as f32, cos as f32]
    };
    let mut torsions = [[0.0; 2]; TORSIONS];
    torsions[2] = pair(psi);
    chi.iter().zip(&mut torsions[3..]).for_each(|(&degrees, to)| *to = pair(degrees));
    torsions
}

/// The atoms of an ideal residue about a frame.
pub fn build(kind: usize, frame: &Motion, torsions: &Torsions) -> Vec<Point> {
    let count = RESIDUES.get(kind).map_or(0, |r| r.atoms.len());
    place_residue(kind, frame, torsions)[..count].iter().map(|p| Point::from(p.map(f64::from))).collect()
}

fn neighbours(count: usize, bonds: &[(usize, usize)]) -> Vec<Vec<usize>> {
    let mut near = vec![vec![]; count];
    for &(i, j) in bonds {
        near[i].push(j);
        near[j].push(i);
    }
    near
}

/// Chains of four atoms along bonds, each once.
fn fours(near: &[Vec<usize>], bonds: &[(usize, usize)]) -> Vec<[usize; 4]> {
    let mut found = vec![];
    for &(j, k) in bonds {
        for &i in near[j].iter().filter(|&&i| i != k) {
            found.extend(near[k].iter().filter(|&&l| l != j && l != i).map(|&l| [i, j, k, l]));
        }
    }
    found
}

/// What does not change with the torsions is held. A proline's ring does not turn.
fn ideal(kind: usize) -> Template {
    let proline = RESIDUES[kind].name == "PRO";
    let turned = |psi: f64, chi: f64| {
        let chi = if proline { [-25.0, 36.0, 0.0, 0.0] } else { [chi; 4] };
        build(kind, &Motion::identity(), &torsions_of(psi, &chi))
    };
    let (one, other) = (turned(130.0, 180.0), turned(80.0, 120.0));
    let radius = |name: &str| covalent_radius(&name[..1]).unwrap_or(0.76);
    let radii: Vec<f64> = RESIDUES[kind].atoms.iter().map(|a| radius(a.name)).collect();
    let bonds = bonds(&one, &radii);
    let near = neighbours(one.len(), &bonds);
    let length = |i: usize, j: usize| (one[i] - one[j]).norm();
    let mut held: BTreeMap<(usize, usize), (f64, f64)> = BTreeMap::new();
    for &(i, j) in &bonds {
        held.insert((i, j), (length(i, j), BOND));
    }
    for around in &near {
        for (&i, &j) in pairs(around) {
            held.entry(ordered(i, j)).or_insert((length(i, j), ANGLE));
        }
    }
    let mut volumes = vec![];
    let mut keep = |atoms: [usize; 4]| {
        volumes.push(Volume { atoms, volume: volume(atoms.map(|i| one[i])), stiffness: CORNER });
    };
    for (middle, around) in near.iter().enumerate() {
        triples(around).for_each(|[a, b, c]| keep([middle, a, b, c]));
    }
    for [i, j, k, l] in fours(&near, &bonds) {
        // A bond that does not turn is a ring's or a double one.
        let stays = ((other[i] - other[l]).norm() - length(i, l)).abs() < SAME;
        if stays && !proline {
            keep([j, i, k, l]);
            held.entry(ordered(i, l)).or_insert((length(i, l), STIFF));
        }
    }
    let distances =
        held.into_iter().map(|((i, j), (length, stiffness))| Distance { atoms: [i, j], length, stiffness });
    Template { distances: distances.collect(), volumes, bonds }
}

fn ordered(i: usize, j: usize) -> (usize, usize) {
    (i.min(j), i.max(j))
}

fn pairs(of: &[usize]) -> impl Iterator<Item = (&usize, &usize)> {
    of.iter().enumerate().flat_map(|(x, i)| of[x + 1..].iter().map(move |j| (i, j)))
}

fn triples(of: &[usize]) -> impl Iterator<Item = [usize; 3]> + '_ {
    (0..of.len()).flat_map(move |a| {
        (a + 1..of.len()).flat_map(move |b| (b + 1..of.len()).map(move |c| [of[a], of[b], of[c]]))
    })
}

/// All that holds a molecule together.
pub struct Covalent {
    pub bonds: BTreeSet<(usize, usize)>,
    pub distances: Vec<Distance>,
    pub volumes: Vec<Volume>,
    /// Pairs (i < j) over at most three bonds, and those over at most two.
    pub tied: HashSet<(usize, usize)>,
    pub close: HashSet<(usize, usize)>,
}

impl Covalent {
    /// `cis` says for each residue whether the peptide bond before it is.
    pub fn of(molecule: &Molecule, cis: &[bool]) -> Covalent {
        let mut made = Covalent {
            bonds: BTreeSet::new(),
            distances: vec![],
            volumes: vec![],
            tied: HashSet::new(),
            close: HashSet::new(),
        };
        for (r, residue) in molecule.residues.iter().enumerate() {
            let Some(template) = residue.kind.and_then(template) else { continue };
            let at = |i: usize| residue.atoms.start + i;
            made.bonds.extend(template.bonds.iter().map(|&(i, j)| (at(i), at(j))));
            made.distances
                .extend(template.distances.iter().map(|t| Distance { atoms: t.atoms.map(at), ..*t }));
            made.volumes.extend(template.volumes.iter().map(|t| Volume { atoms: t.atoms.map(at), ..*t }));
            if residue.follows && r > 0 && molecule.residues[r - 1].kind.is_some() {
                made.link(molecule, r, cis[r]);
            }
        }
        made.as_known(molecule);
        made
    }

    /// The peptide bond from residue `r - 1` to `r`.
    fn link(&mut self, molecule: &Molecule, r: usize, cis: bool) {
        let (before, here) = (&molecule.residues[r - 1], &molecule.residues[r]);
        let (from, to) = (before.atoms.start, here.atoms.start);
        self.bonds.insert((from + C, to + N));
        let mut hold = |a: usize, b: usize, length: f64, stiffness: f64| {
            self.distances.push(Distance { atoms: [from + a, to + b], length, stiffness });
        };
        for (a, b, length, _) in ACROSS {
            match (a, b) {
                (C, N) => hold(a, b, length, BOND),
                (CA, CA) => hold(a, b, if cis { CIS } else { length }, STIFF),
                _ => hold(a, b, length, ANGLE),
            }
        }
        hold(O, CA, if cis { O_CA_CIS } else { O_CA }, STIFF);
        let mut flat = vec![
            [from + C, from + CA, from + O, to + N],
            [from + C, from + CA, to + N, to + CA],
            [from + C, from + O, to + N, to + CA],
        ];
        if here.kind.is_some_and(|kind| RESIDUES[kind].name == "PRO") {
            hold(C, CD, C_CD, ANGLE);
            flat.push([to + N, from + C, to + CA, to + CD]);
        }
        let level = |atoms| Volume { atoms, volume: 0.0, stiffness: CORNER };
        self.volumes.extend(flat.into_iter().map(level));
    }

    /// What residues and peptide bonds do not say is held as the known model has it.
    fn as_known(&mut self, molecule: &Molecule) {
        let atoms = molecule.atoms.len();
        let mut ideal = vec![false; atoms];
        for residue in molecule.residues.iter().filter(|r| r.kind.is_some()) {
            let count = residue.kind.map_or(0, |kind| RESIDUES[kind].atoms.len());
            ideal[residue.atoms.start..residue.atoms.start + count].fill(true);
        }
        // Atoms without a known place stand apart from all others.
        let far = |i: usize| Point::new(1e6 + 10.0 * i as f64, 0.0, 0.0);
        let known: Vec<Point> = (0..atoms).map(|i| molecule.known[i].unwrap_or_else(|| far(i))).collect();
        let radii: Vec<f64> =
            molecule.atoms.iter().map(|a| covalent_radius(&a.element).unwrap_or(0.76)).collect();
        for (i, j) in bonds(&known, &radii) {
            let bridge = molecule.atoms[i].element == "S" && molecule.atoms[j].element == "S";
            if !(ideal[i] && ideal[j]) || bridge {
                self.bonds.insert((i, j));
            }
        }
        let bonds: Vec<_> = self.bonds.iter().copied().collect();
        let near = neighbours(atoms, &bonds);
        let mut held: HashSet<(usize, usize)> =
            self.distances.iter().map(|d| ordered(d.atoms[0], d.atoms[1])).collect();
        let has = |i: usize| molecule.known[i].is_some();
        let mut found = vec![];
        let mut hold = |i: usize, j: usize, stiffness: f64| {
            if has(i) && has(j) && held.insert(ordered(i, j)) {
                found.push(Distance { atoms: [i, j], length: (known[i] - known[j]).norm(), stiffness });
            }
        };
        bonds.iter().for_each(|&(i, j)| hold(i, j, BOND));
        for around in &near {
            pairs(around).for_each(|(&i, &j)| hold(i, j, ANGLE));
        }
        for residue in molecule.residues.iter().filter(|r| r.kind.is_none()) {
            let all: Vec<usize> = residue.atoms.clone().collect();
            pairs(&all).for_each(|(&i, &j)| hold(i, j, SHAPE));
        }
        self.distances.extend(found);
        let covered: HashSet<[usize; 4]> = self.volumes.iter().map(|v| sorted(v.atoms)).collect();
        for (middle, around) in near.iter().enumerate() {
            for [a, b, c] in triples(around) {
                let atoms = [middle, a, b, c];
                if atoms.into_iter().all(has) && !covered.contains(&sorted(atoms)) {
                    let volume = volume(atoms.map(|i| known[i]));
                    self.volumes.push(Volume { atoms, volume, stiffness: CORNER });
                }
            }
        }
        for &(i, j) in &bonds {
            self.close.insert((i, j));
        }
        for around in &near {
            self.close.extend(pairs(around).map(|(&i, &j)| ordered(i, j)));
        }
        self.tied = self.close.clone();
        self.tied.extend(fours(&near, &bonds).iter().map(|f| ordered(f[0], f[3])));
    }
}

fn sorted(mut atoms: [usize; 4]) -> [usize; 4] {
    atoms[1..].sort_unstable();
    atoms
}
