// TensorFlow reads these when it is loaded, from the environment of the process: a worker thread cannot set them. So this module is imported before it,
// and by whoever starts a thread that uses it. With one thread sums are taken in the same order each time; level 1 is warnings and errors.
process.env['TF_NUM_INTRAOP_THREADS'] ??= '1'
process.env['TF_NUM_INTEROP_THREADS'] ??= '1'
process.env['TF_CPP_MIN_LOG_LEVEL'] ??= '1'
