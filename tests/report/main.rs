//! Figures, pictures of maps and the HTML report.

use std::io::Cursor;
use std::path::PathBuf;

use kinesome::report::page::{Card, Verdict, escape};
use kinesome::report::volume::{Contour, Style, View, central_slice, contour_level, max_projection, surface};
use kinesome::report::{Figure, Page, chimerax, plots};
use kinesome::stats::random::Philox;

/// Width, height, channels and pixels of a PNG file.
fn decode(file: &[u8]) -> (usize, usize, usize, Vec<u8>) {
    let mut reader = png::Decoder::new(Cursor::new(file)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    (info.width as usize, info.height as usize, info.color_type.samples(), pixels)
}

fn cloud(n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut rng = Philox::new(1, 0);
    (0..n).map(|_| (rng.normal(), rng.normal())).unzip()
}

/// A ball of density 1 at radius `r` about the centre, soft over two voxels.
fn ball(n: usize, r: f32) -> Vec<f32> {
    let c = (n / 2) as f32;
    let at = |i: usize| {
        let (x, y, z) = ((i % n) as f32 - c, (i / n % n) as f32 - c, (i / (n * n)) as f32 - c);
        (0.5 + (r - (x * x + y * y + z * z).sqrt()) / 2.0).clamp(0.0, 1.0)
    };
    (0..n * n * n).map(at).collect()
}

/// Checks that tags close in the order in which they opened, and returns how many elements there are.
fn nested(html: &str) -> usize {
    let void = ["meta", "img", "input", "br", "hr"];
    let mut open: Vec<String> = Vec::new();
    let mut count = 0;
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>').expect("a tag is not finished");
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if tag.starts_with('!') {
            continue;
        }
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name));
            continue;
        }
        count += 1;
        let name = tag.split([' ', '\n', '/']).next().unwrap().to_string();
        if tag.ends_with('/') || void.contains(&name.as_str()) {
            continue;
        }
        if name == "script" || name == "style" {
            rest = &rest[rest.find(&format!("</{name}>")).unwrap()..];
        }
        open.push(name);
    }
    assert!(open.is_empty(), "{open:?} stay open");
    count
}

#[test]
fn png_has_ink_and_colour_where_the_data_is() {
    let figure = Figure::new("t", "x", "y").size(300, 200).scatter("", &[0.0, 1.0], &[0.0, 1.0]);
    let (width, height, channels, pixels) = decode(&figure.png().unwrap());
    assert_eq!((width, height, channels), (600, 400, 3));
    let blue = |p: &[u8]| p[2] > p[0].saturating_add(60);
    let at: Vec<usize> = pixels.chunks(3).enumerate().filter(|(_, p)| blue(p)).map(|(i, _)| i).collect();
    let (first, last) = (at[0], at[at.len() - 1]);
    // y grows upwards: the first blue pixel from the top belongs to (1, 1), on the right.
    assert!(first % 600 > 400 && last % 600 < 200 && last / 600 > first / 600 + 150);
    // Letters: dark pixels beyond the box.
    assert!(pixels.chunks(3).take(600 * 60).filter(|p| p[0] < 90).count() > 20);
}

#[test]
fn every_kind_of_layer_draws_as_png_and_svg() {
    let (x, y) = cloud(3000);
    let labels: Vec<u32> = (0..3000).map(|i| i % 12).collect();
    let names: Vec<String> = (0..12).map(|i| i.to_string()).collect();
    let line: Vec<f64> = (1..=50).map(f64::from).collect();
    let square: Vec<f64> = line.iter().map(|v| v * v).collect();
    let some = &["a".to_string(), "<b>".to_string()];
    let figures = [
        Figure::new("line <&>", "x", "y")
            .line("one", &line, &square)
            .dashed_line("two", &line, &line)
            .log_y(),
        Figure::new("log", "x", "y")
            .log_x()
            .log_y()
            .band(&line, &line, &square)
            .line_with_markers("m", &line, &square),
        Figure::new("values", "x", "y").scatter_by_value(&x, &y, &x, "PC 1").marks(&x[..2], &y[..2], some),
        Figure::new("kinds", "x", "y").scatter_by_category(&x, &y, &labels, &names).with_equal_scale(),
        Figure::new("hexagons", "x", "y").hexbin(&x, &y, 40).path(&x[..2], &y[..2], some).with_marginals(),
        Figure::new("histogram", "x", "y").histogram("h", &x, 30).vertical_line(0.0, "zero"),
        plots::fsc("FSC", &[("half maps".into(), vec![1.0, 0.9, 0.4, 0.1])], 8, 2.0),
        plots::losses("loss", &[("total".into(), vec![3.0, 2.0, 1.0])]),
    ];
    for figure in &figures {
        let (width, height, _, pixels) = decode(&figure.png().unwrap());
        assert_eq!((width, height), (2 * figure.width as usize, 2 * figure.height as usize));
        assert!(pixels.iter().any(|v| *v < 100));
        let svg = figure.svg().unwrap();
        assert!(nested(&svg) > 20, "{}", figure.title);
        // The base64 of a picture may spell anything.
        let text: String = svg.lines().filter(|l| !l.starts_with("<image")).collect();
        assert!(text.contains(&escape(&figure.title)) && !text.contains("NaN") && !text.contains("<b>"));
    }
}

#[test]
fn figures_survive_bad_data() {
    let odd = [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e300, -1e300];
    for log in [false, true] {
        for n in 0..=odd.len() {
            let x = &odd[..n];
            let mut figure =
                Figure::new("", "", "").line("l", x, x).scatter_by_value(x, x, x, "v").histogram("", x, 5);
            figure = figure
                .hexbin(x, x, 9)
                .band(x, x, x)
                .path(x, x, &[])
                .horizontal_line(f64::NAN, "n")
                .with_marginals();
            (figure.x.log, figure.y.log) = (log, log);
            figure.svg().unwrap();
        }
    }
    let constant = Figure::new("", "", "").line("", &[2.0; 3], &[5.0; 3]).scatter("", &[2.0], &[5.0]);
    decode(&constant.png().unwrap());
    assert!(Figure::new("", "", "").line("", &[1.0], &[]).svg().is_err());
    assert!(Figure::new("", "", "").size(1, 1).png().is_err());
}

#[test]
fn surface_of_a_ball_is_a_disc() {
    let (n, r) = (48, 14.0);
    let map = ball(n, r);
    let style = Style { pixels: 96, contour: Contour::Level(0.5), background: None, ..Style::default() };
    for view in [View::Front, View::Top, View::Side, View::Turned { azimuth: 1.0, elevation: -0.7 }] {
        let (width, height, channels, pixels) = decode(&surface(&map, n, Style { view, ..style }).unwrap());
        assert_eq!((width, height, channels), (96, 96, 4));
        let covered = pixels.chunks(4).map(|p| f64::from(p[3]) / 255.0).sum::<f64>();
        let expected = std::f64::consts::PI * f64::from(r * r) * 4.0;
        // One per cent: the outline is smooth, and rays step by 0.6 voxels.
        assert!((covered / expected - 1.0).abs() < 0.01, "{view:?}: {covered} of {expected}");
        // Lit from the upper left.
        let bright = |x: usize, y: usize| pixels[(y * 96 + x) * 4];
        assert!(bright(38, 36) > bright(58, 62), "{view:?}");
    }
}

#[test]
fn contours_and_flat_pictures() {
    let map = ball(32, 10.0);
    let fraction = 4.0 / 3.0 * std::f64::consts::PI * 1000.0 / 32f64.powi(3);
    // The surface at the ball's volume is its half level; a voxel layer of slack in the count.
    let level = contour_level(&map, Contour::VolumeFraction(fraction));
    assert!((0.2..0.8).contains(&level), "{level}");
    assert_eq!(contour_level(&map, Contour::Auto), 0.5);
    for file in [central_slice(&map, 32).unwrap(), max_projection(&map, 32).unwrap()] {
        let (width, _, channels, pixels) = decode(&file);
        assert_eq!((width, channels, pixels[16 * 32 + 16], pixels[0]), (32, 1, 255, 0));
    }
    assert!(surface(&map, 31, Style::default()).is_err() && central_slice(&[], 0).is_err());
    decode(&surface(&[f32::NAN; 27], 3, Style::default()).unwrap());
    decode(&surface(&[0.0; 27], 3, Style::default()).unwrap());
}

#[test]
fn report_stands_alone_and_is_safe() {
    let (x, y) = cloud(100);
    let figure = Figure::new("</svg><script>alert(1)</script>", "x", "y").scatter("", &x, &y);
    let picture = surface(&ball(16, 5.0), 16, Style { pixels: 32, ..Style::default() }).unwrap();
    let evil = "<script>alert(\"1\")</script> & 'more'";
    let mut page = Page::new(evil, evil);
    page.section(evil).text(evil).cards(&[Card::new(evil, evil).verdict(Verdict::Good, evil)]);
    page.table(&[evil, "n"], &[vec![evil.into(), "1.5".into()], vec!["".into(), "2".into()]]);
    page.figure(&figure, evil).unwrap().figures(&[(&figure, evil), (&figure, "")]).unwrap();
    page.image(&picture, evil).strip(&[(picture.clone(), evil.into())]);
    page.player(&[(picture.clone(), evil.into()), (picture, "b".into())], evil);
    page.code(evil).details(evil, |inner| {
        inner.text(evil);
    });
    let html = page.html();
    nested(&html);
    // One script: the page's own.
    assert_eq!(html.matches("<script").count(), 1);
    assert!(html.contains("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; &#39;more&#39;"));
    for attribute in ["src=\"", "href=\"", "url("] {
        for (at, _) in html.match_indices(attribute) {
            assert!(html[at + attribute.len()..].starts_with("data:image/png;base64,"), "{attribute}");
        }
    }
    let outside: Vec<&str> =
        html.split("http").skip(1).filter(|t| !t.starts_with("://www.w3.org/2000/svg\"")).collect();
    assert!(outside.is_empty(), "{outside:?}");
}

#[test]
fn chimerax_script() {
    let maps = ["vol_001.mrc", "vol_002.mrc"].map(PathBuf::from);
    let text = chimerax::cxc(&maps, 0.25, "run\nclose session");
    let commands: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
    assert!(commands.contains(&"open \"vol_001.mrc\" \"vol_002.mrc\" vseries true"));
    assert!(commands.contains(&"volume #1 style surface step 1 level 0.25"));
    assert_eq!(text.matches("\nclose session").count(), 1, "a title cannot smuggle in a command");
    assert!(!chimerax::cxc(&maps[..1], f32::NAN, "").contains("NaN"));
    assert!(chimerax::cxc(&[], 1.0, "").contains("no maps"));
}
