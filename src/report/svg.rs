//! Learning curves as SVG: small multiples, lines with 95 % bands, one legend.
//!
//! Written by hand: no font, script or style from elsewhere, the same bytes for the same figures.

use std::fmt::Write;

use super::scale::Axis;
use crate::metrics::Mean;

/// Of a chart, in pixels.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 240.0;
/// The plot in it: left, top, right, bottom.
const PLOT: [f64; 4] = [46.0, 26.0, 346.0, 200.0];
const CHARTS_A_ROW: usize = 3;
/// Of a line of the legend.
const LEGEND_LINE: f64 = 22.0;
/// Of a character at the font's size, on average and generously.
const CHARACTER: f64 = 6.8;
/// Longer names are cut.
const LONGEST: usize = 44;
/// Okabe & Ito 2008, told apart by colour-blind people; without the yellow and the black, which are
/// invisible on white and on black.
const COLOURS: [&str; 7] = [
    "#999999", "#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#d55e00", "#0072b2",
];
/// Dashes tell lines apart without colour; four and seven together repeat after 28 lines.
const DASHES: [&str; 4] = ["none", "7 2", "2 2", "8 2 2 2"];
/// Text follows the reader's light or dark setting; there is no ground, the page's shows through.
const STYLE: &str = "text{fill:#222}.axis{stroke:#888;fill:none}.grid{stroke:#888;stroke-opacity:.25}\
                     .line{fill:none;stroke-width:1.8}.band{fill-opacity:.14}\
                     @media(prefers-color-scheme:dark){text{fill:#ddd}}";

/// Charts of the same lines, one a set.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LearningCurves {
    /// What the lines are, in every chart.
    pub names: Vec<String>,
    /// Drawn three a row.
    pub charts: Vec<Chart>,
}

/// One set's lines.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Chart {
    /// What stands above it.
    pub title: String,
    /// For each name the accuracy, 0 to 1, after 1, 2, … labels; the interval is the band.
    pub lines: Vec<Vec<Mean>>,
}

impl LearningCurves {
    /// The drawing, a whole SVG file. The same figures give the same bytes; whatever the names and
    /// numbers are, the file is well-formed.
    #[must_use]
    pub fn to_svg(&self) -> String {
        let columns = self.charts.len().clamp(1, CHARTS_A_ROW);
        let rows = self.charts.len().div_ceil(CHARTS_A_ROW);
        let (width, top) = (WIDTH * columns as f64, HEIGHT * rows as f64);
        let (legend, lines) = legend(&self.names, width, top);
        let height = top + LEGEND_LINE * lines as f64 + 8.0;
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
             font-family=\"sans-serif\" font-size=\"11\">\n<style>{STYLE}</style>\n"
        );
        for (at, chart) in self.charts.iter().enumerate() {
            let (column, row) = (at % CHARTS_A_ROW, at / CHARTS_A_ROW);
            let (x, y) = (WIDTH * column as f64, HEIGHT * row as f64);
            push(
                &mut out,
                format_args!("<g transform=\"translate({x:.0} {y:.0})\">\n"),
            );
            chart.draw(&self.names, &mut out);
            out += "</g>\n";
        }
        out + &legend + "</svg>\n"
    }
}

impl Chart {
    fn draw(&self, names: &[String], out: &mut String) {
        let [left, top, right, bottom] = PLOT;
        let labels = self.lines.iter().map(Vec::len).max().unwrap_or(0);
        let x = Axis::new(0.0, labels as f64, left, right);
        let means = self.lines.iter().flatten().map(|point| point.mean);
        let y = Axis::around(means, bottom, top);
        let title = escaped(&self.title);
        push(
            out,
            format_args!("<text x=\"{left}\" y=\"15\" font-weight=\"bold\">{title}</text>\n"),
        );
        axes(&x, &y, out);
        for (at, line) in self
            .lines
            .iter()
            .enumerate()
            .filter(|(_, line)| !line.is_empty())
        {
            let (band, mean) = (
                band(line, &x, &y),
                path(line.iter().map(|p| p.mean), &x, &y),
            );
            let (colour, dashes) = pen(at);
            let name = names.get(at).map_or(String::new(), |name| escaped(name));
            push(
                out,
                format_args!(
                    "<g><title>{name}</title><path class=\"band\" fill=\"{colour}\" d=\"M{band}Z\"/>\
                 <path class=\"line\" stroke=\"{colour}\" stroke-dasharray=\"{dashes}\" d=\"M{mean}\"/></g>\n"
                ),
            );
        }
    }
}

/// Both axes with their names, numbers and lines across the plot.
fn axes(x: &Axis, y: &Axis, out: &mut String) {
    let [left, top, right, bottom] = PLOT;
    let (centre, middle) = (f64::midpoint(left, right), f64::midpoint(top, bottom));
    for share in y.ticks(0.01) {
        let at = y.pixel(share);
        push(
            out,
            format_args!(
                "<path class=\"grid\" d=\"M{left} {at:.1}H{right}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{:.0}</text>\n",
                left - 5.0,
                at + 4.0,
                100.0 * share
            ),
        );
    }
    for labels in x.ticks(1.0) {
        push(
            out,
            format_args!(
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{labels:.0}</text>\n",
                x.pixel(labels),
                bottom + 15.0
            ),
        );
    }
    push(
        out,
        format_args!(
            "<path class=\"axis\" d=\"M{left} {top}V{bottom}H{right}\"/>\
         <text x=\"{centre}\" y=\"{}\" text-anchor=\"middle\">labels</text>\
         <text x=\"12\" y=\"{middle}\" text-anchor=\"middle\" transform=\"rotate(-90 12 {middle})\">\
         accuracy, %</text>\n",
            bottom + 30.0
        ),
    );
}

/// Along the upper ends and back along the lower ones; on the line where there is no interval.
fn band(line: &[Mean], x: &Axis, y: &Axis) -> String {
    let upper = path(line.iter().map(|p| p.high.unwrap_or(p.mean)), x, y);
    let lower = line.iter().enumerate().rev();
    let lower = lower.map(|(at, p)| place(at, p.low.unwrap_or(p.mean), x, y));
    lower.fold(upper, |path, point| path + "L" + &point)
}

fn path(shares: impl Iterator<Item = f64>, x: &Axis, y: &Axis) -> String {
    let points: Vec<String> = shares
        .enumerate()
        .map(|(at, share)| place(at, share, x, y))
        .collect();
    points.join("L")
}

fn place(at: usize, share: f64, x: &Axis, y: &Axis) -> String {
    format!("{:.1} {:.1}", x.pixel((at + 1) as f64), y.pixel(share))
}

/// The names with their lines, as many beside each other as there is room for, and the number of
/// lines they take.
fn legend(names: &[String], width: f64, top: f64) -> (String, usize) {
    let (mut out, mut x, mut line) = (String::new(), PLOT[0], 0);
    for (at, name) in names.iter().enumerate() {
        let room = 46.0 + CHARACTER * name.chars().count().min(LONGEST) as f64;
        if x > PLOT[0] && x + room > width {
            (x, line) = (PLOT[0], line + 1);
        }
        let y = top + LEGEND_LINE * line as f64 + 10.0;
        let ((colour, dashes), name) = (pen(at), escaped(name));
        push(
            &mut out,
            format_args!(
                "<path class=\"line\" stroke=\"{colour}\" stroke-dasharray=\"{dashes}\" d=\"M{x:.1} {y:.1}h24\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{name}</text>\n",
                x + 30.0,
                y + 4.0
            ),
        );
        x += room;
    }
    (out, if names.is_empty() { 0 } else { line + 1 })
}

/// Colour and dashes of a line.
fn pen(at: usize) -> (&'static str, &'static str) {
    (COLOURS[at % COLOURS.len()], DASHES[at % DASHES.len()])
}

fn push(out: &mut String, text: std::fmt::Arguments) {
    // Writing to a string cannot fail.
    let _ = out.write_fmt(text);
}

/// A name as XML text: cut if it is long, without characters that XML forbids.
fn escaped(name: &str) -> String {
    let cut = name.chars().count() > LONGEST;
    let kept = name.chars().take(if cut { LONGEST - 1 } else { LONGEST });
    let mut out = String::new();
    for character in kept.chain(cut.then_some('…')) {
        match character {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(values: &[f64]) -> Vec<Mean> {
        let mean = |&value: &f64| Mean::of(&[value - 0.05, value, value + 0.05]);
        values.iter().map(mean).collect()
    }

    fn curves(names: &[&str], titles: &[&str]) -> LearningCurves {
        let chart = |title: &&str| Chart {
            title: (*title).to_owned(),
            lines: names.iter().map(|_| line(&[0.3, 0.5, 0.6, 0.62])).collect(),
        };
        LearningCurves {
            names: names.iter().map(|&name| name.to_owned()).collect(),
            charts: titles.iter().map(chart).collect(),
        }
    }

    /// Every tag is closed in its order, every attribute is quoted, nothing is left unescaped.
    fn assert_well_formed(svg: &str) {
        let mut open = Vec::new();
        let mut rest = svg;
        while let Some(start) = rest.find('<') {
            assert!(!rest[..start].contains('>'), "a stray `>`: {rest:.60}");
            let end = rest.find('>').expect("a tag ends");
            let tag = &rest[start + 1..end];
            assert!(
                !tag.contains('<') && tag.matches('"').count().is_multiple_of(2),
                "{tag}"
            );
            match tag.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name)),
                None if tag.ends_with('/') => {}
                None => open.extend(tag.split(' ').next()),
            }
            rest = &rest[end + 1..];
        }
        assert!(open.is_empty() && rest == "\n", "{open:?} {rest}");
        for entity in svg.split('&').skip(1) {
            assert!(
                ["amp;", "lt;", "gt;", "quot;"]
                    .iter()
                    .any(|known| entity.starts_with(known))
            );
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn drawings_are_well_formed_and_the_same_again() {
        let curves = curves(
            &["random", "rep>8>uted"],
            &["a", "b", "c", "mean of 3 sets"],
        );
        let svg = curves.to_svg();
        assert_well_formed(&svg);
        assert_eq!(svg, curves.to_svg());
        assert_eq!(svg.matches("class=\"band\"").count(), 8);
        // In the legend, and on each of four charts.
        assert_eq!(svg.matches("rep&gt;8&gt;uted").count(), 5);
        assert!(svg.contains("viewBox=\"0 0 1080 510\""), "{svg:.200}");
    }

    #[test]
    fn names_cannot_break_out() {
        let long = "x".repeat(300);
        let svg = curves(&["</text>&\"'\u{0}\u{1b}\u{ffff}", &long], &["<script>"]).to_svg();
        assert_well_formed(&svg);
        assert!(svg.contains("&lt;/text&gt;&amp;&quot;'\u{fffd}\u{fffd}\u{fffd}"));
        assert!(!svg.contains("<script") && !svg.contains(&long) && svg.contains("x…"));
    }

    #[test]
    fn odd_figures_are_drawn_somewhere() {
        assert_well_formed(&LearningCurves::default().to_svg());
        let mut curves = curves(&["a", "b"], &["one"]);
        curves.charts[0].lines = vec![
            Vec::new(),
            vec![Mean::of(&[f64::NAN]), Mean::of(&[f64::INFINITY])],
        ];
        assert_well_formed(&curves.to_svg());
        curves.charts[0].lines = vec![line(&[0.5]); 3];
        assert_well_formed(&curves.to_svg());
        curves.names.clear();
        assert_well_formed(&curves.to_svg());
    }

    #[test]
    fn many_lines_are_told_apart() {
        let pens: std::collections::HashSet<_> = (0..28).map(pen).collect();
        assert_eq!(pens.len(), 28);
    }
}
