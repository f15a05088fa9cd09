//! Loss scaling (Micikevicius et al. 2018): gradients that would vanish in f16 are kept by a large factor on
//! the loss. A step whose gradients are not finite is left out and halves the factor; many good ones in a row
//! double it. All of it is nodes and states of the step, so a run resumes to the same bits.

use crate::ops::rows;
use crate::ops::sum_squares::SumSquares;
use crate::tape::{Init, Tape, Var};

#[derive(Clone, Copy, PartialEq, Debug)]
pub struct LossScale {
    /// A power of two, so that scaling rounds nothing.
    pub start: f32,
    /// Good steps in a row after which it doubles.
    pub patience: u32,
}

impl Default for LossScale {
    fn default() -> Self {
        LossScale { start: 65536.0, patience: 2000 }
    }
}

/// Names of the factor and of the count of good steps in the store.
pub const STATES: [&str; 2] = ["loss_scale.factor", "loss_scale.good_steps"];

impl LossScale {
    fn states<'t>(&self, tape: &'t Tape) -> [Var<'t>; 2] {
        let state =
            |name: &str, value| tape.state_of(name, crate::tensor::Meta::f32(&[]), Init::Constant(value));
        [state(STATES[0], self.start), state(STATES[1], 0.0)]
    }

    /// The gradients of `loss`, taken of the scaled one.
    #[track_caller]
    pub fn gradients<'t>(&self, tape: &'t Tape, loss: Var<'t>, by: &[Var<'t>]) -> Vec<Var<'t>> {
        let [factor, _] = self.states(tape);
        let back = factor.reciprocal();
        tape.grad(loss * factor, by).into_iter().map(|g| g * back).collect()
    }

    /// Every state assigned so far keeps its value in a step whose `gradients` are not finite. To be recorded
    /// behind the optimiser and the moving averages.
    #[track_caller]
    pub fn guard<'t>(&self, tape: &'t Tape, gradients: &[Var<'t>]) {
        let is_good = tape.special(SumSquares, gradients).row(&rows::finite, &[]);
        for state in tape.states() {
            if let Some(next) = state.next {
                let held = tape.var(state.node);
                tape.assign(held, is_good.choose(tape.var(next), held));
            }
        }
        let [factor, good_steps] = self.states(tape);
        let number = |value| tape.scalar(value);
        let good = is_good * good_steps.add_scalar(1.0);
        let has_patience = number(self.patience as f32).greater(good);
        let grown = has_patience.choose(number(1.0), number(2.0));
        let next = (factor * is_good.choose(grown, number(0.5))).maximum(number(1.0));
        tape.assign(factor, next.minimum(number(16_777_216.0)));
        tape.assign(good_steps, good * has_patience);
    }
}
