//! Secondary structure by hydrogen bonds (Kabsch and Sander, Biopolymers 22:2577, 1983), in the eight states of DSSP.

use nalgebra::Vector3;

/// One residue of a chain.
#[derive(Clone, Copy, Debug)]
pub struct Backbone {
    /// N, CA, C, O in Å.
    pub atoms: [[f64; 3]; 4],
    pub proline: bool,
    /// Whether the residue before this one is bonded to it.
    pub follows: bool,
}

/// H, B, E, G, I, T, S or a blank for each residue.
pub type Code = char;

/// Most energy of a hydrogen bond, kcal/mol.
const BOND: f64 = -0.5;
/// No hydrogen bond reaches further between CA atoms, Å.
const REACH: f64 = 9.0;
/// Least turn of the chain over five residues that is a bend, degrees.
const BEND: f64 = 70.0;

/// Assigns the residues of one model; what has no whole backbone is a blank, and its neighbours end there.
pub fn assign(residues: &[Option<Backbone>]) -> Vec<Code> {
    let model = Model::new(residues);
    let mut codes = vec![' '; residues.len()];
    model.strands(&mut codes);
    model.helices(&mut codes);
    codes
}

struct Model<'a> {
    residues: &'a [Option<Backbone>],
    /// For each residue's NH the residues whose CO it is bonded to, the two best.
    accepts: Vec<[Option<usize>; 2]>,
    /// Residues with the same number are joined without a gap.
    piece: Vec<usize>,
}

/// Two stretches side by side.
struct Ladder {
    parallel: bool,
    first: Vec<usize>,
    second: Vec<usize>,
}

fn at(residue: &Backbone, atom: usize) -> Vector3<f64> {
    Vector3::from(residue.atoms[atom])
}

impl<'a> Model<'a> {
    fn new(residues: &'a [Option<Backbone>]) -> Model<'a> {
        let mut piece = vec![0; residues.len()];
        for i in 1..residues.len() {
            let joined = matches!((&residues[i - 1], &residues[i]), (Some(_), Some(r)) if r.follows);
            piece[i] = piece[i - 1] + usize::from(!joined);
        }
        let mut model = Model { residues, accepts: vec![[None; 2]; residues.len()], piece };
        model.accepts = (0..residues.len()).map(|donor| model.acceptors(donor)).collect();
        model
    }

    /// The hydrogen of a residue's N, opposite to the O before it.
    fn hydrogen(&self, i: usize) -> Option<Vector3<f64>> {
        let residue = self.residues[i].filter(|r| r.follows && !r.proline)?;
        let before = self.residues[i.checked_sub(1)?]?;
        let direction = at(&before, 2) - at(&before, 3);
        Some(at(&residue, 0) + direction / direction.norm().max(1e-6))
    }

    fn acceptors(&self, donor: usize) -> [Option<usize>; 2] {
        let (Some(h), Some(residue)) = (self.hydrogen(donor), self.residues[donor]) else {
            return [None; 2];
        };
        let n = at(&residue, 0);
        let mut best = [(BOND, None); 2];
        for (acceptor, other) in self.residues.iter().enumerate() {
            let Some(other) = other else { continue };
            // A residue's own CO, and the one before, are bonded to its N.
            if acceptor == donor || acceptor + 1 == donor {
                continue;
            }
            if (at(other, 1) - at(&residue, 1)).norm() > REACH {
                continue;
            }
            let (c, o) = (at(other, 2), at(other, 3));
            let away = |a: Vector3<f64>, b: Vector3<f64>| 1.0 / (a - b).norm().max(0.5);
            let energy = 0.42 * 0.2 * 332.0 * (away(o, n) + away(c, h) - away(o, h) - away(c, n));
            if energy < best[0].0 {
                best = [(energy, Some(acceptor)), best[0]];
            } else if energy < best[1].0 {
                best[1] = (energy, Some(acceptor));
            }
        }
        best.map(|b| b.1)
    }

    /// Whether the NH of `donor` is bonded to the CO of `acceptor`.
    fn bonded(&self, donor: usize, acceptor: usize) -> bool {
        self.accepts[donor].contains(&Some(acceptor))
    }

    fn whole(&self, from: usize, to: usize) -> bool {
        to < self.piece.len() && self.piece[from] == self.piece[to]
    }

    /// Whether a turn of `n` residues begins.
    fn turn(&self, i: usize, n: usize) -> bool {
        self.whole(i, i + n) && self.bonded(i + n, i)
    }

    /// Parallel (true) or antiparallel bridge between residues.
    fn bridge(&self, i: usize, j: usize) -> Option<bool> {
        if i == 0 || j == 0 || !self.whole(i - 1, i + 1) || !self.whole(j - 1, j + 1) {
            return None;
        }
        let bonded = |donor, acceptor| self.bonded(donor, acceptor);
        if bonded(i + 1, j) && bonded(j, i - 1) || bonded(j + 1, i) && bonded(i, j - 1) {
            return Some(true);
        }
        let anti = bonded(i + 1, j - 1) && bonded(j + 1, i - 1) || bonded(j, i) && bonded(i, j);
        anti.then_some(false)
    }

    fn ladders(&self) -> Vec<Ladder> {
        let n = self.residues.len();
        let mut ladders: Vec<Ladder> = vec![];
        for i in 1..n.saturating_sub(4) {
            for j in i + 3..n - 1 {
                let Some(parallel) = self.bridge(i, j) else { continue };
                let goes_on = |ladder: &&mut Ladder| {
                    let beside = if parallel {
                        ladder.second.last().is_some_and(|&last| last + 1 == j)
                    } else {
                        ladder.second.first().is_some_and(|&first| first == j + 1)
                    };
                    ladder.parallel == parallel && ladder.first.last() == Some(&(i - 1)) && beside
                };
                match ladders.iter_mut().find(goes_on) {
                    Some(ladder) => {
                        ladder.first.push(i);
                        let place = if parallel { ladder.second.len() } else { 0 };
                        ladder.second.insert(place, j);
                    }
                    None => ladders.push(Ladder { parallel, first: vec![i], second: vec![j] }),
                }
            }
        }
        ladders
    }

    /// Whether the second ladder goes on where the first ends, with a bulge between.
    fn bulge(&self, a: &Ladder, b: &Ladder) -> bool {
        let ends = |list: &[usize]| (list[0], list[list.len() - 1]);
        let ((ai, aj), (bi, bj)) = (ends(&a.first), ends(&b.first));
        let ((ci, cj), (di, dj)) = (ends(&a.second), ends(&b.second));
        let gap = bi as isize - aj as isize;
        if a.parallel != b.parallel
            || !self.whole(ai.min(bi), aj.max(bj))
            || !self.whole(ci.min(di), cj.max(dj))
            || gap >= 6
            || (aj >= bi && ai <= bj)
        {
            return false;
        }
        let other = if a.parallel { di as isize - cj as isize } else { ci as isize - dj as isize };
        let apart = if a.parallel { di > cj } else { ci > dj };
        apart && (other < 6 && gap < 3 || other < 3)
    }

    fn strands(&self, codes: &mut [Code]) {
        let mut ladders = self.ladders();
        ladders.sort_by_key(|ladder| ladder.first[0]);
        let mut i = 0;
        while i < ladders.len() {
            let mut j = i + 1;
            while j < ladders.len() {
                if !self.bulge(&ladders[i], &ladders[j]) {
                    j += 1;
                    continue;
                }
                let taken = ladders.remove(j);
                let into = &mut ladders[i];
                into.first.extend(taken.first);
                if into.parallel {
                    into.second.extend(taken.second);
                } else {
                    into.second.splice(0..0, taken.second);
                }
            }
            i += 1;
        }
        for ladder in &ladders {
            let code = if ladder.first.len() > 1 { 'E' } else { 'B' };
            for side in [&ladder.first, &ladder.second] {
                // A bulge between the two ends belongs to the strand.
                for here in &mut codes[side[0]..=side[side.len() - 1]] {
                    if *here != 'E' {
                        *here = code;
                    }
                }
            }
        }
    }

    fn helices(&self, codes: &mut [Code]) {
        let count = codes.len();
        for (n, code) in [(4, 'H'), (3, 'G'), (5, 'I')] {
            for i in 1..count.saturating_sub(n) {
                if !(self.turn(i, n) && self.turn(i - 1, n)) {
                    continue;
                }
                let stretch = &mut codes[i..i + n];
                // Since version 2.1 DSSP lets the wide helix win: it is often a bulge of an α helix.
                let yields = |here: char| here == ' ' || here == code || (code, here) == ('I', 'H');
                if code == 'H' || stretch.iter().all(|&here| yields(here)) {
                    stretch.fill(code);
                }
            }
        }
        let inside = |i: usize, n: usize| (1..n).any(|k| i >= k && self.turn(i - k, n));
        for (i, code) in codes.iter_mut().enumerate() {
            if *code != ' ' {
                continue;
            }
            if [3, 4, 5].into_iter().any(|n| inside(i, n)) {
                *code = 'T';
            } else if self.bends(i) {
                *code = 'S';
            }
        }
    }

    fn bends(&self, i: usize) -> bool {
        if i < 2 || i + 2 >= self.residues.len() || !self.whole(i - 2, i + 2) {
            return false;
        }
        let ca = |i: usize| self.residues[i].map(|r| at(&r, 1));
        let (Some(a), Some(b), Some(c)) = (ca(i - 2), ca(i), ca(i + 2)) else { return false };
        (b - a).angle(&(c - b)).to_degrees() > BEND
    }
}
