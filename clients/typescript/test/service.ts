import { createServer, type Http2Server } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { Client, type ClientOptions } from "@interlock-dev/interlock";
import * as v1 from "@interlock-dev/interlock/v1";
import { ErrorInfoSchema } from "#dist/gen/google/rpc/error_details_pb.js";

/**
 * A real gRPC server in this process, with methods of a test in place of Interlock's. What they
 * stand for is a server at one moment of its life that is hard to bring about otherwise.
 */
export class FakeService {
  readonly #server: Http2Server;
  readonly #sockets = new Set<Socket>();
  readonly #clients: Client[] = [];

  private constructor(server: Http2Server) {
    this.#server = server;
    server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
  }

  static async start(methods: {
    runs?: Partial<ServiceImpl<typeof v1.RunService>>;
    requirements?: Partial<ServiceImpl<typeof v1.RequirementService>>;
  }): Promise<FakeService> {
    const handler = connectNodeAdapter({
      routes(router) {
        router.service(v1.RunService, methods.runs ?? {});
        router.service(v1.RequirementService, methods.requirements ?? {});
      },
    });
    const server = createServer(handler);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new FakeService(server);
  }

  get target(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** A client of this server, which is closed with it. */
  client(options?: ClientOptions): Client {
    const client = new Client(this.target, options);
    this.#clients.push(client);
    return client;
  }

  /** Breaks every connection. */
  cut(): void {
    for (const socket of this.#sockets) {
      socket.destroy();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) {
      client.close();
    }
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** An error as Interlock sends it. */
export function failure(code: Code, reason: string): ConnectError {
  const info = create(ErrorInfoSchema, { reason, domain: "interlock.dev" });
  return new ConnectError(reason, code, undefined, [{ desc: ErrorInfoSchema, value: info }]);
}

export function unavailable(): ConnectError {
  return failure(Code.Unavailable, "SERVER_SHUTDOWN");
}

/** A reply of a stream with one event in it. */
export function reply(
  sequence: number,
  event: Exclude<MessageInitShape<typeof v1.RunEventSchema>["event"], undefined>,
) {
  const one = create(v1.RunEventSchema, { runId: "r", sequence: BigInt(sequence), event });
  return { payload: { case: "events" as const, value: { events: [one] } } };
}

/** Resolves when it is told. */
export class Flag {
  readonly isUp: Promise<void>;
  #raise = () => {};

  constructor() {
    this.isUp = new Promise((resolve) => {
      this.#raise = resolve;
    });
  }

  raise(): void {
    this.#raise();
  }
}

/** Resolves when a signal aborts. */
export async function aborted(signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    signal.addEventListener("abort", () => resolve());
    if (signal.aborted) {
      resolve();
    }
  });
}
