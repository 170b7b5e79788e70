use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::adapter::adapter_tensors;
use super::*;
use crate::hub::{HubOptions, resolve};
use crate::random::Random;

const TEXTS: [&str; 5] = [
    "It works and I like it.",
    "Good.",
    "It broke after two days and I hate it",
    "bad bad bad",
    "what is this thing for",
];
const CLASSES: [usize; 5] = [0, 0, 1, 1, 2];

fn tiny(name: &str) -> Encoder {
    let dir = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
    let files = resolve(&dir, &HubOptions::default()).expect("a model's folder");
    Encoder::load(&files).expect("a sound model")
}

/// The encoder's layers from `first` on, in f32.
struct Bench<'e> {
    encoder: &'e Encoder,
    inputs: Vec<Input>,
    blocks: Vec<Block>,
    loss: Loss,
}

impl<'e> Bench<'e> {
    fn new(encoder: &'e Encoder, first: usize, loss: Loss) -> Self {
        let inputs = encoder.inputs(&TEXTS, &CLASSES, first);
        let layers = first..encoder.layers();
        let mut blocks = encoder.blocks(layers, Precision::F32, 1).expect("layers");
        // Where the left halves are zero, the right ones have no gradient.
        let mut random = Random::named(1, "adapters");
        for value in blocks.iter_mut().flat_map(|block| &mut block.values) {
            *value += 0.05 * random.normal();
        }
        Self {
            encoder,
            inputs: inputs.expect("tokens"),
            blocks,
            loss,
        }
    }

    /// The loss, and in `gradient` what belongs to the lowest layer.
    fn loss(&mut self, gradient: &mut [f32]) -> f64 {
        let batch: Vec<&Input> = self.inputs.iter().collect();
        let mut tools = Tools {
            transformer: &self.encoder.transformer,
            scratch: Scratch::default(),
        };
        let still = TuneOptions {
            learning_rate: 0.0,
            loss: self.loss,
            ..TuneOptions::default()
        };
        let encoder = self.encoder;
        encoder.step(&mut self.blocks, &batch, &mut tools, gradient, (&still, 0))
    }
}

/// Along the gradient of each tensor of each layer, the loss must change as it says.
#[test]
fn gradients_agree_with_finite_differences() {
    for name in ["tiny-mpnet", "tiny-bert"] {
        let encoder = tiny(name);
        let losses = [Loss::Pairs, Loss::Episodes];
        let both = |first| losses.map(|loss| (first, loss));
        for (first, loss) in (0..encoder.layers()).flat_map(both) {
            let mut bench = Bench::new(&encoder, first, loss);
            let mut gradient = vec![0.0; bench.blocks[0].values.len()];
            bench.loss(&mut gradient);
            for tensor in adapter_tensors(&encoder.config.transformer, adapter::RANK, first) {
                check(&mut bench, &tensor.name, &gradient, tensor.range);
            }
        }
    }
}

fn check(bench: &mut Bench, name: &str, gradient: &[f32], range: std::ops::Range<usize>) {
    let own = &gradient[range.clone()];
    let length = own
        .iter()
        .map(|g| f64::from(*g).powi(2))
        .sum::<f64>()
        .sqrt();
    assert!(length > 1e-7, "{name} has no gradient");
    let values = bench.blocks[0].values.clone();
    let mut unused = vec![0.0; gradient.len()];
    let mut at = |size: f64| {
        let moved = &mut bench.blocks[0].values;
        for (value, slope) in moved[range.clone()].iter_mut().zip(own) {
            *value += (size * f64::from(*slope) / length) as f32;
        }
        let loss = bench.loss(&mut unused);
        bench.blocks[0].values.copy_from_slice(&values);
        loss
    };
    // A way that changes the loss by some 1e-4, far above what f32 rounds.
    let way = (1e-4 / length).min(0.02);
    let difference = (at(way) - at(-way)) / (2.0 * way);
    let off = (difference - length).abs();
    assert!(
        off < 0.05 * length + 2e-6 / way * 0.1,
        "{name}: {difference} for {length}"
    );
}

#[test]
fn tuning_brings_classes_together_and_moves_every_tensor() {
    let encoder = tiny("tiny-mpnet");
    let options = TuneOptions::far(1, 30);
    let mut losses = Vec::new();
    let mut watch = |progress: TuneProgress| losses.push(progress.loss);
    let tuned = encoder.tune(&TEXTS, &CLASSES, &options, &mut watch);
    let tuned = tuned.expect("tuned");
    assert_eq!(losses.len(), 30);
    assert!(losses[29] < 0.5 * losses[0], "{losses:?}");
    let first = encoder.layers() - 1;
    let before = adapter::fresh(&encoder.config.transformer, first, options.seed);
    let after = tuned.tuned().and_then(|t| t.layer(first)).expect("a layer");
    for tensor in adapter_tensors(&encoder.config.transformer, adapter::RANK, first) {
        let moved = tensor.range.clone().any(|at| before[at] != after[at]);
        assert!(moved, "{} did not move", tensor.name);
    }
}

/// To the last bit, whichever layers were tuned; those below are the same ones.
#[test]
fn encoders_that_share_layers_embed_together_as_alone() {
    for name in ["tiny-bert", "tiny-mpnet"] {
        let model = tiny(name);
        let tuned = |layers| {
            let options = TuneOptions::far(layers, 3);
            let tuned = model.tune(&TEXTS, &CLASSES, &options, &mut |_| ());
            tuned.expect("tuned")
        };
        let (top, all) = (tuned(1), tuned(model.layers()));
        let shared = |other: &Encoder| model.transformer.shared_layers(&other.transformer);
        assert_eq!(
            [&top, &all, &model].map(shared),
            [model.layers() - 1, 0, model.layers()]
        );
        for layers in ["0", "0-1", "last"] {
            let layers = layers.parse().expect("a layer mix");
            let encoders = [&model, &top, &all];
            let together = Encoder::encode_by(&encoders, &TEXTS, &layers).expect("vectors");
            for (encoder, together) in encoders.iter().zip(together) {
                let alone = encoder.encode(&TEXTS, &layers).expect("vectors");
                assert_eq!(together.vectors, alone.vectors, "{name}");
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_layers() {
    let encoder = tiny("tiny-bert");
    let options = TuneOptions {
        layers: 2,
        steps: 3,
        ..TuneOptions::default()
    };
    let tune = || {
        let tuned = encoder.tune(&TEXTS, &CLASSES, &options, &mut |_| ());
        tuned.expect("tuned").identity().tuned.clone()
    };
    assert_eq!(tune(), tune());
    assert!(tune().is_some());
}

#[test]
fn tuned_layers_come_back_from_their_file() {
    let encoder = tiny("tiny-mpnet");
    let tuned = encoder.tune(&TEXTS, &CLASSES, &TuneOptions::default(), &mut |_| ());
    let tuned = tuned.expect("tuned");
    let bytes = tuned.bytes_of(tuned.tuned().expect("tuned layers"), None);
    let bytes = bytes.expect("bytes");
    let read = encoder.with_tuned_bytes(&bytes).expect("fits");
    assert_eq!(read.tuned(), tuned.tuned());
    assert_eq!(read.identity(), tuned.identity());
    let layers = encoder.default_layers();
    let vectors = |encoder: &Encoder| encoder.encode(&TEXTS, &layers).expect("vectors").vectors;
    assert_eq!(vectors(&read), vectors(&tuned));
    assert_ne!(vectors(&read), vectors(&encoder));
}

#[test]
fn a_part_of_a_tuning_lies_between_the_model_and_all_of_it() {
    let encoder = tiny("tiny-mpnet");
    let tuned = encoder.tune(&TEXTS, &CLASSES, &TuneOptions::far(1, 10), &mut |_| ());
    let tuned = tuned.expect("tuned");
    let layers = encoder.default_layers();
    let vectors = |encoder: &Encoder| encoder.encode(&TEXTS, &layers).expect("vectors").vectors;
    let part = |part| vectors(&encoder.with_tuned(tuned.part_of_tuned(part)).expect("fits"));
    assert_eq!(part(0.0), vectors(&encoder));
    assert_eq!(part(1.0), vectors(&tuned));
    // The layer's weights, biases and norms: each by half of its change.
    let config = &encoder.config.transformer;
    let first = encoder.layers() - 1;
    let changed = |part: f32| {
        let mut values = encoder.model_layer(first).expect("a layer");
        let adapter = tuned.part_of_tuned(part).layer(first).expect("an adapter");
        adapter::add_to(&mut values, &adapter, config);
        values
    };
    let (none, half, all) = (changed(0.0), changed(0.5), changed(1.0));
    for ((none, half), all) in none.iter().zip(&half).zip(&all) {
        let (wanted, change) = (0.5 * (none + all), (all - none).abs());
        assert!(
            (half - wanted).abs() <= 1e-6 + 0.01 * change,
            "{none} {half} {all}"
        );
    }
    assert!(
        none.iter()
            .zip(&half)
            .filter(|(none, half)| none != half)
            .count()
            > none.len() / 2
    );
}

/// The tensors of a file with one of them replaced.
fn with_part(bytes: &[u8], part: &str, shape: Vec<usize>, value: u16) -> Vec<u8> {
    let file = SafeTensors::deserialize(bytes).expect("a file");
    let new = value.to_le_bytes().repeat(shape.iter().product());
    let tensors = file.tensors().into_iter().map(|(name, view)| {
        let replaced = TensorView::new(Dtype::BF16, shape.clone(), &new).expect("a tensor");
        let view = if name.ends_with(part) { replaced } else { view };
        (name, view)
    });
    safetensors::serialize(tensors.collect::<Vec<_>>(), None).expect("bytes")
}

#[test]
fn damaged_layers_are_refused_and_any_rank_is_read() {
    let encoder = tiny("tiny-mpnet");
    let tuned = encoder.tune(&TEXTS, &CLASSES, &TuneOptions::far(1, 2), &mut |_| ());
    let tuned = tuned.expect("tuned");
    let bytes = tuned.bytes_of(tuned.tuned().expect("tuned layers"), None);
    let bytes = bytes.expect("bytes");
    let inner = encoder.config.transformer.inner;
    let refused = |bytes: &[u8]| encoder.read_tuned(bytes).expect_err("refused");
    let narrow = with_part(&bytes, "up.left", vec![3, inner], 0);
    assert!(refused(&narrow).contains("up.left` has another type or shape"));
    let empty = with_part(
        &bytes,
        "attention.projection.left",
        vec![0, 3 * encoder.width()],
        0,
    );
    assert!(refused(&empty).contains("attention.projection.left` is empty"));
    let nan = with_part(&bytes, "up.bias", vec![inner], 0x7fc0);
    assert!(refused(&nan).contains("is none"));
    assert!(refused(&bytes[..bytes.len() - 2]).contains("not fully covered"));
    let config = &encoder.config.transformer;
    let of_rank_2 = vec![0.5; adapter::adapter_len(config, 2)];
    let layers = TunedLayers::new(0, [of_rank_2.as_slice()].into_iter());
    let bytes = encoder.bytes_of(&layers, None).expect("bytes");
    assert_eq!(encoder.read_tuned(&bytes), Ok(layers.clone()));
    // Tuned on, beside a layer of the usual rank.
    let changed = encoder.with_tuned(layers).expect("changed");
    let tuned = changed.tune(&TEXTS, &CLASSES, &TuneOptions::far(2, 2), &mut |_| ());
    let tuned = tuned
        .expect("tuned")
        .tuned()
        .cloned()
        .expect("tuned layers");
    let bytes = encoder.bytes_of(&tuned, None).expect("bytes");
    assert_eq!(encoder.read_tuned(&bytes), Ok(tuned));
}

/// A mix that stops below the last layer leaves the layers above it alone, in the file too.
#[test]
fn layers_above_the_highest_do_not_change() {
    let encoder = tiny("tiny-mpnet");
    let options = TuneOptions {
        highest: 1,
        ..TuneOptions::far(2, 5)
    };
    let tuned = encoder.tune(&TEXTS, &CLASSES, &options, &mut |_| ());
    let tuned = tuned.expect("tuned");
    assert_eq!(tuned.tuned().map(TunedLayers::range), Some(0..1));
    let bytes = tuned.bytes_of(tuned.tuned().expect("tuned layers"), None);
    let bytes = bytes.expect("bytes");
    let read = encoder.with_tuned_bytes(&bytes).expect("fits");
    assert_eq!(read.tuned(), tuned.tuned());
    // Tuned afterwards, the last layer changes and the lower one stays as it was tuned, and the other way
    // round.
    let all = read.tune(&TEXTS, &CLASSES, &TuneOptions::far(1, 5), &mut |_| ());
    let all = all.expect("tuned");
    let layers = |encoder: &Encoder| encoder.tuned().cloned().expect("tuned layers");
    assert_eq!(layers(&all).range(), 0..encoder.layers());
    assert_eq!(layers(&all).layer(0), layers(&read).layer(0));
    let lower = all.tune(&TEXTS, &CLASSES, &options, &mut |_| ());
    let lower = layers(&lower.expect("tuned"));
    assert_eq!(lower.layer(1), layers(&all).layer(1));
    assert_ne!(lower.layer(0), layers(&all).layer(0));
}

#[test]
fn several_tasks_are_learned_at_once() {
    let encoder = tiny("tiny-mpnet");
    let options = TuneOptions::far(2, 60);
    let mut losses = Vec::new();
    let mut watch = |progress: TuneProgress| losses.push(progress.loss);
    // The second task parts the same texts in another way.
    let tasks = [(&TEXTS[..], &CLASSES[..]), (&TEXTS[..4], &[0, 1, 0, 1])];
    let tuned = encoder.tune_on_tasks(&tasks, &options, &mut watch);
    assert!(tuned.is_ok());
    for task in 0..2 {
        let (first, last) = (losses[task], losses[58 + task]);
        assert!(last < 0.8 * first, "task {task}: {first}, then {last}");
    }
}

#[test]
fn what_cannot_be_tuned_is_no_panic() {
    let encoder = tiny("tiny-bert");
    let none: [&str; 0] = [];
    let tune = |texts: &[&str], classes: &[usize], options: &TuneOptions| {
        encoder.tune(texts, classes, options, &mut |_| ())
    };
    assert!(tune(&none, &[], &TuneOptions::default()).is_ok());
    assert!(tune(&["one"], &[0], &TuneOptions::default()).is_ok());
    let far = TuneOptions {
        learning_rate: f32::INFINITY,
        ..TuneOptions::default()
    };
    assert!(matches!(
        tune(&TEXTS, &CLASSES, &far),
        Err(EncoderError::Diverged)
    ));
}
