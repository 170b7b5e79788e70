//! Tensors of a safetensors file, memory-mapped.

use std::fs::File;
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, SafeTensors, TensorInfo};

use super::EncoderError;
use super::config::TransformerConfig;
use super::layer_tensors::{LayerTensor, layer_tensors};

/// A tensor that every model has; its name tells which prefix the file uses.
const PROBE: &str = "embeddings.word_embeddings.weight";

/// A mapped weight file.
pub(super) struct Weights {
    path: PathBuf,
    map: Arc<Mmap>,
    /// Where the tensors' bytes begin in the file.
    start: usize,
    metadata: Metadata,
    /// `bert.` or `mpnet.` where the file holds a model with a task head around the encoder.
    prefix: String,
}

/// The values of one tensor.
pub(super) enum Values {
    /// f32 in place in the file.
    Mapped { map: Arc<Mmap>, bytes: Range<usize> },
    /// Converted from another type, or copied because the file does not align it.
    Owned(Vec<f32>),
}

impl Deref for Values {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Self::Mapped { map, bytes } => bytemuck::cast_slice(&map[bytes.clone()]),
            Self::Owned(values) => values,
        }
    }
}

impl Values {
    /// Gives the memory of a mapped tensor back; it is read from the file again if need be.
    pub fn release(self) {
        #[cfg(unix)]
        if let Self::Mapped { map, bytes } = self {
            // SAFETY: the map is of a file and read-only, so that dropped pages are read anew.
            let advised = unsafe {
                let advice = memmap2::UncheckedAdvice::DontNeed;
                map.unchecked_advise_range(advice, bytes.start, bytes.len())
            };
            // Without it more memory is used, nothing else.
            let _ = advised;
        }
    }
}

impl Weights {
    /// Maps the file and reads its header.
    pub fn open(path: &Path) -> Result<Self, EncoderError> {
        let read_error = |source| EncoderError::Read {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(read_error)?;
        // SAFETY: the map is read-only; the hub's cache never changes a blob in place (new files
        // come by rename), and a person who overwrites a local model's weights while it runs gets
        // wrong numbers or a bus error, as with every program that maps its data.
        let map = unsafe { Mmap::map(&file) }.map_err(read_error)?;
        let invalid = |error: safetensors::SafeTensorError| EncoderError::Weights {
            path: path.to_owned(),
            reason: error.to_string(),
        };
        let (header, metadata) = SafeTensors::read_metadata(&map).map_err(invalid)?;
        let start = header + size_of::<u64>();
        let prefix = find_prefix(&metadata);
        let weights = Self {
            path: path.to_owned(),
            map: Arc::new(map),
            start,
            metadata,
            prefix,
        };
        weights.check_length()?;
        Ok(weights)
    }

    fn check_length(&self) -> Result<(), EncoderError> {
        let ends = self
            .metadata
            .tensors()
            .into_values()
            .map(|info| info.data_offsets.1);
        let needed = self.start + ends.max().unwrap_or(0);
        if needed == self.map.len() {
            return Ok(());
        }
        let found = self.map.len();
        Err(self.invalid(format!(
            "the header speaks of {needed} bytes, the file has {found}"
        )))
    }

    fn invalid(&self, reason: String) -> EncoderError {
        EncoderError::Weights {
            path: self.path.clone(),
            reason,
        }
    }

    /// Whether the file has this tensor.
    pub fn has(&self, name: &str) -> bool {
        self.metadata
            .info(&format!("{}{name}", self.prefix))
            .is_some()
    }

    /// The tensor's values, if it has the shape that `config.json` promises.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Values, EncoderError> {
        let name = format!("{}{name}", self.prefix);
        let Some(info) = self.metadata.info(&name) else {
            return Err(self.invalid(format!("tensor `{name}` is missing")));
        };
        if info.shape != shape {
            return Err(EncoderError::Shape {
                path: self.path.clone(),
                tensor: name,
                expected: shape.to_vec(),
                found: info.shape.clone(),
            });
        }
        self.values(&name, info)
    }

    /// All values of layer `index`, in the order of [`layer_tensors`].
    pub fn layer(
        &self,
        config: &TransformerConfig,
        index: usize,
    ) -> Result<Vec<f32>, EncoderError> {
        // Of no capacity: blocks that double go back to the system in the end, while glibc keeps some of a layer's size
        // (100 MB at the peak).
        let mut values = Vec::new();
        for LayerTensor { name, shape, .. } in layer_tensors(config, index) {
            values.extend_from_slice(&self.tensor(&name, &shape)?);
        }
        Ok(values)
    }

    fn values(&self, name: &str, info: &TensorInfo) -> Result<Values, EncoderError> {
        let (from, to) = info.data_offsets;
        let bytes = self.start + from..self.start + to;
        let raw = &self.map[bytes.clone()];
        match info.dtype {
            Dtype::F32 if bytemuck::try_cast_slice::<u8, f32>(raw).is_ok() => Ok(Values::Mapped {
                map: Arc::clone(&self.map),
                bytes,
            }),
            Dtype::F32 => Ok(Values::Owned(convert(raw, f32::from_le_bytes))),
            Dtype::F16 => Ok(Values::Owned(convert(raw, |b| {
                f16::from_le_bytes(b).to_f32()
            }))),
            Dtype::BF16 => Ok(Values::Owned(convert(raw, |b| {
                bf16::from_le_bytes(b).to_f32()
            }))),
            other => Err(self.invalid(format!("tensor `{name}` is {other:?}, not F32, F16, BF16"))),
        }
    }
}

fn convert<const N: usize>(raw: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    raw.as_chunks::<N>()
        .0
        .iter()
        .map(|bytes| value(*bytes))
        .collect()
}

fn find_prefix(metadata: &Metadata) -> String {
    let known = ["", "bert.", "mpnet."];
    let fits = |prefix: &&str| metadata.info(&format!("{prefix}{PROBE}")).is_some();
    known.into_iter().find(fits).unwrap_or_default().to_owned()
}
