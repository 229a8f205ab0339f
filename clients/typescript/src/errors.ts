/** What goes wrong, as one class. */

/** No answer came; `status` is 0. */
export const NETWORK_ERROR = "network_error";

/** It is not one of ours: a proxy's, perhaps. */
export const UNEXPECTED_ANSWER = "unexpected_answer";

export type Details = Record<string, string[]>;

export interface ErrorFields {
  details?: Details;
  requestId?: string;
  retryAfter?: number;
}

/**
 * The server refused, or could not be reached. `code` is one of docs/errors.md, or `network_error`.
 *
 * `details` maps fields to sentences, `retryAfter` is in seconds; `requestId` finds the server's log line.
 */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly details: Details;
  readonly requestId: string | undefined;
  readonly retryAfter: number | undefined;

  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    fields: ErrorFields = {},
  ) {
    super(message);
    this.details = fields.details ?? {};
    this.requestId = fields.requestId;
    this.retryAfter = fields.retryAfter;
  }

  /** Whether the same request may well succeed later. */
  get mayPass(): boolean {
    return [0, 408, 429].includes(this.status) || this.status >= 500;
  }
}

/** The error of an answer; a proxy's page counts as one too. */
export async function errorOf(response: Response): Promise<ApiError> {
  const body = await bodyOf(response);
  return new ApiError(
    response.status,
    body.error ?? UNEXPECTED_ANSWER,
    body.message ?? `The server answered ${response.status}.`,
    {
      details: body.details,
      requestId: body.requestId ?? response.headers.get("X-Request-Id") ?? undefined,
      retryAfter: secondsOf(response.headers.get("Retry-After")),
    },
  );
}

export function networkError(error: unknown): ApiError {
  const reason = error instanceof Error ? error.message : String(error);
  return new ApiError(0, NETWORK_ERROR, `The server cannot be reached: ${reason}.`);
}

/** The value of `Retry-After`; our servers say it in seconds, a date is left aside. */
function secondsOf(retryAfter: string | null): number | undefined {
  return retryAfter !== null && /^\d+$/.test(retryAfter) ? Number(retryAfter) : undefined;
}

interface ErrorBody extends ErrorFields {
  error?: string;
  message?: string;
}

async function bodyOf(response: Response): Promise<ErrorBody> {
  try {
    const body: unknown = await response.clone().json();
    return typeof body === "object" && body !== null ? body : {};
  } catch {
    return {};
  }
}
