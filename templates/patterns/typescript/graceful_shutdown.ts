/**
 * Graceful shutdown for a Node HTTP server: not ready first, then no new connections, then the work in flight, then pools.
 *
 * Guarantees: after SIGTERM `isReady()` is false at once while requests are still served for `leadMs`, so that load balancers
 *   stop sending before the socket closes; idle keep-alive connections are closed then and responses say
 *   `Connection: close`; requests in flight get up to `drainMs`; `onStop` runs after the last of them; the exit code is 0.
 * Needs: Node >= 18.2. keepAliveTimeout must be longer than the load balancer's idle timeout (Node's 5 s behind a 60 s
 *   balancer is where 502s come from): it is set to 65 s here. In Kubernetes terminationGracePeriodSeconds > lead + drain.
 * Fails: requests that outlive `drainMs` lose their connection. A second signal ends the waiting.
 * Prove: npm test
 */
import type { Server } from "node:http";

export interface ShutdownOptions {
  onStop: () => Promise<void>;
  leadMs?: number;
  drainMs?: number;
}

/** Install the signal handlers and return what `/readyz` asks. */
export function installShutdown(server: Server, { onStop, leadMs = 10_000, drainMs = 20_000 }: ShutdownOptions): () => boolean {
  server.keepAliveTimeout = 65_000;
  server.headersTimeout = 66_000;
  let stopping = false;
  let hurry = (): void => undefined;
  server.prependListener("request", (_request, response) => {
    if (stopping) response.setHeader("connection", "close");
  });

  const wait = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      hurry = () => {
        clearTimeout(timer);
        resolve();
      };
    });

  const stop = async (): Promise<void> => {
    await wait(leadMs);
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    // A keep-alive connection whose last answer was begun before the signal becomes idle only now and then.
    const sweeping = setInterval(() => server.closeIdleConnections(), 100);
    await Promise.race([closed, wait(drainMs)]);
    clearInterval(sweeping);
    server.closeAllConnections();
    await closed;
    await onStop();
    process.exit(0);
  };

  const onSignal = (): void => {
    if (stopping) return hurry();
    stopping = true;
    stop().catch((error: unknown) => {
      console.error(error);
      process.exit(1);
    });
  };
  process.on("SIGTERM", onSignal).on("SIGINT", onSignal);
  return () => !stopping;
}
