//! Particle stacks: one view over .mrcs, .star, .cs and .txt, and what is refused at open.

use crate::cs;
use crate::mrc::{craft, foreign, golden};
use kinesome::io::mrc::{Mode, MrcFile, StackWriter};
use kinesome::io::particles::ParticleStack;
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// A stack whose image k is filled with `first + k`.
fn stack(path: &Path, side: usize, images: usize, first: f32) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut out = StackWriter::create(path, side, side, Mode::Float32, 2.0).unwrap();
    (0..images).for_each(|k| out.push(&vec![first + k as f32; side * side]).unwrap());
    out.finish().unwrap();
}

fn text(folder: &Path, name: &str, content: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// The value each particle is filled with.
fn values(s: &ParticleStack) -> Vec<f32> {
    let mut out = vec![0.0; s.box_size() * s.box_size()];
    (0..s.len())
        .map(|i| {
            s.read(i, &mut out).unwrap();
            assert!(out.iter().all(|v| *v == out[0]));
            out[0]
        })
        .collect()
}

fn open(path: &Path) -> Result<ParticleStack, String> {
    ParticleStack::open(path, None, None).map_err(|e| e.to_string())
}

fn star(rows: &[&str]) -> String {
    format!("data_\nloop_\n_rlnImageName #1\n{}\n", rows.join("\n"))
}

#[test]
fn all_kinds_of_lists_give_the_same_view() {
    let dir = tempfile::tempdir().unwrap();
    let d = dir.path();
    stack(&d.join("a.mrcs"), 4, 3, 0.0);
    stack(&d.join("sub/b.mrcs"), 4, 2, 10.0);
    let s = open(&d.join("a.mrcs")).unwrap();
    assert_eq!((values(&s), s.apix(), s.box_size()), (vec![0.0, 1.0, 2.0], Some(2.0), 4));
    let s = open(&text(d, "p.star", &star(&["2@sub/b.mrcs", "000003@a.mrcs", "1@sub/b.mrcs:mrcs"]))).unwrap();
    assert_eq!((values(&s), s.files().count()), (vec![11.0, 2.0, 10.0], 2));
    assert_eq!(s.source(1).unwrap(), (d.join("a.mrcs").as_path(), 2));
    text(d, "sub/inner.txt", "b.mrcs\n");
    let list = text(d, "p.txt", "a.mrcs\n\n# comment\r\nsub/inner.txt\n  p.star  \n");
    let all = vec![0.0, 1.0, 2.0, 10.0, 11.0, 11.0, 2.0, 10.0];
    assert_eq!(values(&open(&list).unwrap()), all);
    let some = ParticleStack::open(&list, None, Some(&[7, 0, 0, 4])).unwrap();
    assert_eq!(values(&some), [10.0, 0.0, 0.0, 11.0]);
    let one = ParticleStack::open(&d.join("a.mrcs"), None, Some(&[2])).unwrap();
    assert_eq!(values(&one), [2.0]);
    let row = |path: &str, idx: u32| {
        [format!("{path:\0<12}").as_bytes(), &idx.to_le_bytes(), &3.0f32.to_le_bytes()].concat()
    };
    let data = [row(">sub/b.mrcs", 1), row("a.mrcs", 0)].concat();
    let descr = "[('blob/path', '|S12'), ('blob/idx', '<u4'), ('blob/psize_A', '<f4')]";
    let s = open(&cs::save(d, "p.cs", &cs::craft(descr, 2, &data))).unwrap();
    assert_eq!((values(&s), s.apix()), (vec![11.0, 0.0], Some(3.0)));
}

#[test]
fn images_are_searched_in_datadir_with_and_without_their_folders() {
    let dir = tempfile::tempdir().unwrap();
    let d = dir.path();
    stack(&d.join("data/x/y.mrcs"), 4, 1, 1.0);
    stack(&d.join("data/z.mrcs"), 4, 1, 2.0);
    std::fs::create_dir(d.join("stars")).unwrap();
    let path = text(d, "stars/p.star", &star(&["1@x/y.mrcs", "1@far/away/z.mrcs"]));
    let s = ParticleStack::open(&path, Some(&d.join("data")), None).unwrap();
    assert_eq!(values(&s), [1.0, 2.0]);
    let text = open(&path).unwrap_err();
    assert!(text.contains("p.star") && text.contains("line 4") && text.contains("--datadir"), "{text}");
    // What is not selected need not be there.
    let only = ParticleStack::open(&path, Some(&d.join("data/x")), Some(&[0]));
    assert_eq!(values(&only.unwrap()), [1.0]);
}

#[test]
fn what_cannot_work_is_refused_at_open() {
    let dir = tempfile::tempdir().unwrap();
    let d = dir.path();
    stack(&d.join("a.mrcs"), 4, 3, 0.0);
    stack(&d.join("big.mrcs"), 6, 3, 0.0);
    std::fs::write(d.join("odd.mrcs"), craft([5, 5, 1], 2, false, true, &[], &[0; 100])).unwrap();
    std::fs::write(d.join("wide.mrcs"), craft([4, 6, 1], 2, false, true, &[], &[0; 96])).unwrap();
    std::fs::write(d.join("cut.mrcs"), craft([4, 4, 9], 2, false, true, &[], &[0; 96])).unwrap();
    let listed = |rows: &[&str]| open(&text(d, "l.star", &star(rows))).unwrap_err();
    for (message, words) in [
        (open(&d.join("odd.mrcs")).unwrap_err(), ["odd.mrcs", "even"]),
        (open(&d.join("wide.mrcs")).unwrap_err(), ["wide.mrcs", "4 x 6"]),
        (listed(&["1@a.mrcs", "4@a.mrcs"]), ["line 5", "holds only 3"]),
        (listed(&["1@a.mrcs", "1@gone.mrcs", "1@a.mrcs"]), ["line 5", "gone.mrcs"]),
        (listed(&["1@a.mrcs", "1@big.mrcs"]), ["big.mrcs", "box is 6"]),
        (listed(&["1@a.mrcs", "0@a.mrcs"]), ["line 5", "counted from 1"]),
        (listed(&["1@a.mrcs", "1@cut.mrcs"]), ["cut.mrcs", "cut short"]),
        (listed(&[]), ["l.star", "no particles"]),
        (open(&text(d, "e.txt", "\n# none\n")).unwrap_err(), ["e.txt", "empty"]),
        (open(&text(d, "l.txt", "a.mrcs\ngone.mrcs\na.mrcs\n")).unwrap_err(), ["line 2", "gone.mrcs"]),
        (open(&text(d, "m.txt", "a.mrcs\nbig.mrcs\n")).unwrap_err(), ["big.mrcs", "box is 6"]),
        (open(&text(d, "self.txt", "self.txt\n")).unwrap_err(), ["self.txt", "nested"]),
    ] {
        assert!(words.iter().all(|w| message.contains(w)), "{message} lacks one of {words:?}");
    }
    let pick =
        |ind: &[usize]| ParticleStack::open(&d.join("a.mrcs"), None, Some(ind)).unwrap_err().to_string();
    assert!(pick(&[0, 3]).contains("particle 3") && pick(&[]).contains("empty"));
}

#[test]
fn pixels_that_are_not_finite_are_reported_with_their_image() {
    let dir = tempfile::tempdir().unwrap();
    for (mode, bad) in
        [(Mode::Float32, f32::NAN), (Mode::Float16, f32::INFINITY), (Mode::Float32, f32::NEG_INFINITY)]
    {
        let path = dir.path().join("n.mrcs");
        let mut out = StackWriter::create(&path, 4, 4, mode, 1.0).unwrap();
        let mut image = [1.0; 16];
        out.push(&image).unwrap();
        image[6] = bad;
        out.push(&image).unwrap();
        out.finish().unwrap();
        let s = open(&path).unwrap();
        s.read(0, &mut image).unwrap();
        let message = s.read(1, &mut image).unwrap_err().to_string();
        for word in ["particle 1", "image 2@", "n.mrcs", "x 2, y 1"] {
            assert!(message.contains(word), "{message}");
        }
        assert!(s.read(2, &mut image).is_err() && s.read(0, &mut [0.0; 3]).is_err());
    }
}

#[test]
fn many_threads_read_one_stack() {
    let dir = tempfile::tempdir().unwrap();
    stack(&dir.path().join("a.mrcs"), 8, 200, 0.0);
    let s = open(&dir.path().join("a.mrcs")).unwrap();
    let read: Vec<f32> = (0..200)
        .into_par_iter()
        .map(|i| {
            let mut out = vec![0.0; 64];
            s.read(i, &mut out).unwrap();
            out.iter().sum::<f32>() / 64.0
        })
        .collect();
    assert_eq!(read, (0..200).map(|k| k as f32).collect::<Vec<_>>());
}

#[test]
fn stacks_of_other_programs_are_read() {
    let by_star = open(&golden("cli/particles.star")).unwrap();
    let by_file = open(&golden("cli/particles.mrcs")).unwrap();
    assert_eq!((by_star.len(), by_file.len(), by_star.box_size(), by_star.apix()), (48, 48, 32, Some(4.0)));
    let (mut a, mut b) = (vec![0.0; 1024], vec![1.0; 1024]);
    for i in 0..48 {
        by_star.read(i, &mut a).unwrap();
        by_file.read(i, &mut b).unwrap();
        assert_eq!(a, b);
    }
    let (Some(new), Some(old)) = (foreign("relion31.star"), foreign("empiar_10076_7.star")) else { return };
    let s = open(&new).unwrap();
    assert_eq!((s.len(), s.box_size(), s.apix()), (5, 256, Some(2.806)));
    let s = open(&old).unwrap();
    assert_eq!((s.len(), s.box_size()), (7, 320));
    // The header's mean and deviation over all seven images, which another program computed in f32.
    let (mut sum, mut image) = (0.0, vec![0.0; 320 * 320]);
    for i in 0..7 {
        s.read(i, &mut image).unwrap();
        sum += image.iter().map(|v| f64::from(*v)).sum::<f64>();
    }
    let stated = MrcFile::open(s.source(0).unwrap().0).unwrap().header().stats[2];
    assert!((sum / (7.0 * 320.0 * 320.0) - f64::from(stated)).abs() < 1e-5);
}
