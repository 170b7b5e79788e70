//! The encoder against Python's `transformers`; `tests/data/make_reference.py` made the numbers.
//!
//! The tiny models are in the repository. The real ones are looked for in the Hugging Face cache;
//! where they are not, their tests say so and pass, unless `FEWSHOT_REQUIRE_ENCODERS` is set, as
//! `scripts/test.sh` does.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::Device;
use fewshot::data::{Dataset, FieldNames};
use fewshot::encoder::{
    Architecture, Encoder, EncoderError, LayerMix, Pooling, Precision, TuneOptions,
};
use fewshot::hub::{HubOptions, ModelFiles, resolve};
use fewshot::matrix::Matrix;
use fewshot::start::StartFrom;
use fewshot::{FewShotClassifier, FitOptions, Tune};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn data(name: &str) -> PathBuf {
    repository("tests/data").join(name)
}

fn texts() -> Vec<String> {
    let text = std::fs::read_to_string(data("texts.json")).expect("texts.json");
    serde_json::from_str(&text).expect("an array of strings")
}

fn open(dir: &Path) -> Result<Encoder, EncoderError> {
    open_in(dir, Precision::F32)
}

fn open_in(dir: &Path, precision: Precision) -> Result<Encoder, EncoderError> {
    let files = ModelFiles {
        id: dir.display().to_string(),
        dir: dir.to_owned(),
        commit: None,
        weights: dir.join("model.safetensors"),
        weights_sha256: String::new(),
        warnings: Vec::new(),
    };
    Encoder::load_in(&files, precision)
}

/// A real encoder from the cache, or none.
fn real(id: &str) -> Option<Encoder> {
    real_in(id, Precision::F32)
}

fn real_in(id: &str, precision: Precision) -> Option<Encoder> {
    let options = HubOptions {
        offline: true,
        ..HubOptions::from_env()
    };
    match resolve(id, &options) {
        Ok(files) => Some(Encoder::load_in(&files, precision).expect("the cached model is sound")),
        Err(error) if std::env::var_os("FEWSHOT_REQUIRE_ENCODERS").is_some() => panic!("{error}"),
        Err(error) => {
            eprintln!("skipped: {error}");
            None
        }
    }
}

/// The encoder as it is, and by candle's operations, as a GPU runs it.
fn both_ways(open: impl Fn() -> Encoder) -> [Encoder; 2] {
    [open(), on_device(open())]
}

fn on_device(encoder: Encoder) -> Encoder {
    encoder.on(&Device::Cpu).expect("candle's own CPU")
}

/// The precisions that this CPU has.
fn precisions() -> impl Iterator<Item = Precision> {
    [Precision::F32, Precision::Bf16, Precision::Int8]
        .into_iter()
        .filter(|precision| precision.available())
}

fn reference(name: &str, tensor: &str) -> Vec<Vec<f32>> {
    let path = data(&format!("reference-{name}.safetensors"));
    let tensors = candle_core::safetensors::load(path, &Device::Cpu).expect("reference");
    let tensor = &tensors[tensor];
    tensor
        .reshape((tensor.dims()[0], ()))
        .and_then(|t| t.to_vec2())
        .expect("rows")
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(&a, &b)| f64::from(a) * f64::from(b))
            .sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn difference(a: &[f32], b: &[f32]) -> f32 {
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

fn assert_close(got: &Matrix, expected: &[Vec<f32>]) {
    assert_eq!(got.rows(), expected.len());
    for (row, (a, b)) in got.iter_rows().zip(expected).enumerate() {
        assert_eq!(a.len(), b.len());
        let (cosine, difference) = (cosine(a, b), difference(a, b));
        assert!(cosine >= 0.99999, "text {row}: cosine {cosine}");
        assert!(difference <= 1e-4, "text {row}: difference {difference}");
    }
}

fn assert_agrees(encoder: &Encoder, name: &str, mix: &LayerMix) {
    let last = encoder.encode(&texts(), &LayerMix::Last).expect("vectors");
    assert_close(&last.vectors, &reference(name, "mean"));
    let mixed = encoder.encode(&texts(), mix).expect("vectors");
    assert_close(&mixed.vectors, &reference(name, "mix"));
    // Texts of 600 and 1,300 words.
    for text in [48, 49] {
        assert!(
            last.notes
                .iter()
                .any(|note| note.text == text && note.windows > 1)
        );
    }
}

#[test]
fn tiny_models_agree_with_transformers_in_every_layer() {
    for name in ["tiny-bert", "tiny-mpnet"] {
        for encoder in both_ways(|| open(&data(name)).expect("a model")) {
            let last = encoder.encode(&texts(), &LayerMix::Last).expect("vectors");
            assert_close(&last.vectors, &reference(name, "mean"));
            let layers = encoder
                .encode_layers(&texts(), &[0, 1, 2, 3, 4])
                .expect("vectors");
            assert_close(&layers.vectors, &reference(name, "layers"));
        }
    }
}

#[test]
fn real_mpnet_agrees_with_transformers() {
    let Some(encoder) = real("sentence-transformers/all-mpnet-base-v2") else {
        return;
    };
    assert_eq!(
        (encoder.width(), encoder.layers(), encoder.max_tokens()),
        (768, 12, 384)
    );
    assert!(encoder.normalises() && encoder.architecture() == Architecture::Mpnet);
    let mix = "6-12".parse().expect("a range");
    assert_agrees(&encoder, "mpnet", &mix);
    assert_agrees(&on_device(encoder), "mpnet", &mix);
}

#[test]
fn real_minilm_agrees_with_transformers() {
    let Some(encoder) = real("sentence-transformers/all-MiniLM-L6-v2") else {
        return;
    };
    assert_eq!(
        (encoder.width(), encoder.layers(), encoder.max_tokens()),
        (384, 6, 256)
    );
    assert_eq!(encoder.architecture(), Architecture::Bert);
    let mix = "3-6".parse().expect("a range");
    assert_agrees(&encoder, "minilm", &mix);
    assert_agrees(&on_device(encoder), "minilm", &mix);
}

/// A copy of tiny-bert, a plain repository, with sentence-transformers files around it.
fn with_pooling(mode: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("temporary folder");
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::copy(data("tiny-bert").join(name), dir.path().join(name)).expect("copied");
    }
    let module = |kind: &str, path: &str| serde_json::json!({"path": path, "type": format!("sentence_transformers.models.{kind}")});
    let modules = serde_json::json!([module("Transformer", ""), module("Pooling", "1_Pooling")]);
    std::fs::create_dir(dir.path().join("1_Pooling")).expect("folder");
    let write = |name: &str, value: serde_json::Value| {
        std::fs::write(dir.path().join(name), value.to_string()).expect("written");
    };
    write("modules.json", modules);
    write("1_Pooling/config.json", serde_json::json!({mode: true}));
    dir
}

#[test]
fn each_pooling_of_a_folder_is_followed() {
    let modes = [
        ("pooling_mode_cls_token", Pooling::Cls, "cls"),
        ("pooling_mode_max_tokens", Pooling::Max, "max"),
        ("pooling_mode_mean_tokens", Pooling::Mean, "mean"),
    ];
    for (mode, pooling, tensor) in modes {
        let dir = with_pooling(mode);
        for encoder in both_ways(|| open(dir.path()).expect("a model")) {
            assert_eq!(encoder.pooling(), pooling);
            let got = encoder.encode(&texts(), &LayerMix::Last).expect("vectors");
            assert_close(&got.vectors, &reference("tiny-bert", tensor));
        }
    }
}

/// Saved classifiers hold it: another value for the same folder makes all of them unreadable.
#[test]
fn the_settings_of_a_folder_have_a_lasting_checksum() {
    let encoder = open(&data("tiny-mpnet")).expect("a model");
    assert_eq!(
        encoder.settings_sha256(),
        "a83d86d978b17b2b6f07392c43595873cd95258b25c195705ac9b5f316c85101"
    );
}

#[test]
fn a_pooling_that_is_not_built_is_refused() {
    let dir = with_pooling("pooling_mode_lasttoken");
    assert!(matches!(open(dir.path()), Err(EncoderError::Config { .. })));
}

#[test]
fn a_plain_repository_gets_the_defaults() {
    let encoder = open(&data("tiny-bert")).expect("a model");
    assert_eq!(encoder.pooling(), Pooling::Mean);
    assert_eq!(encoder.max_tokens(), 64);
    assert!(!encoder.normalises());
}

#[test]
fn a_text_does_not_depend_on_its_neighbours() {
    let encoders = ["tiny-bert", "tiny-mpnet"].map(|name| {
        let open = || open(&data(name)).expect("a model");
        both_ways(open).map(|encoder| (name, encoder))
    });
    for (name, encoder) in encoders.into_iter().flatten() {
        let together = encoder
            .encode(&texts(), &LayerMix::All)
            .expect("vectors")
            .vectors;
        for (index, text) in texts().iter().enumerate() {
            let alone = encoder
                .encode(&[text], &LayerMix::All)
                .expect("vectors")
                .vectors;
            let difference = difference(alone.row(0), together.row(index));
            assert!(difference <= 1e-4, "{name}, text {index}: {difference}");
        }
    }
}

#[test]
fn tuned_layers_go_with_the_encoder_to_a_device() {
    let (texts, layers) = (texts(), LayerMix::All);
    let vectors = |encoder: &Encoder| encoder.encode(&texts, &layers).expect("vectors").vectors;
    let options = TuneOptions {
        layers: 2,
        steps: 5,
        learning_rate: 1e-2,
        ..TuneOptions::default()
    };
    let classes: Vec<usize> = (0..8).map(|index| index % 2).collect();
    let tuned = |encoder: &Encoder| {
        let tuned = encoder.tune(&texts[..8], &classes, &options, &mut |_| {});
        tuned.expect("a tuned encoder")
    };
    let [encoder, device] = both_ways(|| open(&data("tiny-mpnet")).expect("a model"));
    let expected = vectors(&tuned(&encoder));
    let rows: Vec<Vec<f32>> = expected.iter_rows().map(<[f32]>::to_vec).collect();
    assert!(difference(expected.values(), vectors(&encoder).values()) > 0.1);
    assert_close(&vectors(&tuned(&device)), &rows);
    assert_close(&vectors(&on_device(tuned(&encoder))), &rows);
}

#[test]
fn layers_come_in_the_order_that_they_are_named_in() {
    for encoder in both_ways(|| open(&data("tiny-bert")).expect("a model")) {
        let layers =
            |layers: &[usize]| encoder.encode_layers(&["a text"], layers).expect("vectors");
        let (named, width) = (layers(&[3, 1, 3]).vectors, encoder.width());
        let apart = [3, 1, 3].map(|layer| layers(&[layer]).vectors);
        for (own, alone) in named.row(0).chunks_exact(width).zip(apart) {
            assert!(difference(own, alone.row(0)) < 1e-6);
        }
    }
}

#[test]
fn a_device_takes_no_other_precision() {
    for precision in precisions().filter(|&precision| precision != Precision::F32) {
        let encoder = open_in(&data("tiny-bert"), precision).expect("a model");
        let refused = encoder.on(&Device::Cpu).err();
        let refused = refused.expect("an error");
        assert!(
            matches!(refused, EncoderError::DevicePrecision { precision: found } if found == precision)
        );
        assert!(
            refused
                .hint()
                .is_some_and(|hint| hint.contains("--device cpu"))
        );
    }
}

#[test]
fn equal_texts_get_equal_vectors_in_input_order() {
    let encoder = open(&data("tiny-mpnet")).expect("a model");
    let texts = [
        "b",
        "a",
        "b",
        "a long text with many more words than the others",
    ];
    let vectors = encoder
        .encode(&texts, &LayerMix::Last)
        .expect("vectors")
        .vectors;
    assert_eq!(vectors.row(0), vectors.row(2));
    assert_ne!(vectors.row(0), vectors.row(1));
    let alone = encoder
        .encode(&texts[3..], &LayerMix::Last)
        .expect("vectors")
        .vectors;
    assert!(difference(alone.row(0), vectors.row(3)) < 1e-5);
}

#[test]
fn no_text_gives_no_vector() {
    let encoder = open(&data("tiny-mpnet")).expect("a model");
    let encoded = encoder
        .encode::<&str>(&[], &LayerMix::Last)
        .expect("nothing");
    assert_eq!(encoded.vectors.rows(), 0);
}

/// Fits on eight examples a class of one of our own sets and gives the accuracy on its test file.
/// Of a classifier of the task's few examples, and whether it was tuned.
fn accuracy_on(encoder: &Arc<Encoder>, task: &str) -> (f64, bool) {
    let read = |name: &str| {
        let path = repository("datasets").join(task).join(name);
        Dataset::read([path], None, &FieldNames::default())
            .expect("a sound data set")
            .0
    };
    let (few, test) = (read("few.jsonl"), read("test.jsonl"));
    let options = FitOptions {
        seed: 42,
        ..FitOptions::default()
    };
    let classifier = FewShotClassifier::fit(Arc::clone(encoder), &few, &options).expect("fits");
    assert_eq!(few.labels(), test.labels());
    (accuracy(&classifier, &test), classifier.is_tuned())
}

fn accuracy(classifier: &FewShotClassifier, test: &Dataset) -> f64 {
    let texts: Vec<&str> = test.examples().iter().map(|e| e.text.as_str()).collect();
    let given = classifier.predict(&texts).expect("labels");
    let right = given
        .iter()
        .zip(test.classes())
        .filter(|(given, truth)| *given == truth)
        .count();
    right as f64 / test.examples().len() as f64
}

/// The whole path on real text. The bounds lie some points below what `docs/results.md` reports,
/// and far above chance (0.5, 0.5, 0.2).
#[test]
fn the_real_encoder_classifies_our_own_sets() {
    let Some(encoder) = real("sentence-transformers/all-mpnet-base-v2") else {
        return;
    };
    let encoder = Arc::new(encoder);
    // Whether an opinion is good or bad, and what is spam, the start knows.
    for (task, least, tuned) in [
        ("reviews", 0.79, false),
        ("sms", 0.80, false),
        ("tickets", 0.75, true),
    ] {
        let (accuracy, is_tuned) = accuracy_on(&encoder, task);
        assert!(accuracy >= least, "{task}: accuracy {accuracy}");
        assert_eq!(is_tuned, tuned, "{task}");
    }
}

/// What comes along with fewshot is of this encoder and tells the reviews' labels apart better, by their
/// names and one example each.
#[test]
fn the_real_encoders_start_from_what_comes_along() {
    for id in ["all-mpnet-base-v2", "all-MiniLM-L6-v2"] {
        let Some(encoder) = real(&format!("sentence-transformers/{id}")) else {
            continue;
        };
        check_start(id, &Arc::new(encoder));
    }
}

fn check_start(id: &str, encoder: &Arc<Encoder>) {
    let few = reviews("few.jsonl").examples().to_vec();
    let one = |label: &str| few.iter().find(|example| example.label == label).cloned();
    let examples = ["positive", "negative"].into_iter().filter_map(one);
    let (examples, _) = Dataset::from_examples(examples.collect()).expect("two labels");
    let fit = |start| {
        let options = FitOptions {
            tune: Tune::Off,
            start,
            ..FitOptions::default()
        };
        FewShotClassifier::fit(Arc::clone(encoder), &examples, &options).expect("fits")
    };
    let (with, without) = (fit(StartFrom::Auto), fit(StartFrom::Off));
    assert!(with.is_started() && !without.is_started(), "{id}");
    let test = reviews("test.jsonl");
    let (with, without) = (accuracy(&with, &test), accuracy(&without, &test));
    assert!(
        with > without,
        "{id}: {with} with the start, {without} without"
    );
}

fn reviews(name: &str) -> Dataset {
    let path = repository("datasets/reviews").join(name);
    let read = Dataset::read([path], None, &FieldNames::default());
    read.expect("a sound data set").0
}

/// Texts of our own sets: reviews, messages, tickets.
fn real_texts() -> Vec<String> {
    let read = |task| {
        let path = repository("datasets").join(task).join("new.txt");
        std::fs::read_to_string(path).expect("texts")
    };
    let all = ["reviews", "sms", "tickets"].map(read).concat();
    all.lines().map(str::to_owned).collect()
}

/// `[texts][layers]` cosines of `precision` to f32, for every layer of the default mix.
fn cosines_to_f32(id: &str, precision: Precision, texts: &[String]) -> Option<Vec<Vec<f64>>> {
    let (exact, other) = (real(id)?, real_in(id, precision)?);
    let layers = exact.default_layers().indices(exact.layers()).expect("its");
    let encode = |encoder: &Encoder| {
        let encoded = encoder.encode_layers(texts, &layers);
        encoded.expect("vectors").vectors
    };
    let (exact_vectors, vectors) = (encode(&exact), encode(&other));
    let by_layer = |(a, b): (&[f32], &[f32])| -> Vec<f64> {
        let width = exact.width();
        let pairs = a.chunks_exact(width).zip(b.chunks_exact(width));
        pairs.map(|(a, b)| cosine(a, b)).collect()
    };
    let rows = exact_vectors.iter_rows().zip(vectors.iter_rows());
    Some(rows.map(by_layer).collect())
}

fn assert_precise(precision: Precision, mean_at_least: f64, worst_at_least: f64) {
    if !precision.available() {
        eprintln!("skipped: this CPU has no {}", precision.name());
        return;
    }
    for id in ["all-mpnet-base-v2", "all-MiniLM-L6-v2"] {
        let id = format!("sentence-transformers/{id}");
        let Some(cosines) = cosines_to_f32(&id, precision, &real_texts()) else {
            return;
        };
        for layer in 0..cosines[0].len() {
            let column: Vec<f64> = cosines.iter().map(|layers| layers[layer]).collect();
            let mean = column.iter().sum::<f64>() / column.len() as f64;
            let worst = column.iter().copied().fold(1.0, f64::min);
            let name = precision.name();
            println!("{id}, {name}, layer {layer} of the mix: mean {mean:.5}, worst {worst:.5}");
            assert!(mean >= mean_at_least && worst >= worst_at_least);
        }
    }
}

#[test]
fn bf16_is_near_f32_in_every_layer_of_the_real_encoders() {
    assert_precise(Precision::Bf16, 0.9995, 0.9995);
}

/// With every product in bf16 these came out at 0.9989 and 0.9998 in the last layer.
#[test]
fn bf16_keeps_texts_from_the_brink() {
    if !Precision::Bf16.available() {
        eprintln!("skipped: this CPU has no bf16");
        return;
    }
    let texts = [
        "Subject: 30% off everything with sleeves\nThe evenings are turning cold, so we have cut the \
         price of every cardigan, coat and shirt at Marlo & Wren. Use code BRRR at checkout before \
         Sunday night. Free returns, as always.",
        "last chance 2 claim ur accident money. records show u were in a crash not ur fault. reply \
         CLAIM",
    ]
    .map(str::to_owned);
    let id = "sentence-transformers/all-mpnet-base-v2";
    let Some(cosines) = cosines_to_f32(id, Precision::Bf16, &texts) else {
        return;
    };
    for layers in cosines {
        assert!(layers.iter().all(|&cosine| cosine >= 0.9999), "{layers:?}");
    }
}

#[test]
fn int8_is_near_f32_in_every_layer_of_the_real_encoders() {
    assert_precise(Precision::Int8, 0.99, 0.98);
}

/// With our own kernels to the last bit; where `gemm` does f32, its blocks depend on the rows.
#[test]
fn a_vector_depends_on_nothing_but_its_text() {
    let bits = |vectors: &Matrix| -> Vec<u32> {
        vectors
            .values()
            .iter()
            .map(|value| value.to_bits())
            .collect()
    };
    let own_kernel = Precision::Int8.available();
    for (name, precision) in ["tiny-bert", "tiny-mpnet"]
        .into_iter()
        .flat_map(|name| precisions().map(move |precision| (name, precision)))
        .filter(|(_, precision)| own_kernel || *precision != Precision::F32)
    {
        let encoder = open_in(&data(name), precision).expect("a model");
        assert_eq!(encoder.identity().precision, precision);
        let encode = |texts: &[String]| {
            encoder
                .encode(texts, &LayerMix::All)
                .expect("vectors")
                .vectors
        };
        let together = encode(&texts());
        assert_eq!(bits(&together), bits(&encode(&texts())), "{name} twice");
        for threads in [1, 2, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            let vectors = pool.build().expect("threads").install(|| encode(&texts()));
            assert_eq!(
                bits(&together),
                bits(&vectors),
                "{name} on {threads} threads"
            );
        }
        for (index, text) in texts().into_iter().enumerate() {
            let alone = encode(&[text]);
            assert_eq!(alone.row(0), together.row(index), "{name}, text {index}");
        }
    }
}

#[test]
fn a_precision_without_instructions_is_refused() {
    for precision in [Precision::Bf16, Precision::Int8] {
        match open_in(&data("tiny-bert"), precision) {
            Ok(_) => assert!(precision.available()),
            Err(error) => {
                assert!(
                    matches!(error, EncoderError::Precision { precision: named } if named == precision)
                );
                assert!(error.hint().is_some());
            }
        }
    }
    assert!(Precision::automatic().available());
}
