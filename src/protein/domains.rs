//! Rigid domains of a molecule, found from two of its conformations.
//!
//! A domain is a set of residues that one rigid motion carries from the first conformation to the second.
//! Motions are proposed by growing short stretches of the chain (fit, collect what fits, fit again), and
//! residues then choose among the motions along the chain by dynamic programming, where a change of domain
//! costs as much as a few badly fitting residues. The idea is that of DynDom (Hayward and Berendsen 1998);
//! the procedure is our own.

use super::superpose::{Motion, superpose_weighted};
use nalgebra::Vector3;

/// A residue fits a motion when it lands within this distance (Å) of its place.
const FIT: f64 = 2.0;
/// Residues of the shortest stretch that proposes a motion.
const SEED: usize = 9;
/// Smallest domain in residues.
const SMALLEST: usize = 12;
/// More domains than this are not told apart.
const MOST: usize = 16;
/// Stretches tried per round; larger molecules are sampled evenly.
const SEEDS_TRIED: usize = 240;
/// Price of a change of domain between two residues of a chain, in units of a residue that misses by [`FIT`].
const CHANGE: f64 = 5.0;
/// Largest price of one residue, so that a loop that fits nowhere does not drag its neighbours along.
const WORST: f64 = 6.0;

/// Domains of a molecule. Domain 0 is the largest; the others hang from it as a tree.
#[derive(Clone, Debug)]
pub struct Domains {
    /// Domain of each residue, [residues].
    pub label: Vec<usize>,
    /// Motion of each domain from the first conformation to the second.
    pub motions: Vec<Motion>,
    /// The domain that each domain hangs from, and the order to visit them in: a parent stands before its
    /// children. Domain 0 hangs from none.
    pub parent: Vec<Option<usize>>,
    pub order: Vec<usize>,
}

impl Domains {
    /// Finds the domains. `chain` [residues] numbers the chain of each residue; `a` and `b` [residues, 3] are
    /// one point per residue (Cα) in the two conformations, Å.
    pub fn find(chain: &[usize], a: &[[f64; 3]], b: &[[f64; 3]]) -> Domains {
        let n = chain.len().min(a.len()).min(b.len());
        if n == 0 {
            let motions = vec![Motion::identity()];
            return Domains { label: Vec::new(), motions, parent: vec![None], order: vec![0] };
        }
        let (chain, a, b) = (&chain[..n], &a[..n], &b[..n]);
        let mut motions = propose(chain, a, b);
        let mut label = assign(chain, a, b, &motions);
        for _ in 0..20 {
            let kept = refit(&label, a, b, &mut motions);
            let next = assign(chain, a, b, &motions);
            if kept && next == label {
                break;
            }
            label = next;
        }
        let label = sort_by_size(label, &mut motions);
        let (parent, order) = tree(chain, &label, a, b, motions.len());
        Domains { label, motions, parent, order }
    }

    /// The motions of all domains at `t` (0: first conformation, 1: second): each moves on a screw relative to
    /// the domain it hangs from.
    pub fn at(&self, t: f64) -> Vec<Motion> {
        let mut now = vec![Motion::identity(); self.motions.len()];
        for &domain in &self.order {
            now[domain] = match self.parent[domain] {
                None => self.motions[domain].screw(t),
                Some(parent) => {
                    let relative = self.motions[parent].inverse().after(&self.motions[domain]);
                    now[parent].after(&relative.screw(t))
                }
            };
        }
        now
    }

    /// Number of residues in a domain.
    pub fn size(&self, domain: usize) -> usize {
        self.label.iter().filter(|&&l| l == domain).count()
    }
}

/// Squared miss of residue `i` under a motion, Å².
fn miss(motion: &Motion, a: &[f64; 3], b: &[f64; 3]) -> f64 {
    (motion.apply(&Vector3::from(*a)) - Vector3::from(*b)).norm_squared()
}

/// Motions, each the best for what the ones before left over.
fn propose(chain: &[usize], a: &[[f64; 3]], b: &[[f64; 3]]) -> Vec<Motion> {
    let n = a.len();
    let mut free = vec![true; n];
    let mut motions: Vec<Motion> = Vec::new();
    let stretches: Vec<usize> =
        (0..n.saturating_sub(SEED - 1)).filter(|&i| chain[i] == chain[i + SEED - 1]).collect();
    let stride = stretches.len().div_ceil(SEEDS_TRIED).max(1);
    while motions.len() < MOST {
        let mut best: (usize, Vec<bool>, Motion) = (0, Vec::new(), Motion::identity());
        for &start in stretches.iter().step_by(stride) {
            if !(start..start + SEED).all(|i| free[i]) {
                continue;
            }
            let mut inside: Vec<bool> = (0..n).map(|i| (start..start + SEED).contains(&i)).collect();
            let (mut motion, misfit) = superpose_weighted(a, b, |i| f64::from(u8::from(inside[i])));
            if misfit > FIT {
                continue;
            }
            for _ in 0..12 {
                let next: Vec<bool> =
                    (0..n).map(|i| free[i] && miss(&motion, &a[i], &b[i]) < FIT * FIT).collect();
                if next == inside {
                    break;
                }
                inside = next;
                motion = superpose_weighted(a, b, |i| f64::from(u8::from(inside[i]))).0;
            }
            let size = inside.iter().filter(|&&x| x).count();
            if size > best.0 {
                best = (size, inside, motion);
            }
        }
        if best.0 < SMALLEST {
            break;
        }
        for (free, inside) in free.iter_mut().zip(&best.1) {
            *free &= !inside;
        }
        motions.push(best.2);
    }
    if motions.is_empty() {
        motions.push(superpose_weighted(a, b, |_| 1.0).0);
    }
    motions
}

/// The cheapest choice of a domain for each residue: dynamic programming along each chain.
fn assign(chain: &[usize], a: &[[f64; 3]], b: &[[f64; 3]], motions: &[Motion]) -> Vec<usize> {
    let (n, k) = (a.len(), motions.len());
    let mut from = vec![0usize; n * k];
    let mut price = vec![0.0; k];
    for i in 0..n {
        let fresh = i == 0 || chain[i] != chain[i - 1];
        let cheapest = (0..k).fold(0, |best, d| if price[d] < price[best] { d } else { best });
        let floor = price.get(cheapest).copied().unwrap_or(0.0);
        for d in 0..k {
            let change = if fresh { 0.0 } else { CHANGE };
            if price[d] <= floor + change && !fresh {
                from[i * k + d] = d;
            } else {
                from[i * k + d] = cheapest;
                price[d] = floor + change;
            }
        }
        for d in 0..k {
            price[d] += (miss(&motions[d], &a[i], &b[i]) / (FIT * FIT)).min(WORST);
        }
    }
    let mut label = vec![0; n];
    let mut d = (0..k).fold(0, |best, d| if price[d] < price[best] { d } else { best });
    for i in (0..n).rev() {
        label[i] = d;
        d = from[i * k + d];
    }
    label
}

/// Fits each motion to its residues; motions with too few residues go. Says whether all were kept.
fn refit(label: &[usize], a: &[[f64; 3]], b: &[[f64; 3]], motions: &mut Vec<Motion>) -> bool {
    let before = motions.len();
    let mut fitted = Vec::with_capacity(before);
    for (d, old) in motions.iter().enumerate() {
        if label.iter().filter(|&&l| l == d).count() >= SMALLEST.min(label.len()) {
            // Far outliers (a loop that fits nowhere) have no say.
            let motion = superpose_weighted(a, b, |i| {
                let fits = label[i] == d && miss(old, &a[i], &b[i]) < 4.0 * FIT * FIT;
                f64::from(u8::from(fits))
            });
            fitted.push(motion.0);
        }
    }
    if fitted.is_empty() {
        fitted.push(superpose_weighted(a, b, |_| 1.0).0);
    }
    *motions = fitted;
    motions.len() == before
}

/// Renumbers the domains from the largest to the smallest.
fn sort_by_size(label: Vec<usize>, motions: &mut Vec<Motion>) -> Vec<usize> {
    let mut size = vec![0usize; motions.len()];
    label.iter().for_each(|&l| size[l] += 1);
    let mut order: Vec<usize> = (0..motions.len()).filter(|&d| size[d] > 0).collect();
    order.sort_by_key(|&d| (std::cmp::Reverse(size[d]), d));
    let mut place = vec![0; motions.len()];
    order.iter().enumerate().for_each(|(new, &old)| place[old] = new);
    *motions = order.iter().map(|&d| motions[d]).collect();
    label.into_iter().map(|l| place[l]).collect()
}

/// Which domain hangs from which: the strongest ties first, from the largest domain on (Prim). A tie is a
/// place where the chain passes from one domain to the other, or a contact that both conformations have.
fn tree(
    chain: &[usize],
    label: &[usize],
    a: &[[f64; 3]],
    b: &[[f64; 3]],
    k: usize,
) -> (Vec<Option<usize>>, Vec<usize>) {
    const CONTACT: f64 = 10.0;
    const CHAIN_TIE: f64 = 20.0;
    let mut tie = vec![0.0; k * k];
    let near = |x: &[[f64; 3]], i: usize, j: usize| {
        (Vector3::from(x[i]) - Vector3::from(x[j])).norm_squared() < CONTACT * CONTACT
    };
    if k > 1 {
        for i in 0..label.len() {
            for j in i + 1..label.len() {
                if label[i] == label[j] {
                    continue;
                }
                let mut strength = 0.0;
                if j == i + 1 && chain[i] == chain[j] {
                    strength += CHAIN_TIE;
                }
                if near(a, i, j) && near(b, i, j) {
                    strength += 1.0;
                }
                tie[label[i] * k + label[j]] += strength;
                tie[label[j] * k + label[i]] += strength;
            }
        }
    }
    let mut parent = vec![None; k];
    let mut order = vec![0];
    while order.len() < k {
        let mut best = (-1.0, 0, 0);
        for child in (0..k).filter(|d| !order.contains(d)) {
            for &above in &order {
                if tie[above * k + child] > best.0 {
                    best = (tie[above * k + child], above, child);
                }
            }
        }
        parent[best.2] = Some(best.1);
        order.push(best.2);
    }
    (parent, order)
}
