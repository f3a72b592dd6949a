/**
 * Softmax cross entropy of `logits[from, from + count)`, whose first entry is the positive. The logits are replaced by the
 * gradient: probability, minus 1 for the positive.
 * @returns -log probability of the positive
 */
export function softmaxCrossEntropy(logits: Float64Array, from: number, count: number): number {
  let highest = -Infinity
  for (let i = from; i < from + count; i++) highest = Math.max(highest, logits[i]!)
  const positive = logits[from]! - highest
  let sum = 0
  for (let i = from; i < from + count; i++) {
    logits[i] = Math.exp(logits[i]! - highest)
    sum += logits[i]!
  }
  for (let i = from; i < from + count; i++) logits[i]! /= sum
  logits[from]! -= 1
  return Math.log(sum) - positive
}
