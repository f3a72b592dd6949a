import { z } from 'zod'
import { archive, compactor, full, generations, index } from './schema-daily.ts'
import { gateway, isLoopback } from './schema-gateway.ts'
import { model } from './schema-model.ts'
import { loss, milliseconds, name, positive } from './schema-parts.ts'

const kafka = z.strictObject({
  brokers: z
    .array(name)
    .min(1)
    .default(['127.0.0.1:9092'])
    .describe('host:port of the bootstrap brokers'),
  clientId: name.default('freshet'),
  topicPrefix: name
    .regex(/^[a-zA-Z0-9._-]+$/)
    .default('freshet')
    .describe('first part of every topic and group name'),
  partitions: positive
    .max(1024)
    .default(4)
    .describe('partitions of events and examples; fixed once the topics exist'),
  replicationFactor: positive.default(1),
  compression: z
    .enum(['none', 'gzip', 'snappy', 'lz4', 'zstd'])
    .default('none')
    .describe('codec of what freshet produces; every codec can be read'),
  tls: z
    .strictObject({
      enabled: z.boolean().default(false),
      caFile: z.string().optional(),
      certFile: z.string().optional(),
      keyFile: z.string().optional(),
      rejectUnauthorized: z.boolean().default(true),
    })
    .prefault({}),
  sasl: z
    .strictObject({
      mechanism: z.enum(['none', 'plain', 'scram-sha-256', 'scram-sha-512']).default('none'),
      username: z.string().default(''),
      password: z.string().default('').meta({ secret: true }),
    })
    .prefault({}),
  sessionTimeoutMs: positive.default(6_000),
  heartbeatIntervalMs: positive.default(500),
  rebalanceTimeoutMs: positive.default(3_000),
  requestTimeoutMs: positive.default(10_000),
  transactionTimeoutMs: positive.default(10_000),
})

const redis = z.strictObject({
  url: z
    .string()
    .default('redis://127.0.0.1:6379')
    .describe('redis:// or rediss:// (TLS); several, separated by commas, for a cluster')
    .meta({ secret: true }),
  cluster: z.boolean().default(false),
  username: z.string().optional(),
  password: z.string().optional().meta({ secret: true }),
  caFile: z.string().optional(),
  keyPrefix: z.string().default('').describe('put in front of every key, outside the hash tag'),
  commandTimeoutMs: positive.default(2_000),
})

const fieldMapping = z.union([
  z.string().describe('path into the record, e.g. `user.id` or `items[].id`'),
  z.strictObject({
    path: z.string(),
    unit: z.enum(['ms', 's', 'us', 'ns', 'iso']).default('ms'),
    default: z.union([z.string(), z.number()]).optional(),
  }),
  z.strictObject({ constant: z.union([z.string(), z.number()]) }),
])

const source = z.strictObject({
  topic: name,
  record: z.enum(['impression', 'click']),
  format: z
    .enum(['json', 'avro', 'auto'])
    .default('auto')
    .describe('auto: by the `content-type` header, JSON without one'),
  schemaFile: z
    .string()
    .optional()
    .describe('Avro schema of the values, for formats without a known fingerprint'),
  fields: z
    .record(z.string(), fieldMapping)
    .default({})
    .describe('freshet field -> where it comes from; unnamed fields keep their own name'),
})

const learner = z.strictObject({
  order: z
    .enum(['arrival', 'event-time'])
    .default('arrival')
    .describe(
      'event-time: whole windows of syncEventMs, so that two replays of the same events learn the same to the bit; for replays alone, as it waits for every partition to pass the window',
    ),
  onlineRows: z.enum(['user', 'user+item']).default('user+item'),
  optimizer: z.enum(['sgd', 'adagrad']).default('sgd'),
  learningRate: z.number().positive().default(0.05),
  batchMax: positive.default(256).describe('examples a micro-batch'),
  batchSpanMs: positive
    .default(3_600_000)
    .describe(
      'event time that a micro-batch may span, so that a replay learns sparse days in order',
    ),
  loss: loss.describe(
    'listwise: softmax; pointwise: binary, the negatives weigh so much together; pairwise: logistic (BPR) or hinge (triplet)',
  ),
  logQ: z
    .boolean()
    .default(true)
    .describe('corrects for how often an item is drawn; without, popular items are held down'),
  negatives: positive.default(512).describe('sampled negatives a micro-batch'),
  hardNegativeShare: z
    .number()
    .min(0)
    .max(0.9)
    .default(0)
    .describe('share of them drawn from what ranking eliminated on the pages of the micro-batch'),
  popularityShare: z
    .number()
    .min(0)
    .max(1)
    .default(0.75)
    .describe('share of negatives drawn by decayed popularity; the rest uniformly'),
  popularityHalfLifeMs: positive.default(86_400_000),
  syncMs: positive.default(200).describe('how often user rows and item overrides are published'),
  syncExamples: positive.default(2_000).describe('and at the latest after so many examples'),
  syncEventMs: positive
    .default(3_600_000)
    .describe(
      'and after so much event time: a replay of old days publishes about as often as those days would have',
    ),
  skewEpsilon: z
    .number()
    .nonnegative()
    .default(0.001)
    .describe('an item is overridden when 1 - cosine(indexed, now) exceeds this'),
  checkpointMs: positive.default(10_000),
  gradientNormMax: z
    .number()
    .positive()
    .default(5)
    .describe('gradient of one row is scaled down to this norm'),
  rowNormMax: z.number().positive().default(10),
  userRowsMax: positive.default(5_000_000),
  itemRowsMax: positive.default(2_000_000),
  expireAfterMs: positive.default(90 * 86_400_000),
  admitAfterUsers: positive.max(255).default(1),
  admitAfterItems: positive.max(255).default(2),
  examplesPerUserPerMinuteMax: positive.default(120),
  evaluationSample: z
    .number()
    .min(0)
    .max(1)
    .default(1)
    .describe('share of examples, chosen by hash, that progressive recall scores'),
  evaluationsPerSecondMax: positive.default(1_000).describe('live only; at most so many a second'),
})

const recall = z.strictObject({
  kMax: positive.default(1_000),
  inFlightMax: positive.default(1_024),
  redisDeadlineMs: positive.default(50),
  rowCacheMax: positive
    .default(100_000)
    .describe('last known user rows, served as DEGRADED while Redis is away'),
  rowCacheMs: milliseconds
    .default(0)
    .describe('rows younger than this are not read again; adds to the visible delay'),
  defaultTimeoutMs: positive.default(1_000),
  excludeRecentClicks: z.boolean().default(true),
  exactChecksPerSecondMax: z
    .number()
    .nonnegative()
    .default(1)
    .describe('replies held against an exact search, for the loss of the index; 0: none'),
})

export const configSchema = z
  .strictObject({
    kafka: kafka.prefault({}),
    redis: redis.prefault({}),
    stateDir: name.default('.freshet/state').describe('checkpoints, cut logs'),
    artifacts: z
      .strictObject({ dir: name.default('.freshet/artifacts') })
      .prefault({})
      .describe('generations'),
    sources: z
      .record(z.string(), source)
      .default({})
      .describe('further topics of your own that ingest reads, by name'),
    ingest: z
      .strictObject({
        futureSkewMs: milliseconds
          .default(60_000)
          .describe('an event later than its record by more than this is a dead letter'),
        aheadMaxMs: milliseconds
          .default(172_800_000)
          .describe(
            'of a source that sends heartbeats, an event later than all before it by more than this is a dead letter',
          ),
        alignMs: milliseconds
          .default(60_000)
          .describe('how far in event time a source may run ahead of another in a backlog'),
        idleMs: positive
          .default(2_000)
          .describe('a source silent for this long no longer holds the others back'),
        heartbeatMs: positive.default(1_000),
        recordBytesMax: positive.default(1_000_000),
        bufferedRecordsMax: positive.default(20_000),
      })
      .prefault({}),
    joiner: z
      .strictObject({
        windowMs: positive
          .default(30 * 60_000)
          .describe('how long after its impression a click still counts'),
        graceMs: milliseconds
          .default(5 * 60_000)
          .describe('disorder in the log, in event time, that loses nothing'),
        openImpressionsMax: positive
          .default(1_000_000)
          .describe(
            'requests kept open a partition: one that none of its last so many records named is closed',
          ),
        clicksPerRequestMax: positive.default(1_000),
        transactionMaxMs: positive.default(50),
        transactionMaxRecords: positive.default(5_000),
      })
      .prefault({}),
    model: model.prefault({}),
    learner: learner.prefault({}),
    recall: recall.prefault({}),
    archive: archive.prefault({}),
    compactor: compactor.prefault({}),
    full: full.prefault({}),
    index: index.prefault({}),
    generations: generations.prefault({}),
    gateway: gateway.prefault({}),
    metrics: z
      .strictObject({
        enabled: z.boolean().default(true),
        host: name.default('127.0.0.1'),
        port: z.number().int().min(0).max(65_535).default(9_464).describe('0: any free port'),
      })
      .prefault({}),
    console: z
      .strictObject({
        enabled: z
          .boolean()
          .default(true)
          .describe('`freshet all` and `npm start` serve it at /console/ of metrics.port'),
        port: z
          .number()
          .int()
          .min(0)
          .max(65_535)
          .default(9_465)
          .describe('of `freshet console`, on metrics.host; 0: any free port'),
        metricsUrls: z
          .array(z.url({ protocol: /^https?$/ }))
          .default([])
          .describe(
            'for `freshet console`: where the roles serve /metrics, e.g. http://learner:9464',
          ),
      })
      .prefault({}),
    log: z
      .strictObject({ level: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info') })
      .prefault({}),
  })
  .refine((c) => c.kafka.heartbeatIntervalMs * 3 <= c.kafka.sessionTimeoutMs, {
    path: ['kafka', 'heartbeatIntervalMs'],
    message: 'must be at most a third of sessionTimeoutMs',
  })
  .refine((c) => c.ingest.alignMs <= c.joiner.graceMs, {
    path: ['ingest', 'alignMs'],
    message: 'must be at most joiner.graceMs, or a replay would make clicks late',
  })
  .refine(
    ({ gateway: { host, tokenFile, allowWithoutToken } }) =>
      isLoopback(host) || tokenFile !== null || allowWithoutToken,
    {
      path: ['gateway', 'host'],
      message:
        'others than this machine could ask and send events without a token: name a file of tokens in gateway.tokenFile, or set gateway.allowWithoutToken if something in front checks who may',
    },
  )

export type Config = z.infer<typeof configSchema>
export type SourceConfig = z.infer<typeof source>
