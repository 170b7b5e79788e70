//! How a product is cut into tasks, and how tasks write to their parts of one matrix.

use std::ops::Range;

use rayon::prelude::*;

use super::panels::{Panels, WIDTH};

/// Rows of a tile: with three registers a row, 24 sums, 3 weights and 1 activation fit in 32.
pub(super) const TILE_ROWS: usize = 8;

/// Activations that are swept panel after panel stay in half of a 1 MiB second-level cache; the
/// other half is for the panel.
const BLOCK_BYTES: usize = 512 * 1024;

/// Multiply-adds (of words) below which a task is not worth its hand-over: about 10 µs.
const LEAST_WORK: usize = 1 << 19;

/// Tasks per thread that even out a thread which the system takes away for a while.
const TASKS_PER_THREAD: usize = 4;

/// A product's tasks: every block of rows with every panel.
pub(super) struct Plan {
    rows: usize,
    blocks: usize,
    panels: usize,
    /// Tasks that are handed over together.
    together: usize,
    pub outputs: usize,
}

impl Plan {
    pub fn new(rows: usize, outputs: usize, panels: &Panels) -> Self {
        let (steps, count) = (panels.steps(), panels.count());
        let tiles = rows.div_ceil(TILE_ROWS);
        let fitting = (BLOCK_BYTES / size_of::<u32>() / steps / TILE_ROWS).max(1);
        let wanted = (TASKS_PER_THREAD * rayon::current_num_threads()).div_ceil(count);
        let blocks = tiles.div_ceil(fitting).max(wanted).min(tiles);
        let work = rows.div_ceil(blocks) * steps * WIDTH;
        Self {
            rows,
            blocks,
            panels: count,
            together: LEAST_WORK.div_ceil(work),
            outputs,
        }
    }

    /// Calls `task` with every block of rows and every panel, in parallel; the tasks of one block
    /// follow each other on a thread, so that its activations stay in the cache.
    pub fn run(&self, task: impl Fn(Range<usize>, usize) + Sync + Send) {
        (0..self.blocks * self.panels)
            .into_par_iter()
            .with_min_len(self.together)
            .for_each(|index| {
                let block = part(0..self.rows, self.blocks, index / self.panels);
                task(block, index % self.panels);
            });
    }
}

/// The tiles of a block, of `most` rows: as few as possible, heights as equal as possible.
pub(super) fn tiles(rows: Range<usize>, most: usize) -> impl Iterator<Item = Range<usize>> {
    let count = rows.len().div_ceil(most);
    (0..count).map(move |index| part(rows.clone(), count, index))
}

/// Part `index` of `count` nearly equal ones.
fn part(range: Range<usize>, count: usize, index: usize) -> Range<usize> {
    let at = |index| range.start + range.len() * index / count;
    at(index)..at(index + 1)
}

/// A matrix that tasks write to, each to its own rows and columns.
#[derive(Clone, Copy)]
pub(super) struct Shared {
    start: *mut f32,
}

// SAFETY: a pointer to f32, which may be written from any thread; who dereferences it answers for
// writing only what no other task touches.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    pub fn new(out: &mut [f32]) -> Self {
        Self {
            start: out.as_mut_ptr(),
        }
    }

    pub fn start(self) -> *mut f32 {
        self.start
    }
}
