//! The methods of the contract, found by the type of their request.

use std::future::Future;

use tonic::{Request, Response, Status, Streaming};

use crate::v1;
use crate::wire::Wire;

/// A request with one reply.
pub(crate) trait Unary: prost::Message + Clone + 'static {
    type Reply: Send + 'static;

    fn send(
        request: Request<Self>,
        wire: &Wire,
    ) -> impl Future<Output = Result<Response<Self::Reply>, Status>> + Send;
}

/// A request with a stream of replies.
pub(crate) trait Streamed: prost::Message + Clone + 'static {
    type Reply: Send + 'static;

    fn open(
        request: Request<Self>,
        wire: &Wire,
    ) -> impl Future<Output = Result<Response<Streaming<Self::Reply>>, Status>> + Send;
}

macro_rules! methods {
    ($($service:ident { $(unary $unary:ident($unary_request:ident) -> $unary_reply:ident;)* $(stream $stream:ident($request:ident) -> $reply:ident;)* })+) => {
        $(
            $(impl Unary for v1::$unary_request {
                type Reply = v1::$unary_reply;

                async fn send(
                    request: Request<Self>,
                    wire: &Wire,
                ) -> Result<Response<Self::Reply>, Status> {
                    wire.$service().$unary(request).await
                }
            })*
            $(impl Streamed for v1::$request {
                type Reply = v1::$reply;

                async fn open(
                    request: Request<Self>,
                    wire: &Wire,
                ) -> Result<Response<Streaming<Self::Reply>>, Status> {
                    wire.$service().$stream(request).await
                }
            })*
        )+
    };
}

methods! {
    runs {
        unary run(RunRequest) -> RunResponse;
        unary continue_run(ContinueRunRequest) -> ContinueRunResponse;
        unary wait_run(WaitRunRequest) -> WaitRunResponse;
        unary get_run(GetRunRequest) -> GetRunResponse;
        unary cancel_run(CancelRunRequest) -> CancelRunResponse;
        unary list_runs(ListRunsRequest) -> ListRunsResponse;
        unary list_run_events(ListRunEventsRequest) -> ListRunEventsResponse;
        stream run_stream(RunStreamRequest) -> RunStreamResponse;
        stream continue_run_stream(ContinueRunStreamRequest) -> ContinueRunStreamResponse;
        stream watch_run(WatchRunRequest) -> WatchRunResponse;
    }
    requirements {
        unary get_requirement(GetRequirementRequest) -> GetRequirementResponse;
        unary list_requirements(ListRequirementsRequest) -> ListRequirementsResponse;
        unary resolve_requirement(ResolveRequirementRequest) -> ResolveRequirementResponse;
        unary claim_requirement(ClaimRequirementRequest) -> ClaimRequirementResponse;
        unary renew_claim(RenewClaimRequest) -> RenewClaimResponse;
        unary release_claim(ReleaseClaimRequest) -> ReleaseClaimResponse;
        stream watch_requirements(WatchRequirementsRequest) -> WatchRequirementsResponse;
    }
    workflows {
        unary get_workflow(GetWorkflowRequest) -> GetWorkflowResponse;
        unary list_workflows(ListWorkflowsRequest) -> ListWorkflowsResponse;
    }
    sessions {
        unary get_session(GetSessionRequest) -> GetSessionResponse;
        unary update_session(UpdateSessionRequest) -> UpdateSessionResponse;
    }
}
