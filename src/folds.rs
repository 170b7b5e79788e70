//! Splits of a support set into a part to fit on and a part held out.

use crate::random::Random;

/// One split, as row indices.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fold {
    pub train: Vec<usize>,
    pub held_out: Vec<usize>,
}

/// Splits so that each row is held out once and every class keeps an example in every training
/// part. The number of folds is the smallest class's count, at most `most`; classes are spread
/// evenly. Empty if some class has one example only.
pub(crate) fn folds(classes: &[usize], ways: usize, most: usize, seed: u64) -> Vec<Fold> {
    let mut random = Random::new(seed);
    let mut by_class: Vec<Vec<usize>> = vec![Vec::new(); ways];
    classes
        .iter()
        .enumerate()
        .for_each(|(row, &class)| by_class[class].push(row));
    let count = by_class.iter().map(Vec::len).min().unwrap_or(0).min(most);
    if count < 2 {
        return Vec::new();
    }
    let mut place = vec![0; classes.len()];
    for rows in &mut by_class {
        random.shuffle(rows);
        rows.iter()
            .enumerate()
            .for_each(|(at, &row)| place[row] = at % count);
    }
    let split = |fold| {
        let (held_out, train) = (0..classes.len()).partition(|&row| place[row] == fold);
        Fold { train, held_out }
    };
    (0..count).map(split).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_row_is_held_out_once_and_no_class_is_missing(
            extra in prop::collection::vec(0usize..4, 0..30), seed in any::<u64>()
        ) {
            let classes: Vec<usize> = [0, 0, 1, 1, 2, 2, 3, 3].into_iter().chain(extra).collect();
            let splits = folds(&classes, 4, 5, seed);
            let mut held: Vec<usize> = splits.iter().flat_map(|fold| fold.held_out.clone()).collect();
            held.sort_unstable();
            prop_assert_eq!(held, (0..classes.len()).collect::<Vec<_>>());
            for fold in &splits {
                prop_assert!((0..4).all(|class| fold.train.iter().any(|&row| classes[row] == class)));
                prop_assert!(fold.held_out.iter().all(|row| !fold.train.contains(row)));
            }
            prop_assert_eq!(&splits, &folds(&classes, 4, 5, seed));
        }
    }

    #[test]
    fn one_example_of_a_class_leaves_nothing_to_hold_out() {
        assert!(folds(&[0, 0, 1], 2, 4, 1).is_empty());
    }
}
