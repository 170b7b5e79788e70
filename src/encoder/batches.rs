//! Tokenised texts through the layers, batch by batch, to pooled vectors.
//!
//! Encoders of one model that differ in their upper layers only, as the model and what a start makes of it, run the
//! lower ones once.

use super::config::Pooling;
use super::device::DeviceTransformer;
use super::transformer::Workspace;
use super::windows::Tokens;
use super::{Encoder, EncoderError, kernels, pooling};
use crate::matrix::Matrix;

/// Tokens that go through the encoder at once. Any number from 256 to 2048 takes the same time, to
/// some per cent; this many need some 30 MB of memory at width 768.
const BATCH_TOKENS: usize = 1024;

/// The same of a GPU, which has many more threads.
const DEVICE_BATCH_TOKENS: usize = 16 * BATCH_TOKENS;

/// Scores of a device's attention at once: 128 MB, of which there are some three at a time.
const DEVICE_SCORES: usize = 1 << 25;

/// One window of a text.
struct Window<'t> {
    /// Index of the text.
    text: usize,
    /// Its share of the text's vector.
    weight: f32,
    ids: &'t [u32],
}

/// The vectors of texts by each of the encoders, the chosen layers side by side: `[texts, layers.len() · width]`.
pub(super) fn run(
    encoders: &[&Encoder],
    tokens: &[Tokens],
    layers: &[usize],
) -> Result<Vec<Matrix>, EncoderError> {
    let mut windows: Vec<Window> = tokens.iter().enumerate().flat_map(windows_of).collect();
    // Texts of like length together: the attention's tasks are then of like size.
    windows.sort_by_key(|window| window.ids.len());
    let zeros = |encoder: &&Encoder| Matrix::zeros(tokens.len(), layers.len() * encoder.width());
    let mut vectors: Vec<Matrix> = encoders.iter().map(zeros).collect();
    if encoders.iter().all(|encoder| encoder.device.is_none()) {
        run_here(encoders, &windows, layers, &mut vectors);
        return Ok(vectors);
    }
    for (encoder, vectors) in encoders.iter().zip(&mut vectors) {
        match &encoder.device {
            Some(device) => run_on(device, encoder, &windows, layers, vectors)?,
            None => run_here(&[encoder], &windows, layers, std::slice::from_mut(vectors)),
        }
    }
    Ok(vectors)
}

/// On the processor.
fn run_here(encoders: &[&Encoder], windows: &[Window], layers: &[usize], vectors: &mut [Matrix]) {
    let mut space = std::mem::take(&mut *encoders[0].spare());
    let mut rest = windows;
    while !rest.is_empty() {
        let (batch, others) = rest.split_at(batch_length(rest));
        // Once in the pool, its products hand out parts without waking each other's threads anew.
        rayon::scope(|_| run_batch(encoders, batch, layers, &mut space, vectors));
        rest = others;
    }
    *encoders[0].spare() = space;
}

/// The layers that they share once, then those above of each.
fn run_batch(
    encoders: &[&Encoder],
    windows: &[Window],
    layers: &[usize],
    space: &mut Workspace,
    vectors: &mut [Matrix],
) {
    let ids: Vec<&[u32]> = windows.iter().map(|window| window.ids).collect();
    let first = &encoders[0].transformer;
    let pools = Pools {
        pooling: encoders[0].pooling(),
        windows,
        layers,
    };
    let highest = layers.iter().copied().max().unwrap_or(0);
    let shared = encoders
        .iter()
        .map(|other| first.shared_layers(&other.transformer));
    let shared = shared.min().unwrap_or(0).min(highest);
    first.begin(&ids, space);
    pools.add(0, space.hidden(), vectors);
    first.run_layers(0..shared, &ids, space, |layer, hidden| {
        pools.add(layer, hidden, vectors)
    });
    if shared == highest {
        return;
    }
    let fork = space.hidden().to_vec();
    for (encoder, vectors) in encoders.iter().zip(vectors) {
        space.set_hidden(&fork);
        let vectors = std::slice::from_mut(vectors);
        let upper = shared..highest;
        encoder
            .transformer
            .run_layers(upper, &ids, space, |layer, hidden| {
                pools.add(layer, hidden, vectors)
            });
    }
}

/// Where the layers of a batch's windows go.
struct Pools<'b> {
    pooling: Pooling,
    windows: &'b [Window<'b>],
    layers: &'b [usize],
}

impl Pools<'_> {
    /// Adds a layer's token vectors, pooled, to its places in the texts' vectors by each encoder.
    fn add(&self, layer: usize, hidden: &[f32], vectors: &mut [Matrix]) {
        for place in (0..self.layers.len()).filter(|&place| self.layers[place] == layer) {
            for vectors in &mut *vectors {
                self.add_at(place, hidden, vectors);
            }
        }
    }

    fn add_at(&self, place: usize, hidden: &[f32], vectors: &mut Matrix) {
        let width = vectors.columns() / self.layers.len();
        let mut pooled = vec![0.0; width];
        let mut rest = hidden;
        for &Window { text, weight, ids } in self.windows {
            let (own, others) = rest.split_at(ids.len() * width);
            pooling::pool(self.pooling, own, &mut pooled);
            let vector = &mut vectors.row_mut(text)[place * width..][..width];
            kernels::add_scaled(vector, &pooled, weight);
            rest = others;
        }
    }
}

fn run_on(
    device: &DeviceTransformer,
    encoder: &Encoder,
    windows: &[Window],
    layers: &[usize],
    vectors: &mut Matrix,
) -> Result<(), EncoderError> {
    let (width, heads) = (encoder.width(), encoder.config.transformer.heads);
    let mut rest = windows;
    while !rest.is_empty() {
        let (batch, others) = rest.split_at(device_batch_length(rest, heads));
        let ids: Vec<&[u32]> = batch.iter().map(|window| window.ids).collect();
        let of_layers = device.pooled(&ids, layers, encoder.pooling())?;
        for (place, layer) in of_layers.iter().enumerate() {
            for (window, pooled) in batch.iter().zip(layer.iter_rows()) {
                let vector = &mut vectors.row_mut(window.text)[place * width..][..width];
                kernels::add_scaled(vector, pooled, window.weight);
            }
        }
        rest = others;
    }
    Ok(())
}

fn windows_of((text, tokens): (usize, &Tokens)) -> impl Iterator<Item = Window<'_>> {
    let weights = tokens.weights();
    let windows = tokens.windows.iter().zip(weights);
    windows.map(move |(ids, weight)| Window { text, weight, ids })
}

/// How many of the next windows make a batch: at least one, then as many as fit.
fn batch_length(windows: &[Window]) -> usize {
    let mut tokens = 0;
    let fits = |window: &&Window| {
        tokens += window.ids.len();
        tokens <= BATCH_TOKENS
    };
    windows.iter().take_while(fits).count().max(1)
}

/// The same for a device, where all count as the longest, which comes last; none is more than half padding.
fn device_batch_length(windows: &[Window], heads: usize) -> usize {
    let shortest = windows.first().map_or(0, |window| window.ids.len());
    let places = windows.iter().enumerate();
    let fits = |(at, window): &(usize, &Window)| {
        let longest = window.ids.len();
        let tokens = (at + 1) * longest;
        longest <= 2 * shortest
            && tokens <= DEVICE_BATCH_TOKENS
            && tokens * longest * heads <= DEVICE_SCORES
    };
    places.take_while(fits).count().max(1)
}
