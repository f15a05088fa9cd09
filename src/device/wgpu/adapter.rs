//! Which adapters answer, in which order they are preferred, and what is asked of the chosen one.

use ::wgpu::{
    Adapter, AdapterInfo, Backends, DeviceDescriptor, DeviceType, Features, Instance, InstanceDescriptor,
    InstanceFlags, MemoryHints,
};

use super::problem;
use crate::Result;

/// Mesa's implicit layer that reorders adapters by the desktop's choice says on standard error that there is no
/// desktop; the order here is [`rank`]'s.
fn silence_device_selection() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        if std::env::var_os("NODEVICE_SELECT").is_none() {
            // Before this process first calls into a Vulkan loader, the one reader of it outside Rust.
            unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
        }
    });
}

/// All adapters, the best first. None where there is no Vulkan loader, or no driver behind it that answers.
pub fn all() -> Vec<Adapter> {
    silence_device_selection();
    let mut description = InstanceDescriptor::new_without_display_handle();
    description.backends = Backends::VULKAN | Backends::METAL;
    description.flags = InstanceFlags::empty();
    let instance = Instance::new(description);
    let mut adapters = pollster::block_on(instance.enumerate_adapters(Backends::all()));
    adapters.sort_by_key(|a| rank(&a.get_info()));
    adapters
}

pub fn is_software(info: &AdapterInfo) -> bool {
    info.device_type == DeviceType::Cpu
}

fn rank(info: &AdapterInfo) -> usize {
    let order = [
        DeviceType::DiscreteGpu,
        DeviceType::IntegratedGpu,
        DeviceType::VirtualGpu,
        DeviceType::Other,
        DeviceType::Cpu,
    ];
    order.iter().position(|&kind| kind == info.device_type).unwrap_or(order.len())
}

/// The adapter whose name has `part` in it, in either case; the best one where no part is given.
pub fn choose(part: Option<&str>) -> Result<Adapter> {
    let adapters = all();
    if adapters.is_empty() {
        return Err(problem(
            "no Vulkan device answers: install the graphics driver of this machine's GPU and the Vulkan loader \
             (libvulkan1), in a container with the driver's `graphics` capability; or use --device cpu",
        ));
    }
    let names: Vec<String> = adapters.iter().map(|a| a.get_info().name).collect();
    let fits = |name: &str| part.is_none_or(|part| name.to_lowercase().contains(&part.to_lowercase()));
    match adapters.into_iter().zip(&names).find(|(_, name)| fits(name)) {
        Some((adapter, _)) => Ok(adapter),
        None => Err(problem(format!(
            "no adapter is called {:?}; there are {}",
            part.unwrap_or_default(),
            names.join(", ")
        ))),
    }
}

/// Opens an adapter with everything of it that is of use, at its own limits.
pub fn open(adapter: &Adapter) -> Result<(::wgpu::Device, ::wgpu::Queue)> {
    let description = DeviceDescriptor {
        label: Some("kinesome"),
        required_features: adapter.features() & Features::PIPELINE_CACHE,
        required_limits: adapter.limits(),
        memory_hints: MemoryHints::MemoryUsage,
        ..Default::default()
    };
    pollster::block_on(adapter.request_device(&description))
        .map_err(|e| problem(format!("{} does not open: {e}", adapter.get_info().name)))
}

/// One line: name, kind, driver, and what bounds a plan.
pub fn describe(adapter: &Adapter) -> String {
    let (info, limits) = (adapter.get_info(), adapter.limits());
    let kind = match info.device_type {
        DeviceType::DiscreteGpu => "GPU",
        DeviceType::IntegratedGpu => "integrated GPU",
        DeviceType::VirtualGpu => "virtual GPU",
        DeviceType::Other => "unknown kind",
        DeviceType::Cpu => "software, slow: for tests",
    };
    let gib = |bytes: u64| bytes as f64 / (1u64 << 30) as f64;
    format!(
        "{} ({kind}), {:?}, {} {}, buffers to {:.2} GiB, bindings to {:.2} GiB, {} a kernel{}",
        info.name,
        info.backend,
        info.driver,
        info.driver_info,
        gib(limits.max_buffer_size),
        gib(limits.max_storage_buffer_binding_size),
        limits.max_storage_buffers_per_shader_stage,
        if adapter.features().contains(Features::PIPELINE_CACHE) { ", pipeline cache" } else { "" },
    )
}
