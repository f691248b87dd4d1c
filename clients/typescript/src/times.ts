import { create } from "@bufbuild/protobuf";
import {
  type Duration,
  DurationSchema,
  durationMs,
  type Timestamp,
  timestampDate,
} from "@bufbuild/protobuf/wkt";

/** A duration for a request; the shell counts in milliseconds. */
export function duration(ms: number): Duration {
  const seconds = Math.floor(ms / 1000);
  const nanos = Math.floor((ms - seconds * 1000) * 1e6);
  return create(DurationSchema, { seconds: BigInt(seconds), nanos });
}

/** Milliseconds of a duration. */
export function milliseconds(message: Duration | undefined): number | undefined {
  return message && durationMs(message);
}

/** A time of the server; `undefined` when it is not set. */
export function moment(message: Timestamp | undefined): Date | undefined {
  return message && timestampDate(message);
}
