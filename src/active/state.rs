//! The situations that the agent tells apart.

/// First number of labels of each state; the last one has no end.
const STARTS: [usize; 5] = [0, 4, 8, 16, 32];

/// How many labels there are, roughly: all that the agent looks at.
///
/// The number of classes, margins, imbalance and estimated accuracy were tried as further parts of
/// the state; none gained, some lost (`docs/active-learning.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State(usize);

impl State {
    /// Number of states.
    pub const COUNT: usize = STARTS.len();

    /// The state after so many labels.
    #[must_use]
    pub fn of(labels: usize) -> Self {
        Self(
            STARTS
                .iter()
                .rposition(|&start| labels >= start)
                .unwrap_or(0),
        )
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

    /// The numbers of labels, such as `4-7 labels`.
    #[must_use]
    pub fn name(self) -> String {
        match STARTS.get(self.0 + 1) {
            Some(end) => format!("{}-{} labels", STARTS[self.0], end - 1),
            None => format!("{} or more labels", STARTS[self.0]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_follow_the_number_of_labels() {
        let indices = [0, 3, 4, 7, 8, 15, 16, 31, 32, 900].map(|labels| State::of(labels).index());
        assert_eq!(indices, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]);
        let names: Vec<String> = State::all().map(State::name).collect();
        assert_eq!(
            (names[1].as_str(), names[4].as_str()),
            ("4-7 labels", "32 or more labels")
        );
    }
}
