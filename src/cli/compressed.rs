//! Reads files that may be compressed. Their first bytes count, not their names.

use super::fault::CliFault;
use flate2::bufread::MultiGzDecoder;
use std::io::{self, BufReader, Cursor, ErrorKind, Read};

/// How many bytes say what a file is.
const MAGIC_BYTES: usize = 4;
/// The most that a zstd stream may make us remember, as a power of two: 128 MiB. It is what zstd
/// itself takes without being asked.
const WINDOW_LOG: u32 = 27;

/// What the first bytes of a file say about it.
#[derive(Debug, PartialEq, Eq)]
enum Packing {
    Plain,
    Gzip,
    Zstd,
    /// Nothing that can be read here. The text says what to do.
    Foreign(&'static str),
}

impl Packing {
    fn of(first: &[u8]) -> Self {
        match first {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // A frame, or a part that decoders skip: some programs begin with one.
            [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Self::Zstd,
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
                Self::Foreign("it is UTF-16: save it as UTF-8, or convert it with iconv")
            }
            b"PK\x03\x04" => Self::Foreign(
                "it is a zip archive or a spreadsheet: unpack it, or save the sheet as CSV",
            ),
            [0xfd, b'7', b'z', b'X'] => {
                Self::Foreign("it is compressed with xz: pipe it through xz -dc")
            }
            [b'B', b'Z', b'h', b'1'..=b'9'] => {
                Self::Foreign("it is compressed with bzip2: pipe it through bzip2 -dc")
            }
            _ => Self::Plain,
        }
    }
}

/// The content of a file: inflated if its first bytes say that it is gzip or zstd.
///
/// # Errors
/// If the first bytes cannot be read, or belong to a file that cannot be read here.
pub(super) fn inflated<R: Read + Send + 'static>(
    mut input: R,
) -> Result<Box<dyn Read + Send>, CliFault> {
    let (mut first, mut known) = ([0; MAGIC_BYTES], 0);
    while known < MAGIC_BYTES {
        match input.read(&mut first[known..]) {
            Ok(0) => break,
            Ok(read) => known += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(cannot_read(error)),
        }
    }
    let packing = Packing::of(&first[..known]);
    let whole = Cursor::new(first).take(known as u64).chain(input);
    Ok(match packing {
        Packing::Plain => Box::new(whole),
        Packing::Gzip => {
            let decoder = MultiGzDecoder::new(BufReader::new(whole));
            Box::new(Inflating { decoder, name: "gzip" })
        }
        Packing::Zstd => {
            let mut decoder = zstd::Decoder::new(whole).map_err(cannot_read)?;
            decoder.window_log_max(WINDOW_LOG).map_err(cannot_read)?;
            Box::new(Inflating { decoder, name: "zstd" })
        }
        Packing::Foreign(advice) => {
            return Err(CliFault::Usage(format!("the file cannot be read: {advice}")));
        }
    })
}

/// A decoder whose errors say what it reads.
struct Inflating<D> {
    decoder: D,
    name: &'static str,
}

impl<D: Read> Read for Inflating<D> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.decoder.read(to).map_err(|error| {
            let text = format!("its {} data is damaged or cut off: {error}", self.name);
            io::Error::new(error.kind(), text)
        })
    }
}

/// What a failed read of a file means.
pub(super) fn cannot_read(source: io::Error) -> CliFault {
    match source.kind() {
        ErrorKind::IsADirectory => CliFault::Usage("that is a folder, not a file".to_owned()),
        _ => CliFault::Io { what: "cannot read the file", source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).expect("a Vec takes it");
        encoder.finish().expect("a Vec takes it")
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        zstd::encode_all(text, 3).expect("it can be compressed")
    }

    fn read(file: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        let mut input = inflated(Cursor::new(file)).expect("its first bytes are known");
        input.read_to_end(&mut text).map(|_| text)
    }

    #[test]
    fn a_file_is_what_its_first_bytes_say() {
        for text in [&b""[..], b"a", b"abc", b"{\"a\":1}\n"] {
            assert_eq!(read(text.to_vec()).expect("it is plain"), text);
        }
        // Members and frames that stand one behind the other are one file.
        let skipped = [&[0x5a, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 7, 7][..], &zstd(b"ab")].concat();
        for file in [[gzip(b"a"), gzip(b"b")].concat(), [zstd(b"a"), zstd(b"b")].concat(), skipped]
        {
            assert_eq!(read(file).expect("it is whole"), b"ab");
        }
    }

    #[test]
    fn a_part_of_a_file_is_an_error() {
        for (file, name) in [(gzip(b"a,b,c\n"), "gzip"), (zstd(b"a,b,c\n"), "zstd")] {
            let error = read(file[..file.len() - 3].to_vec()).expect_err("it is cut off");
            assert!(error.to_string().contains(name), "{error}");
        }
        for file in [&b"\xff\xfea\0"[..], b"\xfe\xff", b"PK\x03\x04", b"\xfd7zXZ", b"BZh9"] {
            assert!(matches!(inflated(file), Err(CliFault::Usage(_))), "{file:?}");
        }
    }
}
