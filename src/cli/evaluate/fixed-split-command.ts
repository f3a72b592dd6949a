import { writeFile } from 'node:fs/promises'
import os from 'node:os'
import { fileURLToPath } from 'node:url'
import { loadConfig } from '../../config/load.ts'
import { FreshetError } from '../../errors.ts'
import type { EvaluateOptions } from '../commands/evaluate.ts'
import { readConfigFile } from '../options.ts'
import { askFixedSplit, readPairs, type Pairs, type SplitScores } from './fixed-split.ts'

/** Scored beside the last epoch. */
const scoredEvery = 5
const settings = fileURLToPath(new URL('../../../config/fixed-split.yaml', import.meta.url))

/** `freshet evaluate --protocol fixed-split`. @throws FreshetError */
export async function runFixedSplit(options: EvaluateOptions): Promise<void> {
  const startedAt = new Date()
  if (options.train === undefined || options.test === undefined) {
    throw new FreshetError(
      'USAGE_INVALID',
      'the fixed-split protocol needs --train FILE and --test FILE',
    )
  }
  const config = loadConfig({
    texts: [settings, ...(options.config ?? [])].map(readConfigFile),
    environment: process.env,
    settings: options.set ?? [],
  })
  const [train, test] = [await readPairs(options.train), await readPairs(options.test)]
  process.stdout.write(`train ${countsOf(train)}, test ${countsOf(test)}\n`)
  const all: (SplitScores & { readonly seconds: number })[] = []
  const plan = { epochs: options.epochs, every: scoredEvery }
  for await (const scores of askFixedSplit(train, test, config, plan)) {
    const seconds = (Date.now() - startedAt.getTime()) / 1_000
    all.push({ ...scores, seconds })
    const { epoch, loss, recallAt20, ndcgAt20 } = scores
    process.stdout.write(
      `epoch ${epoch}  loss ${loss.toFixed(3)}  recall@20 ${recallAt20.toFixed(4)}  NDCG@20 ${ndcgAt20.toFixed(4)}  ${seconds.toFixed(0)} s\n`,
    )
  }
  if (options.json === undefined) return
  const about = { protocol: 'fixed-split', startedAt: startedAt.toISOString() }
  const machine = { node: process.versions.node, cpu: os.cpus()[0]?.model ?? 'unknown' }
  await writeFile(
    options.json,
    `${JSON.stringify({ ...about, ...machine, epochs: all }, null, 2)}\n`,
  )
}

function countsOf(pairs: Pairs): string {
  const count = [...pairs.values()].reduce((sum, items) => sum + items.length, 0)
  return `${count.toLocaleString('en-US')} pairs of ${pairs.size.toLocaleString('en-US')} users`
}
