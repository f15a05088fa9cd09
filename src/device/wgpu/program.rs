//! A program on the device: where its buffers stand, its pipelines, and the pass that replays it.

use std::collections::VecDeque;
use std::sync::Arc;

use ::wgpu::{
    BindGroup, BindGroupDescriptor, BindGroupEntry, BindGroupLayoutDescriptor, BindGroupLayoutEntry,
    BindingResource, BindingType, Buffer, BufferBinding, BufferBindingType, CommandEncoderDescriptor,
    ComputePassDescriptor, ComputePipeline, ComputePipelineDescriptor, PipelineCompilationOptions,
    PipelineLayoutDescriptor, PollType, ShaderModuleDescriptor, ShaderRuntimeChecks, ShaderSource,
    ShaderStages, SubmissionIndex,
};

use super::windows::{Share, Window, windows};
use super::{ALIGNMENT, Piece, Shared, problem};
use crate::Result;
use crate::device::Executable;
use crate::device::gpu::source::{Spot, wgsl};
use crate::device::gpu::{Content, Language, Pass, fold, lower};
use crate::plan::{Place, Program};

/// Replays that may be under way before the host waits for the oldest.
const IN_FLIGHT: usize = 2;

pub struct Loaded {
    shared: Arc<Shared>,
    program: Arc<Program>,
    /// One a buffer of the program.
    pieces: Vec<Piece>,
    /// Dispatches of each launch.
    launches: Vec<Vec<Dispatch>>,
    under_way: VecDeque<SubmissionIndex>,
}

struct Dispatch {
    pipeline: ComputePipeline,
    group: BindGroup,
    groups: [u32; 2],
}

impl Loaded {
    pub fn new(shared: Arc<Shared>, program: Arc<Program>, states: Vec<Piece>) -> Result<Loaded> {
        let pieces = place(&shared, &program, &states)?;
        let lowered = program
            .launches
            .iter()
            .map(|launch| lower(&program, launch, Language::Wgsl))
            .collect::<Result<Vec<_>>>()?;
        let need = |sizes: &[usize]| sizes.iter().map(|&s| aligned(s)).sum::<u64>();
        let most = lowered.iter().map(|l| need(&l.scratch)).max().unwrap_or(0);
        let scratch = shared.storage("the scratch of the step", most)?;
        let mut launches = vec![];
        for (launch, lowered) in program.launches.iter().zip(&lowered) {
            let mut offset = 0;
            let held: Vec<Piece> = lowered
                .scratch
                .iter()
                .map(|&len| {
                    let piece = Piece { buffer: scratch.clone(), offset, len };
                    offset += aligned(len);
                    piece
                })
                .collect();
            let piece = |content: Content| match content {
                Content::Buffer(id) => &pieces[id],
                Content::Scratch(at) => &held[at],
            };
            let each = lowered.passes.iter().map(|pass| prepare(&shared, pass, &piece, &launch.label));
            launches.push(each.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect());
        }
        Ok(Loaded { shared, program, pieces, launches, under_way: VecDeque::new() })
    }

    fn submit(&mut self, launches: std::ops::Range<usize>) -> Result<()> {
        let mut encoder = self.shared.device.create_command_encoder(&CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor::default());
            for dispatch in self.launches[launches].iter().flatten() {
                pass.set_pipeline(&dispatch.pipeline);
                pass.set_bind_group(0, &dispatch.group, &[]);
                pass.dispatch_workgroups(dispatch.groups[0], dispatch.groups[1], 1);
            }
        }
        self.under_way.push_back(self.shared.queue.submit([encoder.finish()]));
        if self.under_way.len() > IN_FLIGHT {
            let wait = PollType::Wait { submission_index: self.under_way.pop_front(), timeout: None };
            let waited = self.shared.device.poll(wait);
            self.shared.sound()?;
            waited.map_err(|e| problem(format!("waiting for the device: {e}")))?;
        }
        self.shared.sound()
    }
}

fn aligned(bytes: usize) -> u64 {
    (bytes as u64).next_multiple_of(ALIGNMENT)
}

/// A piece for every buffer: the arena is one or a few buffers, the inputs and the constants are one each, states
/// have their own.
fn place(shared: &Shared, program: &Program, states: &[Piece]) -> Result<Vec<Piece>> {
    let total = |wanted: fn(&Place) -> bool| -> u64 {
        program.buffers.iter().filter(|b| wanted(&b.place)).map(|b| aligned(b.meta.bytes())).sum()
    };
    let segments = program.segments(shared.device.limits().max_buffer_size as usize - ALIGNMENT as usize);
    let arena = segments
        .iter()
        .map(|s| shared.storage("the step", s.len() as u64))
        .collect::<Result<Vec<Buffer>>>()?;
    let inputs = shared.storage("the inputs", total(|p| matches!(p, Place::Input(_))))?;
    let constants = shared.storage("the constants", total(|p| matches!(p, Place::Constant(_))))?;
    let (mut next_input, mut next_constant) = (0, 0);
    let mut pieces = vec![];
    for buffer in &program.buffers {
        let len = buffer.meta.bytes();
        let follow = |next: &mut u64, buffer: &Buffer| {
            *next += aligned(len);
            Piece { buffer: buffer.clone(), offset: *next - aligned(len), len }
        };
        pieces.push(match &buffer.place {
            Place::Arena(offset) => {
                let at = segments.iter().rposition(|s| s.start <= *offset).unwrap_or(0);
                Piece { buffer: arena[at].clone(), offset: (offset - segments[at].start) as u64, len }
            }
            Place::Input(_) => follow(&mut next_input, &inputs),
            Place::State(at) => {
                let state = states.get(*at).ok_or_else(|| problem("a state without memory"))?;
                Piece { len, ..state.clone() }
            }
            Place::Constant(tensor) => {
                let piece = follow(&mut next_constant, &constants);
                shared.write(&piece, tensor.bytes())?;
                piece
            }
        });
    }
    Ok(pieces)
}

/// The dispatches of a pass: one, or for a pass over sets of buffers as few as the adapter's bindings allow.
fn prepare<'p>(
    shared: &Shared,
    pass: &Pass,
    piece: &dyn Fn(Content) -> &'p Piece,
    label: &str,
) -> Result<Vec<Dispatch>> {
    if pass.sets.is_empty() {
        let bound: Vec<&Piece> = pass.bindings.iter().map(|b| piece(b.content)).collect();
        let (windows, spots) = windows(shared, pass, &bound, label)?;
        return Ok(vec![dispatch(shared, pass, windows, &spots, None, label)?]);
    }
    let mut shares: Vec<Share> = vec![];
    for set in &pass.sets {
        let pieces: Vec<&Piece> = set.contents.iter().map(|&content| piece(content)).collect();
        if !shares.iter_mut().any(|share| share.take(shared, set, &pieces)) {
            shares.push(Share::begin(shared, pass, set, &pieces, label)?);
        }
    }
    let each = shares.into_iter().map(|Share { sets, windows, memories }| {
        let pass = pass.clone().over(sets);
        let table = pass.table(|binding, content| {
            Ok(((piece(content).offset - windows[memories[binding]].from) / 4) as u32)
        })?;
        let bytes: &[u8] = bytemuck::cast_slice(&table);
        let buffer = shared.storage("a table", bytes.len() as u64)?;
        let whole = Piece { buffer, offset: 0, len: bytes.len() };
        shared.write(&whole, bytes)?;
        let spots: Vec<Spot> = memories.iter().map(|&memory| Spot { memory, word: 0 }).collect();
        dispatch(shared, &pass, windows, &spots, Some(whole.buffer), label)
    });
    each.collect()
}

/// `table` is bound behind the windows.
fn dispatch(
    shared: &Shared,
    pass: &Pass,
    mut windows: Vec<Window>,
    spots: &[Spot],
    table: Option<Buffer>,
    label: &str,
) -> Result<Dispatch> {
    let written: Vec<bool> = windows.iter().map(|w| w.written).collect();
    let text = wgsl(pass, spots, &written)
        .ok_or_else(|| problem(format!("{label}: there is no shader {}.wgsl", pass.stem)))?;
    windows.extend(table.map(|buffer| Window { from: 0, to: buffer.size(), buffer, written: false }));
    let written: Vec<bool> = windows.iter().map(|w| w.written).collect();
    let known = super::lock(&shared.pipelines).get(&text).cloned();
    let pipeline = match known {
        Some(pipeline) => pipeline,
        None => {
            let made = shared.caught(label, || compile(shared, pass, &text, &written))?;
            super::lock(&shared.pipelines).insert(text, made.clone());
            made
        }
    };
    let entries: Vec<BindGroupEntry<'_>> = windows
        .iter()
        .zip(0..)
        .map(|(window, binding)| BindGroupEntry {
            binding,
            resource: BindingResource::Buffer(BufferBinding {
                buffer: &window.buffer,
                offset: window.from,
                size: std::num::NonZeroU64::new(window.to - window.from),
            }),
        })
        .collect();
    let group = shared.caught(label, || {
        let layout = pipeline.get_bind_group_layout(0);
        shared.device.create_bind_group(&BindGroupDescriptor {
            label: None,
            layout: &layout,
            entries: &entries,
        })
    })?;
    Ok(Dispatch { pipeline, group, groups: fold(pass.groups) })
}

fn compile(shared: &Shared, pass: &Pass, text: &str, written: &[bool]) -> ComputePipeline {
    let device = &shared.device;
    let entry = |(&written, binding): (&bool, u32)| BindGroupLayoutEntry {
        binding,
        visibility: ShaderStages::COMPUTE,
        ty: BindingType::Buffer {
            ty: BufferBindingType::Storage { read_only: !written },
            has_dynamic_offset: false,
            min_binding_size: None,
        },
        count: None,
    };
    let entries: Vec<BindGroupLayoutEntry> = written.iter().zip(0..).map(entry).collect();
    let layout =
        device.create_bind_group_layout(&BindGroupLayoutDescriptor { label: None, entries: &entries });
    let layout = device.create_pipeline_layout(&PipelineLayoutDescriptor {
        label: None,
        bind_group_layouts: &[Some(&layout)],
        ..Default::default()
    });
    let mut checks = ShaderRuntimeChecks::checked();
    checks.force_loop_bounding = false;
    checks.int_div_checks = false;
    let shader = ShaderModuleDescriptor { label: Some(pass.stem), source: ShaderSource::Wgsl(text.into()) };
    // Loops end and divisors are not zero: both are numbers baked into the text. Indices stay checked.
    let module = unsafe { device.create_shader_module_trusted(shader, checks) };
    device.create_compute_pipeline(&ComputePipelineDescriptor {
        label: Some(pass.stem),
        layout: Some(&layout),
        module: &module,
        entry_point: Some(pass.entry),
        compilation_options: PipelineCompilationOptions {
            zero_initialize_workgroup_memory: false,
            ..Default::default()
        },
        cache: shared.cache.pipelines.as_ref(),
    })
}

impl Executable for Loaded {
    fn feed(&mut self, input: usize, bytes: &[u8]) -> Result<()> {
        self.shared.write(&self.pieces[self.program.inputs[input].1], bytes)
    }

    fn replay(&mut self) -> Result<()> {
        self.submit(0..self.launches.len())
    }

    fn launch(&mut self, at: usize) -> Result<()> {
        self.submit(at..at + 1)
    }

    fn fetch(&mut self, buffer: usize, bytes: &mut [u8]) -> Result<()> {
        self.shared.read(&self.pieces[buffer], bytes)
    }
}
