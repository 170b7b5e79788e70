//! Learning curves as a drawing: one chart a set, lines with 95 % bands.

use std::fmt::Write;

use super::report::{Report, Set};

/// Of a chart, in pixels.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 240.0;
/// Around the plot: left, top, right, bottom.
const MARGIN: [f64; 4] = [44.0, 28.0, 12.0, 36.0];
const CHARTS_A_ROW: usize = 3;
/// Okabe & Ito's palette, which colour-blind people can tell apart; readable on white and on black.
const COLOURS: [&str; 7] = [
    "#999999", "#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#d55e00", "#0072b2",
];

pub fn draw(report: &Report) -> String {
    let columns = report.sets.len().clamp(1, CHARTS_A_ROW);
    let rows = report.sets.len().div_ceil(CHARTS_A_ROW);
    let legend = 24.0 * report.names.len().div_ceil(2) as f64 + 12.0;
    let (width, height) = (WIDTH * columns as f64, HEIGHT * rows as f64 + legend);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <style>text{{fill:#222}}.axis{{stroke:#888}}\
         @media(prefers-color-scheme:dark){{text{{fill:#ddd}}}}</style>\n"
    );
    for (at, set) in report.sets.iter().enumerate() {
        let (x, y) = (
            WIDTH * (at % CHARTS_A_ROW) as f64,
            HEIGHT * (at / CHARTS_A_ROW) as f64,
        );
        let _ = writeln!(out, "<g transform=\"translate({x:.0} {y:.0})\">");
        chart(&mut out, set, report.budget);
        out += "</g>\n";
    }
    for (at, name) in report.names.iter().enumerate() {
        let x = 20.0 + 170.0 * (at % 2) as f64;
        let y = HEIGHT * rows as f64 + 18.0 + 24.0 * (at / 2) as f64;
        let (colour, name) = (colour(at), escaped(name));
        let _ = writeln!(
            out,
            "<path d=\"M{x:.0} {y:.0}h22\" stroke=\"{colour}\" stroke-width=\"3\"/>\
             <text x=\"{:.0}\" y=\"{:.0}\">{name}</text>",
            x + 28.0,
            y + 4.0
        );
    }
    out + "</svg>\n"
}

fn colour(at: usize) -> &'static str {
    COLOURS[at % COLOURS.len()]
}

fn escaped(text: &str) -> String {
    let escape = |c: char| match c {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        c if c.is_control() => "\u{fffd}".to_owned(),
        c => c.to_string(),
    };
    text.chars().map(escape).collect()
}

/// From labels and accuracy to pixels.
struct Scale {
    budget: f64,
    low: f64,
    high: f64,
}

impl Scale {
    fn of(set: &Set, budget: usize) -> Self {
        let points: Vec<f64> = (0..set.curves.len())
            .flat_map(|chooser| set.mean_curve(chooser))
            .collect();
        let low = points.iter().copied().fold(1.0, f64::min);
        let high = points.iter().copied().fold(0.0, f64::max);
        // To the next tenths, so that the axis has round numbers.
        let low = (10.0 * low).floor() / 10.0;
        let high = ((10.0 * high).ceil() / 10.0).max(low + 0.1);
        Self {
            budget: budget as f64,
            low,
            high,
        }
    }

    fn x(&self, labels: usize) -> f64 {
        MARGIN[0] + (WIDTH - MARGIN[0] - MARGIN[2]) * labels as f64 / self.budget
    }

    fn y(&self, share: f64) -> f64 {
        let part = ((share - self.low) / (self.high - self.low)).clamp(-0.05, 1.05);
        HEIGHT - MARGIN[3] - (HEIGHT - MARGIN[1] - MARGIN[3]) * part
    }
}

fn chart(out: &mut String, set: &Set, budget: usize) {
    let scale = Scale::of(set, budget);
    axes(out, set, &scale, budget);
    for chooser in 0..set.curves.len() {
        let points = set.points(chooser);
        let colour = colour(chooser);
        let place = |at: usize, share: f64| format!("{:.1} {:.1}", scale.x(at + 1), scale.y(share));
        let upper = points
            .iter()
            .enumerate()
            .map(|(at, p)| place(at, p.high.unwrap_or(p.mean)));
        let lower = points
            .iter()
            .enumerate()
            .rev()
            .map(|(at, p)| place(at, p.low.unwrap_or(p.mean)));
        let band: Vec<String> = upper.chain(lower).collect();
        let line: Vec<String> = points
            .iter()
            .enumerate()
            .map(|(at, p)| place(at, p.mean))
            .collect();
        let _ = writeln!(
            out,
            "<path d=\"M{}Z\" fill=\"{colour}\" fill-opacity=\"0.15\"/>\
             <path d=\"M{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\"/>",
            band.join("L"),
            line.join("L")
        );
    }
}

fn axes(out: &mut String, set: &Set, scale: &Scale, budget: usize) {
    let (left, bottom) = (scale.x(0), scale.y(scale.low));
    let _ = writeln!(
        out,
        "<text x=\"{left:.0}\" y=\"16\" font-weight=\"bold\">{}</text>\
         <text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">labels</text>\
         <text x=\"12\" y=\"{:.0}\" text-anchor=\"middle\" transform=\"rotate(-90 12 {:.0})\">accuracy, %</text>\
         <path class=\"axis\" fill=\"none\" d=\"M{left:.1} {:.1}V{bottom:.1}H{:.1}\"/>",
        escaped(&set.name),
        scale.x(budget / 2),
        HEIGHT - 6.0,
        HEIGHT / 2.0,
        HEIGHT / 2.0,
        scale.y(scale.high),
        scale.x(budget)
    );
    let tenths = (10.0 * (scale.high - scale.low)).round() as usize;
    for tenth in 0..=tenths {
        let share = scale.low + tenth as f64 / 10.0;
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{:.0}</text>",
            left - 5.0,
            scale.y(share) + 4.0,
            100.0 * share
        );
    }
    for labels in [budget / 4, budget / 2, 3 * budget / 4, budget] {
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{labels}</text>",
            scale.x(labels),
            bottom + 15.0
        );
    }
}
