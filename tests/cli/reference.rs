//! What the reference program wrote from the same files.

use crate::*;
use kinesome::systems::drgn::files::{CtfTable, Poses};

#[test]
fn poses_of_a_star_file() {
    let at = workplace();
    succeeds(at.path(), &["drgn", "parse_pose_star", "particles.star", "-o", "own.pkl"]);
    let own = Poses::read(&at.path().join("own.pkl")).unwrap();
    let reference = Poses::read(&golden("cli/pose.pkl")).unwrap();
    assert_eq!(own.len(), 48);
    // Both work in f64: a few roundings.
    for (a, b) in own.rotations.iter().flatten().flatten().zip(reference.rotations.iter().flatten().flatten())
    {
        assert!((a - b).abs() < 1e-14);
    }
    let shifts = |p: &Poses| p.translations.clone().unwrap().into_iter().flatten().collect::<Vec<_>>();
    for (a, b) in shifts(&own).iter().zip(shifts(&reference)) {
        assert!((a - b).abs() < 1e-16);
    }
    // The box and pixel size of the file may be stated again.
    succeeds(
        at.path(),
        &["drgn", "parse-pose-star", "particles.star", "-D", "32", "--Apix", "4", "-o", "again.pkl"],
    );
    assert_eq!(Poses::read(&at.path().join("again.pkl")).unwrap(), own);
}

#[test]
fn ctf_of_a_star_file() {
    let at = workplace();
    let said = succeeds(
        at.path(),
        &["drgn", "parse_ctf_star", "particles.star", "-D", "32", "--Apix", "4", "-o", "own.pkl"],
    );
    let own = CtfTable::read(&at.path().join("own.pkl")).unwrap();
    assert_eq!(own, CtfTable::read(&golden("cli/ctf.pkl")).unwrap());
    assert!(
        said.contains("48 particles") && said.contains("4 Å") && said.contains("defocus 0.82 to 1.99 µm"),
        "{said}"
    );
    let overruled = [
        "drgn",
        "parse_ctf_star",
        "particles.star",
        "--kv",
        "200",
        "--cs",
        "1.4",
        "-w",
        "0.07",
        "--ps",
        "30",
    ];
    succeeds(at.path(), &[&overruled[..], &["-o", "other.pkl", "--png", "ctf.png"]].concat());
    let other = CtfTable::read(&at.path().join("other.pkl")).unwrap();
    assert_eq!(other.rows[7][5..], [200.0, 1.4, 0.07, 30.0]);
    assert_eq!(other.rows[7][..5], own.rows[7][..5]);
    assert!(std::fs::read(at.path().join("ctf.png")).unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn both_at_once() {
    let at = workplace();
    succeeds(at.path(), &["drgn", "parse_star", "particles.star", "--poses", "p.pkl", "--ctf", "c.pkl"]);
    assert_eq!(
        CtfTable::read(&at.path().join("c.pkl")).unwrap(),
        CtfTable::read(&golden("cli/ctf.pkl")).unwrap()
    );
    assert_eq!(Poses::read(&at.path().join("p.pkl")).unwrap().len(), 48);
    let said =
        fails(at.path(), &["drgn", "parse_star", "particles.star", "--poses", "p.pkl", "--ctf", "d.pkl"]);
    assert!(said.contains("p.pkl exists"), "{said}");
    succeeds(
        at.path(),
        &["drgn", "parse_star", "particles.star", "--poses", "p.pkl", "--ctf", "c.pkl", "--overwrite"],
    );
}

#[test]
fn downsampled_stack() {
    let at = workplace();
    succeeds(at.path(), &["drgn", "downsample", "particles.mrcs", "-D", "16", "-o", "small.mrcs"]);
    let (own, reference) = (at.path().join("small.mrcs"), golden("cli/particles.16.mrcs"));
    assert_close(&pixels(&own), &pixels(&reference), 1e-5, "downsampled images");
    // Size, mode, start, sampling, cell: words 0 to 9 and the three of the cell.
    for i in (0..13).filter(|i| *i != 3).chain([3]) {
        assert_eq!(header_number(&own, i), header_number(&reference, i), "header word {i}");
    }
    // From the star, in pieces, by a list, with --ind: the same pixels.
    succeeds(at.path(), &["drgn", "downsample", "particles.star", "-D", "16", "-o", "by_star.mrcs"]);
    assert_eq!(pixels(&at.path().join("by_star.mrcs")), pixels(&own));
    succeeds(
        at.path(),
        &["drgn", "downsample", "particles.mrcs", "-D", "16", "--chunk", "20", "-o", "piece.mrcs"],
    );
    let list = std::fs::read_to_string(at.path().join("piece.txt")).unwrap();
    assert_eq!(list.lines().collect::<Vec<_>>(), ["piece.0.mrcs", "piece.1.mrcs", "piece.2.mrcs"]);
    let joined: Vec<f32> = list.lines().flat_map(|name| pixels(&at.path().join(name))).collect();
    assert_eq!(joined, pixels(&own));
    kinesome::systems::drgn::files::write_indices(&at.path().join("ind.pkl"), &[5, 3]).unwrap();
    succeeds(
        at.path(),
        &["drgn", "downsample", "piece.txt", "-D", "16", "--ind", "ind.pkl", "-o", "two.mrcs"],
    );
    // These are 16 pixels wide already: a transform and back.
    let wanted = [&joined[5 * 256..6 * 256], &joined[3 * 256..4 * 256]].concat();
    assert_close(&pixels(&at.path().join("two.mrcs")), &wanted, 1e-6, "two of a list");
}

#[test]
fn backprojection() {
    let at = workplace();
    let command =
        ["drgn", "backproject_voxel", "particles.mrcs", "--poses", "pose.pkl", "--ctf", "ctf.pkl", "-o"];
    succeeds(at.path(), &[&command[..], &["out"]].concat());
    let out = at.path().join("out");
    for name in ["backproject.mrc", "half_map_a.mrc", "half_map_b.mrc"] {
        let reference = golden(&format!("cli/{name}"));
        assert_close(&pixels(&out.join(name)), &pixels(&reference), 1e-5, name);
        for i in (0..3).chain(7..13).chain([22]) {
            assert_eq!(
                header_number(&out.join(name), i),
                header_number(&reference, i),
                "{name}, header word {i}"
            );
        }
    }
    let table = |path: &Path| -> Vec<Vec<f64>> {
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text.lines().next(), Some("pixres NoMask Spherical Loose Tight Corrected"));
        text.lines().skip(1).map(|l| l.split(' ').map(|v| v.parse().unwrap()).collect()).collect()
    };
    let (own, reference) = (table(&out.join("fsc-vals.txt")), table(&golden("cli/fsc-vals.txt")));
    assert_eq!(own.len(), reference.len());
    for (i, (own, reference)) in own.iter().zip(&reference).enumerate() {
        for column in 0..5 {
            // Shell 1 is DC alone, which is left out of a backprojection: without a mask its value is the sign of
            // a rounding error. Values have six decimals.
            if (i, column) != (1, 1) {
                assert!((own[column] - reference[column]).abs() < 5e-6, "row {i}, column {column}");
            }
        }
    }
    assert!(std::fs::read(out.join("fsc-plot.png")).unwrap().starts_with(b"\x89PNG"));
    assert_eq!(listing(&out).len(), 5);

    // On one thread, in odd batches, from the star: the same bits.
    let other = [
        "drgn",
        "backproject_voxel",
        "particles.star",
        "--poses",
        "pose.pkl",
        "--ctf",
        "ctf.pkl",
        "-o",
        "one",
    ];
    succeeds(at.path(), &[&other[..], &["--threads", "1", "-b", "7", "--output-sumcount"]].concat());
    for name in ["backproject.mrc", "half_map_a.mrc", "half_map_b.mrc", "fsc-vals.txt"] {
        assert_eq!(
            std::fs::read(out.join(name)).unwrap(),
            std::fs::read(at.path().join("one").join(name)).unwrap()
        );
    }
    let counts =
        kinesome::systems::drgn::files::read_array(&at.path().join("one/backproject.counts")).unwrap();
    assert_eq!(counts.shape, [33, 33, 33]);
    assert!(counts.to_f32().iter().all(|c| *c >= 0.0) && counts.to_f32().iter().any(|c| *c > 1.0));
}

#[test]
fn selections_of_poses_and_ctf_follow_the_images() {
    let at = workplace();
    let path = |name: &str| at.path().join(name);
    let chosen: Vec<usize> = (0..48).filter(|i| i % 3 != 1).collect();
    kinesome::systems::drgn::files::write_indices(&path("ind.pkl"), &chosen).unwrap();
    // All tables with --ind, and tables and images cut down beforehand, are the same data.
    let tables = ["--poses", "pose.pkl", "--ctf", "ctf.pkl", "--ind", "ind.pkl", "--no-half-maps", "-o", "a"];
    succeeds(at.path(), &[&["drgn", "backproject_voxel", "particles.mrcs"], &tables[..]].concat());
    for (command, from, to) in [
        ("filter_pkl", "pose.pkl", "p.pkl"),
        ("filter_pkl", "ctf.pkl", "c.pkl"),
        ("filter_mrcs", "particles.mrcs", "cut.mrcs"),
    ] {
        succeeds(at.path(), &["drgn", command, from, "--ind", "ind.pkl", "-o", to]);
    }
    let tables = ["--poses", "p.pkl", "--ctf", "c.pkl", "--no-half-maps", "-o", "b"];
    succeeds(at.path(), &[&["drgn", "backproject_voxel", "cut.mrcs"], &tables[..]].concat());
    assert_eq!(pixels(&path("a/backproject.mrc")), pixels(&path("b/backproject.mrc")));
    assert_eq!(listing(&path("a")).len(), 1);
    let tables = ["--poses", "pose.pkl", "--ctf", "ctf.pkl", "--first", "20", "--no-half-maps", "-o", "c"];
    succeeds(at.path(), &[&["drgn", "backproject_voxel", "particles.mrcs"], &tables[..]].concat());
    assert_ne!(pixels(&path("a/backproject.mrc")), pixels(&path("c/backproject.mrc")));
}
