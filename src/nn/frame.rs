//! Rigid frames as values of the tape: what is learnt in the frame of a residue, and where it is in space.

use crate::tape::Var;

/// Frames `x -> R x + t`.
#[derive(Clone, Copy)]
pub struct Frames<'t> {
    /// `[.., 3, 3]`
    pub rotation: Var<'t>,
    /// `[.., 3]`
    pub translation: Var<'t>,
}

impl<'t> Frames<'t> {
    /// Points `[.., 3, P]` of the frames, in space.
    #[track_caller]
    pub fn apply(&self, points: Var<'t>) -> Var<'t> {
        self.rotation.matmul(points) + self.origin()
    }

    /// Points `[.., 3, P]` in space, in the frames.
    #[track_caller]
    pub fn invert(&self, points: Var<'t>) -> Var<'t> {
        self.rotation.t_matmul(points - self.origin())
    }

    #[track_caller]
    fn origin(&self) -> Var<'t> {
        let mut shape = self.translation.shape();
        shape.push(1);
        self.translation.reshape(&shape)
    }
}
