//! Where the encoder runs, and in which numbers.

use std::str::FromStr;

use clap::ValueEnum;
use fewshot::encoder::{Device, EncoderError, Precision};

use super::failure::Failure;

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
}

impl DeviceChoice {
    /// The GPU that is to be used, if one is. Where it is left open, numbers that a GPU does not have mean the
    /// processor.
    pub fn gpu(self, precision: PrecisionChoice) -> Result<Option<Device>, Failure> {
        match self {
            Self::Cpu => Ok(None),
            Self::Auto => {
                let fits = precision.on(Some(&Device::Cpu)) == Precision::F32;
                let mut found = [Self::Cuda, Self::Metal].into_iter().filter(|_| fits);
                Ok(found.find_map(|kind| kind.built().then(|| kind.open().ok())?))
            }
            Self::Cuda | Self::Metal if self.built() => Ok(Some(self.open()?)),
            Self::Cuda | Self::Metal => Err(self.missing()),
        }
    }

    /// Whether this build knows it.
    fn built(self) -> bool {
        match self {
            Self::Auto | Self::Cpu => true,
            Self::Cuda => cfg!(feature = "cuda"),
            Self::Metal => cfg!(feature = "metal"),
        }
    }

    fn open(self) -> Result<Device, EncoderError> {
        let device = match self {
            Self::Cuda => Device::new_cuda(0),
            Self::Metal => Device::new_metal(0),
            Self::Auto | Self::Cpu => Ok(Device::Cpu),
        };
        Ok(device?)
    }

    fn missing(self) -> Failure {
        let name = self.name();
        Failure::usage(
            &format!("--device {name}: this program was built without it"),
            &format!(
                "build it with `cargo build --release --features {name}`, or leave out --device"
            ),
        )
    }

    pub fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}
