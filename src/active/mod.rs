//! Active learning: which text a person should label next.
//!
//! A [`Pool`] of embedded texts, a [`Learner`] that takes answers in, and a [`Strategy`] that
//! chooses the next text; which strategy, the agent's policy says, learned on tasks whose labels are
//! known.

mod chooser;
mod clusters;
mod environment;
mod expectations;
mod journal;
mod learner;
mod policy;
mod pool;
pub mod q_learning;
mod ridge;
mod scores;
mod session;
mod simulation;
mod state;
mod stopping;
mod strategy;
mod task;
#[cfg(test)]
mod tests;
mod training;

pub use chooser::Chooser;
pub use environment::{Environment, Oracle};
pub use expectations::Expectations;
pub use journal::{Entry, Journal, JournalError, Outcome};
pub use learner::Learner;
pub use policy::{Policy, PolicyError, Training};
pub use pool::Pool;
pub use session::{Question, Session, SessionOptions};
pub use simulation::{Curve, SimulationOptions, simulate};
pub use state::State;
pub use stopping::Stability;
pub use strategy::Strategy;
pub use task::{Labelled, Sample, Task};
pub use training::{Log, Trained, TrainingOptions, train_policy};
