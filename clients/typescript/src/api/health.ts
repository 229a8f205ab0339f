/** How the server is. */

import type { Health as Report } from "../models.js";
import type { CallOptions } from "../transport.js";
import { Resource } from "./resource.js";

const UNAVAILABLE = 503;

export class Health extends Resource {
  /** Also when a service it needs is down: `status` says it. */
  async check(options: CallOptions = {}): Promise<Report> {
    return this.fetch("/health", { ...options, credentials: "none", retries: 0, alsoRight: UNAVAILABLE });
  }
}
