/** The tokens of a device, and where they are kept. */

export interface Tokens {
  token: string;
  refreshToken: string;
}

/** Keeps tokens between runs. A refresh token is good once, so `save` is called with every new one. */
export interface TokenStore {
  load(): Tokens | null | Promise<Tokens | null>;
  /** null: signed out. */
  save(tokens: Tokens | null): void | Promise<void>;
}

/** Forgets them at the end of the page. */
export class MemoryTokens implements TokenStore {
  constructor(private tokens: Tokens | null = null) {}

  load(): Tokens | null {
    return this.tokens;
  }

  save(tokens: Tokens | null): void {
    this.tokens = tokens;
  }
}

/** Keeps them in the browser; all tabs of the page share them, and are one device. */
export class BrowserTokens implements TokenStore {
  constructor(private readonly key = "nanobanana") {}

  load(): Tokens | null {
    return JSON.parse(localStorage.getItem(this.key) ?? "null") as Tokens | null;
  }

  save(tokens: Tokens | null): void {
    if (tokens) localStorage.setItem(this.key, JSON.stringify(tokens));
    else localStorage.removeItem(this.key);
  }
}

export function tokensOf({ token, refreshToken }: Tokens): Tokens {
  return { token, refreshToken };
}
