import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import { QuantileHistogram } from './quantiles.ts'

const delayBuckets = [
  0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60, 300, 3_600,
]
const ageBuckets = [
  0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3_600, 21_600, 86_400, 604_800, 2_592_000,
]
const latencyBuckets = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2]
/** What is not perfect is at most 0.999 for 1,000 items, as many as a request may ask for by default. */
const recallBuckets = [0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999, 1]
const scoreLossBuckets = [0, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1]

/** Stages in the order an event passes them. A delay is counted from arrival, so each includes the ones before. */
export const delayStages = ['ingest', 'joiner', 'learner', 'visible'] as const
export type DelayStage = (typeof delayStages)[number]

/**
 * Every metric of a process. Series are never freed by prom-client: no user, item or request id may become a label.
 * The reference page docs/metrics.md is generated from these.
 */
export type Metrics = ReturnType<typeof createMetrics>

export function createMetrics(registry = new Registry()) {
  const define = definers(registry)
  return {
    registry,
    ...freshness(define),
    ...flow(define),
    ...learning(define),
    ...daily(define),
    ...serving(define),
    ...gateway(define),
  }
}

type Definers = ReturnType<typeof definers>

function definers(registry: Registry) {
  const registers = [registry]
  return {
    counter: <L extends string>(name: string, help: string, labelNames: readonly L[] = []) =>
      new Counter<L>({ name: `freshet_${name}_total`, help, labelNames, registers }),
    gauge: <L extends string>(name: string, help: string, labelNames: readonly L[] = []) =>
      new Gauge<L>({ name: `freshet_${name}`, help, labelNames, registers }),
    histogram: <L extends string>(
      name: string,
      help: string,
      buckets: number[],
      labelNames: readonly L[] = [],
    ) => new Histogram<L>({ name: `freshet_${name}`, help, buckets, labelNames, registers }),
    delay: <L extends string>(name: string, help: string, label: L) =>
      new QuantileHistogram<L>(
        {
          name: `freshet_${name}_seconds`,
          help,
          buckets: delayBuckets,
          labelNames: [label],
          registers,
        },
        label,
      ),
  }
}

function freshness({ histogram, gauge, delay }: Definers) {
  return {
    visibleDelay: delay(
      'visible_delay',
      'From the arrival of a click to the first moment a pod can serve it, by what became visible (user: the row, item: the vector).',
      'side',
    ),
    stageDelay: delay(
      'stage_delay',
      'From arrival until a stage was done with the record: ingest, joiner, learner (applied), visible (Redis acknowledged). Each includes the ones before it.',
      'stage',
    ),
    servedWatermarkAge: histogram(
      'served_watermark_age_seconds',
      'At reply: now minus the event time through which the partition of the user has been learned.',
      ageBuckets,
    ),
    learnedThrough: gauge(
      'learned_through_timestamp_seconds',
      'Event time through which the live generation has learned a partition of examples, as Unix time.',
      ['partition'],
    ),
    embeddingAge: histogram(
      'embedding_age_seconds',
      'At reply: now minus the event time of the newest example in the row of the user.',
      ageBuckets,
    ),
  }
}

function flow({ counter, gauge }: Definers) {
  return {
    events: counter('events', 'Events written by ingest, by kind.', ['kind']),
    examples: counter('examples', 'Training examples, by the role that counted them.', ['role']),
    deadLetters: counter('dead_letters', 'Records refused, by role and reason.', [
      'role',
      'reason',
    ]),
    duplicates: counter(
      'duplicates',
      'Records ignored because they repeat one already seen, by role and kind.',
      ['role', 'kind'],
    ),
    consumerLag: gauge(
      'consumer_lag_records',
      'Records between the position of a role and the end of the partition.',
      ['role', 'topic', 'partition'],
    ),
    openRequests: gauge(
      'joiner_open_requests',
      'Requests that the joiner holds open, by partition.',
      ['partition'],
    ),
    evictedRequests: counter(
      'joiner_evicted_requests',
      'Requests closed early because openImpressionsMax was reached.',
    ),
    transactions: counter(
      'transactions',
      'Transactions by role and outcome (committed, aborted, fenced).',
      ['role', 'outcome'],
    ),
    isUp: gauge('dependency_up', 'Whether Kafka and Redis answer: 1 or 0.', ['dependency']),
    isReady: gauge('role_ready', 'What /readyz says of each role of the process: 1 or 0.', [
      'role',
    ]),
  }
}

function learning({ counter, gauge }: Definers) {
  return {
    loss: gauge('learner_loss', 'Mean loss of recent examples, before their update.'),
    recallAt: gauge(
      'progressive_recall_ratio',
      'Share of recent clicks that recall had among its first k before it learned from them.',
      ['k'],
    ),
    popularityRecallAt: gauge(
      'popularity_recall_ratio',
      'The baseline: share of the same clicks among the k most clicked items of the last 24 hours, refreshed every 15 minutes.',
      ['k'],
    ),
    auc: gauge(
      'progressive_auc_ratio',
      'Share of sampled negatives that score below the clicked item, before learning from it.',
    ),
    segmentRecallAt: gauge(
      'progressive_segment_recall_ratio',
      'As progressive_recall_ratio, by item (fresh: first clicked in the last 24 hours; older), user (new: without an example so far; known) and scenario.',
      ['by', 'segment', 'k'],
    ),
    segmentAuc: gauge(
      'progressive_segment_auc_ratio',
      'As progressive_auc_ratio, by the same segments.',
      ['by', 'segment'],
    ),
    lineageLag: gauge(
      'learner_lineage_lag_records',
      'Examples that a generation has still to learn, by what it is: live, candidate or previous; 0 without one.',
      ['lineage'],
    ),
    rows: gauge('table_rows', 'Rows of the ID tables.', ['side']),
    quarantined: counter(
      'learner_quarantined',
      'Updates not applied, by reason (not_finite, user_rate, table_full).',
      ['reason'],
    ),
    checkpoints: counter('checkpoints', 'Checkpoints written.'),
    redisReloads: counter(
      'redis_reloads',
      'Times a partition was loaded into Redis again because its sentinel was gone.',
    ),
    overrideSequence: gauge(
      'override_sequence',
      'Newest override set, as published by the learner or applied by a pod.',
      ['role'],
    ),
    overrides: gauge('overrides', 'Items whose vector differs from the indexed one.', ['role']),
    generationInfo: gauge(
      'generation_info',
      'Always 1; the label says which generation a role has live.',
      ['role', 'generation'],
    ),
  }
}

function daily({ counter, gauge }: Definers) {
  return {
    archived: counter('archived_examples', 'Examples written to the archive.'),
    archiveUnreadable: counter(
      'archive_unreadable',
      'Records of the examples topic that cannot be read and are not archived; the learner makes dead letters of them.',
    ),
    openDay: gauge(
      'open_day_timestamp_seconds',
      'Begin of the oldest day that is not cut yet, as Unix time.',
    ),
    dayExamples: gauge('day_examples', 'Examples of the newest day that is sealed.'),
    fullUpdateProgress: gauge(
      'full_update_progress_ratio',
      'How far the full update under way is; 0: there is none.',
    ),
    fullUpdateSeconds: gauge('full_update_seconds', 'Duration of the last full update.'),
    fullUpdates: counter(
      'full_updates',
      'Full updates, by outcome (passed, ungated, failed, error).',
      ['outcome'],
    ),
  }
}

function serving({ counter, gauge, histogram }: Definers) {
  return {
    indexRecall: gauge(
      'index_recall_ratio',
      'Recall@100 of the newest index against exact search on a sample; 1 for an exact index.',
    ),
    switches: counter(
      'switches',
      'Times another generation went live, by kind (switch, rollback).',
      ['kind'],
    ),
    liveSince: gauge(
      'live_since_timestamp_seconds',
      'When the live generation went live, as Unix time, from the control document.',
    ),
    candidateAge: gauge(
      'candidate_age_seconds',
      'How long the candidate has been waiting to go live; 0 without one.',
    ),
    controllerAlerts: gauge('controller_alerts', 'Things that the controller says to look at now.'),
    snapshotBytes: gauge('snapshot_bytes', 'Size of the newest snapshot, not compressed.'),
    recallLatency: histogram(
      'recall_latency_seconds',
      'From taking a request from the topic to the acknowledged reply.',
      latencyBuckets,
    ),
    recalls: counter('recalls', 'Recall replies by status.', ['status']),
    recallsDropped: counter(
      'recalls_dropped',
      'Requests not answered, by reason (late, reply_topic_unknown, undecodable, overloaded, unsent).',
      ['reason'],
    ),
    annRecall: histogram(
      'ann_recall_ratio',
      'Of sampled replies: share of the exact top k of the same query, generation and moment that was served.',
      recallBuckets,
    ),
    annScoreLoss: histogram(
      'ann_score_loss',
      'Of the same replies: mean cosine of the exact top k minus that of the served items.',
      scoreLossBuckets,
    ),
    exactChecks: counter(
      'exact_checks',
      'Replies to be held against an exact search, by outcome (compared; empty: nothing to find; overtaken: the generation changed meanwhile; skipped: one was under way; failed).',
      ['outcome'],
    ),
  }
}

function gateway({ counter, histogram }: Definers) {
  return {
    gatewayRequests: counter(
      'gateway_requests',
      'HTTP requests by route (other: no route) and status (aborted: the caller was gone before the reply).',
      ['route', 'status'],
    ),
    gatewayLatency: histogram(
      'gateway_request_seconds',
      'From the headers of an HTTP request to the end of its reply.',
      latencyBuckets,
      ['route'],
    ),
    gatewayEvents: counter(
      'gateway_events',
      'Events that came by HTTP and that Kafka has acknowledged, by kind.',
      ['kind'],
    ),
  }
}
