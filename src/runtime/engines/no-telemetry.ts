// onnxruntime reports to its makers and leaves a file in the temporary folder unless this is set before it is loaded; so this
// module is imported before it. Whoever wants the reports sets the variable to 0.
process.env['ORT_DISABLE_TELEMETRY'] ??= '1'
