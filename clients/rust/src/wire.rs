//! Calls: the connection, deadlines, and attempts while the server is unavailable.

use std::collections::HashMap;
use std::time::Duration;

use prost::Message;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt};

use crate::Error;
use crate::backoff::Backoff;
use crate::methods::{Streamed, Unary};
use crate::v1::requirement_service_client::RequirementServiceClient;
use crate::v1::run_service_client::RunServiceClient;
use crate::v1::session_service_client::SessionServiceClient;
use crate::v1::workflow_service_client::WorkflowServiceClient;

const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The reason of the contract for what is too large.
pub(crate) const SIZE_LIMIT_EXCEEDED: &str = "SIZE_LIMIT_EXCEEDED";

/// A connection, and how it is used.
#[derive(Debug, Clone)]
pub(crate) struct Wire {
    pub(crate) channel: Channel,
    /// Sent with every call.
    pub(crate) authorization: Option<MetadataValue<Ascii>>,
    /// Deadline of a call with its attempts. A call that waits has it on top of the wait.
    pub(crate) timeout: Option<Duration>,
    /// How long to try again while the server is unavailable.
    pub(crate) retry_timeout: Duration,
}

macro_rules! services {
    ($($name:ident: $client:ident;)+) => {
        $(pub(crate) fn $name(&self) -> $client<Channel> {
            $client::new(self.channel.clone())
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX)
        })+
    };
}

impl Wire {
    services! {
        runs: RunServiceClient;
        requirements: RequirementServiceClient;
        workflows: WorkflowServiceClient;
        sessions: SessionServiceClient;
    }

    pub(crate) fn backoff(&self) -> Backoff {
        Backoff::new(self.retry_timeout)
    }

    /// Makes a call.
    pub(crate) async fn call<M: Unary>(&self, message: M) -> Result<M::Reply, Error> {
        self.call_waiting(message, Duration::ZERO).await
    }

    /// Makes a call in which the server may wait so long before it replies. The message is sent
    /// again as it is, request id included.
    pub(crate) async fn call_waiting<M: Unary>(
        &self,
        message: M,
        wait: Duration,
    ) -> Result<M::Reply, Error> {
        let deadline = self
            .timeout
            .and_then(|timeout| Instant::now().checked_add(timeout.saturating_add(wait)));
        let mut backoff = self.backoff();
        loop {
            let error = match self.attempt(message.clone(), deadline).await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            match backoff.next(&error) {
                Some(delay) if deadline.is_none_or(|end| Instant::now() + delay < end) => {
                    sleep(delay).await;
                }
                _ => return Err(error),
            }
        }
    }

    /// Starts a call that streams replies; dropping the stream cancels it.
    pub(crate) async fn open<M: Streamed>(
        &self,
        message: M,
    ) -> Result<Streaming<M::Reply>, Status> {
        Ok(M::open(self.request(message)?, self).await?.into_inner())
    }

    async fn attempt<M: Unary>(
        &self,
        message: M,
        deadline: Option<Instant>,
    ) -> Result<M::Reply, Error> {
        let mut request = self.request(message)?;
        let Some(end) = deadline else {
            return Ok(M::send(request, self).await?.into_inner());
        };
        request.set_timeout(end - Instant::now());
        match timeout_at(end, M::send(request, self)).await {
            Ok(response) => Ok(response?.into_inner()),
            Err(_) => Err(Error::deadline_exceeded()),
        }
    }

    fn request<M: Message>(&self, message: M) -> Result<Request<M>, Status> {
        // Found out later, it would look like a connection that was lost.
        let size = message.encoded_len();
        if size > MESSAGE_BYTES_MAX {
            return Err(too_large(size));
        }
        let mut request = Request::new(message);
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        Ok(request)
    }
}

fn too_large(size: usize) -> Status {
    let limit = HashMap::from([("limit".to_owned(), MESSAGE_BYTES_MAX.to_string())]);
    let details = ErrorDetails::with_error_info(SIZE_LIMIT_EXCEEDED, "interlock.dev", limit);
    let why = format!("a request of {size} bytes is larger than {MESSAGE_BYTES_MAX}");
    Status::with_error_details(Code::ResourceExhausted, why, details)
}
