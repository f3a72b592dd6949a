import type { TopicNames } from './topics.ts'

/** Who has to do with a topic: roles by their names, and who stands outside. */
export type Party =
  | 'applications'
  | 'compactor'
  | 'controller'
  | 'gateway'
  | 'indexer'
  | 'ingest'
  | 'joiner'
  | 'learner'
  | 'operators'
  | 'pod'

/** What a topic is for, beside its name, its settings and its schema. */
export interface TopicFacts {
  readonly holds: string
  /** Markdown. */
  readonly key: string
  readonly writers: readonly Party[]
  readonly readers: readonly Party[]
}

/** Operators read with `freshet events`, `watch` and the like, and with the console; they are named where nobody else reads. */
export const topicFacts: Readonly<Record<keyof TopicNames, TopicFacts>> = {
  impressions: {
    holds: 'one page shown to one user',
    key: 'any',
    writers: ['applications', 'gateway'],
    readers: ['ingest'],
  },
  clicks: {
    holds: 'one click on a page',
    key: 'any',
    writers: ['applications', 'gateway'],
    readers: ['ingest'],
  },
  events: {
    holds: 'impressions and clicks that were accepted, by user; heartbeats',
    key: 'user id; null for a heartbeat',
    writers: ['ingest'],
    readers: ['joiner'],
  },
  items: {
    holds: 'the catalogue; null withdraws an item',
    key: 'item id',
    writers: ['applications'],
    readers: ['learner', 'compactor', 'pod'],
  },
  examples: {
    holds: 'one training example for each item clicked on a page; heartbeats',
    key: 'user id; null for a heartbeat',
    writers: ['joiner'],
    readers: ['learner', 'compactor'],
  },
  overrides: {
    holds: 'item vectors that have changed since their generation was indexed, in sets',
    key: '`<generation>/<item id>`; `<generation>/` for the end of a set',
    writers: ['learner'],
    readers: ['pod', 'indexer'],
  },
  snapshots: {
    holds: 'generations as pods load them: a manifest, and chunks of its files',
    key: '`<generation>/<revision>/<part>/<chunk>`; `<generation>/<revision>/manifest`',
    writers: ['indexer'],
    readers: ['pod'],
  },
  reports: {
    holds: 'what is true in a role, again each second; requests of operators',
    key: '`<role>/<instance>`; `operator`',
    writers: ['compactor', 'controller', 'indexer', 'learner', 'pod', 'operators'],
    readers: ['controller', 'indexer'],
  },
  control: {
    holds: 'the control document: which generation is live, and where each day was cut',
    key: '`control`',
    writers: ['controller'],
    readers: ['compactor', 'indexer', 'learner', 'pod'],
  },
  controlHistory: {
    holds: 'every control document there has been',
    key: '`control`',
    writers: ['controller'],
    readers: ['operators'],
  },
  recallRequests: {
    holds: 'one recall that is asked for',
    key: 'correlation id',
    writers: ['applications', 'gateway'],
    readers: ['pod'],
  },
  recallReplies: {
    holds: 'the reply to it',
    key: 'correlation id',
    writers: ['pod'],
    readers: ['applications', 'gateway'],
  },
  deadLetters: {
    holds: 'what could not be used, with its bytes and the reason',
    key: 'source topic',
    writers: ['ingest', 'joiner', 'learner', 'pod'],
    readers: ['operators'],
  },
}
