//! `modes`: the softest motions of a model by itself.

use std::path::{Path, PathBuf};

use nalgebra::Vector3;

use crate::cli::progress::{note, quiet};
use crate::error::{Error, Result};
use crate::io::npy::{self, Array};
use crate::io::structure::Structure;
use crate::protein::modes::{self, ElasticNetwork};
use crate::protein::superpose::superpose;
use crate::systems::dyna::reference::Reference;

/// Normal modes of a model as an elastic network of its residues
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  kinesome dyna modes open.pdb -o modes.npy -n 16
  kinesome dyna modes open.pdb -o modes.npy --toward closed.pdb     how much of the way to another state each is
  kinesome dyna residue particles.star open.pdb -o run --nma-path modes.npy

Residues (CA, C1') nearer than the cutoff are joined by equal springs (anisotropic network model); written are the motions \
of least force beside those of the whole, as a matrix (3 x residues, modes) with orthonormal columns.")]
pub struct Args {
    /// PDB or mmCIF
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// Modes to write (.npy)
    #[arg(short, long, value_name = "NPY")]
    out: PathBuf,
    /// Number of modes
    #[arg(short = 'n', long = "modes", value_name = "N", default_value_t = 16)]
    count: usize,
    /// Residues that are nearer are joined, Å
    #[arg(long, value_name = "Å", default_value_t = modes::CUTOFF)]
    cutoff: f64,
    /// The same residues in another state
    #[arg(long, value_name = "MODEL")]
    toward: Option<PathBuf>,
}

fn read(path: &Path) -> Result<Reference> {
    Reference::of(&Structure::read(path)?, path)
}

/// The way of each residue to another state that is laid on this one.
fn way(reference: &Reference, path: &Path) -> Result<Vec<[f64; 3]>> {
    let other = read(path)?;
    if other.len() != reference.len() {
        let why = format!("has {} residues, the model has {}", other.len(), reference.len());
        return Err(Error::malformed(path, "", why));
    }
    let (motion, _) = superpose(&other.places, &reference.places);
    let away = |(there, here): (&[f64; 3], &[f64; 3])| {
        (motion.apply(&Vector3::from(*there)) - Vector3::from(*here)).into()
    };
    Ok(other.places.iter().zip(&reference.places).map(away).collect())
}

pub fn run(args: Args) -> Result<()> {
    if !(1.0..=200.0).contains(&args.cutoff) {
        return Err(Error::usage(format!("--cutoff {}: give 1 to 200 Å", args.cutoff)));
    }
    let reference = read(&args.model)?;
    reference.notes.iter().for_each(|text| note(text));
    let way = args.toward.as_deref().map(|path| way(&reference, path)).transpose()?;
    let network = ElasticNetwork::new(&reference.places, args.cutoff);
    let modes = network.modes(args.count)?;
    let rows = modes.vectors.transpose();
    npy::write_npy(&args.out, &Array::f64(&[3 * reference.len(), args.count], rows.as_slice().to_vec())?)?;
    if !quiet() {
        println!("{} residues, {} springs", reference.len(), network.springs());
        let overlaps = way.map(|way| modes::overlaps(&modes, &way));
        let head = if overlaps.is_some() { "  overlap  together" } else { "" };
        println!("mode   stiffness{head}");
        let mut square = 0.0;
        for (k, value) in modes.values.iter().enumerate() {
            print!("{:>4}  {value:>10.5}", k + 1);
            if let Some(overlap) = overlaps.as_ref().map(|overlaps| overlaps[k]) {
                square += overlap * overlap;
                print!("  {overlap:>7.3}  {:>8.3}", square.sqrt());
            }
            println!();
        }
    }
    println!("{}", args.out.display());
    Ok(())
}
