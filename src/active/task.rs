//! Labelled sets as tasks on which strategies and the agent are tried.

use std::sync::Arc;

use super::expectations::Expectations;
use super::pool::Pool;
use crate::matmul::Threads;
use crate::matrix::Matrix;
use crate::random::Random;

/// A labelled set of vectors: texts that may be asked, and others that judge.
#[derive(Debug, Clone)]
pub struct Task {
    /// What it is called.
    pub name: String,
    /// Number of classes.
    pub ways: usize,
    /// Texts that may be asked.
    pub pool: Labelled,
    /// Texts that judge.
    pub test: Labelled,
    /// Names or descriptions of the classes, at least one each, if they are to be used.
    pub names: Option<Labelled>,
}

/// Vectors with their classes.
#[derive(Debug, Clone)]
pub struct Labelled {
    /// `[texts, width]`.
    pub vectors: Matrix,
    /// One below the number of classes for each text.
    pub classes: Vec<usize>,
}

impl Labelled {
    fn select(&self, rows: &[usize]) -> Self {
        Self {
            vectors: self.vectors.select(rows),
            classes: rows.iter().map(|&row| self.classes[row]).collect(),
        }
    }

    fn sample(&self, count: usize, random: &mut Random) -> Self {
        let mut rows: Vec<usize> = (0..self.classes.len()).collect();
        random.shuffle_first(&mut rows, count);
        rows.truncate(count);
        self.select(&rows)
    }

    fn of_classes(&self, kept: &[usize]) -> Self {
        let place = |class: usize| kept.iter().position(|&other| other == class);
        let rows: Vec<usize> = (0..self.classes.len())
            .filter(|&row| place(self.classes[row]).is_some())
            .collect();
        let mut part = self.select(&rows);
        part.classes
            .iter_mut()
            .for_each(|class| *class = place(*class).unwrap_or(0));
        part
    }
}

impl Task {
    /// A task from one labelled set: two fifths of it, at most 1,000 texts, judge.
    #[must_use]
    pub fn from_one(name: String, ways: usize, set: &Labelled, seed: u64) -> Self {
        let mut rows: Vec<usize> = (0..set.classes.len()).collect();
        Random::named(seed, "task").shuffle(&mut rows);
        let (test, pool) = rows.split_at((rows.len() * 2 / 5).min(1_000));
        Self {
            name,
            ways,
            pool: set.select(pool),
            test: set.select(test),
            names: None,
        }
    }

    /// The same with some of the classes only.
    #[must_use]
    pub fn with_classes(&self, kept: &[usize]) -> Self {
        Self {
            name: self.name.clone(),
            ways: kept.len(),
            pool: self.pool.of_classes(kept),
            test: self.test.of_classes(kept),
            names: self.names.as_ref().map(|names| names.of_classes(kept)),
        }
    }

    /// A seeded sample of at most so many texts for the pool and the test.
    #[must_use]
    pub fn sample(&self, pool: usize, tests: usize, seed: u64) -> Sample {
        let mut random = Random::named(seed, "sample");
        let texts = self.pool.sample(pool, &mut random);
        let test = self.test.sample(tests, &mut random);
        let pool = Pool::on_threads(&texts.vectors, Threads::One);
        let (expected, test_expected) = self.expectations(&pool, &test.vectors);
        Sample {
            similarities: pool.similarities_to(&test.vectors),
            pool: Arc::new(pool),
            classes: texts.classes,
            test_classes: test.classes,
            ways: self.ways,
            expected,
            test_expected,
        }
    }

    /// What the names let expect of the pool and the tests, `[ways, texts]`; no rows without names.
    fn expectations(&self, pool: &Pool, tests: &Matrix) -> (Matrix, Matrix) {
        let Some(names) = &self.names else {
            return (Matrix::zeros(0, pool.len()), Matrix::zeros(0, tests.rows()));
        };
        let expected = Expectations::new(pool, &names.vectors, &names.classes, self.ways);
        (expected.of_pool(pool), expected.of(pool, tests))
    }
}

/// A pool whose labels are known, with test texts.
pub struct Sample {
    pub(super) pool: Arc<Pool>,
    pub(super) classes: Vec<usize>,
    /// `[texts of the pool, tests]`.
    pub(super) similarities: Matrix,
    pub(super) test_classes: Vec<usize>,
    pub(super) ways: usize,
    /// What is expected of the pool, `[ways, texts]`; no rows without names.
    pub(super) expected: Matrix,
    /// The same of the tests.
    pub(super) test_expected: Matrix,
}
