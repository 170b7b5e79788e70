//! The command line: the real binary with the tiny encoders of `tests/data`, offline.

mod bad_input;
mod bad_model;
mod benchmark;
mod cache;
mod class_weights;
mod classify;
mod device;
mod embed;
mod evaluate;
mod explain;
mod help;
mod label;
mod meta_train;
mod models;
mod policy;
mod precision;
mod processes;
mod simulate;
mod support;
mod terminal;
mod train_predict;
mod tune;
mod unlabelled;
