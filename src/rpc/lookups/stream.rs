//! `StreamResolve`: batches in, one framed answer out for each, in order.

use super::messages::KeptMessage;
use super::unary::batch;
use crate::auth::Pass;
use crate::overload::{Priority, ThreadLoad};
use crate::resolve::{ReadTerms, Resolver};
use crate::rpc::counters::CountedCall;
use crate::rpc::memory::ConnectionMemory;
use crate::rpc::response::{self, unless_gone};
use crate::rpc::status::{self, CallFault};
use aka_core::clock::Boottime;
use bytes::Bytes;
use futures::stream::{Stream, StreamExt};
use h2::server::SendResponse;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Code, Status};

/// How many requests of one stream are worked on at once.
const STREAM_AHEAD: usize = 2;

/// How much of a stream is answered while its thread is late.
pub struct StreamPriority {
    pub load: Arc<ThreadLoad>,
    pub priority: Priority,
}

/// The answers to the requests, in order. `limit` is how long the server works on one request;
/// `end` is when the client stops waiting for the whole stream.
pub fn resolve_stream(
    resolver: Arc<Resolver>,
    requests: impl Stream<Item = Result<KeptMessage, Status>> + Send + 'static,
    pass: Pass,
    limit: Duration,
    end: Boottime,
    StreamPriority { load, priority }: StreamPriority,
) -> impl Stream<Item = Result<Bytes, Status>> + Send + 'static {
    let answers = requests
        .map(move |request| {
            let (resolver, pass) = (resolver.clone(), pass.clone());
            let may_load = load.admits(|| priority);
            async move {
                let arrived = Boottime::now();
                let until = arrived.plus(limit).min(end);
                if arrived >= until {
                    return Err(CallFault::DeadlineExceeded.into());
                }
                let request = request?;
                // A stream sends no more than it is answered, so only those in the background end.
                if !may_load && priority == Priority::Background {
                    return Err(status::read(&resolver.late()).into());
                }
                batch(&resolver, request, &pass, ReadTerms { arrived, until, may_load }).await
            }
        })
        .buffered(STREAM_AHEAD);
    // An error ends the stream, so no request after it is begun.
    answers.scan(false, |failed, answer| {
        let over = std::mem::replace(failed, answer.is_err());
        std::future::ready((!over).then_some(answer))
    })
}

/// Sends the answers as fast as the client reads them. What it has not read is held in `memory`.
///
/// # Errors
/// If the client has left.
pub async fn answer_stream(
    mut call: CountedCall,
    mut respond: SendResponse<Bytes>,
    answers: impl Stream<Item = Result<Bytes, Status>>,
    memory: ConnectionMemory,
) -> Result<(), h2::Error> {
    let mut stream = response::begin(&mut respond)?;
    let mut answers = pin!(answers);
    let status = loop {
        match unless_gone(|context| stream.poll_reset(context), answers.next()).await? {
            Some(Ok(answer)) => {
                if let Err(status) = response::send(&mut stream, answer, &memory).await? {
                    break Some(status);
                }
            }
            Some(Err(status)) => break Some(status),
            None => break None,
        }
    };
    response::end(&mut stream, status.as_ref())?;
    call.code = Some(status.map_or(Code::Ok, |status| status.code()));
    Ok(())
}
