/** What each number means, and the command that shows the same. */

export interface Definition {
  readonly label: string
  readonly meaning: string
  readonly command: string
}

const live = 'npm start'

export const definitions = {
  visible: {
    label: 'visible delay',
    meaning:
      'From the arrival of a click until a pod can serve what was learned from it, over the last 10 seconds. Half of the clicks are faster than p50, 99 of 100 than p99.',
    command: 'freshet watch',
  },
  delayMedian: {
    label: 'Delay since arrival, p50',
    meaning:
      'From arrival until a stage was done with a record: ingest, joiner, learner (applied), visible (in the online store). Each includes the ones before it. Half are faster.',
    command: live,
  },
  delayTail: {
    label: 'Delay since arrival, p99',
    meaning: 'The same for the slowest of a hundred records: 99 are faster.',
    command: live,
  },
  recall50: {
    label: 'recall@50',
    meaning:
      'Share of recent clicks whose item was among the first 50 for the user, before the model learned from the click.',
    command: live,
  },
  recall100: {
    label: 'recall@100',
    meaning: 'The same among the first 100.',
    command: live,
  },
  popularity50: {
    label: 'popularity@50',
    meaning:
      'The baseline: share of the same clicks among the 50 most clicked items of the last 24 hours.',
    command: 'npm start -- --report FILE',
  },
  annRecall: {
    label: 'index recall',
    meaning:
      'Of a sample of the replies: share of the exact top k that was served (freshet_ann_recall_ratio). What is missing is lost by the index, not by the model.',
    command: live,
  },
  loss: {
    label: 'loss',
    meaning: 'Mean loss of recent examples, each before its own update (freshet_learner_loss).',
    command: 'curl METRICS/metrics',
  },
  events: {
    label: 'events/s',
    meaning: 'Impressions, clicks and heartbeats that ingest accepted, a second.',
    command: live,
  },
  examples: {
    label: 'examples/s',
    meaning: 'Clicks joined with their impression and learned from, a second.',
    command: live,
  },
  replies: {
    label: 'replies/s',
    meaning:
      'Recall replies of all pods, a second. Those that this console asks for are among them.',
    command: 'curl METRICS/metrics',
  },
  deadLetters: {
    label: 'dead letters',
    meaning: 'Records that were refused, with a reason, since the processes started.',
    command: 'freshet dead-letters',
  },
  liveGeneration: {
    label: 'live',
    meaning:
      'The generation that every reply comes from: tower, rows, item vectors and index are one.',
    command: 'freshet status',
  },
  gate: {
    label: 'against its parent',
    meaning:
      'Mean of this generation minus its parent on the last fifth of the day, with the 95 % interval of the difference. The gate refuses what is worse.',
    command: 'freshet generations',
  },
} as const satisfies Record<string, Definition>

export type DefinitionName = keyof typeof definitions
