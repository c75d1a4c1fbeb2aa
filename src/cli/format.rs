//! The forms that rows of aliases are written in.

use clap::ValueEnum;
use std::path::Path;

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON object a line
    Ndjson,
    /// Comma-separated values, with a header
    Csv,
}

impl Format {
    /// The format that the name of a file suggests.
    pub fn of(path: &Path) -> Self {
        match extension(path).as_str() {
            "csv" | "tsv" => Self::Csv,
            _ => Self::Ndjson,
        }
    }
}

/// The byte between two fields that the name of a file suggests.
pub(super) fn delimiter_of(path: &Path) -> u8 {
    match extension(path).as_str() {
        "tsv" => b'\t',
        _ => b',',
    }
}

/// The end of a file's name in small letters, less that of a compressed file: `csv` of `a.CSV.gz`.
fn extension(path: &Path) -> String {
    let last = |path: &Path| {
        path.extension().map(|end| end.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
    };
    match last(path).as_str() {
        "gz" | "zst" => last(&path.with_extension("")),
        end => end.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_says_how_it_is_written() {
        for (name, format, delimiter) in [
            ("a.CSV", Format::Csv, b','),
            ("a.b.csv.gz", Format::Csv, b','),
            ("a.tsv.zst", Format::Csv, b'\t'),
            ("a.ndjson.gz", Format::Ndjson, b','),
            ("csv", Format::Ndjson, b','),
            ("a.gz", Format::Ndjson, b','),
        ] {
            let path = Path::new(name);
            assert_eq!((Format::of(path), delimiter_of(path)), (format, delimiter), "{name}");
        }
    }
}
