//! One text's record: hash of the text, number of windows, whether it was cut, vector, checksum.
//! All numbers are little-endian; every record of a file has the same length.

use flate2::Crc;
use sha2::{Digest, Sha256};

use crate::encoder::Note;

/// The first half of the text's sha256: with 10⁹ texts two agree by chance once in 10²⁰ caches.
pub(super) type Hash = [u8; 16];

const HASH: usize = size_of::<Hash>();
/// Number of windows, then 1 if the text was cut.
const HEAD: usize = HASH + 2 * NUMBER;
/// Bytes of one number.
const NUMBER: usize = 4;

/// What is known of a text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub windows: usize,
    pub cut: bool,
    /// `[width]`
    pub vector: Vec<f32>,
}

impl Entry {
    /// As [`crate::encoder::Encoder::encode`] gives it.
    pub fn note(&self, text: usize) -> Option<Note> {
        (self.windows > 1 || self.cut).then_some(Note {
            text,
            windows: self.windows,
            cut: self.cut,
        })
    }
}

pub(super) fn hash(text: &str) -> Hash {
    let mut hash = [0; HASH];
    hash.copy_from_slice(&Sha256::digest(text)[..HASH]);
    hash
}

/// Bytes of a record with a vector of this width.
pub(super) fn length(width: usize) -> usize {
    HEAD + (width + 1) * NUMBER
}

pub(super) fn write(out: &mut Vec<u8>, hash: &Hash, entry: &Entry) {
    let start = out.len();
    // More windows than u32 holds would need a text of gigabytes.
    let windows = u32::try_from(entry.windows).unwrap_or(u32::MAX);
    out.extend_from_slice(hash);
    out.extend_from_slice(&windows.to_le_bytes());
    out.extend_from_slice(&u32::from(entry.cut).to_le_bytes());
    entry
        .vector
        .iter()
        .for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
    let sum = checksum(&out[start..]);
    out.extend_from_slice(&sum.to_le_bytes());
}

/// The hash that a record says it belongs to; not checked.
pub(super) fn hash_of(record: &[u8]) -> Option<Hash> {
    record.first_chunk().copied()
}

/// Reads a record; none if it is damaged or another text's.
pub(super) fn read(record: &[u8], hash: &Hash) -> Option<Entry> {
    let (body, sum) = record.split_last_chunk::<NUMBER>()?;
    if hash_of(body)? != *hash || checksum(body) != u32::from_le_bytes(*sum) {
        return None;
    }
    let (numbers, _) = body[HASH..].as_chunks::<NUMBER>();
    let [windows, cut, vector @ ..] = numbers else {
        return None;
    };
    Some(Entry {
        windows: u32::from_le_bytes(*windows) as usize,
        cut: u32::from_le_bytes(*cut) != 0,
        vector: vector
            .iter()
            .map(|value| f32::from_le_bytes(*value))
            .collect(),
    })
}

/// CRC-32 as in gzip: against accidents, not against a person who wants to mislead.
fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            windows: 3,
            cut: true,
            vector: vec![1.5, -0.0, f32::MIN_POSITIVE],
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let mut record = Vec::new();
        write(&mut record, &hash("a"), &entry());
        assert_eq!(record.len(), length(3));
        assert_eq!(read(&record, &hash("a")), Some(entry()));
        assert_eq!(read(&record, &hash("b")), None);
    }

    /// One flipped bit anywhere, and any missing end.
    #[test]
    fn no_damage_goes_unnoticed() {
        let mut record = Vec::new();
        write(&mut record, &hash("a"), &entry());
        for bit in 0..record.len() * 8 {
            let mut damaged = record.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&damaged, &hash("a")), None, "bit {bit}");
        }
        for end in 0..record.len() {
            assert_eq!(read(&record[..end], &hash("a")), None, "end {end}");
        }
        assert_eq!(read(&vec![0; record.len()], &[0; 16]), None);
    }
}
