//! Labels (names) and classes (their indices).

/// The labels of a task, sorted by name, so that the classes do not depend on the order of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelSet {
    names: Vec<String>,
}

impl LabelSet {
    /// The set of `names`, each once, in byte order.
    #[must_use]
    pub fn new(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let mut names: Vec<String> = names.into_iter().map(Into::into).collect();
        names.sort_unstable();
        names.dedup();
        Self { names }
    }

    /// How many labels there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The label of `class`, if there is one.
    #[must_use]
    pub fn name(&self, class: usize) -> Option<&str> {
        self.names.get(class).map(String::as_str)
    }

    /// The class of label `name`, if it is in the set.
    #[must_use]
    pub fn class(&self, name: &str) -> Option<usize> {
        self.names
            .binary_search_by(|known| known.as_str().cmp(name))
            .ok()
    }

    /// All labels, by class.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_follow_the_sorted_names() {
        let labels = LabelSet::new(["b", "c", "a", "b"]);
        assert_eq!(labels.names(), ["a", "b", "c"]);
        assert_eq!(labels.len(), 3);
        for (class, name) in labels.names().iter().enumerate() {
            assert_eq!(labels.class(name), Some(class));
            assert_eq!(labels.name(class), Some(name.as_str()));
        }
        assert_eq!(labels.class("d"), None);
        assert_eq!(labels.name(3), None);
        assert!(!labels.is_empty() && LabelSet::default().is_empty());
    }
}
