/**
 * How the commands of the pages are run where they cannot be run as they stand: with smaller figures, until a line that says enough, or
 * not at all. A command that is not here is run as it is.
 */
export interface Plan {
  /** Replaces a part of the text. */
  readonly instead?: readonly [string, string]
  readonly add?: string
  /** Run first, in the same folder. */
  readonly before?: string
  readonly until?: RegExp
  readonly shows?: RegExp
  /** Where: beside the live system of the tutorial, beside its days, or beside nothing. */
  readonly in?: Place
}

export type Place = 'live' | 'days' | 'alone'

/** A replay learns window by window: an hour at a time. */
const smallDays = '--rate 0.02 --set learner.syncEventMs=3600000'
const importing = '--config config/movietweetings.yaml --no-offer'
const exporting = 'freshet export $FIRST DIR'
const serving = /serving generation/
const evaluation = '--days 1'

export const plans: Readonly<Record<string, Plan>> = {
  // To begin with
  'npm start': { in: 'alone', add: '-- --rate 20', until: serving },
  'npm start -- --set gateway.enabled=true': {
    add: '--rate 50',
    until: /the gateway serves.*[^]*serving generation/,
  },
  'npm start -- --set stateDir=runs/a': { in: 'alone', add: '--rate 20', until: serving },
  'npm start -- --events PATH': { in: 'alone', until: /complete/ },
  'npm start -- --events PATH --speed max --exit': { in: 'alone' },
  'npm start -- --events PATH --speed max --exit --report report.json': { in: 'alone' },
  'npm start -- --days 3 --speed max --exit': {
    in: 'alone',
    instead: ['--days 3', `--days 1 ${smallDays}`],
  },
  'npm start -- --days 2 --set generations.rollbackWindowMs=3600000': {
    add: smallDays,
    until: serving,
  },
  'freshet demo': {
    ...{ in: 'alone', add: '--days 1 --exit' },
    shows:
      /recall@50 0\.\d{3}; full update [^]* live\n[^]*user 42 clicked .+ at .+; its recall changed at .+ \([0-9.]+ s\)/,
  },
  'FRESHET_KAFKA_BROKERS=host:port FRESHET_REDIS_URL=redis://host:port freshet all --config my.yaml':
    {
      ...{ in: 'alone', until: serving },
    },

  // What goes on until Ctrl-C
  'freshet console': { add: '--set console.port=0', until: /^console: http/m },
  'freshet events --follow': { until: /"kind":"click"/ },
  'freshet watch': { until: /is live instead of full-|live full-2026-01-06/ },
  'freshet gateway --config my.yaml': { until: /the gateway serves/ },
  'freshet gateway --set gateway.tokenFile=tokens': { until: /the gateway serves/ },
  'freshet console --config my.yaml --set \'console.metricsUrls=["http://learner:9464","http://pod:9464"]\'':
    {
      add: '--set console.port=0',
      until: /^console: http/m,
    },
  '.freshet/cache/prometheus/prometheus --config.file monitoring/prometheus.yml --storage.tsdb.path .freshet/data/prometheus':
    {
      ...{
        in: 'alone',
        add: '--web.listen-address 127.0.0.1:0',
        until: /ready to receive web requests/,
      },
    },

  'promtool test rules monitoring/rules/*.test.yml': {
    ...{ in: 'alone', before: 'npm run setup:prometheus' },
  },

  // The tutorial: what takes a moment
  'freshet recall --user ada -k 5': { shows: /status +(?:OK|COLD_USER)/ },
  'freshet generations': { shows: /^full-2026-01-06\S+ +2026-01-06 +live/m },
  'freshet dead-letters': { shows: /CLICK_NOT_SHOWN/ },
  'freshet explain --user ada': { shows: /(?:page-1 .* part of the row[^]*){3}/ },

  // From files
  'freshet reset --cache': { in: 'alone' },
  'freshet import trained --config config/movietweetings.yaml': { in: 'alone' },
  'freshet backfill --from DIR': { in: 'alone', instead: ['DIR', '/lake'] },
  'freshet backfill --from /lake --until 2026-01-31 --config my.yaml': { in: 'alone' },
  'freshet bootstrap --days 2026-01-01..2026-01-31 --config my.yaml': {
    instead: ['2026-01-01..2026-01-31', '2026-01-05..2026-01-06'],
  },
  'freshet all --config my.yaml --set generations.first=GENERATION': { until: serving },
  'freshet evaluate --events PATH': { in: 'alone', add: `${evaluation} --seeds 1` },
  'freshet evaluate --events PATH --json figures.json --svg chart.svg': {
    in: 'alone',
    add: evaluation,
    instead: ['--json', '--seeds 1 --json'],
  },
  'freshet evaluate --events PATH --until 2013-07-17': {
    instead: ['2013-07-17', '2026-01-05 --days 1 --seeds 1'],
  },
  'freshet evaluate --protocol fixed-split --train train.txt --test test.txt': {
    add: '--epochs 1',
  },
  'freshet evaluate --events PATH/TO/movietweetings --seeds 1 --set generations.first=ID': {
    ...{
      in: 'alone',
      add: evaluation,
      instead: ['=ID', '=imported-2026-01-02-ID'],
      before: `freshet import trained --id imported-2026-01-02-ID ${importing}`,
    },
  },
  'freshet evaluate --events PATH/TO/movietweetings --seeds 1 --set generations.first=imported-2013-07-16-…':
    {
      ...{
        in: 'alone',
        add: evaluation,
        instead: ['imported-2013-07-16-…', 'imported-2013-07-16-1'],
      },
      before: `freshet import trained --id imported-2013-07-16-1 --day 2013-07-16 ${importing}`,
    },

  // Beside two days, in the order of the pages: live is the first of them, after the rollback of the tutorial
  'freshet audit --day DAY': { in: 'days', instead: ['DAY', '2026-01-05'] },
  'freshet bootstrap --days A..B': { in: 'days', instead: ['A..B', '2026-01-05..2026-01-06'] },
  'freshet import DIR': {
    in: 'days',
    before: exporting,
    add: '--id imported-2026-01-05-again --config config/generator.yaml',
  },
  'freshet export GENERATION DIR': { in: 'days', instead: ['GENERATION DIR', '$FIRST copy'] },
  'freshet rollback --to GENERATION': {
    ...{ in: 'days', before: 'LIVE imported-2026-01-05-again', instead: ['GENERATION', '$FIRST'] },
  },
  'freshet approve GENERATION': {
    ...{ in: 'days', instead: ['GENERATION', 'imported-2026-01-05-later'] },
    before: `${exporting} && freshet import DIR --id imported-2026-01-05-later --no-offer --config config/generator.yaml`,
  },
  'freshet reject GENERATION': {
    ...{
      in: 'days',
      before: 'LIVE imported-2026-01-05-later',
      instead: ['GENERATION', 'imported-2026-01-05-again'],
    },
  },
  'freshet full-update --day DAY': { in: 'days', instead: ['DAY', '2026-01-06'] },
  'freshet import DIR --day 2026-01-31': {
    ...{
      in: 'days',
      before: exporting,
      instead: ['2026-01-31', '2026-01-05 --config config/generator.yaml'],
    },
  },
  'freshet import DIR --no-offer': {
    in: 'days',
    add: '--id imported-2026-01-05-another --config config/generator.yaml',
  },
  'freshet audit --day 2026-01-02': { in: 'days', instead: ['2026-01-02', '2026-01-06'] },
}

/** What is not run, and why; what such a command names is looked for instead. */
export const notRun: readonly (readonly [RegExp, string])[] = [
  [/^git clone /, 'the folder is like a clone already, with its packages'],
  [/^docker compose /, 'needs Docker; containers.test.ts holds the files against the code'],
  [/^redis-cli /, 'comes with a Redis that is installed, not with the one that is fetched'],
  [
    /^kafka-acls\.sh /,
    'comes with a Kafka that is installed; secured.test.ts gives and uses these rights',
  ],
  [/--rank-with pods/, 'is what evaluate-pods.test.ts runs'],
  [/bench/, 'takes minutes of all cores'],
  [/^npm run (?:build|docs)/, 'would write what the tests run'],
  [/^npm run setup:tensorflow/, 'fetches 850 MB'],
  [/^npx vitest run /, 'is one of the tests'],
  [
    /^(?:python3 -m venv|\.venv\/bin\/)/,
    'fetches PyTorch; the fixture is a folder that it has written',
  ],
]

/** Stands for what a reader puts in. */
export const placeholders: readonly (readonly [RegExp, string])[] = [
  [/PATH\/TO\/movietweetings|\bFOLDER\b|\bPATH\b/g, 'events'],
  [/\/lake\b/g, 'lake'],
  [/--user (?:ID|U)\b/g, '--user 123'],
  [/--check FILE --source NAME/g, '--check sample.jsonl --source clicks'],
  [/\bFILE\b/g, 'sample.jsonl'],
  [/\bDIR\b/g, 'exported'],
]
