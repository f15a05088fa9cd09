//! The report: one HTML file that opens anywhere, without network or JavaScript (which only adds a player).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::figure::Figure;
use crate::error::Result;

/// What a headline number means for the reader.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    Good,
    Warn,
    Bad,
    Plain,
}

/// A headline figure.
#[derive(Debug, Clone)]
pub struct Card {
    pub number: String,
    pub caption: String,
    /// A few words on what it means; may be empty.
    pub remark: String,
    pub verdict: Verdict,
}

impl Card {
    pub fn new(number: impl Into<String>, caption: impl Into<String>) -> Self {
        Card {
            number: number.into(),
            caption: caption.into(),
            remark: String::new(),
            verdict: Verdict::Plain,
        }
    }

    pub fn verdict(mut self, verdict: Verdict, remark: impl Into<String>) -> Self {
        (self.verdict, self.remark) = (verdict, remark.into());
        self
    }
}

/// A page under construction; each call adds at the end. All text is escaped.
#[derive(Debug, Clone)]
pub struct Page {
    title: String,
    body: String,
}

/// Text made safe between tags and within quoted attributes.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Control characters are not allowed in HTML.
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A PNG file as an address that holds it.
pub fn data_uri(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", STANDARD.encode(png))
}

fn looks_numeric(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit() || "+-−–.<>≥≤".contains(c))
}

impl Page {
    /// `lead` is one sentence under the title; may be empty.
    pub fn new(title: impl Into<String>, lead: &str) -> Self {
        let title = title.into();
        let mut body = format!("<h1>{}</h1>\n", escape(&title));
        if !lead.is_empty() {
            body += &format!("<p class=\"lead\">{}</p>\n", escape(lead));
        }
        Page { title, body }
    }

    pub fn section(&mut self, heading: &str) -> &mut Self {
        self.add(format!("<h2>{}</h2>\n", escape(heading)))
    }

    pub fn text(&mut self, text: &str) -> &mut Self {
        self.add(format!("<p>{}</p>\n", escape(text)))
    }

    pub fn cards(&mut self, cards: &[Card]) -> &mut Self {
        let mut html = String::from("<div class=\"cards\">\n");
        for card in cards {
            let class = match card.verdict {
                Verdict::Good => "good",
                Verdict::Warn => "warn",
                Verdict::Bad => "bad",
                Verdict::Plain => "plain",
            };
            let (number, caption) = (escape(&card.number), escape(&card.caption));
            html += &format!("<div class=\"card\"><b class=\"{class}\">{number}</b><span>{caption}</span>");
            if !card.remark.is_empty() {
                html += &format!("<em class=\"{class}\">{}</em>", escape(&card.remark));
            }
            html += "</div>\n";
        }
        self.add(html + "</div>\n")
    }

    /// A table; columns whose every cell is a number are set flush right.
    pub fn table(&mut self, header: &[&str], rows: &[Vec<String>]) -> &mut Self {
        let numeric =
            |c: usize| !rows.is_empty() && rows.iter().all(|r| r.get(c).is_some_and(|t| looks_numeric(t)));
        let class = |c: usize| if numeric(c) { " class=\"n\"" } else { "" };
        let mut html = String::from("<div class=\"table\"><table>\n<tr>");
        for (c, name) in header.iter().enumerate() {
            html += &format!("<th{}>{}</th>", class(c), escape(name));
        }
        html += "</tr>\n";
        for row in rows {
            html += "<tr>";
            for (c, cell) in row.iter().enumerate() {
                html += &format!("<td{}>{}</td>", class(c), escape(cell));
            }
            html += "</tr>\n";
        }
        self.add(html + "</table></div>\n")
    }

    /// A figure as inline SVG.
    pub fn figure(&mut self, figure: &Figure, caption: &str) -> Result<&mut Self> {
        let svg = figure.svg()?;
        Ok(self.add(format!("<figure>{svg}{}</figure>\n", caption_of(caption))))
    }

    /// Several figures side by side where there is room.
    pub fn figures(&mut self, figures: &[(&Figure, &str)]) -> Result<&mut Self> {
        let mut html = String::from("<div class=\"figures\">\n");
        for (figure, caption) in figures {
            html += &format!("<figure>{}{}</figure>\n", figure.svg()?, caption_of(caption));
        }
        Ok(self.add(html + "</div>\n"))
    }

    /// Small figures without captions, three side by side where there is room.
    pub fn gallery(&mut self, figures: &[Figure]) -> Result<&mut Self> {
        let mut html = String::from("<div class=\"figures small\">\n");
        for figure in figures {
            html += &format!("<figure>{}</figure>\n", figure.svg()?);
        }
        Ok(self.add(html + "</div>\n"))
    }

    /// One PNG file.
    pub fn image(&mut self, png: &[u8], caption: &str) -> &mut Self {
        let img = format!("<img src=\"{}\" alt=\"{}\">", data_uri(png), escape(caption));
        self.add(format!("<figure>{img}{}</figure>\n", caption_of(caption)))
    }

    /// Small PNG files in a row, each with its caption.
    pub fn strip(&mut self, images: &[(Vec<u8>, String)]) -> &mut Self {
        let mut html = String::from("<div class=\"strip\">\n");
        for (png, caption) in images {
            let img = format!("<img src=\"{}\" alt=\"{}\">", data_uri(png), escape(caption));
            html += &format!("<figure>{img}{}</figure>\n", caption_of(caption));
        }
        self.add(html + "</div>\n")
    }

    /// Frames with a slider and a play button; without JavaScript they stand in a row.
    pub fn player(&mut self, frames: &[(Vec<u8>, String)], caption: &str) -> &mut Self {
        let mut html = String::from("<figure class=\"player\"><div class=\"frames strip\">\n");
        for (png, name) in frames {
            html += &format!("<img src=\"{}\" alt=\"{}\">\n", data_uri(png), escape(name));
        }
        html += &format!(
            "</div><div class=\"controls\" hidden><input type=\"range\" min=\"0\" max=\"{}\" value=\"0\" \
             aria-label=\"frame\"><button type=\"button\">Play</button> <output></output></div>",
            frames.len().saturating_sub(1)
        );
        self.add(format!("{html}{}</figure>\n", caption_of(caption)))
    }

    /// A player with a figure beside it, where there is room.
    pub fn player_beside(
        &mut self,
        frames: &[(Vec<u8>, String)],
        caption: &str,
        figure: &Figure,
        note: &str,
    ) -> Result<&mut Self> {
        self.add("<div class=\"figures\">\n".into()).player(frames, caption).figure(figure, note)?;
        Ok(self.add("</div>\n".into()))
    }

    /// Preformatted text.
    pub fn code(&mut self, text: &str) -> &mut Self {
        self.add(format!("<pre>{}</pre>\n", escape(text)))
    }

    /// A part that is closed until asked for.
    pub fn details(&mut self, summary: &str, fill: impl FnOnce(&mut Page)) -> &mut Self {
        let mut inner = Page { title: String::new(), body: String::new() };
        fill(&mut inner);
        self.add(format!("<details><summary>{}</summary>\n{}</details>\n", escape(summary), inner.body))
    }

    fn add(&mut self, html: String) -> &mut Self {
        self.body += &html;
        self
    }

    /// The whole file.
    pub fn html(&self) -> String {
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n<style>\n{}</style>\n</head>\n\
             <body>\n<main>\n{}<footer>Made by kinesome {}.</footer>\n</main>\n<script>\n{}</script>\n</body>\n</html>\n",
            escape(&self.title),
            include_str!("page.css"),
            self.body,
            env!("CARGO_PKG_VERSION"),
            include_str!("page.js")
        )
    }
}

fn caption_of(caption: &str) -> String {
    if caption.is_empty() { String::new() } else { format!("<figcaption>{}</figcaption>", escape(caption)) }
}
