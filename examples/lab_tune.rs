use fewshot::data::{Dataset, FieldNames};
use fewshot::encoder::{Encoder, Precision, TuneOptions};
use fewshot::head::{HeadKind, HeadOptions};
use fewshot::matrix::Matrix;
use fewshot::prompt::label_names;
use fewshot::random::Random;
use fewshot::vectors::VectorClassifier;
use std::time::Instant;

fn mean_layers(v: &Matrix, width: usize, from: usize, to: usize) -> Matrix {
    let rows: Vec<Vec<f32>> = v
        .iter_rows()
        .map(|r| {
            let mut m = vec![0.0; width];
            for l in from..to {
                for (a, b) in m.iter_mut().zip(&r[l * width..]) {
                    *a += b / (to - from) as f32;
                }
            }
            m
        })
        .collect();
    Matrix::from_rows(&rows).unwrap()
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let sets: Vec<&str> = args[0].split(',').collect();
    let seeds: Vec<u64> = args[1].split(',').map(|s| s.parse().unwrap()).collect();
    let shots: usize = args[2].parse().unwrap();
    let nq: usize = args[3].parse().unwrap();
    let configs: Vec<(usize, usize, f32, bool, f64)> = args[4]
        .split(',')
        .map(|c| {
            let p: Vec<&str> = c.split(':').collect();
            (
                p[0].parse().unwrap(),
                p[1].parse().unwrap(),
                p[2].parse().unwrap(),
                p[3] == "n",
                p[4].parse().unwrap(),
            )
        })
        .collect();
    let test = args.get(5).is_some_and(|a| a == "test");
    let files = fewshot::hub::HubOptions::default();
    let encoder = Encoder::load_in(
        &fewshot::hub::resolve("sentence-transformers/all-mpnet-base-v2", &files).unwrap(),
        Precision::automatic(),
    )
    .unwrap();
    let layers: Vec<usize> = (6..=12).collect();
    for &seed in &seeds {
        for set in &sets {
            let dir = format!("/work/shared/datasets/{set}");
            let names = FieldNames::default();
            let read = |p: &str| {
                Dataset::read(
                    [&std::path::PathBuf::from(format!("{dir}/{p}.jsonl"))],
                    None,
                    &names,
                )
                .unwrap()
                .0
            };
            let train = read("train");
            let few = match train.draw(shots, seed) {
                Ok(f) => f,
                Err(_) => continue,
            };
            let labels = few.labels().clone();
            let pool = if test { read("test") } else { train };
            let mut rest: Vec<_> = pool
                .examples()
                .iter()
                .filter(|e| test || !few.examples().iter().any(|f| f.text == e.text))
                .cloned()
                .collect();
            Random::named(seed, "query").shuffle_first(&mut rest, nq);
            rest.truncate(nq);
            let names = label_names(&labels);
            let texts =
                |e: &[fewshot::data::Example]| e.iter().map(|e| e.text.clone()).collect::<Vec<_>>();
            let (st, qt, nt) = (texts(few.examples()), texts(&rest), texts(&names));
            let yq: Vec<usize> = rest
                .iter()
                .map(|e| labels.class(&e.label).unwrap())
                .collect();
            let yn: Vec<usize> = names
                .iter()
                .map(|e| labels.class(&e.label).unwrap())
                .collect();
            let evaluate = |enc: &Encoder| -> Vec<f64> {
                let (s, q, n) = (
                    enc.encode_layers(&st, &layers).unwrap().vectors,
                    enc.encode_layers(&qt, &layers).unwrap().vectors,
                    enc.encode_layers(&nt, &layers).unwrap().vectors,
                );
                let mut out = Vec::new();
                for (from, to) in [(6, 7), (3, 7), (0, 7)] {
                    let f = |m: &Matrix| mean_layers(m, enc.width(), from, to);
                    for with in [false, true] {
                        let options = HeadOptions {
                            kind: HeadKind::Linear,
                            ..HeadOptions::default()
                        };
                        let prior = f(&n);
                        let c = VectorClassifier::fit(
                            &f(&s),
                            &few.classes(),
                            (with && !names.is_empty()).then_some((&prior, &yn[..])),
                            labels.clone(),
                            &options,
                            1,
                        )
                        .unwrap();
                        let g = c.predict(&f(&q)).unwrap();
                        out.push(
                            100.0 * g.iter().zip(&yq).filter(|(a, b)| a == b).count() as f64
                                / yq.len() as f64,
                        );
                    }
                }
                out
            };
            let show = |name: &str, secs: f64, a: &[f64]| {
                println!(
                    "{set}\t{seed}\t{name}\t{secs:.2}\t{}",
                    a.iter()
                        .map(|x| format!("{x:.1}"))
                        .collect::<Vec<_>>()
                        .join("\t")
                )
            };
            show("frozen", 0.0, &evaluate(&encoder));
            for &(l, steps, lr, with, goal) in &configs {
                let (mut t, mut y) = (st.clone(), few.classes());
                if with {
                    t.extend(nt.iter().cloned());
                    y.extend(&yn);
                }
                let start = Instant::now();
                let mut losses = Vec::new();
                let tuned = encoder
                    .tune(
                        &t,
                        &y,
                        &TuneOptions {
                            layers: l,
                            steps,
                            learning_rate: lr,
                            goal,
                            seed,
                        },
                        &mut |p| losses.push(p.loss),
                    )
                    .unwrap();
                let secs = start.elapsed().as_secs_f64();
                eprintln!(
                    "{set} {l} {lr} {}",
                    losses
                        .iter()
                        .map(|x| format!("{x:.3}"))
                        .collect::<Vec<_>>()
                        .join(" ")
                );
                show(
                    &format!("{l}:{steps}:{lr}:{}:{goal}", if with { "n" } else { "" }),
                    secs,
                    &evaluate(&tuned),
                );
            }
        }
    }
}
