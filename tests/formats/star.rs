//! STAR: syntax, round trips, RELION 3.0 and 3.1 particles.

use crate::mrc::{foreign, golden};
use kinesome::io::star::{NewParticles, ParticleTable, Star, image_name};
use std::path::Path;

fn parse(text: &str) -> Star {
    Star::parse(Path::new("t.star"), text).unwrap()
}

fn problem(text: &str) -> String {
    Star::parse(Path::new("t.star"), text).unwrap_err().to_string()
}

fn table(text: &str) -> Result<ParticleTable, kinesome::Error> {
    ParticleTable::from_star(Path::new("t.star"), parse(text))
}

const RICH: &str = "\u{feff}# written by hand\r\n\r\n# version 30001\r\n\r\ndata_general\r\n\r\n\
_rlnOne 'two words' # comment\r\n_rlnTwo\t7\r\n_rlnLong\r\n;first\r\nsecond 'x\" y\r\n;\r\n\r\n\
data_\r\nloop_ \r\n_rlnA #1\r\n_rlnB #2 \r\n  \"it's\" 1.50  \r\n\r\n# between\r\nb#c '' # end\r\n\
loop_\r\n_rlnC\r\n5\r\n;text\r\n;\r\n_rlnAfter 9\r\ndata_empty\r\n";

#[test]
fn syntax_of_every_kind_is_read_and_survives_a_round_trip() {
    let star = parse(RICH);
    let general = star.table("general").unwrap();
    assert_eq!(general.version.as_deref(), Some("# version 30001"));
    assert_eq!(general.value("rlnOne"), Some("two words"));
    assert_eq!(general.value("_rlnTwo"), Some("7"));
    assert_eq!(general.value("_rlnLong"), Some("first\nsecond 'x\" y"));
    let loops = star.table("").unwrap();
    assert_eq!(loops.columns(), ["_rlnA", "_rlnB"]);
    assert_eq!((loops.len(), loops.get(0, 0), loops.get(0, 1)), (2, Some("it's"), Some("1.50")));
    assert_eq!((loops.get(1, 0), loops.get(1, 1), loops.get(2, 0)), (Some("b#c"), Some(""), None));
    assert_eq!(loops.line(1), Some(21));
    assert_eq!(star.tables.len(), 5);
    assert_eq!(star.tables[2].get(1, 0), Some("text"));
    assert_eq!(star.tables[3].value("rlnAfter"), Some("9"));
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a.star"), folder.path().join("b.star"));
    star.write(&a).unwrap();
    let again = Star::read(&a).unwrap();
    assert_eq!(again.tables.len(), 5);
    for (x, y) in star.tables.iter().zip(&again.tables) {
        assert_eq!(
            (&x.block, &x.version, x.looped, x.continues),
            (&y.block, &y.version, y.looped, y.continues)
        );
        assert_eq!((x.columns(), x.len()), (y.columns(), y.len()));
        for row in 0..x.len() {
            (0..x.columns().len()).for_each(|c| assert_eq!(x.get(row, c), y.get(row, c)));
        }
    }
    again.write(&b).unwrap();
    assert_eq!(std::fs::read(&a).unwrap(), std::fs::read(&b).unwrap());
}

#[test]
fn damage_is_reported_with_its_line() {
    let head = "data_\nloop_\n_rlnA #1\n_rlnB #2\n_rlnC #3\n1 2 3\n";
    for (text, words) in [
        (format!("{head}4 5\n6 7 8\n"), ["line 7", "2 values in a table of 3"]),
        (format!("{head}4 5 6 7\n"), ["line 7", "4 values in a table of 3"]),
        (format!("{head}4 5"), ["line 7", "cut short"]),
        (format!("{head}'4 5 6\n"), ["line 7", "not closed"]),
        (format!("{head};4 5 6\n"), ["line 7", "never closed"]),
        ("hello\n".into(), ["line 1", "before any data_"]),
        ("data_\nhello there\n".into(), ["line 2", "outside any loop"]),
        ("data_\n_a\n_b 2\n".into(), ["line 2", "no value"]),
        ("data_\nloop_\n_a\n_a\n".into(), ["line 4", "twice"]),
        ("data_\nloop_\n1 2\n".into(), ["line 3", "before any column"]),
        ("# nothing\n".into(), ["t.star", "no data_ block"]),
    ] {
        let text = problem(&text);
        assert!(words.iter().all(|w| text.contains(w)), "{text} lacks one of {words:?}");
    }
}

#[test]
fn no_byte_can_cause_a_panic() {
    let bytes = RICH.as_bytes();
    let (mut fine, mut bad) = (0, 0);
    for at in 0..bytes.len() {
        for value in *b"\0 \n;'\"_#dl1\xff" {
            let mut text = bytes.to_vec();
            text[at] = value;
            let Ok(text) = std::str::from_utf8(&text) else { continue };
            match Star::parse(Path::new("t.star"), text) {
                Ok(star) => {
                    fine += 1;
                    let _ = ParticleTable::from_star(Path::new("t.star"), star).map(|t| t.floats("rlnB"));
                }
                Err(_) => bad += 1,
            }
        }
        let _ = Star::parse(Path::new("t.star"), std::str::from_utf8(&bytes[..at]).unwrap_or_default());
    }
    assert!(fine > 100 && bad > 100, "{fine} {bad}");
}

#[test]
fn optics_come_first_and_are_joined_row_by_row() {
    let text = "data_optics\nloop_\n_rlnOpticsGroup\n_rlnVoltage\n_rlnImagePixelSize\n2 200 1.5\n7 300 2\n\
data_particles\nloop_\n_rlnImageName\n_rlnOpticsGroup\n_rlnOriginXAngst\n_rlnOriginYAngst\n_rlnVoltage\n\
1@a.mrcs 7 3 6 1\n2@a.mrcs 2 3 6 1\n3@a.mrcs 7 bad 6 1\n";
    let t = table(text).unwrap();
    assert_eq!(t.floats("rlnVoltage").unwrap(), [300.0, 200.0, 300.0]);
    assert_eq!(t.apix().unwrap().unwrap(), [2.0, 1.5, 2.0]);
    let bad = t.origins_pixels(None).unwrap_err().to_string();
    assert!(bad.contains("line 17") && bad.contains("_rlnOriginXAngst is `bad`"), "{bad}");
    let t = table(&text.replace("bad", "-4")).unwrap();
    assert_eq!(t.origins_pixels(None).unwrap().unwrap(), [[1.5, 3.0], [2.0, 4.0], [-2.0, 3.0]]);
    assert_eq!(t.origins_pixels(Some(3.0)).unwrap().unwrap()[0], [1.0, 2.0]);
    let lost = table(&text.replace("2@a.mrcs 2", "2@a.mrcs 3")).unwrap_err().to_string();
    assert!(lost.contains("line 16") && lost.contains("optics group 3"), "{lost}");
    let missing = t.floats("rlnAmplitudeContrast").unwrap_err().to_string();
    for word in ["t.star", "data_particles", "_rlnAmplitudeContrast", "-w", "_rlnOriginXAngst", "optics:"] {
        assert!(missing.contains(word), "{missing}");
    }
}

#[test]
fn image_names_count_from_one() {
    assert_eq!(image_name("000012@a/b@c.mrcs"), Some((11, "a/b@c.mrcs")));
    assert_eq!(image_name("one.mrc"), Some((0, "one.mrc")));
    for bad in ["0@a.mrcs", "x@a.mrcs", "-1@a.mrcs", "1@", "4294967297@a.mrcs"] {
        assert_eq!(image_name(bad), None, "{bad}");
    }
    let t = table("data_\nloop_\n_rlnImageName\n1@a\n0@a\n").unwrap();
    assert_eq!(t.image(0).unwrap(), (0, "a"));
    assert!(t.image(1).unwrap_err().to_string().contains("line 5"));
}

#[test]
fn particles_are_found_in_every_version() {
    assert_eq!(table("data_images\nloop_\n_rlnX\n1\n2\ndata_other\nloop_\n_rlnY\n1\n").unwrap().len(), 2);
    // RELION 5 writes particles of a tomogram as 2-D stacks with lists of visible frames.
    let five = "data_general\n_rlnTomoSubTomosAre2DStacks 1\ndata_optics\nloop_\n_rlnOpticsGroup\n\
_rlnTomoTiltSeriesPixelSize\n_rlnImagePixelSize\n1 1.35 5.4\ndata_particles\nloop_\n_rlnTomoName\n_rlnImageName\n\
_rlnTomoVisibleFrames\n_rlnOpticsGroup\nTS_01 S/1_stack2d.mrcs [1,1,0] 1\n";
    let t = table(five).unwrap();
    assert_eq!(t.texts("rlnTomoVisibleFrames").unwrap(), ["[1,1,0]"]);
    assert_eq!(t.apix().unwrap().unwrap(), [5.4]);
    assert!(table("data_\n_rlnA 1\n").unwrap_err().to_string().contains("no table of particles"));
    assert!(table("data_particles\nloop_\n_rlnA\n").unwrap_err().to_string().contains("no rows"));
}

#[test]
fn new_particles_are_written_for_both_versions() {
    let ctf = |apix: f64, u: f64| [64.0, apix, u, 9000.0, 12.5, 300.0, 2.7, 0.1, 0.0];
    let new = NewParticles {
        images: vec!["1@a.mrcs".into(), "2@a.mrcs".into(), "1@b.mrcs".into()],
        ctf: Some(vec![ctf(1.5, 1e4), ctf(1.5, 11000.25), ctf(2.0, 1e4)]),
        euler: Some(vec![[1.0, 2.0, 3.0]; 3]),
        origins: Some(vec![[3.0, -6.0]; 3]),
        extra: vec![("_rlnMicrographName".into(), vec!["my mic.mrc".into(); 3])],
    };
    let folder = tempfile::tempdir().unwrap();
    for (name, star) in [("31.star", new.relion31().unwrap()), ("30.star", new.relion30().unwrap())] {
        let path = folder.path().join(name);
        star.write(&path).unwrap();
        let t = ParticleTable::open(&path).unwrap();
        assert_eq!(t.optics().map(|o| o.len()), (name == "31.star").then_some(2));
        assert_eq!(t.apix().unwrap().unwrap(), [1.5, 1.5, 2.0], "{name}");
        assert_eq!(t.origins_pixels(None).unwrap().unwrap(), [[2.0, -4.0], [2.0, -4.0], [1.5, -3.0]]);
        assert_eq!(t.floats("rlnVoltage").unwrap(), [300.0; 3]);
        assert_eq!(t.floats("rlnDefocusU").unwrap(), [1e4, 11000.25, 1e4]);
        assert_eq!(t.texts("rlnMicrographName").unwrap()[2], "my mic.mrc");
        assert_eq!(t.image(2).unwrap(), (0, "b.mrcs"));
        let picked = ParticleTable::from_star(&path, t.select(&[2, 0]).unwrap()).unwrap();
        assert_eq!(picked.texts("rlnImageName").unwrap(), ["1@b.mrcs", "1@a.mrcs"]);
        assert_eq!(picked.apix().unwrap().unwrap(), [2.0, 1.5]);
        assert!(t.select(&[3]).is_err());
    }
    let ragged = NewParticles { images: vec!["1@a".into()], euler: Some(vec![]), ..NewParticles::default() };
    assert!(ragged.relion31().is_err());
}

#[test]
fn columns_can_be_replaced_and_added() {
    let mut t = table("data_\nloop_\n_rlnImageName\n_rlnX\n1@a 5\n2@a 6\n").unwrap();
    t.set_column("rlnX", &["7".into(), "8".into()]).unwrap();
    t.set_column("_rlnNew", &["p q".into(), "".into()]).unwrap();
    assert_eq!(t.floats("rlnX").unwrap(), [7.0, 8.0]);
    assert_eq!(t.texts("rlnNew").unwrap(), ["p q", ""]);
    assert_eq!(t.texts("rlnImageName").unwrap(), ["1@a", "2@a"]);
    assert!(t.set_column("rlnX", &[]).is_err());
}

#[test]
fn files_of_other_programs_are_read() {
    let t = ParticleTable::open(golden("cli/particles.star")).unwrap();
    assert_eq!((t.len(), t.image(47).unwrap()), (48, (47, "particles.mrcs")));
    assert_eq!((t.floats("rlnAngleRot").unwrap()[0], t.apix().unwrap().unwrap()[47]), (159.500198, 4.0));
    let (Some(new), Some(old)) = (foreign("relion31.star"), foreign("empiar_10076_7.star")) else { return };
    let t = ParticleTable::open(&new).unwrap();
    assert_eq!((t.len(), t.particles().columns().len()), (5, 26));
    assert_eq!(t.image(4).unwrap(), (4, "relion31.mrcs"));
    assert_eq!(t.floats("rlnVoltage").unwrap(), [300.0; 5]);
    assert_eq!(t.floats("rlnDefocusV").unwrap()[4], 12463.041100);
    assert_eq!(t.apix().unwrap().unwrap(), [2.806; 5]);
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.star");
    t.star().write(&copy).unwrap();
    let c = ParticleTable::open(&copy).unwrap();
    for name in t.particles().columns() {
        assert_eq!(t.texts(name).unwrap(), c.texts(name).unwrap());
    }
    let t = ParticleTable::open(&old).unwrap();
    assert_eq!((t.len(), t.optics().is_none()), (7, true));
    // 5 µm at 38168 times.
    assert!((t.apix().unwrap().unwrap()[0] - 1.309_997_9).abs() < 1e-6);
    assert!(t.origins_pixels(None).unwrap().is_none());
}
