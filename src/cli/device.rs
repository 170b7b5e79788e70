//! Where the encoder runs, and in which numbers.

use std::panic::catch_unwind;
use std::str::FromStr;

use clap::ValueEnum;
use fewshot::encoder::{Device, EncoderError, Precision};

use super::context::Context;
use super::failure::{Failure, sentence};

/// What `--device` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeviceChoice {
    /// A GPU if this build knows one and the machine has it, else the processor
    Auto,
    /// The processor
    Cpu,
    /// NVIDIA's GPU, in a build with `--features cuda`
    Cuda,
    /// Apple's GPU, in a build with `--features metal`
    Metal,
}

/// What `--precision` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrecisionChoice {
    Auto,
    Of(Precision),
}

impl FromStr for PrecisionChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = [Precision::F32, Precision::Bf16, Precision::Int8];
        let named = known.into_iter().find(|precision| precision.name() == text);
        match text {
            "auto" => Ok(Self::Auto),
            _ => named
                .map(Self::Of)
                .ok_or_else(|| format!("`{text}` is no precision; choose auto, f32, bf16 or int8")),
        }
    }
}

impl PrecisionChoice {
    /// On the processor, or on a GPU, which has one only.
    pub fn on(self, gpu: Option<&Device>) -> Precision {
        match (self, gpu) {
            (Self::Of(precision), _) => precision,
            (Self::Auto, Some(_)) => Precision::F32,
            (Self::Auto, None) => Precision::automatic(),
        }
    }

    /// Numbers that are asked for and that no GPU has.
    fn beyond_gpus(self) -> Option<Precision> {
        match self {
            Self::Auto | Self::Of(Precision::F32) => None,
            Self::Of(precision) => Some(precision),
        }
    }
}

impl DeviceChoice {
    /// The GPU that is to be used, if one is.
    pub fn gpu(
        self,
        precision: PrecisionChoice,
        context: &Context,
    ) -> Result<Option<Device>, Failure> {
        let gpu = match self {
            Self::Cpu => return Ok(None),
            Self::Auto => return Ok(any_gpu(precision, context)),
            Self::Cuda => Gpu::Cuda,
            Self::Metal => Gpu::Metal,
        };
        if !gpu.is_built() {
            return Err(gpu.missing());
        }
        match precision.beyond_gpus() {
            Some(precision) => Err(EncoderError::DevicePrecision { precision }.into()),
            None => Ok(Some(gpu.open()?)),
        }
    }

    pub fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// The first GPU that works; none where numbers are asked for that it does not have.
fn any_gpu(precision: PrecisionChoice, context: &Context) -> Option<Device> {
    if precision.beyond_gpus().is_some() {
        return None;
    }
    let open = |gpu: Gpu| {
        let opened = gpu.open();
        if let Err(error) = &opened {
            context.note(|| format!("{}; the processor is used", sentence(error)));
        }
        opened.ok()
    };
    let built = [Gpu::Cuda, Gpu::Metal]
        .into_iter()
        .filter(|gpu| gpu.is_built());
    built.filter_map(open).next()
}

#[derive(Clone, Copy)]
enum Gpu {
    Cuda,
    Metal,
}

impl Gpu {
    fn name(self) -> &'static str {
        match self {
            Self::Cuda => "cuda",
            Self::Metal => "metal",
        }
    }

    fn is_built(self) -> bool {
        match self {
            Self::Cuda => cfg!(feature = "cuda"),
            Self::Metal => cfg!(feature = "metal"),
        }
    }

    /// candle panics where Metal finds no GPU.
    fn open(self) -> Result<Device, EncoderError> {
        let opened = catch_unwind(|| match self {
            Self::Cuda => Device::new_cuda(0),
            Self::Metal => Device::new_metal(0),
        });
        let none = |_| candle_core::Error::Msg(format!("there is none for {}", self.name()));
        Ok(opened.map_err(none)??)
    }

    fn missing(self) -> Failure {
        let name = self.name();
        Failure::usage(
            &format!("--device {name}: this program was built without it"),
            &format!("build it with `--features {name}`, or leave out --device"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_has_f32_and_the_processor_its_fastest_numbers() {
        let gpu = Some(&Device::Cpu);
        assert_eq!(PrecisionChoice::Auto.on(gpu), Precision::F32);
        assert_eq!(PrecisionChoice::Auto.on(None), Precision::automatic());
        let chosen = PrecisionChoice::Of(Precision::Bf16);
        assert_eq!(chosen.on(gpu), Precision::Bf16);
        assert_eq!(chosen.beyond_gpus(), Some(Precision::Bf16));
        assert_eq!(PrecisionChoice::Of(Precision::F32).beyond_gpus(), None);
    }

    #[test]
    fn a_gpu_that_is_not_there_is_an_error_and_no_panic() {
        for gpu in [Gpu::Cuda, Gpu::Metal] {
            if !gpu.is_built() {
                assert!(matches!(gpu.open(), Err(EncoderError::Device { .. })));
            }
        }
    }
}
