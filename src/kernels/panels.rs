//! Weights in the order in which the inner loop reads them.

/// Outputs of a panel: three AVX-512 registers of 32-bit lanes.
pub(super) const WIDTH: usize = 3 * LANES;

/// 32-bit lanes of an AVX-512 register, and of a cache line.
pub(super) const LANES: usize = 16;

/// A cache line, so that no load of a register touches two.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line(pub [u32; LANES]);

/// `[panels, steps, WIDTH]` words: a panel holds the weights of [`WIDTH`] neighbouring outputs, a
/// step those of a *group* of neighbouring inputs, a word one output's weights of that step. Absent
/// outputs and inputs are zeros.
pub(super) struct Panels {
    lines: Vec<Line>,
    steps: usize,
}

impl Panels {
    /// The panels of so many outputs and steps: `fill` writes the words of each, zeros before. What it says of
    /// them comes back in their order. On one thread: it is layers that are packed at the same time.
    pub fn fill<T>(
        outputs: usize,
        steps: usize,
        fill: impl Fn(usize, &mut [u32]) -> T,
    ) -> (Self, Vec<T>) {
        let of_panel = steps * WIDTH / LANES;
        let mut lines = vec![Line([0; LANES]); outputs.div_ceil(WIDTH) * of_panel];
        let panels = lines.chunks_mut(of_panel).enumerate();
        let said = panels.map(|(panel, lines)| fill(panel, words_mut(lines)));
        let said = said.collect();
        (Self { lines, steps }, said)
    }

    /// `rows` are the outputs' weights, each of `inputs`; `encode` makes a word of `group` neighbouring ones, fewer
    /// at the end.
    pub fn pack(
        rows: &[&[f32]],
        inputs: usize,
        group: usize,
        encode: impl Fn(&[f32]) -> u32,
    ) -> Self {
        let fill = |panel, words: &mut [u32]| {
            for (output, row) in of_panel(rows, panel).iter().enumerate() {
                place(words, output, row.chunks(group).map(&encode));
            }
        };
        Self::fill(rows.len(), inputs.div_ceil(group), fill).0
    }

    /// Of the transpose of `values`, `[inputs, outputs]`. `encode` makes a word of an output's weights
    /// for the one or two inputs of a step; what is not there is 0.
    pub fn pack_transposed(
        values: &[f32],
        outputs: usize,
        group: usize,
        encode: impl Fn(f32, f32) -> u32,
    ) -> Self {
        let fill = |panel: usize, words: &mut [u32]| {
            let columns = panel * WIDTH..((panel + 1) * WIDTH).min(outputs);
            let steps = words.chunks_exact_mut(WIDTH);
            for (words, rows) in steps.zip(values.chunks(group * outputs)) {
                let first = &rows[columns.clone()];
                match rows.get(outputs..).and_then(|row| row.get(columns.clone())) {
                    Some(second) if group == 2 => {
                        let pairs = first.iter().zip(second);
                        for (word, (&low, &high)) in words.iter_mut().zip(pairs) {
                            *word = encode(low, high);
                        }
                    }
                    _ => {
                        for (word, &value) in words.iter_mut().zip(first) {
                            *word = encode(value, 0.0);
                        }
                    }
                }
            }
        };
        let steps = (values.len() / outputs).div_ceil(group);
        Self::fill(outputs, steps, fill).0
    }

    /// Words from one row of activations or one panel's column.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// How many panels there are.
    pub fn count(&self) -> usize {
        self.lines.len() * LANES / (self.steps * WIDTH)
    }

    pub fn bytes(&self) -> usize {
        size_of_val(&self.lines[..])
    }

    /// The words of panel `index`, `[steps, WIDTH]`.
    pub fn panel(&self, index: usize) -> &[Line] {
        let lines = self.steps * WIDTH / LANES;
        &self.lines[index * lines..][..lines]
    }
}

/// The rows whose weights are in a panel.
pub(super) fn of_panel<'r, 'w>(rows: &'r [&'w [f32]], panel: usize) -> &'r [&'w [f32]] {
    &rows[panel * WIDTH..rows.len().min((panel + 1) * WIDTH)]
}

/// Writes an output's words to a panel.
pub(super) fn place(panel: &mut [u32], output: usize, words: impl Iterator<Item = u32>) {
    for (step, word) in words.enumerate() {
        panel[step * WIDTH + output] = word;
    }
}

fn words_mut(lines: &mut [Line]) -> &mut [u32] {
    let words = lines.len() * LANES;
    // SAFETY: a `Line` is `LANES` u32 without padding, and the slice covers exactly those.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), words) }
}
