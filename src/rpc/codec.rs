//! Protobuf over gRPC, but bytes that are not the message are the client's fault.
//!
//! tonic's own codec answers `INTERNAL` to them, which makes operators look for a bug in the server.

use super::status::Fault;
use prost::Message;
use std::marker::PhantomData;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// The longest message, in bytes. `Resolve` allows less.
pub const MAX_MESSAGE: usize = 4 << 20;

/// The codec of every method of the contract.
pub struct ContractCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for ContractCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for ContractCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = Protobuf<T>;
    type Decoder = Protobuf<U>;

    fn encoder(&mut self) -> Protobuf<T> {
        Protobuf(PhantomData)
    }

    fn decoder(&mut self) -> Protobuf<U> {
        Protobuf(PhantomData)
    }
}

/// Encodes or decodes one type of message.
pub struct Protobuf<T>(PhantomData<T>);

impl<T: Message> Encoder for Protobuf<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buffer).map_err(|error| Fault::Internal(error.to_string()).into())
    }
}

impl<T: Message + Default + 'static> Decoder for Protobuf<T> {
    type Item = T;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<T>, Status> {
        T::decode(buffer).map(Some).map_err(|error| Fault::from(error).into())
    }
}
