import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, expect, test } from 'vitest'
import { askFixedSplit, readPairs, type Pairs } from '../../../src/cli/evaluate/fixed-split.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { seededRandom } from '../../support/seeded-random.ts'

const dir = await mkdtemp(path.join(tmpdir(), 'freshet-split-'))
afterAll(() => rm(dir, { recursive: true, force: true }))

const config = loadConfig({
  texts: [],
  environment: {},
  settings: ['model.dim=8', 'full.batch=32', 'full.candidates=64', 'full.rowLearningRate=0.2'],
})

/** Two tastes of 60 items each: users have 20 of their own taste in train and 5 in test. */
function splitOf(users: number): { train: Pairs; test: Pairs } {
  const random = seededRandom(4)
  const train = new Map<string, string[]>()
  const wanted = new Map<string, string[]>()
  for (let user = 0; user < users; user++) {
    const own = Array.from({ length: 60 }, (_, i) => `i${2 * i + (user % 2)}`)
    const drawn = own
      .map((item) => ({ item, key: random.between(0, 1 << 30) }))
      .sort((a, b) => a.key - b.key)
      .map(({ item }) => item)
    train.set(`u${user}`, drawn.slice(0, 20))
    wanted.set(`u${user}`, drawn.slice(20, 25))
  }
  return { train, test: wanted }
}

test('epochs tell two tastes apart: 20 of the 40 items that are left of a taste hold half of the test items', async () => {
  const { train, test: wanted } = splitOf(80)
  const scores = []
  for await (const one of askFixedSplit(train, wanted, config, { epochs: 6, every: 3 })) {
    scores.push(one)
  }
  expect(scores.map(({ epoch }) => epoch)).toEqual([3, 6])
  // Without any taste it would be 20 of 100.
  expect(scores[1]!.recallAt20).toBeGreaterThan(0.4)
  expect(scores[1]!.recallAt20).toBeLessThan(0.65)
  expect(scores[1]!.loss).toBeLessThan(scores[0]!.loss)
})

test('what a user has in train is not ranked, and unknown test items count as missed', async () => {
  const items = Array.from({ length: 22 }, (_, i) => `i${i}`)
  const train = new Map([
    ['a', items.slice(0, 11)],
    ['b', items.slice(11)],
  ])
  // All eleven others are among the first twenty; one of the wanted has no vector.
  const wanted = new Map([
    ['a', [...items.slice(11, 14), 'never seen']],
    ['b', items.slice(0, 11)],
    ['c', []],
  ])
  const scores = []
  for await (const one of askFixedSplit(train, wanted, config, { epochs: 1, every: 1 })) {
    scores.push(one)
  }
  expect(scores[0]!.recallAt20).toBeCloseTo((3 / 4 + 1) / 2, 10)
  const ideal = (count: number) =>
    Array.from({ length: count }, (_, place) => 1 / Math.log2(place + 2)).reduce((a, b) => a + b)
  // b wants all eleven that are ranked for it, which is the ideal order whatever it is; a has at most three of its four.
  const most = (ideal(3) / ideal(4) + 1) / 2
  expect(scores[0]!.ndcgAt20).toBeLessThanOrEqual(most)
  expect(scores[0]!.ndcgAt20).toBeGreaterThan(0.5)
})

test('a user that comes twice, and a file without pairs, are refused by name', async () => {
  const file = path.join(dir, 'twice.txt')
  await writeFile(file, 'u1 a b\nu2 c\nu1 d\n')
  await expect(readPairs(file)).rejects.toMatchObject({
    code: 'FILE_INVALID',
    message: expect.stringMatching(/twice\.txt.*3/) as string,
  })
  await writeFile(file, '\n')
  await expect(readPairs(file)).rejects.toMatchObject({ code: 'FILE_INVALID' })
})

test('the command prints each scored epoch, and says which files it needs', async () => {
  const { train, test: wanted } = splitOf(20)
  const text = (pairs: Pairs) =>
    [...pairs].map(([user, items]) => `${user} ${items.join(' ')}\n`).join('')
  const [trainFile, testFile, json] = ['train.txt', 'test.txt', 'out.json'].map((name) =>
    path.join(dir, name),
  ) as [string, string, string]
  await writeFile(trainFile, text(train))
  await writeFile(testFile, text(wanted))
  const bin = fileURLToPath(new URL('../../../bin/freshet.js', import.meta.url))
  const run = (...args: string[]) =>
    promisify(execFile)(process.execPath, [bin, 'evaluate', '--protocol', 'fixed-split', ...args], {
      timeout: 60_000,
      cwd: dir,
    })
  const files = ['--train', trainFile, '--test', testFile, '--json', json]
  const { stdout } = await run(...files, '--epochs', '2', '--set', 'full.batch=32')
  expect(stdout).toMatch(
    /train 400 pairs of 20 users, test 100 pairs of 20 users\nepoch 2 .*recall@20/,
  )
  const report = JSON.parse(await readFile(json, 'utf8')) as { epochs: { epoch: number }[] }
  expect(report.epochs.map(({ epoch }) => epoch)).toEqual([2])
  await expect(run('--train', trainFile)).rejects.toMatchObject({
    stderr: expect.stringContaining('needs --train FILE and --test FILE') as string,
  })
})
