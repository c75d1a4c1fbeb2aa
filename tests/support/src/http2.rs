//! Raw HTTP/2 frames (RFC 9113), for clients that behave as no library does.

/// The preface, which every client sends first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// An empty SETTINGS frame.
pub const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// The type of a frame that cancels a call.
pub const RST_STREAM: u8 = 3;
/// The type of a ping.
pub const PING: u8 = 6;
/// The type of a frame that ends a connection.
pub const GOAWAY: u8 = 7;

/// A HEADERS frame that begins a call, and does not end its stream.
pub fn headers(stream: u32) -> Vec<u8> {
    headers_of(stream, "/aka.v1.Resolver/BatchResolve")
}

/// The same for a call of this path.
pub fn headers_of(stream: u32, path: &str) -> Vec<u8> {
    // HPACK: ":method: POST" and ":scheme: http" by number, ":path" and "content-type" spelled out.
    let mut block = vec![0x83, 0x86, 0x04, path.len() as u8];
    block.extend(path.as_bytes());
    block.extend(b"\x0f\x10\x10application/grpc");
    frame(1, 4, stream, &block)
}

/// DATA frames with these bytes. `last`: they end the stream.
pub fn data(stream: u32, bytes: &[u8], last: bool) -> Vec<u8> {
    let parts = bytes.len().div_ceil(LONGEST_FRAME).max(1);
    let part = |(index, part)| frame(0, u8::from(last && index + 1 == parts), stream, part);
    bytes.chunks(LONGEST_FRAME).enumerate().flat_map(part).collect()
}

/// The longest payload of a frame that every server takes.
const LONGEST_FRAME: usize = 16_384;

/// A frame of this type, with a payload of at most 16,384 bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).expect("it is short").to_be_bytes();
    [&length[..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}
