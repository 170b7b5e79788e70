//! Support examples whose label the other examples contradict.
//!
//! Each example is left out in turn and compared with the rest. The rule would rather miss a wrong
//! label than doubt a right one: where labels overlap, three neighbours agree by chance. So an example
//! is suspected only if its three nearest are all of one other label, it leans to that label almost
//! as much as that label's own examples do, and the two labels' other examples are told apart.

use crate::data::Example;
use crate::explain::largest;
use crate::matrix::Matrix;
use crate::vectors::mean_of_class_means;

/// A support example that is probably labelled wrongly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    /// The example, with its label.
    pub example: Example,
    /// The label of its nearest examples.
    pub neighbours: String,
}

/// Examples up to which a look at all pairs costs next to nothing.
const MOST: usize = 2000;
/// Examples that a label needs for its mean to say something.
const LEAST: usize = 4;
/// Neighbours that must agree.
const NEIGHBOURS: usize = 3;
/// How much more similar, as a mean cosine, an example must be to the other label's examples than to
/// its own label's.
const CLEARLY: f32 = 0.2;
/// The same in parts of the median of the other label's own examples.
const TYPICALLY: f32 = 0.75;
/// Of the other examples of two labels, how many must be more similar to their own, for similarity
/// to say anything about these labels.
const TOLD_APART: f64 = 0.85;

/// Whether there are enough examples to contradict a label, and not too many to compare.
fn can_tell(classes: &[usize], ways: usize) -> bool {
    let enough = sizes(classes, ways).into_iter().filter(|&n| n >= LEAST);
    classes.len() <= MOST && enough.count() >= 2
}

/// The places of examples that are probably labelled wrongly and the class of their neighbours, the
/// clearest case first.
///
/// # Shapes
/// - `vectors`: `[examples, width]`, of an encoder that has not seen the labels: a tuned one draws an
///   example to the label that it has
/// - `classes`: one index below `ways` an example
pub(crate) fn find(vectors: &Matrix, classes: &[usize], ways: usize) -> Vec<(usize, usize)> {
    if !can_tell(classes, ways) {
        return Vec::new();
    }
    let evidence = Evidence::new(vectors, classes, ways);
    let mut found: Vec<(usize, usize)> = (0..classes.len())
        .filter_map(|example| Some((example, evidence.contradicting(example)?)))
        .collect();
    let lean = |&(example, class): &(usize, usize)| evidence.lean(example, class);
    found.sort_by(|a, b| lean(b).total_cmp(&lean(a)));
    found
}

fn sizes(classes: &[usize], ways: usize) -> Vec<usize> {
    let mut sizes = vec![0; ways];
    classes.iter().for_each(|&class| sizes[class] += 1);
    sizes
}

/// What the examples say about each other.
struct Evidence<'c> {
    classes: &'c [usize],
    sizes: Vec<usize>,
    /// `[examples, examples]`, cosines.
    similarities: Matrix,
    /// `[examples, ways]`, mean cosine to each class's examples, itself left out.
    means: Matrix,
}

impl<'c> Evidence<'c> {
    fn new(vectors: &Matrix, classes: &'c [usize], ways: usize) -> Self {
        let features = vectors.centred(&mean_of_class_means(vectors, classes, ways));
        let similarities = features.products(&features);
        let sizes = sizes(classes, ways);
        let mut means = Matrix::zeros(classes.len(), ways);
        for example in 0..classes.len() {
            let row = means.row_mut(example);
            let others = (0..classes.len()).filter(|&other| other != example);
            others.for_each(|other| row[classes[other]] += similarities.row(example)[other]);
            for (class, mean) in row.iter_mut().enumerate() {
                let left_out = usize::from(class == classes[example]);
                *mean /= sizes[class].saturating_sub(left_out).max(1) as f32;
            }
        }
        Self {
            classes,
            sizes,
            similarities,
            means,
        }
    }

    /// The class that contradicts the example's own, if one does.
    fn contradicting(&self, example: usize) -> Option<usize> {
        let own = self.classes[example];
        let other = self.unanimous(example).filter(|&other| other != own)?;
        let enough = self.sizes[own].min(self.sizes[other]) >= LEAST;
        let lean = self.lean(example, other);
        let contradicted = enough
            && lean > CLEARLY
            && lean >= TYPICALLY * self.typical(other, own)
            && self.told_apart(example, own, other);
        contradicted.then_some(other)
    }

    /// The class of all its nearest neighbours.
    fn unanimous(&self, example: usize) -> Option<usize> {
        // It is its own nearest, unless another has the same text.
        let nearest = largest(self.similarities.row(example), NEIGHBOURS + 1);
        let others = nearest.into_iter().filter(|&other| other != example);
        let mut classes = others.take(NEIGHBOURS).map(|other| self.classes[other]);
        let first = classes.next()?;
        classes.all(|class| class == first).then_some(first)
    }

    /// How much more similar an example is to the examples of `class` than to its own class's.
    fn lean(&self, example: usize, class: usize) -> f32 {
        self.preference(example, class, self.classes[example])
    }

    /// How much more similar an example is to the examples of `class` than to those of `other`.
    fn preference(&self, example: usize, class: usize, other: usize) -> f32 {
        let means = self.means.row(example);
        means[class] - means[other]
    }

    /// The median preference of `class` among its own examples.
    fn typical(&self, class: usize, other: usize) -> f32 {
        let members = (0..self.classes.len()).filter(|&member| self.classes[member] == class);
        let mut preferences: Vec<f32> = members
            .map(|member| self.preference(member, class, other))
            .collect();
        preferences.sort_unstable_by(f32::total_cmp);
        preferences[preferences.len() / 2]
    }

    /// Whether the examples of two classes, but for one of them, are more similar to their own.
    fn told_apart(&self, but: usize, first: usize, second: usize) -> bool {
        let sides = (0..self.classes.len())
            .filter(|&example| example != but)
            .filter_map(|example| match self.classes[example] {
                class if class == first => Some(self.preference(example, first, second)),
                class if class == second => Some(self.preference(example, second, first)),
                _ => None,
            });
        let (right, wrong): (Vec<f32>, Vec<f32>) = sides.partition(|&preference| preference > 0.0);
        right.len() as f64 >= TOLD_APART * (right.len() + wrong.len()) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// `shots` points around each of `ways` centres; a larger `spread` makes them overlap.
    fn clusters(ways: usize, shots: usize, spread: f32, seed: u64) -> (Matrix, Vec<usize>) {
        let mut random = Random::new(seed);
        let mut point = |centre: &[f32], spread: f32| -> Vec<f32> {
            let moved = centre.iter().map(|value| value + spread * random.normal());
            moved.collect()
        };
        let centres: Vec<Vec<f32>> = (0..ways).map(|_| point(&[3.0; 32], 1.0)).collect();
        let classes: Vec<usize> = (0..ways * shots).map(|row| row % ways).collect();
        let rows = classes.iter().map(|&class| point(&centres[class], spread));
        let rows: Vec<Vec<f32>> = rows.collect();
        (Matrix::from_rows(&rows).expect("rows"), classes)
    }

    /// In how many of 100 draws an example is suspected, and in how many the one that is wrong.
    fn suspected(ways: usize, spread: f32, mislabelled: bool) -> (usize, usize) {
        let (mut any, mut hit) = (0, 0);
        for seed in 0..100 {
            let (vectors, mut classes) = clusters(ways, 8, spread, seed);
            if mislabelled {
                classes[3] = (classes[3] + 1) % ways;
            }
            let found = find(&vectors, &classes, ways);
            any += usize::from(!found.is_empty());
            hit += usize::from(found.iter().any(|&(example, _)| example == 3));
        }
        (any, hit)
    }

    #[test]
    fn a_wrong_label_in_clean_clusters_is_found() {
        let (vectors, mut classes) = clusters(3, 6, 0.3, 1);
        assert_eq!(find(&vectors, &classes, 3), []);
        let right = classes[4];
        classes[4] = (right + 1) % 3;
        assert_eq!(find(&vectors, &classes, 3), [(4, right)]);
    }

    #[test]
    fn right_labels_are_rarely_suspected() {
        for ways in [2, 5] {
            assert_eq!(suspected(ways, 0.5, false), (0, 0), "{ways}");
            for spread in [1.0, 2.0, 5.0, 50.0] {
                let (any, _) = suspected(ways, spread, false);
                assert!(any <= 5, "{any} draws of {ways} classes, spread {spread}");
            }
            let (_, hit) = suspected(ways, 0.5, true);
            assert!(hit >= 40, "{hit} of 100 found, {ways} classes");
        }
    }

    #[test]
    fn few_examples_contradict_nothing() {
        let (vectors, mut classes) = clusters(2, 4, 0.1, 1);
        // Three of one label are left.
        classes[1] = 0;
        assert_eq!(find(&vectors, &classes, 2), []);
        assert!(!can_tell(&[0, 0, 0, 0, 1, 1, 1], 2) && can_tell(&[0, 0, 0, 0, 1, 1, 1, 1], 2));
        let many: Vec<usize> = (0..MOST + 1).map(|example| example % 2).collect();
        assert!(!can_tell(&many, 2) && can_tell(&many[1..], 2));
    }

    #[test]
    fn vectors_that_are_all_the_same_say_nothing() {
        let vectors = Matrix::from_values(4, vec![1.0; 64]).expect("16 rows");
        let classes: Vec<usize> = (0..16).map(|row| row % 2).collect();
        assert_eq!(find(&vectors, &classes, 2), []);
    }
}
