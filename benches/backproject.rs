//! Images per second that `backproject_voxel` adds, one thread: `cargo bench --bench backproject [-- BOX]`.

use std::time::Instant;

use kinesome::cryo::backproject::{Backprojector, Options, View};
use kinesome::cryo::pose::random_rotation;
use kinesome::stats::random::Philox;

const IMAGES: usize = 256;
const TURNS: usize = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let side = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(128);
    let mut philox = Philox::new(1, 0);
    let images: Vec<f32> = (0..IMAGES * side * side).map(|_| philox.normal() as f32).collect();
    let views: Vec<View> = (0..IMAGES)
        .map(|_| View {
            rotation: random_rotation([0; 3].map(|_| philox.uniform_f64())),
            shift: [0.5, -0.5],
            ctf: None,
            envelope: None,
        })
        .collect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let mut sums = Backprojector::new(side, Options::default())?;
    let mut seconds = vec![];
    for _ in 0..TURNS {
        let start = Instant::now();
        pool.install(|| sums.add(&images, &views))?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    println!("box {side}: {:.0} images/s on one thread", IMAGES as f64 / seconds[TURNS / 2]);
    Ok(())
}
