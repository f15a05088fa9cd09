//! Checkpoints as MDGen's own trainer (PyTorch Lightning) writes them: its flags, and the fixed arrays that stand
//! beside the weights there.

use std::path::Path;

use super::config::{Config, Task};
use super::dirichlet::TYPES;
use super::model::{Network, ROTARY_BASE, positions};
use crate::io::npy::Array;
use crate::io::pickle::Value;
use crate::nn::hyena;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// The flags of a checkpoint that the reference wrote.
pub fn config(path: &Path, tree: &Value) -> Result<Config> {
    let bad = |why: &str| Error::malformed(path, "hyper_parameters", why);
    let args =
        tree.get("hyper_parameters").ok_or_else(|| bad("no MDGen checkpoint: it has no hyper_parameters"))?;
    let args = args.get("args").unwrap_or(args);
    let flag = |name: &str| args.get(name).and_then(Value::as_bool).unwrap_or(false);
    let number = |name: &str, otherwise: usize| -> Result<usize> {
        match args.get(name) {
            None | Some(Value::None) => Ok(otherwise),
            Some(value) => value
                .as_i64()
                .and_then(|v| usize::try_from(v).ok())
                .ok_or_else(|| bad(&format!("`{name}` is no count"))),
        }
    };
    if !flag("prepend_ipa") || flag("no_rope") || flag("abs_time_emb") || flag("interleave_ipa") {
        return Err(bad(
            "only networks with prepend_ipa, rotary positions and no other embedding are supported",
        ));
    }
    let interval = number("cond_interval", 0)?;
    let task = match (flag("inpainting") || flag("design"), flag("tps_condition"), flag("sim_condition")) {
        (true, ..) => Task::Inpaint,
        (_, true, _) => Task::Interpolate,
        (_, _, true) if interval > 0 => Task::Upsample,
        (_, _, true) => Task::Simulate,
        _ => return Err(bad("none of sim_condition, tps_condition and inpainting is set")),
    };
    let usual = Config::default();
    let float = |name: &str, otherwise: f64| args.get(name).and_then(Value::as_f64).unwrap_or(otherwise);
    Ok(Config {
        task,
        num_frames: number("num_frames", usual.num_frames)?,
        crop: number("crop", 256)?,
        cond_interval: interval.max(1),
        frame_interval: number("frame_interval", 1)?.max(1),
        embed_dim: number("embed_dim", usual.embed_dim)?,
        num_layers: number("num_layers", usual.num_layers)?,
        mha_heads: number("mha_heads", usual.mha_heads)?,
        ipa_heads: number("ipa_heads", usual.ipa_heads)?,
        ipa_head_dim: number("ipa_head_dim", usual.ipa_head_dim)?,
        ipa_qk: number("ipa_qk", usual.ipa_qk)?,
        ipa_v: number("ipa_v", usual.ipa_v)?,
        time_multiplier: float("time_multiplier", usual.time_multiplier),
        hyena: flag("hyena"),
        hyena_longest: 0,
        abs_pos_emb: flag("abs_pos_emb"),
        no_aa_emb: flag("no_aa_emb"),
        no_torsion: flag("no_torsion"),
        design_key_frames: flag("design_key_frames"),
        path_type: args.get("path_type").and_then(Value::as_str).unwrap_or("GVP").into(),
        alpha_max: float("alpha_max", usual.alpha_max),
        discrete_loss_weight: float("discrete_loss_weight", usual.discrete_loss_weight),
        parity: true,
        spread: vec![],
    })
}

/// All flags of the reference's trainer (specified by their names there): those of this network, the others as they
/// are when not given.
pub fn flags(config: &Config) -> Value {
    let whole = |v: usize| Value::Int(v as i64);
    let task = |task: Task| Value::Bool(config.task == task);
    let simulates = matches!(config.task, Task::Simulate | Task::Upsample);
    let upsampling = config.task == Task::Upsample;
    let own = [
        ("sim_condition", Value::Bool(simulates)),
        ("tps_condition", task(Task::Interpolate)),
        ("inpainting", task(Task::Inpaint)),
        ("design", task(Task::Inpaint)),
        ("cond_interval", if upsampling { whole(config.cond_interval) } else { Value::None }),
        (
            "frame_interval",
            if config.frame_interval > 1 { whole(config.frame_interval) } else { Value::None },
        ),
        ("num_frames", whole(config.num_frames)),
        ("crop", whole(config.crop)),
        ("embed_dim", whole(config.embed_dim)),
        ("num_layers", whole(config.num_layers)),
        ("mha_heads", whole(config.mha_heads)),
        ("ipa_heads", whole(config.ipa_heads)),
        ("ipa_head_dim", whole(config.ipa_head_dim)),
        ("ipa_qk", whole(config.ipa_qk)),
        ("ipa_v", whole(config.ipa_v)),
        ("time_multiplier", Value::Float(config.time_multiplier)),
        ("hyena", Value::Bool(config.hyena)),
        ("abs_pos_emb", Value::Bool(config.abs_pos_emb)),
        ("no_aa_emb", Value::Bool(config.no_aa_emb)),
        ("no_torsion", Value::Bool(config.no_torsion)),
        ("design_key_frames", Value::Bool(config.design_key_frames)),
        ("path_type", Value::str(&config.path_type)),
        ("alpha_max", Value::Float(config.alpha_max)),
        ("discrete_loss_weight", Value::Float(config.discrete_loss_weight)),
        ("prepend_ipa", Value::Bool(true)),
        ("prediction", Value::str("velocity")),
        ("sampling_method", Value::str("dopri5")),
        ("suffix", Value::str("")),
        ("run_name", Value::str("default")),
    ];
    let off = [
        "validate",
        "overfit",
        "overfit_peptide",
        "overfit_frame",
        "no_validate",
        "wandb",
        "grad_checkpointing",
        "adamW",
        "ema",
        "atlas",
        "copy_frames",
        "no_pad",
        "short_md",
        "no_design_torsion",
        "supervise_no_torsions",
        "supervise_all_torsions",
        "no_offsets",
        "no_frames",
        "no_rope",
        "interleave_ipa",
        "abs_time_emb",
        "oracle",
        "allow_nan_cfactor",
        "dynamic_mpnn",
        "mpnn",
    ];
    let counts = [
        ("num_workers", 4),
        ("epochs", 100),
        ("val_repeat", 1),
        ("inference_batches", 0),
        ("batch_size", 8),
        ("val_epoch_freq", 1),
        ("designability_freq", 1),
        ("print_freq", 100),
        ("ckpt_freq", 1),
        ("accumulate_grad", 1),
    ];
    let floats = [
        ("grad_clip", 1.0),
        ("ema_decay", 0.999),
        ("lr", 1e-4),
        ("dropout", 0.0),
        ("scale_factor", 1.0),
        ("dirichlet_flow_temp", 1.0),
    ];
    let none = ["ckpt", "train_batches", "val_batches", "val_freq", "train_split", "val_split", "data_dir"];
    let named = |(name, value): (&str, Value)| (Value::str(name), value);
    let all = own.into_iter().chain(off.map(|name| (name, Value::Bool(false))));
    let all = all.chain(counts.map(|(name, v)| (name, whole(v))));
    let all = all
        .chain(floats.map(|(name, v)| (name, Value::Float(v))))
        .chain(none.map(|name| (name, Value::None)));
    Value::Namespace(all.map(named).collect())
}

/// Arrays that the reference keeps with the weights though nothing learns them, and those that it keeps twice.
/// `weight` gives a weight by its name here.
pub fn buffers(
    network: &Network,
    names: &[String],
    weight: impl Fn(&str) -> Result<Tensor>,
) -> Result<Vec<(String, Array)>> {
    let config = &network.config;
    let mut found = vec![];
    let mut push = |name: String, shape: &[usize], values: Vec<f32>| -> Result<()> {
        found.push((name, Array::f32(shape, values)?));
        Ok(())
    };
    if config.abs_pos_emb {
        let table = positions(config.crop, config.embed_dim);
        push("pos_embed".into(), &[1, config.crop, config.embed_dim], table.to_f32())?;
    }
    let half = config.embed_dim / config.mha_heads / 2;
    let turn = |i: usize| ROTARY_BASE.powf(-(i as f64) / half as f64) as f32;
    for name in names {
        if let Some(attention) = name.strip_suffix(".bias_k") {
            push(format!("{attention}.rot_emb.inv_freq"), &[half], (0..half).map(turn).collect())?;
        }
        if let Some(filter) = name.strip_suffix(".pos_emb.z") {
            let frames = config.longest();
            let share = |n: usize| (n as f64 / frames.saturating_sub(1).max(1) as f64) as f32;
            push(format!("{filter}.pos_emb.t"), &[1, frames, 1], (0..frames).map(share).collect())?;
            let width = config.embed_dim;
            let rate = |c: usize| -hyena::decay(c, width) as f32;
            push(format!("{filter}.modulation.deltas"), &[1, 1, width], (0..width).map(rate).collect())?;
            // One frequency for all layers, under the name of each.
            let shared = weight(&format!("{filter}.implicit_filter.1.freq"))?;
            for layer in [3, 5] {
                push(format!("{filter}.implicit_filter.{layer}.freq"), &shared.shape, shared.to_f32())?;
            }
        }
    }
    Ok(found)
}

/// Refuses networks that the reference has no counterpart of.
pub fn check(config: &Config) -> Result<()> {
    if config.hyena && !config.parity {
        return Err(Error::usage(
            "MDGen's Hyena sees later frames only, this network both sides; train with --hyena --parity to export",
        ));
    }
    if config.task == Task::Inpaint && config.crop != 4 {
        let (crop, types) = (config.crop, TYPES);
        return Err(Error::usage(format!(
            "MDGen designs {types} types in chains of 4 residues, this network in chains of {crop}"
        )));
    }
    Ok(())
}
