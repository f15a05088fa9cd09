//! Elementwise chains: the work of one element is `finish(i, value)`, whether it follows a special's result
//! or stands alone, so a chain of its own is a kernel that does nothing else.

use super::{Language, Pass, Whole, read_indices};
use crate::plan::{Chain, Load, Source};
use crate::tensor::strides;

/// A chain of its own.
pub fn lower(chain: &Chain, reads: &[Whole], writes: &[Whole], language: Language) -> Pass {
    let in_pairs = language.stores_in_pairs() && writes.iter().any(|w| w.dtype.size() < 4);
    let pass = if in_pairs {
        let count = chain.len();
        Pass::new("chain", "pairs", 256, count.div_ceil(512)).size("COUNT", count)
    } else {
        Pass::elements("chain", "single", chain.len())
    };
    attach(pass, chain, reads, writes)
}

/// A chain over several sets of buffers.
pub fn lower_sets(
    chain: &Chain,
    lengths: &[usize],
    reads: &[Whole],
    writes: &[Whole],
    language: Language,
) -> Pass {
    let (r, w) = (reads.len() / lengths.len(), writes.len() / lengths.len());
    let in_pairs = language.stores_in_pairs() && writes[..w].iter().any(|w| w.dtype.size() < 4);
    let pass = Pass::new("chain", if in_pairs { "windows_of_pairs" } else { "windows" }, 256, 0);
    let pass = attach(pass, chain, reads, writes);
    let set = |(at, &len): (usize, &usize)| {
        let loaded = read_indices(chain).into_iter().map(|i| reads[at * r + i].content);
        let stored = chain.stores.iter().map(|s| writes[at * w + s.1].content);
        (loaded.chain(stored).collect(), len)
    };
    pass.over_sets(lengths.iter().enumerate().map(set))
}

/// The chain as the epilogue of a pass: its reads and writes become bindings.
pub fn attach(mut pass: Pass, chain: &Chain, reads: &[Whole], writes: &[Whole]) -> Pass {
    for r in read_indices(chain) {
        pass = pass.reads(&format!("r{r}"), reads[r]);
    }
    for &(_, w) in &chain.stores {
        pass = pass.writes(&format!("w{w}"), writes[w]);
    }
    pass.epilogue = Some(chain.clone());
    pass
}

/// What was to happen to `values` as they were made, done afterwards: the epilogue, or a conversion.
pub fn after(
    epilogue: Option<&Chain>,
    values: Whole,
    reads: &[Whole],
    writes: &[Whole],
    language: Language,
) -> Pass {
    let mut chain = epilogue.cloned().unwrap_or_else(|| {
        let load = Load { source: Source::Result, offset: 0, strides: strides(&[values.len]) };
        Chain { shape: vec![values.len], loads: vec![load], steps: vec![], stores: vec![(0, 0)] }
    });
    for load in &mut chain.loads {
        if load.source == Source::Result {
            load.source = Source::Read(reads.len());
        }
    }
    let reads: Vec<Whole> = reads.iter().copied().chain([values]).collect();
    lower(&chain, &reads, writes, language)
}
