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
    let path = b"/aka.v1.Resolver/BatchResolve";
    // HPACK: ":method: POST" and ":scheme: http" by number, ":path" and "content-type" spelled out.
    let mut block = vec![0x83, 0x86, 0x04, path.len() as u8];
    block.extend(path);
    block.extend(b"\x0f\x10\x10application/grpc");
    frame(1, 4, stream, &block)
}

/// A frame of this type, with a payload of less than 256 bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("it is short");
    [&[0, 0, length, kind, flags][..], &stream.to_be_bytes(), payload].concat()
}
