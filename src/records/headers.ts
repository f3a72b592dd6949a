/** Header names are spelled here and nowhere else. */

/** Of a source record without a value, in ms since 1970: nothing older follows in its partition. */
export const sourceHeartbeatHeader = 'freshet-heartbeat'

/** Of an items record, in ms since 1970: when the change happened. Without it, that is when the record came. */
export const eventTimeHeader = 'freshet-event-time'
