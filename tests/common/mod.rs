//! Shared by the tests: a stand-in hub and tiny models.

pub mod fake_hub;
pub mod tiny;
