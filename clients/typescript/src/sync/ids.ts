/** The sessions that a device can be in, as the server takes them. */

const MOST_SESSIONS = 100;
const ID = /^(?:[0-6][0-9A-HJKMNP-TV-Z]|7[0-5])[0-9A-HJKMNP-TV-Z]{24}$/; // a ULID

/** These ids; RangeError at once for what the server would refuse, and a poll as a whole for one of them. */
export function checked(sessionIds: string[]): string[] {
  for (const id of sessionIds) {
    if (!ID.test(id)) throw new RangeError(`This is not the id of a session: ${JSON.stringify(id)}.`);
  }
  if (sessionIds.length > MOST_SESSIONS) throw new RangeError(`A device can be in ${MOST_SESSIONS} sessions at once.`);
  return sessionIds;
}
