//! Nucleotides as beads: phosphate, two of the sugar and three or four of the base, mapped as MARTINI maps DNA and RNA
//! (Uusitalo et al., J. Chem. Theory Comput. 11:3932, 2015; Biophys. J. 113:246, 2017). The force field of those
//! papers is not here: a bead has the nearest type of MARTINI 2.2, and bonds and angles rest where the model has them.

/// The beads of one nucleotide.
#[derive(Clone, Copy, Debug)]
pub struct Nucleotide {
    pub residue: &'static str,
    /// Type and heavy atoms of each bead: [`SUGAR`] of them before the base.
    pub beads: &'static [(&'static str, &'static [&'static str])],
}

/// Beads of phosphate and sugar.
pub const SUGAR: usize = 3;
/// Along the chain, kJ/mol/nm².
pub const CHAIN: f64 = 10_000.0;
/// Of all angles, kJ/mol.
pub const BENT: f64 = 100.0;

const PHOSPHATE: (&str, &[&str]) = ("Qa", &["P", "OP1", "OP2", "OP3", "O5'"]);
const UPPER: (&str, &[&str]) = ("SN0", &["C5'", "C4'", "O4'"]);
const DEOXY: (&str, &[&str]) = ("SC3", &["C3'", "C2'", "C1'"]);
const RIBOSE: (&str, &[&str]) = ("SNda", &["C3'", "C2'", "O2'", "C1'"]);
const PURINE: (&str, &[&str]) = ("SN0", &["N9", "C4"]);
const IMIDAZOLE: (&str, &[&str]) = ("SNa", &["C8", "N7", "C5"]);
const PYRIMIDINE: (&str, &[&str]) = ("SN0", &["N1", "C6"]);
const ADENINE: [(&str, &[&str]); 2] = [("SNa", &["C2", "N3"]), ("SNda", &["C6", "N6", "N1"])];
const GUANINE: [(&str, &[&str]); 2] = [("SNda", &["C2", "N2", "N3"]), ("SNda", &["C6", "O6", "N1"])];
const CYTOSINE: [(&str, &[&str]); 2] = [("SNa", &["N3", "C2", "O2"]), ("SNd", &["C5", "C4", "N4"])];
const URACIL: [(&str, &[&str]); 2] = [("SNda", &["N3", "C2", "O2"]), ("SNa", &["C5", "C4", "O4"])];
const THYMINE: [(&str, &[&str]); 2] = [URACIL[0], ("SNa", &["C5", "C4", "O4", "C7"])];

macro_rules! purine {
    ($residue:literal, $sugar:expr, $base:expr) => {
        Nucleotide {
            residue: $residue,
            beads: &[PHOSPHATE, UPPER, $sugar, PURINE, $base[0], $base[1], IMIDAZOLE],
        }
    };
}

macro_rules! pyrimidine {
    ($residue:literal, $sugar:expr, $base:expr) => {
        Nucleotide { residue: $residue, beads: &[PHOSPHATE, UPPER, $sugar, PYRIMIDINE, $base[0], $base[1]] }
    };
}

static NUCLEOTIDES: [Nucleotide; 10] = [
    purine!("A", RIBOSE, ADENINE),
    purine!("G", RIBOSE, GUANINE),
    pyrimidine!("C", RIBOSE, CYTOSINE),
    pyrimidine!("U", RIBOSE, URACIL),
    pyrimidine!("T", DEOXY, THYMINE),
    purine!("DA", DEOXY, ADENINE),
    purine!("DG", DEOXY, GUANINE),
    pyrimidine!("DC", DEOXY, CYTOSINE),
    pyrimidine!("DT", DEOXY, THYMINE),
    pyrimidine!("DU", DEOXY, URACIL),
];

/// The nucleotide of a name in files.
pub fn nucleotide(name: &str) -> Option<&'static Nucleotide> {
    NUCLEOTIDES.iter().find(|nucleotide| nucleotide.residue == name)
}

/// The heavy atoms of a nucleotide's bead (BB1 to BB3, SC1 to SC4); O3' is for the chain to tell.
pub fn bead(residue: &str, bead: &str) -> Option<&'static [&'static str]> {
    let beads = nucleotide(residue)?.beads;
    let (from, number) = match bead.strip_prefix("SC") {
        Some(number) => (SUGAR, number),
        None => (0, bead.strip_prefix("BB")?),
    };
    let at = number.parse::<usize>().ok()?.checked_sub(1)?;
    (from > 0 || at < SUGAR).then(|| beads.get(from + at)).flatten().map(|(_, names)| *names)
}

/// An atom's name as [`Nucleotide`] has it.
pub fn atom_name(name: &str) -> String {
    match name {
        "O1P" => "OP1".into(),
        "O2P" => "OP2".into(),
        "C5M" => "C7".into(),
        _ => name.replace('*', "'"),
    }
}
