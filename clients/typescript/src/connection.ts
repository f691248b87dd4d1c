import type { SecureClientSessionOptions } from "node:http2";
import { type Client, createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { RequirementService, RunService, SessionService, WorkflowService } from "./v1.js";

/** The generated clients of the contract's services, on one connection. */
export interface Services {
  readonly runs: Client<typeof RunService>;
  readonly requirements: Client<typeof RequirementService>;
  readonly workflows: Client<typeof WorkflowService>;
  readonly sessions: Client<typeof SessionService>;
}

/** Whom to trust, and who to be. Certificates and keys are in PEM. */
export interface TlsOptions {
  /** Root certificates to trust in place of the system's. */
  readonly ca?: string | Uint8Array | undefined;
  /** The client's own certificate, for servers that ask for one. */
  readonly cert?: string | Uint8Array | undefined;
  /** The key of that certificate. */
  readonly key?: string | Uint8Array | undefined;
  /** The name in the server's certificate, when it is not that in the target. */
  readonly serverName?: string | undefined;
}

const MESSAGE_BYTES_MAX = 16 * 1024 * 1024;

/** The HTTP/2 connection to a server. It is opened when it is needed, and again when it broke. */
export class Connection {
  readonly services: Services;
  readonly #session: Http2SessionManager;

  constructor(target: string, tls: boolean | TlsOptions, metadata: Record<string, string>) {
    const baseUrl = `${tls ? "https" : "http"}://${target}`;
    // A connection that has died is noticed within 40 seconds, also while nothing is sent.
    const keepalive = { pingIntervalMs: 30_000, pingTimeoutMs: 10_000, pingIdleConnection: true };
    this.#session = new Http2SessionManager(baseUrl, keepalive, secureOptions(tls));
    const transport = createGrpcTransport({
      baseUrl,
      sessionManager: this.#session,
      interceptors: [sending(metadata)],
      readMaxBytes: MESSAGE_BYTES_MAX,
      writeMaxBytes: MESSAGE_BYTES_MAX,
    });
    this.services = {
      runs: createClient(RunService, transport),
      requirements: createClient(RequirementService, transport),
      workflows: createClient(WorkflowService, transport),
      sessions: createClient(SessionService, transport),
    };
  }

  /** Closes the connection, and the calls on it. */
  close(): void {
    this.#session.abort();
  }
}

function secureOptions(tls: boolean | TlsOptions): SecureClientSessionOptions {
  if (typeof tls === "boolean") {
    return {};
  }
  const { serverName, ...pem } = tls;
  // Node takes every kind of byte array, and its types only one.
  return { ...(pem as object), ...(serverName && { servername: serverName }) };
}

function sending(metadata: Record<string, string>): Interceptor {
  return (next) => (request) => {
    for (const [name, value] of Object.entries(metadata)) {
      request.header.set(name, value);
    }
    return next(request);
  };
}
