//! Solvers of dx/dt = v(x, t) from t = 0 to 1: Dormand and Prince (1980) with steps chosen by the error, and
//! fixed steps of Euler, Heun and the stochastic Euler-Maruyama.

use super::transport::Path;
use crate::stats::random::Philox;
use crate::{Error, Result, interrupt};

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Solver {
    /// Relative and absolute tolerance. `past_one` lets the last step end behind t = 1 and goes back by the
    /// step's polynomial, as the reference's library does; otherwise it ends at 1.
    Dopri5 {
        relative: f64,
        absolute: f64,
        past_one: bool,
    },
    Euler {
        steps: usize,
    },
    Heun {
        steps: usize,
    },
    /// Euler-Maruyama with the noise level of the path, the last step without noise.
    Sde {
        steps: usize,
        seed: u64,
        stream: u64,
    },
}

/// What a run took.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Effort {
    pub evaluations: usize,
}

/// The velocity at a state and a time.
pub trait Field {
    fn velocity(&mut self, x: &[f32], t: f64) -> Result<Vec<f32>>;
}

impl<F: FnMut(&[f32], f64) -> Result<Vec<f32>>> Field for F {
    fn velocity(&mut self, x: &[f32], t: f64) -> Result<Vec<f32>> {
        self(x, t)
    }
}

impl Solver {
    /// With noise of this seed and stream, where the solver draws any.
    pub fn with_noise(self, seed: u64, stream: u64) -> Solver {
        match self {
            Solver::Sde { steps, .. } => Solver::Sde { steps, seed, stream },
            other => other,
        }
    }

    pub fn check(&self) -> Result<()> {
        match *self {
            Solver::Euler { steps } | Solver::Heun { steps } | Solver::Sde { steps, .. } if steps == 0 => {
                Err(Error::usage("a sampler needs at least one step"))
            }
            Solver::Dopri5 { relative, absolute, .. }
                if !(relative > 0.0 && absolute > 0.0 && relative.is_finite() && absolute.is_finite()) =>
            {
                Err(Error::usage("tolerances of a sampler have to be positive"))
            }
            _ => Ok(()),
        }
    }

    /// From `x` at t = 0 to the state at each of `times`, increasing, the last of them 1 (fixed steps give the
    /// states at the ends of steps nearest to them).
    pub fn run(
        &self,
        x: Vec<f32>,
        times: &[f64],
        path: Path,
        field: &mut dyn Field,
    ) -> Result<(Vec<Vec<f32>>, Effort)> {
        self.check()?;
        let mut counted = Counted { field, effort: Effort::default() };
        let states = match *self {
            Solver::Dopri5 { relative, absolute, past_one } => {
                Adaptive { relative, absolute, past_one }.run(x, times, &mut counted)?
            }
            Solver::Euler { steps } => fixed(x, steps, times, |x, t, h| {
                let v = counted.velocity(x, t)?;
                moved(x, &[(h, &v)])
            })?,
            Solver::Heun { steps } => fixed(x, steps, times, |x, t, h| {
                let first = counted.velocity(x, t)?;
                let second = counted.velocity(&moved(x, &[(h, &first)])?, t + h)?;
                moved(x, &[(0.5 * h, &first), (0.5 * h, &second)])
            })?,
            Solver::Sde { steps, seed, stream } => {
                let mut philox = Philox::new(seed, 0x7364_0000_0000_0000 ^ stream);
                fixed(x, steps, times, |x, t, h| {
                    let v = counted.velocity(x, t)?;
                    // The score is singular where the noise is all (t = 0) or none (t = 1).
                    let inside = t.clamp(1e-3, 1.0 - 1e-3);
                    let diffusion = if t + h < 1.0 - 1e-9 { path.at(inside).s } else { 0.0 };
                    let noise = (2.0 * diffusion * h).sqrt();
                    let step = x.iter().zip(&v).map(|(&x, &v)| {
                        let score = path.score(v as f64, x as f64, inside);
                        (x as f64 + h * (v as f64 + diffusion * score) + noise * philox.normal()) as f32
                    });
                    finite(step.collect())
                })?
            }
        };
        Ok((states, counted.effort))
    }
}

struct Counted<'a> {
    field: &'a mut dyn Field,
    effort: Effort,
}

impl Counted<'_> {
    fn velocity(&mut self, x: &[f32], t: f64) -> Result<Vec<f32>> {
        interrupt::check()?;
        self.effort.evaluations += 1;
        self.field.velocity(x, t)
    }
}

fn finite(x: Vec<f32>) -> Result<Vec<f32>> {
    match x.iter().position(|v| !v.is_finite()) {
        Some(at) => Err(Error::NotFinite(format!("value {at} of a sample; the network may not be trained"))),
        None => Ok(x),
    }
}

/// x + sum of h v
fn moved(x: &[f32], steps: &[(f64, &[f32])]) -> Result<Vec<f32>> {
    let at = |i: usize| steps.iter().map(|(h, v)| *h as f32 * v[i]).sum::<f32>();
    finite(x.iter().enumerate().map(|(i, &x)| x + at(i)).collect())
}

fn fixed(
    mut x: Vec<f32>,
    steps: usize,
    times: &[f64],
    mut step: impl FnMut(&[f32], f64, f64) -> Result<Vec<f32>>,
) -> Result<Vec<Vec<f32>>> {
    let h = 1.0 / steps as f64;
    let mut states = vec![];
    let mut wanted = times.iter().peekable();
    for i in 0..=steps {
        while wanted.next_if(|&&t| t < (i as f64 + 0.5) * h || i == steps).is_some() {
            states.push(x.clone());
        }
        if i < steps {
            x = step(&x, i as f64 * h, h)?;
        }
    }
    Ok(states)
}

struct Adaptive {
    relative: f64,
    absolute: f64,
    past_one: bool,
}

/// Nodes, and the rows of the tableau; the last row is the fifth-order step itself.
const NODES: [f64; 6] = [1.0 / 5.0, 3.0 / 10.0, 4.0 / 5.0, 8.0 / 9.0, 1.0, 1.0];
const TABLEAU: [&[f64]; 6] = [
    &[1.0 / 5.0],
    &[3.0 / 40.0, 9.0 / 40.0],
    &[44.0 / 45.0, -56.0 / 15.0, 32.0 / 9.0],
    &[19372.0 / 6561.0, -25360.0 / 2187.0, 64448.0 / 6561.0, -212.0 / 729.0],
    &[9017.0 / 3168.0, -355.0 / 33.0, 46732.0 / 5247.0, 49.0 / 176.0, -5103.0 / 18656.0],
    &[35.0 / 384.0, 0.0, 500.0 / 1113.0, 125.0 / 192.0, -2187.0 / 6784.0, 11.0 / 84.0],
];
/// Fifth minus fourth order.
const ERROR: [f64; 7] = [
    35.0 / 384.0 - 1951.0 / 21600.0,
    0.0,
    500.0 / 1113.0 - 22642.0 / 50085.0,
    125.0 / 192.0 - 451.0 / 720.0,
    -2187.0 / 6784.0 + 12231.0 / 42400.0,
    11.0 / 84.0 - 649.0 / 6300.0,
    -1.0 / 60.0,
];
/// The state in the middle of a step (Shampine 1986).
const MIDDLE: [f64; 7] = [
    6025192743.0 / 30085553152.0 / 2.0,
    0.0,
    51252292925.0 / 65400821598.0 / 2.0,
    -2691868925.0 / 45128329728.0 / 2.0,
    187940372067.0 / 1594534317056.0 / 2.0,
    -1776094331.0 / 19743644256.0 / 2.0,
    11237099.0 / 235043384.0 / 2.0,
];

impl Adaptive {
    /// Root mean square of `value` in units of the tolerance at the larger of two states.
    fn norm(&self, value: impl Fn(usize) -> f64, x: &[f32], y: &[f32]) -> f64 {
        let ratio = |i: usize| {
            let size = (x[i].abs() as f64).max(y[i].abs() as f64);
            value(i) / (self.absolute + self.relative * size)
        };
        ((0..x.len()).map(|i| ratio(i).powi(2)).sum::<f64>() / x.len().max(1) as f64).sqrt()
    }

    /// A first step (Hairer, Norsett and Wanner, II.4).
    fn first_step(&self, x: &[f32], slope: &[f32], field: &mut Counted) -> Result<f64> {
        let size = self.norm(|i| x[i] as f64, x, x);
        let speed = self.norm(|i| slope[i] as f64, x, x);
        let guess = if size < 1e-5 || speed < 1e-5 { 1e-6 } else { 0.01 * size / speed };
        let next = field.velocity(&moved(x, &[(guess, slope)])?, guess)?;
        let bend = self.norm(|i| (next[i] - slope[i]) as f64, x, x) / guess;
        let most = speed.max(bend);
        let step = if most <= 1e-15 { (guess * 1e-3).max(1e-6) } else { (0.01 / most).powf(0.2) };
        Ok(step.min(100.0 * guess))
    }

    fn run(&self, start: Vec<f32>, times: &[f64], field: &mut Counted) -> Result<Vec<Vec<f32>>> {
        const SMALLEST: f64 = 1e-6;
        let (mut x, mut t) = (start, 0.0);
        let mut slope = field.velocity(&x, t)?;
        let mut h = self.first_step(&x, &slope, field)?;
        let mut wanted = times.iter().peekable();
        let mut states = vec![];
        while wanted.next_if(|&&time| time <= 0.0).is_some() {
            states.push(x.clone());
        }
        while wanted.peek().is_some() {
            if !self.past_one {
                h = h.min(1.0 - t);
            }
            let mut stages = vec![slope.clone()];
            let mut next = vec![];
            for (row, node) in TABLEAU.iter().zip(NODES) {
                let terms: Vec<(f64, &[f32])> =
                    row.iter().zip(&stages).map(|(c, k)| (c * h, k.as_slice())).collect();
                next = moved(&x, &terms)?;
                stages.push(field.velocity(&next, t + node * h)?);
            }
            let sum = |weights: &[f64; 7], i: usize| -> f64 {
                weights.iter().zip(&stages).map(|(w, k)| w * k[i] as f64).sum::<f64>() * h
            };
            let error = self.norm(|i| sum(&ERROR, i), &x, &next);
            let accepted = error <= 1.0 || h <= SMALLEST;
            let growth = match error {
                0.0 => 10.0,
                error => (0.9 * error.powf(-0.2)).clamp(if accepted { 1.0 } else { 0.2 }, 10.0),
            };
            if accepted {
                let end = t + h;
                let last = |time: f64| time <= end || (!self.past_one && end >= 1.0 - 1e-12);
                while let Some(&time) = wanted.next_if(|&&time| last(time)) {
                    let u = ((time - t) / h).min(1.0);
                    let middle = |i: usize| x[i] as f64 + sum(&MIDDLE, i);
                    let ends = |i: usize| [x[i] as f64, next[i] as f64];
                    let slopes = |i: usize| [stages[0][i], stages[6][i]].map(|k| h * k as f64);
                    states.push(
                        (0..x.len()).map(|i| quartic(ends(i), middle(i), slopes(i), u) as f32).collect(),
                    );
                }
                (x, t) = (next, end);
                slope = stages.swap_remove(6);
            }
            h *= growth;
        }
        Ok(states)
    }
}

/// At `u` in [0, 1] the polynomial of degree 4 with these values at the ends and in the middle, and these slopes
/// at the ends.
fn quartic([y0, y1]: [f64; 2], middle: f64, [d0, d1]: [f64; 2], u: f64) -> f64 {
    let a = 2.0 * (d1 - d0) - 8.0 * (y1 + y0) + 16.0 * middle;
    let b = 5.0 * d0 - 3.0 * d1 + 18.0 * y0 + 14.0 * y1 - 32.0 * middle;
    let c = d1 - 4.0 * d0 - 11.0 * y0 - 5.0 * y1 + 16.0 * middle;
    (((a * u + b) * u + c) * u + d0) * u + y0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decay(solver: Solver, times: &[f64]) -> (Vec<Vec<f32>>, Effort) {
        let mut field = |x: &[f32], _: f64| Ok(x.iter().map(|v| -v).collect());
        solver.run(vec![1.0, 2.0], times, Path::Linear, &mut field).unwrap()
    }

    #[test]
    fn solvers_have_their_orders() {
        let error = |solver| (decay(solver, &[1.0]).0[0][1] as f64 / 2.0 - (-1.0_f64).exp()).abs();
        for steps in [10, 20] {
            let euler = [Solver::Euler { steps }, Solver::Euler { steps: 2 * steps }].map(error);
            let heun = [Solver::Heun { steps }, Solver::Heun { steps: 2 * steps }].map(error);
            assert!((1.8..2.2).contains(&(euler[0] / euler[1])), "{euler:?}");
            assert!((3.5..4.6).contains(&(heun[0] / heun[1])), "{heun:?}");
        }
        for past_one in [false, true] {
            assert!(error(Solver::Dopri5 { relative: 1e-6, absolute: 1e-9, past_one }) < 1e-5);
        }
    }

    #[test]
    fn states_between_steps_lie_on_the_solution() {
        let times: Vec<f64> = (0..=20).map(|i| i as f64 / 20.0).collect();
        let solver = Solver::Dopri5 { relative: 1e-6, absolute: 1e-9, past_one: false };
        let (states, effort) = decay(solver, &times);
        assert_eq!(states.len(), times.len());
        for (state, t) in states.iter().zip(&times) {
            assert!((state[0] as f64 - (-t).exp()).abs() < 1e-5, "{t}");
        }
        assert!(effort.evaluations < 100);
        assert_eq!(decay(Solver::Euler { steps: 20 }, &times).0.len(), times.len());
    }

    /// Data of one normal distribution: the velocity is known, and the noise of the solver must not change what comes out,
    /// only tear it from where it began.
    #[test]
    fn noise_keeps_the_distribution() {
        let (mean, spread, count) = (1.5, 0.4, 20_000);
        let mut philox = Philox::new(1, 2);
        let begin: Vec<f32> = (0..count).map(|_| philox.normal() as f32).collect();
        for path in [Path::Gvp, Path::Linear] {
            let mut field = |x: &[f32], t: f64| {
                let c = path.at(t);
                let variance = (c.a * spread).powi(2) + c.s * c.s;
                Ok(x.iter()
                    .map(|&x| {
                        let off = (x as f64 - c.a * mean) / variance;
                        let (data, noise) = (mean + c.a * spread * spread * off, c.s * off);
                        (c.a_rate * data + c.s_rate * noise) as f32
                    })
                    .collect())
            };
            let mut end = |solver: Solver| {
                let (states, _) = solver.run(begin.clone(), &[1.0], path, &mut field).unwrap();
                let end: Vec<f64> = states[0].iter().map(|&x| (x as f64 - mean) / spread).collect();
                let n = count as f64;
                let moment = |k: i32| end.iter().map(|x| x.powi(k)).sum::<f64>() / n;
                let product = end.iter().zip(&begin).map(|(x, &b)| x * b as f64).sum::<f64>() / n;
                ([1, 2, 4].map(moment), product)
            };
            let (_, kept) = end(Solver::Heun { steps: 200 });
            let (moments, torn) = end(Solver::Sde { steps: 1000, seed: 3, stream: 4 });
            for (moment, wanted, tolerance) in
                [(moments[0], 0.0, 0.03), (moments[1], 1.0, 0.05), (moments[2], 3.0, 0.3)]
            {
                assert!((moment - wanted).abs() < tolerance, "{path:?}: {moments:?}");
            }
            assert!(kept > 0.97 && torn < 0.7, "{path:?}: {kept} {torn}");
        }
    }

    #[test]
    fn what_is_not_finite_is_an_error() {
        let mut field = |x: &[f32], _: f64| Ok(vec![f32::NAN; x.len()]);
        let outcome = Solver::Euler { steps: 2 }.run(vec![0.0], &[1.0], Path::Gvp, &mut field);
        assert!(outcome.is_err_and(|e| e.to_string().contains("value 0")));
        assert!(Solver::Heun { steps: 0 }.check().is_err());
    }
}
