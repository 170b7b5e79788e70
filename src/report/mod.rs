//! Figures as drawings for people.

mod scale;
mod svg;

pub use svg::{Chart, LearningCurves};
