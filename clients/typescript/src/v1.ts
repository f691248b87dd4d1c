/**
 * The contract as it is generated from `proto/interlock/v1`: messages, enums and services.
 *
 * @module
 */

export * from "./gen/interlock/v1/error_reason_pb.js";
export * from "./gen/interlock/v1/event_pb.js";
export * from "./gen/interlock/v1/requirement_pb.js";
export * from "./gen/interlock/v1/requirement_service_pb.js";
export * from "./gen/interlock/v1/run_pb.js";
export * from "./gen/interlock/v1/run_service_pb.js";
export * from "./gen/interlock/v1/session_pb.js";
export * from "./gen/interlock/v1/session_service_pb.js";
export * from "./gen/interlock/v1/workflow_pb.js";
export * from "./gen/interlock/v1/workflow_service_pb.js";
