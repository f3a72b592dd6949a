export interface AdamOptions {
  readonly learningRate: number
}

const beta1 = 0.9
const beta2 = 0.999
const epsilon = 1e-8

/**
 * One step of Adam (Kingma and Ba 2015, Algorithm 1) on `count` parameters from `at` on, in place.
 * @param step number of this step, from 1; the moments are corrected for their start at 0 by it
 */
export function adam(
  parameters: Float32Array,
  gradients: Float32Array,
  moments: { readonly first: Float32Array; readonly second: Float32Array },
  step: number,
  { learningRate }: AdamOptions,
  at = 0,
  count = parameters.length,
  gradientsAt = at,
): void {
  const { first, second } = moments
  const rate = (learningRate * Math.sqrt(1 - beta2 ** step)) / (1 - beta1 ** step)
  for (let i = 0; i < count; i++) {
    const place = at + i
    const gradient = gradients[gradientsAt + i]!
    const m = beta1 * first[place]! + (1 - beta1) * gradient
    const v = beta2 * second[place]! + (1 - beta2) * gradient * gradient
    first[place] = m
    second[place] = v
    parameters[place]! -= (rate * m) / (Math.sqrt(v) + epsilon)
  }
}
