//! Markov state models: transitions counted at a lag, the largest set of states that reach one another, and the most
//! likely transition matrix that obeys detailed balance (Prinz et al. 2011; Trendelkamp-Schroer et al. 2015).

use nalgebra::{DMatrix, SymmetricEigen};

use super::random::Philox;
use crate::error::{Error, Result};

/// Relative change of the stationary weights from round to round at which estimation ends.
const SETTLED: f64 = 1e-10;
const ROUNDS: usize = 200_000;

/// Sliding-window counts [states, states] of transitions over `lag` frames, in several trajectories.
pub fn count_transitions(trajectories: &[&[u32]], states: usize, lag: usize) -> Result<DMatrix<f64>> {
    let longest = trajectories.iter().map(|t| t.len()).max().unwrap_or(0);
    if lag == 0 || lag >= longest {
        return Err(Error::usage(format!(
            "Markov model: a lag of {lag} frames does not fit a trajectory of {longest}; choose a lag of 1 to {}",
            longest.saturating_sub(1)
        )));
    }
    let mut counts = DMatrix::zeros(states, states);
    for trajectory in trajectories {
        if let Some(bad) = trajectory.iter().find(|s| **s as usize >= states) {
            return Err(Error::Shape(format!("Markov model: state {bad} where there are {states}")));
        }
        for (from, to) in trajectory.iter().zip(trajectory.iter().skip(lag)) {
            counts[(*from as usize, *to as usize)] += 1.0;
        }
    }
    Ok(counts)
}

/// The largest set of states of which each reaches each other one, in ascending order; of equally large ones that with
/// more counts.
pub fn largest_connected(counts: &DMatrix<f64>) -> Vec<usize> {
    let n = counts.nrows();
    let forward: Vec<Vec<usize>> =
        (0..n).map(|i| (0..n).filter(|&j| j != i && counts[(i, j)] > 0.0).collect()).collect();
    let backward: Vec<Vec<usize>> =
        (0..n).map(|i| (0..n).filter(|&j| j != i && counts[(j, i)] > 0.0).collect()).collect();
    // Kosaraju: states in order of leaving forwards, then gathered backwards.
    let mut seen = vec![false; n];
    let mut order = Vec::with_capacity(n);
    for root in 0..n {
        visit(root, &forward, &mut seen, &mut order);
    }
    let mut seen = vec![false; n];
    let mut best: (usize, f64, Vec<usize>) = (0, -1.0, Vec::new());
    for &root in order.iter().rev() {
        let mut set = Vec::new();
        visit(root, &backward, &mut seen, &mut set);
        let weight: f64 = set.iter().flat_map(|&i| set.iter().map(move |&j| counts[(i, j)])).sum();
        if (set.len(), weight) > (best.0, best.1) {
            best = (set.len(), weight, set);
        }
    }
    best.2.sort_unstable();
    best.2
}

/// Depth first from `root`; states are appended when they are left.
fn visit(root: usize, edges: &[Vec<usize>], seen: &mut [bool], left: &mut Vec<usize>) {
    if std::mem::replace(&mut seen[root], true) {
        return;
    }
    let mut stack = vec![(root, 0)];
    while let Some((state, next)) = stack.pop() {
        match edges[state].get(next) {
            Some(&to) => {
                stack.push((state, next + 1));
                if !std::mem::replace(&mut seen[to], true) {
                    stack.push((to, 0));
                }
            }
            None => left.push(state),
        }
    }
}

/// -lag / ln(eigenvalue); `None` for an eigenvalue that is not between 0 and 1.
pub fn timescale(eigenvalue: f64, lag: usize) -> Option<f64> {
    (eigenvalue > 0.0 && eigenvalue < 1.0).then(|| -(lag as f64) / eigenvalue.ln())
}

/// A reversible Markov model of the states that reach one another.
#[derive(Debug, Clone)]
pub struct MarkovModel {
    /// Frames.
    pub lag: usize,
    /// How many states the trajectories are numbered by.
    pub states: usize,
    /// The numbers of the states in the model, ascending.
    pub active: Vec<usize>,
    /// [active, active], rows sum to 1.
    pub transition: DMatrix<f64>,
    /// [active], sums to 1.
    pub stationary: Vec<f64>,
}

impl MarkovModel {
    pub fn estimate(trajectories: &[&[u32]], states: usize, lag: usize) -> Result<Self> {
        MarkovModel::from_counts(&count_transitions(trajectories, states, lag)?, lag)
    }

    /// From counts [states, states].
    pub fn from_counts(counts: &DMatrix<f64>, lag: usize) -> Result<Self> {
        let active = largest_connected(counts);
        let inner = DMatrix::from_fn(active.len(), active.len(), |i, j| counts[(active[i], active[j])]);
        if inner.sum() <= 0.0 {
            return Err(Error::usage(format!(
                "Markov model: no state is left and come back to within the trajectory at a lag of {lag} frames; use \
                 a shorter lag, fewer states or a longer trajectory"
            )));
        }
        let (transition, stationary) = reversible(&inner)?;
        Ok(MarkovModel { lag, states: counts.nrows(), active, transition, stationary })
    }

    /// Where a state stands in the model; `None` for one that it does not hold.
    pub fn place(&self, state: usize) -> Option<usize> {
        self.active.binary_search(&state).ok()
    }

    /// The stationary distribution over all states, 0 for those the model does not hold.
    pub fn all_stationary(&self) -> Vec<f64> {
        let mut all = vec![0.0; self.states];
        self.active.iter().zip(&self.stationary).for_each(|(&s, &p)| all[s] = p);
        all
    }

    /// The transition matrix over all states; those the model does not hold stay where they are.
    pub fn all_transition(&self) -> DMatrix<f64> {
        let mut all = DMatrix::identity(self.states, self.states);
        for (i, &a) in self.active.iter().enumerate() {
            for (j, &b) in self.active.iter().enumerate() {
                all[(a, b)] = self.transition[(i, j)];
            }
        }
        all
    }

    /// Eigenvalues, largest first, and right eigenvectors in columns, of norm 1 under the stationary distribution; the
    /// first is 1 everywhere.
    pub fn eigen(&self) -> Result<(Vec<f64>, DMatrix<f64>)> {
        let n = self.active.len();
        let root: Vec<f64> = self.stationary.iter().map(|p| p.sqrt()).collect();
        // Detailed balance makes this symmetric.
        let similar = DMatrix::from_fn(n, n, |i, j| {
            0.5 * (root[i] * self.transition[(i, j)] / root[j] + root[j] * self.transition[(j, i)] / root[i])
        });
        let eigen = SymmetricEigen::try_new(similar, f64::EPSILON, 200 * n + 1000)
            .ok_or_else(|| Error::NotFinite("Markov model: its eigenvalues did not converge".into()))?;
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
        let values = order.iter().map(|&i| eigen.eigenvalues[i]).collect();
        let mut vectors = DMatrix::from_fn(n, n, |r, c| eigen.eigenvectors[(r, order[c])] / root[r]);
        vectors.column_mut(0).fill(1.0);
        Ok((values, vectors))
    }

    /// Implied timescales in frames, slowest first, without the stationary process.
    pub fn timescales(&self) -> Result<Vec<Option<f64>>> {
        Ok(self.eigen()?.0.iter().skip(1).map(|&v| timescale(v, self.lag)).collect())
    }

    /// How often each transition happens in equilibrium, pi_i T_ij [active, active]; symmetric.
    pub fn flux(&self) -> DMatrix<f64> {
        DMatrix::from_fn(self.active.len(), self.active.len(), |i, j| {
            self.stationary[i] * self.transition[(i, j)]
        })
    }

    /// The pair of different states, numbered as in the trajectories, between which the least or the most flux goes
    /// that is greater than `least`; the smaller number first.
    pub fn pair_by_flux(&self, rarest: bool, least: f64) -> Option<(usize, usize)> {
        let (flux, n) = (self.flux(), self.active.len());
        let pairs = (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j)));
        let flowing = pairs.filter(|&p| flux[p] > least);
        let order = |a: &(usize, usize), b: &(usize, usize)| flux[*a].total_cmp(&flux[*b]);
        let (i, j) = if rarest { flowing.min_by(order) } else { flowing.max_by(order) }?;
        Some((self.active[i], self.active[j]))
    }
}

/// Most likely reversible transition matrix of connected counts, and its stationary distribution. The unknowns are the
/// symmetric flows x_ij; their row sums obey x_i = sum_j (c_ij + c_ji) / (c_i / x_i + c_j / x_j), which is iterated.
fn reversible(counts: &DMatrix<f64>) -> Result<(DMatrix<f64>, Vec<f64>)> {
    let n = counts.nrows();
    let rows: Vec<f64> = counts.row_iter().map(|r| r.sum()).collect();
    let both: Vec<Vec<(usize, f64)>> = (0..n)
        .map(|i| (0..n).map(|j| (j, counts[(i, j)] + counts[(j, i)])).filter(|(_, c)| *c > 0.0).collect())
        .collect();
    let mut x: Vec<f64> = both.iter().map(|row| row.iter().map(|(_, c)| c).sum()).collect();
    scale_to_one(&mut x);
    let flow = |x: &[f64], i: usize, j: usize, c: f64| c / (rows[i] / x[i] + rows[j] / x[j]);
    let mut settled = false;
    for _ in 0..ROUNDS {
        let mut next: Vec<f64> =
            (0..n).map(|i| both[i].iter().map(|&(j, c)| flow(&x, i, j, c)).sum()).collect();
        scale_to_one(&mut next);
        let change = x.iter().zip(&next).map(|(a, b)| (a - b).abs() / b).fold(0.0, f64::max);
        x = next;
        settled = change < SETTLED;
        if settled {
            break;
        }
    }
    if !settled {
        return Err(Error::NotFinite(format!(
            "Markov model of {n} states: the estimation did not settle in {ROUNDS} rounds; use fewer states"
        )));
    }
    let mut transition = DMatrix::zeros(n, n);
    for (i, row) in both.iter().enumerate() {
        row.iter().for_each(|&(j, c)| transition[(i, j)] = flow(&x, i, j, c));
    }
    let mut stationary: Vec<f64> = transition.row_iter().map(|r| r.sum()).collect();
    for (mut row, sum) in transition.row_iter_mut().zip(&stationary) {
        row /= *sum;
    }
    scale_to_one(&mut stationary);
    Ok((transition, stationary))
}

fn scale_to_one(x: &mut [f64]) {
    let sum: f64 = x.iter().sum();
    x.iter_mut().for_each(|v| *v /= sum);
}

/// Paths of a chain between two states in a given number of steps.
#[derive(Debug, Clone)]
pub struct Bridge<'a> {
    transition: &'a DMatrix<f64>,
    start: usize,
    end: usize,
    /// Chance to be at the end after k more steps, [steps + 1][states].
    arrival: Vec<Vec<f64>>,
}

impl<'a> Bridge<'a> {
    /// `start` and `end` index the rows of `transition`; an error if no path of that length leads from one to the other.
    pub fn new(transition: &'a DMatrix<f64>, start: usize, end: usize, steps: usize) -> Result<Self> {
        let n = transition.nrows();
        if start >= n || end >= n {
            return Err(Error::Shape(format!(
                "paths from state {start} to {end} of a model with {n} states"
            )));
        }
        let mut arrival = vec![(0..n).map(|i| f64::from(u8::from(i == end))).collect::<Vec<f64>>()];
        for k in 0..steps {
            let next = (0..n).map(|i| (0..n).map(|j| transition[(i, j)] * arrival[k][j]).sum()).collect();
            arrival.push(next);
        }
        let reached = arrival[steps][start];
        if reached.is_nan() || reached <= 0.0 {
            return Err(Error::usage(format!(
                "no path of {steps} steps leads from state {start} to state {end}"
            )));
        }
        Ok(Bridge { transition, start, end, arrival })
    }

    /// Chance to step from `from` to `to` when `left` steps are left, this one counted; 0 where it cannot be.
    fn step(&self, from: usize, to: usize, left: usize) -> f64 {
        let reach = self.arrival[left][from];
        if reach > 0.0 { self.transition[(from, to)] * self.arrival[left - 1][to] / reach } else { 0.0 }
    }

    /// A path drawn from the chain, both ends included.
    pub fn sample(&self, rng: &mut Philox) -> Vec<usize> {
        let steps = self.arrival.len() - 1;
        let mut path = vec![self.start];
        for left in (1..=steps).rev() {
            let from = path[steps - left];
            let weights: Vec<f64> =
                (0..self.transition.nrows()).map(|to| self.step(from, to, left)).collect();
            path.push(rng.weighted(&weights));
        }
        path
    }

    /// The chance of a path among all between its ends; 0 for one that the chain cannot take or that has other ends.
    pub fn probability(&self, path: &[usize]) -> f64 {
        let steps = self.arrival.len() - 1;
        let fits = path.len() == steps + 1 && path[0] == self.start && path[steps] == self.end;
        if !fits || path.iter().any(|s| *s >= self.transition.nrows()) {
            return 0.0;
        }
        path.windows(2).enumerate().map(|(t, pair)| self.step(pair[0], pair[1], steps - t)).product()
    }
}
