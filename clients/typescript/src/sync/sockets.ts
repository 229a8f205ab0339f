/** One WebSocket: opened, read, closed. However it ends, there is a code that says how. */

import type { Frame } from "./notices.js";

const OPEN_TIMEOUT = 10; // seconds
export const CUT = 1006; // closed without a code: the connection was cut, or never came about

export type WebSocketClass = typeof WebSocket;

export class Socket {
  constructor(private readonly socket: WebSocket) {}

  /** A frame to a socket that is gone is dropped: the next connection starts with what is so then. */
  send(type: string, payload: object = {}): void {
    if (this.socket.readyState === 1) this.socket.send(JSON.stringify({ type, payload }));
  }
}

export interface Listening {
  address: string;
  webSocket: WebSocketClass;
  /** Seconds without a frame after which the peer is as good as gone. */
  silence: number;
  signal: AbortSignal;
  receive: (frame: Frame, socket: Socket) => void;
}

/** Hand over each frame until the socket closes; the answer is its close code. */
export function listen({ address, webSocket, silence, signal, receive }: Listening): Promise<number> {
  return new Promise((resolve) => {
    const socket = made(webSocket, address);
    if (!socket) return resolve(CUT);
    const ours = new Socket(socket);
    let timer = setTimeout(() => finish(CUT), OPEN_TIMEOUT * 1000);
    const stop = () => finish(CUT);
    const finish = (code: number) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
      socket.onopen = socket.onmessage = socket.onerror = socket.onclose = null; // what still comes, comes again by `since`
      if (socket.readyState < 2) socket.close();
      resolve(code);
    };
    const expectMore = () => {
      clearTimeout(timer);
      timer = setTimeout(() => finish(CUT), silence * 1000);
    };
    socket.onopen = expectMore;
    socket.onmessage = ({ data }) => {
      expectMore();
      receive(JSON.parse(data as string) as Frame, ours);
    };
    socket.onerror = () => setTimeout(() => finish(CUT)); // `close` comes with it, but not in Node 20
    socket.onclose = ({ code }) => finish(code);
    signal.addEventListener("abort", stop);
    if (signal.aborted) stop();
  });
}

/** null where a page's policy, or the browser's settings, forbid it. */
function made(webSocket: WebSocketClass, address: string): WebSocket | null {
  try {
    return new webSocket(address);
  } catch {
    return null;
  }
}

/** The first session stands in the path, the others are joined from the start. */
export function addressOf(url: string, sessionIds: string[], ticket: string, since: string | null): string {
  const [first, ...others] = sessionIds;
  const query = new URLSearchParams({ ticket });
  if (since) query.set("since", since);
  if (others.length) query.set("join", others.join(","));
  return `${url.replace(/^http/, "ws")}/ws/${first}?${query}`;
}
