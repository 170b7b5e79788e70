//! The situations that the agent tells apart.

/// First number of labels of each row; the last one has no end.
const STARTS: [usize; 5] = [0, 4, 8, 16, 32];
/// With more classes than this, later rows are apart.
const FEW_CLASSES: usize = 6;
/// The first row that is told apart by classes: so many can hardly be known before.
const FIRST_APART: usize = 2;

/// How many labels there are, roughly, and whether they name many classes: all that the agent looks
/// at.
///
/// Margins, imbalance and estimated accuracy were tried as further parts; none gained, some lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State(usize);

impl State {
    /// Number of states.
    pub const COUNT: usize = 2 * STARTS.len() - FIRST_APART;

    /// The state after so many labels that name so many classes.
    #[must_use]
    pub fn of(labels: usize, classes: usize) -> Self {
        let row = STARTS
            .iter()
            .rposition(|&start| labels >= start)
            .unwrap_or(0);
        let apart = row >= FIRST_APART && classes > FEW_CLASSES;
        Self(if apart {
            row + STARTS.len() - FIRST_APART
        } else {
            row
        })
    }

    /// The state with as many labels of few classes.
    #[must_use]
    pub fn with_few_classes(self) -> Self {
        Self(if self.0 >= STARTS.len() {
            self.0 + FIRST_APART - STARTS.len()
        } else {
            self.0
        })
    }

    /// All states, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }

    /// Row of the table.
    #[must_use]
    pub fn index(self) -> usize {
        self.0
    }

    /// In words, such as `4-7 labels` or `8-15 labels of more than 6 classes`.
    #[must_use]
    pub fn name(self) -> String {
        let apart = self.0 >= STARTS.len();
        let row = self.with_few_classes().0;
        let labels = match STARTS.get(row + 1) {
            Some(end) => format!("{}-{} labels", STARTS[row], end - 1),
            None => format!("{} or more labels", STARTS[row]),
        };
        if apart {
            format!("{labels} of more than {FEW_CLASSES} classes")
        } else {
            labels
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_follow_the_number_of_labels() {
        let of = |labels| State::of(labels, 2).index();
        assert_eq!(
            [0, 3, 4, 7, 8, 15, 16, 31, 32, 900].map(of),
            [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
        );
    }

    #[test]
    fn many_classes_are_states_of_their_own() {
        let of = |labels| State::of(labels, 7).index();
        assert_eq!([7, 8, 16, 32].map(of), [1, 5, 6, 7]);
        let names: Vec<String> = State::all().map(State::name).collect();
        assert_eq!(names.len(), State::COUNT);
        assert_eq!(names[1], "4-7 labels");
        assert_eq!(names[4], "32 or more labels");
        assert_eq!(names[5], "8-15 labels of more than 6 classes");
    }
}
