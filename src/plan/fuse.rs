//! From nodes to launches: which elementwise nodes join, which chains become epilogues, what is stored.
//!
//! Every elementwise node belongs to a group named after its last member, the root; the group is launched
//! where the root stands. A node joins the group of its readers when all of them are in one group and read
//! it element by element. Views never compute: a row reads through them from a stored value.

use std::collections::HashMap;
use std::sync::Arc;

use super::graph::Graph;
use super::{Buffer, BufferId, Chain, ChainStep, Kernel, Launch, Load, Options, Place, Program, Source};
use crate::ops::Operation;
use crate::tape::view::{View, broadcast_strides};
use crate::tape::{NodeId, Op};
use crate::tensor::{DType, strides};

/// Scratch of a chain stays in a first-level cache.
const MOST_STEPS: usize = 24;
const MOST_LOADS: usize = 12;

pub fn lower(graph: &Graph, options: Options) -> Program {
    let groups = group(graph, options.fuse);
    let mut lowering = Lowering {
        graph,
        groups,
        program: Program {
            buffers: vec![],
            launches: vec![],
            inputs: vec![],
            states: vec![],
            outputs: vec![],
            arena_bytes: 0,
            tf32: options.tf32,
        },
        buffer_of: HashMap::new(),
        fuse: options.fuse,
    };
    lowering.run();
    lowering.program
}

/// Chains compute: rows, casts, and views that nobody can read through.
fn is_elementwise(op: &Op) -> bool {
    matches!(op, Op::Row(_) | Op::Cast | Op::View(_))
}

/// Where a chain member is evaluated: the root of its group.
struct Groups {
    root: Vec<Option<NodeId>>,
    /// Special nodes evaluated inside the group of this root.
    epilogue_of: HashMap<NodeId, NodeId>,
    /// Roots of groups evaluated inside this special.
    prologue_of: HashMap<NodeId, NodeId>,
    /// Specials whose launch makes the results of others of the same inputs too, in this order.
    joined: HashMap<NodeId, (Arc<dyn Operation>, Vec<NodeId>)>,
    /// Specials and roots that are launched by another node.
    absorbed: Vec<bool>,
}

impl Groups {
    fn members(&self, graph: &Graph, root: NodeId) -> Vec<NodeId> {
        (0..=root).filter(|&m| self.root[m] == Some(root) && graph.live[m]).collect()
    }

    /// Whether a group's member is needed outside.
    fn is_stored(&self, graph: &Graph, member: NodeId) -> bool {
        let is_outside = |&reader: &NodeId| self.root[reader] != self.root[member];
        self.root[member] == Some(member)
            || graph.is_kept(member)
            || graph.consumers[member].iter().any(is_outside)
    }
}

fn group(graph: &Graph, fuse: bool) -> Groups {
    let n = graph.nodes.len();
    let mut root: Vec<Option<NodeId>> = vec![None; n];
    let mut size: HashMap<NodeId, usize> = HashMap::new();
    let mut loads: HashMap<NodeId, usize> = HashMap::new();
    for id in (0..n).rev().filter(|&id| graph.live[id] && is_elementwise(&graph.nodes[id].op)) {
        let node = &graph.nodes[id];
        let arity = node.inputs.len();
        let candidate =
            if fuse { single_root(graph, &root, id).or(cast_behind(graph, &root, id)) } else { None };
        let joined = candidate.filter(|r| {
            graph.nodes[*r].meta.shape == node.meta.shape
                && graph.consumers[id]
                    .iter()
                    .all(|&c| root[c] != Some(*r) || graph.nodes[c].meta.shape == node.meta.shape)
                && size[r] < MOST_STEPS
                && loads[r] + arity <= MOST_LOADS
        });
        let is_view = matches!(node.op, Op::View(_));
        let to_integer = node.meta.dtype == DType::I32;
        match joined {
            Some(r) if !is_view && !to_integer => {
                root[id] = Some(r);
                *size.entry(r).or_default() += 1;
                // Its value was one load of the group and now is `arity` others.
                *loads.entry(r).or_default() += arity.saturating_sub(1);
            }
            _ => {
                root[id] = Some(id);
                size.insert(id, 1);
                loads.insert(id, arity);
            }
        }
    }
    let mut groups = Groups {
        root,
        epilogue_of: HashMap::new(),
        prologue_of: HashMap::new(),
        joined: HashMap::new(),
        absorbed: vec![false; n],
    };
    if fuse {
        join_specials(graph, &mut groups);
        absorb_specials(graph, &mut groups);
        absorb_groups(graph, &mut groups);
    }
    groups
}

/// The one group that all readers belong to, if they are rows or casts of one group.
fn single_root(graph: &Graph, root: &[Option<NodeId>], id: NodeId) -> Option<NodeId> {
    let mut readers = graph.consumers[id].iter().map(|&c| match graph.nodes[c].op {
        Op::Row(_) | Op::Cast if graph.nodes[c].meta.dtype.is_float() => root[c],
        _ => None,
    });
    let first = readers.next()??;
    readers.all(|r| r == Some(first)).then_some(first)
}

/// The cast directly behind a node, which has readers besides: they all come later, so the node's value can be
/// stored together with what it is cast to.
fn cast_behind(graph: &Graph, root: &[Option<NodeId>], id: NodeId) -> Option<NodeId> {
    let next = graph.consumers[id].first().copied().filter(|&c| c == id + 1)?;
    let is_cast = matches!(graph.nodes[next].op, Op::Cast) && graph.nodes[next].meta.dtype.is_float();
    (is_cast && root[next] == Some(next)).then_some(next)
}

/// A special whose result only one group reads, element by element, runs that group as its epilogue.
fn absorb_specials(graph: &Graph, groups: &mut Groups) {
    for id in 0..graph.nodes.len() {
        let node = &graph.nodes[id];
        let Op::Special(op) = &node.op else { continue };
        if !graph.live[id] || !op.takes_epilogue() || graph.is_kept(id) || node.meta.dtype != DType::F32 {
            continue;
        }
        let Some(root) = single_root(graph, &groups.root, id) else { continue };
        let same_shape = graph.nodes[root].meta.shape == node.meta.shape
            && graph.consumers[id].iter().all(|&c| graph.nodes[c].meta.shape == node.meta.shape);
        // An optimiser's chain stands at the end of the tape: a product run there would keep its factors
        // alive through the whole backward pass.
        let members = (0..=root).filter(|&m| groups.root[m] == Some(root));
        let updates_state = members.into_iter().any(|m| graph.states.iter().any(|s| s.next == Some(m)));
        if same_shape && !updates_state && !groups.epilogue_of.contains_key(&root) {
            groups.epilogue_of.insert(root, id);
            groups.absorbed[id] = true;
        }
    }
}

/// Specials of the same inputs that are one launch, where the first of them stands.
fn join_specials(graph: &Graph, groups: &mut Groups) {
    for id in (0..graph.nodes.len()).filter(|&id| graph.live[id]) {
        let node = &graph.nodes[id];
        let (Op::Special(own), Some(&input), false) = (&node.op, node.inputs.first(), groups.absorbed[id])
        else {
            continue;
        };
        let mut joined: (Arc<dyn Operation>, Vec<NodeId>) = (own.clone(), vec![]);
        for &other in graph.consumers[input].iter().filter(|&&other| other > id) {
            let Op::Special(op) = &graph.nodes[other].op else { continue };
            if graph.nodes[other].inputs != node.inputs || joined.1.contains(&other) {
                continue;
            }
            if let Some(op) = joined.0.join(op.as_ref()) {
                joined.0 = op;
                joined.1.push(other);
                groups.absorbed[other] = true;
            }
        }
        if !joined.1.is_empty() {
            groups.joined.insert(id, joined);
        }
    }
}

/// A group whose value only one special reads, which takes it as it is made, is evaluated there. Its other
/// members must not be needed elsewhere.
fn absorb_groups(graph: &Graph, groups: &mut Groups) {
    for id in (0..graph.nodes.len()).filter(|&id| graph.live[id]) {
        let Op::Special(op) = &graph.nodes[id].op else { continue };
        let [input] = graph.nodes[id].inputs[..] else { continue };
        let root = graph.storage(input);
        let is_only_reader = {
            let mut at = input;
            let mut reader = id;
            loop {
                if graph.consumers[at] != [reader] || graph.is_kept(at) {
                    break false;
                }
                if at == root {
                    break true;
                }
                (reader, at) = (at, graph.nodes[at].inputs[0]);
            }
        };
        let is_chain = groups.root[root] == Some(root)
            && matches!(graph.nodes[root].op, Op::Row(_) | Op::Cast)
            && graph.nodes[root].meta.dtype == DType::F32
            && !graph.nodes[root].meta.is_empty()
            && !groups.epilogue_of.contains_key(&root);
        let is_closed = |m: NodeId| m == root || !groups.is_stored(graph, m);
        if op.takes_prologue()
            && is_only_reader
            && is_chain
            && groups.members(graph, root).into_iter().all(is_closed)
        {
            groups.prologue_of.insert(id, root);
            groups.absorbed[root] = true;
        }
    }
}

struct Lowering<'g> {
    graph: &'g Graph,
    groups: Groups,
    program: Program,
    buffer_of: HashMap<NodeId, BufferId>,
    fuse: bool,
}

/// A chain under construction.
struct Builder {
    shape: Vec<usize>,
    loads: Vec<Load>,
    steps: Vec<(&'static crate::ops::row::Row, Vec<Slot>)>,
    reads: Vec<BufferId>,
    slot_of: HashMap<NodeId, Slot>,
}

#[derive(Clone, Copy, PartialEq)]
enum Slot {
    Load(usize),
    Step(usize),
}

impl Lowering<'_> {
    fn run(&mut self) {
        for id in 0..self.graph.nodes.len() {
            if !self.graph.live[id] {
                continue;
            }
            match &self.graph.nodes[id].op {
                Op::Input(name) => {
                    let place = Place::Input(self.program.inputs.len());
                    let buffer = self.add_buffer(id, place);
                    self.program.inputs.push((name.clone(), buffer));
                }
                Op::State(_) => self.add_state(id),
                Op::Constant(tensor) => {
                    let place = Place::Constant(tensor.clone());
                    self.add_buffer(id, place);
                }
                Op::Reshape => {}
                Op::Special(_) if self.groups.absorbed[id] => {}
                Op::Special(_) => self.launch_special(id),
                Op::Row(_) | Op::Cast => {
                    if self.groups.root[id] == Some(id) && !self.groups.absorbed[id] {
                        self.launch_group(id);
                    }
                }
                Op::View(_) => {
                    let read_through = self.fuse
                        && !self.graph.is_kept(id)
                        && self.graph.consumers[id].iter().all(|&c| is_elementwise(&self.graph.nodes[c].op));
                    if !read_through {
                        self.launch_group(id);
                    }
                }
            }
        }
        // A state that is only assigned, never read.
        for state in self.graph.states.clone() {
            if !self.buffer_of.contains_key(&state.node) {
                self.add_state(state.node);
            }
        }
        self.keep_outputs();
        self.update_states();
    }

    fn add_buffer(&mut self, id: NodeId, place: Place) -> BufferId {
        self.program.buffers.push(Buffer { meta: self.graph.nodes[id].meta.clone(), place });
        let buffer = self.program.buffers.len() - 1;
        self.buffer_of.insert(id, buffer);
        buffer
    }

    fn add_state(&mut self, id: NodeId) {
        if let Some(state) = self.graph.states.iter().find(|s| s.node == id).cloned() {
            let place = Place::State(self.program.states.len());
            let buffer = self.add_buffer(id, place);
            self.program.states.push((state, buffer));
        }
    }

    fn buffer(&self, id: NodeId) -> BufferId {
        self.buffer_of[&self.graph.storage(id)]
    }

    fn launch_special(&mut self, id: NodeId) {
        let (reads, prologue) = match self.groups.prologue_of.get(&id).copied() {
            Some(root) => {
                let mut builder = self.build(root, None);
                let value = builder.slot_of[&root];
                (std::mem::take(&mut builder.reads), Some(builder.finish(vec![(value, 0)])))
            }
            None => (self.graph.nodes[id].inputs.iter().map(|&i| self.buffer(i)).collect(), None),
        };
        let steps = prologue.as_ref().map_or(0, |chain| chain.steps.len() * chain.len());
        let mut kernel = self.special_kernel(id, prologue, None);
        let mut writes = vec![self.add_buffer(id, Place::Arena(0))];
        if let (Some((joined, others)), Kernel::Special { op, .. }) =
            (self.groups.joined.remove(&id), &mut kernel)
        {
            *op = joined;
            writes.extend(others.into_iter().map(|other| self.add_buffer(other, Place::Arena(0))));
        }
        let label = self.graph.nodes[id].describe();
        let flop = self.special_flop(id) + steps as u64;
        self.program.launches.push(Launch { kernel, reads, writes, label, flop });
    }

    fn special_kernel(&self, id: NodeId, prologue: Option<Chain>, epilogue: Option<Chain>) -> Kernel {
        let node = &self.graph.nodes[id];
        let Op::Special(op) = &node.op else { unreachable!("only specials are lowered here") };
        let inputs = node.inputs.iter().map(|&i| self.graph.nodes[i].meta.clone()).collect();
        Kernel::Special { op: op.clone(), inputs, result: node.meta.clone(), prologue, epilogue }
    }

    fn special_flop(&self, id: NodeId) -> u64 {
        let node = &self.graph.nodes[id];
        let inputs: Vec<_> = node.inputs.iter().map(|&i| self.graph.nodes[i].meta.clone()).collect();
        match &node.op {
            Op::Special(op) => op.flop(&inputs, &node.meta),
            _ => 0,
        }
    }

    /// The chain of a group, evaluated behind `special` if there is one.
    fn build(&self, root: NodeId, special: Option<NodeId>) -> Builder {
        let mut builder = Builder {
            shape: self.graph.nodes[root].meta.shape.clone(),
            loads: vec![],
            steps: vec![],
            reads: match special {
                Some(id) => self.graph.nodes[id].inputs.iter().map(|&i| self.buffer(i)).collect(),
                None => vec![],
            },
            slot_of: HashMap::new(),
        };
        for member in self.groups.members(self.graph, root) {
            let node = &self.graph.nodes[member];
            let slot = match &node.op {
                Op::Row(row) => {
                    let arguments =
                        node.inputs.iter().map(|&i| self.argument(&mut builder, i, special)).collect();
                    builder.steps.push((row, arguments));
                    Slot::Step(builder.steps.len() - 1)
                }
                // Conversion happens at loads and stores.
                Op::Cast => self.argument(&mut builder, node.inputs[0], special),
                _ => self.read_through(&mut builder, member),
            };
            builder.slot_of.insert(member, slot);
        }
        builder
    }

    fn launch_group(&mut self, root: NodeId) {
        let special = self.groups.epilogue_of.get(&root).copied();
        let mut builder = self.build(root, special);
        let mut stores = vec![];
        let mut writes = vec![];
        for member in self.groups.members(self.graph, root) {
            if self.groups.is_stored(self.graph, member) {
                stores.push((builder.slot_of[&member], writes.len()));
                writes.push(self.add_buffer(member, Place::Arena(0)));
            }
        }
        let flop = special.map_or(0, |id| self.special_flop(id))
            + (builder.steps.len() * len(&builder.shape)) as u64;
        let reads = std::mem::take(&mut builder.reads);
        let chain = builder.finish(stores);
        let kernel = match special {
            Some(id) => self.special_kernel(id, None, Some(chain)),
            None => Kernel::Chain(chain),
        };
        let label = self.graph.nodes[root].describe();
        self.program.launches.push(Launch { kernel, reads, writes, label, flop });
    }

    fn argument(&self, builder: &mut Builder, id: NodeId, special: Option<NodeId>) -> Slot {
        if let Some(&slot) = builder.slot_of.get(&id) {
            return slot;
        }
        if special == Some(id) {
            let strides = strides(&builder.shape);
            return builder.load(Load { source: Source::Result, offset: 0, strides });
        }
        self.read_through(builder, id)
    }

    /// A load of a stored value through the views and the broadcast in between.
    fn read_through(&self, builder: &mut Builder, id: NodeId) -> Slot {
        let shape = builder.shape.clone();
        let own = &self.graph.nodes[id].meta.shape;
        let mut pattern = broadcast_strides(own, &shape);
        let mut offset = 0;
        let mut at = id;
        while let Op::View(view) = &self.graph.nodes[at].op {
            if self.buffer_of.contains_key(&at) {
                break;
            }
            let from = self.graph.nodes[at].inputs[0];
            (offset, pattern) = compose(
                view,
                &self.graph.nodes[from].meta.shape,
                &self.graph.nodes[at].meta.shape,
                offset,
                &pattern,
            );
            at = from;
        }
        if let Op::Constant(tensor) = &self.graph.nodes[self.graph.storage(at)].op
            && tensor.len() == 1
        {
            let source = Source::Immediate(tensor.to_f32()[0]);
            return builder.load(Load { source, offset: 0, strides: vec![0; shape.len()] });
        }
        let read = builder.read(self.buffer(at));
        builder.load(Load { source: Source::Read(read), offset, strides: pattern })
    }

    /// Outputs that stand in a buffer which is not the step's own are copied out of it.
    fn keep_outputs(&mut self) {
        for (name, id) in self.graph.outputs.clone() {
            let held = self.buffer(id);
            let buffer = match self.program.buffers[held].place {
                Place::Arena(_) => held,
                _ => self.copy(held, None),
            };
            self.program.outputs.push((name, buffer));
        }
    }

    /// Next values go straight into the state's buffer where nothing later reads the old one, else by a copy
    /// at the end.
    fn update_states(&mut self) {
        let mut late = vec![];
        let mut computed = vec![];
        // Values that stand in another state or an input are taken before anything is written.
        for at in 0..self.program.states.len() {
            let (state, state_buffer) = self.program.states[at].clone();
            let Some(value) = state.next.map(|next| self.buffer(next)) else { continue };
            if let Place::Arena(_) = self.program.buffers[value].place {
                computed.push((at, value, state_buffer));
            } else if value != state_buffer {
                late.push((self.copy(value, None), state_buffer));
            }
        }
        for (at, value, state_buffer) in computed {
            let is_output = self.program.outputs.iter().any(|o| o.1 == value);
            // Two states may take one value.
            let placed = matches!(self.program.buffers[value].place, Place::Arena(_));
            if placed && !is_output && self.may_write_in_place(value, state_buffer) {
                self.program.buffers[value].place = Place::State(at);
            } else {
                late.push((value, state_buffer));
            }
        }
        for (value, state_buffer) in late {
            self.copy(value, Some(state_buffer));
        }
    }

    fn may_write_in_place(&self, value: BufferId, state: BufferId) -> bool {
        let launches = &self.program.launches;
        let Some(writer) = launches.iter().position(|l| l.writes.contains(&value)) else { return false };
        if launches[writer + 1..].iter().any(|l| l.reads.contains(&state)) {
            return false;
        }
        match &launches[writer].kernel {
            Kernel::Chain(chain) => chain.loads.iter().all(|load| match load.source {
                Source::Read(r) if launches[writer].reads[r] == state => chain.is_direct(load),
                _ => true,
            }),
            Kernel::Chains { .. } | Kernel::Special { .. } => !launches[writer].reads.contains(&state),
        }
    }

    fn copy(&mut self, from: BufferId, into: Option<BufferId>) -> BufferId {
        let meta = self.program.buffers[from].meta.clone();
        let to = into.unwrap_or_else(|| {
            self.program.buffers.push(Buffer { meta: meta.clone(), place: Place::Arena(0) });
            self.program.buffers.len() - 1
        });
        let load = Load { source: Source::Read(0), offset: 0, strides: strides(&[meta.len()]) };
        let chain = Chain { shape: vec![meta.len()], loads: vec![load], steps: vec![], stores: vec![(0, 0)] };
        self.program.launches.push(Launch {
            kernel: Kernel::Chain(chain),
            reads: vec![from],
            writes: vec![to],
            label: "copy".into(),
            flop: 0,
        });
        to
    }
}

impl Builder {
    fn load(&mut self, load: Load) -> Slot {
        let at = self.loads.iter().position(|l| *l == load).unwrap_or_else(|| {
            self.loads.push(load);
            self.loads.len() - 1
        });
        Slot::Load(at)
    }

    fn read(&mut self, buffer: BufferId) -> usize {
        self.reads.iter().position(|&b| b == buffer).unwrap_or_else(|| {
            self.reads.push(buffer);
            self.reads.len() - 1
        })
    }

    fn finish(self, stores: Vec<(Slot, usize)>) -> Chain {
        let count = self.loads.len();
        let number = |slot: Slot| match slot {
            Slot::Load(i) => i,
            Slot::Step(i) => count + i,
        };
        let steps = self
            .steps
            .into_iter()
            .map(|(row, arguments)| ChainStep { row, arguments: arguments.into_iter().map(number).collect() })
            .collect();
        let stores = stores.into_iter().map(|(slot, at)| (number(slot), at)).collect();
        let mut chain = Chain { shape: self.shape, loads: self.loads, steps, stores };
        chain.collapse();
        chain
    }
}

/// The pattern over a view's input, given one over the view itself (offset and strides in elements of the
/// contiguous view, one stride an axis of the reader).
fn compose(
    view: &View,
    from: &[usize],
    to: &[usize],
    offset: isize,
    pattern: &[isize],
) -> (isize, Vec<isize>) {
    let meta = crate::tensor::Meta::f32(from);
    let (start, steps) = view.pattern(&meta);
    let own = strides(to);
    // An offset or stride in the view's elements is a step of so many along each of its axes.
    let along = |mut distance: isize| -> isize {
        let mut total = 0;
        let negative = distance < 0;
        distance = distance.abs();
        for axis in 0..to.len() {
            let count = if own[axis] == 0 { 0 } else { distance / own[axis] };
            distance -= count * own[axis];
            total += count * steps[axis];
        }
        if negative { -total } else { total }
    };
    (start + along(offset), pattern.iter().map(|&p| along(p)).collect())
}

fn len(shape: &[usize]) -> usize {
    shape.iter().product()
}
