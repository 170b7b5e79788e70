use fewshot::encoder::{Encoder, Precision, TuneOptions};
fn main() {
    let files = fewshot::hub::HubOptions::default();
    let encoder = Encoder::load_in(
        &fewshot::hub::resolve("sentence-transformers/all-mpnet-base-v2", &files).unwrap(),
        Precision::automatic(),
    )
    .unwrap();
    let t: Vec<String> = std::fs::read_to_string("/work/models/texts256.txt")
        .unwrap()
        .lines()
        .take(22)
        .map(String::from)
        .collect();
    let y: Vec<usize> = (0..22).map(|i| i % 2).collect();
    for steps in [1, 11] {
        let s = std::time::Instant::now();
        encoder
            .tune(
                &t,
                &y,
                &TuneOptions {
                    layers: 6,
                    steps,
                    learning_rate: 5e-5,
                    seed: 1,
                },
                &mut |_| (),
            )
            .unwrap();
        println!("{steps} steps {:?}", s.elapsed());
    }
}
