//! The tools around training: back to RELION, selections, paths, maps, headers.

use crate::*;
use kinesome::systems::drgn::files::*;

#[test]
fn write_star_and_back() {
    let at = workplace();
    let path = |name: &str| at.path().join(name);
    let tables = ["drgn", "write_star", "particles.mrcs", "--ctf", "ctf.pkl", "--poses", "pose.pkl"];
    let (poses, ctf) = (Poses::read(&path("pose.pkl")).unwrap(), CtfTable::read(&path("ctf.pkl")).unwrap());
    for (flags, given) in [(&[][..], &[][..]), (&["--relion30"], &["-D", "32"])] {
        succeeds(at.path(), &[&tables[..], &["-o", "new.star"], flags].concat());
        succeeds(at.path(), &[&["drgn", "parse_pose_star", "new.star", "-o", "p.pkl"], given].concat());
        succeeds(at.path(), &[&["drgn", "parse_ctf_star", "new.star", "-o", "c.pkl"], given].concat());
        let (p, c) = (Poses::read(&path("p.pkl")).unwrap(), CtfTable::read(&path("c.pkl")).unwrap());
        // Angles have six decimals of a degree, 1e-8 rad; origins six of an Å, 4e-9 of the box.
        for (a, b) in p.rotations.iter().flatten().flatten().zip(poses.rotations.iter().flatten().flatten()) {
            assert!((a - b).abs() < 5e-8);
        }
        for (a, b) in
            p.translations.iter().flatten().flatten().zip(poses.translations.iter().flatten().flatten())
        {
            assert!((a - b).abs() < 2e-8);
        }
        for (a, b) in c.rows.iter().flatten().zip(ctf.rows.iter().flatten()) {
            assert!((a - b).abs() <= 1e-6 * b.abs().max(1.0), "{a} {b}");
        }
    }
    // The images are found from there, also when the star lies elsewhere and names them by full path.
    std::fs::create_dir(path("else")).unwrap();
    write_indices(&path("ind.pkl"), &[40, 2, 3]).unwrap();
    succeeds(at.path(), &[&tables[..], &["--ind", "ind.pkl", "-o", "else/three.star"]].concat());
    succeeds(at.path(), &["drgn", "downsample", "else/three.star", "-D", "32", "-o", "three.mrcs"]);
    let all = pixels(&path("particles.mrcs"));
    let wanted: Vec<f32> = [40, 2, 3].iter().flat_map(|i| all[i * 1024..(i + 1) * 1024].to_vec()).collect();
    // A transform and back at the same box.
    assert_close(&pixels(&path("three.mrcs")), &wanted, 1e-6, "the chosen images");
    // A star keeps its columns.
    succeeds(at.path(), &["drgn", "write_star", "particles.star", "--ind", "ind.pkl", "-o", "kept.star"]);
    let (kept, old) = (
        std::fs::read_to_string(path("kept.star")).unwrap(),
        std::fs::read_to_string(path("particles.star")).unwrap(),
    );
    let row = |text: &str, name: &str| {
        text.lines()
            .find(|l| l.contains(name))
            .map(|l| l.split_whitespace().map(str::to_string).collect::<Vec<_>>())
    };
    assert_eq!(row(&kept, "000041@"), row(&old, "000041@"));
    assert!(row(&kept, "000041@").is_some() && row(&kept, "000001@").is_none());
}

#[test]
fn a_tree_of_stacks() {
    let at = workplace();
    let path = |name: &str| at.path().join(name);
    std::fs::create_dir_all(path("in/mic")).unwrap();
    for name in ["in/mic/a.mrcs", "in/b.mrcs"] {
        std::fs::copy(path("particles.mrcs"), path(name)).unwrap();
    }
    let star = std::fs::read_to_string(path("particles.star")).unwrap();
    let star: String = star
        .lines()
        .enumerate()
        .map(|(i, l)| l.replace("@particles.mrcs", if i % 2 == 0 { "@mic/a.mrcs" } else { "@b.mrcs" }) + "\n")
        .collect();
    std::fs::write(path("in/all.star"), star).unwrap();
    succeeds(at.path(), &["drgn", "downsample", "in/all.star", "-D", "16", "-o", "out/all.star"]);
    assert!(path("out/mic/a.16.mrcs").exists() && path("out/b.16.mrcs").exists());
    // The new star leads to the same pixels as one stack of all.
    succeeds(at.path(), &["drgn", "downsample", "out/all.star", "-D", "16", "-o", "again.mrcs"]);
    assert_close(
        &pixels(&path("again.mrcs")),
        &pixels(&golden("cli/particles.16.mrcs")),
        1e-5,
        "through the tree",
    );
    // Poses stay what they were, and the CTF has the new box and pixel size.
    succeeds(at.path(), &["drgn", "parse_star", "out/all.star", "--poses", "p.pkl", "--ctf", "c.pkl"]);
    assert_eq!(Poses::read(&path("p.pkl")).unwrap(), {
        succeeds(at.path(), &["drgn", "parse_pose_star", "particles.star", "-o", "q.pkl"]);
        Poses::read(&path("q.pkl")).unwrap()
    });
    assert_eq!(CtfTable::read(&path("c.pkl")).unwrap().rows[0][..2], [16.0, 8.0]);
    // A .txt gives a .txt.
    std::fs::write(path("in/list.txt"), "mic/a.mrcs\nb.mrcs\n").unwrap();
    succeeds(
        at.path(),
        &["drgn", "downsample", "in/list.txt", "-D", "16", "-o", "list.txt", "--outdir", "small"],
    );
    assert_eq!(std::fs::read_to_string(path("list.txt")).unwrap(), "small/mic/a.16.mrcs\nsmall/b.16.mrcs\n");
    assert_close(
        &pixels(&path("small/b.16.mrcs")),
        &pixels(&golden("cli/particles.16.mrcs")),
        1e-5,
        "by list",
    );
}

#[test]
fn filter_by_number_cluster_and_range() {
    let at = workplace();
    let path = |name: &str| at.path().join(name);
    std::fs::create_dir_all(path("run/analyze.0/kmeans3")).unwrap();
    std::fs::copy(golden("cli/z.pkl"), path("run/z.pkl")).unwrap();
    let labels: Vec<i64> = (0..48).map(|i| i % 3).collect();
    write_labels(&path("run/analyze.0/kmeans3/labels.pkl"), &labels).unwrap();
    succeeds(at.path(), &["drgn", "filter", "run", "--clusters", "1", "3", "--name", "sel"]);
    assert_eq!(
        read_indices(&path("run/sel.pkl")).unwrap(),
        (0..48).filter(|i| i % 3 != 1).collect::<Vec<_>>()
    );
    assert_eq!(
        read_indices(&path("run/sel_inverse.pkl")).unwrap(),
        (0..48).filter(|i| i % 3 == 1).collect::<Vec<_>>()
    );
    assert!(
        fails(at.path(), &["drgn", "filter", "run", "--clusters", "1", "--name", "sel"]).contains("--force")
    );
    assert!(
        fails(at.path(), &["drgn", "filter", "run", "--clusters", "4", "--name", "x"]).contains("cluster")
    );

    let z = Latents::read(&path("run/z.pkl")).unwrap();
    assert_eq!(z.dim, 2);
    let middle = z.mu.iter().skip(1).step_by(2).sum::<f32>() / 48.0;
    let above: Vec<usize> = (0..48).filter(|i| f64::from(z.mu[2 * i + 1]) >= f64::from(middle)).collect();
    assert!(!above.is_empty() && above.len() < 48);
    succeeds(at.path(), &["drgn", "filter", "run", "--range", &format!("z2:{middle}:"), "--sel-dir", "sel"]);
    assert_eq!(read_indices(&path("sel/indices.pkl")).unwrap(), above);
    // Both conditions, on a model trained on a selection: numbers are those of the original stack.
    let parent: Vec<usize> = (0..48).map(|i| 100 + 2 * i).collect();
    write_indices(&path("parent.pkl"), &parent).unwrap();
    let config = std::fs::read_to_string(golden("cli/config.yaml")).unwrap();
    let config = config.replace("  ind: null", &format!("  ind: {}", path("parent.pkl").display()));
    assert!(config.contains("parent.pkl"), "{config}");
    std::fs::write(path("run/config.yaml"), config).unwrap();
    let both =
        ["drgn", "filter", "run", "--clusters", "2", "--range", &format!("z2:{middle}:"), "--name", "both"];
    succeeds(at.path(), &both);
    let wanted: Vec<usize> = above.iter().filter(|i| *i % 3 == 1).map(|i| 100 + 2 * i).collect();
    assert_eq!(read_indices(&path("run/both.pkl")).unwrap(), wanted);
    succeeds(at.path(), &["drgn", "filter", "run", "--ind", "run/both.pkl", "--name", "copy"]);
    assert_eq!(read_indices(&path("run/copy.pkl")).unwrap(), wanted);
    assert_eq!(read_indices(&path("run/copy_inverse.pkl")).unwrap().len(), 48 - wanted.len());

    let labels = "run/analyze.0/kmeans3/labels.pkl";
    succeeds(
        at.path(),
        &["drgn", "select_clusters", labels, "--sel", "2", "-o", "c.pkl", "--parent-ind", "parent.pkl"],
    );
    assert_eq!(read_indices(&path("c.pkl")).unwrap(), (0..16).map(|i| 102 + 6 * i).collect::<Vec<_>>());
}

#[test]
fn tables_are_cut_and_joined() {
    let at = workplace();
    let path = |name: &str| at.path().join(name);
    succeeds(at.path(), &["drgn", "select_random", "48", "-n", "20", "-o", "a.pkl", "-s", "b.pkl"]);
    let (a, b) = (read_indices(&path("a.pkl")).unwrap(), read_indices(&path("b.pkl")).unwrap());
    assert_eq!((a.len(), b.len()), (20, 28));
    let mut all = [a.clone(), b.clone()].concat();
    for table in ["pose", "ctf"] {
        for part in ["a", "b"] {
            let (ind, out) = (format!("{part}.pkl"), format!("{table}_{part}.pkl"));
            succeeds(at.path(), &["drgn", "filter_pkl", &format!("{table}.pkl"), "--ind", &ind, "-o", &out]);
        }
        let (a, b, out) = (format!("{table}_a.pkl"), format!("{table}_b.pkl"), format!("{table}_ab.pkl"));
        succeeds(at.path(), &["drgn", "concat_pkls", &a, &b, "-o", &out]);
    }
    let (old, new) = (Poses::read(&path("pose.pkl")).unwrap(), Poses::read(&path("pose_ab.pkl")).unwrap());
    assert!(all.iter().enumerate().all(|(k, i)| new.rotations[k] == old.rotations[*i]));
    let (old, new) =
        (CtfTable::read(&path("ctf.pkl")).unwrap(), CtfTable::read(&path("ctf_ab.pkl")).unwrap());
    assert!(all.iter().enumerate().all(|(k, i)| new.rows[k] == old.rows[*i]));
    all.sort_unstable();
    assert_eq!(all, (0..48).collect::<Vec<_>>());
    // Latents are two pickles in a file.
    std::fs::copy(golden("cli/z.pkl"), path("z.pkl")).unwrap();
    succeeds(at.path(), &["drgn", "filter_pkl", "z.pkl", "--ind", "a.pkl", "-o", "za.pkl"]);
    let (old, new) = (Latents::read(&path("z.pkl")).unwrap(), Latents::read(&path("za.pkl")).unwrap());
    assert_eq!((new.len(), new.mu[2]), (20, old.mu[2 * a[1]]));
    assert_eq!(new.logvar.unwrap()[39], old.logvar.unwrap()[2 * a[19] + 1]);
    succeeds(at.path(), &["drgn", "filter_star", "particles.star", "--ind", "a.pkl", "-o", "a.star"]);
    succeeds(at.path(), &["drgn", "parse_ctf_star", "a.star", "-o", "c.pkl"]);
    assert_eq!(CtfTable::read(&path("c.pkl")).unwrap(), CtfTable::read(&path("ctf_a.pkl")).unwrap());
}

#[test]
fn paths_through_latent_space() {
    let at = workplace();
    let path = |name: &str| at.path().join(name);
    std::fs::copy(golden("cli/z.pkl"), path("z.pkl")).unwrap();
    let z = Latents::read(&path("z.pkl")).unwrap();
    let points: Vec<[f64; 2]> = z.mu.as_chunks::<2>().0.iter().map(|p| p.map(f64::from)).collect();
    let read = |name: &str| -> Vec<[f64; 2]> {
        let text = std::fs::read_to_string(path(name)).unwrap();
        let row = |l: &str| {
            l.split_whitespace().map(|v| v.parse().unwrap()).collect::<Vec<f64>>().try_into().unwrap()
        };
        text.lines().map(row).collect()
    };
    succeeds(at.path(), &["drgn", "pc_traversal", "z.pkl", "-n", "7", "-o", "paths"]);
    let along = |p: &[f64; 2], d: &[f64; 2]| p[0] * d[0] + p[1] * d[1];
    let mut spreads = Vec::new();
    for name in ["paths/z.pc1.txt", "paths/z.pc2.txt"] {
        let line = read(name);
        assert_eq!(line.len(), 7);
        let (first, last) = (line[0], line[6]);
        let length = (last[0] - first[0]).hypot(last[1] - first[1]);
        let direction = [(last[0] - first[0]) / length, (last[1] - first[1]) / length];
        // From the 5th to the 95th percentile of the particles along its own direction (48 of them: rank 2.35).
        let mut places: Vec<f64> = points.iter().map(|p| along(p, &direction)).collect();
        places.sort_by(f64::total_cmp);
        let low = places[2] + 0.35 * (places[3] - places[2]);
        let high = places[44] + 0.65 * (places[45] - places[44]);
        // f32 latents.
        assert!(
            (along(&first, &direction) - low).abs() < 1e-5 && (along(&last, &direction) - high).abs() < 1e-5
        );
        let mean = places.iter().sum::<f64>() / 48.0;
        spreads.push((places.iter().map(|p| (p - mean).powi(2)).sum::<f64>(), direction));
    }
    let [(wide, a), (narrow, b)] = spreads[..] else { panic!() };
    assert!(wide >= narrow && along(&a, &b).abs() < 1e-5);

    succeeds(
        at.path(),
        &[
            "drgn",
            "direct_traversal",
            "z.pkl",
            "--anchors",
            "3",
            "40",
            "7",
            "-n",
            "5",
            "-o",
            "d.txt",
            "--loop",
        ],
    );
    let line = read("d.txt");
    assert_eq!(line.len(), 13);
    for (row, particle) in [(0, 3), (4, 40), (8, 7), (12, 3)] {
        assert!(
            (line[row][0] - points[particle][0]).abs() < 1e-6
                && (line[row][1] - points[particle][1]).abs() < 1e-6
        );
    }
    let middle = [0, 1].map(|k| 0.5 * (points[3][k] + points[40][k]));
    assert!((line[2][0] - middle[0]).abs() < 1e-6 && (line[2][1] - middle[1]).abs() < 1e-6);

    let args = [
        "drgn",
        "graph_traversal",
        "z.pkl",
        "--anchors",
        "3",
        "40",
        "--max-neighbors",
        "20",
        "--avg-neighbors",
        "15",
    ];
    succeeds(at.path(), &[&args[..], &["-o", "g.txt", "--outind", "g_ind.txt"]].concat());
    let indices: Vec<usize> =
        std::fs::read_to_string(path("g_ind.txt")).unwrap().lines().map(|l| l.parse().unwrap()).collect();
    assert_eq!((indices[0], indices[indices.len() - 1]), (3, 40));
    for (row, i) in read("g.txt").iter().zip(&indices) {
        assert!((row[0] - points[*i][0]).abs() < 1e-6);
    }
    assert!(fails(at.path(), &["drgn", "direct_traversal", "z.pkl", "--anchors", "3", "48"]).contains("48"));
}

#[test]
fn phases_are_flipped_image_by_image() {
    let at = workplace();
    let path = |name: &str| at.path().join(name);
    succeeds(at.path(), &["drgn", "phase_flip", "particles.mrcs", "ctf.pkl", "-o", "f.mrcs"]);
    succeeds(at.path(), &["drgn", "phase_flip", "f.mrcs", "ctf.pkl", "-o", "ff.mrcs"]);
    let (raw, once, twice) =
        (pixels(&path("particles.mrcs")), pixels(&path("f.mrcs")), pixels(&path("ff.mrcs")));
    // Signs square to one.
    assert_close(&twice, &raw, 1e-5, "flipped twice");
    assert!(once.iter().zip(&raw).any(|(a, b)| (a - b).abs() > 0.1));
    // An image does not depend on its neighbours in the stack.
    write_indices(&path("ind.pkl"), &[9]).unwrap();
    succeeds(at.path(), &["drgn", "filter_mrcs", "particles.mrcs", "--ind", "ind.pkl", "-o", "one.mrcs"]);
    succeeds(at.path(), &["drgn", "filter_pkl", "ctf.pkl", "--ind", "ind.pkl", "-o", "one.pkl"]);
    succeeds(at.path(), &["drgn", "phase_flip", "one.mrcs", "one.pkl", "-o", "one_f.mrcs"]);
    assert_eq!(pixels(&path("one_f.mrcs")), once[9 * 1024..10 * 1024]);
}

#[test]
fn images_move_by_whole_pixels() {
    let at = workplace();
    let path = |name: &str| at.path().join(name);
    let shifts: Vec<f64> = (0..48).flat_map(|i| [f64::from(i % 5), -3.0]).collect();
    let array = kinesome::io::npy::Array::f64(&[48, 2], shifts).unwrap();
    write_array(&path("t.npy"), array).unwrap();
    succeeds(
        at.path(),
        &["drgn", "translate_mrcs", "particles.mrcs", "t.npy", "--tscale", "0.03125", "-o", "m.mrcs"],
    );
    let (raw, moved) = (pixels(&path("particles.mrcs")), pixels(&path("m.mrcs")));
    let wanted: Vec<f32> = (0..48 * 1024)
        .map(|at| {
            let (i, y, x) = (at / 1024, at / 32 % 32, at % 32);
            raw[i * 1024 + (y + 3) % 32 * 32 + (x + 32 - i % 5) % 32]
        })
        .collect();
    assert_close(&moved, &wanted, 1e-5, "moved images");
}

#[test]
fn maps_and_headers() {
    let at = workplace();
    let path = |name: &str| at.path().join(name);
    std::fs::copy(golden("cli/vol.mrc"), path("vol.mrc")).unwrap();
    std::fs::copy(golden("cli/half_map_a.mrc"), path("a.mrc")).unwrap();
    std::fs::copy(golden("cli/half_map_b.mrc"), path("b.mrc")).unwrap();
    std::fs::copy(golden("cli/backproject.mrc"), path("full.mrc")).unwrap();
    let map = pixels(&path("vol.mrc"));
    succeeds(at.path(), &["drgn", "flip_hand", "vol.mrc"]);
    let wanted: Vec<f32> = map.chunks(1024).rev().flatten().copied().collect();
    assert_eq!(pixels(&path("vol_flip.mrc")), wanted);
    succeeds(at.path(), &["drgn", "invert_contrast", "vol.mrc", "-o", "neg.mrc"]);
    assert_eq!(pixels(&path("neg.mrc")), map.iter().map(|v| -v).collect::<Vec<_>>());
    succeeds(at.path(), &["drgn", "add_psize", "vol.mrc", "--Apix", "2.5", "-o", "p.mrc"]);
    assert_eq!(pixels(&path("p.mrc")), map);
    assert!(succeeds(at.path(), &["drgn", "view_header", "p.mrc"]).contains("2.5 Å"));
    succeeds(at.path(), &["drgn", "downsample", "vol.mrc", "-D", "16", "--is-vol", "-o", "small.mrc"]);
    assert_eq!(pixels(&path("small.mrc")).len(), 16 * 16 * 16);

    // The curves that the reference made of these half maps, to its six decimals.
    let reference = std::fs::read_to_string(golden("cli/fsc-vals.txt")).unwrap();
    let column = |text: &str, k: usize| -> Vec<f64> {
        text.lines().skip(1).map(|l| l.split(' ').nth(k).unwrap().parse().unwrap()).collect()
    };
    let close = |a: &[f64], b: &[f64]| {
        a.len() == b.len() && a.iter().zip(b).skip(2).all(|(a, b)| (a - b).abs() < 2e-6)
    };
    succeeds(at.path(), &["drgn", "fsc", "a.mrc", "b.mrc", "-o", "fsc.txt", "-p", "fsc.png"]);
    let text = std::fs::read_to_string(path("fsc.txt")).unwrap();
    assert!(close(&column(&text, 1), &column(&reference, 1)), "{text}");
    succeeds(at.path(), &["drgn", "fsc", "a.mrc", "b.mrc", "--ref-volume", "full.mrc", "-o", "set.txt"]);
    let text = std::fs::read_to_string(path("set.txt")).unwrap();
    assert!((1..5).all(|k| close(&column(&text, k), &column(&reference, k))), "{text}");
    // The mask of the tight curve, made by itself, gives that curve.
    succeeds(at.path(), &["drgn", "gen_mask", "full.mrc", "mask.mrc", "--dilate", "6", "--dist", "6"]);
    succeeds(at.path(), &["drgn", "fsc", "a.mrc", "b.mrc", "--mask", "mask.mrc", "-o", "tight.txt"]);
    let text = std::fs::read_to_string(path("tight.txt")).unwrap();
    assert!(close(&column(&text, 1), &column(&reference, 4)), "{text}");
    succeeds(at.path(), &["drgn", "plot_fsc", "fsc.txt", "set.txt", "-a", "4", "-o", "both.png"]);
    for name in ["fsc.png", "both.png"] {
        assert!(std::fs::read(path(name)).unwrap().starts_with(b"\x89PNG"));
    }
    let said = fails(at.path(), &["drgn", "fsc", "a.mrc", "small.mrc"]);
    assert!(said.contains("small.mrc") && said.contains("16 x 16 x 16"), "{said}");
}
