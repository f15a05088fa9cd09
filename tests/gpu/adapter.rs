use kinesome::device;
use kinesome::device::gpu::fold;
use kinesome::plan::{Options, Place, Program, Step, Store};
use kinesome::tape::Tape;
use kinesome::tensor::{DType, Tensor};

#[test]
fn groups_fold_into_two_axes() {
    let cases = (1..2000).chain([65_535, 65_536, 65_537, 131_071, 16_777_216, 65_535 * 65_535]);
    for groups in cases {
        let [x, y] = fold(groups).map(u64::from);
        assert!(x <= 65_535 && y <= 65_535, "{groups}");
        assert!(x * y >= groups && x * y - groups < y, "{groups} as {x} x {y}");
    }
}

/// A software adapter computes only for those who name it.
#[test]
fn auto_is_no_software_adapter() {
    let adapters = crate::adapters();
    if adapters.iter().all(|a| a.describe().contains("software")) {
        assert!(!device::open("auto").expect("a device").name().starts_with("wgpu"));
    }
}

#[test]
fn adapters_are_chosen_by_a_part_of_their_name() {
    for adapter in crate::adapters() {
        let name = adapter.describe().split(" (").next().expect("a name").to_uppercase();
        let opened = device::open(&format!("wgpu:{name}")).expect("the adapter by its name");
        assert_eq!(opened.describe(), adapter.describe());
        let text = device::open("wgpu:no such thing").err().expect("an error").to_string();
        assert!(text.to_uppercase().contains(&name) && text.contains("no such thing"), "{text}");
    }
}

#[test]
fn a_plan_that_does_not_fit_says_so() {
    for adapter in crate::adapters() {
        let tape = Tape::new();
        // 16 GiB at once.
        let x = tape.input("x", &[1 << 16, 1], DType::F32);
        let wide = (x + tape.input("y", &[1, 1 << 16], DType::F32)).exp();
        let store = Store::new(adapter.clone(), 0);
        let outcome = Step::new(&store, &tape, &[("y", wide)], Options::default());
        let text = outcome.err().expect("it cannot fit").to_string();
        assert!(text.contains("wgpu") && text.contains("smaller batches"), "{text}");
    }
}

/// A step that is larger than any one buffer of an adapter.
#[test]
fn a_large_arena_is_cut_between_values() {
    let tape = Tape::new();
    let mut x = tape.input("x", &[1 << 14, 11_000], DType::F32);
    let mut sum = x;
    for _ in 0..6 {
        x = x.transpose(0, 1).matmul(x).slice(0, 0, 9000).exp();
        sum = sum.sum_all() + x;
    }
    let program = Program::new(&tape, &[("y", sum)], Options::eager()).expect("a plan");
    let most = (1 << 31) - 1;
    let segments = program.segments(most);
    assert!(program.arena_bytes > 2 * most && segments.len() > 2, "{} bytes", program.arena_bytes);
    assert!(segments.iter().all(|s| s.len() <= most));
    assert!(segments.windows(2).all(|pair| pair[0].end == pair[1].start));
    assert_eq!(program.segments(usize::MAX).len(), 1);
    for buffer in &program.buffers {
        if let Place::Arena(offset) = buffer.place {
            let holds =
                |s: &std::ops::Range<usize>| s.start <= offset && offset + buffer.meta.bytes() <= s.end;
            assert!(segments.iter().any(holds), "{} at {offset}", buffer.meta);
        }
    }
}

/// More groups than one axis of a dispatch takes.
#[test]
fn a_long_chain_is_folded() {
    for adapter in crate::adapters() {
        let n = 65_535 * 256 + 1000;
        let tape = Tape::new();
        let y = tape.input("x", &[n], DType::F32).scale(2.0).add_scalar(1.0);
        let store = Store::new(adapter.clone(), 0);
        let mut step = Step::new(&store, &tape, &[("y", y)], Options::default()).expect("a step");
        let x = Tensor::f32(&[n], (0..n).map(|i| (i % 1021) as f32).collect());
        step.run(&[("x", &x)]).expect("a run");
        let found = step.fetch("y").expect("a value").to_f32();
        assert!(found.iter().enumerate().all(|(i, &v)| v == 2.0 * (i % 1021) as f32 + 1.0));
    }
}
