//! `fewshot embed`: texts → vectors in a file.

use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

use fewshot::data::{DataError, InputFormat, OutputFormat, Record, output_row, write_atomically};
use fewshot::encoder::{Encoded, Encoder, LayerMix};
use fewshot::matrix::Matrix;
use serde_json::{Map, Value, json};

use super::context::Context;
use super::failure::Failure;
use super::interrupt::Polite;
use super::options::{Fields, Stream};
use super::stream::{self, Rows};
use super::vector_file::{VectorFormat, VectorWriter};

/// Embed texts with the encoder and write the vectors to a file.
///
/// By default the vectors are those of sentence-transformers: the last layer, normalised if the
/// model says so.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  fewshot embed --input datasets/reviews/new.txt --output reviews.npy
  fewshot embed --input texts.csv --text-field body --layers 6-12 --output vectors.safetensors
  echo 'hello' | fewshot embed --output -")]
pub struct Args {
    /// Texts: .jsonl, .csv, .tsv, .txt or .json, also .gz and .zst; `-` is standard input
    #[arg(long, value_name = "FILE|-", default_value = "-")]
    input: String,
    /// Format of the input [default: by its extension]
    #[arg(long, value_name = "FORMAT")]
    input_format: Option<InputFormat>,
    /// .npy or .safetensors (tensor `embeddings`), rows in the order of the texts; .jsonl, or `-` for
    /// standard output, with the texts and their other fields
    #[arg(short, long, value_name = "FILE|-")]
    output: PathBuf,
    /// Hidden layers whose vectors are averaged: last, all, 6-12, 3,6
    #[arg(long, value_name = "LAYERS", default_value = "last")]
    layers: LayerMix,
    #[command(flatten)]
    fields: Fields,
}

pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let format = binary_format(&args.output)?;
    stream::check(
        &stream_of(args, Some(args.output.clone())),
        &args.fields.names(),
        &[],
    )?;
    let encoder = context.encoder()?;
    args.layers.indices(encoder.layers())?;
    let Some(format) = format else {
        return to_lines(args, &encoder, context);
    };
    // From before there is a temporary file until after it has its name.
    let _polite = Polite::new();
    let mut failure = None;
    let written = write_atomically(&args.output, |file| {
        let mut out = VectorWriter::new(file, format, encoder.width())?;
        if let Err(error) = to_vectors(args, &encoder, context, &mut out) {
            failure = Some(error);
            return Err(io::ErrorKind::Other.into());
        }
        out.finish()
    });
    // What stopped the stream is the reason; the file's own error only says that it was not kept.
    match failure {
        Some(Failure::Interrupted(_)) => {
            Err(Failure::Interrupted("no vectors were written".to_owned()))
        }
        Some(failure) => Err(failure),
        None => Ok(written?),
    }
}

fn binary_format(path: &Path) -> Result<Option<VectorFormat>, Failure> {
    let extension = path
        .extension()
        .map(|extension| extension.to_ascii_lowercase());
    match extension.as_ref().and_then(|extension| extension.to_str()) {
        Some("npy") => Ok(Some(VectorFormat::Npy)),
        Some("safetensors") => Ok(Some(VectorFormat::Safetensors)),
        Some("jsonl") => Ok(None),
        _ if path.as_os_str() == "-" => Ok(None),
        _ => Err(Failure::usage(
            &format!("--output {} tells no format", path.display()),
            "choose a name that ends in .npy, .safetensors or .jsonl, or `-`",
        )),
    }
}

fn stream_of(args: &Args, output: Option<PathBuf>) -> Stream {
    Stream {
        input: Some(args.input.clone()),
        positional: None,
        input_format: args.input_format,
        output,
        format: Some(OutputFormat::Jsonl),
        threshold: None,
        explain: None,
    }
}

fn encode(records: &[Record], args: &Args, encoder: &Encoder) -> Result<Encoded, Failure> {
    let texts: Vec<&str> = records.iter().map(|record| record.text.as_str()).collect();
    let mut encoded = encoder.encode(&texts, &args.layers)?;
    if encoder.normalises() {
        normalise(&mut encoded.vectors);
    }
    Ok(encoded)
}

fn normalise(vectors: &mut Matrix) {
    for index in 0..vectors.rows() {
        fewshot::matrix::normalise(vectors.row_mut(index));
    }
}

fn to_lines(args: &Args, encoder: &Encoder, context: &Context) -> Result<(), Failure> {
    let names = args.fields.names();
    let stream = stream_of(args, Some(args.output.clone()));
    let most = encoder.texts_at_once();
    stream::run(&stream, &names, context, most, |records| {
        let encoded = encode(&records, args, encoder)?;
        let row = |(record, vector): (Record, &[f32])| {
            let result: Map<String, Value> = [("embedding".to_owned(), json!(vector))]
                .into_iter()
                .collect();
            output_row(record, &names, result)
        };
        let rows = records
            .into_iter()
            .zip(encoded.vectors.iter_rows())
            .map(row)
            .collect();
        Ok(Rows {
            rows,
            notes: encoded.notes,
        })
    })
}

fn to_vectors<W: Write + Seek>(
    args: &Args,
    encoder: &Encoder,
    context: &Context,
    out: &mut VectorWriter<W>,
) -> Result<(), Failure> {
    let stream = stream_of(args, None);
    let (names, most) = (args.fields.names(), encoder.texts_at_once());
    stream::run(&stream, &names, context, most, |records| {
        let encoded = encode(&records, args, encoder)?;
        let written: io::Result<()> = out.write(encoded.vectors.values());
        written.map_err(|error| DataError::writing(&args.output, error))?;
        Ok(Rows {
            rows: Vec::new(),
            notes: encoded.notes,
        })
    })
}
