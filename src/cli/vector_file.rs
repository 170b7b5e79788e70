//! Embeddings on disk: `.npy` or `.safetensors`, written row by row.
//!
//! Both formats give the number of rows at their beginning, which is known at the end only: the
//! header gets a fixed size, and its place is written last.

use std::io::{self, Seek, SeekFrom, Write};

/// The binary formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VectorFormat {
    Npy,
    Safetensors,
}

/// Bytes of the header; the values behind it are aligned to 64.
const HEADER: usize = 192;
/// Name of the tensor in a safetensors file.
const TENSOR: &str = "embeddings";

/// Rows of f32 on their way into a file.
pub struct VectorWriter<W> {
    out: W,
    format: VectorFormat,
    rows: usize,
    columns: usize,
}

impl<W: Write + Seek> VectorWriter<W> {
    pub fn new(mut out: W, format: VectorFormat, columns: usize) -> io::Result<Self> {
        out.write_all(&[b' '; HEADER])?;
        Ok(Self {
            out,
            format,
            rows: 0,
            columns,
        })
    }

    pub fn write(&mut self, values: &[f32]) -> io::Result<()> {
        self.rows += values.len() / self.columns;
        values
            .iter()
            .try_for_each(|value| self.out.write_all(&value.to_le_bytes()))
    }

    pub fn finish(mut self) -> io::Result<()> {
        let header = header(self.format, self.rows, self.columns);
        self.out.seek(SeekFrom::Start(0))?;
        self.out.write_all(&header)?;
        self.out.flush()
    }
}

fn header(format: VectorFormat, rows: usize, columns: usize) -> Vec<u8> {
    match format {
        // NumPy's format 1.0: magic, version, length of the header's text, the text, a newline.
        VectorFormat::Npy => {
            let text = format!(
                "{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}"
            );
            let length = HEADER - 10;
            let mut header = b"\x93NUMPY\x01\x00".to_vec();
            header.extend_from_slice(&(length as u16).to_le_bytes());
            header.extend_from_slice(format!("{text:<width$}\n", width = length - 1).as_bytes());
            header
        }
        // Eight bytes of length, then JSON, padded with blanks.
        VectorFormat::Safetensors => {
            let bytes = rows * columns * size_of::<f32>();
            let text = serde_json::json!({
                TENSOR: {"dtype": "F32", "shape": [rows, columns], "data_offsets": [0, bytes]}
            });
            let length = HEADER - size_of::<u64>();
            let mut header = (length as u64).to_le_bytes().to_vec();
            header.extend_from_slice(format!("{:<length$}", text.to_string()).as_bytes());
            header
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_headers_have_their_fixed_size_at_any_count() {
        for format in [VectorFormat::Npy, VectorFormat::Safetensors] {
            for rows in [0, 1, 10_000_000_000] {
                assert_eq!(header(format, rows, 768).len(), HEADER);
            }
        }
    }
}
