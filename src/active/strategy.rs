//! The actions: ways to choose the text that is to be labelled next.
//!
//! `x` runs over the texts that may be asked, `j` over all texts of the pool; `K` is their similarity
//! (see [`super::Pool`]), `Σ` the covariance that remains after the labels (see [`super::Learner`]), and
//! `margin_j` the difference between the two highest probabilities of text `j`, 0 before two classes
//! are known. Ties go to the lowest index.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How the next text is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// Each text equally likely.
    Random,
    /// Smallest margin (Scheffer, Decomain & Wrobel 2001); random before two classes are known.
    Margin,
    /// Largest entropy of the probabilities (Shannon 1948; Settles 2009, section 3.1); random before
    /// two classes are known.
    Entropy,
    /// The densest text of the largest cluster without a label, of as many Ward clusters as there
    /// are labels and one (TypiClust: Hacohen, Dekel & Weinshall 2022).
    Typical,
    /// Facility location: max Σ_j max(0, K_xj − cover_j), where cover_j is the similarity of `j` to
    /// the nearest labelled text, at least 0 (Wei, Iyer & Bilmes 2015).
    Rep,
    /// [`Strategy::Rep`] with text `j` weighted by 1.5 − margin_j.
    Urep,
    /// [`Strategy::Rep`] with text `j` weighted by 1.05 − margin_j: hardly any weight on what is
    /// certain.
    Focus,
    /// Transductive experimental design: max Σ_j Σ_xj² / (Σ_xx + λ), the variance that a label at `x`
    /// takes from all texts (Yu, Bi & Tresp 2006).
    Ted,
    /// [`Strategy::Ted`] with text `j` weighted by 1 − margin_j.
    Uted,
    /// The text least similar to the labelled ones (k-centre: Sener & Savarese 2018).
    Diverse,
    /// A text drawn in proportion to the squared distance of its gradient from those of the labelled
    /// texts (k-means++ on gradients, BADGE: Ash et al. 2020, one text at a time).
    Badge,
}

impl Strategy {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Random,
        Self::Margin,
        Self::Entropy,
        Self::Typical,
        Self::Rep,
        Self::Urep,
        Self::Focus,
        Self::Ted,
        Self::Uted,
        Self::Diverse,
        Self::Badge,
    ];

    /// The name on the command line and in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Margin => "margin",
            Self::Entropy => "entropy",
            Self::Typical => "typical",
            Self::Rep => "rep",
            Self::Urep => "urep",
            Self::Focus => "focus",
            Self::Ted => "ted",
            Self::Uted => "uted",
            Self::Diverse => "diverse",
            Self::Badge => "badge",
        }
    }

    /// Why a text was chosen, in words for the person who labels it.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Random => "drawn at random",
            Self::Margin => "two labels are almost equally likely",
            Self::Entropy => "the labels are about equally likely",
            Self::Typical => "typical of a group that has no label yet",
            Self::Rep => "stands for many texts that no label covers yet",
            Self::Urep => "stands for many texts that are not yet covered or not yet certain",
            Self::Focus => "stands for many texts that are uncertain",
            Self::Ted => "its label tells most about all texts",
            Self::Uted => "its label tells most about the uncertain texts",
            Self::Diverse => "unlike anything labelled so far",
            Self::Badge => "would change the model in a new way",
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Strategy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|strategy| strategy.name() == text)
            .ok_or_else(|| format!("`{text}` is no strategy; choose one of {names}"))
    }
}
