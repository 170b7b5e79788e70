//! Ward clusters of the pool, for strategies that want a typical text of each.

use kodama::{Method, linkage};

use crate::matrix::Matrix;

/// The order in which Ward's method joins texts into one cluster.
///
/// # Source
/// Ward 1963; computed by Müllner's algorithms (2011) in the `kodama` crate.
pub(super) struct Tree {
    texts: usize,
    /// Two clusters a step; the cluster made by step `s` is `texts + s`.
    joins: Vec<[usize; 2]>,
}

impl Tree {
    /// `kernel` is `[texts, texts]`, similarities, 1 on the diagonal.
    pub fn new(kernel: &Matrix) -> Self {
        let texts = kernel.rows();
        let mut distances = Vec::with_capacity(texts * texts.saturating_sub(1) / 2);
        for (text, row) in kernel.iter_rows().enumerate() {
            // Two equal texts may have a similarity just above 1.
            let distance = |&similarity: &f32| (2.0 - 2.0 * similarity).max(0.0).sqrt();
            distances.extend(row[text + 1..].iter().map(distance));
        }
        let tree = linkage(&mut distances, texts, Method::Ward);
        let joins = tree
            .steps()
            .iter()
            .map(|step| [step.cluster1, step.cluster2])
            .collect();
        Self { texts, joins }
    }

    /// The texts of each of `count` clusters, at most as many as there are texts.
    pub fn cut(&self, count: usize) -> Vec<Vec<usize>> {
        let kept = self.texts.saturating_sub(count.max(1));
        let mut clusters: Vec<Vec<usize>> = (0..self.texts).map(|text| vec![text]).collect();
        for [left, right] in &self.joins[..kept.min(self.joins.len())] {
            let mut joined = std::mem::take(&mut clusters[*left]);
            joined.append(&mut clusters[*right]);
            clusters.push(joined);
        }
        clusters.retain(|cluster| !cluster.is_empty());
        clusters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_groups_and_copes_with_few_texts() {
        let point = |angle: f32| [angle.cos(), angle.sin()];
        let points = [0.0, 0.1, 2.0, 2.1, 4.0].map(point);
        let cosine = |a: &[f32; 2], b: &[f32; 2]| a[0] * b[0] + a[1] * b[1];
        let rows: Vec<Vec<f32>> = points
            .iter()
            .map(|a| points.iter().map(|b| cosine(a, b)).collect())
            .collect();
        let tree = Tree::new(&Matrix::from_rows(&rows).expect("square"));
        let mut clusters = tree.cut(3);
        clusters
            .iter_mut()
            .for_each(|cluster| cluster.sort_unstable());
        clusters.sort();
        assert_eq!(clusters, [vec![0, 1], vec![2, 3], vec![4]]);
        assert_eq!(tree.cut(9).len(), 5);
        assert_eq!(tree.cut(1).len(), 1);
        let one = Tree::new(&Matrix::zeros(1, 1));
        assert_eq!(one.cut(2), [vec![0]]);
        assert!(Tree::new(&Matrix::default()).cut(1).is_empty());
    }
}
