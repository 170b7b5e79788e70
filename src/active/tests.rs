//! Laws of the environment and of training, on clusters whose structure is known.

use std::collections::HashSet;
use std::sync::Arc;

use super::*;
use crate::matrix::Matrix;
use crate::random::Random;

/// Texts around one centre a class; the first classes are the most frequent.
fn set(texts: usize, ways: usize, spread: f32, random: &mut Random) -> Labelled {
    let class = |random: &mut Random| random.below(ways).min(random.below(ways));
    let classes: Vec<usize> = (0..texts).map(|_| class(random)).collect();
    let row = |&class: &usize| -> Vec<f32> {
        (0..16)
            .map(|axis| f32::from(u8::from(axis == class)) + spread * random.normal())
            .collect()
    };
    let rows: Vec<Vec<f32>> = classes.iter().map(row).collect();
    Labelled {
        vectors: Matrix::from_rows(&rows).expect("rows"),
        classes,
    }
}

fn task(ways: usize, seed: u64) -> Task {
    let mut random = Random::new(seed);
    Task {
        name: format!("clusters {seed}"),
        ways,
        pool: set(300, ways, 0.25, &mut random),
        test: set(200, ways, 0.25, &mut random),
        names: None,
    }
}

/// Distinct texts among the answers.
fn distinct(world: &Environment) -> usize {
    let texts = world.learner().answers().iter().map(|(text, _)| *text);
    texts.collect::<HashSet<_>>().len()
}

#[test]
fn no_text_is_asked_twice_and_the_budget_holds() {
    let task = task(4, 1);
    for strategy in Strategy::ALL {
        let sample = task.sample(120, 100, 3);
        let mut world = Environment::new(&sample, Oracle::default(), 30, 5);
        assert_eq!(world.accuracy(), 0.25);
        let mut sum = world.accuracy();
        while let Some(reward) = world.step(strategy) {
            sum += reward;
        }
        assert!((sum - world.accuracy()).abs() < 1e-9, "rewards are gains");
        assert_eq!(
            (distinct(&world), world.is_over()),
            (30, true),
            "{strategy}"
        );
        assert!(world.accuracy() > 0.6, "{strategy}: {}", world.accuracy());
    }
}

#[test]
fn a_small_pool_ends_before_the_budget() {
    let sample = task(3, 2).sample(10, 50, 1);
    for strategy in Strategy::ALL {
        let mut world = Environment::new(&sample, Oracle::default(), 30, 5);
        while world.step(strategy).is_some() {}
        assert_eq!(world.learner().answers().len(), 10, "{strategy}");
        assert!(world.is_over());
    }
}

/// A class that nobody has named is never given: its tests are errors, nothing else happens.
#[test]
fn an_unseen_class_only_counts_as_an_error() {
    let mut task = task(3, 3);
    task.ways = 4;
    task.test
        .classes
        .iter_mut()
        .take(100)
        .for_each(|class| *class = 3);
    let sample = task.sample(100, 200, 1);
    let mut world = Environment::new(&sample, Oracle::default(), 40, 5);
    while world.step(Strategy::Rep).is_some() {}
    assert!(world.accuracy() <= 0.5);
    assert_eq!(world.learner().counts()[3], 0);
    let text = world.learner().answers()[0].0;
    assert_eq!(world.learner().probabilities(text)[3], 0.0);
}

#[test]
fn batches_hold_the_budget_and_skipped_texts_cost_nothing() {
    let sample = task(3, 4).sample(100, 50, 1);
    let oracle = Oracle {
        noise: 0.0,
        skip_rate: 0.5,
    };
    let mut world = Environment::new(&sample, oracle, 12, 5);
    while world.step_batch(Strategy::Urep, 5).is_some() {}
    assert_eq!(
        (distinct(&world), world.learner().answers().len()),
        (12, 12)
    );
}

#[test]
fn wrong_answers_are_as_frequent_as_asked_for() {
    let task = task(3, 5);
    let sample = task.sample(300, 50, 1);
    let wrong = |noise: f32| {
        let mut world = Environment::new(
            &sample,
            Oracle {
                noise,
                skip_rate: 0.0,
            },
            250,
            7,
        );
        while world.step(Strategy::Random).is_some() {}
        let answers = world.learner().answers();
        answers
            .iter()
            .filter(|(text, class)| sample.classes[*text] != *class)
            .count()
    };
    assert_eq!(wrong(0.0), 0);
    assert!((45..=105).contains(&wrong(0.3)), "{}", wrong(0.3));
}

#[test]
fn equal_texts_are_asked_once() {
    let row = |angle: f32| [angle.cos(), angle.sin(), 0.3];
    let rows = [0.0, 0.0, 1.5, 1.5, 3.0].map(row);
    let pool = Arc::new(Pool::new(&Matrix::from_rows(&rows).expect("rows")));
    for strategy in Strategy::ALL {
        let mut learner = Learner::new(Arc::clone(&pool));
        learner.add_class();
        let mut random = Random::new(1);
        let mut asked = 0;
        while let Some(text) = learner.choose(strategy, &mut random) {
            learner.answer(text, 0);
            asked += 1;
        }
        assert_eq!(asked, 3, "{strategy}");
    }
}

/// One class at a time, and all answers at once, lead to the same model as answers one by one.
#[test]
fn answers_at_once_are_answers_one_by_one() {
    let sample = task(3, 6).sample(60, 10, 1);
    let answers: Vec<(usize, usize)> = (0..20).map(|text| (text, sample.classes[text])).collect();
    let mut one_by_one = Learner::new(sample.pool.clone());
    answers.iter().for_each(|&(text, class)| {
        while one_by_one.classes() <= class {
            one_by_one.add_class();
        }
        one_by_one.answer(text, class);
    });
    let mut at_once = Learner::new(sample.pool.clone());
    (0..one_by_one.classes()).for_each(|_| {
        at_once.add_class();
    });
    at_once.answer_all(&answers);
    assert_eq!(at_once.predictions(), one_by_one.predictions());
    assert_eq!(at_once.probabilities(30), one_by_one.probabilities(30));
}

/// Leave-one-out in closed form is what fitting without the text gives, but for the classes' shares.
#[test]
fn leave_one_out_is_that_of_fitting_without() {
    let sample = task(2, 7).sample(60, 10, 1);
    // As many of each class, so that a text more or less changes the shares alike.
    let answers: Vec<(usize, usize)> = [0, 1]
        .into_iter()
        .flat_map(|class| {
            let texts = (0..60).filter(|&text| sample.classes[text] == class);
            texts.take(8).map(|text| (text, class)).collect::<Vec<_>>()
        })
        .collect();
    let fitted = |answers: &[(usize, usize)]| {
        let mut learner = Learner::new(sample.pool.clone());
        learner.add_class();
        learner.add_class();
        learner.answer_all(answers);
        learner
    };
    let closed = fitted(&answers).leave_one_out();
    let agree = (0..answers.len()).filter(|&at| {
        let mut others = answers.clone();
        let (text, _) = others.remove(at);
        Some(fitted(&others).predictions()[text]) == closed[at]
    });
    assert!(agree.count() >= answers.len() - 1);
}

#[test]
fn training_depends_on_the_seed_alone() {
    let tasks = [task(3, 8), task(5, 9)];
    let options = |seed| TrainingOptions {
        rollouts: 60,
        pool: 80,
        tests: 60,
        seed,
        ..Default::default()
    };
    let json = |seed| {
        train_policy(&tasks, "clusters", &options(seed), &|_| {})
            .policy
            .to_json()
    };
    assert_eq!(json(1), json(1));
    assert_ne!(json(1), json(2));
    let one_thread = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .expect("a thread");
    assert_eq!(one_thread.install(|| json(1)), json(1));
}

/// What a table learned makes sense: before there are eight labels covering the pool is worth more
/// than asking where the model is unsure, whatever the seed.
#[test]
fn coverage_beats_margin_below_eight_labels() {
    let tasks: Vec<Task> = (3..7).map(|ways| task(ways, ways as u64)).collect();
    for seed in 0..3 {
        let options = TrainingOptions {
            rollouts: 400,
            pool: 150,
            tests: 150,
            seed,
            ..Default::default()
        };
        let policy = train_policy(&tasks, "clusters", &options, &|_| {}).policy;
        let value = |state: State, strategy: Strategy| {
            let action = policy.actions().iter().position(|known| *known == strategy);
            policy.value(state, action.expect("an action")).0
        };
        for state in State::all().take(2) {
            let coverage = value(state, Strategy::Rep).max(value(state, Strategy::Urep));
            let margin = value(state, Strategy::Margin);
            assert!(
                coverage > margin,
                "seed {seed}, {}: {coverage} {margin}",
                state.name()
            );
        }
    }
}

#[test]
fn the_policy_in_the_binary_prefers_coverage_to_margin_at_the_start() {
    let policy = Policy::builtin();
    for state in State::all().take(2) {
        assert!(!matches!(
            policy.strategy_in(state),
            Strategy::Margin | Strategy::Random
        ));
    }
}

#[test]
fn curves_are_paired_and_end_at_the_budget() {
    let task = task(3, 10);
    let choosers: Vec<Chooser> = ["random", "rep>4>urep"]
        .map(|text| text.parse().expect("known"))
        .to_vec();
    let options = SimulationOptions {
        budget: 12,
        batch: 5,
        pool: 60,
        tests: 50,
        ..Default::default()
    };
    let run = || simulate(&task, &choosers, &[1, 2, 3], &options, &|| {});
    let curves = run();
    assert_eq!(curves, run());
    assert!(curves.iter().flatten().all(|curve| curve.0.len() == 12));
    // Within a batch the model is that of before.
    assert_eq!(curves[0][0].0[5], curves[0][0].0[8]);
    let tiny = SimulationOptions {
        budget: 40,
        pool: 10,
        tests: 20,
        ..Default::default()
    };
    let curves = simulate(&task, &choosers, &[1], &tiny, &|| {});
    assert_eq!(curves[1][0].0.len(), 40);
}
