//! Reading, checking, drawing and writing through the public interface.

use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use fewshot::data::{
    DataError, Dataset, Example, FieldNames, InputFormat, Record, RecordWriter, Records, Source,
    Warning, WriteOptions, output_row, write_atomically,
};
use serde_json::{Map, Value, json};

fn stream(name: &str, bytes: impl AsRef<[u8]>) -> Source {
    Source::Reader {
        name: name.to_owned(),
        reader: Box::new(io::Cursor::new(bytes.as_ref().to_vec())),
    }
}

fn records(name: &str, bytes: impl AsRef<[u8]>) -> Result<Vec<Record>, DataError> {
    Records::open(stream(name, bytes), None, &FieldNames::default())?.collect()
}

fn texts(name: &str, bytes: impl AsRef<[u8]>) -> Vec<String> {
    let records = records(name, bytes).unwrap();
    records.into_iter().map(|record| record.text).collect()
}

fn lines(name: &str, bytes: impl AsRef<[u8]>) -> Vec<usize> {
    let records = records(name, bytes).unwrap();
    records.into_iter().map(|record| record.line).collect()
}

fn error(name: &str, bytes: impl AsRef<[u8]>) -> DataError {
    records(name, bytes).unwrap_err()
}

fn dataset(name: &str, bytes: impl AsRef<[u8]>) -> Result<(Dataset, Vec<Warning>), DataError> {
    Dataset::read([stream(name, bytes)], None, &FieldNames::default())
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

mod formats {
    use super::*;

    #[test]
    fn jsonl_keeps_fields_in_order_and_skips_blank_lines() {
        let input =
            "\n{\"id\":7,\"text\":\"a\",\"label\":\"x\",\"b\":[1]}\r\n \t\n{\"text\":\"b\"}";
        let got = records("in.jsonl", input).unwrap();
        assert_eq!(got[0].label.as_deref(), Some("x"));
        let keys: Vec<&String> = got[0].fields.keys().collect();
        assert_eq!(keys, ["id", "text", "label", "b"]);
        assert_eq!((got[0].line, got[1].line), (2, 4));
        assert_eq!(got[1].label, None);
    }

    #[test]
    fn labels_may_be_numbers_booleans_and_null() {
        let input = r#"{"text":"a","label":1}
            {"text":"b","label":true}
            {"text":"c","label":null}"#;
        let labels: Vec<_> = records("x.ndjson", input)
            .unwrap()
            .into_iter()
            .map(|r| r.label)
            .collect();
        assert_eq!(labels, [Some("1".into()), Some("true".into()), None]);
    }

    #[test]
    fn plain_text_keeps_blank_lines_but_adds_none() {
        assert_eq!(texts("a.txt", "a\r\n\n b \n"), ["a", "", " b "]);
        assert_eq!(texts("a.txt", "a\n\n"), ["a", ""]);
        assert_eq!(texts("a.txt", "a"), ["a"]);
        assert_eq!(texts("a.txt", ""), [""; 0]);
        assert!(records("a.txt", "a").unwrap()[0].fields.is_empty());
    }

    #[test]
    fn csv_counts_lines_through_quotations_and_crlf() {
        let input = "id, text ,label\r\n1,\"a\r\nb \"\"c\"\"\",x\r\n\r\n2,d,y\r\n";
        let got = records("a.csv", input).unwrap();
        assert_eq!(got[0].text, "a\r\nb \"c\"");
        assert_eq!(got[0].fields["id"], json!("1"));
        assert_eq!((got[0].line, got[1].line), (2, 5));
        assert_eq!(got[1].label.as_deref(), Some("y"));
    }

    /// As spreadsheets write it where the comma is the decimal point.
    #[test]
    fn a_csv_may_be_separated_by_something_else() {
        for input in [
            "text;label\na, b;x\n",
            "sep=;\r\ntext;label\r\na, b;x\r\n",
            "label|text\nx|a, b\n",
            "text\tlabel\na, b\tx\n",
            "\u{feff}text;label;\n\"a, b\";x;\n",
        ] {
            let got = records("a.csv", input).unwrap();
            assert_eq!(
                (got[0].text.as_str(), got[0].label.as_deref()),
                ("a, b", Some("x")),
                "{input}"
            );
        }
        // The comma comes first, and a header that none makes sense of is said as it is.
        assert_eq!(texts("a.csv", "text,a;text;b\nc;d,e\n"), ["c;d"]);
        let error = records("a.csv", "body;label\na;b\n").unwrap_err();
        assert!(matches!(error, DataError::MissingColumn { found, .. } if found == ["body;label"]));
        assert!(records("a.tsv", "text;label\na;b\n").is_err());
    }

    #[test]
    fn rows_of_nothing_but_separators_below_a_table_are_left_out() {
        let got = records("a.csv", "text,label\na,x\n,\nb,y\n,\n\n , \n,,,\n").unwrap();
        let rows: Vec<(&str, usize)> = got
            .iter()
            .map(|row| (row.text.as_str(), row.line))
            .collect();
        // One in the middle is a row: who joins by place counts it.
        assert_eq!(rows, [("a", 2), ("", 3), ("b", 4)]);
        // Of one column a blank text is a text.
        assert_eq!(texts("a.csv", "text\n \na\n"), [" ", "a"]);
    }

    #[test]
    fn tsv_is_separated_by_tabs() {
        assert_eq!(texts("a.tsv", "text\tlabel\na, b\tx\n"), ["a, b"]);
    }

    #[test]
    fn fields_can_be_renamed() {
        let names = FieldNames {
            text: "review".into(),
            label: "stars".into(),
        };
        let source = stream("a.csv", "stars,review\n5,good\n");
        let got = Records::open(source, None, &names)
            .unwrap()
            .next()
            .unwrap()
            .unwrap();
        assert_eq!(
            (got.text.as_str(), got.label.as_deref()),
            ("good", Some("5"))
        );
    }

    #[test]
    fn a_json_object_lists_texts_by_label() {
        let input = "{\n \"x\": [\"a, [b]\",\n  \"c\\\"}\"],\n \"y\": [],\n \"z\": [\"d\"]\n}\n";
        let got = records("a.json", input).unwrap();
        let pairs: Vec<_> = got
            .iter()
            .map(|r| (r.text.as_str(), r.label.as_deref().unwrap()))
            .collect();
        assert_eq!(pairs, [("a, [b]", "x"), ("c\"}", "x"), ("d", "z")]);
        assert_eq!(got.iter().map(|r| r.line).collect::<Vec<_>>(), [2, 3, 5]);
    }

    #[test]
    fn a_json_array_holds_objects() {
        let input =
            "[{\"text\": \"a\", \"n\": {\"b\": [\"]\"]}},\n{\"text\": \"c\", \"label\": 0}]";
        assert_eq!(texts("a.json", input), ["a", "c"]);
        assert_eq!(lines("a.json", input), [1, 2]);
        assert_eq!(texts("a.json", "[]"), [""; 0]);
        assert_eq!(texts("a.json", "{}"), [""; 0]);
        assert_eq!(texts("a.json", " \n"), [""; 0]);
    }

    #[test]
    fn streams_without_extension_are_sniffed() {
        assert_eq!(texts("pipe", " \n{\"text\":\"a\"}"), ["a"]);
        assert_eq!(texts("pipe", "a,b\n"), ["a,b"]);
        assert_eq!(texts("pipe", "\n\n"), ["", ""]);
        let source = stream("pipe", "text\na\n");
        let csv = Records::open(source, Some(InputFormat::Csv), &FieldNames::default());
        assert_eq!(csv.unwrap().next().unwrap().unwrap().text, "a");
    }

    #[test]
    fn packed_input_is_known_by_name_or_first_bytes() {
        let two_members = [gzip(b"a\n"), gzip(b"b\n")].concat();
        assert_eq!(texts("a.txt.gz", &two_members), ["a", "b"]);
        assert_eq!(texts("pipe", gzip(b"{\"text\":\"a\"}")), ["a"]);
        assert_eq!(texts("a.TXT.ZST", zstd(b"a\n")), ["a"]);
        assert_eq!(texts("pipe", zstd(b"a\n")), ["a"]);
    }

    #[test]
    fn a_byte_order_mark_is_skipped_in_any_format() {
        assert_eq!(texts("a.txt", b"\xef\xbb\xbfa\n"), ["a"]);
        assert_eq!(texts("a.csv", b"\xef\xbb\xbftext\na\n"), ["a"]);
        assert_eq!(texts("pipe", gzip(b"\xef\xbb\xbf{\"text\":\"a\"}")), ["a"]);
    }

    #[test]
    fn binary_rubbish_and_nulls_do_no_harm() {
        assert_eq!(texts("a.txt", "a\0b\n\0\0"), ["a\0b", "\0\0"]);
        let rubbish: Vec<u8> = (0..100_000_u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        for name in ["a.txt", "a.jsonl", "a.csv", "a.json", "a.gz.txt"] {
            assert!(records(name, &rubbish).is_err(), "{name}");
        }
    }

    #[test]
    fn long_lines_are_read() {
        let long = "a ".repeat(5 << 20);
        assert_eq!(texts("a.txt", &long)[0].len(), long.len());
    }

    #[test]
    fn reading_goes_on_after_a_bad_line() {
        let input = "{\"text\":\"a\"}\n{oops\n{\"text\":\"b\"}\n";
        let mut stream =
            Records::open(stream("a.jsonl", input), None, &FieldNames::default()).unwrap();
        assert!(stream.next().unwrap().is_ok());
        assert!(stream.next().unwrap().is_err());
        assert_eq!(stream.next().unwrap().unwrap().text, "b");
        assert!(stream.next().is_none());
    }

    /// A stream that never ends must still give its first records, and an endless line an error.
    #[test]
    fn memory_does_not_grow_with_the_input() {
        for (name, line) in [
            ("a.jsonl", "{\"text\":\"a\"}\n"),
            ("a.txt", "a\n"),
            ("a.csv", "text\n"),
            ("a.json", "[\n"),
        ] {
            let line = if name == "a.json" {
                "[{\"text\":\"a\"}".to_owned() + &",{\"text\":\"a\"}".repeat(9) + ","
            } else {
                line.to_owned()
            };
            let endless = Source::Reader {
                name: name.into(),
                reader: Box::new(Endless {
                    bytes: line.into_bytes(),
                    at: 0,
                }),
            };
            let read = Records::open(endless, None, &FieldNames::default()).unwrap();
            assert_eq!(read.take(5).filter(Result::is_ok).count(), 5, "{name}");
        }
    }

    struct Endless {
        bytes: Vec<u8>,
        at: usize,
    }

    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            for byte in &mut *buffer {
                *byte = self.bytes[self.at];
                self.at = (self.at + 1) % self.bytes.len();
            }
            Ok(buffer.len())
        }
    }

    #[test]
    fn an_endless_line_is_an_error() {
        for (name, start) in [
            ("a.txt", "a"),
            ("a.csv", "\"\n"),
            ("a.json", "[\""),
            ("a.jsonl", "{ "),
        ] {
            let endless = io::Cursor::new(start.as_bytes().to_vec()).chain(io::repeat(b'x'));
            let source = Source::Reader {
                name: name.into(),
                reader: Box::new(endless),
            };
            let read = Records::open(source, None, &FieldNames::default()).unwrap();
            let first = read.with_max_line_bytes(1 << 16).next().unwrap();
            let Err(DataError::LineTooLong { max_bytes, .. }) = first else {
                panic!("{name}: {first:?}");
            };
            assert_eq!(max_bytes, 1 << 16);
        }
    }

    #[test]
    fn an_endless_quotation_is_an_error() {
        let endless = io::Cursor::new(b"text\n\"".to_vec()).chain(io::repeat(b'\n').take(1 << 20));
        let source = Source::Reader {
            name: "a.csv".into(),
            reader: Box::new(endless),
        };
        let read = Records::open(source, None, &FieldNames::default()).unwrap();
        let first = read.with_max_line_bytes(1 << 16).next();
        assert!(matches!(first, Some(Err(DataError::LineTooLong { at, .. })) if at.line == 2));
    }

    #[test]
    fn the_limit_is_exact() {
        let read = |text: &str| {
            let source = stream("a.txt", text);
            let records = Records::open(source, None, &FieldNames::default()).unwrap();
            records
                .with_max_line_bytes(4)
                .collect::<Result<Vec<_>, _>>()
        };
        assert_eq!(read("abcd\nabcd").unwrap().len(), 2);
        let Err(DataError::LineTooLong { at, .. }) = read("abcd\nabcde") else {
            panic!()
        };
        assert_eq!(at.line, 2);
    }
}

mod read_errors {
    use super::*;

    fn open(path: impl Into<Source>) -> DataError {
        match Records::open(path, None, &FieldNames::default()) {
            Ok(_) => panic!("opened"),
            Err(error) => error,
        }
    }

    struct Failing(ErrorKind);

    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
    }

    fn failing(kind: ErrorKind) -> DataError {
        open(Source::Reader {
            name: "a.txt".into(),
            reader: Box::new(Failing(kind)),
        })
    }

    #[test]
    fn not_found() {
        let error = open("no/such.jsonl");
        assert!(
            matches!(&error, DataError::NotFound { path } if path == Path::new("no/such.jsonl"))
        );
    }

    #[test]
    fn permission_denied() {
        assert!(matches!(
            failing(ErrorKind::PermissionDenied),
            DataError::PermissionDenied { .. }
        ));
    }

    #[test]
    fn is_a_directory() {
        let folder = tempfile::Builder::new().suffix(".txt").tempdir().unwrap();
        assert!(matches!(
            open(folder.path()),
            DataError::IsADirectory { .. }
        ));
    }

    #[test]
    fn read() {
        assert!(matches!(
            failing(ErrorKind::TimedOut),
            DataError::Read { .. }
        ));
    }

    #[test]
    fn damaged() {
        let whole = gzip("some text, long enough\n".repeat(100).as_bytes());
        assert!(matches!(
            error("a.txt.gz", &whole[..whole.len() / 2]),
            DataError::Damaged { .. }
        ));
        assert!(matches!(
            error("a.txt.gz", "no gzip at all"),
            DataError::Damaged { .. }
        ));
        assert!(matches!(
            error("a.txt.zst", "no zstd at all"),
            DataError::Damaged { .. }
        ));
        let whole = zstd(b"some text\n");
        assert!(matches!(
            error("pipe", &whole[..whole.len() - 2]),
            DataError::Damaged { .. }
        ));
    }

    #[test]
    fn unknown_format() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        std::fs::write(&path, "x").unwrap();
        let error = open(&path);
        assert!(matches!(error, DataError::UnknownFormat { .. }));
        let hint = error.hint().unwrap();
        assert!(hint.contains(".jsonl") && hint.contains("--input-format"));
    }

    #[test]
    fn unknown_format_name() {
        let error = "xml".parse::<InputFormat>().unwrap_err();
        assert!(matches!(error, DataError::UnknownFormatName { .. }));
        assert_eq!(
            error.hint().unwrap(),
            "use one of jsonl, csv, tsv, txt, json"
        );
    }

    #[test]
    fn utf16() {
        for bytes in [b"\xff\xfea\0", b"\xfe\xff\0a"] {
            let error = error("a.txt", bytes);
            assert!(matches!(error, DataError::Utf16 { .. }));
            assert!(error.hint().unwrap().contains("iconv"));
        }
    }

    #[test]
    fn invalid_utf8() {
        for (name, bytes) in [
            ("a.txt", &b"a\nb\xff\n"[..]),
            ("a.jsonl", b"{\"text\":\"a\"}\n{\"text\":\"\xff\"}\n"),
            ("a.csv", b"text\n\"\xff\n\""),
            ("a.json", b"[{\"text\":\n\"\xff\"}]"),
        ] {
            let error = error(name, bytes);
            assert!(
                matches!(&error, DataError::InvalidUtf8 { at } if at.line == 2),
                "{error}"
            );
        }
    }

    #[test]
    fn line_too_long() {
        let source = stream("a.txt", "too long");
        let mut read = Records::open(source, None, &FieldNames::default())
            .unwrap()
            .with_max_line_bytes(3);
        assert!(matches!(
            read.next(),
            Some(Err(DataError::LineTooLong { .. }))
        ));
        assert!(read.next().is_none());
    }

    #[test]
    fn invalid_json() {
        let error = error("a.jsonl", "{\"text\":\"a\"}\n{\"text\": oops}\n");
        assert!(
            matches!(&error, DataError::InvalidJson { at, column: 10, .. } if at.line == 2),
            "{error}"
        );
        for bad in [
            "[{\"text\": \"a\"",
            "{\"a\": [\"b",
            "{\"a\": [tru]}",
            "[1 2]",
        ] {
            assert!(records("a.json", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn unexpected_json() {
        for bad in [
            "3",
            "{\"text\": \"a\"}",
            "{\"a\": [] \"b\": []}",
            "[]]",
            "{\"a\" []}",
            "{a: []}",
            "{\"a\": []",
            "[{\"text\":\"a\"} {\"text\":\"a\"}]",
        ] {
            assert!(
                matches!(error("a.json", bad), DataError::UnexpectedJson { .. }),
                "{bad}"
            );
        }
    }

    #[test]
    fn not_an_object() {
        let error = error("a.jsonl", "[1]");
        assert!(matches!(
            error,
            DataError::NotAnObject {
                found: "an array",
                ..
            }
        ));
    }

    #[test]
    fn missing_text() {
        let error = error("a.jsonl", "{\"review\":\"a\",\"stars\":5}");
        assert!(
            matches!(&error, DataError::MissingText { found, .. } if found == &["review", "stars"])
        );
        assert_eq!(
            error.to_string(),
            "a.jsonl:1: no field `text`; fields are `review`, `stars`"
        );
    }

    #[test]
    fn wrong_type() {
        for (name, bad) in [
            ("a.jsonl", "{\"text\":5}"),
            ("a.jsonl", "{\"text\":null}"),
            ("a.jsonl", "{\"text\":\"a\",\"label\":[\"x\"]}"),
            ("a.json", "{\"x\": [5]}"),
        ] {
            assert!(
                matches!(error(name, bad), DataError::WrongType { .. }),
                "{bad}"
            );
        }
    }

    #[test]
    fn missing_column() {
        let error = error("a.csv", "review,stars\na,5\n");
        assert!(
            matches!(&error, DataError::MissingColumn { found, .. } if found == &["review", "stars"])
        );
        assert!(error.hint().unwrap().contains("--text-field"));
    }

    #[test]
    fn ambiguous_column() {
        assert!(matches!(
            error("a.csv", "text,text\na,b\n"),
            DataError::AmbiguousColumn { .. }
        ));
    }

    #[test]
    fn ragged_row() {
        let error = error("a.csv", "text,label\na,x\nb,c,y\n");
        assert!(matches!(&error, DataError::RaggedRow { at, expected: 2, got: 3 } if at.line == 3));
    }

    #[test]
    fn unclosed_quote() {
        let error = error("a.csv", "text\na\n\"b\nc\n");
        assert!(
            matches!(&error, DataError::UnclosedQuote { at } if at.line == 3),
            "{error}"
        );
    }
}

mod examples {
    use super::*;

    fn example(text: &str, label: &str) -> Example {
        Example {
            text: text.into(),
            label: label.into(),
        }
    }

    fn checked(pairs: &[(&str, &str)]) -> Result<(Dataset, Vec<Warning>), DataError> {
        Dataset::from_examples(
            pairs
                .iter()
                .map(|(text, label)| example(text, label))
                .collect(),
        )
    }

    #[test]
    fn sources_are_read_together() {
        let sources = [
            stream("a.csv", "text,label\na,y\nb,x\n"),
            stream("b.json", "{\"x\":[\"c\"],\"y\":[\"d\"]}"),
        ];
        let (data, warnings) = Dataset::read(sources, None, &FieldNames::default()).unwrap();
        assert_eq!(data.examples().len(), 4);
        assert_eq!(data.labels().names(), ["x", "y"]);
        assert_eq!(data.classes(), [1, 0, 0, 1]);
        assert!(warnings.is_empty());
        assert!(data.check_trainable().is_ok());
    }

    #[test]
    fn empty() {
        assert!(
            matches!(dataset("a.jsonl", "\n"), Err(DataError::Empty { path }) if path == Path::new("a.jsonl"))
        );
        assert!(matches!(
            dataset("a.csv", "text,label\n"),
            Err(DataError::Empty { .. })
        ));
        assert!(matches!(checked(&[]), Err(DataError::Empty { .. })));
        assert!(records("a.jsonl", "").unwrap().is_empty());
    }

    #[test]
    fn missing_label() {
        let result = dataset(
            "a.jsonl",
            "{\"text\":\"a\",\"label\":\"x\"}\n{\"text\":\"b\"}\n",
        );
        assert!(matches!(&result, Err(DataError::MissingLabel { at, .. }) if at.line == 2));
        let error = dataset("a.txt", "a\n").unwrap_err();
        assert!(error.hint().unwrap().contains("plain text holds no labels"));
    }

    #[test]
    fn blank_text() {
        let result = dataset("a.csv", "text,label\na,x\n ,x\n");
        assert!(matches!(result, Err(DataError::BlankText { at }) if at.line == 3));
    }

    #[test]
    fn blank_label() {
        let result = dataset("a.csv", "text,label\na, \n");
        assert!(matches!(result, Err(DataError::BlankLabel { at }) if at.line == 2));
    }

    #[test]
    fn conflicting_labels() {
        let error = checked(&[("a", "x"), ("b", "y"), (" a", "y")]).unwrap_err();
        assert!(matches!(error, DataError::ConflictingLabels { .. }));
        assert_eq!(
            error.to_string(),
            "examples:3: text is labelled `y`, but `x` at examples:1"
        );
    }

    #[test]
    fn one_class() {
        let (data, _) = checked(&[("a", "x"), ("b", "x")]).unwrap();
        assert!(
            matches!(data.check_trainable(), Err(DataError::OneClass { label }) if label == "x")
        );
    }

    #[test]
    fn repeated_text_is_kept_with_one_warning() {
        let (data, warnings) = checked(&[("a", "x"), ("a", "x"), ("b", "x"), ("a ", "x")]).unwrap();
        assert_eq!(data.examples().len(), 4);
        let [
            Warning::DuplicateText {
                first,
                second,
                rows: 2,
            },
        ] = &*warnings
        else {
            panic!("{warnings:?}")
        };
        assert_eq!((first.line, second.line), (1, 2));
    }

    #[test]
    fn blanks_around_labels_are_dropped() {
        let (data, warnings) = checked(&[("a", "x "), ("b", "x"), ("c", " x")]).unwrap();
        assert_eq!(data.labels().names(), ["x"]);
        assert!(data.examples().iter().all(|example| example.label == "x"));
        assert!(matches!(&*warnings, [Warning::TrimmedLabel { at, rows: 2, .. }] if at.line == 1));
    }

    #[test]
    fn labels_that_differ_by_case_stay_two() {
        let (data, warnings) =
            checked(&[("a", "Yes"), ("b", "yes"), ("c", "Yes"), ("d", "yes")]).unwrap();
        assert_eq!(data.labels().len(), 2);
        assert!(
            matches!(&*warnings, [Warning::LabelsDifferByCase { first, second }] if first == "Yes" && second == "yes")
        );
    }

    #[test]
    fn one_example_is_enough_but_warned_of() {
        let (_, warnings) = checked(&[("a", "x"), ("b", "y"), ("c", "y")]).unwrap();
        assert!(matches!(&*warnings, [Warning::OneExample { label }] if label == "x"));
    }

    #[test]
    fn too_few_examples() {
        let (data, _) = checked(&[("a", "x"), ("b", "x"), ("c", "y")]).unwrap();
        let error = data.draw(2, 0).unwrap_err();
        assert!(
            matches!(&error, DataError::TooFewExamples { label, have: 1, need: 2 } if label == "y")
        );
        assert!(error.hint().unwrap().contains("--shots 1"));
    }

    #[test]
    fn no_shots() {
        let (data, _) = checked(&[("a", "x")]).unwrap();
        assert!(matches!(data.draw(0, 0), Err(DataError::NoShots)));
    }

    /// Written down once: a change would make every published figure irreproducible.
    #[test]
    fn the_draw_is_the_same_for_ever() {
        let all = (0..20).map(|i| example(&i.to_string(), if i % 2 == 0 { "even" } else { "odd" }));
        let (data, _) = Dataset::from_examples(all.collect()).unwrap();
        let drawn = data.draw(3, 42).unwrap();
        let texts: Vec<&str> = drawn
            .examples()
            .iter()
            .map(|example| example.text.as_str())
            .collect();
        assert_eq!(texts, ["0", "3", "4", "8", "9", "13"]);
    }
}

mod writing {
    use super::*;

    struct Failing(ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn write_one(out: impl Write) -> Result<(), DataError> {
        let mut writer = RecordWriter::new(Box::new(out), "out", WriteOptions::default());
        writer.write([&object(json!({"text": "a"}))])
    }

    #[test]
    fn closed_pipe() {
        let result = write_one(Failing(ErrorKind::BrokenPipe));
        assert!(matches!(result, Err(DataError::ClosedPipe { .. })));
    }

    #[test]
    fn read_only() {
        let result = write_one(Failing(ErrorKind::ReadOnlyFilesystem));
        assert!(matches!(result, Err(DataError::ReadOnly { .. })));
    }

    #[test]
    fn write() {
        let result = write_one(Failing(ErrorKind::TimedOut));
        assert!(matches!(result, Err(DataError::Write { .. })));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn storage_full() {
        let mut writer = RecordWriter::create("/dev/full", WriteOptions::default()).unwrap();
        let result = writer.write([&object(json!({"text": "a"}))]);
        assert!(matches!(result, Err(DataError::StorageFull { .. })));
        let result = write_atomically("/dev/full", |out| out.write_all(b"a"));
        assert!(matches!(result, Err(DataError::StorageFull { .. })));
    }

    #[test]
    fn a_missing_folder_is_not_found() {
        let result = RecordWriter::create("no/such/folder/out", WriteOptions::default());
        assert!(matches!(result.err(), Some(DataError::NotFound { .. })));
        let result = write_atomically("no/such/folder/out", |out| out.write_all(b"a"));
        assert!(matches!(result, Err(DataError::NotFound { .. })));
    }

    fn in_folder(old: Option<&str>) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        if let Some(old) = old {
            std::fs::write(&path, old).unwrap();
        }
        (folder, path)
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let (folder, path) = in_folder(Some("old"));
        assert_eq!(
            write_atomically(&path, |out| out.write_all(b"new").map(|()| 7)).unwrap(),
            7
        );
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn the_old_file_survives_a_failure() {
        let (folder, path) = in_folder(Some("old"));
        let result: Result<(), _> = write_atomically(&path, |out| {
            out.write_all(&[b'x'; 100_000])?;
            Err(ErrorKind::StorageFull.into())
        });
        assert!(matches!(result, Err(DataError::StorageFull { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn a_directory_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let result = write_atomically(folder.path(), |out| out.write_all(b"a"));
        assert!(matches!(result, Err(DataError::IsADirectory { .. })));
    }

    #[test]
    fn a_record_writer_works_inside_and_its_error_comes_back() {
        let (_folder, path) = in_folder(None);
        write_atomically(&path, |out| {
            let mut writer = RecordWriter::new(Box::new(out), "f", WriteOptions::default());
            Ok(writer.write([&object(json!({"text": "a"}))])?)
        })
        .unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"{\"text\":\"a\"}\n");
        let result: Result<(), _> = write_atomically(&path, |_| Err(DataError::NoShots.into()));
        assert!(matches!(result, Err(DataError::NoShots)));
    }

    #[test]
    #[cfg(unix)]
    fn permissions_and_links_are_kept() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let (folder, path) = in_folder(Some("old"));
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        let link = folder.path().join("link");
        symlink("f", &link).unwrap();
        write_atomically(&link, |out| out.write_all(b"new")).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert!(link.is_symlink());
        assert_eq!(mode(&path), 0o640);

        // A link to a link to a file that is not there yet.
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        symlink("second", &first).unwrap();
        symlink("third", &second).unwrap();
        write_atomically(&first, |out| out.write_all(b"new")).unwrap();
        assert!(first.is_symlink() && second.is_symlink());
        assert_eq!(std::fs::read(folder.path().join("third")).unwrap(), b"new");

        let (plain, fresh) = (folder.path().join("plain"), folder.path().join("fresh"));
        std::fs::write(&plain, "").unwrap();
        write_atomically(&fresh, |out| out.write_all(b"new")).unwrap();
        assert_eq!(mode(&fresh), mode(&plain));
    }

    #[test]
    fn what_is_read_can_be_written_with_results() {
        let input = "{\"id\":1,\"text\":\"a\",\"label\":\"old\"}\n";
        let record = records("a.jsonl", input).unwrap().remove(0);
        let row = output_row(
            record,
            &FieldNames::default(),
            object(json!({"label": "new"})),
        );
        let mut out = Vec::new();
        RecordWriter::new(Box::new(&mut out), "out", WriteOptions::default())
            .write([&row])
            .unwrap();
        assert_eq!(out, b"{\"text\":\"a\",\"label\":\"new\",\"id\":1}\n");
    }
}

mod laws {
    use std::collections::BTreeSet;

    use fewshot::data::OutputFormat;
    use proptest::prelude::*;

    use super::*;

    /// Text that stresses quoting: ordinary characters, quotes, separators, line ends, controls.
    fn awkward() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            any::<char>().prop_map(String::from),
            prop::sample::select(vec![
                "\"", "\"\"", ",", "\n", "\r", "\r\n", "\t", "\0", "\\", " ", "a", "\u{feff}", "{"
            ])
            .prop_map(str::to_owned),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    fn rows() -> impl Strategy<Value = Vec<Map<String, Value>>> {
        let row = (awkward(), awkward(), awkward()).prop_map(|(text, label, note)| {
            object(json!({"note": note, "text": text, "label": label}))
        });
        prop::collection::vec(row, 1..6)
    }

    fn written(rows: &[Map<String, Value>], format: OutputFormat) -> Vec<u8> {
        let mut out = Vec::new();
        let options = WriteOptions {
            format,
            ..WriteOptions::default()
        };
        RecordWriter::new(Box::new(&mut out), "out", options)
            .write(rows)
            .unwrap();
        out
    }

    fn fields(name: &str, bytes: &[u8]) -> Vec<Map<String, Value>> {
        records(name, bytes)
            .unwrap()
            .into_iter()
            .map(|record| record.fields)
            .collect()
    }

    fn drawable() -> impl Strategy<Value = (Vec<usize>, usize, u64)> {
        (
            prop::collection::vec(4..12_usize, 1..5),
            1..=4_usize,
            any::<u64>(),
        )
    }

    /// `sizes[i]` examples of label `i`, taking turns.
    fn of_sizes(sizes: &[usize]) -> Dataset {
        let most = sizes.iter().copied().max().unwrap_or(0);
        let all = (0..most).flat_map(|number| {
            let labels = (0..sizes.len()).filter(move |&label| number < sizes[label]);
            labels.map(move |label| Example {
                text: format!("{label}-{number}"),
                label: label.to_string(),
            })
        });
        Dataset::from_examples(all.collect()).unwrap().0
    }

    fn of_label<'a>(data: &'a Dataset, label: &str) -> BTreeSet<&'a str> {
        let examples = data
            .examples()
            .iter()
            .filter(|example| example.label == label);
        examples.map(|example| example.text.as_str()).collect()
    }

    proptest! {
        #[test]
        fn jsonl_written_then_read_is_the_same(rows in rows()) {
            prop_assert_eq!(fields("a.jsonl", &written(&rows, OutputFormat::Jsonl)), rows);
        }

        #[test]
        fn csv_written_then_read_is_the_same(rows in rows()) {
            let blank = |row: &Map<String, Value>| {
                row.values().all(|cell| cell.as_str().is_some_and(|cell| cell.trim().is_empty()))
            };
            let kept = rows.iter().rposition(|row| !blank(row)).map_or(0, |last| last + 1);
            prop_assert_eq!(fields("a.csv", &written(&rows, OutputFormat::Csv)), &rows[..kept]);
        }

        #[test]
        fn a_json_document_reads_like_serde_json(rows in rows(), pretty: bool) {
            let document = json!(rows);
            let text = if pretty { format!("{document:#}") } else { document.to_string() };
            prop_assert_eq!(fields("a.json", text.as_bytes()), rows);
        }

        #[test]
        fn rows_of_a_csv_are_those_of_the_csv_crate(rows in "[a\"\n]{0,12}") {
            let text = format!("text\n{rows}");
            match records("a.csv", &text) {
                Ok(records) => {
                    let mut reader = csv::Reader::from_reader(text.as_bytes());
                    let expected: Vec<_> = reader.records().map(|row| row.unwrap()[0].to_owned()).collect();
                    let got: Vec<_> = records.into_iter().map(|record| record.text).collect();
                    prop_assert_eq!(got, expected);
                }
                Err(error) => prop_assert!(matches!(error, DataError::UnclosedQuote { .. }), "{}", error),
            }
        }

        #[test]
        fn no_input_makes_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in awkward()) {
            for name in ["a.jsonl", "a.csv", "a.tsv", "a.txt", "a.json", "a.txt.gz", "a.txt.zst", "pipe"] {
                let _ = records(name, &bytes);
                let _ = records(name, format!("[{text}]{text}"));
                let _ = records(name, format!("{{{text}"));
            }
        }

        #[test]
        fn table_lines_hold_nothing_that_disturbs(rows in rows()) {
            let table = String::from_utf8(written(&rows, OutputFormat::Table)).unwrap();
            prop_assert!(table.ends_with('\n'));
            prop_assert!(table.lines().all(|line| !line.contains(char::is_control)));
            prop_assert!(table.lines().count() > rows.len());
        }

        #[test]
        fn a_draw_has_exactly_its_shots((sizes, shots, seed) in drawable()) {
            let data = of_sizes(&sizes);
            let drawn = data.draw(shots, seed).unwrap();
            prop_assert_eq!(drawn.labels(), data.labels());
            prop_assert_eq!(drawn.examples().len(), shots * sizes.len());
            for label in data.labels().names() {
                let texts = of_label(&drawn, label);
                prop_assert_eq!(texts.len(), shots);
                prop_assert!(texts.is_subset(&of_label(&data, label)));
            }
            prop_assert_eq!(data.draw(shots, seed).unwrap(), drawn);
        }

        #[test]
        fn a_label_is_drawn_without_regard_to_the_others((mut sizes, shots, seed) in drawable()) {
            let with = of_sizes(&sizes).draw(shots, seed).unwrap();
            sizes.truncate(1);
            let without = of_sizes(&sizes).draw(shots, seed).unwrap();
            prop_assert_eq!(of_label(&with, "0"), of_label(&without, "0"));
        }

        #[test]
        fn fewer_shots_are_part_of_more((sizes, shots, seed) in drawable()) {
            let data = of_sizes(&sizes);
            let (fewer, more) = (data.draw(shots, seed).unwrap(), data.draw(4, seed).unwrap());
            prop_assert!(fewer.examples().iter().all(|example| more.examples().contains(example)));
        }

        #[test]
        fn other_seeds_draw_otherwise(seed: u64) {
            let data = of_sizes(&[40]);
            prop_assert_ne!(data.draw(20, seed).unwrap(), data.draw(20, seed ^ 1).unwrap());
        }
    }
}
