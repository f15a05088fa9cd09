//! `backmap`: atoms for CA traces and bead models.

use std::path::PathBuf;

use crate::cli::progress::{Progress, note, quiet};
use crate::error::Result;
use crate::protein::backmap::{Backmap, Mended};

/// Rebuild all heavy atoms of CA traces or MARTINI bead models
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kinesome dyna backmap run/0020_0015620/pca-1.pdb --reference model.pdb -o atoms.pdb
  kinesome dyna backmap pred.pdb -o atoms.pdb           without the model that the run started from

With --reference each residue keeps its own side chain, ligands and ions go along, nucleotides and modified residues can be \
rebuilt, and B factors are carried over. Without it the twenty amino acids are rebuilt from ideal geometry. What is \
printed for each model: pairs of heavy atoms below 2 Å, corners with the wrong hand, the bond that is farthest from its \
length, peptides that are cis or turned out of their plane, and how far the points of the input have moved.")]
pub struct Args {
    /// CA traces or beads, PDB or mmCIF with one or many models
    #[arg(value_name = "PDB")]
    input: PathBuf,
    /// The model of all atoms that the run started from
    #[arg(short, long, value_name = "PDB")]
    reference: Option<PathBuf>,
    /// Atoms, .pdb or .cif
    #[arg(short, long, value_name = "PDB")]
    out: PathBuf,
    /// Print the parts of the energy before and after the minimisation
    #[arg(long)]
    energies: bool,
}

pub fn run(args: Args) -> Result<()> {
    let backmap = Backmap::read(&args.input, args.reference.as_deref())?;
    backmap.notes.iter().for_each(|text| note(text));
    let mut progress = Progress::new("models", "models");
    let (structure, mended) = backmap.run(&mut |done, total| progress.tick(done, total))?;
    drop(progress);
    structure.write(&args.out)?;
    if !quiet() {
        println!("model  clashes  nearest  inverted  bond off  cis  turned  RMSD to input");
        mended.iter().enumerate().for_each(|(m, model)| print(m + 1, model, args.energies));
    }
    println!("{}", args.out.display());
    Ok(())
}

fn print(number: usize, model: &Mended, energies: bool) {
    let q = &model.quality;
    println!(
        "{number:>5}  {:>7}  {:>5.2} Å  {:>8}  {:>6.3} Å  {:>3}  {:>6}  {:>11.3} Å",
        q.clashes,
        q.nearest,
        q.inverted.len(),
        q.worst_bond.0,
        q.cis.len(),
        q.twisted.len(),
        q.rmsd
    );
    for corner in &q.inverted {
        println!("       wrong hand: {corner}");
    }
    if energies {
        println!("       {} steps; farthest from its length: {}", model.steps, q.worst_bond.1);
        for ((name, before), (_, after)) in model.before.iter().zip(&model.after) {
            println!("       {name:<10} {before:>12.2} -> {after:>10.2}");
        }
    }
}
