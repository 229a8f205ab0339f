// One process for all checks. What a failed one leaves open does not keep it from its end.
import { after } from "node:test";

await import("./calls.mjs");
await import("./transport.mjs");
await import("./sync.mjs");
after(() => setTimeout(() => process.exit(), 200).unref());
