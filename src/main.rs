//! The `fewshot` command.

fn main() {}
