//! A ChimeraX command script that opens a series of maps as one movie.

use std::path::PathBuf;

/// Text of a `.cxc` file that opens `volumes` in order as a volume series at contour `level` and makes a morph of
/// them. Paths are written as given: relative ones are found if the script lies beside them.
pub fn cxc(volumes: &[PathBuf], level: f32, title: &str) -> String {
    // A line break in a name would start a command of its own.
    let plain = |s: &str| s.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    let mut out = format!("# {}\n", plain(title));
    out += "# Open in ChimeraX: drop this file on its window, or type: open <this file>\n";
    out += "# The slider under the picture plays the series; the last lines can be edited or left out.\n";
    out += "close session\nset bgColor white\n";
    if volumes.is_empty() {
        return out + "# (no maps)\n";
    }
    out += "open";
    for path in volumes {
        out += &format!(" \"{}\"", plain(&path.display().to_string()).replace('"', "'"));
    }
    let level = if level.is_finite() { level } else { 0.0 };
    out += if volumes.len() > 1 { " vseries true\n" } else { "\n" };
    out += &format!("volume #1 style surface step 1 level {level}\n");
    out += "color #1 #7aa6c2\nlighting soft\ngraphics silhouettes true\nview\n";
    if volumes.len() > 1 {
        out += "# Play the series from first to last and back:\n";
        out += "vseries play #1 direction oscillate loop true maxFrameRate 10\n";
        out += "# To see all maps side by side instead: close the series, open the maps without \"vseries true\", and\n";
        out += "# type: tile\n";
        out += "# To write a film, type:\n";
        out += &format!(
            "#   vseries stop #1; movie record; vseries play #1 loop false; wait {}; movie encode series.mp4\n",
            volumes.len()
        );
    }
    out
}
