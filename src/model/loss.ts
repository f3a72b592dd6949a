/** What a step makes smaller, for each example: of its own item against others. */
export type Loss =
  | { readonly kind: 'listwise' }
  | {
      readonly kind: 'pointwise'
      /** The other items of an example weigh so much together, its own item 1. */
      readonly negativesPerPositive: number
    }
  | { readonly kind: 'pairwise'; readonly form: 'logistic' }
  | {
      readonly kind: 'pairwise'
      readonly form: 'hinge'
      /** By how much the own logit has to be above another one. */
      readonly margin: number
    }

export const listwise: Loss = { kind: 'listwise' }

/**
 * Loss of `count` logits z, of which the first is the example's own item. With the weights w of the others:
 * - listwise: -log softmax of the first; weights are not read, as the logit of what counts m times is higher by log m;
 * - pointwise: softplus(-z0) + sum of w softplus(z), the binary cross entropy of one positive and w negatives;
 * - pairwise: sum of w softplus(z - z0) (logistic, as in BPR, Rendle et al. 2009) or of w max(0, margin + z - z0) (hinge).
 * The logits are replaced by the gradient.
 */
export function lossOf(
  loss: Loss,
  logits: Float64Array,
  weights: Float64Array,
  count: number,
): number {
  switch (loss.kind) {
    case 'listwise':
      return softmaxCrossEntropy(logits, count)
    case 'pointwise':
      return binaryCrossEntropy(logits, weights, count)
    case 'pairwise':
      return pairwiseLoss(loss, logits, weights, count)
  }
}

function softmaxCrossEntropy(logits: Float64Array, count: number): number {
  let highest = -Infinity
  for (let i = 0; i < count; i++) highest = Math.max(highest, logits[i]!)
  const positive = logits[0]! - highest
  let sum = 0
  for (let i = 0; i < count; i++) {
    logits[i] = Math.exp(logits[i]! - highest)
    sum += logits[i]!
  }
  for (let i = 0; i < count; i++) logits[i]! /= sum
  logits[0]! -= 1
  return Math.log(sum) - positive
}

function binaryCrossEntropy(logits: Float64Array, weights: Float64Array, count: number): number {
  let total = softplus(-logits[0]!)
  logits[0] = sigmoid(logits[0]!) - 1
  for (let i = 1; i < count; i++) {
    total += weights[i]! * softplus(logits[i]!)
    logits[i] = weights[i]! * sigmoid(logits[i]!)
  }
  return total
}

function pairwiseLoss(
  loss: Loss & { kind: 'pairwise' },
  logits: Float64Array,
  weights: Float64Array,
  count: number,
): number {
  const own = logits[0]!
  let [total, slope] = [0, 0]
  for (let i = 1; i < count; i++) {
    const above = logits[i]! - own + (loss.form === 'hinge' ? loss.margin : 0)
    const isHinge = loss.form === 'hinge'
    total += weights[i]! * (isHinge ? Math.max(0, above) : softplus(above))
    logits[i] = weights[i]! * (isHinge ? Number(above > 0) : sigmoid(above))
    slope += logits[i]!
  }
  logits[0] = -slope
  return total
}

/** log(1 + e^x) */
function softplus(x: number): number {
  return Math.max(0, x) + Math.log1p(Math.exp(-Math.abs(x)))
}

function sigmoid(x: number): number {
  return x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x))
}
