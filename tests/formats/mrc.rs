//! MRC: every mode in both byte orders from crafted bytes, headers that lie, and round trips.

use kinesome::Error;
use kinesome::io::atomic;
use kinesome::io::mrc::{Mode, MrcFile, StackWriter, Volume, write_volume};
use std::path::{Path, PathBuf};

/// Goldens of the reference program.
pub fn golden(name: &str) -> PathBuf {
    let root = std::env::var("KINESOME_ROOT").unwrap_or(env!("CARGO_MANIFEST_DIR").into());
    Path::new(&root).join("tests/golden/cryodrgn").join(name)
}

/// Files that other programs wrote, which are not part of the repository; None (with a word) without them.
pub fn foreign(name: &str) -> Option<PathBuf> {
    match std::env::var_os("KINESOME_FOREIGN") {
        Some(folder) => Some(Path::new(&folder).join(name)),
        None => {
            assert!(std::env::var_os("CI").is_none(), "KINESOME_FOREIGN must name the foreign files in CI");
            println!("skipped: set KINESOME_FOREIGN to the folder that holds {name}");
            None
        }
    }
}

/// An MRC file by hand: size (nx, ny, nz), mode number, pixel bytes as they are.
pub fn craft(size: [i32; 3], mode: i32, big: bool, stamp: bool, extended: &[u8], pixels: &[u8]) -> Vec<u8> {
    let mut head = vec![0u8; 1024];
    let mut put = |at: usize, v: i32| {
        head[at..at + 4].copy_from_slice(&if big { v.to_be_bytes() } else { v.to_le_bytes() });
    };
    for (k, n) in size.into_iter().enumerate() {
        put(4 * k, n);
        put(28 + 4 * k, n);
        put(40 + 4 * k, (n as f32 * 1.5).to_bits() as i32);
    }
    put(12, mode);
    put(92, extended.len() as i32);
    if stamp {
        let s = if big { 0x11 } else { 0x44 };
        head[212..214].copy_from_slice(&[s, s]);
    }
    [&head, extended, pixels].concat()
}

fn save(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn message(path: &Path) -> String {
    MrcFile::open(path).unwrap_err().to_string()
}

#[test]
fn every_mode_in_both_byte_orders_with_and_without_stamp() {
    let folder = tempfile::tempdir().unwrap();
    // 2 x 2 x 2 values that each type holds exactly.
    type Bytes = fn(f32, bool) -> Vec<u8>;
    fn pick<const N: usize>(le: [u8; N], be: [u8; N], big: bool) -> Vec<u8> {
        if big { be.to_vec() } else { le.to_vec() }
    }
    let signed = [-128.0, -1.0, 0.0, 1.0, 2.0, 3.0, 100.0, 127.0];
    let unsigned = [0.0, 1.0, 2.0, 3.0, 255.0, 256.0, 40000.0, 65535.0];
    let real = [-1.5, 0.0, 0.25, 1.0, -2048.0, 3.0, 0.5, 65504.0];
    let cases: [(i32, [f32; 8], Bytes); 6] = [
        (0, signed, |v, _| vec![v as i8 as u8]),
        (17, signed, |v, _| vec![v as i8 as u8]),
        (1, signed, |v, big| pick((v as i16).to_le_bytes(), (v as i16).to_be_bytes(), big)),
        (6, unsigned, |v, big| pick((v as u16).to_le_bytes(), (v as u16).to_be_bytes(), big)),
        (2, real, |v, big| pick(v.to_le_bytes(), v.to_be_bytes(), big)),
        (12, real, |v, big| {
            pick(half::f16::from_f32(v).to_le_bytes(), half::f16::from_f32(v).to_be_bytes(), big)
        }),
    ];
    for (mode, values, bytes) in cases {
        for (big, stamp) in [(false, true), (false, false), (true, true), (true, false)] {
            let pixels: Vec<u8> = values.iter().flat_map(|v| bytes(*v, big)).collect();
            for extended in [&[][..], &[7u8; 35]] {
                let path =
                    save(folder.path(), "a.mrcs", &craft([2, 2, 2], mode, big, stamp, extended, &pixels));
                let file = MrcFile::open(&path).unwrap();
                assert_eq!(file.header().big_endian, big, "mode {mode} stamp {stamp}");
                assert_eq!(file.header().apix, Some(1.5));
                let mut out = [0f32; 4];
                for i in 0..2 {
                    file.read_image(i, &mut out).unwrap();
                    assert_eq!(out[..], values[4 * i..4 * i + 4], "mode {mode} big {big} stamp {stamp}");
                }
                assert_eq!(file.read_volume().unwrap().data, values);
            }
        }
    }
}

#[test]
fn bytes_are_signed_unless_imod_or_the_caller_says_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = craft([2, 1, 1], 0, false, true, &[], &[200, 1]);
    let path = save(folder.path(), "a.mrc", &bytes);
    assert_eq!(MrcFile::open(&path).unwrap().read_volume().unwrap().data, [-56.0, 1.0]);
    assert_eq!(MrcFile::open_unsigned(&path).unwrap().read_volume().unwrap().data, [200.0, 1.0]);
    bytes[152..156].copy_from_slice(&1_146_047_817i32.to_le_bytes());
    let path = save(folder.path(), "b.mrc", &bytes);
    assert_eq!(MrcFile::open(&path).unwrap().read_volume().unwrap().data, [200.0, 1.0]);
    bytes[156] = 1; // IMOD: bytes are signed
    let path = save(folder.path(), "c.mrc", &bytes);
    assert_eq!(MrcFile::open(&path).unwrap().read_volume().unwrap().data, [-56.0, 1.0]);
}

#[test]
fn a_file_that_disagrees_with_its_header_does_not_open() {
    let folder = tempfile::tempdir().unwrap();
    let good = craft([4, 4, 3], 2, false, true, &[], &[0; 192]);
    let cut = message(&save(folder.path(), "cut.mrcs", &good[..good.len() - 1]));
    assert!(cut.contains("cut.mrcs") && cut.contains("1216 bytes") && cut.contains("has 1215"), "{cut}");
    let longer = message(&save(folder.path(), "long.mrcs", &[&good[..], &[0; 64]].concat()));
    assert!(longer.contains("1 more sections"), "{longer}");
    // Padding short of a section is harmless.
    assert!(MrcFile::open(save(folder.path(), "pad.mrcs", &[&good[..], &[0; 63]].concat())).is_ok());
    assert!(message(&save(folder.path(), "short.mrcs", &good[..1000])).contains("1024"));
    assert!(message(&save(folder.path(), "empty.mrcs", b"")).contains("empty"));
    assert!(message(folder.path()).contains("not a regular file"));
    assert!(message(&folder.path().join("none.mrc")).contains("none.mrc"));
    for (size, mode, extended, word) in [
        ([0, 4, 3], 2, 0, "nx is 0"),
        ([4, -4, 3], 2, 0, "ny is -4"),
        ([4, 4, 3], 4, 0, "complex"),
        ([4, 4, 3], 99, 0, "mode 99"),
        ([i32::MAX, i32::MAX, i32::MAX], 2, 0, "promises"),
        ([4, 4, 3], 2, -8, "extended header"),
    ] {
        let mut bytes = craft(size, mode, false, true, &[], &[0; 192]);
        bytes[92..96].copy_from_slice(&i32::to_le_bytes(extended));
        let text = message(&save(folder.path(), "lie.mrcs", &bytes));
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn no_byte_of_a_header_can_cause_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let good = craft([4, 4, 3], 2, false, true, &[], &[1; 192]);
    let mut opened = 0;
    for at in 0..256 {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bytes = good.clone();
            bytes[at] = value;
            if let Ok(file) = MrcFile::open(save(folder.path(), "flip.mrcs", &bytes)) {
                opened += 1;
                let h = file.header().clone();
                let mut out = vec![0.0; h.nx * h.ny];
                (0..file.len()).for_each(|i| file.read_image(i, &mut out).unwrap());
                assert!(file.read_image(file.len(), &mut out).is_err());
                assert!(file.read_image(0, &mut [0.0]).is_err());
                file.read_volume().unwrap();
            }
        }
    }
    assert!(opened > 500, "most fields do not matter for reading: {opened}");
}

#[test]
fn volumes_survive_a_round_trip_and_state_their_statistics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.mrc");
    let data: Vec<f32> = (0..24).map(|k| (k as f32 - 7.0) * 0.5).collect();
    write_volume(&path, &data, [2, 3, 4], 1.25, [1.0, -2.0, 3.0]).unwrap();
    let v = Volume::read(&path).unwrap();
    assert_eq!((v.data.as_slice(), v.dims, v.apix), (data.as_slice(), [2, 3, 4], Some(1.25)));
    assert_eq!(v.origin, [1.0, -2.0, 3.0]);
    let h = MrcFile::open(&path).unwrap().header().clone();
    assert_eq!((h.ispg, h.stats[0], h.stats[1], h.stats[2]), (1, -3.5, 8.0, 2.25));
    // rms of 24 equal steps of 0.5: 0.5 * sqrt((24^2 - 1) / 12); the header holds f32.
    assert!((f64::from(h.stats[3]) - 0.5 * (575.0f64 / 12.0).sqrt()).abs() < 1e-6);
    assert!(h.labels[0].starts_with("kinesome"));
    MrcFile::open(&path).unwrap().write_copy(&path, 2.0, Some([0.0; 3])).unwrap();
    let w = Volume::read(&path).unwrap();
    assert_eq!((w.data, w.apix, w.origin), (data.clone(), Some(2.0), [0.0; 3]));
    assert!(write_volume(&path, &data, [2, 3, 5], 1.0, [0.0; 3]).is_err());
    assert!(write_volume(&path, &data, [2, 3, 4], 0.0, [0.0; 3]).is_err());
}

#[test]
fn axes_stored_in_another_order_are_turned() {
    let folder = tempfile::tempdir().unwrap();
    // Columns run along z, rows along x, sections along y: nx = 2 (z), ny = 3 (x), nz = 1 (y).
    let pixels: Vec<u8> = (0..6).flat_map(|k| (k as f32).to_le_bytes()).collect();
    let mut bytes = craft([2, 3, 1], 2, false, true, &[], &pixels);
    for (k, axis) in [3i32, 1, 2].into_iter().enumerate() {
        bytes[64 + 4 * k..68 + 4 * k].copy_from_slice(&axis.to_le_bytes());
    }
    let v = MrcFile::open(save(folder.path(), "t.mrc", &bytes)).unwrap().read_volume().unwrap();
    assert_eq!(v.dims, [2, 1, 3]);
    assert_eq!(v.data, [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
}

#[test]
fn stacks_are_written_in_every_mode_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let images = [[0.0, 1.0, 2.0, 100.0], [3.0, 4.0, 5.0, 6.0], [7.0, 8.0, 9.0, 127.0]];
    for mode in [Mode::Int8, Mode::Uint8, Mode::Int16, Mode::Uint16, Mode::Float32, Mode::Float16] {
        let path = folder.path().join("s.mrcs");
        let mut out = StackWriter::create(&path, 2, 2, mode, 3.0).unwrap();
        images.iter().for_each(|i| out.push(i).unwrap());
        assert!(out.push(&[0.0; 3]).is_err());
        out.finish().unwrap();
        let file = MrcFile::open(&path).unwrap();
        let h = file.header();
        assert_eq!((h.mode, h.nz, h.ispg, h.apix), (mode, 3, 0, Some(3.0)));
        assert_eq!(h.stats, [-1.0, -2.0, -3.0, -1.0]);
        assert_eq!(file.read_volume().unwrap().data, images.concat(), "{mode:?}");
        std::fs::remove_file(&path).unwrap();
    }
    let path = folder.path().join("edge.mrcs");
    let mut out = StackWriter::create(&path, 2, 2, Mode::Int8, 1.0).unwrap();
    out.push(&[-1000.0, 1000.0, 1.6, -1.6]).unwrap();
    out.finish().unwrap();
    assert_eq!(Volume::read(&path).unwrap().data, [-128.0, 127.0, 2.0, -2.0]);
    let mut out = StackWriter::create(&path, 2, 2, Mode::Float16, 1.0).unwrap();
    assert!(out.push(&[70000.0; 4]).unwrap_err().to_string().contains("float16"));
    drop(out);
    let empty = StackWriter::create(&path, 2, 2, Mode::Float32, 1.0).unwrap().finish();
    assert!(empty.unwrap_err().to_string().contains("no image"));
    // Neither attempt touched the file or left another behind.
    assert_eq!(Volume::read(&path).unwrap().data[0], -128.0);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn files_of_the_reference_program_are_read() {
    let v = Volume::read(golden("cli/vol.mrc")).unwrap();
    assert_eq!((v.dims, v.apix, v.cube_side().unwrap()), ([32; 3], Some(1.0), 32));
    let h = MrcFile::open(golden("cli/vol.mrc")).unwrap().header().clone();
    // The header's statistics were computed by the reference in f32; 1e-6 absolute on values below 1.
    let mean = v.data.iter().map(|v| f64::from(*v)).sum::<f64>() / v.data.len() as f64;
    assert!((mean - f64::from(h.stats[2])).abs() < 1e-6);
    assert_eq!(v.data.iter().copied().fold(f32::MIN, f32::max), h.stats[1]);
    assert_eq!(v.data.iter().copied().fold(f32::MAX, f32::min), h.stats[0]);
    let s = MrcFile::open(golden("cli/particles.16.mrcs")).unwrap();
    assert_eq!((s.len(), s.header().nx, s.header().apix, s.header().ispg), (48, 16, Some(8.0), 0));
    let Some(path) = foreign("empiar_10076_7.mrc") else { return };
    let file = MrcFile::open(path).unwrap();
    let v = file.read_volume().unwrap();
    assert_eq!((v.dims, v.apix), ([7, 320, 320], None));
    assert_eq!(v.data.iter().copied().fold(f32::MIN, f32::max), file.header().stats[1]);
}

#[test]
fn outputs_appear_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    atomic::write(&path, |out| out.write_all(b"old")).unwrap();
    let full = atomic::write(&path, |out| {
        out.write_all(b"new")?;
        Err(std::io::Error::from(std::io::ErrorKind::StorageFull))
    });
    assert!(full.unwrap_err().to_string().contains(&*path.to_string_lossy()));
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    let own = atomic::write(&path, |_| Err(std::io::Error::other(Error::Interrupted)));
    assert!(matches!(own, Err(Error::Interrupted)));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(atomic::write(folder.path(), |_| Ok(())).is_err());
    let nowhere = atomic::write(&folder.path().join("no/such"), |_| Ok(())).unwrap_err().to_string();
    assert!(nowhere.contains("no folder"), "{nowhere}");
    atomic::folder(&folder.path().join("a/b")).unwrap();
    assert!(folder.path().join("a/b").is_dir());
    let under_file = atomic::folder(&path.join("sub")).unwrap_err().to_string();
    assert!(under_file.contains("is a file"), "{under_file}");
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_devices_written_directly() {
    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (folder.path().join("real"), folder.path().join("link"));
    std::fs::write(&real, "old").unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    atomic::write(&link, |out| out.write_all(b"new")).unwrap();
    assert_eq!(std::fs::read(&real).unwrap(), b"new");
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    atomic::write(Path::new("/dev/null"), |out| out.write_all(b"gone")).unwrap();
    write_volume(Path::new("/dev/null"), &[1.0], [1; 3], 1.0, [0.0; 3]).unwrap();
    if Path::new("/dev/full").exists() {
        let text =
            atomic::write(Path::new("/dev/full"), |out| out.write_all(&[0; 100])).unwrap_err().to_string();
        assert!(text.contains("/dev/full"), "{text}");
        let text = StackWriter::create(Path::new("/dev/full"), 2, 2, Mode::Float32, 1.0).and_then(|mut s| {
            s.push(&[0.0; 4])?;
            s.finish()
        });
        assert!(text.unwrap_err().to_string().contains("/dev/full"));
    }
}
