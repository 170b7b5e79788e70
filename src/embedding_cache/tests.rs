use std::fs;
use std::io::Write;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::hub::{HubOptions, resolve};

const TEXTS: [&str; 5] = ["the dog", "my money", "the dog", "a quick brown fox", "9 €"];

fn encoder(name: &str) -> Encoder {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    load(&dir.join(name))
}

fn load(dir: &Path) -> Encoder {
    let files = resolve(dir.to_str().unwrap(), &HubOptions::default()).unwrap();
    Encoder::load(&files).unwrap()
}

fn options(dir: &TempDir) -> CacheOptions {
    CacheOptions {
        dir: dir.path().join("embeddings"),
        ..CacheOptions::default()
    }
}

/// Embeds the texts with a cache opened anew; the vectors' bits, the notes and the report.
fn run(
    encoder: &Encoder,
    layers: &LayerMix,
    options: Option<&CacheOptions>,
    texts: &[&str],
) -> (Vec<u32>, Vec<Note>, CacheReport) {
    let mut cached = CachedEncoder::open(encoder, layers, options).unwrap();
    let encoded = cached.encode(texts, |_, _| ()).unwrap();
    let bits = encoded.vectors.values().iter().map(|value| value.to_bits());
    (bits.collect(), encoded.notes, cached.report)
}

/// What came out of the cache, what was embedded, what was damaged.
fn counts(report: &CacheReport) -> (usize, usize, usize) {
    (report.found, report.embedded, report.damaged)
}

/// A text embedded in other company may differ in the last bits.
fn near(vectors: &[u32], others: &[u32]) -> bool {
    let mut pairs = vectors.iter().zip(others);
    vectors.len() == others.len()
        && pairs.all(|(&a, &b)| (f32::from_bits(a) - f32::from_bits(b)).abs() < 1e-4)
}

/// A cache that holds the texts, and its only file.
fn filled(encoder: &Encoder) -> (TempDir, CacheOptions, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let options = options(&dir);
    let (_, _, report) = run(encoder, &LayerMix::Last, Some(&options), &TEXTS);
    assert_eq!(counts(&report), (0, 4, 0));
    let path = list(&options.dir).unwrap().remove(0).path;
    (dir, options, path)
}

#[test]
fn vectors_and_notes_come_back_bit_by_bit() {
    let encoder = encoder("tiny-mpnet");
    let long = "the quick brown fox ".repeat(200);
    let cut = "dog ".repeat(100_000);
    let texts = [TEXTS[0], &long, TEXTS[1], &cut, &long];
    let dir = tempfile::tempdir().unwrap();
    let plain = run(&encoder, &LayerMix::All, None, &texts);
    let first = run(&encoder, &LayerMix::All, Some(&options(&dir)), &texts);
    let second = run(&encoder, &LayerMix::All, Some(&options(&dir)), &texts);
    for found in [&first, &second] {
        assert_eq!((&found.0, &found.1), (&plain.0, &plain.1));
        assert!(found.2.problem.is_none());
    }
    assert_eq!(counts(&second.2), (4, 0, 0));
    let noted: Vec<usize> = plain.1.iter().map(|note| note.text).collect();
    assert_eq!(noted, [1, 3, 4]);
    assert_eq!(
        plain.1,
        encoder.encode(&texts, &LayerMix::All).unwrap().notes
    );
}

#[test]
fn encoders_settings_and_layers_are_never_mixed() {
    let (mpnet, bert) = (encoder("tiny-mpnet"), encoder("tiny-bert"));
    let (dir, options, _) = filled(&mpnet);
    let missed = |encoder: &Encoder, layers: &str| {
        let layers = layers.parse().unwrap();
        let report = run(encoder, &layers, Some(&options), &TEXTS).2;
        assert_eq!(counts(&report), (0, 4, 0));
    };
    missed(&bert, "last");
    missed(&mpnet, "1");
    missed(&mpnet, "0-1");
    // The same weights and another longest window, or another tokenizer.
    for (file, from, to) in [
        (
            "sentence_bert_config.json",
            "\"max_seq_length\": ",
            "\"max_seq_length\": 1",
        ),
        ("tokenizer.json", "\"version\"", "\"version\" "),
    ] {
        let model = dir.path().join(file.replace('.', "-"));
        copy(Path::new(&mpnet.identity().id), &model);
        let text = fs::read_to_string(model.join(file)).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(model.join(file), text.replacen(from, to, 1)).unwrap();
        missed(&load(&model), "last");
    }
    assert_eq!(list(&options.dir).unwrap().len(), 6);
    // `last` is a name of that layer, no other key; another path to the same files neither.
    let last: LayerMix = mpnet.layers().to_string().parse().unwrap();
    let model = dir.path().join("same");
    copy(Path::new(&mpnet.identity().id), &model);
    let report = run(&load(&model), &last, Some(&options), &TEXTS).2;
    assert_eq!(counts(&report), (4, 0, 0));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|e| (e.path(), e.file_name())).unwrap();
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// At every length the file may have been cut to.
#[test]
fn a_truncated_file_is_mended() {
    let encoder = encoder("tiny-mpnet");
    let (_dir, options, path) = filled(&encoder);
    let whole = fs::read(&path).unwrap();
    let plain = run(&encoder, &LayerMix::Last, None, &TEXTS).0;
    let record = record::length(encoder.width());
    let header = whole.len() - 4 * record;
    for length in (0..whole.len()).step_by(7) {
        fs::write(&path, &whole[..length]).unwrap();
        let (vectors, _, report) = run(&encoder, &LayerMix::Last, Some(&options), &TEXTS);
        assert!(report.problem.is_none(), "{length}: {report:?}");
        assert!(near(&vectors, &plain), "{length}");
        assert_eq!(
            report.found,
            length.saturating_sub(header) / record,
            "{length}"
        );
        let clean = length == 0 || length >= header && (length - header).is_multiple_of(record);
        assert_eq!(report.damaged, usize::from(!clean), "{length}");
        assert_eq!(fs::metadata(&path).unwrap().len(), whole.len() as u64);
    }
}

/// One flipped bit in each byte, the header's included.
#[test]
fn a_flipped_bit_costs_one_text_at_most_or_the_file() {
    let encoder = encoder("tiny-mpnet");
    let (_dir, options, path) = filled(&encoder);
    let whole = fs::read(&path).unwrap();
    let plain = run(&encoder, &LayerMix::Last, None, &TEXTS).0;
    let header = whole.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    for place in (0..whole.len()).step_by(3) {
        let mut damaged = whole.clone();
        damaged[place] ^= 1 << (place % 8);
        fs::write(&path, &damaged).unwrap();
        let (vectors, _, report) = run(&encoder, &LayerMix::Last, Some(&options), &TEXTS);
        assert!(near(&vectors, &plain), "{place}");
        assert!(report.problem.is_none(), "{place}: {report:?}");
        if place >= header {
            assert_eq!((report.found, report.embedded), (3, 1), "{place}");
        }
        let again = run(&encoder, &LayerMix::Last, Some(&options), &TEXTS).2;
        assert_eq!(counts(&again), (4, 0, 0), "{place}");
    }
}

#[test]
fn any_bytes_in_place_of_a_file_do_no_harm() {
    let encoder = encoder("tiny-mpnet");
    let (_dir, options, path) = filled(&encoder);
    let header = fs::read(&path).unwrap();
    let header = header
        .split_inclusive(|&byte| byte == b'\n')
        .next()
        .unwrap();
    let header = String::from_utf8(header.to_vec()).unwrap();
    let contents = [
        "\n".to_owned(),
        "{}\n".to_owned(),
        "x".repeat(100_000),
        header.replace("\"width\":32", "\"width\":18446744073709551615"),
        header.replace("\"width\":32", "\"width\":0"),
        header.replace("\"version\":", "\"version\":9"),
    ];
    for content in contents {
        fs::write(&path, &content).unwrap();
        list(&options.dir).unwrap();
        let report = run(&encoder, &LayerMix::Last, Some(&options), &TEXTS).2;
        assert_eq!(counts(&report), (0, 4, 1), "{content}");
    }
}

#[test]
fn a_reader_finds_what_another_adds_and_repeats_nothing() {
    let encoder = encoder("tiny-mpnet");
    let (_dir, options, path) = filled(&encoder);
    let open = || CachedEncoder::open(&encoder, &LayerMix::Last, Some(&options)).unwrap();
    let (mut one, mut other) = (open(), open());
    let before = fs::metadata(&path).unwrap().len();
    one.encode(&["new", "newer"], |_, _| ()).unwrap();
    other.encode(&["new", "newest"], |_, _| ()).unwrap();
    let added = fs::metadata(&path).unwrap().len() - before;
    assert_eq!(added, 3 * record::length(encoder.width()) as u64);
    other.encode(&["newer", "newest"], |_, _| ()).unwrap();
    assert_eq!(counts(&other.report), (2, 2, 0));
}

#[test]
fn an_emptied_file_ends_caching_and_nothing_else() {
    let encoder = encoder("tiny-mpnet");
    let (_dir, options, path) = filled(&encoder);
    let mut cached = CachedEncoder::open(&encoder, &LayerMix::Last, Some(&options)).unwrap();
    fs::File::create(&path).unwrap();
    let encoded = cached.encode(&TEXTS, |_, _| ()).unwrap();
    assert_eq!(encoded.vectors.rows(), TEXTS.len());
    assert!(matches!(
        cached.report.problem,
        Some(CacheError::Changed { .. })
    ));
}

#[test]
fn threads_write_at_once() {
    let encoder = encoder("tiny-mpnet");
    let dir = tempfile::tempdir().unwrap();
    let options = options(&dir);
    let texts: Vec<String> = (0..400).map(|number| format!("dog {number}")).collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut cached =
                    CachedEncoder::open(&encoder, &LayerMix::Last, Some(&options)).unwrap();
                cached.encode(&texts, |_, _| ()).unwrap();
                assert!(cached.report.problem.is_none(), "{:?}", cached.report);
            });
        }
    });
    let file = list(&options.dir).unwrap().remove(0);
    assert_eq!(file.texts, 400);
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let report = run(&encoder, &LayerMix::Last, Some(&options), &texts).2;
    assert_eq!(counts(&report), (400, 0, 0));
}

#[test]
fn a_folder_that_cannot_be_written_only_costs_time() {
    let encoder = encoder("tiny-mpnet");
    let file = tempfile::NamedTempFile::new().unwrap();
    let options = CacheOptions {
        dir: file.path().join("embeddings"),
        ..CacheOptions::default()
    };
    let (_, _, report) = run(&encoder, &LayerMix::Last, Some(&options), &TEXTS);
    assert_eq!(counts(&report), (0, 4, 0));
    assert!(matches!(report.problem, Some(CacheError::Io { .. })));
}

/// A folder in the lock's place: the file is there, and nothing can be added.
#[test]
fn what_cannot_be_written_is_read_all_the_same() {
    let encoder = encoder("tiny-mpnet");
    let (_dir, options, _) = filled(&encoder);
    fs::remove_file(options.dir.join("lock")).unwrap();
    fs::create_dir(options.dir.join("lock")).unwrap();
    let (_, _, report) = run(
        &encoder,
        &LayerMix::Last,
        Some(&options),
        &["the dog", "new"],
    );
    assert_eq!(counts(&report), (1, 1, 0));
    assert!(matches!(report.problem, Some(CacheError::Io { .. })));
}

#[test]
fn beyond_the_limit_nothing_is_added() {
    let encoder = encoder("tiny-mpnet");
    let (_dir, options, path) = filled(&encoder);
    let bytes = fs::metadata(&path).unwrap().len();
    let options = CacheOptions {
        max_bytes: bytes + 10,
        ..options
    };
    let (_, _, report) = run(
        &encoder,
        &LayerMix::Last,
        Some(&options),
        &["the dog", "new"],
    );
    assert_eq!(counts(&report), (1, 1, 0));
    assert!(matches!(report.problem, Some(CacheError::Full { .. })));
    assert_eq!(fs::metadata(&path).unwrap().len(), bytes);
}

#[test]
fn a_cache_is_listed_and_emptied() {
    let encoder = encoder("tiny-mpnet");
    let (_dir, options, path) = filled(&encoder);
    fs::File::create(options.dir.join("notes.txt"))
        .unwrap()
        .write_all(b"mine")
        .unwrap();
    fs::write(options.dir.join("broken.vectors"), "?").unwrap();
    let files = list(&options.dir).unwrap();
    assert_eq!(files.len(), 2);
    assert_eq!((files[0].encoder.as_ref(), files[0].texts), (None, 0));
    assert_eq!(
        (&files[1].path, files[1].texts, files[1].width),
        (&path, 4, 32)
    );
    assert_eq!(clear(&options.dir).unwrap(), files[1].size_bytes + 1);
    assert_eq!(list(&options.dir).unwrap(), []);
    assert!(options.dir.join("notes.txt").exists());
    assert_eq!(clear(Path::new("no/such/folder")).unwrap(), 0);
}

#[test]
fn progress_goes_to_the_end() {
    let encoder = encoder("tiny-mpnet");
    let (_dir, options, _) = filled(&encoder);
    let mut cached = CachedEncoder::open(&encoder, &LayerMix::Last, Some(&options)).unwrap();
    let texts: Vec<String> = (0..300).map(|number| format!("cat {number}")).collect();
    let mut told = Vec::new();
    cached
        .encode(&texts, |done, of| told.push((done, of)))
        .unwrap();
    assert_eq!(told, [(0, 300), (128, 300), (256, 300), (300, 300)]);
}

#[test]
fn the_environment_names_folder_and_limit() {
    let of = |vars: &[(&str, &str)]| {
        CacheOptions::from_vars(&|name| {
            let var = vars.iter().find(|(known, _)| *known == name);
            var.map(|(_, value)| (*value).to_owned())
        })
    };
    let dir = |vars| of(vars).unwrap().dir;
    assert_eq!(
        dir(&[("FEWSHOT_CACHE", "/c"), ("XDG_CACHE_HOME", "/x")]),
        Path::new("/c/embeddings")
    );
    assert_eq!(
        dir(&[("XDG_CACHE_HOME", "/x")]),
        Path::new("/x/fewshot/embeddings")
    );
    assert_eq!(of(&[]).unwrap(), CacheOptions::default());
    for (size, bytes) in [("0", 0), ("17", 17), ("3k", 3_000), ("10G", 10_000_000_000)] {
        assert_eq!(
            of(&[("FEWSHOT_CACHE_SIZE", size)]).unwrap().max_bytes,
            bytes
        );
    }
    for size in ["x", "-1", "1.5G", "G", "99999999999T"] {
        let found = of(&[("FEWSHOT_CACHE_SIZE", size)]);
        assert!(matches!(found, Err(CacheError::Size { .. })), "{size}");
    }
}
