//! The numbers of the force field.

/// What a residue has besides its backbone bead; bead 0 is the backbone's.
#[derive(Clone, Copy, Debug)]
pub struct SideChain {
    pub residue: &'static str,
    /// Type and heavy atoms of each bead.
    pub beads: &'static [(&'static str, &'static [&'static str])],
    /// Å and kJ/mol/nm²; [`RIGID`] for a constraint.
    pub bonds: &'static [([usize; 2], f64, f64)],
    /// Degrees and kJ/mol.
    pub angles: &'static [([usize; 3], f64, f64)],
    /// Degrees and kJ/mol/rad².
    pub impropers: &'static [([usize; 4], f64, f64)],
}

/// What a constraint is where it has to give way, kJ/mol/nm²: stiffer than any bond.
pub const RIGID: f64 = 100_000.0;

static SIDE_CHAINS: [SideChain; 20] = [
    SideChain { residue: "ALA", beads: &[], bonds: &[], angles: &[], impropers: &[] },
    SideChain { residue: "GLY", beads: &[], bonds: &[], angles: &[], impropers: &[] },
    SideChain {
        residue: "ARG",
        beads: &[("N0", &["CB", "CG", "CD"]), ("Qd", &["NE", "CZ", "NH1", "NH2"])],
        bonds: &[([0, 1], 3.3, 5000.0), ([1, 2], 3.4, 5000.0)],
        angles: &[([0, 1, 2], 180.0, 25.0)],
        impropers: &[],
    },
    SideChain {
        residue: "ASN",
        beads: &[("P5", &["CB", "CG", "OD1", "ND2"])],
        bonds: &[([0, 1], 3.2, 5000.0)],
        angles: &[],
        impropers: &[],
    },
    SideChain {
        residue: "ASP",
        beads: &[("Qa", &["CB", "CG", "OD1", "OD2"])],
        bonds: &[([0, 1], 3.2, 7500.0)],
        angles: &[],
        impropers: &[],
    },
    SideChain {
        residue: "CYS",
        beads: &[("C5", &["CB", "SG"])],
        bonds: &[([0, 1], 3.1, 7500.0)],
        angles: &[],
        impropers: &[],
    },
    SideChain {
        residue: "GLN",
        beads: &[("P4", &["CB", "CG", "CD", "OE1", "NE2"])],
        bonds: &[([0, 1], 4.0, 5000.0)],
        angles: &[],
        impropers: &[],
    },
    SideChain {
        residue: "GLU",
        beads: &[("Qa", &["CB", "CG", "CD", "OE1", "OE2"])],
        bonds: &[([0, 1], 4.0, 5000.0)],
        angles: &[],
        impropers: &[],
    },
    SideChain {
        residue: "HIS",
        beads: &[("SC4", &["CB", "CG"]), ("SP1", &["CD2", "NE2"]), ("SP1", &["ND1", "CE1"])],
        bonds: &[([0, 1], 3.2, 7500.0), ([1, 2], 2.7, RIGID), ([1, 3], 2.7, RIGID), ([2, 3], 2.7, RIGID)],
        angles: &[([0, 1, 2], 150.0, 50.0), ([0, 1, 3], 150.0, 50.0)],
        impropers: &[([0, 2, 3, 1], 0.0, 50.0)],
    },
    SideChain {
        residue: "ILE",
        beads: &[("AC1", &["CB", "CG1", "CG2", "CD1"])],
        bonds: &[([0, 1], 3.1, RIGID)],
        angles: &[],
        impropers: &[],
    },
    SideChain {
        residue: "LEU",
        beads: &[("AC1", &["CB", "CG", "CD1", "CD2"])],
        bonds: &[([0, 1], 3.3, 7500.0)],
        angles: &[],
        impropers: &[],
    },
    SideChain {
        residue: "LYS",
        beads: &[("C3", &["CB", "CG", "CD"]), ("Qd", &["CE", "NZ"])],
        bonds: &[([0, 1], 3.3, 5000.0), ([1, 2], 2.8, 5000.0)],
        angles: &[([0, 1, 2], 180.0, 25.0)],
        impropers: &[],
    },
    SideChain {
        residue: "MET",
        beads: &[("C5", &["CB", "CG", "SD", "CE"])],
        bonds: &[([0, 1], 4.0, 2500.0)],
        angles: &[],
        impropers: &[],
    },
    SideChain {
        residue: "PHE",
        beads: &[("SC5", &["CB", "CG", "CD1"]), ("SC5", &["CD2", "CE2"]), ("SC5", &["CE1", "CZ"])],
        bonds: &[([0, 1], 3.1, 7500.0), ([1, 2], 2.7, RIGID), ([1, 3], 2.7, RIGID), ([2, 3], 2.7, RIGID)],
        angles: &[([0, 1, 2], 150.0, 50.0), ([0, 1, 3], 150.0, 50.0)],
        impropers: &[([0, 2, 3, 1], 0.0, 50.0)],
    },
    SideChain {
        residue: "PRO",
        beads: &[("C3", &["CB", "CG", "CD"])],
        bonds: &[([0, 1], 3.0, 7500.0)],
        angles: &[],
        impropers: &[],
    },
    SideChain {
        residue: "SER",
        beads: &[("P1", &["CB", "OG"])],
        bonds: &[([0, 1], 2.5, 7500.0)],
        angles: &[],
        impropers: &[],
    },
    SideChain {
        residue: "THR",
        beads: &[("P1", &["CB", "OG1", "CG2"])],
        bonds: &[([0, 1], 2.6, RIGID)],
        angles: &[],
        impropers: &[],
    },
    SideChain {
        residue: "TRP",
        beads: &[
            ("SC4", &["CB", "CG", "CD2"]),
            ("SNd", &["CD1", "NE1", "CE2"]),
            ("SC5", &["CE3", "CZ3"]),
            ("SC5", &["CZ2", "CH2"]),
        ],
        bonds: &[
            ([0, 1], 3.0, 5000.0),
            ([1, 2], 2.7, RIGID),
            ([1, 3], 2.7, RIGID),
            ([2, 3], 2.7, RIGID),
            ([2, 4], 2.7, RIGID),
            ([3, 4], 2.7, RIGID),
        ],
        angles: &[([0, 1, 2], 210.0, 50.0), ([0, 1, 3], 90.0, 50.0)],
        impropers: &[([0, 2, 3, 1], 0.0, 50.0), ([1, 2, 4, 3], 0.0, 200.0)],
    },
    SideChain {
        residue: "TYR",
        beads: &[("SC4", &["CB", "CG", "CD1"]), ("SC4", &["CD2", "CE2"]), ("SP1", &["CE1", "CZ", "OH"])],
        bonds: &[([0, 1], 3.2, 5000.0), ([1, 2], 2.7, RIGID), ([1, 3], 2.7, RIGID), ([2, 3], 2.7, RIGID)],
        angles: &[([0, 1, 2], 150.0, 50.0), ([0, 1, 3], 150.0, 50.0)],
        impropers: &[([0, 2, 3, 1], 0.0, 50.0)],
    },
    SideChain {
        residue: "VAL",
        beads: &[("AC2", &["CB", "CG1", "CG2"])],
        bonds: &[([0, 1], 2.65, RIGID)],
        angles: &[],
        impropers: &[],
    },
];

/// The side chain of a residue by its usual name.
pub fn side_chain(residue: &str) -> Option<&'static SideChain> {
    SIDE_CHAINS.iter().find(|side| side.residue == residue)
}

/// The atoms of every backbone bead; alanine's has CB too.
pub const BACKBONE: [&str; 5] = ["N", "CA", "C", "O", "CB"];

/// Codes of secondary structure, in the order of the tables of the backbone.
const CODES: [char; 8] = ['E', 'H', '1', '2', '3', 'T', 'S', 'C'];

/// What the backbone is in one code of secondary structure.
pub struct Backbone {
    /// Type of its bead.
    pub kind: &'static str,
    /// Å; two beads take their mean.
    pub bond: f64,
    /// kJ/mol/nm²; two beads take the weaker, but a helix is rigid to its ends.
    pub stiffness: f64,
    /// Degrees and kJ/mol; three beads take the weakest, of equals the smallest.
    pub angle: [f64; 2],
}

pub fn backbone(residue: &str, code: char) -> Backbone {
    // What is unknown is coil.
    let at = CODES.iter().position(|&known| known == code).unwrap_or(CODES.len() - 1);
    let kinds = match residue {
        "ALA" => ["N0", "C5", "N0", "N0", "N0", "N0", "P4", "P4"],
        "PRO" => ["N0", "C5", "N0", "Na", "N0", "N0", "P4", "P4"],
        _ => ["Nda", "N0", "Nd", "Na", "Nda", "Nda", "P5", "P5"],
    };
    let helix = is_helix(code);
    let angle = match (residue, helix) {
        ("PRO", true) => [98.0, 100.0],
        (_, true) => [96.0, 700.0],
        _ => {
            let usual = [[134.0, 25.0], [100.0, 20.0], [130.0, 20.0], [127.0, 20.0]];
            let [angle, stiffness] = usual[at.saturating_sub(4)];
            [angle, if residue == "PRO" { 25.0 } else { stiffness }]
        }
    };
    Backbone {
        kind: kinds[at],
        bond: if helix { 3.1 } else { 3.5 },
        stiffness: if helix { RIGID } else { 1250.0 },
        angle,
    }
}

pub fn is_helix(code: char) -> bool {
    matches!(code, 'H' | '1' | '2' | '3')
}

/// Between backbone and side chain, degrees and kJ/mol.
pub const ASIDE: [f64; 2] = [100.0, 25.0];
/// Turns of a helix: degrees, kJ/mol, multiplicity.
pub const HELIX: (f64, f64, usize) = (-120.0, 400.0, 1);
/// Springs that hold a strand: over two and over three bonds, Å.
pub const STRAND: [f64; 2] = [6.4, 9.7];
/// kJ/mol/nm².
pub const STRAND_STIFFNESS: f64 = 2500.0;

/// Types in the order of [`LEVELS`]; a type with an S before its name is that of a ring.
const TYPES: [&str; 14] =
    ["P5", "P4", "P1", "Nda", "Nd", "Na", "N0", "C5", "C4", "C3", "AC2", "AC1", "Qd", "Qa"];

/// How two types attract one another, as places in [`DEPTHS`].
const LEVELS: [&[usize]; 14] = [
    &[0],
    &[0, 1],
    &[0, 2, 2],
    &[1, 3, 2, 2],
    &[1, 3, 2, 2, 3],
    &[1, 3, 2, 2, 2, 3],
    &[4, 4, 3, 4, 4, 4, 4],
    &[5, 5, 4, 4, 4, 4, 4, 4],
    &[6, 6, 4, 5, 5, 5, 4, 4, 4],
    &[6, 6, 4, 6, 6, 6, 4, 4, 4, 4],
    &[7, 7, 5, 6, 6, 6, 5, 5, 5, 4, 4],
    &[8, 8, 6, 6, 6, 6, 6, 5, 5, 4, 4, 4],
    &[0, 0, 1, 1, 3, 1, 4, 5, 6, 7, 8, 8, 1],
    &[0, 0, 1, 1, 1, 3, 4, 5, 6, 7, 8, 8, 0, 1],
];

/// kJ/mol
const DEPTHS: [f64; 9] = [5.6, 5.0, 4.5, 4.0, 3.5, 3.1, 2.7, 2.3, 2.0];

/// Place among [`TYPES`], and whether the bead is one of a ring.
fn type_of(kind: &str) -> (usize, bool) {
    let (plain, ring) = kind.strip_prefix('S').map_or((kind, false), |plain| (plain, true));
    // Every type that beads have is in the table.
    (TYPES.iter().position(|&known| known == plain).unwrap_or(0), ring)
}

/// Depth (kJ/mol) and sigma (Å) of the Lennard-Jones interaction of two types of beads.
pub fn attraction(a: &str, b: &str) -> (f64, f64) {
    let ((a, ring_a), (b, ring_b)) = (type_of(a), type_of(b));
    let depth = DEPTHS[LEVELS[a.max(b)][a.min(b)]];
    if ring_a && ring_b { (0.75 * depth, 4.3) } else { (depth, 4.7) }
}

/// Half the sigma of a bead with its like, Å: how wide it looks.
pub fn radius(kind: &str) -> f64 {
    0.5 * attraction(kind, kind).1
}

/// Elementary charge of a type.
pub fn charge(kind: &str) -> f64 {
    match kind {
        "Qd" => 1.0,
        "Qa" => -1.0,
        _ => 0.0,
    }
}

/// Of the elements of proteins, as beads weigh them.
pub fn mass(element: &str) -> f64 {
    match element {
        "N" => 14.0,
        "O" => 16.0,
        "S" => 32.0,
        "P" => 31.0,
        "SE" | "Se" => 79.0,
        _ => 12.0,
    }
}
