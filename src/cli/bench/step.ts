import type { StepInput } from '../../model/engine.ts'
import { Random } from '../../model/hash.ts'
import { initialise } from '../../model/initialise.ts'
import { listwise } from '../../model/loss.ts'
import { featureWidth, type ModelSpec, type TowerSpec } from '../../model/spec.ts'
import { openEngine } from '../../runtime/engines/index.ts'
import { median } from './arithmetic.ts'
import { ownCpuSeconds } from './usage.ts'

export interface StepFigure {
  readonly batch: number
  readonly negatives: number
  readonly dim: number
  /** By CPU time. */
  readonly examplesPerSecond: { readonly onnx: number; readonly typescript: number }
  /** onnx over plain TypeScript, of the same run. */
  readonly timesFaster: number
}

const engines = ['onnx', 'typescript'] as const
const negatives = 512
const seed = 17
const rounds = 3

/** The shapes of the figures that STACK.md has for PyTorch: width 64, 64 features, a hidden layer of 128. */
const tower: TowerSpec = { features: [{ kind: 'dense', name: 'facts', dim: 64 }], hidden: [128] }
const model: ModelSpec = { dim: 64, outputDim: 64, temperature: 0.2, user: tower, item: tower }

/**
 * The engine's step alone, in this process on one thread: gradients of the user's, the positive's and the negatives' rows
 * through both frozen towers. Engines alternate, so that a busy machine slows both.
 */
export async function measureStep(
  batch: number,
  limitMs: number,
  signal: AbortSignal,
): Promise<StepFigure> {
  const { dense } = initialise(model, seed)
  const input = stepInput(batch)
  const opened = await Promise.all(
    engines.map(async (name) => ({ name, tensors: await openEngine(name).open(model, dense) })),
  )
  const rates: Record<(typeof engines)[number], number[]> = { onnx: [], typescript: [] }
  try {
    for (const { tensors } of opened) await tensors.step(input)
    for (let round = 0; round < rounds && !signal.aborted; round++) {
      for (const { name, tensors } of opened) {
        const stepMs = limitMs / rounds / engines.length
        rates[name].push(await examplesPerSecond(batch, stepMs, () => tensors.step(input)))
      }
    }
  } finally {
    for (const { tensors } of opened) await tensors.close()
  }
  const onnx = median(rates.onnx) ?? 0
  const typescript = median(rates.typescript) ?? 0
  return {
    ...{ batch, negatives, dim: model.dim, examplesPerSecond: { onnx, typescript } },
    timesFaster: onnx / typescript,
  }
}

/** At least one step, however slow. */
async function examplesPerSecond(
  batch: number,
  limitMs: number,
  step: () => Promise<unknown>,
): Promise<number> {
  const startedMs = performance.now()
  const cpuSecondsBefore = ownCpuSeconds()
  let steps = 0
  do {
    await step()
    steps++
  } while (performance.now() - startedMs < limitMs)
  return (steps * batch) / (ownCpuSeconds() - cpuSecondsBefore)
}

function stepInput(batch: number): StepInput {
  const random = new Random(seed, batch)
  const floats = (length: number): Float32Array =>
    Float32Array.from({ length }, () => random.nextFloat() - 0.5)
  const { dim } = model
  return {
    loss: listwise,
    batch,
    negatives,
    userRows: floats(batch * dim),
    userFeatures: floats(batch * featureWidth(model.user)),
    positiveRows: floats(batch * dim),
    positiveFeatures: floats(batch * featureWidth(model.item)),
    negativeRows: floats(negatives * dim),
    negativeFeatures: floats(negatives * featureWidth(model.item)),
    positiveBias: new Float32Array(batch).fill(Math.log(1_500)),
    negativeBias: new Float32Array(batch * negatives).fill(Math.log(1_500 / negatives)),
    negativeWeights: new Float32Array(batch * negatives),
    weights: new Float32Array(batch).fill(1),
  }
}
