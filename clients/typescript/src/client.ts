/** Where everything begins. */

import { Accounts } from "./api/accounts.js";
import { Events } from "./api/events.js";
import { Health } from "./api/health.js";
import { Images } from "./api/images.js";
import { Messages } from "./api/messages.js";
import { Search } from "./api/search.js";
import { Sessions } from "./api/sessions.js";
import { Trash } from "./api/trash.js";
import { SyncClient, type SyncOptions } from "./sync/client.js";
import { Transport, type TransportOptions } from "./transport.js";

/** One device: its calls, by noun, and `sync` to hear what other devices do. */
export class NanobananaClient {
  readonly transport: Transport;
  readonly accounts: Accounts;
  readonly sessions: Sessions;
  readonly trash: Trash;
  readonly messages: Messages;
  readonly images: Images;
  readonly search: Search;
  readonly events: Events;
  readonly health: Health;

  constructor(url: string, options: TransportOptions = {}) {
    this.transport = new Transport(url, options);
    this.accounts = new Accounts(this.transport);
    this.sessions = new Sessions(this.transport);
    this.trash = new Trash(this.transport);
    this.messages = new Messages(this.transport);
    this.images = new Images(this.transport);
    this.search = new Search(this.transport);
    this.events = new Events(this.transport);
    this.health = new Health(this.transport);
  }

  /** A SyncClient in these sessions; `since` is the `syncCursor` of what is shown. */
  sync(sessionIds: Iterable<string>, options: SyncOptions = {}): SyncClient {
    return new SyncClient(this, sessionIds, options);
  }
}
