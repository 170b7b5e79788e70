//! Milliseconds that a person waits between an answer and the next text.
//!
//!     cargo bench --bench active
//!
//! Random vectors of width 768 do: the work depends on the counts alone.

use std::sync::Arc;
use std::time::Instant;

use fewshot::active::{Learner, Pool, Strategy};
use fewshot::matrix::Matrix;
use fewshot::random::Random;

fn main() {
    println!("choice and refit, median of 20, ms; after 10 and after 200 labels of 4 classes");
    for texts in [2_000, 5_000] {
        let mut random = Random::new(1);
        let values = (0..texts * 768).map(|_| random.normal()).collect();
        let vectors = Matrix::from_values(768, values).expect("whole rows");
        let start = Instant::now();
        let pool = Arc::new(Pool::new(&vectors));
        println!(
            "{texts} texts: pool made in {:.2} s",
            start.elapsed().as_secs_f64()
        );
        for strategy in Strategy::ALL {
            let times = [10, 200].map(|labels| time(&pool, strategy, labels));
            println!("  {strategy:<9} {:>7.2} {:>7.2}", times[0], times[1]);
        }
    }
}

fn time(pool: &Arc<Pool>, strategy: Strategy, labels: usize) -> f64 {
    let mut learner = Learner::new(Arc::clone(pool));
    let mut random = Random::new(2);
    (0..4).for_each(|_| {
        learner.add_class();
    });
    let answers: Vec<(usize, usize)> = (0..labels).map(|text| (text, text % 4)).collect();
    learner.answer_all(&answers);
    // The first choice makes what the strategy keeps.
    learner.choose(strategy, &mut random);
    let mut times: Vec<f64> = (0..20)
        .filter_map(|at| {
            let start = Instant::now();
            let text = learner.choose(strategy, &mut random)?;
            learner.answer(text, at % 4);
            Some(1e3 * start.elapsed().as_secs_f64())
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
