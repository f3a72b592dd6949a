export const tensorflowHome: string
export function loadTensorflow(home: string): unknown
export function requireTools(): Promise<void>
export function setUpTensorflow(home?: string): Promise<void>
