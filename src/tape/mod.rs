//! The tape: a training step recorded once. Nothing is computed here and nothing here knows a device.
//!
//! Layers call methods on [`Var`]s; each call appends one [`Node`]. `grad` appends the adjoint nodes to the
//! same tape, so a whole step (loss, derivative, optimiser, metrics) is one list that `plan` turns into
//! launches. A mistake in a shape is latched: the first one is kept with the operation, the shapes, the layer
//! and the line that recorded it, later calls go on with a placeholder, and [`Tape::check`] (which the plan
//! calls) reports it. That keeps layer code free of error plumbing without a panic.

mod grad;
mod var;
pub mod view;

use std::cell::RefCell;
use std::ops::Range;
use std::panic::Location;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::ops::Operation;
use crate::ops::row::Row;
use crate::tensor::{DType, Meta, Tensor};
pub use var::Var;
use view::View;

pub type NodeId = usize;

#[derive(Clone, Debug)]
pub enum Op {
    /// Fed before each replay.
    Input(String),
    /// Kept between replays, shared between plans by name: parameters, moments, counters.
    State(String),
    Constant(Arc<Tensor>),
    Row(&'static Row),
    View(View),
    /// The same elements in order under another shape.
    Reshape,
    /// To the node's element type.
    Cast,
    Special(Arc<dyn Operation>),
}

impl Op {
    pub fn name(&self) -> String {
        match self {
            Op::Input(name) => format!("input {name}"),
            Op::State(name) => format!("state {name}"),
            Op::Constant(_) => "constant".into(),
            Op::Row(row) => row.name.into(),
            Op::View(View::Permute(_)) => "permute".into(),
            Op::View(View::Expand(_)) => "expand".into(),
            Op::View(View::Slice { .. }) => "slice".into(),
            Op::Reshape => "reshape".into(),
            Op::Cast => "cast".into(),
            Op::Special(op) => op.stem().into(),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Node {
    pub op: Op,
    pub inputs: Vec<NodeId>,
    pub meta: Meta,
    /// The layers around the call, as `decoder.block2`.
    pub module: Arc<str>,
    pub caller: &'static Location<'static>,
    /// 0, or which recomputation of earlier nodes it belongs to: its value is made anew, not shared with theirs.
    pub again: usize,
}

impl Node {
    /// `decoder.block2: matmul f32[8, 64] (src/nn/linear.rs:20)`
    pub fn describe(&self) -> String {
        let module = if self.module.is_empty() { String::new() } else { format!("{}: ", self.module) };
        format!("{module}{} {} ({}:{})", self.op.name(), self.meta, self.caller.file(), self.caller.line())
    }
}

/// How a state starts when the store does not have it yet.
#[derive(Clone, PartialEq, Debug)]
pub enum Init {
    Zeros,
    /// The value that another state of the store has then.
    Copy(String),
    Constant(f32),
    /// Uniform in [-bound, bound].
    Uniform(f32),
    /// Normal with this standard deviation.
    Normal(f32),
    /// These, in order; zeros behind them.
    Given(Arc<[f32]>),
}

/// A state declared on a tape.
#[derive(Clone, Debug)]
pub struct State {
    pub name: String,
    pub meta: Meta,
    pub init: Init,
    pub node: NodeId,
    /// The node whose value the state takes at the end of a replay.
    pub next: Option<NodeId>,
}

#[derive(Default)]
struct Inner {
    nodes: Vec<Node>,
    states: Vec<State>,
    scopes: Vec<String>,
    module: Option<Arc<str>>,
    /// Nodes whose values a derivative makes anew.
    recomputed: Vec<Range<NodeId>>,
    mistake: Option<String>,
}

#[derive(Default)]
pub struct Tape {
    inner: RefCell<Inner>,
}

impl Tape {
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `record` with `name` appended to the module path.
    pub fn scope<T>(&self, name: impl Into<String>, record: impl FnOnce() -> T) -> T {
        {
            let mut inner = self.inner.borrow_mut();
            inner.scopes.push(name.into());
            inner.module = None;
        }
        let result = record();
        let mut inner = self.inner.borrow_mut();
        inner.scopes.pop();
        inner.module = None;
        result
    }

    /// What `record` records is computed anew where a derivative needs it, from the values that came in: nothing in
    /// between is kept from the one time to the other.
    pub fn recomputed<T>(&self, record: impl FnOnce() -> T) -> T {
        let start = self.len();
        let result = record();
        let mut inner = self.inner.borrow_mut();
        let end = inner.nodes.len();
        inner.recomputed.retain(|within| within.start < start);
        inner.recomputed.push(start..end);
        result
    }

    /// The current module path with `name` appended: how parameters are called.
    pub fn path(&self, name: &str) -> String {
        let inner = self.inner.borrow();
        inner.scopes.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(".")
    }

    #[track_caller]
    pub fn input(&self, name: &str, shape: &[usize], dtype: DType) -> Var<'_> {
        self.push(Op::Input(name.into()), vec![], Meta::new(shape, dtype))
    }

    #[track_caller]
    pub fn constant(&self, tensor: Tensor) -> Var<'_> {
        let meta = tensor.meta();
        self.push(Op::Constant(Arc::new(tensor)), vec![], meta)
    }

    #[track_caller]
    pub fn scalar(&self, value: f32) -> Var<'_> {
        self.constant(Tensor::scalar(value))
    }

    /// The state called `name` below the current module path; declared once, found again later.
    #[track_caller]
    pub fn state(&self, name: &str, shape: &[usize], init: Init) -> Var<'_> {
        self.state_of(&self.path(name), Meta::f32(shape), init)
    }

    /// As [`Tape::state`], under its full name and with any element type.
    #[track_caller]
    pub fn state_of(&self, name: &str, meta: Meta, init: Init) -> Var<'_> {
        let found = self.inner.borrow().states.iter().find(|s| s.name == name).cloned();
        if let Some(state) = found {
            if state.meta != meta {
                self.mistake(format!("state {name} is declared as {} and as {meta}", state.meta));
            }
            return Var { tape: self, id: state.node };
        }
        let var = self.push(Op::State(name.into()), vec![], meta.clone());
        let state = State { name: name.into(), meta, init, node: var.id, next: None };
        self.inner.borrow_mut().states.push(state);
        var
    }

    /// `state` takes the value of `next` at the end of each replay; within it, it keeps the old one.
    #[track_caller]
    pub fn assign(&self, state: Var<'_>, next: Var<'_>) {
        if self.is_mistaken() {
            return;
        }
        let (have, want) = (next.meta(), state.meta());
        let mut inner = self.inner.borrow_mut();
        let declared = inner.states.iter_mut().find(|s| s.node == state.id);
        match declared {
            Some(declared) if have == want => declared.next = Some(next.id),
            other => {
                let name = other.map_or("a value that is no state".into(), |s| s.name.clone());
                inner.mistake.get_or_insert(format!("assign: {name} is {want} and cannot take {have}"));
            }
        }
    }

    pub fn states(&self) -> Vec<State> {
        self.inner.borrow().states.clone()
    }

    pub fn nodes(&self) -> Vec<Node> {
        self.inner.borrow().nodes.clone()
    }

    pub fn len(&self) -> usize {
        self.inner.borrow().nodes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first mistake made while recording, if any.
    pub fn check(&self) -> Result<()> {
        match &self.inner.borrow().mistake {
            Some(text) => Err(Error::Shape(text.clone())),
            None => Ok(()),
        }
    }

    pub(crate) fn var(&self, id: NodeId) -> Var<'_> {
        Var { tape: self, id }
    }

    fn is_mistaken(&self) -> bool {
        self.inner.borrow().mistake.is_some()
    }

    pub(crate) fn mistake(&self, text: String) {
        let module = self.module();
        let place = if module.is_empty() { String::new() } else { format!("{module}: ") };
        self.inner.borrow_mut().mistake.get_or_insert(format!("{place}{text}"));
    }

    fn module(&self) -> Arc<str> {
        let mut inner = self.inner.borrow_mut();
        let path = match &inner.module {
            Some(path) => path.clone(),
            None => inner.scopes.join(".").into(),
        };
        inner.module = Some(path.clone());
        path
    }

    #[track_caller]
    pub(crate) fn push(&self, op: Op, inputs: Vec<NodeId>, meta: Meta) -> Var<'_> {
        let (module, caller) = (self.module(), Location::caller());
        let mut inner = self.inner.borrow_mut();
        inner.nodes.push(Node { op, inputs, meta, module, caller, again: 0 });
        Var { tape: self, id: inner.nodes.len() - 1 }
    }

    /// Appends a node whose shape `infer` finds from its inputs, or latches what is wrong.
    #[track_caller]
    pub(crate) fn record(
        &self,
        op: Op,
        inputs: &[Var<'_>],
        infer: impl FnOnce(&[Meta]) -> Result<Meta, String>,
    ) -> Var<'_> {
        let metas: Vec<Meta> = inputs.iter().map(|v| v.meta()).collect();
        // Taken here: within the closure it would be this file.
        let caller = Location::caller();
        let meta = if self.is_mistaken() { Err(String::new()) } else { infer(&metas) };
        let meta = meta.unwrap_or_else(|problem| {
            let shapes: Vec<String> = metas.iter().map(|m| m.to_string()).collect();
            self.mistake(format!(
                "{} of {}: {problem} ({}:{})",
                op.name(),
                shapes.join(" and "),
                caller.file(),
                caller.line()
            ));
            metas.first().cloned().unwrap_or(Meta::f32(&[]))
        });
        self.push(op, inputs.iter().map(|v| v.id).collect(), meta)
    }

    #[track_caller]
    pub fn special(&self, op: impl Operation, inputs: &[Var<'_>]) -> Var<'_> {
        let op: Arc<dyn Operation> = Arc::new(op);
        self.record(Op::Special(op.clone()), inputs, |metas| op.infer(metas))
    }

    #[track_caller]
    pub fn row(&self, row: &'static Row, inputs: &[Var<'_>]) -> Var<'_> {
        self.record(Op::Row(row), inputs, |metas| row_meta(row, metas))
    }
}

fn row_meta(row: &Row, inputs: &[Meta]) -> Result<Meta, String> {
    if inputs.len() != row.arity() {
        return Err(format!("{} takes {} arguments", row.name, row.arity()));
    }
    if inputs.iter().any(|m| !m.dtype.is_float()) {
        return Err("rows compute in f32: cast i32 arguments first".into());
    }
    let mut shape = vec![];
    for meta in inputs {
        shape = view::broadcast_shape(&shape, &meta.shape).ok_or("the shapes do not broadcast")?;
    }
    // Scalars do not decide the element type, so that x * 0.5 stays what x is.
    let half = inputs.iter().filter(|m| m.rank() > 0).map(|m| m.dtype);
    let dtype = half.reduce(|a, b| if a == b { a } else { DType::F32 }).unwrap_or(inputs[0].dtype);
    Ok(Meta { shape, dtype })
}
