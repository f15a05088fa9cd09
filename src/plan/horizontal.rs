//! Horizontal fusion: chains of the same rows over different buffers become one launch, whatever their lengths.
//! Such are the updates of an optimiser and of moving averages, one a parameter, and the casts of weights.

use super::{BufferId, Chain, Kernel, Launch, Place, Program, Source};

/// Moves every chain that reads or writes a state up to the last one like it, where nothing in between forbids
/// it. Others stay where they are: what they make would live longer than it has to.
pub fn fuse(program: &mut Program) {
    let mut launches: Vec<Launch> = vec![];
    for launch in std::mem::take(&mut program.launches) {
        match earlier(program, &launches, &launch) {
            Some(at) => join(&mut launches[at], launch),
            None => launches.push(launch),
        }
    }
    for launch in &mut launches {
        if let Kernel::Chains { lengths, .. } = &launch.kernel {
            launch.label += &format!(" and {} more", lengths.len() - 1);
        }
    }
    program.launches = launches;
}

/// The launch that this one can join.
fn earlier(program: &Program, launches: &[Launch], launch: &Launch) -> Option<usize> {
    let Kernel::Chain(chain) = &launch.kernel else { return None };
    let is_state = |&&b: &&BufferId| matches!(program.buffers[b].place, Place::State(_));
    let touches_state = launch.reads.iter().chain(&launch.writes).any(|b| is_state(&b));
    if !touches_state || chain.is_empty() || !is_flat(chain) {
        return None;
    }
    for (at, candidate) in launches.iter().enumerate().rev() {
        if depend(program, candidate, launch) {
            return None;
        }
        let (known, sets) = match &candidate.kernel {
            Kernel::Chain(chain) => (chain, 1),
            Kernel::Chains { chain, lengths } => (chain, lengths.len()),
            Kernel::Special { .. } => continue,
        };
        let types = |buffers: &[BufferId], sets: usize| {
            let first = buffers[..buffers.len() / sets].iter();
            first.map(|&b| program.buffers[b].meta.dtype).collect::<Vec<_>>()
        };
        if is_same(known, chain)
            && types(&candidate.reads, sets) == types(&launch.reads, 1)
            && types(&candidate.writes, sets) == types(&launch.writes, 1)
        {
            return Some(at);
        }
    }
    None
}

/// Element i of every load is element i of a buffer, or always the same.
fn is_flat(chain: &Chain) -> bool {
    let is_constant = |strides: &[isize]| strides.iter().all(|&s| s == 0);
    chain.shape.len() <= 1 && chain.loads.iter().all(|l| chain.is_direct(l) || is_constant(&l.strides))
}

/// Whether two chains, the second of them flat, do the same to each element.
fn is_same(a: &Chain, b: &Chain) -> bool {
    let steps = a.steps.len() == b.steps.len()
        && a.steps
            .iter()
            .zip(&b.steps)
            .all(|(x, y)| std::ptr::eq(x.row, y.row) && x.arguments == y.arguments);
    // A single element is the first and every one.
    let one = a.len() == 1 || b.len() == 1;
    let loads = a.loads.len() == b.loads.len()
        && a.loads.iter().zip(&b.loads).all(|(x, y)| {
            is_same_source(x.source, y.source) && x.offset == y.offset && (one || x.strides == y.strides)
        });
    !a.is_empty() && is_flat(a) && steps && loads && a.stores == b.stores
}

/// To the bit: 0 and -0 are two numbers here.
fn is_same_source(a: Source, b: Source) -> bool {
    match (a, b) {
        (Source::Immediate(a), Source::Immediate(b)) => a.to_bits() == b.to_bits(),
        _ => a == b,
    }
}

/// Whether the second of two launches has to stay behind the first.
fn depend(program: &Program, first: &Launch, second: &Launch) -> bool {
    let alike = |a: BufferId, b: BufferId| {
        let places = (&program.buffers[a].place, &program.buffers[b].place);
        // A state and its next value stand in one place.
        a == b || matches!(places, (Place::State(a), Place::State(b)) if a == b)
    };
    let meet = |a: &[BufferId], b: &[BufferId]| a.iter().any(|&a| b.iter().any(|&b| alike(a, b)));
    meet(&first.writes, &second.reads)
        || meet(&first.writes, &second.writes)
        || meet(&first.reads, &second.writes)
}

/// The chain of the longest set stands for all: its loads say which are of a single element.
fn join(into: &mut Launch, launch: Launch) {
    let Kernel::Chain(added) = launch.kernel else { return };
    let length = added.len();
    let (mut chain, mut lengths) = match &mut into.kernel {
        Kernel::Chain(chain) => (chain.clone(), vec![chain.len()]),
        Kernel::Chains { chain, lengths } => (chain.clone(), std::mem::take(lengths)),
        Kernel::Special { .. } => return,
    };
    if length > chain.len() {
        chain = added;
    }
    lengths.push(length);
    into.kernel = Kernel::Chains { chain, lengths };
    into.reads.extend(launch.reads);
    into.writes.extend(launch.writes);
    into.flop += launch.flop;
}
